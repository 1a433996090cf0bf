"""The workbench without a page: texts, verdicts, counts, the failing call, and what a file keeps."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hypkit import workbench
from hypkit.check import exercises
from hypkit.header import ENUM
from hypkit.lessons.dispatcher_judge import prove
from hypkit.lessons.exercises import lesson07, lesson09, lesson11, lesson13
from hypkit.lessons.material import assembled
from hypkit.lessons.workbench import measure as measuring
from hypkit.lessons.workbench import view
from hypkit.lessons.workbench.benches import BENCHES
from hypkit.lessons.workbench.model import step_of
from hypkit.lessons.workbench.static import plain, static

NUMBERS, LIST = "kvm_hcalls.h", "kvm_hcall_list.h"
MENDED = (
    lesson13.SOFT.replace("        cmp     x0, #0x2f               // to look into a running EL2\n"
                          "        b.eq    8f\n", "")
    .replace("8:      mov     x0, x1\n        b       dispatch_call\n\n", "")
    .replace("cmp     w0", "cmp     x0").replace("b.lt", "b.lo").replace("b.le", "b.lo")
)  # fmt: skip
GUARDED = ENUM[NUMBERS] + (
    '_Static_assert(KVM_HOST_HCALL_NR(__kvm_vcpu_run_nvhe) == 0x105, "moved");\n'
)


def solutions():
    """A right answer for each bench, from the solutions that the lessons show."""
    from hypkit.check import solution

    found = {
        "07.3": lesson07.RELATIVE, "07.4": lesson07.DISTANCES, "09.4": lesson09.FIXED,
        "11.2": lesson11.SHORT, "11.3": lesson11.SMALL, "13.3": MENDED, "06.3": GUARDED,
    }  # fmt: skip
    for number in sorted(set(BENCHES) - set(found)):
        texts = re.findall(r"```python\n(.*?)```", solution(number).text, re.DOTALL)
        space: dict = {}
        for text in texts:
            exec(re.sub(r"(?m)^check\(.*$", "", text), space)  # noqa: S102
            for name in ("answer", "mine"):
                if name in space:
                    found[number] = space[name]
    return found


@pytest.fixture(scope="module")
def right():
    return solutions()


@pytest.mark.parametrize("number", BENCHES)
def test_the_text_to_start_from_is_wrong_and_a_solution_is_right(number, right):
    bench = workbench(number)
    assert bench.verdict is None
    assert not bench.run().passed
    assert bench.run(right[number]).passed
    assert bench.verdict.passed
    assert bench.text == right[number] or number.startswith("06")
    assert bench.measured.mistake is None


def test_every_exercise_that_asks_for_a_text_has_a_bench():
    assert set(BENCHES) <= set(exercises())
    assert {n[:2] for n in BENCHES} == {"04", "06", "07", "08", "09", "11", "13"}


def test_the_counts_are_those_that_the_judge_counts():
    for text in (lesson11.SHORT, lesson11.SMALL, lesson11.PLAIN):
        bench, score = workbench("11.2", text), prove(text)
        rows = {name: (value, most) for name, value, most in bench.rows()}
        assert rows["instructions"] == (score.instructions, 24)
        assert rows["loads"] == (score.loads, 2)
        assert rows["bytes"] == (score.bytes, None)
        assert {core: rows[core][0] for core in measuring.CORES} == score.cycles
        assert bench.measured.working == bench.measured.asked == 15  # two runs of the VM
        # Counted by hand, in SHORT: b, b.ne, cbnz of the entry; b.hs, blr, the table's b; the eret.
    rows = {name: value for name, value, _ in workbench("11.2", lesson11.SHORT).rows()}
    assert rows["branches"] == 7


def test_the_budget_of_a_dispatch_is_counted_as_the_lesson_counts_it():
    rows = {name: (value, most) for name, value, most in workbench("07.3").rows()}
    assert rows["instructions"] == (25, 20) and rows["loads"] == (4, 3)


def test_a_mistake_has_a_line_a_column_and_no_counts():
    bench = workbench(
        "11.2", "dispatch:\n        divert_stub_calls\n        cmp     x0, #0x12345\n"
    )
    mistake = bench.measured.mistake
    assert (mistake.line, mistake.column) == (3, 21)
    assert bench.rows() == [] and bench.shown is None
    assert repr(bench).startswith("Workbench(11.2: Line 3: ")
    with pytest.raises(ValueError, match="there is no call to step: Line 3: "):
        bench.step()
    with pytest.raises(ValueError, match="no call was made"):
        bench.pipeline()


def test_a_header_says_its_numbers_or_its_wrong_line():
    bench = workbench("06.4")
    assert bench.measured.numbers["__kvm_enable_ssbs"] == 0x100
    bench.text = {NUMBERS: ENUM[NUMBERS] + "int x = ;\n"}
    assert bench.measured.mistake.file == NUMBERS
    assert bench.measured.mistake.line == ENUM[NUMBERS].count("\n") + 1
    assert bench.text[LIST] == ENUM[LIST]


def test_the_failing_call_is_the_one_of_the_sentence_at_its_step():
    bench = workbench("11.2", lesson11.SHORT.replace("mov     x2, x3", "mov     x2, x4"))
    bench.run()
    call, step = bench.failing
    assert f"step {step}" in bench.verdict.sentence and step < len(call.trace)
    view_ = bench.step()
    assert view_.step == step and call.what in repr(view_)
    view_.close()
    bench.run(lesson11.CHEATS["one signed test"])
    assert int(bench.failing[0].what.split()[1], 16) >> 63  # a negative number


def test_what_is_wrong_without_a_call_has_no_failing_call():
    bench = workbench("11.2", lesson11.PLAIN)
    assert "at most 24 instructions" in bench.run().sentence
    assert bench.failing is None and bench.shown is not None
    unguarded = lesson11.SHORT.replace("speculation_barrier", "nop", 1)
    assert "speculation barrier" in bench.run(unguarded).sentence
    assert bench.failing is None


def test_a_finding_of_the_fuzzer_is_the_failing_call():
    soft = MENDED.replace("cmp     x0, #KVM_HOST_HCALL_BASE", "cmp     w0, #KVM_HOST_HCALL_BASE")
    soft = soft.replace("cmp     x0, #KVM_HOST_HCALL_END", "cmp     w0, #KVM_HOST_HCALL_END")
    bench = workbench("13.3", soft)
    assert not bench.run().passed
    assert bench.failing is not None


def test_a_step_is_found_in_a_sentence_or_in_the_trace():
    call = workbench("11.2", lesson11.SHORT).measured.call
    assert step_of("got 0x1 at step 7: no", call) == 7
    assert step_of("the dispatcher's last step was 9, blr", call) == 9
    first = call.trace.els.tolist().index(2)
    assert step_of("after step 99999 nothing", call) == first == step_of("", call)


def test_another_text_takes_the_verdict_away_and_tells_who_listens():
    bench, heard = workbench("11.3"), []
    bench.changed(lambda: heard.append(bench.verdict))
    bench.run(lesson11.SMALL)
    bench.text = lesson11.SMALL  # the same: nothing changes
    assert heard[-1].passed and bench.verdict.passed
    bench.text = lesson11.SMALL + "// a remark\n"
    assert bench.verdict is None and heard[-1] is None
    bench.reset()
    assert bench.text == assembled("ABCDEFGHIJK")


@pytest.mark.parametrize("text", [3, None, ["mov x0, x1"], b"nop"])
def test_what_is_no_text_is_refused_by_name(text):
    bench = workbench("11.2")
    with pytest.raises(TypeError, match="expected the text of dispatcher.S; got"):
        bench.text = text


def test_wrong_files_numbers_and_exercises_are_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no file 'kvm_hcall.h' on this bench; did you mean"):
        workbench("06.4", {"kvm_hcall.h": ""})
    with pytest.raises(TypeError, match="expected a text for kvm_hcalls.h"):
        workbench("06.4", {NUMBERS: 5})
    with pytest.raises(KeyError, match=r"11.1 is answered without a workbench: use check\('11.1'"):
        workbench("11.1")
    with pytest.raises(KeyError, match="no exercise"):
        workbench("99.9")
    with pytest.raises(ValueError, match="no core 'cortex-a5'"):
        workbench("11.2", lesson11.SHORT).pipeline("cortex-a5")


@pytest.mark.parametrize("text", ["", " \n", "// nothing\n", "dispatch: b .\n", "dispatch: eret\n", "\x00", "é:\n",
                                  ".quad 1\n", "dispatch: ret\n", "dispatch: .inst 0\n"])  # fmt: skip
def test_no_text_makes_the_bench_fail(text):
    bench = workbench("11.2", text)
    verdict = bench.run()
    assert not verdict.passed and verdict.sentence
    assert plain(bench) and static(bench) and view.state_of(bench, "")


def test_the_pipeline_is_the_models_and_its_table_names_who_is_waited_for():
    bench = workbench("11.2", lesson11.SHORT)
    for core in measuring.CORES:
        picture = bench.pipeline(core)
        assert f"{prove(lesson11.SHORT).cycles[core]} cycles" in picture.title
        assert len(picture.rows) == 23
    rows = {row[0]: row for row in bench.pipeline().rows}
    assert rows["sub x9, x9, #0x100"][3] == "x9, of ldp x9, x0, [sp]"
    assert rows["sub x9, x9, #0x100"][4] == "yes"
    assert rows["eret"][1] == "no price"


def test_the_histogram_has_every_known_dispatcher_and_yours():
    alt = workbench("11.2", lesson11.SHORT).histogram().alt
    assert "instructions at EL2 around the handler: yours 23, " in alt
    assert all(f" {key} " in alt for key in ("fnptr", "jump_table", "smccc"))
    with pytest.raises(ValueError, match="not every call works yet"):
        workbench("11.2").histogram()


def test_what_a_saved_notebook_keeps_is_the_last_text_the_verdict_and_pictures_without_scripts():
    bench = workbench("11.2")
    assert "Not run yet." in static(bench)
    bench.run(lesson11.SHORT)
    page = static(bench)
    assert "11.2: right." in page and "divert_stub_calls" in page and "at most 24" in page
    assert page.count("<img") == 3 and "<script" not in page and len(page) < 120_000
    bench.text = "dispatch:\n        banana\n"
    assert "Line 2: unknown instruction" in static(bench) and 'class="m"' in static(bench)
    assert static(workbench("11.2")) == static(workbench("11.2"))  # equal benches, equal outputs


def test_a_view_tells_the_bench_and_the_bench_the_view():
    bench = workbench("11.3")
    one = view.View(bench)
    sent = []
    one.send = lambda content, buffers=None: sent.append((content, buffers))
    files = {"dispatcher.S": lesson11.SMALL}
    one._heard(one, {"type": "edit", "files": files, "by": "page"}, [])
    assert bench.text == lesson11.SMALL and one.state["by"] == "page"
    one._heard(one, {"type": "run", "files": files, "by": "page"}, [])
    assert one.state["verdict"]["passed"]
    one._heard(one, {"type": "step"}, [])
    assert [content["type"] for content, _ in sent] == ["done", "done", "trace", "done"]
    assert 0 < sent[2][0]["step"] < 60
    one._heard(one, {"type": "editor"}, [])
    assert b"cm-content" in sent[-1][1][0]
    one._heard(one, {"type": "edit", "files": {"x": "y"}}, [])
    assert "no file 'x' on this bench" in sent[-1][0]["error"]
    bench.text = lesson11.SHORT
    assert one.state["by"] == "" and one.state["files"] == {"dispatcher.S": lesson11.SHORT}
    one.close()


def test_a_cell_that_is_run_again_has_the_text_that_was_typed_but_not_over_another(monkeypatch):
    monkeypatch.setattr(view, "_typed", {})
    monkeypatch.setattr(view, "display", lambda *data, **options: None)
    one = view.View(workbench("11.2"))
    one._heard(one, {"type": "edit", "files": {"dispatcher.S": lesson11.SHORT}, "by": "p"}, [])
    again, other, given = workbench("11.2"), workbench("11.3"), workbench("11.2", lesson11.SMALL)
    for bench in (again, other, given):
        view.show(bench)
    assert again.text == lesson11.SHORT
    assert other.text == assembled("ABCDEFGHIJK") and given.text == lesson11.SMALL


def test_the_editor_is_in_nothing_that_a_notebook_keeps():
    bench = workbench("11.2", lesson11.SHORT)
    one = view.View(bench)
    assert "cm-content" not in one._static() + view.PLACE + view.script()
    one.close()


def test_the_front_end_joins_and_its_words_are_right(tmp_path):
    node = shutil.which("node")
    if not node:
        pytest.skip("node is missing: the workbench's front end is not tested")
    path = tmp_path / "workbench.mjs"
    path.write_text(view.script(), encoding="utf-8")
    done = subprocess.run([node, "--check", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^export .*", view.script(), re.MULTILINE) == [
        "export default { initialize, render };"
    ]
    test = Path(__file__).with_name("front") / "workbench.test.mjs"
    done = subprocess.run([node, "--test", str(test)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-3000:]
