"""What the benchmarks claim, and how they say it."""

from pathlib import Path

import pytest

from bench import __main__ as command
from bench import reader
from bench.reports import Claim, Report


def test_a_claim_is_held_to_its_bound() -> None:
    """At least, or at most; the words say both."""
    assert Claim("times as fast", 15.0, least=15).holds
    assert not Claim("times as fast", 14.9, least=15).holds
    assert Claim("bodies", 4.0, most=4).holds
    assert not Claim("bodies", 4.1, most=4).holds
    assert "bodies: 4.10 (at most 4)" == str(Claim("bodies", 4.1, most=4))


@pytest.mark.parametrize(("measured", "code"), [(2.0, 0), (1.0, 1)])
def test_a_missed_claim_fails(
    measured: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With words on stderr; the page has the section once, where it was, however often it was made."""
    report = Report("Title", "Words.", ["a"], [["1"]], [Claim("times as fast", measured, least=2)])
    monkeypatch.setattr(reader, "run", lambda: report)
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(command, "machine", lambda: "a machine")
    monkeypatch.setattr("sys.argv", ["bench", "reader"])
    assert code == command.main()
    command.keep("other", "## Other\n")
    assert code == command.main()
    assert (code == 1) == ("missed: times as fast: 1.00 (at least 2)" in capsys.readouterr().err)
    page = (tmp_path / "page.md").read_text()
    assert ["## Title", "## Other"] == [line for line in page.splitlines() if line.startswith("##")]
    assert "`make bench ARGS=reader` on a machine" in page
