"""A long trace whose steps come late: nothing that the reader asks for may be lost meanwhile."""

import pytest

from hypkit import Machine
from hypkit.timetravel.payload import CHUNK, Payload
from tests.browser.long import page_text, show_long

LOOP = """
dispatch:
        divert_stub_calls
dispatch_find:
        mov     x9, #0x4000
1:      sub     x9, x9, #1
        cbnz    x9, 1b
dispatch_call:
        mov     x0, #7
dispatch_return:
        eret
"""
SLOW = 300  # milliseconds


@pytest.fixture(scope="module")
def payload():
    """Two chunks of which the second ends with the ERET, and a third for what comes after."""
    trace = Machine("numbered", seed=2020, dispatcher=LOOP).call("__kvm_get_mdcr_el2").trace
    eret, after = trace[len(trace) - 2 :]
    assert (eret.text, after.text) == ("eret", "ret")
    return Payload(trace[len(trace) - 1 - 2 * CHUNK :], "cut", "The end.")


@pytest.fixture
def page(offline, payload):
    def show(**options):
        page = offline(page_text())
        show_long(page, payload, **options)
        page.evaluate("view.root.focus()")
        return page

    return show


def at(page, step):
    page.wait_for_function("step => view.step === step", arg=step)
    assert page.locator(".hk-view > .hk-status").inner_text() == ""


def test_the_level_changes_between_two_chunks(page):
    page = page(delay=SLOW)
    page.keyboard.press("z")
    page.keyboard.press("E")
    at(page, 2 * CHUNK)
    assert page.evaluate("view.reel.level(view.step)") == "host"
    page.keyboard.press("p")
    at(page, 2 * CHUNK - 1)
    page.keyboard.press("e")
    at(page, 2 * CHUNK)


def test_keys_pressed_while_steps_are_fetched_count_from_there(page):
    page = page(delay=SLOW)
    page.evaluate(f"view.go({CHUNK - 2})")
    for key in "nnnnpn":
        page.keyboard.press(key)
    at(page, CHUNK + 2)


def test_a_jump_elsewhere_does_not_wait_and_drops_what_was_pressed(page):
    page = page(delay=60_000)
    for key in "znns":
        page.keyboard.press(key)
    assert page.evaluate("[view.step, view.landing]") == [0, None]
    page.keyboard.press("n")
    at(page, 1)


def test_a_search_is_given_up_without_a_word_for_a_step(page):
    page = page(delay=SLOW)
    page.evaluate("view.search.value = '0xdeadbeefdead'")
    page.keyboard.press("f")
    page.locator(".hk-status", has_text="Searching").wait_for()
    page.keyboard.press("n")
    page.wait_for_function("view.reel.waiting.size === 0")
    page.evaluate("new Promise((done) => setTimeout(done))")
    at(page, 1)


def test_a_view_opens_where_the_reader_was(page):
    page = page(delay=SLOW, start=2 * CHUNK - 3)
    at(page, 2 * CHUNK - 3)


def test_a_fetch_that_fails_is_said_and_the_keys_go_on(page):
    page = page()
    page.evaluate("""() => {
      view.reel.fetch = async () => { throw new Error("the kernel is gone"); };
    }""")
    page.keyboard.press("z")
    page.locator(".hk-status", has_text="Error: the kernel is gone").wait_for()
    page.keyboard.press("n")
    assert page.evaluate("view.step") == 1


def test_the_cursor_goes_ahead_of_the_steps(page):
    page = page(delay=60_000)
    page.keyboard.press("z")
    assert page.evaluate("[view.step, view.goto.value]") == [0, str(2 * CHUNK + 1)]
    page.keyboard.press("s")
    assert page.evaluate("[view.step, view.goto.value]") == [0, "0"]


def test_a_kernel_that_does_not_answer_is_spoken_of(page):
    page = page(delay=60_000)
    page.clock.install()
    said = page.locator(".hk-status")
    page.keyboard.press("z")
    page.clock.run_for(3000)
    assert said.inner_text().startswith(
        f"Still fetching the steps around {2 * CHUNK + 1}. The kernel does not answer: it is busy "
        "with another cell, or gone."
    )
    page.evaluate("view.search.value = '0xdeadbeefdead'")
    page.keyboard.press("s")
    page.keyboard.press("f")
    page.clock.run_for(3000)
    assert said.inner_text().startswith(f"Searching … step {CHUNK}. The kernel does not answer")


def test_a_search_looks_into_no_chunk_without_the_value(page):
    page = page()
    page.evaluate("""async () => {
      const { accesses } = view.reel;
      globalThis.looked = 0;
      view.reel.accesses = (step) => { looked += 1; return accesses.call(view.reel, step); };
      view.search.value = "0xdeadbeefdead";
      await view.seek(1);
    }""")
    assert "is nowhere in this trace" in page.locator(".hk-status").inner_text()
    assert page.evaluate("looked") < 10


def test_who_wrote_a_system_register_is_looked_for_where_it_is_not_here(page, payload):
    page = page(start=2 * CHUNK)
    at(page, 2 * CHUNK)
    assert not len(payload.trace.sysreg_changes)
    page.get_by_role("button", name="Who wrote ESR_EL2 last").click()
    said = page.locator(".hk-status", has_text="ESR_EL2 has had this value since before the trace.")
    said.wait_for()
    assert page.evaluate("view.step") == 2 * CHUNK
