"""The check of prose: spelling, and phrases that readers stumble over."""

import subprocess
from pathlib import Path

import pytest

from scripts import prose


def test_phrases_are_seen_across_line_breaks() -> None:
    """A comment sign between the words does not hide them. `is None` is Python."""
    assert prose.phrases_in("# There are so\n    # many.") == [prose.PHRASES[4]]
    assert not prose.phrases_in("value is None")


@pytest.mark.parametrize("text", ["It is rec" + "ieved.", f"It {prose.PHRASES[0]}."])
def test_a_misspelling_and_a_phrase_fail_the_check(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The check names the file, and passes once the text is plain."""
    monkeypatch.setattr(prose, "ROOT", tmp_path)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "page.md").write_text(text)
    subprocess.run(["git", "add", "page.md"], cwd=tmp_path, check=True)
    assert prose.main() == 1
    assert "page.md" in capfd.readouterr().out
    (tmp_path / "page.md").write_text("It arrives.")
    assert prose.main() == 0
