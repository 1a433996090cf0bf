"""What to write in place of the kernel's own macros, which come from headers that are not here.

Each name is the kernel's (include/linux/linkage.h, arch/arm64/include/asm/assembler.h and its
neighbours); a sentence says what hypkit takes instead.
"""

from __future__ import annotations

import re

_ARGUMENT = re.compile(r"\(\s*([A-Za-z_.$][\w.$]*)")
_STARTS = frozenset(
    "sym_code_start sym_code_start_local sym_func_start sym_func_start_local sym_func_start_weak "
    "sym_func_start_pi sym_func_start_weak_pi sym_inner_label sym_data_start sym_func_start_alias "
    "sym_start sym_entry entry global weak local_entry entry_np code_entry".split()
)
_ENDS = frozenset(
    "sym_code_end sym_func_end sym_func_end_pi sym_func_end_alias sym_data_end sym_end end endproc "
    "endpiproc size_t_end".split()
)
_ALTERNATIVE = (
    "the kernel chooses between alternatives at boot, and nothing does so here: write the one "
    "instruction sequence that a Cortex-A72 runs (for the barrier after an eret, "
    "`speculation_barrier`)"
)
_CONTEXT = "`this_cpu_host_data x0, x1` brings this CPU's kvm_host_data into x0, with x1 as a spare register"
_STATEMENTS = {
    "mov_q": "`ldr x0, =value` loads any number of 64 bits",
    "movq": "`ldr x0, =value` loads any number of 64 bits",
    "hyp_adr": "`adr_l x0, symbol` is relative to the PC, so at EL2 it gives a hyp address",
    "hyp_symbol_addr": "`adr_l x0, symbol` is relative to the PC, so at EL2 it gives a hyp address",
    "adr_this_cpu": _CONTEXT,
    "hyp_adr_this_cpu": _CONTEXT,
    "ldr_this_cpu": f"{_CONTEXT}; then load from it",
    "hyp_ldr_this_cpu": f"{_CONTEXT}; then load from it",
    "this_cpu_offset": "`mrs x0, tpidr_el2` reads this CPU's offset at EL2",
    "get_host_ctxt": _CONTEXT,
    "get_vcpu_ptr": f"{_CONTEXT}; the vCPU is at [x0, #HOST_CONTEXT_VCPU]",
    "get_loaded_vcpu": f"{_CONTEXT}; the vCPU is at [x0, #HOST_CONTEXT_VCPU]",
    "set_loaded_vcpu": f"{_CONTEXT}; the vCPU is at [x0, #HOST_CONTEXT_VCPU]",
    "hyp_kimg_va": "an image address minus the image's distance gives the linear address (`lm_alias "
    "x0, x1`), and `kern_hyp_va x0` makes that a hyp address",
    "kimg_va": "an image address minus the image's distance gives the linear address (`lm_alias "
    "x0, x1`), and `kern_hyp_va x0` makes that a hyp address",
    "kimg_pa": "`ldr_l x1, kimage_voffset` and `sub x0, x0, x1` make a physical address of an image "
    "address",
    "hyp_pa": "`ldr_l x1, kimage_voffset` and `sub x0, x0, x1` make a physical address of an image "
    "address",
    "ksym_hyp_va": "this was a macro of the patch: put its `.macro` in as well, or write `sub` and "
    "`kern_hyp_va`",
    "save_caller_saved_regs_vect": "write `stp x0, x1, [sp, #-16]!`; the entry has done so already",
    "restore_caller_saved_regs_vect": "write `ldp x0, x1, [sp], #16`",
    "clear_gp_regs": "write a `mov x9, xzr` for each register",
    "bti_c": "leave it out: a Cortex-A72 has no BTI",
    "export_symbol": "leave this line out: every label is seen by the whole kernel",
    "export_symbol_gpl": "leave this line out: every label is seen by the whole kernel",
    "nokprobe": "leave this line out: there are no kprobes here",
    "asm_nokprobe": "leave this line out: there are no kprobes here",
    "_asm_nokprobe": "leave this line out: there are no kprobes here",
    "kvm_hcall": "write the table with `.quad`, one handler a slot",
    "__kvm_host_hcall": "write the table with `.quad`, one handler a slot",
    "module_license": "leave this line out",
}
_CALLS = {
    "ul": "write the number alone, without UL( ): `1 << 8` has 64 bits here",
    "ull": "write the number alone, without ULL( ): `1 << 8` has 64 bits here",
    "_ul": "write the number alone, without _UL( ): `1 << 8` has 64 bits here",
    "_ull": "write the number alone, without _ULL( ): `1 << 8` has 64 bits here",
    "_ac": "write the number alone, without _AC( )",
    "u": "write the number alone, without U( )",
    "bit": "write `1 << 8` for BIT(8)",
    "bit_ull": "write `1 << 8` for BIT_ULL(8)",
    "_bitul": "write `1 << 8` for _BITUL(8)",
    "genmask": "write the bits: GENMASK(h, l) is `((1 << (h - l + 1)) - 1) << l`",
    "genmask_ull": "write the bits: GENMASK_ULL(h, l) is `((1 << (h - l + 1)) - 1) << l`",
    "kvm_host_hcall_nr": "write `KVM_HOST_HCALL_BASE` plus the call's place in the table",
    "__kvm_host_hcall_nr": "write `KVM_HOST_HCALL_BASE` plus the call's place in the table",
    "lm_alias": "expressions cannot load; write the macro `lm_alias x0, x1` on its own line",
    "__pa_symbol": "write `ldr x0, =symbol`, `ldr_l x1, kimage_voffset`, `sub x0, x0, x1`",
    "kern_hyp_va": "addresses are converted at run time; write the macro `kern_hyp_va x0`",
    "sizeof": "write the number of bytes",
    "offsetof": "write the number of bytes",
    "arm_smccc_call_val": "write the number: bit 31 is a fast call, bit 30 the 64-bit convention, "
    "bits 29-24 the owner, bits 15-0 the function",
}


def statement(name: str, rest: str) -> str | None:
    """Return what to write for a macro that stands in an instruction's place; None if unknown.

    Args:
        name: The macro's name, in lower case.
        rest: What follows it on the line.
    """
    argument = _ARGUMENT.match(rest.strip())
    called = argument.group(1) if argument else ""
    shown = f"{name.upper()}({called})" if called else name
    if name in _STARTS and (called or not name.isalpha()):
        return (
            f"{shown} comes from the kernel's C headers, which are not here: write "
            f"`{called or 'name'}:`"
        )
    if name in _ENDS and (called or not name.isalpha() or name == "endproc"):
        return f"{shown} comes from the kernel's C headers, which are not here: leave this line out"
    if name.startswith("alternative"):
        return f"{name}: {_ALTERNATIVE}"
    if name in _STATEMENTS:
        return f"{name} is a macro of the kernel's that is not here: {_STATEMENTS[name]}"
    if name in _CALLS and rest.lstrip().startswith("("):
        return f"{name.upper()}() comes from the kernel's C headers: {_CALLS[name]}"
    return None


def call(name: str) -> str:
    """Return what to write for a C macro in an expression, such as UL(1) or BIT(8)."""
    said = _CALLS.get(name.lower(), "write the value that it stands for")
    return f"{name}() is a macro of C, and the C preprocessor does not run here: {said}"
