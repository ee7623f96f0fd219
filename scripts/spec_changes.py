"""What changed between two versions of the spec, in words, each change breaking, compatible or documentation.

redocly's diff finds the changes and knows which break a client of the API, by direction: a field that answers lose, a
field that requests must now have. Our users hold the API through names and types that are generated from the spec, so
what renames or retypes those is breaking too (`_BREAKS_NAMES` and what uses it). redocly passes over examples; they are
what the mock answers with, and are compared here.
"""

import enum
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

from scripts.lint_spec import METHODS
from scripts.spec import complete, operations, redocly, resolve

# What explains and does not oblige. `x-` too: provenance says how well a thing is known.
EXPLAINS = {"description", "summary", "title", "example", "examples", "externalDocs", "deprecated"}
_INFO = "#/info"
# Under a parameter these decide which Python type its argument has.
_TYPES = {"type", "format", "enum", "anyOf", "items", "$ref"}


class CompareError(Exception):
    """One of the two versions is no OpenAPI that redocly can read."""


class Level(enum.IntEnum):
    """How much a change asks of a user."""

    DOCUMENTATION = 0
    COMPATIBLE = 1
    BREAKING = 2


@attrs.frozen
class Change:
    """One change.

    Attributes:
        level: what it asks of a user.
        words: what changed, for a reader who knows the API.
        line: where, in the version named by `side`.
        names: what a changelog entry may call it by; one of them is enough.
    """

    level: Level
    words: str
    line: int | None = None
    side: str = "now"
    names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        place = f" (line {self.line}{'' if self.side == 'now' else ' before'})" if self.line else ""
        return f"{self.level.name.lower()}: {self.words}{place}"


def changes(before: str, now: str) -> list[Change]:
    """From one text of the spec to the other, the breaking ones first."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("before.yaml", before), ("now.yaml", now)):
            (Path(folder) / name).write_text(text, "utf-8")
        done = redocly("diff", f"{folder}/before.yaml", f"{folder}/now.yaml", "--format", "json", "--fail-on", "none")
    if not done.stdout.strip():
        raise CompareError(f"redocly could not compare the two versions of openapi.yaml:\n{done.stderr}")
    documents = _Documents(yaml.safe_load(before), yaml.safe_load(now))
    found = [change for record in json.loads(done.stdout)["changes"] for change in _read(record, documents)]
    # A component that several operations use is reported once for each place that redocly reached it by.
    unique = dict.fromkeys([*found, *_examples(documents)])
    return sorted(unique, key=lambda change: -change.level)


@attrs.frozen
class _Documents:
    before: dict[str, Any]
    now: dict[str, Any]

    def users(self, pointer: str) -> list[str]:
        """Operations that use a component."""
        component = "/".join(pointer.split("/")[:4])
        return [
            name
            for document in (self.now, self.before)
            for name in operations(document)
            if component in complete(document, name)[1]
        ]


def _read(record: dict[str, Any], documents: _Documents) -> Iterator[Change]:
    """One record of redocly's as changes: an enum whose values come and go is two."""
    base, revision = record.get("base") or {}, record.get("revision") or {}
    gone = record["kind"] == "removed"
    side, document = (base, documents.before) if gone else (revision, documents.now)
    pointer: str = side["pointer"]
    name = record.get("property")
    if pointer.startswith(_INFO) and name == "version":
        return  # scripts/versions.py looks after it
    thing, names = _subject(pointer, name, document)
    users = list(dict.fromkeys(documents.users(pointer)))
    suffix = f", used by {', '.join(users)}" if users else ""
    for level, words, called in _tell(record, thing, _value(base, name), _value(revision, name)):
        yield Change(
            level=level,
            words=words + suffix,
            line=side.get("line"),
            side="before" if gone else "now",
            names=frozenset({*names, *users, *called}),
        )


def _value(side: dict[str, Any], name: str | None) -> Any:
    """What was there; redocly points at the parent where the property was not."""
    there = name in {None, "key"} or side.get("pointer", "").endswith(f"/{name}")
    return side.get("value") if there else None


_Told = Iterator[tuple[Level, str, set[str]]]


def _tell(record: dict[str, Any], thing: str, old: Any, new: Any) -> _Told:
    """Level, words and more names of each change that a record holds."""
    name, kind = record.get("property"), record["kind"]
    level = _level(record)
    value = new if kind == "added" else old
    if kind != "modified" and record["typeName"] == "PathItem" and any(method in METHODS for method in value or {}):
        for called in (value[method].get("operationId", thing) for method in value if method in METHODS):
            yield level, f"operation `{called}` {kind}", {called}
    elif kind != "modified":
        of_type = f" ({_type(new)})" if kind == "added" and _type(new) else ""
        yield level, f"{thing} {kind}{of_type}", _inner(value)
    elif name == "enum":
        yield from _values(thing, old or [], new or [], level)
    elif name == "required" and isinstance(old or new, list):
        for field in [field for field in new or [] if field not in (old or [])]:
            yield level, f"field `{field}` of {thing} is now required", {field}
        for field in [field for field in old or [] if field not in (new or [])]:
            yield Level.COMPATIBLE, f"field `{field}` of {thing} is no longer required", {field}
    elif name in EXPLAINS or (name or "").startswith("x-") or record["typeName"] == "SpecExtension":
        yield level, f"{name} of {thing} changed", set()
    else:
        called = {value for value in (old, new) if isinstance(value, str)}
        renamed = name in {"key", "name"}
        yield (
            level,
            f"{thing} was {_show(old)}" if renamed else f"{name} of {thing}: {_show(old)} became {_show(new)}",
            called,
        )


def _values(thing: str, old: list[Any], new: list[Any], level: Level) -> _Told:
    """Values of an enum. One that goes is a name less in Python, whichever way it travels."""
    for value in [value for value in new if value not in old]:
        # In a request redocly rates the whole change; what is added there breaks nobody.
        yield (Level.COMPATIBLE if old else level), f"value `{value}` of {thing} added", {str(value)}
    for value in [value for value in old if value not in new]:
        yield Level.BREAKING, f"value `{value}` of {thing} removed", {str(value)}


def _level(record: dict[str, Any]) -> Level:
    """The verdict of redocly, and ours where a change moves a name or a type of the generated client."""
    name = record.get("property") or ""
    pointer = (record.get("revision") or record.get("base") or {}).get("pointer", "")
    if record["impact"] == "major" or _breaks_names(record, name, pointer):
        return Level.BREAKING
    explains = name in EXPLAINS or name.startswith("x-") or record["typeName"] in {"SpecExtension", "Example", "Tag"}
    last = pointer.rpartition("/")[2]
    if explains or pointer.startswith(_INFO) or last in EXPLAINS or last.startswith("x-"):
        return Level.DOCUMENTATION
    return Level.COMPATIBLE


def _breaks_names(record: dict[str, Any], name: str, pointer: str) -> bool:
    """Whether code that uses the generated client has to change, although the wire may stay as it is."""
    kind, type_name = record["kind"], record["typeName"]
    parts = pointer.split("/")
    if type_name == "Parameter" or "parameters" in parts[:-1]:
        return kind == "modified" and name in {"name", "in"} | _TYPES
    if type_name in {"Operation", "TagList"} and (name == "tags" or parts[-1] == "tags"):
        return True  # the module moves
    if parts[:3] == ["#", "components", "schemas"] and len(parts) == 4 and (name == "key" or kind == "removed"):
        return True  # the class is called otherwise, or gone
    if name == "additionalProperties" or parts[-1] == "additionalProperties":
        return record.get("revision", {}).get("value") is False  # what is not listed is lost, or no longer taken
    return kind == "removed" and len(parts) > 2 and parts[-2] in {"anyOf", "oneOf"}  # one kind of value less is read


def _subject(pointer: str, name: str | None, document: dict[str, Any]) -> tuple[str, set[str]]:
    """What a pointer points at, in words, and what a changelog may call it."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.removeprefix("#/").split("/")]
    if name and parts[-1] == name and len(parts) > 1:
        parts = parts[:-1]
    if parts[0] == "components" and len(parts) > 2:
        return _component(parts, document)
    if parts[0] == "paths" and len(parts) > 1:
        return _operation(parts, document)
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
        owner, of, names = item, f"path `{path}`", {path}
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


def _parameter(owner: dict[str, Any], rest: list[str], of: str, document: dict[str, Any]) -> tuple[str, set[str]]:
    parameter = owner["parameters"][int(rest[1])]
    if "$ref" in parameter:
        parameter = resolve(document, parameter["$ref"])
    return f"parameter `{parameter['name']}` of {of}", {parameter["name"]}


def _within(rest: list[str], owner: str, alone: str, names: set[str]) -> tuple[str, set[str]]:
    """A field, by its way through objects and arrays, or the whole."""
    fields = [rest[place + 1] for place, part in enumerate(rest[:-1]) if part == "properties"]
    if fields:
        return f"field `{'.'.join(fields)}` of {owner}", {fields[-1]}
    if "content" in rest[:-1]:
        return f"`{rest[rest.index('content') + 1]}` of {owner}", names
    if "headers" in rest[:-1]:
        return f"header `{rest[rest.index('headers') + 1]}` of {owner}", names
    return alone, names


def _inner(value: Any) -> set[str]:
    """What an added or removed operation or parameter is called by."""
    members = value if isinstance(value, list) else [value]
    return {
        str(member[key])
        for member in members
        if isinstance(member, dict)
        for key in ("operationId", "name")
        if key in member
    }


def _type(value: Any) -> str:
    """A schema's type in words; of an operation or a list of parameters, what they are."""
    if isinstance(value, list):
        return ", ".join(f"`{name}`" for name in sorted(_inner(value)))
    kind = value.get("type") if isinstance(value, dict) else None
    words = " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind or "")
    return f"{words}, {value['format']}" if words and "format" in value else words


def _show(value: Any) -> str:
    return "nothing" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _examples(documents: _Documents) -> Iterator[Change]:
    """Operations that are in both versions, with other examples."""
    for name in operations(documents.now):
        if name in operations(documents.before):
            sides = [list(_collect(complete(side, name)[0])) for side in (documents.before, documents.now)]
            if sides[0] != sides[1]:
                words = f"examples of `{name}` changed, and so does what the mock answers"
                yield Change(Level.DOCUMENTATION, words, names=frozenset({name}))


def _collect(node: Any) -> Iterator[Any]:
    if isinstance(node, list):
        for part in node:
            yield from _collect(part)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in {"example", "examples"}:
                yield value
            elif key != "properties":  # a field may be called so
                yield from _collect(value)
