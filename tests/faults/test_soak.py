"""The soak, short: every kind of call and fault, in several threads, over real sockets."""

import json
import re
import subprocess
import sys
from pathlib import Path

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


WRONG = """
import json, sys
from pathlib import Path
from kayrros_ext import Kayrros
from tests import soak
Kayrros.collections = lambda _: []
Kayrros.datasets = lambda *_: 1 / 0
report = soak.soak(60, seed=1, folder=Path(sys.argv[1]))
print(json.dumps([sorted(set(report.wrong)), report.untyped, report.half_files, report.is_good, str(report)]))
"""


def test_the_soak_sees_what_is_wrong(tmp_path: Path) -> None:
    """An answer that is not the truth, an error of another type, a file by half: each is counted, and no soak is good."""
    (tmp_path / "other.bin").write_bytes(b"half")
    command = [sys.executable, "-c", WRONG, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    wrong, untyped, half_files, is_good, words = json.loads(done.stdout)
    assert ["collections"] == wrong
    assert untyped
    assert all("ZeroDivisionError" in error for error in untyped)
    assert ["other.bin"] == half_files
    assert not is_good
    assert "half files: 1" in words
