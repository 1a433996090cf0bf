// With VHE the host itself runs at EL2: it calls the functions, and there is nothing to dispatch. An
// HVC that claims to come from the host has no sender.

dispatch:
        b       hyp_panic
