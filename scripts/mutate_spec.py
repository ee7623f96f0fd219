"""Damage the spec in many small ways, one at a time, and see which contract tests catch each. `make mutate-spec` runs it.

Each damage goes into a copy of the checkout. The tests that read the spec alone come first, in a second; only a damage
that they let through costs a generated client and the mock. One that all let through ends the run with 1: then a
contract test is missing. A change that is none must get through, or the table would mean nothing.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

ROOT = Path(__file__).parent.parent
QUICK = ["tests/contract/test_spec.py", "tests/contract/test_reference.py"]
SLOW = ["tests/contract/test_generated.py", "tests/contract/test_servers.py"]
WORKERS = 2
COPIED = [
    "openapi.yaml",
    "codegen.yaml",
    "pyproject.toml",
    "CHANGELOG.md",
    "generated",
    "kayrros_ext",
    "scripts",
    "tests",
]


@attrs.frozen
class Damage:
    """One edit: the first `old` behind the first `after` becomes `new`."""

    name: str
    after: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """The damaged text.

        Raises:
            ValueError: the spec has changed, and there is nothing to damage here any more.
        """
        head, found, tail = text.partition(self.after)
        if not found or self.old not in tail:
            raise ValueError(f"The damage {self.name!r} finds no {self.old!r} behind {self.after!r}: mend the damage.")
        return head + found + tail.replace(self.old, self.new, 1)


@attrs.frozen
class Outcome:
    """What a damage met: the tests that failed, none if it got through."""

    damage: Damage
    caught_by: list[str]


LOGIN, METADATA = "operationId: login", "operationId: getDatasetMetadata"
RESULTS, DOWNLOAD = "operationId: getDatasetResults", "operationId: downloadStaticDataset"
CONFLICT = "        '409':\n          $ref: '#/components/responses/DuplicateEntity'\n"
NULL = ", 'null']"
DAMAGES = [
    Damage("a type", "        asset_count:\n", "integer", "string"),
    Damage(
        "a type in an array", "        asset_categories:\n", "            type: string", "            type: integer"
    ),
    Damage("an integer becomes a number", "        asset_version:\n", "integer", "number"),
    Damage("a format, int32 to int64", "        asset_count:\n", "int32", "int64"),
    Damage("a format, double to float", "        value:\n          type", "double", "float"),
    Damage("a format is dropped, uuid", "    DatasetMetadata:\n", "          format: uuid\n", ""),
    Damage("a format is dropped, password", "    LoginRequest:\n", "          format: password\n", ""),
    Damage("the format of a parameter", "  parameters:\n    DatasetId:", "        format: uuid\n", ""),
    Damage("the file is text", DOWNLOAD, "format: binary", "format: byte"),
    Damage("a path", "paths:\n", "/v1/collection/dataset/summary/", "/v1/collection/dataset/summaries/"),
    Damage("an observed path", "paths:\n", "/v1/processingresult/dataset/", "/v1/processingresults/dataset/"),
    Damage("an assumed path", "paths:\n", "/v1/collection/dataset/download/", "/v1/dataset/download/"),
    Damage("a method", "  /v1/collection/dataset/summary/{datasetId}:\n", "    get:\n", "    put:\n"),
    Damage("a method of an observed path", "  /v1/processingresult/", "    post:\n", "    put:\n"),
    Damage("an operationId", "paths:\n", "getDatasetMetadata", "getMetadata"),
    Damage("a tag", METADATA, "tags: [datasets]", "tags: [authentication]"),
    Damage("a status is dropped", METADATA, CONFLICT, ""),
    Damage(
        "a status is dropped, of the login",
        LOGIN,
        "        '403':\n          $ref: '#/components/responses/AccessDenied'\n",
        "",
    ),
    Damage("a status has another number", RESULTS, "'409'", "'412'"),
    Damage("two statuses are swapped", DOWNLOAD, "responses/WrongCredentials", "responses/AccessDenied"),
    Damage("a label", "    DuplicateEntity:\n", "DUPLICATE_ENTITY. ", "DUPLICATE. "),
    Damage("a content type of an answer", METADATA, "application/json:", "application/xml:"),
    Damage("a content type of a request", RESULTS, "application/json:", "application/x-www-form-urlencoded:"),
    Damage("the content type of the file", DOWNLOAD, "'*/*'", "text/csv"),
    Damage("the schema of an answer", METADATA, "schemas/DatasetMetadata", "schemas/AssetResult"),
    Damage("the schema of an error", "    NotFound:\n", "schemas/Error", "schemas/Result"),
    Damage(
        "a field is dropped",
        "    AssetResult:\n",
        f"        parent_asset_id:\n          type: [string{NULL}\n",
        "        other_id:\n          type: [string" + NULL + "\n",
    ),
    Damage("a field is spelt otherwise", "    DatasetMetadata:\n", "sharedOption:", "shared_option:"),
    Damage(
        "a field that nobody knows",
        "    Result:\n",
        "        metrics:\n",
        "        unit:\n          type: [string, 'null']\n        metrics:\n",
    ),
    Damage("an enum value is dropped", "    SharedOption:\n", ", NON_SHARED]", "]"),
    Damage("an enum value is spelt otherwise", "    SharedOption:\n", "NON_SHARED]", "NOT_SHARED]"),
    Damage("an enum value that nobody knows", "    SharedOption:\n", "NON_SHARED]", "NON_SHARED, OPEN]"),
    Damage("an enum takes no other value", "        sharedOption:\n", "            - type: string\n", ""),
    Damage("null is dropped", "    Metrics:\n", f"[string{NULL}", "string"),
    Damage("null in a request", "    DateRange:\n", "type: integer\n", f"type: [integer{NULL}\n"),
    Damage(
        "an answer takes no unlisted field",
        "    Result:\n",
        "additionalProperties: true",
        "additionalProperties: false",
    ),
    Damage(
        "a request takes unlisted fields",
        "    ProcessingResultFilter:\n",
        "additionalProperties: false",
        "additionalProperties: true",
    ),
    Damage(
        "a field of an answer is required",
        "    LoginReply:\n",
        "      properties:\n",
        "      required: [token]\n      properties:\n",
    ),
    Damage(
        "a field of a request is not required",
        "    LoginRequest:\n",
        "required: [email, password]",
        "required: [email]",
    ),
    Damage(
        "an end of a range is not required",
        "    DateRange:\n",
        "required: [start_date, stop_date]",
        "required: [start_date]",
    ),
    Damage(
        "a filter is required",
        "    ProcessingResultFilter:\n",
        "      properties:\n",
        "      required: [mo_ids]\n      properties:\n",
    ),
    Damage("a body is required", RESULTS, "required: false", "required: true"),
    Damage("a body is not required", LOGIN, "required: true", "required: false"),
    Damage("an empty filter is taken", "    ProcessingResultFilter:\n", "          minItems: 1\n", ""),
    Damage("an empty email is taken", "    LoginRequest:\n", "          minLength: 1\n", ""),
    Damage("the data host", "servers:\n", "https://platform.api", "https://platform"),
    Damage("the login host", "  /v3/login:\n", "https://auth.kayrros", "https://login.kayrros"),
    Damage(
        "the login is on the data host",
        "  /v3/login:\n",
        "    servers:\n      - url: https://auth.kayrros.com\n        description: Login host (reference)\n",
        "",
    ),
    Damage("http", "servers:\n", "https://platform", "http://platform"),
    Damage("no security", "\nsecurity:\n", "  - bearer: []", "  - {}"),
    Damage("another scheme", "  securitySchemes:\n", "scheme: bearer", "scheme: basic"),
    Damage("the login wants a token", LOGIN, "      security: []\n", ""),
    Damage("an operation is public", METADATA, "      x-provenance:", "      security: []\n      x-provenance:"),
    Damage(
        "an example is dropped",
        "    InternalServerError:\n",
        "          example: {code: INTERNAL_SERVER_ERROR, message: The platform failed to answer}\n",
        "",
    ),
    Damage("an example of another type", METADATA, "asset_count: 6", "asset_count: six"),
    Damage("an example out of step with another", METADATA, "asset_count: 6", "asset_count: 7"),
    Damage(
        "the example of a parameter is dropped",
        "    DatasetId:\n",
        "      example: 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4\n",
        "",
    ),
    Damage("the example of a parameter does not fit", "    DatasetId:\n", "example: 7d3c1a52-", "example: dataset-"),
    Damage("a parameter is in the query", "    DatasetId:\n", "in: path", "in: query"),
    Damage(
        "the header with the file's name", DOWNLOAD, "            Content-Disposition:", "            Content-Name:"
    ),
    Damage("provenance is dropped", RESULTS, "        path: observed\n", ""),
    Damage("provenance of a guess", "\n    Error:\n", "      x-provenance: assumed\n", ""),
    Damage("a guess is called a fact", DOWNLOAD, "path: assumed (by", "path: reference (by"),
    Damage("a path that only a client told of", "paths:\n", "/v1/processing/collection/list", "/v1/collection/list"),
    Damage("a form field", "    CollectionDatasetsRequest:\n", "collection_id:", "collectionId:"),
    Damage(
        "a form becomes JSON",
        "operationId: listCollectionDatasets\n",
        "application/x-www-form-urlencoded:",
        "application/json:",
    ),
    Damage("an observation is called reference", "operationId: listCollections\n", "path: observed", "path: reference"),
    Damage("a bound of a range", "    DateRange:\n", "maximum: 253402300799999", "maximum: 2534023007999"),
    Damage("another OpenAPI", "# The contract", "openapi: 3.1.1", "openapi: 3.0.3"),
]
NONE = Damage("no damage: a comment", "paths:\n", "  /v3/login:", "  # Nothing changes here.\n  /v3/login:")


def main() -> int:
    """Try all, print the table, say what got through."""
    began = time.monotonic()
    width = max(len(damage.name) for damage in DAMAGES)
    outcomes = []
    for outcome in run([NONE, *DAMAGES]):
        tests = outcome.caught_by
        passed = "got through, as it must" if outcome.damage is NONE else "GOT THROUGH"
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        print(f"{outcome.damage.name:<{width}}  {tests[0] + more if tests else passed}", flush=True)
        outcomes.append(outcome)
    control, *others = outcomes
    through = [outcome.damage.name for outcome in others if not outcome.caught_by]
    print(f"\n{len(others) - len(through)} of {len(others)} damages caught in {time.monotonic() - began:.0f} s")
    if control.caught_by:
        print("A comment was caught too, so the table means nothing: make the contract tests pass first.")
    if through:
        print(f"Nothing caught: {', '.join(through)}. A contract test is missing.")
    return 1 if through or control.caught_by else 0


def run(damages: list[Damage], workers: int = WORKERS) -> Iterator[Outcome]:
    """Try each in a copy of the checkout, a copy for each worker."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [_copy(Path(folder) / str(number)) for number in range(workers)]
        free = list(copies)

        def attempt(damage: Damage) -> Outcome:
            copy = free.pop()
            try:
                return Outcome(damage, _try(damage, copy))
            finally:
                free.append(copy)

        with ThreadPoolExecutor(workers) as pool:
            yield from pool.map(attempt, damages)


def _copy(target: Path) -> Path:
    """What the contract tests read; installed things are linked."""
    target.mkdir()
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    (target / "node_modules").symlink_to(ROOT / "node_modules")
    return target


def _try(damage: Damage, copy: Path) -> list[str]:
    """The tests that fail on it: of those of the spec alone all, else the first of those with client and mock."""
    spec = copy / "openapi.yaml"
    spec.write_text(damage.apply((ROOT / "openapi.yaml").read_text("utf-8")), "utf-8")
    if caught := _fail(copy, *QUICK):
        return caught
    # A damage that the generator refuses leaves the old client, and test_generated finds the two apart.
    subprocess.run([sys.executable, "scripts/generate.py"], cwd=copy, capture_output=True, check=False)
    try:
        return _fail(copy, "--exitfirst", *SLOW)
    finally:
        shutil.rmtree(copy / "generated")
        shutil.copytree(ROOT / "generated", copy / "generated", ignore=shutil.ignore_patterns("__pycache__"))


def _fail(copy: Path, *arguments: str) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--tb=no",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(copy / "generated"), str(copy)])}
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    found = re.findall(r"^(?:FAILED|ERROR) tests/contract/(\S+)", done.stdout, re.MULTILINE)
    if "ImportError while loading conftest" in done.stderr:
        return ["../conftest.py: our own layer can't be imported with this client"]
    if done.returncode and not found:
        raise RuntimeError(f"pytest ended with {done.returncode} and named no test:\n{done.stdout}{done.stderr}")
    return found


if __name__ == "__main__":
    sys.exit(main())
