"""Describe parts of the spec in text, and list the names that a changelog may use for them."""

import json
from typing import Any

from scripts.spec import METHODS, resolve


def describe(pointer: str, name: str | None, document: dict[str, Any]) -> tuple[str, set[str]]:
    """Return text and names for the target of a pointer, or for the owner of the property `name` at its end."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("#/").split("/")]
    if name and parts[-1] == name and len(parts) > 1:
        parts = parts[:-1]
    match parts:
        case ["components", section, owner, *rest]:
            return _component(section, owner, rest, document)
        case ["paths", path, *rest]:
            return _operation(path, rest, document)
        case ["servers" | "tags" as section, place, *_]:
            member = document[section][int(place)]
            title = str(member.get("url") or member.get("name"))
            return f"{section.removesuffix('s')} `{title}`", {title}
    return f"`{'.'.join(parts)}`", {parts[-1]}


def _component(section: str, owner: str, rest: list[str], document: dict[str, Any]) -> tuple[str, set[str]]:
    if section == "schemas":
        return _within(rest, f"`{owner}`", f"schema `{owner}`", {owner})
    if section == "parameters":
        name = (resolve(document, f"#/components/parameters/{owner}") or {}).get("name", owner)
        return f"parameter `{name}`", {name}
    noun = {"securitySchemes": "security scheme"}.get(section, section.removesuffix("s"))
    return _within(rest, f"{noun} `{owner}`", f"{noun} `{owner}`", {owner})


def _operation(path: str, rest: list[str], document: dict[str, Any]) -> tuple[str, set[str]]:
    """Describe a path, an operation, or a part of one."""
    item = document["paths"][path]
    if not rest or rest[0] not in METHODS:
        owner, label, names = item, f"path `{path}`", {path, *operation_ids(item)}
    else:
        owner = item[rest[0]]
        name = owner.get("operationId", f"{rest[0]} {path}")
        label, names, rest = f"`{name}`", {name}, rest[1:]
    match rest:
        case []:
            return (label if owner is item else f"operation {label}"), names
        case ["parameters", index, *_]:
            parameter = owner["parameters"][int(index)]
            parameter = resolve(document, parameter["$ref"]) if "$ref" in parameter else parameter
            return f"parameter `{parameter['name']}` of {label}", {parameter["name"]}
        case ["responses", status, *deeper]:
            return _within(deeper, f"response {status} of {label}", f"response {status} of {label}", names)
        case ["requestBody", *deeper]:
            return _within(deeper, f"request of {label}", f"request of {label}", names)
    return f"{rest[0]} of {label}", names


def operation_ids(item: dict[str, Any]) -> list[str]:
    """Return the operations of a path."""
    return [part["operationId"] for part in item.values() if isinstance(part, dict) and "operationId" in part]


def _within(rest: list[str], owner: str, alone: str, names: set[str]) -> tuple[str, set[str]]:
    """Describe a field by its way through objects and arrays, or the whole."""
    option = "one type of " if {"anyOf", "oneOf"} & set(rest) else ""
    fields = [rest[place + 1] for place, part in enumerate(rest[:-1]) if part == "properties"]
    if fields:
        return f"{option}field `{'.'.join(fields)}` of {owner}", {fields[-1]}
    if "content" in rest[:-1]:
        return f"{option}`{rest[rest.index('content') + 1]}` of {owner}", names
    if "headers" in rest:
        header = rest[rest.index("headers") + 1 :][:1]
        return (f"header `{header[0]}` of {owner}" if header else f"headers of {owner}"), {*names, *header}
    return option + alone, names


def member_names(value: Any) -> set[str]:
    """Return the names of operations, parameters or headers that were added or removed together."""
    if isinstance(value, dict) and not {"operationId", "name"} & set(value):
        return {name for name, member in value.items() if isinstance(member, dict) and "schema" in member}
    members = [member for member in (value if isinstance(value, list) else [value]) if isinstance(member, dict)]
    return {str(member[key]) for member in members for key in ("operationId", "name") if key in member}


def kind(value: Any) -> str:
    """Describe the type of a schema, or list the members of a list of parameters or a map of headers."""
    if isinstance(value, list) or (isinstance(value, dict) and not {"type", "name", "operationId"} & set(value)):
        return ", ".join(f"`{name}`" for name in sorted(member_names(value)))
    types = value.get("type") if isinstance(value, dict) else None
    text = " or ".join(map(str, types)) if isinstance(types, list) else str(types or "")
    return f"{text}, {value['format']}" if text and "format" in value else text


def show(value: Any) -> str:
    """Return a value in backticks."""
    return "nothing" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"
