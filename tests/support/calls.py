"""Calls of the generated client, derived from the spec: the module of an operation, its arguments, its result."""

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
from tests.support.spec import SPEC, examples, operations, resolve

_JSON_TYPES: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
_FORMATS: dict[str, Any] = {"binary": File, "date-time": dt.datetime, "date": dt.date, "uuid": UUID}


@functools.cache
def modules() -> dict[str, ModuleType]:
    """Return the generated module of each operation by operationId; the generator derives its name from the id."""
    root = Path(kayrros_openapi.api.__file__).parent
    generated = {
        leaf.name: importlib.import_module(f"kayrros_openapi.api.{package.name}.{leaf.name}")
        for package in pkgutil.iter_modules([str(root)])
        for leaf in pkgutil.iter_modules([str(root / package.name)])
    }
    by_id: dict[str, ModuleType | None] = {
        name: generated.pop(PythonIdentifier(name, ""), None) for name in operations()
    }
    missing = [name for name, module in by_id.items() if module is None]
    assert not missing, f"kayrros_openapi.api has no module for {missing}: run `make generate`"
    assert not generated, f"openapi.yaml has no operation for {sorted(generated)}: run `make generate`"
    return {name: module for name, module in by_id.items() if module}


def parameters(name: str) -> list[dict[str, Any]]:
    """Return the parameters of an operation, including those of its path."""
    [(item, operation)] = [
        (item, operation)
        for item in SPEC["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and operation.get("operationId") == name
    ]
    return [resolve(parameter) for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]]


def arguments(name: str) -> dict[str, Any]:
    """Return the arguments of an operation: the first examples of the spec, as the types of the generated function."""
    hints = typing.get_type_hints(modules()[name].sync_detailed)
    values: dict[str, Any] = {
        PythonIdentifier(parameter["name"], ""): _first_example(parameter) for parameter in parameters(name)
    }
    if "requestBody" in operations()[name]:
        values["body"] = _first_example(next(iter(resolve(operations()[name]["requestBody"])["content"].values())))
    return {key: _as(hints[key], value) for key, value in values.items()}


def _first_example(owner: dict[str, Any]) -> Any:
    values = list(examples(owner).values())
    assert values, f"no example to call with: {owner}"
    return values[0]


def _as(hint: Any, value: Any) -> Any:
    """Convert a JSON value to the first type of a hint that accepts it."""
    for kind in typing.get_args(hint) or (hint,):
        if isinstance(value, list) and typing.get_origin(kind) is list:
            return [_as(typing.get_args(kind)[0], item) for item in value]
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
    """Return whether a value has the type that the generator makes of a schema."""
    target = resolve(schema)
    if options := target.get("anyOf") or target.get("oneOf"):
        return any(is_typed(option, value) for option in options)
    kinds = target["type"] if isinstance(target.get("type"), list) else [target.get("type")]
    if "$ref" in schema and value is not None and ("object" in kinds or "enum" in target):
        return isinstance(value, getattr(kayrros_openapi.models, ClassName(schema["$ref"].rpartition("/")[2], "")))
    return any(_is_of(kind, target, value) for kind in kinds)


def _is_of(kind: str | None, schema: dict[str, Any], value: Any) -> bool:
    """Return whether a value has a type of a schema; None stands for any type."""
    if kind == "null":
        return value is None
    if kind == "array":
        return isinstance(value, list) and all(is_typed(schema.get("items", {}), item) for item in value)
    if kind == "object" or "allOf" in schema or "enum" in schema:  # inline, and still a class
        return type(value).__module__.startswith(kayrros_openapi.models.__name__)
    return kind is None or isinstance(value, _FORMATS.get(schema.get("format", ""), _JSON_TYPES[kind]))


def as_json(value: Any) -> Any:
    """Return a value of the client as the JSON that it was read from."""
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, UUID | dt.date):
        return str(value) if isinstance(value, UUID) else value.isoformat()
    return value.to_dict() if hasattr(value, "to_dict") else value


def moments_alike(value: Any) -> Any:
    """Return a JSON value with each moment in Python's form: `+00:00` instead of `Z`."""
    if isinstance(value, dict):
        return {name: moments_alike(member) for name, member in value.items()}
    if isinstance(value, list):
        return [moments_alike(item) for item in value]
    is_moment = isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", value)
    return dt.datetime.fromisoformat(value).isoformat() if is_moment else value
