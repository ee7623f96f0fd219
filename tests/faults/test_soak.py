"""A short soak: every kind of call and fault, in several threads, over real sockets. `make soak` is longer."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

pytestmark = pytest.mark.slow


def test_soak_gives_right_answers_or_typed_failures() -> None:
    """No wrong answer, no untyped error, no incomplete file and no secret in 400 calls."""
    command = [sys.executable, "-m", "tests.soak", "--calls", "400", "--seed", "2"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    right, failed = (
        int(match[1].replace(",", ""))
        for match in re.finditer(r"(?:right answers|typed failures): ([\d,]+)", result.stdout)
    )
    assert right + failed == 400
    assert right > 300


# In its own process, because it replaces methods of Kayrros.
WRONG = """
import json, sys
from pathlib import Path
from kayrros_ext import Kayrros
from tests import soak
Kayrros.collections = lambda _: []
Kayrros.datasets = lambda *_: 1 / 0
report = soak.soak(60, seed=1, folder=Path(sys.argv[1]))
print(json.dumps([sorted(set(report.wrong)), report.untyped, report.incomplete, report.is_good, str(report)]))
"""


def test_soak_reports_each_kind_of_defect(tmp_path: Path) -> None:
    """A wrong answer, an untyped error and an incomplete file are counted, and the soak fails."""
    (tmp_path / "other.bin").write_bytes(b"half")
    command = [sys.executable, "-c", WRONG, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wrong, untyped, incomplete, is_good, report = json.loads(result.stdout)
    assert wrong == ["collections"]
    assert untyped
    assert all("ZeroDivisionError" in error for error in untyped)
    assert incomplete == ["other.bin"]
    assert not is_good
    assert "incomplete files: 1" in report
