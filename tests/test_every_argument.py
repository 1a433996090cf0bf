"""Every public function and method, every argument: a wrong value is answered by a sentence.

A new public name without a row here fails. The machine's own table is test_wrong_arguments.py.
"""

import inspect
import re
import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType, SimpleNamespace

import pytest

import hypkit
from hypkit import asm, attack, check, cost, environment, facts, header, linux, viz
from hypkit.emu import Machine
from hypkit.errors import KitError
from hypkit.kernel.addresses import Layout
from tests.test_wrong_arguments import WRONG

MDCR = "__kvm_get_mdcr_el2"
MODULES = (hypkit, viz, check, linux, attack, header, cost, asm)
# Modules whose public names are what they define themselves.
OPEN_MODULES = (facts, environment)
NUMBERS = ("huge", "5,000 digits", "negative and huge")
TEXTS = ("text", "empty text", "surrogate")
NONE = ("None",)


@cache
def world():
    """What the rows use: one of each public object."""
    machine = Machine("numbered", seed=9)
    call = machine.call(MDCR)
    made = SimpleNamespace(machine=machine, call=call, trace=call.trace, image=machine.image)
    made.layout, made.step = machine.image.layout, call.trace[3]
    made.at = machine.address("kvm0", "hyp")
    made.stepper, made.with_machine = hypkit.stepper(call), hypkit.stepper(machine)
    made.ladder = hypkit.ladder(["fnptr"], MDCR, [])
    made.picture = hypkit.show_layout(machine)
    made.event = facts.history()[0]
    return made


# Public name -> (what to call, its arguments as they are right, what else is right of WRONG).
# An argument that any value is right for is left out of the arguments, and named in ANYTHING.
Row = tuple[Callable[..., object], dict[str, object], dict[str, tuple[str, ...]]]


@cache
def rows() -> dict[str, Row]:
    w = world()
    t, image, layout = w.trace, w.image, w.layout
    pa = 0x4020_0000
    of_machine = {"machine": w.machine}
    step = t[3]
    call = {"call": MDCR, "arguments": []}
    return {
        "assemble": (
            hypkit.assemble,
            {"text": "nop", "base": 0, "symbols": None, "constants": None, "name": "x"},
            {
                "base": NONE,
                "symbols": ("None", "dict"),
                "constants": ("None", "dict"),
                "name": TEXTS,
            },
        ),
        "link": (
            asm.link,
            {
                "units": [asm.Unit("a", "nop")],
                "symbols": None,
                "constants": None,
                "prelude": "",
                "known": None,
            },
            {
                "units": ("list", "set", "generator"),
                "symbols": ("None", "dict"),
                "constants": ("None", "dict"),
                "known": ("None", "dict"),
                "prelude": ("empty text",),
            },
        ),
        "Unit": (
            lambda name, text, base, align: asm.link([asm.Unit(name, text, base, align)]),
            {"name": "a", "text": "nop", "base": 0, "align": 8},
            {"name": TEXTS, "base": NONE, "align": ("huge",)},
        ),
        "compare": (
            hypkit.compare,
            {"a": "fnptr", "b": "numbered", **call},
            {"arguments": ("list",)},
        ),
        "ladder": (hypkit.ladder, {"keys": ["fnptr"], **call}, {"arguments": ("list",)}),
        "show_layout": (hypkit.show_layout, of_machine, {}),
        "show_table": (hypkit.show_table, of_machine, {}),
        "stepper": (
            hypkit.stepper,
            {"what": w.call, "other": None, "bookmarks": None},
            {"other": NONE, "bookmarks": ("None", "dict")},
        ),
        "stepper, a bookmark's step": (
            lambda step: hypkit.stepper(w.call, bookmarks={key(step): "x"}),
            {"step": 3},
            {},
        ),
        "stepper, a bookmark's note": (
            lambda note: hypkit.stepper(w.call, bookmarks={3: note}),
            {"note": "x"},
            {"note": TEXTS},
        ),
        "VARIANTS[]": (lambda key: hypkit.VARIANTS[key], {"key": "fnptr"}, {}),
        "Trace.__getitem__": (t.__getitem__, {"index": 3}, {}),
        "Trace[a:b]": (lambda a: t[a:], {"a": 3}, {"a": ("None", *NUMBERS)}),
        "Trace[a:b:c]": (lambda c: t[0:9:c], {"c": 1}, {"c": ("None",)}),
        "Trace.column": (t.column, {"name": "x0", "rows": None}, {"rows": ("None", "list")}),
        "Trace.diff": (t.diff, {"other": t}, {}),
        "Trace.exception_after": (t.exception_after, {"step": 3}, {}),
        "Trace.find": (t.find, {"symbol": "dispatch", "start": 0}, {"start": NUMBERS}),
        "Trace.last_write": (t.last_write, {"name": "x0", "step": 3}, {}),
        "Trace.origin": (t.origin, {"name": "x0", "step": 3, "size": 8, "beyond_hvc": False}, {}),
        "Trace.reaches": (t.reaches, {"name": "x0", "step": 3, "size": 8}, {}),
        "Trace.register": (t.register, {"name": "x0", "row": 3}, {}),
        "Trace.registers": (t.registers, {"row": 3}, {}),
        "Trace.text": (t.text, {"pc": step.pc, "step": 3}, {"pc": NUMBERS, "step": NUMBERS}),
        "Trace.word": (t.word, {"step": 3}, {}),
        "Trace.word_at": (t.word_at, {"pc": step.pc, "step": 3}, {"pc": NUMBERS, "step": NUMBERS}),
        "Instruction.text": (step.instruction.text, {"pc": None}, {"pc": ("None", *NUMBERS)}),
        "Image.host_pc": (image.host_pc, {"label": "dispatch"}, {}),
        "Image.host_va": (image.host_va, {"pa": pa}, {"pa": NUMBERS}),
        "Image.el1_may_write": (image.el1_may_write, {"pa": pa}, {"pa": NUMBERS}),
        "Image.owner": (image.owner, {"pa": pa}, {"pa": NUMBERS}),
        "Image.line": (image.line, {"address": w.at}, {"address": NUMBERS}),
        "Image.pa": (image.pa, {"symbol": "dispatch"}, {}),
        "Image.source": (image.source, {"name": "head.S"}, {}),
        "Image.symbolize": (image.symbolize, {"address": w.at}, {"address": NUMBERS}),
        "Layout": (Layout, {"kaslr_offset": 0, "random_tag": 0}, {}),
        "Layout.from_seed": (Layout.from_seed, {"seed": 3}, {"seed": ("huge", "5,000 digits")}),
        "Layout.hyp_va": (layout.hyp_va, {"pa": pa}, {"pa": NUMBERS}),
        "Layout.image_va": (layout.image_va, {"pa": pa}, {"pa": NUMBERS}),
        "Layout.linear_va": (layout.linear_va, {"pa": pa}, {"pa": NUMBERS}),
        "Layout.kern_hyp_va": (layout.kern_hyp_va, {"va": w.at}, {"va": NUMBERS}),
        "Layout.lm_alias": (layout.lm_alias, {"image_va": w.at}, {"image_va": NUMBERS}),
        "Layout.names": (layout.names, {"address": w.at}, {}),
        "Layout.pa": (layout.pa, {"va": w.at}, {"va": NUMBERS}),
        "Layout.space": (layout.space, {"va": w.at}, {"va": NUMBERS}),
        "Call.timing": (
            w.call.timing,
            {"core": "cortex-a72", "parts": ["dispatch"]},
            {"parts": ("list", "dict", "set", "generator")},
        ),
        "timing": (
            cost.timing,
            {"trace": t, "core": "cortex-a72", "parts": ["dispatch"]},
            {"parts": ("list", "dict", "set", "generator")},
        ),
        "simulate": (
            cost.simulate,
            {"words": [t.word(3)], "core": "cortex-a72", "texts": None},
            {"words": ("list",), "texts": NONE},
        ),
        "count": (cost.count, {"trace": t}, {}),
        "counted": (cost.counted, {"trace": t}, {}),
        "counts_as": (cost.counts_as, {"instruction": step.instruction}, {}),
        "phase_numbers": (cost.phase_numbers, {"trace": t}, {}),
        "phases": (cost.phases, {"trace": t}, {}),
        "Cost.phases[]": (lambda name: w.call.cost.phases[name], {"name": "dispatch"}, {}),
        "Picture.to_svg": (w.picture.to_svg, {"theme": "light"}, {}),
        "Stepper.assemble": (w.with_machine.assemble, {"text": ""}, {"text": TEXTS}),
        "Stepper.renumber": (w.with_machine.renumber, {"text": ""}, {"text": TEXTS}),
        "Stepper.run_beside": (w.with_machine.run_beside, {"args": "1"}, {"args": TEXTS}),
        "Stepper.what_if": (
            w.with_machine.what_if,
            {"changes": {"x1": 7}, "at": None},
            {"at": NONE},
        ),
        "Stepper.to_html": (w.stepper.to_html, {"path": None}, {"path": ("None", "text")}),
        "figure": (viz.figure, {"fig": figure(), "alt": "a line"}, {}),
        "show_doors": (viz.show_doors, {"outcomes": {MDCR: "returned"}}, {}),
        "show_edges": (viz.show_edges, {"found": {"numbered": {0: "stub"}}}, {}),
        "show_indices": (viz.show_indices, {"machine": w.machine, "address": w.at}, {}),
        "show_kernels": (
            viz.show_kernels,
            {"ladder": w.ladder.ladder, "kernels": {}},
            {"kernels": ("dict",)},
        ),
        "show_ladder": (viz.show_ladder, {"steps": w.ladder.ladder}, {}),
        "show_levels": (viz.show_levels, of_machine, {}),
        "show_list": (viz.show_list, {"header": header.ENUM}, {}),
        "show_mask_and_tag": (viz.show_mask_and_tag, {"machine": w.machine, "symbol": "kvm0"}, {}),
        "show_names": (viz.show_names, {"machine": w.machine, "symbol": "kvm0"}, {}),
        "show_path": (
            viz.show_path,
            {"call": w.call, "only": None, "steps": None},
            {"only": ("None", "list", "set"), "steps": NONE},
        ),
        "show_phases": (viz.show_phases, {"calls": w.call}, {}),
        "show_pool": (viz.show_pool, of_machine, {}),
        "show_road": (viz.show_road, {"calls": w.call}, {}),
        "show_scores": (
            lambda yours, known: viz.show_scores(*yours, known=known),
            {"yours": [], "known": ["fnptr"]},
            {"yours": None},
        ),
        "show_scores, a score": (lambda score: viz.show_scores(score), {"score": None}, {}),
        "show_source": (
            viz.show_source,
            {"source": "nop", "language": "asm", "title": "", "start": 1, "marked": ()},
            {"source": TEXTS, "title": TEXTS, "start": NUMBERS, "marked": ("list", "set")},
        ),
        "show_timeline": (viz.show_timeline, {"events": None}, {"events": NONE}),
        "show_writers": (viz.show_writers, of_machine, {}),
        "sources_table": (viz.sources_table, {"events": None}, {"events": ("None", "list")}),
        "check": (check.check, {"number": "00.1"}, {}),
        "predict": (
            check.predict,
            {
                "id": "01-2",
                "question": "How many?",
                "options": (),
                "answer": None,
                "show": (),
                "unit": "",
                "base": 10,
            },
            {
                "question": ("text", "surrogate"),
                "options": ("list", "dict", "set", "generator"),
                "answer": (*NONE, *TEXTS, *NUMBERS),
                "show": None,
                "unit": TEXTS,
            },
        ),
        "show_rows": (
            viz.show_rows,
            {"heads": ["a"], "rows": [[1]], "title": ""},
            {"rows": ("list", "generator", "set", "dict"), "title": TEXTS},
        ),
        "show_timing": (
            viz.show_timing,
            {"timing": w.call.timing("cortex-a72"), "rows": None, "title": ""},
            {"rows": NONE, "title": TEXTS},
        ),
        "reference": (viz.reference, {"name": "macros"}, {}),
        "workbench": (
            check.workbench,
            {"number": "11.2", "text": None},
            {"text": ("None", "dict", *TEXTS)},  # judged when it is run
        ),
        "hint": (check.hint, {"number": "00.1"}, {}),
        "solution": (check.solution, {"number": "00.1"}, {}),
        "linux.machine": (linux.machine, {"kernel": "none", "protected": False}, {}),
        "LinuxMachine": (linux.LinuxMachine, {"snapshot": None, "budget": 1000}, {}),
        "fetch": (
            linux.fetch,
            {"kernel": "none", "file": "none", "protected": False, "again": False},
            {},
        ),
        "fuzz": (
            attack.fuzz,
            {
                "target": "fnptr",
                "calls": 10,
                "seed": 0,
                "dispatcher": None,
                "header": None,
                "x0": True,
                "arguments": True,
                "progress": False,
            },
            {"dispatcher": NONE, "header": NONE},
        ),
        "matrix": (
            attack.matrix,
            {"variants": ["fnptr"], "calls": 1, "seed": 0, "progress": False},
            {"variants": None},
        ),
        "preprocess": (
            header.preprocess,
            {"text": "x", "header": header.ENUM},
            {"text": ("text", "empty text"), "header": ("text",)},
        ),
        "read_header": (header.read_header, {"header": header.ENUM}, {}),
        "hypercall": (facts.hypercall, {"which": 3}, {}),
        "function": (facts.function, {"name": MDCR}, {}),
        "core": (facts.core, {"key": "cortex-a72"}, {}),
        "cores()[]": (lambda key: facts.cores()[key], {"key": "cortex-a72"}, {}),
    }


def key(value: object) -> object:
    """The value, if a dict can have it as a key; Python itself refuses what cannot be one."""
    try:
        hash(value)
    except TypeError:
        return 1.5
    return value


def figure():
    import matplotlib.pyplot as plt

    fig = plt.figure()
    plt.close(fig)
    return fig


# Arguments that take whatever there is, or are not a learner's to give.
ANYTHING = {
    "check": {"answer"},  # tests/test_check.py
    "fetch": {"say"},
    "Instruction.text": {"name"},
    "show_scores": {"yours"},
}
# For the makers of the kit: what they give is not checked.
INTERNAL = {
    "record": "as link, for tests/record_encodings.py",
    "recording": "for tests/record_encodings.py",
    "write_encodings": "for tests/record_encodings.py",
    "data_path": "of a file that the kit brings along; FileNotFoundError names it",
    "published": "only a flag",
    "history": "only a flag",
    "Table.handler": "what a table is read by",
    "Table.text": "what a table is written by",
    "Forward.saved": "what the pipeline model asks of a core",
    "Named.__getitem__": "the rows with [] in their names",
    "MemoryOperand.address": "what the trace asks of an instruction",
}


@pytest.mark.parametrize("name", list(rows()))
def test_a_wrong_argument_is_answered_by_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a page may be written to "zzz"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    function, arguments, right = rows()[name]
    for argument in arguments:
        good = right.get(argument, ())
        for kind, value in WRONG.items() if good is not None else ():
            about = f"{name}({argument}={kind})"
            try:
                function(**{**arguments, argument: value})
            except KitError as error:
                text = str(error)
                assert kind not in good, f"{about} is right, and got {text}"
                assert is_a_sentence(text), f"{about}: {text}"
            except Exception as error:
                pytest.fail(f"{about}: {type(error).__name__}: {str(error)[:200]}")
            else:
                assert kind in good, f"{about} is taken without a word"


def is_a_sentence(text: str) -> bool:
    """Whether a message says what was expected, or what there is, in a few words."""
    says = re.search(r"expected|no \w|there (is|are)|unknown|is empty|hold .* only", text)
    says = says or re.search(r"(row|step) .* of a trace of|in none of|give ", text)
    return bool(says) and len(text) < 700 and " object at 0x" not in text


# --- Nothing public is left out ------------------------------------------------------------------


def public_functions() -> dict[str, Callable[..., object]]:
    found: dict[str, Callable[..., object]] = {}
    for module in (*MODULES, *OPEN_MODULES):
        for name in getattr(module, "__all__", None) or own_names(module):
            value = getattr(module, name)
            if inspect.isroutine(value):
                found["linux.machine" if value is linux.machine else name] = value
    return found


def own_names(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    ]


def public_types() -> dict[type, object]:
    """The types of the kit that a learner comes to by attributes and items, with one of each."""
    w = world()
    start = [
        w.machine, w.call, w.stepper, w.with_machine, w.ladder, w.picture,
        w.trace.origin("x0", 30), w.trace.reaches("x0", 3), w.call.timing("cortex-a72"),
        w.machine.translate(w.at), w.machine.snapshot(), viz.show_path(w.call),
        viz.show_source("nop"), check.check("00.1"), check.progress(), check.hint("00.1"),
        check.solution("00.1"), attack.fuzz("fnptr", 100), hypkit.assemble("nop"),
        header.read_header(header.ENUM), environment.Environment(()), w.event,
        facts.hypercall(0), facts.core("cortex-a72"),
    ]  # fmt: skip
    found: dict[type, object] = {}
    for value in start:
        visit(value, found)
    return found


def visit(value: object, found: dict[type, object], depth: int = 0) -> None:
    kind = type(value)
    if isinstance(value, list | tuple) and value:
        visit(value[0], found, depth)
    elif isinstance(value, dict) and value:
        visit(next(iter(value.values())), found, depth)
    if not kind.__module__.startswith("hypkit") or kind in found or depth > 5:
        return
    found[kind] = value
    for name in dir(value):
        if name.startswith("_") or name in ("widgets", "widget_types"):
            continue
        part = getattr(value, name, None)
        if not callable(part):
            visit(part, found, depth + 1)
    if any("__iter__" in vars(base) for base in kind.__mro__) and hasattr(kind, "__len__"):
        for item in value:  # type: ignore[attr-defined]
            visit(item, found, depth + 1)
            break


def public_methods() -> dict[str, Callable[..., object]]:
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated names of ipywidgets
        for kind in public_types():
            for name in dir(kind):
                method = getattr(kind, name)
                own = (getattr(method, "__module__", "") or "").startswith("hypkit")
                if kind is Machine or not own or not callable(method):
                    continue
                if name.startswith("_") and name != "__getitem__":
                    continue
                if len(inspect.signature(method).parameters) > (not inspect.ismethod(method)):
                    found[f"{kind.__name__}.{name}"] = method
    return found


def test_every_public_function_and_method_has_a_row_with_all_its_arguments():
    missing = []
    for name, function in {**public_functions(), **public_methods()}.items():
        wanted = set(inspect.signature(function).parameters) - {"self"}
        if not wanted or name in INTERNAL:
            continue
        row = rows().get(name)
        had = (set(row[1]) if row else set()) | ANYTHING.get(name, set())
        missing += [f"{name}({argument})" for argument in sorted(wanted - had)]
    assert missing == []


def test_the_walk_comes_to_what_a_learner_comes_to():
    names = {kind.__name__ for kind in public_types()}
    assert {
        "Trace",
        "Step",
        "Image",
        "Layout",
        "Cost",
        "Timing",
        "Origin",
        "Walk",
        "Stepper",
    } <= names
    assert {"Picture", "Report", "Comparison", "Header", "Progress"} <= names
    assert {"Trace.find", "Layout.pa", "Image.symbolize", "Stepper.to_html"} <= set(
        public_methods()
    )
    assert {"compare", "fuzz", "check", "fetch", "count", "core"} <= set(public_functions())
