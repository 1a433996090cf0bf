"""The front end without a browser: one joined script, and the same answers as Python gives."""

import base64
import json
import os
import random
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest

from hypkit import Machine
from hypkit.explain.templates import compared, plain
from hypkit.kernel.memory_map import NAMED
from hypkit.timetravel import front_end, whatif
from hypkit.timetravel.payload import Payload
from hypkit.trace.dataflow import Dataflow
from tests import address_cases
from tests.judges import required

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(front_end.FRONT.rglob("*.js"))


@pytest.fixture(scope="module")
def node():
    """Node, without which JavaScript is not tested here."""
    found = shutil.which("node")
    if not found:
        pytest.skip("node is missing: the front end's own tests do not run")
    return found


def run(*command, **environment):
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=ROOT, env=os.environ | environment
    )


def test_the_modules_join_to_one_script_that_is_read_without_complaint(node, tmp_path):
    path = tmp_path / "stepper.mjs"
    path.write_text(front_end.script(), encoding="utf-8")
    done = run(node, "--check", str(path))
    assert done.returncode == 0, done.stderr
    assert "import " not in re.sub(r"//.*|\*.*|import\(", "", front_end.script())
    assert re.findall(r"^export .*", front_end.script(), re.MULTILINE) == [
        "export function openOutput(el, style, data) {",
        "export async function openFile(el, packed) {",
        "export default { initialize, render };",
    ]


def test_what_an_output_holds_is_the_same_script_without_its_comments(node, tmp_path):
    pack = json.loads(zlib.decompress(base64.b64decode(front_end.packed({}))))
    path = tmp_path / "plain.mjs"
    path.write_text(pack["script"], encoding="utf-8")
    assert run(node, "--check", str(path)).returncode == 0
    for form in (r"^ *(?:export )?(?:async )?(?:function|class) \w+", r"^ *const \w+"):
        of = {
            text: [found.lstrip() for found in re.findall(form, text, re.MULTILINE)]
            for text in (pack["script"], front_end.script())
        }
        assert of[pack["script"]] == of[front_end.script()]
    assert len(pack["script"]) < 0.85 * len(front_end.script())
    # Indentation may go because no template goes over lines.
    assert all(line.count("`") % 2 == 0 for line in pack["script"].splitlines())


def test_a_name_that_two_modules_have_is_found(node, tmp_path):
    path = tmp_path / "twice.mjs"
    path.write_text(front_end.script() + "const MASK64 = 1n;\n", encoding="utf-8")
    assert "has already been declared" in run(node, "--check", str(path)).stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_says_what_it_is_for_and_imports_by_name(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 420
    assert text.startswith("// ")
    for line in re.findall(r"^(?:import|export) .*", text, re.MULTILINE):
        assert not re.search(r"\* from|export \{|\bas\b", line), line
        if line.startswith("import"):
            assert re.fullmatch(r'import \{.*\} from "\.\.?/[\w./]+\.js";', line), line
    joined = front_end.script()
    own = re.findall(r"^export (?:async )?(?:function|class|const) (\w+)", text, re.MULTILINE)
    assert all(re.search(rf"\b{name}\b", joined) for name in own)


def test_the_letter_of_a_panel_opens_it_and_nothing_else():
    panels = [path.read_text(encoding="utf-8") for path in MODULES if path.parent.name == "panels"]
    letters = [letter for text in panels for letter in re.findall(r'\bletter: "(.)"', text)]
    keys = (front_end.FRONT / "keys.js").read_text(encoding="utf-8")
    taken = re.findall(r'(?<![\w"])"?([^\s"\w]|[A-Za-z])"?: \(\) =>', keys)
    assert {"n", "E", "x", "/", "?"} <= set(taken) and len(letters) >= 6
    assert len(set(letters)) == len(letters)
    assert not set(letters) & set(taken)


def test_every_module_is_part_of_the_script_and_every_style_sheet_of_the_style():
    for path in MODULES:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert front_end.script().count(f"{first}\n") == 1, path.name
    names = {path.stem for path in (front_end.FRONT / "css").glob("*.css")}
    assert names == set(front_end.STYLES)


def _case(trace):
    payload = Payload(trace, "a title", "The end.")
    return {
        "meta": payload.meta(),
        "chunks": [base64.b64encode(payload.chunk(n)).decode() for n in range(payload.chunks)],
        "sentences": [payload.sentence(step) for step in range(len(trace))],
        "levels": [payload.level(step) for step in range(len(trace) + 1)],
        "origins": [_asked(trace, name, step) for name, step in _questions(trace)],
    }


def _questions(trace):
    """What is asked of a trace: every register that is named, at some steps of it and at its end."""
    for step in sorted({*range(0, len(trace), 7), len(trace)}):
        for name in ("x0", "x1", "x9", "x10", "x19", "x30", "sp"):
            yield name, step


def _asked(trace, name, step):
    """A question and trace.origin's answer; what it reaches is asked from where it was written."""
    origin, flow = trace.origin(name, step), Dataflow(trace)
    place = flow.stack(step) if name == "sp" else name
    writer = flow.writer(place, step)
    row = 0 if writer is None else writer + 1
    if name == "sp":  # which SP is meant depends on the level
        row = next(at for at in range(row, step + 1) if flow.stack(at) == place)
    reach = trace.reaches(name, row)
    return {
        "name": name,
        "step": step,
        "value": hex(origin.value),
        "steps": list(origin.steps),
        "sources": [
            [s.kind, s.name, None if s.value is None else hex(s.value), s.owner, s.role, s.step]
            for s in origin.sources
        ],
        "notes": list(origin.notes),
        "reached": list(reach.steps),
        "ends": [[end.kind, end.name, end.step] for end in reach.ends],
    }


def _searches(trace):
    """Texts that a reader may type, and the steps that answer, found with Trace's own methods."""

    def where(test):
        return [step.index for step in trace if test(step)]

    def becomes(step, value):
        return "x0" in step.changed and step.changed["x0"][1] == value != step.changed["x0"][0]

    pcs = sorted({step.pc for step in trace if step.el == 2})
    return {
        "x0": where(lambda step: "x0" in step.changed),
        "x0 == 0x102": where(lambda step: becomes(step, 0x102)),
        "X0 == 258": where(lambda step: becomes(step, 0x102)),
        "write x30": where(lambda step: "x30" in step.changed),
        "write ESR_EL2": where(lambda step: step.text == "hvc #0"),
        f"{pcs[0]:#x}-{pcs[3]:#x}": where(lambda step: pcs[0] <= step.pc <= pcs[3]),
    }


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A file of questions with Python's answers, which the modules are asked as well."""
    machine = Machine("numbered", seed=2020)
    image, layout = machine.image, machine.layout
    call = machine.call("__kvm_timer_set_cntvoff", 0x1234).trace
    traces = {
        "call": call,
        "boot": machine.boot_trace,
        "vm": machine.call("__kvm_vcpu_run_nvhe", "vcpu0").trace,
        "vm fault": machine.call("__kvm_vcpu_run_nvhe", "vcpu1").trace,
        "unknown": machine.hvc(1 << 63).trace,
        "panic": machine.call("__kvm_tlb_flush_vmid", 0x1234).trace,
        "vhe": Machine("vhe", seed=1).call("__kvm_vcpu_run_nvhe", "vcpu0").trace,
        "edited": whatif.again(
            Machine("numbered", seed=2020).call("__kvm_timer_set_cntvoff", 0x1234),
            {"x1": 0x55, "x9": 7, "vcpu0": 0x1234},
            40,
        ).after.trace,
    }
    drawn = random.Random(2020)
    # Around the borders of all that has a name, in every space, and anywhere.
    physical = {edge + by for span in NAMED for edge in span for by in (-8, -1, 0, 1, 0x1000)} | {
        drawn.randrange(1 << 30, 1 << 31) for _ in range(100)
    }
    addresses = {drawn.randrange(1 << 64) for _ in range(50)} | physical
    for pa in physical:
        addresses |= {layout.image_va(pa), layout.linear_va(pa), layout.hyp_va(pa)}
    words = [drawn.choice((drawn.randrange(20), drawn.randrange(1 << 64))) for _ in range(200)]
    found = {
        "traces": {name: _case(trace) for name, trace in traces.items()},
        "addresses": [
            {
                "address": hex(address),
                "space": layout.space(address),
                "pa": layout.pa(address),
                "name": image.symbolize(address),
            }
            for address in sorted(address % (1 << 64) for address in addresses)
            if not 0x8000_0000 <= address < 0x8000_1000
        ],
        "words": [
            {"one": hex(a), "other": hex(b), "compared": compared(a, b), "plain": plain(a)}
            for a, b in zip(words, words[1:] + words[-1:], strict=True)
        ],
        "searches": _searches(call),
    }
    path = tmp_path_factory.mktemp("cases") / "cases.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def shared_cases(tmp_path_factory):
    """The table of cases that tests/address_cases.py keeps for Python and JavaScript."""
    path = tmp_path_factory.mktemp("shared") / "cases.json"
    path.write_text(json.dumps(address_cases.cases()), encoding="utf-8")
    return path


def test_the_modules_give_pythons_answers(node, cases, shared_cases):
    tests = sorted(str(path) for path in Path(__file__).parent.glob("front/front*.test.mjs"))
    done = run(node, "--test", *tests, HYPKIT_CASES=str(cases), HYPKIT_SHARED=str(shared_cases))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"^# pass ([1-9]\d*)$", done.stdout, re.MULTILINE), done.stdout[-500:]


def test_the_hook_of_an_output_opens_what_was_packed():
    text = zlib.decompress(base64.b64decode(front_end.packed({"a": "ü"})))
    assert json.loads(text)["data"] == {"a": "ü"}


TYPESCRIPT = "typescript@5.6.3"


@pytest.fixture(scope="module")
def tsc(node, tmp_path_factory):
    """TypeScript's compiler, from the npm registry."""
    folder, npm = tmp_path_factory.mktemp("typescript"), shutil.which("npm")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    if npm:
        run(npm, "install", "--prefix", str(folder), *options, TYPESCRIPT)
    path = folder / "node_modules" / "typescript" / "bin" / "tsc"
    if not path.exists():
        message = f"{TYPESCRIPT} could not be installed: the front end's types are not checked"
        if "browser" in required():
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return path


def test_the_types_of_the_modules_agree(node, tsc):
    done = run(node, str(tsc), "--project", "tests/timetravel/front/tsconfig.json")
    assert done.returncode == 0, done.stdout


ESLINT = ("eslint@9.17.0", "@eslint/js@9.17.0")


@pytest.fixture(scope="module")
def eslint(node, tmp_path_factory):
    """A folder with ESLint, from the npm registry, its rules and the front end."""
    folder, npm = tmp_path_factory.mktemp("eslint"), shutil.which("npm")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--silent")
    if npm:
        run(npm, "install", "--prefix", str(folder), *options, *ESLINT)
    if not (folder / "node_modules" / "eslint" / "bin" / "eslint.js").exists():
        message = "ESLint could not be installed: the front end is not linted"
        if "browser" in required():
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    shutil.copy(ROOT / "tests" / "timetravel" / "front" / "eslint.config.mjs", folder)
    shutil.copytree(front_end.FRONT, folder / "front")
    shutil.copytree(ROOT / "hypkit" / "lessons" / "workbench" / "front", folder / "front" / "bench")
    for path in (ROOT / "hypkit" / "timetravel" / "editor").glob("*.js"):
        if path.name != "bundle.js":
            (folder / "front" / "editing").mkdir(exist_ok=True)
            shutil.copy(path, folder / "front" / "editing")
    return folder


def test_the_linter_finds_nothing_but_what_is_wrong(node, eslint):
    (eslint / "wrong.js").write_text("var one = 1;\nif (one == 2) one = 3;\n", encoding="utf-8")
    command = (node, "node_modules/eslint/bin/eslint.js", "--format", "json", "front", "wrong.js")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=eslint)
    found = {Path(file["filePath"]): file["messages"] for file in json.loads(done.stdout)}
    assert "eqeqeq" in {message["ruleId"] for message in found.pop(eslint / "wrong.js")}
    assert len(found) >= len(MODULES)
    assert {path.name: messages for path, messages in found.items() if messages} == {}


def test_a_wrong_type_would_be_found(node, tsc, tmp_path):
    wrong = tmp_path / "wrong.js"
    format_js = (front_end.FRONT / "format.js").as_posix()
    wrong.write_text(f'import {{ hex }} from "{format_js}";\nhex(1n).flags();\n', encoding="utf-8")
    options = ("--allowJs", "--checkJs", "--noEmit", "--target", "ES2023", "--module", "ES2022")
    done = run(node, str(tsc), *options, "--moduleResolution", "bundler", str(wrong))
    assert "Property 'flags' does not exist" in done.stdout
