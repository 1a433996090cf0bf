"""One measured number, with its unit and its goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """what was measured; goal: ("at least" or "at most", number), or None where there is none."""

    what: str
    value: float
    unit: str = ""
    goal: tuple[str, float] | None = None

    @property
    def reached(self) -> bool | None:
        if self.goal is None:
            return None
        side, number = self.goal
        return self.value >= number if side == "at least" else self.value <= number

    def line(self) -> str:
        number = f"{self.value:,.0f}" if self.value >= 1000 else f"{self.value:.3g}"
        goal = (
            ""
            if self.goal is None
            else f"{'>=' if self.goal[0] == 'at least' else '<='} "
            f"{self.goal[1]:g}{'' if self.reached else '   MISSED'}"
        )
        return f"{self.what:58} {number:>8} {self.unit:4} {goal}"
