"""openapi.yaml for tests: its operations, references and examples, and edits of its structure."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from kayrros_ext.testing.spec import load_spec

METHODS = {"get", "post", "put", "patch", "delete"}
PATH = Path(__file__).parents[2] / "openapi.yaml"
TEXT = PATH.read_text("utf-8")
SPEC: dict[str, Any] = load_spec(TEXT)
Edit = Callable[[dict[str, Any]], None]


def resolve(node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        target: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        node = target
    return node


def operations(spec: dict[str, Any] = SPEC) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for item in spec["paths"].values()
        for method, operation in item.items()
        if method in METHODS
    }


def media(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each body of an operation with its place: `request` or a status."""
    if "requestBody" in operation:
        for content in resolve(operation["requestBody"])["content"].values():
            yield "request", content
    for status, response in operation["responses"].items():
        for content in resolve(response).get("content", {}).values():
            yield status, content


def examples(content: dict[str, Any]) -> dict[str, Any]:
    """Return the examples of a body by name; a single one has the empty name."""
    single = {"": content["example"]} if "example" in content else {}
    return single | {name: resolve(example)["value"] for name, example in content.get("examples", {}).items()}


def named(operation: str, status: str = "200") -> dict[str, Any]:
    """Return the named examples of a response."""
    return examples(next(iter(resolve(operations()[operation]["responses"][status])["content"].values())))


def edited(text: str, *edits: Edit) -> str:
    """Return the text of a spec after edits of its structure, whatever its layout."""
    spec = load_spec(text)
    for edit in edits:
        edit(spec)
    return yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)


def edit_spec(checkout: Path, *edits: Edit) -> None:
    """Edit the spec of a checkout."""
    file = checkout / "openapi.yaml"
    file.write_text(edited(file.read_text("utf-8"), *edits), "utf-8")


def nullable(kind: str, **more: Any) -> dict[str, Any]:
    """Return an observed field of a response."""
    return {"type": [kind, "null"], "x-provenance": "observed", "description": "A field.", **more}


def add_field(schema: str, name: str, value: dict[str, Any]) -> Edit:
    def edit(spec: dict[str, Any]) -> None:
        spec["components"]["schemas"][schema]["properties"][name] = copy.deepcopy(value)

    return edit


def add_parameter(operation: str, name: str, schema: dict[str, Any], example: Any) -> Edit:
    """Add an optional query parameter."""
    parameter = {"name": name, "in": "query", "description": "An option.", "schema": schema, "example": example}

    def edit(spec: dict[str, Any]) -> None:
        operations(spec)[operation].setdefault("parameters", []).append(copy.deepcopy(parameter))

    return edit


def add_operation(operation: str, path: str, responses: dict[str, Any], parameters: list[Any] | None = None) -> Edit:
    def edit(spec: dict[str, Any]) -> None:
        spec["paths"][path] = {
            "get": {
                "operationId": operation,
                "summary": f"Get {operation}",
                "description": "A new operation.",
                "tags": ["datasets"],
                "x-provenance": {"path": "observed", "status": "assumed", "body": "observed"},
                "parameters": copy.deepcopy(parameters or []),
                "responses": copy.deepcopy(responses),
            }
        }

    return edit


def response(media_type: str, schema: dict[str, Any], example: Any) -> dict[str, Any]:
    """Return a response with one body."""
    return {"description": "A response.", "content": {media_type: {"schema": schema, "example": example}}}
