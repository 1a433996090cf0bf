"""What a text may cost: statements run and characters read, never seconds, so that a text which
assembles on a fast machine assembles on a busy one."""

from __future__ import annotations

from hypkit.asm.expressions import Complaint

MAX_STATEMENTS = 100_000  # statements run, macro bodies and repetitions counted each time
MAX_WORK = 4_000_000  # characters read, about a microsecond each; a guest of 2000 lines: 200,000


class Budget:
    """What all units of one link may spend together."""

    def __init__(self) -> None:
        self.statements = 0
        self.work = 0

    def tick(self, characters: int = 0) -> None:
        """Count a statement of so many characters. Raises Complaint once there are too many."""
        self.statements += 1
        if self.statements > MAX_STATEMENTS:
            raise Complaint(
                f"more than {MAX_STATEMENTS:,} statements came out of this text; a .rept or a "
                "macro repeats too much"
            )
        self.spend(characters)

    def spend(self, characters: int) -> None:
        """Count characters that were read. Raises Complaint once there are too many."""
        self.work += characters
        if self.work > MAX_WORK:
            raise Complaint(
                f"this text is too much work: with all repetitions more than {MAX_WORK:,} "
                "characters had to be read; a .rept, a macro or an expression repeats too much"
            )
