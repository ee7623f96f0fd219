"""Requests that Schemathesis makes from openapi.yaml, against the mock and against the platform fake."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.schemathesis_run import MODE, OFF

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", MODE)
def test_nothing_is_found(target: str, tmp_path: Path) -> None:
    """Examples, boundaries, random requests and chains along the links; the report is JUnit."""
    command = [sys.executable, "-m", "scripts.schemathesis_run", target, "--examples", "15", "--reports", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == run.returncode, run.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in run.stdout
    assert "API Links:    0 covered" not in run.stdout
    assert "Missing test data" not in run.stdout
    report = ET.parse(tmp_path / f"schemathesis-{target}.xml").getroot()  # noqa: S314 - of our own making
    assert 6 <= len(report.findall(".//testcase"))


def test_a_check_that_is_off_has_its_reason() -> None:
    """And none is off for the fake, which is ours to mend."""
    assert {"ignored_auth", "unsupported_method"} == set(OFF["prism"])
    assert all(len(reason.split()) > 4 for checks in OFF.values() for reason in checks.values())
    assert not OFF["fake"]
