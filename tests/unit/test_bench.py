"""A benchmark holds its claims to their bounds and writes its section of docs/benchmarks.md."""

from pathlib import Path

import pytest

from bench import __main__ as command
from bench import reader
from bench.reports import Claim, Report


def test_claim_holds_within_its_bound() -> None:
    """A claim has a lower or an upper bound, and its text names it."""
    assert Claim("times as fast", 15.0, least=15).holds
    assert not Claim("times as fast", 14.9, least=15).holds
    assert Claim("bodies", 4.0, most=4).holds
    assert not Claim("bodies", 4.1, most=4).holds
    assert str(Claim("bodies", 4.1, most=4)) == "bodies: 4.10 (at most 4)"


@pytest.mark.parametrize(("measured", "code"), [(2.0, 0), (1.0, 1)])
def test_missed_claim_fails(
    measured: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missed claim is printed to stderr and fails the run; a repeated run replaces its section of the page in place."""
    report = Report("Title", "Text.", ["a"], [["1"]], [Claim("times as fast", measured, least=2)])
    monkeypatch.setattr(reader, "run", lambda: report)
    monkeypatch.setattr(command, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(command, "machine", lambda: "a machine")
    monkeypatch.setattr("sys.argv", ["bench", "reader"])
    assert command.main() == code
    command.keep("other", "## Other\n")
    assert command.main() == code
    assert ("missed: times as fast: 1.00 (at least 2)" in capsys.readouterr().err) == (code == 1)
    page = (tmp_path / "page.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("##")] == ["## Title", "## Other"]
    assert "`make bench ARGS=reader` on a machine" in page
