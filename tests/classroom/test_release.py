"""What must agree before a release."""

import pytest

from tests.classroom.scripts import load

release = load("release")

PROJECT = '[project]\nname = "hypkit"\nversion = "1.2.0"\n'
CITATION = "version: 1.2.0\ndate-released: 2026-12-01\n"
CHANGES = "## [Unreleased]\n\n## [1.2.0] - 2026-12-01\n\n### Added\n\n- A thing.\n"


def test_three_files_that_agree_are_let_through():
    assert list(release.disagreements(PROJECT, CITATION, CHANGES)) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("version: 1.2.0", "version: 1.1.0",
         "CITATION.cff has version 1.1.0; pyproject.toml has 1.2.0"),
        ("[1.2.0]", "[1.1.0]", "CHANGELOG.md has no heading for 1.2.0"),
        ("- 2026-12-01", "- 2026-12-02",
         "CHANGELOG.md dates 1.2.0 2026-12-02; CITATION.cff says 2026-12-01"),
        (" - 2026-12-01", "", "CHANGELOG.md dates 1.2.0 not at all; CITATION.cff says 2026-12-01"),
        ("[Unreleased]\n", "[Unreleased]\n\n### Fixed\n\n- One.\n- Two.\n",
         "CHANGELOG.md has 2 entries below [Unreleased]: give them a version"),
    ],
)  # fmt: skip
def test_what_disagrees_is_said_in_a_sentence(old, new, sentence):
    citation, changes = (text.replace(old, new) for text in (CITATION, CHANGES))
    assert list(release.disagreements(PROJECT, citation, changes)) == [sentence]


def test_an_older_release_makes_room_and_a_bundle_stays(monkeypatch, tmp_path):
    for name in ("hypkit-1.0.tar.gz", "hypkit-1.0-py3-none-any.whl", "hypkit-1.0-linux-arm64.zip"):
        (tmp_path / name).write_text("")
    monkeypatch.setattr(release, "run", lambda *words, **more: pytest.fail("stop here"))
    with pytest.raises(pytest.fail.Exception, match="stop here"):
        release.built(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["hypkit-1.0-linux-arm64.zip"]


def test_a_release_that_is_not_ready_builds_nothing(monkeypatch, capsys):
    monkeypatch.setattr(release, "disagreements", lambda *texts: iter(["One thing differs"]))
    monkeypatch.setattr(release, "built", lambda dist: pytest.fail("it was built"))
    assert release.main([]) == 1
    assert "One thing differs" in capsys.readouterr().err


def test_a_command_that_fails_is_quoted_with_its_last_words():
    with pytest.raises(release.ReleaseError, match="(?s)this failed: .*no such thing"):
        release.run("python3", "-c", "raise SystemExit('no such thing')")
