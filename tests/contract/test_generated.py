"""generated/ is the output of the generator for openapi.yaml, and every file of it says so."""

import hashlib
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kayrros_ext._results.schema import ASSET_FIELDS
from kayrros_openapi import schemas
from kayrros_openapi.contract import OPERATIONS
from tests.support.calls import modules
from tests.support.spec import SPEC, operations

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "generated").rglob("*") if path.is_file() and "__pycache__" not in path.parts)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the generation reads and writes."""
    for name in ("openapi.yaml", "codegen.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("generated", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def generate(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/generate.py", *options]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def contents(checkout: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (checkout / "generated").rglob("*") if path.is_file()}


def test_an_edit_and_a_stray_file_are_reported_and_removed(checkout: Path) -> None:
    """The report names each file and the command. After that, the client is the committed one, to the byte."""
    before = contents(checkout)
    generated = checkout / "generated"
    with (generated / "kayrros_openapi" / "types.py").open("a") as file:
        file.write("\nEDITED = True\n")
    for name in ("kayrros_openapi/stray.py", "stray.txt"):
        (generated / name).write_text("x = 1\n")
    check = generate(checkout, "--check")
    assert check.returncode == 1
    for text in ("kayrros_openapi/types.py", "kayrros_openapi/stray.py", "stray.txt", "make generate"):
        assert text in check.stdout
    assert generate(checkout).returncode == 0
    assert contents(checkout) == before


def test_any_change_of_the_spec_is_reported(checkout: Path) -> None:
    """A comment changes no code, but it changes the hash next to the code. Nothing else is reported."""
    spec = checkout / "openapi.yaml"
    spec.write_text(spec.read_text() + "# a comment\n")
    check = generate(checkout, "--check")
    assert check.returncode == 1
    assert re.findall(r"\S+\.(?:py|toml|typed|txt)", check.stdout) == ["SOURCE.toml"]


def test_a_warning_of_the_generator_is_an_error(checkout: Path) -> None:
    """A response that the generator drops stops it, and nothing is written."""
    (checkout / "codegen.yaml").write_text("package_name_override: kayrros_openapi\npost_hooks: []\n")
    before = contents(checkout)
    done = generate(checkout)
    assert done.returncode == 1
    assert "*/*" in done.stderr
    assert contents(checkout) == before


def test_every_file_starts_with_do_not_edit() -> None:
    """The line names the command that makes the file."""
    assert len(FILES) > 20
    for file in FILES:
        with file.open(encoding="utf-8") as lines:
            first = next(lines)
        assert "Do not edit" in first, file
        assert "make generate" in first, file


def test_the_source_is_on_record() -> None:
    """It is the hash of the spec and the version of the generator."""
    source = tomllib.loads((ROOT / "generated" / "SOURCE.toml").read_text())
    assert source["sha256"]["openapi.yaml"] == hashlib.sha256((ROOT / "openapi.yaml").read_bytes()).hexdigest()
    assert source["version"]["openapi-python-client"]


@pytest.mark.parametrize("name", operations())
def test_an_operation_has_typed_functions_sync_and_async(name: str) -> None:
    """There are four of them."""
    for function in (
        getattr(modules()[name], kind) for kind in ("sync", "sync_detailed", "asyncio", "asyncio_detailed")
    ):
        assert inspect.signature(function).return_annotation not in {None, inspect.Signature.empty}


def test_the_contract_has_every_operation_with_its_statuses() -> None:
    """The layer reads from it which responses are documented."""
    documented = {
        (operation["operationId"], method.upper(), path): set(operation["responses"])
        for path, item in SPEC["paths"].items()
        for method, operation in item.items()
        if operation in operations().values()
    }
    assert {(one.id, one.method, one.path): set(one.responses) for one in OPERATIONS} == documented


def test_both_packages_carry_types() -> None:
    """They have the marker of PEP 561."""
    assert (ROOT / "kayrros_ext" / "py.typed").is_file()
    assert (ROOT / "generated" / "kayrros_openapi" / "py.typed").is_file()


def test_columns_of_the_tables_are_fields_of_the_schemas() -> None:
    """A field of the results that openapi.yaml renames is renamed in kayrros_ext/_results/schema.py as well."""
    [results] = [one.responses["200"]["application/json"] for one in OPERATIONS if one.id == "getDatasetResults"]
    assert results is schemas.ProcessingResultTimeSeries
    assert {*(field.name for field in ASSET_FIELDS), "results"} <= {*schemas.AssetResult.__struct_fields__}
    assert {"value_date", "metrics"} <= {*schemas.Result.__struct_fields__}
    assert {"name", "value"} <= {*schemas.Metrics.__struct_fields__}
