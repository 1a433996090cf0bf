"""Predictions in a browser: a guess opens the fold, stays, and stands beside what happened."""

import pytest

from hypkit import Machine, predict, stepper
from hypkit.viz import show_path


@pytest.fixture(scope="module")
def page_text():
    with Machine("fnptr", seed=2020) as machine:
        call = machine.call("__kvm_timer_set_cntvoff", 0x1234, 5)
        asked = [
            predict("01-1", "Which `level`?", ["EL1", "EL2"], answer="EL2", show="it is EL2"),
            predict("01-2", "How many?", answer=5, unit="instructions",
                    show=show_path(call, only="dispatch")),
            predict("01-3", "Which change?", ["x0", "`sp`", "pc"], answer=["`sp`", "pc"]),
            predict("01-4", "Where is the way back?", answer="in ELR_EL2"),
            predict("01-5", "What next?", answer=True, show=stepper(call)),
        ]  # fmt: skip
    outputs = "\n".join(one._repr_mimebundle_()["text/html"] for one in asked)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title></head>'
        f"<body><main><h1>Predictions</h1>{outputs}</main></body></html>"
    )


def box(page, number):
    return page.locator(".hk-predict").nth(number - 1)


def says(page, number):
    return box(page, number).locator("p[role=status]").inner_text()


def opened(page, number):
    return box(page, number).locator(":scope > details").evaluate("node => node.open")


def test_a_guess_opens_the_fold_and_stands_beside_what_happened(offline, page_text):
    page = offline(page_text)
    assert not any(opened(page, number) for number in range(1, 6))
    box(page, 1).get_by_role("button", name="EL1").click()
    assert says(page, 1) == "You predicted: EL1. It was: EL2. ✘ It went another way."
    assert opened(page, 1) and box(page, 1).get_by_text("it is EL2").is_visible()
    assert box(page, 1).get_by_role("button", name="EL1").get_attribute("aria-pressed") == "true"
    box(page, 3).get_by_label("sp").check()
    box(page, 3).get_by_label("pc").check()
    box(page, 3).get_by_role("button", name="That is my guess").click()
    assert says(page, 3) == "You predicted: sp, pc. It was: sp and pc. ✔ As you said."
    assert not opened(page, 2)


@pytest.mark.parametrize("typed", ["5", "0x5", " 0b101 ", "0X5"])
def test_a_number_may_be_written_in_any_base(offline, page_text, typed):
    page = offline(page_text)
    field = box(page, 2).get_by_role("textbox")
    field.fill(typed)
    field.press("Enter")
    assert says(page, 2).endswith("It was: 5 instructions. ✔ As you said.")


def test_what_is_no_number_is_told_and_opens_nothing(offline, page_text):
    page = offline(page_text)
    box(page, 2).get_by_role("textbox").fill("five")
    box(page, 2).get_by_role("textbox").press("Enter")
    assert says(page, 2) == 'Expected a number such as 25 or 0x19; got "five".'
    assert not opened(page, 2)


def test_a_guess_is_there_again_after_a_reload_until_one_guesses_again(offline, page_text):
    page = offline(page_text)
    box(page, 4).get_by_role("textbox").fill("on the stack")
    box(page, 4).get_by_role("button", name="That is my guess").click()
    page.reload()
    assert says(page, 4) == "You predicted: on the stack. It was: in ELR_EL2."
    assert opened(page, 4) and not opened(page, 1)
    box(page, 4).get_by_role("button", name="Guess again").click()
    assert not opened(page, 4)
    page.reload()
    assert not opened(page, 4) and box(page, 4).get_by_role("textbox").input_value() == ""


def test_it_is_done_by_keyboard_alone_and_keys_stay_inside(offline, page_text):
    page = offline(page_text)
    page.evaluate("addEventListener('keydown', (e) => { globalThis.heard = e.key; })")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert says(page, 1).startswith("You predicted: EL2.")
    box(page, 2).get_by_role("textbox").press("a")
    assert page.evaluate("globalThis.heard") != "a"
    box(page, 3).locator("summary").focus()
    page.keyboard.press("Enter")
    assert opened(page, 3) and says(page, 3) == ""


def test_a_stepper_in_the_fold_can_be_stepped(offline, page_text):
    page = offline(page_text)
    box(page, 5).get_by_role("button", name="no").click()
    view = box(page, 5).locator(".hk-view")
    view.wait_for()
    assert view.bounding_box()["width"] > 300
    box(page, 5).locator(".hk-says").click()
    page.keyboard.press("n")
    assert box(page, 5).locator(".hk-where").inner_text().startswith("step 1 ·")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(offline, page_text, axe, scheme):
    page = offline(page_text.partition('<div class="hypkit-stepper')[0], scheme=scheme)
    box(page, 1).get_by_role("button", name="EL1").click()
    page.evaluate(axe)
    found = page.evaluate("axe.run(document.querySelector('main'))")
    assert [violation["id"] for violation in found["violations"]] == []


def test_without_scripts_the_question_and_the_fold_are_there(shell, page_text, tmp_path):
    context = shell.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    path = tmp_path / "page.html"
    path.write_text(page_text, encoding="utf-8")
    page.goto(path.as_uri())
    assert box(page, 1).locator("li").all_inner_texts() == ["EL1", "EL2"]
    assert not box(page, 1).get_by_text("it is EL2").is_visible()
    box(page, 1).locator("summary").click()
    assert box(page, 1).get_by_text("it is EL2").is_visible()
    context.close()
