"""Schemathesis finds nothing in the mock and in the platform fake."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scripts.schemathesis_run import OFF, unsupported
from tests.support.checkout import SMALL
from tests.support.spec import add_field, add_operation, add_parameter, edited, operations

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("target", OFF)
def test_schemathesis_reports_no_failure(target: str, tmp_path: Path) -> None:
    """It sends examples, boundary values, random requests and chains along the links, and reports as JUnit."""
    command = [sys.executable, "-m", "scripts.schemathesis_run", target, "--examples", "15", "--reports", str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in run.stdout
    assert "API Links:    0 covered" not in run.stdout
    assert "Missing test data" not in run.stdout
    report = ET.parse(tmp_path / f"schemathesis-{target}.xml").getroot()  # noqa: S314 - of our own making
    assert len(report.findall(".//testcase")) >= len(operations()) - len(unsupported(target))


def test_a_disabled_check_has_its_reason() -> None:
    """None is disabled for the fake, which is ours to fix."""
    assert set(OFF["prism"]) == {"ignored_auth", "negative_data_rejection", "unsupported_method"}
    assert all(len(reason.split()) > 4 for checks in OFF.values() for reason in checks.values())
    assert not OFF["fake"]


def test_operations_that_the_fake_does_not_support_are_skipped() -> None:
    """Otherwise a field, a parameter or an operation that is new in the spec would fail the suite."""
    assert not unsupported("fake", SMALL)
    text = edited(
        SMALL,
        add_field("ProcessingResultFilter", "page_size", {"type": "integer"}),
        add_parameter("getDatasetMetadata", "lang", {"type": "string"}, "en"),
        add_operation("getTestAsset", "/v1/test", {"200": {"description": "OK."}}),
    )
    reasons = {"getDatasetMetadata": "lang", "getDatasetResults": "page_size", "getTestAsset": "the operation"}
    assert unsupported("fake", text) == reasons
    assert not unsupported("prism", text)
