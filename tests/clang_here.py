"""One clang for many headers: the child is kept, and made anew when a header was its end."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hypkit.header import front_end

_kept: list[front_end.Child] = []


@contextmanager
def opened(files: Mapping[str, str]) -> Iterator[front_end.Ask]:
    """As front_end.opened, without the start of a process for each header."""

    def ask(main: str, language: str = "c") -> front_end.Reply:
        if not _kept:
            _kept.append(front_end.Child())
        try:
            return _kept[0].ask(main, files, language)
        except BaseException:
            close()
            raise

    yield ask


def close() -> None:
    """End the child, if there is one."""
    while _kept:
        _kept.pop().close()
