"""openapi.yaml against the public reference, field by field."""

from typing import Any

import pytest

from tests.contract.reference import ANSWERS, HOSTS, PATHS, REQUIRED, SCHEMAS, SHARED_OPTIONS
from tests.contract.test_spec import SPEC, operations


def kind(schema: dict[str, Any]) -> Any:
    """A schema in the words of the table: null apart, which the reference does not mention."""
    options = [option for option in schema.get("anyOf", [schema]) if option != {"type": "null"}]
    if "$ref" in options[0]:
        return options[0]["$ref"].rpartition("/")[2]
    types = options[0]["type"] if isinstance(options[0]["type"], list) else [options[0]["type"]]
    [only] = [name for name in types if name != "null"]
    return [kind(options[0]["items"])] if only == "array" else (only, options[0].get("format"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_has_the_fields_of_the_reference(name: str) -> None:
    """All of them, no others, each of its type and format."""
    assert SCHEMAS[name] == {
        field: kind(schema) for field, schema in SPEC["components"]["schemas"][name]["properties"].items()
    }


def test_sending_is_strict() -> None:
    """A request has what it needs, and an empty list of assets is not sent."""
    schemas = SPEC["components"]["schemas"]
    assert REQUIRED == {name: schema["required"] for name, schema in schemas.items() if "required" in schema}
    assert 1 == schemas["ProcessingResultFilter"]["properties"]["mo_ids"]["minItems"]


def test_there_is_no_schema_but_those_and_ours() -> None:
    """An enum of its own, and a body for errors, which the reference does not document."""
    assert {*SCHEMAS, "SharedOption", "Error"} == set(SPEC["components"]["schemas"])
    assert SHARED_OPTIONS == SPEC["components"]["schemas"]["SharedOption"]["enum"]


def test_hosts_and_paths() -> None:
    """The login is on a host of its own; each path is as well known as it says."""
    assert [HOSTS["data"]] == [server["url"] for server in SPEC["servers"]]
    for name, (method, path, provenance) in PATHS.items():
        operation = SPEC["paths"][path][method]
        assert (name, provenance) == (operation["operationId"], operation["x-provenance"]["path"])
        assert "assumed" in operation["x-provenance"]["status"]  # the numbers, of all of them
    assert [HOSTS["login"]] == [server["url"] for server in SPEC["paths"]["/v3/login"]["servers"]]


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
