"""Words for what a pointer into the spec points at, and the names that a changelog may call it by."""

import json
from typing import Any

from scripts.lint_spec import METHODS
from scripts.spec import resolve


def subject(pointer: str, name: str | None, document: dict[str, Any]) -> tuple[str, set[str]]:
    """What a pointer points at, or the owner of the property `name` at its end."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("#/").split("/")]
    if name and parts[-1] == name and len(parts) > 1:
        parts = parts[:-1]
    match parts:
        case ["components", _, _, *_]:
            return _component(parts, document)
        case ["paths", _, *_]:
            return _operation(parts, document)
        case ["servers" | "tags" as section, place, *_]:
            member = document[section][int(place)]
            called = str(member.get("url") or member.get("name"))
            return f"{section.removesuffix('s')} `{called}`", {called}
    return f"`{'.'.join(parts)}`", {parts[-1]}


def _component(parts: list[str], document: dict[str, Any]) -> tuple[str, set[str]]:
    section, owner, *rest = parts[1:]
    if section == "schemas":
        return _within(rest, f"`{owner}`", f"schema `{owner}`", {owner})
    if section == "parameters":
        called = (resolve(document, f"#/components/parameters/{owner}") or {}).get("name", owner)
        return f"parameter `{called}`", {called}
    word = {"responses": "answer", "securitySchemes": "security scheme"}.get(section, section.removesuffix("s"))
    return _within(rest, f"{word} `{owner}`", f"{word} `{owner}`", {owner})


def _operation(parts: list[str], document: dict[str, Any]) -> tuple[str, set[str]]:
    """A path, an operation, or a part of one."""
    path, *rest = parts[1:]
    item = document["paths"][path]
    if not rest or rest[0] not in METHODS:
        owner, of, names = item, f"path `{path}`", {path, *ids(item)}
    else:
        owner = item[rest[0]]
        called = owner.get("operationId", f"{rest[0]} {path}")
        of, names, rest = f"`{called}`", {called}, rest[1:]
    match rest:
        case []:
            return (of if owner is item else f"operation {of}"), names
        case ["parameters", _, *_]:
            return _parameter(owner, rest, of, document)
        case ["responses", status, *deeper]:
            return _within(deeper, f"answer {status} of {of}", f"answer {status} of {of}", names)
        case ["requestBody", *deeper]:
            return _within(deeper, f"request of {of}", f"request of {of}", names)
    return f"{rest[0]} of {of}", names


def ids(item: dict[str, Any]) -> list[str]:
    """Operations of a path."""
    return [part["operationId"] for part in item.values() if isinstance(part, dict) and "operationId" in part]


def _parameter(owner: dict[str, Any], rest: list[str], of: str, document: dict[str, Any]) -> tuple[str, set[str]]:
    parameter = owner["parameters"][int(rest[1])]
    if "$ref" in parameter:
        parameter = resolve(document, parameter["$ref"])
    return f"parameter `{parameter['name']}` of {of}", {parameter["name"]}


def _within(rest: list[str], owner: str, alone: str, names: set[str]) -> tuple[str, set[str]]:
    """A field, by its way through objects and arrays, or the whole."""
    one = "one type of " if {"anyOf", "oneOf"} & set(rest) else ""
    fields = [rest[place + 1] for place, part in enumerate(rest[:-1]) if part == "properties"]
    if fields:
        return f"{one}field `{'.'.join(fields)}` of {owner}", {fields[-1]}
    if "content" in rest[:-1]:
        return f"{one}`{rest[rest.index('content') + 1]}` of {owner}", names
    if "headers" in rest:
        header = rest[rest.index("headers") + 1 :][:1]
        return (f"header `{header[0]}` of {owner}" if header else f"headers of {owner}"), {*names, *header}
    return one + alone, names


def inner(value: Any) -> set[str]:
    """What added or removed operations, parameters or headers are called by."""
    if isinstance(value, dict) and not {"operationId", "name"} & set(value):
        return {name for name, member in value.items() if isinstance(member, dict) and "schema" in member}
    members = value if isinstance(value, list) else [value]
    return {
        str(member[key])
        for member in members
        if isinstance(member, dict)
        for key in ("operationId", "name")
        if key in member
    }


def kind(value: Any) -> str:
    """A schema's type in words; of a list of parameters or a map of headers, what they are."""
    if isinstance(value, list) or (isinstance(value, dict) and not {"type", "name", "operationId"} & set(value)):
        return ", ".join(f"`{name}`" for name in sorted(inner(value)))
    types = value.get("type") if isinstance(value, dict) else None
    words = " or ".join(map(str, types)) if isinstance(types, list) else str(types or "")
    return f"{words}, {value['format']}" if words and "format" in value else words


def show(value: Any) -> str:
    """A value as it stands, in backticks."""
    return "nothing" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"
