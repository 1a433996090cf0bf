"""The exported page of a call of Debian's own kernel, in Chromium with the network off."""

import pytest

from hypkit import linux, stepper
from hypkit.cost import HYP_PHASES
from hypkit.linux.phases import folded
from hypkit.linux.snapshot import path_of
from hypkit.timetravel.payload import Payload
from tests.browser.test_file import AXE, NOT_OURS
from tests.judges import judge, required
from tests.oracle.linux import image_of

KERNEL, CALL = "6.1", "__kvm_timer_set_cntvoff"


@pytest.fixture(scope="module")
def call():
    if not path_of(KERNEL).exists():
        if "linux" not in required():
            pytest.skip(f"no snapshot of Linux {KERNEL}: `make linux` makes one")
        judge("linux")
        linux.fetch(KERNEL, file=image_of(KERNEL, download=True)[0])
    with linux.machine(KERNEL) as machine:
        return machine.call(CALL, 0x1234)


@pytest.fixture
def page(offline, call):
    return offline(stepper(call).to_html())


def step(page):
    return page.evaluate("hypkit.step")


def where(page):
    return page.locator(".hk-where").first.inner_text()


def ask_where_the_branch_goes(page, trace):
    """Open the origin of the address that the dispatcher branches to; (the step, the register)."""
    branch = trace.find(f"handle_{CALL}") - 1
    register = trace[branch].text.removeprefix("blr ")
    page.evaluate("at => hypkit.go(at)", branch)
    page.locator(".hk-name", has_text=register).first.click()
    return branch, register


def test_every_step_is_shown_with_the_kernels_own_symbol_its_level_and_its_phase(page, call):
    trace, wanted, phases = call.trace, Payload(call.trace), folded(call.trace)
    shown = []
    for row in range(len(trace)):
        assert step(page) == row
        symbol = trace.image.symbolize(int(trace.pcs[row]))
        assert symbol and f"{symbol} · {phases[row]}" in where(page)
        assert (
            page.locator(".hk-level").inner_text()[2:] == ("EL1 host", "EL2 hyp")[trace[row].el - 1]
        )
        assert page.locator(".hk-says").inner_text() == wanted.sentence(row)
        assert page.locator("tr[aria-current=step] .hk-text").inner_text() == trace[row].text
        shown.append(symbol.partition("+")[0])
        page.keyboard.press("n")
    assert page.locator(".hk-says").inner_text().startswith("The call returned: x0 = 0x0")
    functions = [name for at, name in enumerate(shown) if shown[at - 1 : at] != [name]]
    for name in ("__arm_smccc_hvc", "__host_exit", "handle_trap", f"handle_{CALL}", CALL):
        assert name in functions
    page.keyboard.press("p")
    assert step(page) == len(trace) - 1


def test_the_phases_of_a_real_call_stand_over_its_strip_and_in_its_cost(page, call):
    phases = folded(call.trace)
    runs = [name for at, name in enumerate(phases) if phases[at - 1 : at] != [name]]
    assert page.locator(".hk-phases span").all_inner_texts() == runs
    assert runs == ["host", "entry", "dispatch", "handler", "return", "host"]
    page.keyboard.press("End")
    page.get_by_role("tab", name="Cost").click()
    rows = {
        cells[0]: [int(cell) for cell in cells[1:]]
        for cells in (
            row.split("\t") for row in page.locator(".hk-numbers tbody tr").all_inner_texts()
        )
    }
    for name in set(runs):
        assert rows[name][0] == phases.count(name), name
    assert rows["all"][0] == len(call.trace) == call.cost.total.instructions
    assert rows["EL2 without the handler"][0] == sum(rows[n][0] for n in HYP_PHASES if n in rows)
    assert rows["EL2 without the handler"][0] == call.cost.hyp.instructions


def test_the_address_that_a_real_dispatcher_branches_to_is_from_the_kernels_table(page, call):
    trace = call.trace
    branch, register = ask_where_the_branch_goes(page, trace)
    origin = trace.origin(register, branch)
    panel = page.locator(".hk-panel")
    sources = panel.locator("table", has_text="Where it comes from").locator("tbody tr")
    assert sources.count() == len(origin.sources)
    for row, source in zip(sources.all_inner_texts(), origin.sources, strict=True):
        assert source.name in row and source.owner in row and source.kind in row
    (slot,) = (row for row in sources.all_inner_texts() if "host_hcall+" in row)
    assert "boot" in slot and "EL1 may not write it" in slot
    assert f"of handle_{CALL}" in page.locator(".hk-says").inner_text()
    load = origin.steps[-1]  # of the table's word
    panel.get_by_role("button", name=f"Step {load}: go there").first.click()
    assert step(page) == load and trace[load].text.startswith(f"ldr {register}, [")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 600)])
def test_axe_finds_nothing_on_a_real_call_with_an_origin_open(offline, call, axe, scheme, width):
    page = offline(stepper(call).to_html(), scheme=scheme, width=width)
    page.evaluate(axe)
    ask_where_the_branch_goes(page, call.trace)
    assert "host_hcall+" in page.locator(".hk-panel").inner_text()
    assert [fault for fault in page.evaluate(AXE) if not fault.startswith(NOT_OURS)] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
