"""Headers to try in lesson 06: a call added to the list, and what a machine makes of the result."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hypkit.call import RETURNED
from hypkit.emu import Machine
from hypkit.header import ENUM, HeaderError
from hypkit.kernel.variants import ENOSYS, SPARE
from hypkit.lessons.recording import entered
from hypkit.pictures.html import words
from hypkit.pictures.rows import Rows, show_rows
from hypkit.pictures.source import Listing, show_source

NEW = SPARE[0]
_LIST = "kvm_hcall_list.h"
# How a try can end for the first of its calls.
ENDINGS = (
    "it does not compile",
    "the function runs",
    "another function runs",
    "no function runs, the host gets -38",
)


def add(text: str, name: str = NEW, index: int = 14, entry: bool = True, size: int = 15) -> str:
    """Return a list of #defines with one call more, or with part of what that takes.

    Args:
        text: kvm_hcalls.h in the style of DEFINES.
        name: the function.
        index: its index.
        entry: whether the list gets its entry.
        size: what KVM_HOST_HCALL_SIZE becomes.

    Returns:
        The new text.
    """
    lines = f"#define KVM_HOST_HCALL_IDX_{name} {index}\n"
    if entry:
        lines += f"KVM_HOST_HCALL({name})\n"
    before, mark, _ = text.partition("\n#define KVM_HOST_HCALL_SIZE")
    after = text[text.index("\n\n#define KVM_HOST_HCALL_BASE") :]
    return f"{before}{lines}{mark} {size}{after}"


def listed(*names: str) -> dict[str, str]:
    """Return the enum's header with these calls in this order, as texts by file name."""
    return ENUM | {_LIST: "".join(f"KVM_HOST_HCALL({name})\n" for name in names)}


def show_changed(before: str, after: str) -> Listing:
    """Show the end of a header, from two lines before its first change, with new lines marked."""
    old, lines = before.splitlines(), after.splitlines()
    new = [n for n, line in enumerate(lines) if line and line not in old]
    start = max(0, min(new, default=0) - 2)
    return show_source("\n".join(lines[start:]), "c", start=start + 1, marked=[n + 1 for n in new])


@dataclass(frozen=True)
class Trial:
    """A header that was compiled, and calls on a machine that was built from it.

    error: why it does not compile, else ""; calls: (name, number, function that ran or None, x0).
    """

    error: str
    calls: tuple[tuple[str, int, str | None, int | None], ...] = field(default=())

    @property
    def ending(self) -> str:
        """Return how it ended for the first call: one of ENDINGS."""
        if self.error:
            return ENDINGS[0]
        name, _, ran, _ = self.calls[0]
        return ENDINGS[1] if ran == name else ENDINGS[2] if ran else ENDINGS[3]

    def _rows(self) -> Rows:
        return show_rows(
            ("the host calls", "by number", "at EL2 runs", "x0"),
            [
                (f"`{name}`", f"{number:#x}", f"`{ran}`" if ran else None,
                 "-38" if x0 == ENOSYS else hex(x0) if x0 is not None else None)
                for name, number, ran, x0 in self.calls
            ],
        )  # fmt: skip

    def _repr_html_(self) -> str:
        if self.error:
            said, _, line = self.error.partition(
                "\n"
            )  # below the sentence is the line of the header
            shown = f"<pre>{html.escape(line)}</pre>" if line else ""
            return f"<p><strong>does not compile:</strong> {words(said)}</p>{shown}"
        return self._rows()._repr_html_()

    def __repr__(self) -> str:
        return f"does not compile: {self.error}" if self.error else repr(self._rows())


def try_it(header: str | Mapping[str, str], *names: str) -> Trial:
    """Compile a header, and make these calls on a machine that is built from it.

    Args:
        header: kvm_hcalls.h, or texts by file name.
        names: calls to make by name, after the timer's offset has been set to 0x500001234.

    Returns:
        The trial: what the compiler said, or what each call ran.
    """
    try:
        machine = Machine("numbered", seed=2020, header=header)
    except HeaderError as error:
        return Trial(str(error))
    made = []
    with machine:
        machine.call("__kvm_timer_set_cntvoff", 0x1234, 0x5)
        for name in names:
            call = machine.call(name)
            x0 = call.x0 if call.outcome == RETURNED else None
            made.append((name, machine.x0_of(name), entered(call), x0))
    return Trial("", tuple(made))


def orders(*headers: Mapping[str, str], calls: Sequence[str]) -> Rows:
    """Return what each call's number is in two headers, and whether the second one's runs it."""
    one, two = (Machine("numbered", seed=2020, header=header) for header in headers)
    with one, two:
        return show_rows(
            ("call", "before", "after", "runs"),
            [
                (f"`{name}`", f"{one.x0_of(name):#x}", f"{two.x0_of(name):#x}",
                 f"`{entered(two.call(name, 'vcpu0'))}`")
                for name in calls
            ],
        )  # fmt: skip
