"""openapi.yaml against the public reference, field by field.

All that the reference prints must be there as it prints it. What the spec knows beyond that is marked where it stands: an
operation by the provenance of its path, a schema or a field by an `x-provenance` of its own, a value of an enum by name
in that of the enum.
"""

import re
from typing import Any

import pytest

from kayrros_ext._results.query import MAX_MS, MIN_MS
from tests.contract.test_spec import SPEC, operations, resolve
from tests.support.reference import (
    ANSWERS,
    HOSTS,
    LABELS,
    LOGIN_STATUSES,
    NOT_EMPTY,
    OPERATIONS,
    PATHS,
    REQUIRED,
    SCHEMAS,
    SHARED_OPTIONS,
    TAGS,
)

FIELDS: dict[str, dict[str, Any]] = {
    name: schema.get("properties", {}) for name, schema in SPEC["components"]["schemas"].items()
}


def kind(schema: dict[str, Any]) -> Any:
    """A schema in the words of the table: null apart, which the reference does not mention."""
    options = [option for option in schema.get("anyOf", [schema]) if option != {"type": "null"}]
    if "$ref" in options[0]:
        return options[0]["$ref"].rpartition("/")[2]
    types = options[0]["type"] if isinstance(options[0]["type"], list) else [options[0]["type"]]
    [only] = [name for name in types if name != "null"]
    return [kind(options[0]["items"])] if only == "array" else (only, options[0].get("format"))


def is_marked(schema: dict[str, Any]) -> bool:
    """Whether it says of itself that it is known from elsewhere."""
    return bool(re.match(r"(observed|assumed)\b", schema.get("x-provenance", "")))


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in SCHEMAS.items() for field in fields])
def test_a_field_of_the_reference_is_there(name: str, field: str) -> None:
    """Of its type and format."""
    assert name in FIELDS, f"the reference has the schema {name}, and openapi.yaml has not"
    assert field in FIELDS[name], f"the reference lists {name}.{field}, and openapi.yaml does not"
    assert SCHEMAS[name][field] == kind(FIELDS[name][field])


def test_what_the_reference_does_not_list_says_so() -> None:
    """A schema of its own, or a field more, is marked as observed or assumed."""
    for name, schema in SPEC["components"]["schemas"].items():
        if name not in SCHEMAS:
            assert "x-provenance" in schema, f"the reference has no schema {name}: give it x-provenance"
            continue
        for field in FIELDS[name].keys() - SCHEMAS[name].keys():
            known = is_marked(schema) or is_marked(FIELDS[name][field])
            assert known, f"the reference has no {name}.{field}: give it x-provenance, observed or assumed"


def test_the_values_of_the_reference_are_there() -> None:
    """And a further one is named in the enum's x-provenance, as observed or assumed."""
    enum = SPEC["components"]["schemas"]["SharedOption"]
    assert set(SHARED_OPTIONS) <= set(enum["enum"])
    marked = " ".join(re.findall(r"(?:observed|assumed) \(([^()]*)\)", enum["x-provenance"]))
    for value in set(enum["enum"]) - set(SHARED_OPTIONS):
        assert re.search(rf"\b{value}\b", marked), f"the reference has no {value}: write it into x-provenance"


def test_the_operations_of_the_reference_are_there() -> None:
    """And the path of any other is marked as observed or assumed."""
    assert set(OPERATIONS) <= set(operations())
    for name, operation in operations().items():
        if name not in OPERATIONS:
            says = operation["x-provenance"]["path"]
            assert "reference" not in re.sub(r"\([^()]*\)", "", says), f"the reference does not mention {name}: {says}"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "login"])
def test_a_data_operation_has_all_eight_labels(name: str) -> None:
    """In the order of the reference, each the beginning of a description."""
    responses = operations()[name]["responses"]
    assert list(LABELS) == [status for status in responses if status in LABELS]
    for status, label in LABELS.items():
        assert resolve(responses[status])["description"].startswith(f"{label}. "), status


def test_hosts_and_paths() -> None:
    """The login is on a host of its own; each path is as well known as it says."""
    assert [HOSTS["data"]] == [server["url"] for server in SPEC["servers"]]
    for name, (method, path, provenance) in PATHS.items():
        assert path in SPEC["paths"], f"{name} is known to be at {path}"
        operation = SPEC["paths"][path][method]
        assert (name, provenance) == (operation["operationId"], operation["x-provenance"]["path"])
        assert "assumed" in operation["x-provenance"]["status"]  # the numbers, of all of them
    own = {
        path: [server["url"] for server in item["servers"]] for path, item in SPEC["paths"].items() if "servers" in item
    }
    assert {"/v3/login": [HOSTS["login"]]} == own


def test_what_a_request_must_have() -> None:
    """Login and range are whole, a filter may be left out and is not empty."""
    schemas = SPEC["components"]["schemas"]
    assert REQUIRED == {name: schemas[name].get("required", []) for name in REQUIRED}
    for name, field, rule in NOT_EMPTY:
        assert 1 == schemas[name]["properties"][field][rule], (name, field)
    assert operations()["login"]["requestBody"]["required"] is True
    # What the spec refuses of a date, the client refuses before it sends it.
    for end in schemas["DateRange"]["properties"].values():
        assert (MIN_MS, MAX_MS) == (end["minimum"], end["maximum"])


def test_the_id_of_a_dataset_is_a_uuid_in_the_path() -> None:
    """As that of the metadata is."""
    parameter = SPEC["components"]["parameters"]["DatasetId"]
    assert ("path", True, ("string", "uuid")) == (parameter["in"], parameter["required"], kind(parameter["schema"]))


def test_operations_have_their_places_and_statuses() -> None:
    """The module of the client, the statuses of the login, and one body for all errors, under the type of each answer."""
    assert TAGS == {name: operation["tags"][0] for name, operation in operations().items() if name in TAGS}
    assert LOGIN_STATUSES == list(operations()["login"]["responses"])
    for name in OPERATIONS:
        for status, response in operations()[name]["responses"].items():
            [(content_type, content)] = resolve(response)["content"].items()
            file = status == "200" and name == "downloadStaticDataset"
            assert ("*/*" if file else "application/json") == content_type, (name, status)
            assert status == "200" or "Error" == kind(content["schema"]), (name, status)
    assert ["Content-Disposition"] == list(operations()["downloadStaticDataset"]["responses"]["200"]["headers"])


def test_answers_and_requests() -> None:
    """The body of each success, and of each request."""
    for name, expected in ANSWERS.items():
        [content] = operations()[name]["responses"]["200"]["content"].values()
        assert expected == kind(content["schema"])
    results = operations()["getDatasetResults"]["requestBody"]
    assert results["required"] is False
    assert "ProcessingResultFilter" == kind(results["content"]["application/json"]["schema"])
    assert "LoginRequest" == kind(operations()["login"]["requestBody"]["content"]["application/json"]["schema"])


def test_every_operation_but_the_login_is_bearer_secured() -> None:
    """By one scheme, whatever the reference calls the header."""
    assert [{"bearer": []}] == SPEC["security"]
    assert {"login": []} == {name: op["security"] for name, op in operations().items() if "security" in op}
    assert ("http", "bearer") == tuple(
        SPEC["components"]["securitySchemes"]["bearer"][key] for key in ("type", "scheme")
    )


@pytest.mark.parametrize("name", ["listCollections", "listCollectionDatasets"])
def test_the_observed_operations_answer_as_the_documented_do(name: str) -> None:
    """Their statuses are those of the reference's operations (assumed)."""
    assert list(LABELS) == list(operations()[name]["responses"])
