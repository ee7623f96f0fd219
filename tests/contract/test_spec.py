"""openapi.yaml: valid, complete, with examples worth serving."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from scripts.lint_spec import lint

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "openapi.yaml").read_text("utf-8")
SPEC: dict[str, Any] = yaml.safe_load(TEXT)
METHODS = {"get", "post", "put", "patch", "delete"}


def resolve(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def operations() -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for item in SPEC["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    }


def media(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each body of an operation, with its name."""
    if "requestBody" in operation:
        for content in operation["requestBody"]["content"].values():
            yield "request", content
    for status, response in operation["responses"].items():
        for content in resolve(response).get("content", {}).values():
            yield status, content


def examples() -> list[Any]:
    """Each example of each body: its name, its schema, its value."""
    found = []
    for name, operation in operations().items():
        for place, content in media(operation):
            single = {"": {"value": content["example"]}} if "example" in content else {}
            for title, example in {**single, **content.get("examples", {})}.items():
                found.append(pytest.param(content["schema"], resolve(example)["value"], id=f"{name}-{place}-{title}"))
    return found


def test_the_spec_is_openapi_3_1() -> None:
    """By somebody else's validator."""
    assert SPEC["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(SPEC).validate()


def test_the_example_of_an_error_is_of_that_error() -> None:
    """Its code is one of the label's."""
    for response in SPEC["components"]["responses"].values():
        label = response["description"].partition(". ")[0]
        assert response["content"]["application/json"]["example"]["code"] in label.split(" OR ")


def test_every_body_has_an_example() -> None:
    """The mock answers without an example with extremes; so each status of each operation has one."""
    for name, operation in operations().items():
        for place, content in media(operation):
            assert content.get("examples") or "example" in content, (name, place)


def test_every_parameter_has_an_example() -> None:
    """The contract tests call with it, and so does a reader who tries the API."""
    lists = [SPEC["components"].get("parameters", {}).values()]
    for item in SPEC["paths"].values():
        lists += [owner.get("parameters", []) for owner in [item, *item.values()] if isinstance(owner, dict)]
    for parameter in (resolve(parameter) for parameters in lists for parameter in parameters):
        assert parameter.get("examples") or "example" in parameter, parameter["name"]
        if "example" in parameter:
            checker = jsonschema.FormatChecker()
            schema = {**parameter["schema"], "components": SPEC["components"]}  # which it may refer to
            validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
            assert validator.is_valid(parameter["example"]), parameter["name"]


@pytest.mark.parametrize(("schema", "value"), examples())
def test_each_example_fits_its_schema(schema: dict[str, Any], value: Any) -> None:
    """Formats too: a UUID is one."""
    validator = jsonschema.Draft202012Validator(
        {**schema, "components": SPEC["components"]}, format_checker=jsonschema.FormatChecker()
    )
    assert not [error.message for error in validator.iter_errors(value)]


def test_an_example_of_another_type_would_be_seen() -> None:
    """The check above can fail: nested in arrays, behind references, and in formats."""
    schema = {"$ref": "#/components/schemas/ProcessingResultTimeSeries", "components": SPEC["components"]}
    wrong = {"assets": [{"results": [{"metrics": [{"value": "1"}]}]}]}
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)
    metadata = {"$ref": "#/components/schemas/DatasetMetadata", "components": SPEC["components"]}
    checker = jsonschema.FormatChecker()
    assert not jsonschema.Draft202012Validator(metadata, format_checker=checker).is_valid({"id": "abc"})


def named(operation: str, status: str = "200") -> dict[str, Any]:
    [content] = operations()[operation]["responses"][status]["content"].values()
    return {name: resolve(example)["value"] for name, example in content["examples"].items()}


def test_metadata_and_results_tell_of_the_same_datasets() -> None:
    """Three of them, by the same names, with as many assets, the same ids, and dates within the range."""
    metadata, results = named("getDatasetMetadata"), named("getDatasetResults")
    assert list(metadata) == list(results) == ["crude-tanks", "methane-hotspots", "industrial-activity"]
    for name, about in metadata.items():
        answer = results[name]
        assert about["asset_count"] == len(answer["assets"]) >= 3
        assert about["processing_id"] == answer["processing_id"]
        assert about["source_id"] == answer["source_id"]
        dates = [result["value_date"] for asset in answer["assets"] for result in asset["results"]]
        assert about["start_date"] > 1_500_000_000_000, "seconds are no milliseconds"
        for date in dates:
            assert about["start_date"] <= datetime.fromisoformat(date).timestamp() * 1000 <= about["stop_date"]
        assert len(set(dates)) >= 4


def test_the_lists_name_the_datasets_that_there_are() -> None:
    """A dataset of a list is one of those that have metadata, by the same id and name."""
    known = {about["id"]: about["name"] for about in named("getDatasetMetadata").values()}
    listed = named("listCollectionDatasets")["emissions"]
    assert {dataset["id"]: dataset["name"] for dataset in listed}.items() <= known.items()
    sent = operations()["listCollectionDatasets"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    collections = {collection["id"] for collection in named("listCollections")["two-collections"]}
    assert {example["value"]["collection_id"] for example in sent["examples"].values()} <= collections


def test_the_examples_hold_the_special_cases() -> None:
    """Two metrics per date, parents, one result without metrics, one asset without results."""
    results = named("getDatasetResults")
    assert {2} == {len(result["metrics"]) for asset in results["crude-tanks"]["assets"] for result in asset["results"]}
    assert 2 == len({asset["parent_asset_id"] for asset in results["crude-tanks"]["assets"]})
    everything = [asset for answer in results.values() for asset in answer["assets"]]
    assert 1 == sum(not result["metrics"] for asset in everything for result in asset["results"])
    assert 1 == sum(not asset["results"] for asset in everything)


def sent_schemas(node: Any) -> Iterator[str]:
    """Names of the schemas that requests are made of."""
    if isinstance(node, list):
        for part in node:
            yield from sent_schemas(part)
    elif isinstance(node, dict):
        if "$ref" in node:
            if node["$ref"].startswith("#/components/schemas/"):
                yield node["$ref"].rpartition("/")[2]
            yield from sent_schemas(resolve(node))
        yield from sent_schemas(list(node.values()))


def test_reading_is_tolerant_and_sending_is_strict() -> None:
    """No field of an answer is required, each may be null, unlisted ones are kept; a request takes what is listed."""
    sent = set(sent_schemas([operation.get("requestBody") for operation in operations().values()]))
    for name, schema in SPEC["components"]["schemas"].items():
        if schema["type"] == "object":
            assert (name not in sent) is schema["additionalProperties"], name
            if name not in sent:
                assert "required" not in schema, name
                for field, kind in schema["properties"].items():
                    assert "null" in kind.get("type", "") or {"type": "null"} in kind.get("anyOf", []), (name, field)
                    if any("enum" in resolve(option) for option in [kind, *kind.get("anyOf", [])]):
                        assert {"type": "string"} in kind["anyOf"], f"{name}.{field} takes no value that is not listed"
            else:
                for field, kind in schema["properties"].items():
                    assert "null" not in str(kind.get("type")), f"{name}.{field} would be sent as null"


def test_every_operation_says_where_it_comes_from() -> None:
    """By our lint, which redocly has no rule for."""
    assert not lint(TEXT)


def test_a_status_without_quotes_is_a_problem() -> None:
    """YAML takes it for a number, other linters take it as it is, and the generator breaks on it."""
    [(line, words)] = lint(TEXT.replace("'409':", "409:", 1))
    assert "the key 409 is no string" in words
    assert "'409':" == TEXT.splitlines()[line - 1].strip()


def test_two_ids_of_one_python_name_are_a_problem() -> None:
    """One function would overwrite the other, and nobody would say so."""
    [(line, words)] = lint(TEXT.replace("operationId: listCollections\n", "operationId: get_dataset_metadata\n"))
    assert "is get" in words.lower()
    assert "operationId: get" in TEXT.replace("listCollections", "get_dataset_metadata").splitlines()[line - 1]


def test_a_format_that_nobody_knows_is_a_problem() -> None:
    """Generator, mock and validators take a misspelt one for none. A field or an example may be called so."""
    [(line, words)] = lint(TEXT.replace("format: uuid", "format: uiud", 1))
    assert "the format uiud is unknown" in words
    assert "format: uuid" == TEXT.splitlines()[line - 1].strip()
    named = "        format:\n          type: string\n        type:\n          type: string\n        asset_count:\n"
    assert not lint(TEXT.replace("        asset_count:\n", named, 1))


def test_a_spec_without_operations_is_a_problem() -> None:
    """Nothing to check is not the same as all well."""
    assert lint("openapi: 3.1.1\n")


def test_the_lint_ends_with_1_where_there_is_a_problem(tmp_path: Path) -> None:
    """So that `make check` stops."""
    for name, text, expected in (("good.yaml", TEXT, 0), ("bad.yaml", TEXT.replace("x-provenance", "x-other"), 1)):
        (tmp_path / name).write_text(text)
        command = [sys.executable, "-m", "scripts.lint_spec", str(tmp_path / name)]
        assert expected == subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("path: observed\n        status", "status"), "x-provenance has no `path`"),
        (("path: observed\n", "path: rumoured\n"), "x-provenance.path is 'rumoured'"),
        (("path: observed\n", "path: observed, rumoured\n"), "x-provenance.path is 'observed, rumoured'"),
        (("path: observed\n", "path: observed\n        colour: assumed\n"), "x-provenance has `colour`"),
        (("x-provenance:\n", "x-other:\n"), "no x-provenance"),
    ],
)
def test_an_operation_that_does_not_is_named_with_its_line(change: tuple[str, str], problem: str) -> None:
    """The lint can fail."""
    before, marker, after = TEXT.partition("operationId: getDatasetResults\n      summary")
    [(line, words)] = lint(before + marker + after.replace(*change, 1))
    assert words.startswith("post /v1/processingresult/dataset/{datasetId}: ")
    assert problem in words
    assert "post:" == TEXT.splitlines()[line - 1].strip()
