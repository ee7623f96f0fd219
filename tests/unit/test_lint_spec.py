"""Our rules for openapi.yaml, each on an edit of the small spec."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.lint_spec import lint
from tests.support.checkout import SMALL
from tests.support.spec import add_field, edited, operations

ROOT = Path(__file__).parents[2]


def drop_provenance(spec: dict[str, Any], part: str | None, value: str | None) -> None:
    operation = operations(spec)["getDatasetResults"]
    if part is None:
        del operation["x-provenance"]
    elif value is None:
        del operation["x-provenance"][part]
    else:
        operation["x-provenance"][part] = value


@pytest.mark.parametrize(
    ("part", "value", "problem"),
    [
        ("path", None, "x-provenance has no `path`"),
        ("path", "rumoured", "x-provenance.path is 'rumoured'"),
        ("path", "observed, rumoured", "x-provenance.path is 'observed, rumoured'"),
        ("colour", "assumed", "x-provenance has `colour`"),
        (None, None, "no x-provenance"),
    ],
)
def test_an_operation_without_provenance_is_a_problem(part: str | None, value: str | None, problem: str) -> None:
    """The problem names the operation and its line."""
    text = edited(SMALL, lambda spec: drop_provenance(spec, part, value))
    [(line, message)] = lint(text)
    assert message.startswith("post /v1/processingresult/dataset/{datasetId}: ")
    assert problem in message
    assert text.splitlines()[line - 1].strip() == "post:"


def inline_enum(*types: str) -> dict[str, Any]:
    return {"type": list(types), "enum": ["A", *([None] if "null" in types else [])], "description": "A."}


@pytest.mark.parametrize(
    ("edit", "place", "problem"),
    [
        (add_field("AssetResult", "unit", {"type": "string"}), "unit:", "AssetResult.unit does not allow null"),
        (add_field("AssetResult", "unit", inline_enum("string", "null")), "unit:", "accepts only the listed values"),
        (
            add_field("AssetResult", "of", {"$ref": "#/components/schemas/SharedOption"}),
            "of:",
            "accepts only the listed",
        ),
        (add_field("DateRange", "days", {"type": ["integer", "null"]}), "days:", "DateRange.days allows null"),
        (
            lambda spec: spec["components"]["schemas"]["AssetResult"].update(required=["asset_id"]),
            "asset_id:",
            "AssetResult.asset_id is required",
        ),
        (
            lambda spec: spec["components"]["schemas"]["AssetResult"].update(additionalProperties=False),
            "AssetResult:",
            "AssetResult is read: write `additionalProperties: true`",
        ),
        (
            lambda spec: spec["components"]["schemas"]["DateRange"].pop("additionalProperties"),
            "DateRange:",
            "DateRange is sent: write `additionalProperties: false`",
        ),
        (
            add_field("AssetResult", "over", {"$ref": "#/components/schemas/DateRange"}),
            "DateRange:",
            "both sent and read",
        ),
        (
            lambda spec: operations(spec)["listCollections"].update(operationId="get_dataset_metadata"),
            None,
            "in Python",
        ),
        (
            add_field("AssetResult", "unit", {"type": ["string", "null"], "format": "uiud"}),
            "format: uiud",
            "format uiud",
        ),
        (lambda spec: spec["info"].update(version="1.0"), "version: '1.0'", "write three numbers"),
        (
            lambda spec: operations(spec)["login"]["responses"].update({409: {"description": "A number."}}),
            "409:",
            "the key 409 is not a string",
        ),
    ],
)
def test_a_breach_of_our_rules_is_one_problem_with_its_line(edit: Any, place: str | None, problem: str) -> None:
    """The lint can fail, and says once what to change and where."""
    text = edited(SMALL, edit)
    messages = [(line, message) for line, message in lint(text) if problem in message]
    assert len(messages) == 1, lint(text)
    if place:
        assert text.splitlines()[messages[0][0] - 1].strip() == place


def test_a_yaml_merge_key_is_a_problem() -> None:
    """Prism ignores it, and other tools do not."""
    assert "merge keys" in lint("x-a: &a {b: c}\nx-d: {<<: *a}\n" + SMALL)[0][1]


def test_a_field_may_be_called_format() -> None:
    """The rule for formats applies to schemas only."""
    fields = [add_field("AssetResult", name, {"type": ["string", "null"]}) for name in ("format", "type")]
    assert not lint(edited(SMALL, *fields))


def test_a_spec_without_operations_is_a_problem() -> None:
    """An empty spec must not pass."""
    assert lint("openapi: 3.1.1\n")


def test_the_lint_exits_with_1_if_there_is_a_problem(tmp_path: Path) -> None:
    """It stops `make check`."""
    bad = edited(SMALL, lambda spec: drop_provenance(spec, None, None))
    for name, text, expected in (("good.yaml", SMALL, 0), ("bad.yaml", bad, 1)):
        (tmp_path / name).write_text(text, "utf-8")
        command = [sys.executable, "-m", "scripts.lint_spec", str(tmp_path / name)]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
        assert done.returncode == expected, done.stdout
    assert "ours: post /v1/processingresult/dataset/{datasetId}: no x-provenance" in done.stdout
