"""Mutate the spec in many small ways, one at a time, and list the contract tests that catch each: `make mutate-spec`.

Each mutation goes into a copy of the checkout. The tests that only read the spec come first, because they take a second. A
mutation that they miss costs a generated client and the mock. A mutation that all tests miss ends the run with 1, because a
contract test is missing. The unchanged spec must pass, or the table would mean nothing.
"""

import copy
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import yaml

from scripts.spec import ROOT, operations

QUICK = ["tests/contract/test_spec.py", "tests/contract/test_reference.py"]
SLOW = ["tests/contract/test_generated.py", "tests/contract/test_servers.py"]
WORKERS = 2
COPIED = ["openapi.yaml", "codegen.yaml", "redocly.yaml", "pyproject.toml", "CHANGELOG.md", "generated", "kayrros_ext"]
COPIED += ["scripts", "tests"]
_Spec = dict[str, Any]


@attrs.frozen
class Mutation:
    """One edit of a place in the spec.

    Attributes:
        name: a description.
        place: keys, separated by spaces; the first may be an operationId, the name of a schema, or a key of the document.
        edit: changes the container of the place, which it gets with the last key.
    """

    name: str
    place: str
    edit: Callable[[Any, Any], None]

    def apply(self, spec: _Spec) -> _Spec:
        """Return the mutated spec.

        Raises:
            ValueError: the place does not exist, or the edit changes nothing.
        """
        mutated = copy.deepcopy(spec)
        try:
            container, key = locate(mutated, self.place)
            self.edit(container, key)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"The mutation {self.name!r} fits no more: no {self.place!r} in the spec.") from error
        if mutated == spec:
            raise ValueError(f"The mutation {self.name!r} changes nothing.")
        return mutated


def locate(spec: _Spec, place: str) -> tuple[Any, Any]:
    """Return the container of a place, and the key in it."""
    first, *rest = place.split(" ")
    node: Any = spec
    if first in operations(spec):
        path, method = operations(spec)[first]
        keys = ["paths", path, method, *rest]
    elif first in spec["components"]["schemas"]:
        keys = ["components", "schemas", first, *rest]
    else:
        keys = [first, *rest]
    for key in keys[:-1]:
        node = node[int(key) if isinstance(node, list) else key]
    last = int(keys[-1]) if isinstance(node, list) else keys[-1]
    return node, last


def put(name: str, place: str, value: Any) -> Mutation:
    """Set a value, whether there was one or not."""

    def edit(container: Any, key: Any) -> None:
        container[key] = value

    return Mutation(name, place, edit)


def drop(name: str, place: str) -> Mutation:
    """Delete a value."""

    def edit(container: Any, key: Any) -> None:
        del container[key]

    return Mutation(name, place, edit)


def rename(name: str, place: str, new: str) -> Mutation:
    """Rename a key, and keep its place among the others."""

    def edit(container: Any, key: Any) -> None:
        if key not in container:
            raise KeyError(key)
        renamed = {new if name == key else name: value for name, value in container.items()}
        container.clear()
        container.update(renamed)

    return Mutation(name, place, edit)


LOGIN = "paths /v3/login"
SUMMARY, RESULTS = "paths /v1/collection/dataset/summary/{datasetId}", "paths /v1/processingresult/dataset/{datasetId}"
DOWNLOAD, LIST = "paths /v1/collection/dataset/download/{datasetId}", "paths /v1/processing/collection/list"
JSON, METADATA = "content application/json", "getDatasetMetadata responses 200 content application/json"
RESPONSES, PARAMETER = "#/components/responses/", "components parameters DatasetId"
CRUDE_TANKS = "components examples CrudeTanksMetadata value"
MUTATIONS = [
    put("a type", "DatasetMetadata properties asset_count type 0", "string"),
    put("a type in an array", "AssetResult properties asset_categories items type", "integer"),
    put("an integer becomes a number", "AssetResult properties asset_version type 0", "number"),
    put("a format, int32 to int64", "DatasetMetadata properties asset_count format", "int64"),
    put("a format, double to float", "Metrics properties value format", "float"),
    drop("a format is dropped, uuid", "DatasetMetadata properties id format"),
    drop("a format is dropped, password", "LoginRequest properties password format"),
    drop("the format of a parameter", f"{PARAMETER} schema format"),
    put("the file is text", "downloadStaticDataset responses 200 content */* schema format", "byte"),
    rename("a path", SUMMARY, "/v1/collection/dataset/summaries/{datasetId}"),
    rename("an observed path", RESULTS, "/v1/processingresults/dataset/{datasetId}"),
    rename("an assumed path", DOWNLOAD, "/v1/dataset/download/{datasetId}"),
    rename("a method", f"{SUMMARY} get", "put"),
    rename("a method of an observed path", f"{RESULTS} post", "put"),
    put("an operationId", "getDatasetMetadata operationId", "getMetadata"),
    put("a tag", "getDatasetMetadata tags", ["authentication"]),
    drop("a status is dropped", "getDatasetMetadata responses 409"),
    drop("a status is dropped, of the login", "login responses 403"),
    rename("a status has another number", "getDatasetResults responses 409", "412"),
    put("a status has another label", "downloadStaticDataset responses 401 $ref", f"{RESPONSES}AccessDenied"),
    put("a label", "components responses DuplicateEntity description", "DUPLICATE. It exists."),
    rename("a content type of a response", METADATA, "application/xml"),
    rename("a content type of a request", f"getDatasetResults requestBody {JSON}", "application/x-www-form-urlencoded"),
    rename("the content type of the file", "downloadStaticDataset responses 200 content */*", "text/csv"),
    put("the schema of a response", f"{METADATA} schema $ref", "#/components/schemas/AssetResult"),
    put("the schema of an error", f"components responses NotFound {JSON} schema $ref", "#/components/schemas/Result"),
    rename("a field has another name", "AssetResult properties parent_asset_id", "other_id"),
    rename("a field is misspelt", "DatasetMetadata properties sharedOption", "shared_option"),
    put("a field without a source", "Result properties unit", {"type": ["string", "null"], "description": "Unit."}),
    drop("an enum value is dropped", "SharedOption enum 2"),
    put("an enum value is misspelt", "SharedOption enum 2", "NOT_SHARED"),
    put("an enum value without a source", "SharedOption enum", ["OWNED", "SHARED", "NON_SHARED", "OPEN"]),
    drop("an enum takes no other value", "DatasetMetadata properties sharedOption anyOf 1"),
    put("null is dropped", "Metrics properties name type", "string"),
    put("null in a request", "DateRange properties start_date type", ["integer", "null"]),
    put("a response takes no unlisted field", "Result additionalProperties", False),  # noqa: FBT003
    put("a request takes unlisted fields", "ProcessingResultFilter additionalProperties", True),  # noqa: FBT003
    put("a field of a response is required", "Collection required", ["id"]),
    drop("the token is not required", "LoginReply required"),
    put("a field of a request is not required", "LoginRequest required", ["email"]),
    put("an end of a range is not required", "DateRange required", ["start_date"]),
    put("a filter is required", "ProcessingResultFilter required", ["mo_ids"]),
    put("a body is required", "getDatasetResults requestBody required", True),  # noqa: FBT003
    put("a body is not required", "login requestBody required", False),  # noqa: FBT003
    drop("an empty filter is taken", "ProcessingResultFilter properties mo_ids minItems"),
    drop("an empty email is taken", "LoginRequest properties email minLength"),
    put("the data host", "servers 0 url", "https://platform.kayrros.com"),
    put("the login host", f"{LOGIN} servers 0 url", "https://login.kayrros.com"),
    drop("the login is on the data host", f"{LOGIN} servers"),
    put("http", "servers 0 url", "http://platform.api.kayrros.com"),
    put("no security", "security", [{}]),
    put("another scheme", "components securitySchemes bearer scheme", "basic"),
    drop("the login needs a token", "login security"),
    put("an operation is public", "getDatasetMetadata security", []),
    drop("an example is dropped", f"components responses InternalServerError {JSON} example"),
    put("an example of another type", f"{CRUDE_TANKS} asset_count", "six"),
    put("an example contradicts another", f"{CRUDE_TANKS} asset_count", 7),
    put(
        "a list leads to another dataset",
        "listCollectionDatasets responses 200 content application/json examples oil-storage value 0 id",
        "c0a8e6f4-93d1-4b5a-8f27-6d1e4b7a3c58",
    ),
    drop("the example of a parameter is dropped", f"{PARAMETER} example"),
    put("the example of a parameter does not fit", f"{PARAMETER} example", "dataset-1"),
    put("a parameter is in the query", f"{PARAMETER} in", "query"),
    rename(
        "the header with the file's name", "downloadStaticDataset responses 200 headers Content-Disposition", "X-Name"
    ),
    drop("provenance is dropped", "getDatasetResults x-provenance path"),
    drop("the provenance of a guess", "ErrorResponse x-provenance"),
    put("a guess is called a fact", "downloadStaticDataset x-provenance path", "reference (by analogy with `summary`)"),
    rename("an observed path loses a part", LIST, "/v1/collection/list"),
    rename("a form field", "CollectionDatasetsRequest properties collection_id", "collectionId"),
    rename(
        "a form becomes JSON",
        "listCollectionDatasets requestBody content application/x-www-form-urlencoded",
        "application/json",
    ),
    put("an observation is called reference", "listCollections x-provenance path", "reference"),
    put("a bound of a range", "DateRange properties stop_date maximum", 2534023007999),
    put("another OpenAPI", "openapi", "3.0.3"),
]
# The control: nothing that a contract test may catch.
UNCHANGED = put("no mutation: another comment on the file", "info x-comment", "Nothing changes.")


@attrs.frozen
class Outcome:
    """The tests that a mutation failed; none if all of them missed it."""

    mutation: Mutation
    caught_by: list[str]


def main() -> int:
    """Try all mutations, print the table and the missed ones."""
    started = time.monotonic()
    width = max(len(mutation.name) for mutation in [UNCHANGED, *MUTATIONS])
    outcomes = []
    for outcome in run([UNCHANGED, *MUTATIONS]):
        tests = outcome.caught_by
        passed = "passed, as it must" if outcome.mutation is UNCHANGED else "MISSED"
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        print(f"{outcome.mutation.name:<{width}}  {tests[0] + more if tests else passed}", flush=True)
        outcomes.append(outcome)
    control, *others = outcomes
    missed = [outcome.mutation.name for outcome in others if not outcome.caught_by]
    print(f"\n{len(others) - len(missed)} of {len(others)} mutations caught in {time.monotonic() - started:.0f} s")
    if control.caught_by:
        print("The control failed too, so the table means nothing. Make the contract tests pass first.")
    if missed:
        print(f"Missed: {', '.join(missed)}. A contract test is missing.")
    return 1 if missed or control.caught_by else 0


def run(mutations: list[Mutation], workers: int = WORKERS) -> Iterator[Outcome]:
    """Try each mutation in a copy of the checkout, with one copy for each worker."""
    spec = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        idle = [_copy(Path(folder) / str(number)) for number in range(workers)]

        def attempt(mutation: Mutation) -> Outcome:
            checkout = idle.pop()
            try:
                return Outcome(mutation, _try(mutation.apply(spec), checkout))
            finally:
                idle.append(checkout)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(attempt, mutations)


def _copy(target: Path) -> Path:
    """Copy what the contract tests read, and link what is installed."""
    target.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name in (".venv", "node_modules"):
        (target / name).symlink_to(ROOT / name)
    return target


def _try(spec: _Spec, checkout: Path) -> list[str]:
    """Return the tests that fail: all quick ones, or else the first one that needs client and mock."""
    (checkout / "openapi.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), "utf-8")
    if failed := _failed(checkout, *QUICK):
        return failed
    # If the generator refuses the mutation, the old client stays, and test_generated reports the difference.
    subprocess.run([sys.executable, "scripts/generate.py"], cwd=checkout, capture_output=True, check=False)
    try:
        return _failed(checkout, "--exitfirst", *SLOW)
    finally:
        shutil.rmtree(checkout / "generated")
        shutil.copytree(ROOT / "generated", checkout / "generated", ignore=shutil.ignore_patterns("__pycache__"))


def _failed(checkout: Path, *arguments: str) -> list[str]:
    options = ["-q", "--tb=no", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout / "generated"), str(checkout)])}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    failed = re.findall(r"^(?:FAILED|ERROR) tests/contract/(\S+)", done.stdout, re.MULTILINE)
    if "ImportError while loading conftest" in done.stderr:
        return ["../conftest.py: our own code cannot be imported with this client"]
    if done.returncode and not failed:
        raise RuntimeError(f"pytest ended with {done.returncode} and named no test:\n{done.stdout}{done.stderr}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
