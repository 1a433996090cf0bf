"""The notebooks of the course: where an installation keeps them, and how a learner gets their own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypkit.errors import KitError, WrongValue


class CourseError(KitError, OSError):
    """A copy of the course that cannot be made, and why."""


@dataclass(frozen=True)
class Copied:
    """What became of each notebook of the course.

    made: written now; same: there already, as it ships; kept: there already, with a learner's work or
    of another version of hypkit, and left alone.
    """

    folder: Path
    made: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Return what happened, for a terminal."""
        said = [f"new notebooks: {len(self.made)}"]
        if self.same:
            said.append(f"there already: {len(self.same)}")
        if self.kept:
            said.append(f"left alone, with your work or of another version: {len(self.kept)}")
        return f"{self.folder}: {'; '.join(said)}."

    def __repr__(self) -> str:
        return f"Copied({self.sentence})"


def notebooks() -> tuple[Path, ...]:
    """Return the notebooks of the course in reading order, without the solutions.

    A wheel brings them along; a checkout has the originals.

    Raises:
        CourseError: this installation has none.
    """
    package = Path(__file__).resolve().parents[1]
    folder = package / "lessons" / "notebooks"
    if not folder.is_dir():
        folder = package.parent / "notebooks"
    found = tuple(sorted(folder.glob("*.ipynb")))
    if not found:
        raise CourseError(f"expected the notebooks of the course in {folder}; install hypkit again")
    return found


def lessons() -> Iterator[tuple[str, str, str]]:
    """Yield (file, title, minutes) for each lesson; the minutes are "" where none are said."""
    for path in notebooks():
        first = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]
        text = "".join(first)
        minutes = re.search(r"\*\*Minutes\*\*:? (\d+) teaching, (\d+) exercises", text)
        said = f"{minutes[1]} + {minutes[2]} minutes" if minutes else ""
        yield path.name, text.partition("\n")[0].removeprefix("# "), said


def copy(folder: str | Path) -> Copied:
    """Put the course into a folder, which is made if need be, and overwrite nothing that is there.

    Solutions stay behind: `solution("01.2")` shows one in the lesson.

    Raises:
        CourseError: the folder cannot be made or written to.
        ValueError: the name is empty.
    """
    if not str(folder).strip():
        raise WrongValue("expected the name of a folder, such as lessons; got an empty one")
    place = Path(folder).expanduser().resolve()
    made: list[str] = []
    same: list[str] = []
    kept: list[str] = []
    try:
        place.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CourseError(f"expected a folder; got a file, {place}. Name another") from None
    except OSError as error:
        raise CourseError(f"cannot make the folder {place}: {_why(error)}. Name another") from None
    for original in notebooks():
        target = place / original.name
        text = original.read_bytes()
        if target.exists() or target.is_symlink():
            (same if _holds(target, text) else kept).append(target.name)
            continue
        try:
            _write_new(target, text)
        except OSError as error:
            raise CourseError(f"cannot write {target}: {_why(error)}") from None
        made.append(target.name)
    return Copied(place, tuple(made), tuple(same), tuple(kept))


def _write_new(target: Path, text: bytes) -> None:
    """Write a file that is not there yet: whole, or not at all."""
    with target.open("xb") as file:  # refuses if somebody has made it meanwhile
        try:
            file.write(text)
            file.flush()
        except OSError:
            file.close()
            target.unlink()
            raise


def _holds(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text
    except OSError:  # a folder of this name, a link that leads nowhere
        return False


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
