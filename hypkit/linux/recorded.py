"""What was counted on real kernels and may be shipped: data/linux.toml, and how to count it anew.

Counts, names of functions and the order in which they run are facts. The code itself stays in the
user's cache.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hypkit.cost import Counts
from hypkit.errors import UnknownName
from hypkit.facts import data_path
from hypkit.kernel.variants import SMCCC_BASE
from hypkit.linux.image import HCALL_TABLE
from hypkit.linux.linux_machine import LinuxCall, LinuxMachine
from hypkit.linux.phases import HANDLED, order

FILE = "linux.toml"
HOLE = SMCCC_BASE  # a slot of every kernel's table, and empty once KVM is up: __kvm_hyp_init
STRANGER = SMCCC_BASE + 0x30  # in some kernels' tables, and beyond the end of others'
FAR = SMCCC_BASE + 0x500
STUB = 0  # HVC_SET_VECTORS: KVM's vectors answer it with an error
NOWHERE = 0xDEAD000  # a pointer that EL2 does not map
HINT, HINT_MASK = 0xD503201F, 0xFFFFF01F  # C6.2.93


@dataclass(frozen=True)
class Run:
    """One recorded call: what was asked, what came of it, the counts, the way.

    status, result: the host's x0 and x1 afterwards, None where the call did not come back. parts:
    part of the call (hypkit.linux.phases.PARTS) -> Counts, of which instructions, loads and stores
    are recorded; functions: in the order in which they ran; from_table: whether EL2 loaded from its
    table; hints: instructions of EL2 outside the handler that do nothing on a Cortex-A72: NOP, and
    what was made of NOPs, PAC and BTI.
    """

    what: str
    x0: int
    args: tuple[int, ...]
    outcome: str
    status: int | None
    parts: Mapping[str, Counts] = field(repr=False)
    functions: tuple[str, ...] = field(repr=False)
    from_table: bool
    hints: int

    @property
    def hyp(self) -> Counts:
        """Return the counts of EL2 outside the handler."""
        return sum((c for name, c in self.parts.items() if name not in HANDLED), Counts())

    @property
    def el2(self) -> int:
        """Return the number of all instructions at EL2."""
        return sum(c.instructions for name, c in self.parts.items() if name != "host")


@dataclass(frozen=True)
class Recorded:
    """What was counted on one kernel, and where the kernel came from.

    ids: hypercall -> x0; refused, refused_protected: of these, what EL2 does not serve after a
    usual boot, and after one with kvm-arm.mode=protected (None: it has no such mode); slots: of its
    table, 0 if it has none; runs: by key.
    """

    kernel: str
    release: str
    package: str
    version: str
    digest: str
    ids: Mapping[str, int] = field(repr=False)
    refused: tuple[str, ...] = field(repr=False)
    refused_protected: tuple[str, ...] | None = field(repr=False)
    slots: int
    range_test: bool
    null_test: bool
    runs: Mapping[str, Run] = field(repr=False)

    @property
    def lower_bound(self) -> bool:
        """Return whether a protected EL2 refuses the numbers below one."""
        return next(iter(self.refused_protected or ()), None) == next(iter(self.ids))

    @property
    def upper_bound(self) -> bool:
        """Return whether an EL2 that is not protected refuses the numbers above one."""
        return bool(self.refused) and self.refused[-1] == list(self.ids)[-1]

    def run(self, key: str) -> Run:
        """Return one of the recorded calls; UnknownName names those there are."""
        if key not in self.runs:
            raise UnknownName(f"no recorded call {key!r}: there are {', '.join(self.runs)}")
        return self.runs[key]


def plan(ids: Mapping[str, int]) -> dict[str, tuple[str, int, tuple[int, ...]]]:
    """Return the calls that are counted, in the order in which they are made: what, x0, arguments.

    Those that a kernel does not have are left out. The last one ends in a panic.
    """
    named = {
        "cntvoff": ("__kvm_timer_set_cntvoff", (0x1234,)),
        "mdcr": ("__kvm_get_mdcr_el2", ()),
        "gic": ("__vgic_v3_get_gic_config", ()),
        "vtr": ("__vgic_v3_get_ich_vtr_el2", ()),
        "vmcr": ("__vgic_v3_read_vmcr", ()),
        "flush": ("__kvm_flush_vm_context", ()),
        "ssbs": ("__kvm_enable_ssbs", ()),
        "share": ("__pkvm_host_share_hyp", ()),
    }
    calls = {key: (name, ids[name], args) for key, (name, args) in named.items() if name in ids}
    calls |= {
        key: (f"hvc {x0:#x}", x0, ())
        for key, x0 in {
            "hole": HOLE,
            "stranger": STRANGER,
            "beyond": max(ids.values()) + 1,
            "far": FAR,
            "small": 0x102,
            "minus one": (1 << 64) - 1,
            "stub": STUB,
        }.items()
    }
    for name in ("__kvm_adjust_pc", "__vgic_v3_save_aprs"):
        if name in ids:
            return calls | {"panic": (name, ids[name], (NOWHERE,))}
    return calls


def loaded_from_table(call: LinuxCall) -> list[int]:
    """Return what EL2 loaded from its table in a call, in order."""
    image = call.trace.image
    moved = call.trace.accesses
    moved = moved[~moved["store"] & (call.trace.els[moved["step"]] == 2)]
    return [
        int(value)
        for va, value in zip(moved["va"].tolist(), moved["value"].tolist(), strict=True)
        if (image.symbolize(va) or "").partition("+")[0] == HCALL_TABLE
    ]


def run_of(call: LinuxCall, x0: int) -> Run:
    """Return a call in the form in which calls are recorded."""
    return Run(
        call.what,
        x0,
        call.args,
        call.outcome,
        call.x0,
        {
            name: Counts(counts.instructions, counts.loads, counts.stores)
            for name, counts in call.cost.phases.items()
        },
        tuple(order(call.trace)),
        bool(loaded_from_table(call)),
        _hints(call),
    )


def _hints(call: LinuxCall) -> int:
    steps = [step for name, some in call.cost.steps.items() if name not in HANDLED for step in some]
    words = [call.trace.words[int(call.trace.pcs[step])] for step in steps]
    return sum(word & HINT_MASK == HINT for word in words)


def measure(machine: LinuxMachine, protected: tuple[str, ...] | None = None) -> Recorded:
    """Count anew what is recorded, on a machine in its first state, which is where it ends.

    protected: what the same kernel refuses when it was booted with kvm-arm.mode=protected.
    """
    kernel, image = machine.kernel, machine.image
    runs: dict[str, Run] = {}
    null_test = range_test = False
    machine.reboot()
    for key, (what, x0, args) in plan(kernel.ids).items():
        call = machine.call(what, *args) if what in kernel.ids else machine.hvc(x0, *args)
        runs[key] = run_of(call, x0)
        refused = call.x0 == (1 << 64) - 1
        if key == "hole":
            null_test = refused and loaded_from_table(call) == [0]
        if key == "far":
            range_test = refused and not loaded_from_table(call)
    machine.reboot()
    return Recorded(
        kernel.kernel,
        kernel.release,
        kernel.source,
        kernel.version,
        kernel.digest,
        dict(kernel.ids),
        kernel.refused,
        protected,
        0 if image.table is None else max(kernel.ids.values()) + 1 - SMCCC_BASE,
        range_test,
        null_test,
        runs,
    )


@cache
def recorded() -> Mapping[str, Recorded]:
    """Return what was counted, kernel by kernel: "6.1" -> Recorded."""
    with data_path(FILE).open("rb") as file:
        return {
            kernel: _read(kernel, entry) for kernel, entry in tomllib.load(file)["kernel"].items()
        }


def _read(kernel: str, entry: Mapping[str, Any]) -> Recorded:
    runs = {
        key: Run(
            run["what"],
            run["x0"] % (1 << 64),  # TOML's numbers have a sign
            tuple(run["args"]),
            run["outcome"],
            None if run["status"] == "" else int(run["status"], 16),
            {name: Counts(*numbers) for name, numbers in run["parts"].items()},
            tuple(run["functions"]),
            run["from_table"],
            run["hints"],
        )
        for key, run in entry["run"].items()
    }
    names = [call for call in entry["calls"]]
    protected = entry["refused_protected"] if "refused_protected" in entry else None
    return Recorded(
        kernel,
        entry["release"],
        entry["package"],
        entry["version"],
        entry["digest"],
        {name: entry["first"] + n for n, name in enumerate(names) if name},
        tuple(entry["refused"]),
        None if protected is None else tuple(protected),
        entry["slots"],
        entry["range_test"],
        entry["null_test"],
        runs,
    )


def written(kernels: Mapping[str, Recorded]) -> str:
    """Return the same as text in TOML, for the file."""
    lines = [HEAD]
    for kernel, facts in kernels.items():
        numbers = {x0: name for name, x0 in facts.ids.items()}
        first = min(numbers)
        calls = [numbers.get(x0, "") for x0 in range(first, max(numbers) + 1)]
        lines += [
            f'\n[kernel."{kernel}"]',
            f'release = "{facts.release}"',
            f'package = "{facts.package}"',
            f'version = "{facts.version}"',
            f'digest = "{facts.digest}"',
            f"first = {first:#x}",
            f"calls = {_names(calls)}",
            f"refused = {_names(facts.refused)}",
        ]
        if facts.refused_protected is not None:
            lines.append(f"refused_protected = {_names(facts.refused_protected)}")
        lines += [
            f"slots = {facts.slots}",
            f"range_test = {str(facts.range_test).lower()}",
            f"null_test = {str(facts.null_test).lower()}",
        ]
        for key, run in facts.runs.items():
            status = "" if run.status is None else f"{run.status:#x}"
            parts = ", ".join(
                f"{name} = [{c.instructions}, {c.loads}, {c.stores}]"
                for name, c in run.parts.items()
            )
            lines += [
                f'\n[kernel."{kernel}".run."{key}"]',
                f'what = "{run.what}"',
                f"x0 = {run.x0 - (1 << 64 if run.x0 >> 63 else 0)}"
                if run.x0 >> 63
                else f"x0 = {run.x0:#x}",
                f"args = [{', '.join(f'{value:#x}' for value in run.args)}]",
                f'outcome = "{run.outcome}"',
                f'status = "{status}"',
                f"parts = {{ {parts} }}",
                f"functions = {_names(run.functions)}",
                f"from_table = {str(run.from_table).lower()}",
                f"hints = {run.hints}",
            ]
    return "\n".join(lines) + "\n"


def _names(names: object) -> str:
    assert isinstance(names, tuple | list)
    if not names:
        return "[]"
    return "[\n" + "".join(f'  "{name}",\n' for name in names) + "]"


HEAD = """\
# Real Linux kernels at EL2, counted: written by `python -m tests.oracle.record_linux`, and held to a
# fresh run by tests/oracle/test_linux.py.
#
# The source of each entry is a package of Debian's archive, by name and version, and the SHA-256 of
# the Image in it. What stands here are counts, names of functions and their order; no code.
#
# calls: the hypercalls in the order of their numbers, from `first` on; "" is an empty slot of the
# table. refused: those that EL2 does not serve as it stands after the boot; refused_protected: the
# same after a boot with kvm-arm.mode=protected. slots: of the table, 0 for a switch. range_test: a
# number far beyond it is refused before the table is read; null_test: an empty slot is refused.
# run: one call each. parts: [instructions, load instructions, store instructions] by part of the
# call; functions: in the order in which they ran, those that the kernel's list of symbols lacks by their
# distance from the vectors; from_table: whether the table was read; hints: instructions outside
# the handler that a Cortex-A72 takes for a NOP (NOP, PAC, BTI)."""
