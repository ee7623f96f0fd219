"""Calls of the generated client, from the spec alone: where an operation is, what to call it with, what comes back."""

import datetime as dt
import enum
import functools
import importlib
import pkgutil
import re
import typing
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from openapi_python_client.strings import ClassName, PythonIdentifier

import kayrros_openapi.api
import kayrros_openapi.models
from kayrros_openapi.types import File
from tests.contract.test_spec import SPEC, operations, resolve

_JSON_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
_FORMATS: dict[str, Any] = {"binary": File, "date-time": dt.datetime, "date": dt.date, "uuid": UUID}


@functools.cache
def modules() -> dict[str, ModuleType]:
    """The generated module of each operation, by operationId; its name is what the generator makes of the id."""
    root = Path(kayrros_openapi.api.__file__).parent
    found = {
        leaf.name: importlib.import_module(f"kayrros_openapi.api.{package.name}.{leaf.name}")
        for package in pkgutil.iter_modules([str(root)])
        for leaf in pkgutil.iter_modules([str(root / package.name)])
    }
    by_id: dict[str, ModuleType | None] = {name: found.pop(PythonIdentifier(name, ""), None) for name in operations()}
    missing = [name for name, module in by_id.items() if module is None]
    assert not missing, f"no module of kayrros_openapi.api is made from {missing}: run `make generate`"
    assert not found, f"openapi.yaml has no operation for {sorted(found)}: run `make generate`"
    return {name: module for name, module in by_id.items() if module}


def parameters(name: str) -> list[dict[str, Any]]:
    """Those of the operation, and those that its path has for all of its operations."""
    [(item, operation)] = [
        (item, operation)
        for item in SPEC["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and operation.get("operationId") == name
    ]
    return [resolve(parameter) for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]]


def example(of: dict[str, Any]) -> Any:
    """The example of a parameter or a body, the first where there are several."""
    if "examples" in of:
        return resolve(next(iter(of["examples"].values())))["value"]
    assert "example" in of, f"no example, and so nothing to call with: {of}"
    return of["example"]


def arguments(name: str) -> dict[str, Any]:
    """What to call an operation with: the spec's own examples, as the types that the generated function wants."""
    wants = typing.get_type_hints(modules()[name].sync_detailed)
    given: dict[str, Any] = {
        PythonIdentifier(parameter["name"], ""): example(parameter) for parameter in parameters(name)
    }
    if "requestBody" in operations()[name]:
        given["body"] = example(next(iter(resolve(operations()[name]["requestBody"])["content"].values())))
    return {key: _as(wants[key], value) for key, value in given.items()}


def _as(hint: Any, value: Any) -> Any:
    """A value of JSON as the first of the types in a hint that takes it."""
    for kind in typing.get_args(hint) or (hint,):
        if isinstance(value, dict) and hasattr(kind, "from_dict"):
            return kind.from_dict(value)
        if kind is UUID:
            return UUID(value)
        if isinstance(kind, type) and issubclass(kind, enum.Enum) and isinstance(value, str):
            return kind(value)
        if kind in {dt.datetime, dt.date} and isinstance(value, str):
            return kind.fromisoformat(value)
    return value


def is_typed(schema: dict[str, Any], value: Any) -> bool:
    """Whether what the client read is of the type that it made of a schema."""
    target = resolve(schema)
    if options := target.get("anyOf") or target.get("oneOf"):
        return any(is_typed(option, value) for option in options)
    kinds = target["type"] if isinstance(target.get("type"), list) else [target.get("type")]
    if "$ref" in schema and value is not None and ("object" in kinds or "enum" in target):
        return isinstance(value, getattr(kayrros_openapi.models, ClassName(schema["$ref"].rpartition("/")[2], "")))
    return any(_is_of(kind, target, value) for kind in kinds)


def _is_of(kind: str | None, schema: dict[str, Any], value: Any) -> bool:
    """Whether a value is of one of the types of a schema; None where the schema says none, which is any."""
    if kind == "null":
        return value is None
    if kind == "array":
        return isinstance(value, list) and all(is_typed(schema.get("items", {}), item) for item in value)
    if kind == "object" or "allOf" in schema or "enum" in schema:  # written in place, and a class all the same
        return type(value).__module__.startswith(kayrros_openapi.models.__name__)
    return kind is None or isinstance(value, _FORMATS.get(schema.get("format", ""), _JSON_TYPES[kind]))


def as_json(value: Any) -> Any:
    """What the client read, as it was sent."""
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, UUID | dt.date):
        return str(value) if isinstance(value, UUID) else value.isoformat()
    return value.to_dict() if hasattr(value, "to_dict") else value


def moments_alike(value: Any) -> Any:
    """A JSON value, each moment in it in Python's way of writing it: with +00:00 in place of Z."""
    if isinstance(value, dict):
        return {name: moments_alike(member) for name, member in value.items()}
    if isinstance(value, list):
        return [moments_alike(item) for item in value]
    is_moment = isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value)
    return dt.datetime.fromisoformat(value).isoformat() if is_moment else value
