// What this variant's hypercalls need done at boot, before EL2 is handed over: nothing.

kvm_prepare_hyp:
        ret
