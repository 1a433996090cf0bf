"""The dispatch paths that the pipeline model is judged on: the words that the machines executed.

A path is named by its variant, "numbered": the steps from the range test to the handler's address.
"numbered, call" goes on to the branch into the handler. There is one of each for every dispatcher
of the story and for every step of the review; vhe has none, its host dispatches nothing. A machine
is only run when its words are asked for.

A BLR that ends a path is left out. Whatever a core's table says, llvm-mca gives every call a
hundred cycles, as a guess at the callee: with it, the two would be compared in nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from hypkit import facts
from hypkit.comparison.ladder import ARGUMENTS, CALL, REVIEW, SEED
from hypkit.cost import phases
from hypkit.cost.pipeline import simulate
from hypkit.emu import Machine
from hypkit.kernel.variants import VARIANTS, variant

KEYS = tuple(key for key in dict.fromkeys((*VARIANTS, *REVIEW)) if variant(key).host_el == 1)


@cache
def executed(key: str, *parts: str) -> tuple[int, ...]:
    """The words of those phases of one call of that variant, in the order of execution."""
    with Machine(key, seed=SEED) as machine:
        trace = machine.call(CALL, *ARGUMENTS).trace
    return tuple(
        step.word for step, phase in zip(trace, phases(trace), strict=True) if phase in parts
    )


class _Words(Mapping[str, tuple[int, ...]]):
    """A path's words by its name."""

    def __getitem__(self, path: str) -> tuple[int, ...]:
        key, comma, _ = path.partition(", call")
        if not comma:
            return executed(key, "dispatch")
        words = executed(key, "dispatch", "call")
        return words[:-1] if is_call(words[-1]) else words

    def __iter__(self) -> Iterator[str]:
        return (key + tail for tail in ("", ", call") for key in KEYS)

    def __len__(self) -> int:
        return 2 * len(KEYS)


WORDS: Mapping[str, tuple[int, ...]] = _Words()


def is_call(word: int) -> bool:
    """Whether a word is a BLR."""
    return word & 0xFFFFFC1F == 0xD63F0000


def hundred(path: str, core: str) -> int:
    """The model's cycles for a hundred runs of a path in a row."""
    return _hundred(WORDS[path], facts.core(core).like or core)


@cache  # cores that share a table, and paths that share their words, need not be timed twice
def _hundred(words: tuple[int, ...], core: str) -> int:
    return simulate(words * 100, core).cycles
