"""The soak, short: every kind of call and fault, in several threads, over real sockets."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kayrros_ext import Kayrros
from tests import soak

ROOT = Path(__file__).parents[2]


def test_whatever_goes_wrong_no_answer_is() -> None:
    """Each answer is the truth or a typed failure; no file is there by half, no secret shows. `make soak` is longer."""
    command = [sys.executable, "-m", "tests.soak", "--calls", "400", "--seed", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr), done.stdout
    right, failed = (
        int(found[1].replace(",", ""))
        for found in re.finditer(r"(?:right answers|typed failures): ([\d,]+)", done.stdout)
    )
    assert 400 == right + failed
    assert right > 300


def test_the_soak_sees_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not the truth, an error of another type, a file by half: each is counted, and no soak is good."""
    monkeypatch.setattr(Kayrros, "collections", lambda _: [])
    monkeypatch.setattr(Kayrros, "datasets", lambda *_: 1 / 0)
    (tmp_path / "400000.bin").write_bytes(b"half")
    report = soak.soak(24, seed=1, folder=tmp_path)
    assert {"collections"} == set(report.wrong)
    assert report.untyped
    assert all("ZeroDivisionError" in words for words in report.untyped)
    assert ["400000.bin"] == report.half_files
    assert not report.is_good
    assert "wrong answers: " in str(report)
