"""An edit of openapi.yaml is all that a change needs: client, mock and contract tests follow, in a copy of the checkout."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import PYTHON, copy_checkout, run
from tests.support.spec import (
    SPEC,
    add_field,
    add_operation,
    add_parameter,
    edit_spec,
    nullable,
    operations,
    response,
)

pytestmark = pytest.mark.slow

# A user's code for the new operation; it runs with the packages of the copy.
USE = """
import asyncio, json
import kayrros_openapi
from kayrros_openapi.api.datasets import get_dataset_metadata, get_test_asset
from kayrros_openapi.models import AssetResult, SharedOption
from kayrros_ext import Kayrros
from kayrros_ext.testing import prism_mock

async def fetch(url):
    async with Kayrros(token="a-token", base_url=url, auth_url=url) as kayrros:
        return await get_test_asset.asyncio("tank-1", client=kayrros.client, page_size=5)

with prism_mock() as mock, Kayrros(token="a-token", base_url=mock.url, auth_url=mock.url) as kayrros:
    answers = [get_test_asset.sync("tank-1", client=kayrros.client, page_size=5), asyncio.run(fetch(mock.url))]
    assert all(isinstance(asset, AssetResult) for answer in answers for asset in answer)
    metadata = kayrros.metadata("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
    print(json.dumps({
        "package": kayrros_openapi.__file__,
        "assets": [[asset.asset_id for asset in answer] for answer in answers],
        "nickname": metadata.nickname,
        "open": SharedOption.OPEN.value,
    }))
"""
SOURCE = {"x-provenance": "observed", "description": "A field."}
NOT_FOUND = {"$ref": "#/components/responses/NotFound"}
NEW_OPERATION = add_operation(
    "getTestAsset",
    "/v1/test/asset/{assetId}",
    {
        "200": response(
            "application/json",
            {"type": "array", "items": {"$ref": "#/components/schemas/AssetResult"}},
            [{"asset_id": "tank-1", "asset_version": 3}],
        ),
        "404": NOT_FOUND,
    },
    [
        {"name": "assetId", "in": "path", "required": True, "description": "Id.", "schema": {"type": "string"}}
        | {"example": "tank-1"},
        {"name": "pageSize", "in": "query", "description": "Size.", "schema": {"type": "integer"}, "example": 5},
    ],
)
DAYS = {"type": "array", "items": {"type": "string", "format": "date"}}
MOMENT = {"type": "object", "properties": {"since": {"type": "string", "format": "date-time"}}}
CHOICE = {"anyOf": [{"$ref": "#/components/schemas/ErrorResponse"}, {"$ref": "#/components/schemas/Metrics"}]}
JSON_TOO = response("application/json", {"type": "array", "items": {"type": "string"}}, ["id"])["content"]
# Each is a type of its own in Python: text, days, an unnamed object, a choice. `default` stands for any other status.
KINDS = add_operation(
    "getTestKinds",
    "/v1/test/kinds",
    {
        "200": response("text/csv", {"type": "string"}, "id,name"),
        "202": response("application/json", DAYS, ["2024-01-01"]),
        "207": {
            "description": "JSON as well as CSV.",
            "content": {**JSON_TOO, "text/csv": {"schema": {"type": "string"}}},
        },
        "400": response("application/json", MOMENT, {"since": "2024-01-01T00:00:00Z"}),
        "404": response("application/json", CHOICE, {"code": "NOT_FOUND", "message": "Gone"}),
        "default": response("application/json", {"$ref": "#/components/schemas/ErrorResponse"}, {"code": "OTHER"}),
    },
    [
        {
            "name": "kinds",
            "in": "query",
            "description": "An array of an enum.",
            "schema": {"type": "array", "items": {"type": "string", "enum": ["days", "rows"]}},
            "example": ["days"],
        }
    ],
)


def csv_example(spec: dict[str, Any]) -> None:
    """Give the second content type its example too."""
    operations(spec)["getTestKinds"]["responses"]["207"]["content"]["text/csv"]["example"] = "id"


def new_value(spec: dict[str, Any]) -> None:
    enum = spec["components"]["schemas"]["SharedOption"]
    enum["enum"].append("OPEN")
    enum["x-provenance"] += ", observed (OPEN)"


def nickname(spec: dict[str, Any]) -> None:
    spec["components"]["examples"]["CrudeTanksMetadata"]["value"]["nickname"] = "tanks"


def page_size(spec: dict[str, Any]) -> None:
    """A field of a request with its example; the fake, which is written by hand, does not support it."""
    add_field("ProcessingResultFilter", "pageSize", {"type": "integer", "x-provenance": "observed"})(spec)
    [body] = operations(spec)["getDatasetResults"]["requestBody"]["content"].values()
    next(iter(body["examples"].values()))["value"]["pageSize"] = 5


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")


def generate(checkout: Path) -> str:
    done = run(checkout, PYTHON, "scripts/generate.py")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_operation_needs_only_the_spec(checkout: Path) -> None:
    """A new operation, field and value are called sync and async through the mock, and pass the contract tests."""
    language = add_parameter("getDatasetMetadata", "lang", {"type": "string", "enum": ["en", "fr"]}, "en")
    field = add_field("DatasetMetadata", "nickname", nullable("string"))
    edit_spec(checkout, NEW_OPERATION, KINDS, csv_example, language, page_size, field, nickname, new_value)
    assert "get_test_asset.py" in generate(checkout)
    used = run(checkout, PYTHON, "-W", "error", "-c", USE)
    assert used.returncode == 0, used.stderr
    output = json.loads(used.stdout)
    assert str(checkout) in output.pop("package")
    assert output == {"assets": [["tank-1"], ["tank-1"]], "nickname": "tanks", "open": "OPEN"}

    selected = (
        "(getTest or getDatasetResults or test_spec or test_reference or test_fake or test_traffic) and not planted"
    )
    contract = run(checkout, PYTHON, "-m", "pytest", "tests/contract", "-v", "-k", selected)
    assert contract.returncode == 0, contract.stdout
    for name, statuses in (("getTestAsset", [200, 404]), ("getTestKinds", [200, 202, 207, 400, 404])):
        for case in (f"{name}-{status}-{call}" for status in statuses for call in ("sync", "async")):
            assert f"test_every_status_of_every_operation_is_typed[mock-{case}] PASSED" in contract.stdout


def test_insertions_anywhere_leave_the_contract_tests_green(checkout: Path) -> None:
    """Each operation gets an optional parameter, each object schema an optional field, and there is a new operation."""
    parameters = [add_parameter(name, "test_option", {"type": "string"}, "x") for name in operations()]
    fields = [
        add_field(
            name, "test_field", nullable("string") if schema["additionalProperties"] else {"type": "string"} | SOURCE
        )
        for name, schema in SPEC["components"]["schemas"].items()
        if schema["type"] == "object"
    ]
    edit_spec(checkout, *parameters, *fields, NEW_OPERATION)
    generate(checkout)
    lint = run(checkout, PYTHON, "-m", "scripts.lint_spec")
    assert lint.returncode == 0, lint.stdout
    contract = run(checkout, PYTHON, "-m", "pytest", "tests/contract", "-q", "-m", "not slow", "-x")
    assert contract.returncode == 0, contract.stdout


def test_a_removed_field_fails_the_right_checks(checkout: Path) -> None:
    """The reference lists it, and the committed client has it: both checks name it."""
    edit_spec(
        checkout, lambda spec: spec["components"]["schemas"]["DatasetMetadata"]["properties"].pop("processing_name")
    )
    reference = run(checkout, PYTHON, "-m", "pytest", "tests/contract/test_reference.py", "-q")
    assert reference.returncode == 1
    test = "tests/contract/test_reference.py::test_a_field_of_the_reference_is_there[DatasetMetadata-processing_name]"
    assert f"FAILED {test}" in reference.stdout
    assert "the reference lists DatasetMetadata.processing_name, and openapi.yaml does not" in reference.stdout
    generated = run(checkout, PYTHON, "scripts/generate.py", "--check")
    assert generated.returncode == 1
    assert "kayrros_openapi/models/dataset_metadata.py" in generated.stdout


def collections_or_null(spec: dict[str, Any]) -> None:
    [media] = operations(spec)["listCollections"]["responses"]["200"]["content"].values()
    media["schema"]["type"] = ["array", "null"]


def metadata_or_results(spec: dict[str, Any]) -> None:
    [media] = operations(spec)["getDatasetMetadata"]["responses"]["200"]["content"].values()
    media["schema"] = {"oneOf": [media["schema"], {"$ref": "#/components/schemas/ProcessingResultTimeSeries"}]}


@pytest.mark.parametrize(
    ("edit", "file"), [(collections_or_null, "kayrros_ext/_catalog.py"), (metadata_or_results, "kayrros_ext/client.py")]
)
def test_a_type_that_no_longer_fits_fails_mypy_in_our_client(edit: Any, file: str, checkout: Path) -> None:
    """A method of `Kayrros` returns what the generated operation returns, so a changed type is an error at its line."""
    edit_spec(checkout, edit)
    generate(checkout)
    cache = f"--cache-dir={checkout / '.mypy_cache'}"
    mypy = run(checkout, PYTHON, "-m", "mypy", cache, file, "generated/kayrros_openapi")
    assert mypy.returncode == 1, mypy.stdout
    assert f"{file}:" in mypy.stdout
