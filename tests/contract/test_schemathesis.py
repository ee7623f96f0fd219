"""Schemathesis finds nothing in the mock and in the platform fake."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.schemathesis_run import MODE, OFF, unsupported
from tests.support.checkout import OPERATION, SMALL
from tests.support.spec import operations

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
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
    assert len(operations()) - len(unsupported(target)) <= len(report.findall(".//testcase"))


def test_a_check_that_is_off_has_its_reason() -> None:
    """And none is off for the fake, which is ours to mend."""
    assert {"ignored_auth", "unsupported_method"} == set(OFF["prism"])
    assert all(len(reason.split()) > 4 for checks in OFF.values() for reason in checks.values())
    assert not OFF["fake"]


def test_what_the_fake_does_not_know_yet_is_left_out() -> None:
    """Else a field, a parameter or an operation that the spec gets would fail the suite until the fake has it too."""
    assert not unsupported("fake", SMALL)
    field = ("        time_range:\n", "        page_size: {type: integer}\n        time_range:\n")
    parameter = ("    get:\n", "    get:\n      parameters: [{name: lang, in: query, schema: {type: string}}]\n")
    text = SMALL
    for old, new in (field, parameter, OPERATION):
        assert old in text
        text = text.replace(old, new, 1)
    known = {"getDatasetMetadata": "lang", "getDatasetResults": "page_size", "getTestAsset": "it"}
    assert known == unsupported("fake", text)
    assert not unsupported("prism", text)
