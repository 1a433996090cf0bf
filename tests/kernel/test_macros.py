"""The list of macros says what the macros do."""

import pydoc
import re

import pytest

from hypkit.a64.effects import operation
from hypkit.kernel import programs
from hypkit.kernel.macros import MACROS, dispatcher_macros
from tests.marks import needs_engine

CALLS = {
    "kern_hyp_va": "kern_hyp_va x9",
    "lm_alias": "lm_alias x9, x10",
    "speculation_barrier": "speculation_barrier",
    "divert_stub_calls": "divert_stub_calls",
    "do_el2_call": "do_el2_call args=6",
    "this_cpu_host_data": "this_cpu_host_data x9, x10",
    "adr_l": "adr_l x9, kvm_hcall_table",
    "ldr_l": "ldr_l x9, kimage_voffset, x10",
    "str_l": "str_l x9, kimage_voffset, x10",
}
NAMES = {"x9": "reg", "x10": "tmp", "nzcv": "the flags"}


def test_every_macro_for_dispatchers_is_in_the_list():
    listed = [macro.name for macro in dispatcher_macros()]
    assert sorted(listed) == sorted(CALLS)
    marked = MACROS.read_text().count("// For dispatchers:")
    assert marked == len(listed) - 3


@needs_engine
@pytest.mark.parametrize("name", CALLS)
def test_a_macro_changes_what_its_line_says(name):
    (macro,) = (m for m in dispatcher_macros() if m.name == name)
    text = f"dispatch:\n        {CALLS[name]}\nafter:  b .\n"
    program = programs.build("numbered", text)[programs.DISPATCHER]
    end = program.symbols["after"] - program.base
    written = {
        register
        for at in range(0, end, 4)
        for register in operation(int.from_bytes(program.code[at : at + 4], "little")).writes
    }
    said = set(re.split(r", | if given", macro.changes)) - {"", "nothing"}
    if name == "do_el2_call":  # it gives lr and sp back; the function it calls may change the rest
        assert written - {"x30", "sp"} <= {f"x{n}" for n in range(19)}
        assert macro.changes == "x0 to x18, as a call"
    elif name == "divert_stub_calls":  # x5 and x6 are lost on the way to a stub, and nobody returns
        assert said == {NAMES.get(r, r) for r in written - {"x5", "x6"}} | {"sp"}
    else:
        assert said == {NAMES.get(register, register) for register in written}


def test_the_list_is_shown_as_a_table_and_by_help():
    table = dispatcher_macros()
    assert repr(table).count("\n") == len(table) - 1
    assert (
        "do_el2_call args=3" in repr(table) and "| `kern_hyp_va reg` |" in table._repr_markdown_()
    )
    assert "speculation_barrier" in pydoc.render_doc(dispatcher_macros)
