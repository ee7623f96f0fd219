"""openapi.yaml is valid and complete, and its examples are worth serving."""

from datetime import datetime
from typing import Any

import jsonschema
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from scripts.lint_spec import lint
from tests.support.spec import SPEC, TEXT, edited, examples, media, named, operations, resolve

DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
EXAMPLES = [
    pytest.param(content["schema"], value, id=f"{name}-{place}-{title}")
    for name, operation in operations().items()
    for place, content in media(operation)
    for title, value in examples(content).items()
]


def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    whole = {**schema, "components": SPEC["components"]}
    return jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())


def test_the_spec_is_openapi_3_1() -> None:
    """A validator of another project accepts it."""
    assert SPEC["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(SPEC).validate()


def test_the_spec_follows_our_rules() -> None:
    """Redocly has no rules for provenance and for the direction of a schema."""
    assert not lint(TEXT)


def test_the_example_of_an_error_belongs_to_its_label() -> None:
    """Its code is one of the label's."""
    for response in SPEC["components"]["responses"].values():
        label = response["description"].partition(". ")[0]
        assert response["content"]["application/json"]["example"]["code"] in label.split(" OR ")


def test_every_body_has_an_example() -> None:
    """Without one, the mock answers with extreme values."""
    for name, operation in operations().items():
        for place, content in media(operation):
            assert examples(content), (name, place)


def test_every_parameter_has_an_example() -> None:
    """The contract tests call with it, and so do readers who try the API."""
    lists = [SPEC["components"].get("parameters", {}).values()]
    for item in SPEC["paths"].values():
        lists += [owner.get("parameters", []) for owner in [item, *item.values()] if isinstance(owner, dict)]
    for parameter in (resolve(parameter) for parameters in lists for parameter in parameters):
        values = examples(parameter)
        assert values, parameter["name"]
        assert all(validator(parameter["schema"]).is_valid(value) for value in values.values()), parameter["name"]


@pytest.mark.parametrize(("schema", "value"), EXAMPLES)
def test_each_example_fits_its_schema(schema: dict[str, Any], value: Any) -> None:
    """The check includes formats: a UUID is a UUID."""
    assert not [error.message for error in validator(schema).iter_errors(value)]


def test_an_example_of_another_type_would_be_seen() -> None:
    """The check above can fail: nested in arrays, behind references, and in formats."""
    # Of requests, because what came from the live API may have widened the schemas of responses.
    request = validator({"$ref": "#/components/schemas/ProcessingResultFilter"})
    assert not request.is_valid({"mo_ids": [1]})
    assert not request.is_valid({"time_range": {"start_date": "1", "stop_date": 2}})
    assert not validator(SPEC["components"]["parameters"]["DatasetId"]["schema"]).is_valid("abc")


def test_metadata_and_results_describe_the_same_datasets() -> None:
    """The datasets have the same names, numbers of assets and ids in both, and their dates lie in the range."""
    metadata, results = named("getDatasetMetadata"), named("getDatasetResults")
    assert list(metadata) == list(results)
    assert len(metadata) >= 3
    for name, dataset in metadata.items():
        assets = results[name]["assets"]
        assert dataset["asset_count"] == len(assets) >= 3
        assert dataset["processing_id"] == results[name]["processing_id"]
        assert dataset["source_id"] == results[name]["source_id"]
        dates = [result["value_date"] for asset in assets for result in asset["results"]]
        assert dataset["start_date"] > 1_500_000_000_000, "these are seconds, not milliseconds"
        for date in dates:
            assert dataset["start_date"] <= datetime.fromisoformat(date).timestamp() * 1000 <= dataset["stop_date"]
        assert len(set(dates)) >= 4


def first(example: dict[str, Any]) -> Any:
    return next(iter(example.values()))


def test_the_first_item_of_each_example_leads_to_the_next() -> None:
    """The mock answers with the first example, so login, collections, datasets, metadata and results tell one story."""
    assert first(named("login"))["token"]
    collection = first(named("listCollections"))[0]
    [request] = operations()["listCollectionDatasets"]["requestBody"]["content"].values()
    assert first(examples(request)) == {"collection_id": collection["id"]}
    dataset = first(named("listCollectionDatasets"))[0]
    metadata = first(named("getDatasetMetadata"))
    assert (
        dataset["id"] == metadata["id"] == DATASET == resolve(SPEC["components"]["parameters"]["DatasetId"])["example"]
    )
    assert dataset["name"] == metadata["name"]
    results = first(named("getDatasetResults"))
    assert metadata["asset_count"] == len(results["assets"])
    [request] = operations()["getDatasetResults"]["requestBody"]["content"].values()
    assert set(first(examples(request))["mo_ids"]) <= {asset["asset_id"] for asset in results["assets"]}


def test_the_lists_name_existing_datasets() -> None:
    """Each dataset of a list has metadata with the same id and name, and each dataset is listed once."""
    datasets = sorted((dataset["id"], dataset["name"]) for dataset in named("getDatasetMetadata").values())
    listed = named("listCollectionDatasets").values()
    assert sorted((dataset["id"], dataset["name"]) for datasets in listed for dataset in datasets) == datasets
    [request] = operations()["listCollectionDatasets"]["requestBody"]["content"].values()
    requested = [example["collection_id"] for example in examples(request).values()]
    assert requested == [collection["id"] for collection in first(named("listCollections"))]


def test_the_examples_hold_the_special_cases() -> None:
    """They include two metrics per date, parents, one result without metrics and one asset without results."""
    results = named("getDatasetResults")
    tanks = results["crude-tanks"]["assets"]
    assert {len(result["metrics"]) for asset in tanks for result in asset["results"]} == {2}
    assert len({asset["parent_asset_id"] for asset in tanks}) == 2
    assets = [asset for example in results.values() for asset in example["assets"]]
    assert sum(not result["metrics"] for asset in assets for result in asset["results"]) == 1
    assert sum(not asset["results"] for asset in assets) == 1


def test_an_edit_keeps_the_rest_of_the_spec() -> None:
    """The tests edit the structure of the spec, so its layout is free."""
    assert yaml.safe_load(edited(TEXT)) == SPEC
