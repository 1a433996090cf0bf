// Before the patch: x0 is where to go. The host already turned the function's image address into a
// linear one; EL2 makes it its own by mask and tag, and branches.

dispatch:
        divert_stub_calls
dispatch_find:
        kern_hyp_va x0
dispatch_call:
        do_el2_call
dispatch_return:
        eret
        speculation_barrier
