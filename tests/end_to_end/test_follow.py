"""Only the spec needs an edit: client, mock and contract tests follow, in a copy of the checkout."""

import json
from pathlib import Path

import pytest

from tests.support.checkout import EXAMPLE, FIELD, OPERATION, PYTHON, VALUE, copy_checkout, edit, run

pytestmark = pytest.mark.slow

# What a user would write the next day; it runs on the copy's packages alone.
USE = """
import asyncio, json, pathlib, sys
import kayrros_openapi
from kayrros_openapi.api.datasets import get_dataset_metadata, get_test_asset
from kayrros_openapi.models import AssetResult, SharedOption
from kayrros_ext import Kayrros
from kayrros_ext.testing import prism_mock

async def fetch(url):
    async with Kayrros(token="t", base_url=url, auth_url=url) as kayrros:
        return await get_test_asset.asyncio("tank-1", client=kayrros.client, page_size=5)

with prism_mock() as mock, Kayrros(token="t", base_url=mock.url, auth_url=mock.url) as kayrros:
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
# Text, an object and a choice without a name, a moment, a day: each is a type of its own in Python.
KINDS = (
    "  /v1/processingresult/dataset/{datasetId}:\n",
    """  /v1/test/kinds:
    get:
      operationId: getTestKinds
      summary: Get many kinds
      description: One for each status.
      tags: [datasets]
      x-provenance: {path: observed, status: assumed, body: observed}
      responses:
        '200':
          description: OK. Rows.
          content:
            text/csv: {schema: {type: string}, example: 'id,name'}
        '202':
          description: Days.
          content:
            application/json:
              schema: {type: array, items: {type: string, format: date}}
              example: ['2024-01-01']
        '400':
          description: An object.
          content:
            application/json:
              schema: {type: object, properties: {since: {type: string, format: date-time}}}
              example: {since: '2024-01-01T00:00:00Z'}
        '404':
          description: One of two.
          content:
            application/json:
              schema: {anyOf: [{$ref: '#/components/schemas/Error'}, {$ref: '#/components/schemas/Metrics'}]}
              example: {code: NOT_FOUND, message: Gone}

  /v1/processingresult/dataset/{datasetId}:
""",
)
# A field of a request, which its example has too, and a parameter. The fake, written by hand, does not know them.
REQUEST = [
    (
        "        time_range:\n          $ref",
        "        pageSize:\n          type: integer\n          x-provenance: observed\n          description: Rows.\n"
        "        time_range:\n          $ref",
    ),
    ("                  time_range:\n", "                  pageSize: 5\n                  time_range:\n"),
    (
        "      operationId: getDatasetMetadata\n",
        "      operationId: getDatasetMetadata\n"
        "      parameters: [{name: lang, in: query, schema: {type: string, enum: [en, fr]}, example: en}]\n",
    ),
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return copy_checkout(tmp_path / "checkout")


def make(checkout: Path, target: str) -> str:
    # The environment is the linked one: make must not find it old, and set it up for the copy.
    done = run(checkout, "make", "-o", ".venv/.ready", target)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_an_edit_of_the_spec_is_all_that_an_operation_needs(checkout: Path) -> None:
    """A new operation, field and enum value: called sync and async through the mock, and under the contract tests."""
    edit(checkout / "openapi.yaml", OPERATION, KINDS, *REQUEST, FIELD, EXAMPLE, VALUE)
    assert "get_test_asset.py" in make(checkout, "generate")
    used = run(checkout, PYTHON, "-W", "error", "-c", USE)
    assert 0 == used.returncode, used.stderr
    said = json.loads(used.stdout)
    assert str(checkout) in said.pop("package")
    assert {"assets": [["tank-1"], ["tank-1"]], "nickname": "tanks", "open": "OPEN"} == said

    contract = run(
        checkout,
        PYTHON,
        "-m",
        "pytest",
        "tests/contract",
        "-v",
        "-k",
        "(getTest or getDatasetResults or test_spec or test_reference or test_fake or test_traffic) and not planted",
    )
    assert 0 == contract.returncode, contract.stdout
    for name, statuses in (("getTestAsset", [200, 404]), ("getTestKinds", [200, 202, 400, 404])):
        for case in (f"{name}-{status}-{call}" for status in statuses for call in ("call_sync", "call_async")):
            assert f"test_every_status_of_every_operation_is_typed[mock-{case}] PASSED" in contract.stdout


def test_a_field_that_goes_fails_the_right_checks(checkout: Path) -> None:
    """The reference knows it, and the committed client has it: both say so, by name."""
    field = (
        "        processing_name:\n          type: [string, 'null']\n"
        "          description: Name of the platform processing.\n"
    )
    edit(checkout / "openapi.yaml", (field, ""))
    reference = run(checkout, PYTHON, "-m", "pytest", "tests/contract/test_reference.py", "-q")
    assert 1 == reference.returncode
    assert (
        "FAILED tests/contract/test_reference.py::test_a_field_of_the_reference_is_there[DatasetMetadata-processing_name]"
        in (reference.stdout)
    )
    assert "the reference lists DatasetMetadata.processing_name, and openapi.yaml does not" in reference.stdout
    generated = run(checkout, PYTHON, "scripts/generate.py", "--check")
    assert 1 == generated.returncode
    assert "generated/ is not what openapi.yaml gives" in generated.stdout
    assert "kayrros_openapi/models/dataset_metadata.py" in generated.stdout
