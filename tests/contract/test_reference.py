"""openapi.yaml against the public reference, field by field.

Everything that the reference prints must be in the spec as printed. Everything else in the spec carries its provenance: an
operation in that of its path, a schema or a field in an `x-provenance` of its own, a value of an enum by name in that of the
enum.
"""

import re
from typing import Any

import pytest

from kayrros_ext._results.query import MAX_MS, MIN_MS
from tests.support.reference import (
    HOSTS,
    LABELS,
    LOGIN_STATUSES,
    NOT_EMPTY,
    OPERATIONS,
    PATHS,
    REQUIRED,
    RESPONSES,
    SCHEMAS,
    SHARED_OPTIONS,
    TAGS,
)
from tests.support.spec import SPEC, operations, resolve

FIELDS: dict[str, dict[str, Any]] = {
    name: schema.get("properties", {}) for name, schema in SPEC["components"]["schemas"].items()
}


def kinds(schema: dict[str, Any]) -> list[Any]:
    """Return the types of a schema in the form of the table, without null, which the reference does not mention."""
    if "$ref" in schema:
        return [schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return [kind for option in schema["anyOf"] for kind in kinds(option)]
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return [
        kinds(schema["items"])[:1] if name == "array" and schema["items"] else (name, schema.get("format"))
        for name in names
        if name != "null"
    ]


def kind(schema: dict[str, Any]) -> Any:
    """Return the first type of a schema: a patch of `kayrros doctor` puts others behind it."""
    return kinds(schema)[0]


def terms(provenance: str) -> str:
    """Return a provenance without its remarks."""
    return re.sub(r" \([^()]*\)", "", provenance)


def is_marked(schema: dict[str, Any]) -> bool:
    return terms(schema.get("x-provenance", "")) in {"observed", "assumed", "confirmed"}


def is_confirmed(schema: dict[str, Any]) -> bool:
    return "confirmed" in terms(schema.get("x-provenance", ""))


def body(operation: str, status: str = "200") -> tuple[str, dict[str, Any]]:
    """Return the first body of a response: its content type and its schema."""
    media_type, media = next(iter(resolve(operations()[operation]["responses"][status])["content"].items()))
    return media_type, media["schema"]


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in SCHEMAS.items() for field in fields])
def test_a_field_of_the_reference_is_there(name: str, field: str) -> None:
    """It has the printed type and format; besides those, only what was confirmed."""
    assert name in FIELDS, f"the reference has the schema {name}, and openapi.yaml has not"
    assert field in FIELDS[name], f"the reference lists {name}.{field}, and openapi.yaml does not"
    schema, printed = FIELDS[name][field], SCHEMAS[name][field]
    if is_confirmed(schema):
        assert kind(schema)[0] in {printed[0], "number"}
    else:
        assert kind(schema) == printed
        assert set(map(str, kinds(schema))) <= {str(printed), "('string', None)"}


def test_additions_to_the_reference_carry_their_provenance() -> None:
    """A schema or a field that the reference does not list is marked as observed, assumed or confirmed."""
    for name, schema in SPEC["components"]["schemas"].items():
        if name not in SCHEMAS:
            assert "x-provenance" in schema, f"the reference has no schema {name}: give it x-provenance"
            continue
        for field in FIELDS[name].keys() - SCHEMAS[name].keys():
            marked = is_marked(schema) or is_marked(FIELDS[name][field])
            assert marked, f"the reference has no {name}.{field}: give it x-provenance, observed, assumed or confirmed"


def test_the_values_of_the_reference_are_there() -> None:
    """A further value is named in the x-provenance of the enum, as observed, assumed or confirmed."""
    enum = SPEC["components"]["schemas"]["SharedOption"]
    assert set(SHARED_OPTIONS) <= set(enum["enum"])
    marked = " ".join(re.findall(r"(?:observed|assumed|confirmed) \(([^()]*)\)", enum["x-provenance"]))
    for value in set(enum["enum"]) - set(SHARED_OPTIONS):
        assert re.search(rf"\b{value}\b", marked), f"the reference has no {value}: write it into x-provenance"


def test_the_operations_of_the_reference_are_there() -> None:
    """The path of any other operation is marked as observed or assumed."""
    assert set(OPERATIONS) <= set(operations())
    for name, operation in operations().items():
        if name not in OPERATIONS:
            provenance = operation["x-provenance"]["path"]
            assert "reference" not in terms(provenance), f"the reference does not mention {name}: {provenance}"


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "login"])
def test_a_data_operation_has_all_eight_labels(name: str) -> None:
    """They have the order of the reference, and each begins a description."""
    responses = operations()[name]["responses"]
    assert [status for status in responses if status in LABELS] == list(LABELS)
    for status, label in LABELS.items():
        assert resolve(responses[status])["description"].startswith(f"{label}. "), status


def test_hosts_and_paths() -> None:
    """The login has a host of its own, and each path has its provenance."""
    assert [server["url"] for server in SPEC["servers"]] == [HOSTS["data"]]
    for name, (method, path, provenance) in PATHS.items():
        assert path in SPEC["paths"], f"{name} is at {path}"
        operation = SPEC["paths"][path][method]
        assert operation["operationId"] == name
        known = terms(operation["x-provenance"]["path"])
        assert known.removesuffix(", confirmed") == provenance or (provenance, known) == ("assumed", "confirmed")
        assert "assumed" in operation["x-provenance"]["status"]  # the numbers
    own = {
        path: [server["url"] for server in item["servers"]] for path, item in SPEC["paths"].items() if "servers" in item
    }
    assert own == {"/v3/login": [HOSTS["login"]]}


def test_required_fields() -> None:
    """Login and range are complete, a filter is optional and not empty, and a login without a token is not a response."""
    schemas = SPEC["components"]["schemas"]
    required = {
        name: schema["required"] for name, schema in schemas.items() if "required" in schema and name in REQUIRED
    }
    assert required == {name: fields for name, fields in REQUIRED.items() if fields}
    for name, field, rule in NOT_EMPTY:
        assert schemas[name]["properties"][field][rule] == 1, (name, field)
    assert operations()["login"]["requestBody"]["required"] is True
    # The client rejects the dates that the spec rejects.
    for end in ("start_date", "stop_date"):
        bounds = schemas["DateRange"]["properties"][end]
        assert (bounds["minimum"], bounds["maximum"]) == (MIN_MS, MAX_MS)


def test_the_id_of_a_dataset_is_a_uuid_in_the_path() -> None:
    """The id of the metadata is a UUID too."""
    parameter = SPEC["components"]["parameters"]["DatasetId"]
    assert (parameter["in"], parameter["required"], kind(parameter["schema"])) == ("path", True, ("string", "uuid"))


def test_operations_have_their_modules_and_statuses() -> None:
    """All errors have one body, and each response has its content type."""
    assert {name: operation["tags"][0] for name, operation in operations().items() if name in TAGS} == TAGS
    assert [status for status in operations()["login"]["responses"] if status in LABELS] == LOGIN_STATUSES
    for name in OPERATIONS:
        for status in [status for status in operations()[name]["responses"] if status in LABELS]:
            media_type, schema = body(name, status)
            is_file = status == "200" and name == "downloadStaticDataset"
            assert media_type == ("*/*" if is_file else "application/json"), (name, status)
            assert status == "200" or kind(schema) == "ErrorResponse", (name, status)
    assert "Content-Disposition" in operations()["downloadStaticDataset"]["responses"]["200"]["headers"]


def test_responses_and_requests() -> None:
    """Each success and each request has its schema."""
    for name, expected in RESPONSES.items():
        assert kind(body(name)[1]) == expected
    results = operations()["getDatasetResults"]["requestBody"]
    assert results["required"] is False
    assert kind(results["content"]["application/json"]["schema"]) == "ProcessingResultFilter"
    assert kind(operations()["login"]["requestBody"]["content"]["application/json"]["schema"]) == "LoginRequest"


def test_every_operation_but_the_login_has_bearer_security() -> None:
    """There is one scheme, whatever the reference calls the header."""
    assert SPEC["security"] == [{"bearer": []}]
    assert {name: op["security"] for name, op in operations().items() if "security" in op} == {"login": []}
    scheme = SPEC["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


@pytest.mark.parametrize("name", ["listCollections", "listCollectionDatasets"])
def test_the_observed_operations_answer_like_the_documented_ones(name: str) -> None:
    """Their statuses are assumed to be those of the reference's operations."""
    assert [status for status in operations()[name]["responses"] if status in LABELS] == list(LABELS)
