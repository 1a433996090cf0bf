"""The course in a learner's folder: what is copied, and what is never touched."""

import re
from pathlib import Path

import pytest

from hypkit.lessons import course

TOP = Path(__file__).resolve().parents[2]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_folder_gets_every_lesson_and_no_solution(tmp_path):
    copied = course.copy(tmp_path / "deep" / "lessons")
    assert list(copied.made) == sorted(path.name for path in (TOP / "notebooks").glob("*.ipynb"))
    assert names(copied.folder) == list(copied.made) and len(copied.made) >= 14
    assert copied.sentence.endswith(f"lessons: new notebooks: {len(copied.made)}.")


def test_a_second_copy_changes_nothing_and_brings_what_was_lost(tmp_path):
    first = course.copy(tmp_path)
    mine = tmp_path / "01-there-and-back.ipynb"
    mine.write_text("my answers")
    (tmp_path / "00-start-here.ipynb").unlink()
    (tmp_path / "notes.txt").write_text("mine too")
    again = course.copy(tmp_path)
    assert again.made == ("00-start-here.ipynb",) and again.kept == (mine.name,)
    assert len(again.same) == len(first.made) - 2
    assert mine.read_text() == "my answers" and (tmp_path / "notes.txt").exists()
    assert f"there already: {len(again.same)}; left alone" in again.sentence


def test_what_is_no_file_under_a_lessons_name_is_left_alone(tmp_path):
    (tmp_path / "02-four-addresses.ipynb").mkdir()
    (tmp_path / "03-function-pointer-abi.ipynb").symlink_to(tmp_path / "outside")
    copied = course.copy(tmp_path)
    assert copied.kept == ("02-four-addresses.ipynb", "03-function-pointer-abi.ipynb")
    assert not (tmp_path / "outside").exists()


def test_a_file_that_cannot_be_written_whole_is_not_left_in_part(tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self._file = file

        def __enter__(self):
            return self

        def __exit__(self, *why):
            self._file.close()

        def write(self, text):
            self._file.write(text[:10])
            raise OSError(28, "No space left on device")

        def close(self):
            self._file.close()

    opened = Path.open

    def open_file(path, mode="r", *more, **options):
        file = opened(path, mode, *more, **options)
        return Full(file) if mode == "xb" else file

    monkeypatch.setattr(Path, "open", open_file)
    with pytest.raises(course.CourseError, match="cannot write .*00-.*: no space left on device"):
        course.copy(tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("", ValueError, "expected the name of a folder"),
        ("  ", ValueError, "expected the name of a folder"),
        ("file", course.CourseError, "expected a folder; got a file, .*file. Name another"),
        ("file/below", course.CourseError, "cannot make the folder .*below: not a directory"),
    ],
)
def test_a_place_that_can_be_no_folder_is_refused(tmp_path, monkeypatch, name, error, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(error, match=said):
        course.copy(name)


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
    def refuse(target, text):  # root, who runs this in CI, may write everywhere
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(course, "_write_new", refuse)
    with pytest.raises(course.CourseError, match="cannot write .*00-.*: permission denied"):
        course.copy(tmp_path)


def test_each_lesson_is_listed_with_its_title_and_minutes():
    listed = list(course.lessons())
    assert listed[0][:2] == ("00-start-here.ipynb", "Start here")
    assert all(re.fullmatch(r"\d+ \+ \d+ minutes", said) for name, _, said in listed if name < "a")
    assert [name for name, _, _ in listed] == [path.name for path in course.notebooks()]


def test_an_installation_without_the_course_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(course, "__file__", str(tmp_path / "hypkit" / "lessons" / "course.py"))
    with pytest.raises(course.CourseError, match="expected the notebooks of the course in .*again"):
        course.notebooks()
