"""What changed between two versions of the spec, in words, each change breaking, compatible or documentation.

redocly's diff finds the changes and knows which break a client of the API, by direction: a field that answers lose, a
field that requests must now have. Our users hold the API through names and types that are generated from the spec, so
what renames or retypes those is breaking too (`_breaks_names`). What redocly passes over is in scripts/spec_unseen.py.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

from scripts.change import Change, Level
from scripts.lint_spec import METHODS
from scripts.spec import complete, operations, redocly, resolve
from scripts.spec_unseen import unseen
from scripts.spec_words import ids, inner, kind, show, subject

# What explains and does not oblige. `x-` too: provenance says how well a thing is known.
EXPLAINS = {"description", "summary", "title", "example", "examples", "externalDocs", "deprecated"}
# Compared in scripts/spec_unseen.py.
_OURS = {"SecurityRequirementList", "SecurityRequirement", "LinksMap", "Link"}
_INFO = "#/info"
# Under a parameter these decide which Python type its argument has.
_TYPES = {"type", "format", "enum", "anyOf", "items", "$ref"}


class CompareError(Exception):
    """One of the two versions is no OpenAPI that redocly can read."""


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
    unique = dict.fromkeys([*found, *unseen(documents.before, documents.now)])
    return sorted(unique, key=lambda change: -change.level)


@attrs.frozen
class _Documents:
    before: dict[str, Any]
    now: dict[str, Any]

    def users(self, pointer: str, name: str | None) -> list[str]:
        """Operations that use a component, or a path that is called otherwise now."""
        if name == "key" and pointer.startswith("#/paths/") and pointer.count("/") == 2:
            return ids(resolve(self.now, pointer) or {})
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
    if (pointer.startswith(_INFO) and name == "version") or record["typeName"] in _OURS:
        return  # scripts/versions.py looks after the version
    thing, names = subject(pointer, name, document)
    users = list(dict.fromkeys(documents.users(pointer, name)))
    suffix = f", used by {', '.join(users)}" if users else ""
    for level, words, called in _tell(record, thing, (_value(base, name), _value(revision, name)), document):
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


def _tell(record: dict[str, Any], thing: str, sides: tuple[Any, Any], document: dict[str, Any]) -> _Told:
    """Level, words and more names of each change that a record holds."""
    name, done = record.get("property"), record["kind"]
    level = _level(record, document)
    old, new = sides
    value = new if done == "added" else old
    if done != "modified" and record["typeName"] == "PathItem" and any(method in METHODS for method in value or {}):
        for called in (value[method].get("operationId", thing) for method in value if method in METHODS):
            yield level, f"operation `{called}` {done}", {called}
    elif done != "modified":
        what = kind(value) if done == "added" or record["typeName"].endswith(("List", "Map")) else ""
        yield level, f"{thing} {done}{f' ({what})' if what else ''}", inner(value)
    elif name == "enum":
        yield from _values(thing, old, new)
    elif name == "required" and isinstance(old or new, list):
        yield from _required(record, thing, old or [], new or [])
    elif name in EXPLAINS or (name or "").startswith("x-") or record["typeName"] == "SpecExtension":
        yield level, f"{name} of {thing} changed", set()
    else:
        renamed = name in {"key", "name"}
        called = {str(side) for side in sides if side} if renamed or name in {"operationId", "url"} else set()
        yield (
            level,
            f"{thing} was {show(old)}" if renamed else f"{name} of {thing}: {show(old)} became {show(new)}",
            called,
        )


def _values(thing: str, old: list[Any] | None, new: list[Any] | None) -> _Told:
    """Values of an enum. One that goes is a name less in Python, whichever way it travels; one that comes breaks nobody.

    An enum is a class, so where one begins or ends a type changes, and what it does not list raises.
    """
    if old is None or new is None:
        listed = ", ".join(show("null" if value is None else value) for value in old or new or [])
        yield Level.BREAKING, f"{thing} is {'an enum now' if old is None else 'no longer an enum'}: {listed}", set()
        return
    for value in [value for value in new if value not in old]:
        yield Level.COMPATIBLE, f"value `{value}` of {thing} added", {str(value)}
    for value in [value for value in old if value not in new]:
        yield Level.BREAKING, f"value `{value}` of {thing} removed", {str(value)}


def _required(record: dict[str, Any], thing: str, old: list[str], new: list[str]) -> _Told:
    """By direction: a request must have one more, or an answer may lack one. redocly rates the list as a whole."""
    rules = {verdict["ruleId"] for verdict in record["verdicts"] if verdict["impact"] == "major"}
    for field in [field for field in new if field not in old]:
        level = Level.BREAKING if "required-properties-added" in rules else Level.COMPATIBLE
        yield level, f"field `{field}` of {thing} is now required", {field}
    for field in [field for field in old if field not in new]:
        level = Level.BREAKING if "required-properties-removed" in rules else Level.COMPATIBLE
        yield level, f"field `{field}` of {thing} is no longer required", {field}


def _level(record: dict[str, Any], document: dict[str, Any]) -> Level:
    """The verdict of redocly, and ours where a change moves a name or a type of the generated client."""
    name = record.get("property") or ""
    pointer = (record.get("revision") or record.get("base") or {}).get("pointer", "")
    if record["impact"] == "major" or _breaks_names(record, name, pointer, document):
        return Level.BREAKING
    explains = name in EXPLAINS or name.startswith("x-") or record["typeName"] in {"SpecExtension", "Example", "Tag"}
    last = pointer.rpartition("/")[2]
    if explains or pointer.startswith(_INFO) or last in EXPLAINS or last.startswith("x-"):
        return Level.DOCUMENTATION
    return Level.COMPATIBLE


def _breaks_names(record: dict[str, Any], name: str, pointer: str, document: dict[str, Any]) -> bool:
    """Whether code that uses the generated client has to change, although the wire may stay as it is."""
    done, type_name = record["kind"], record["typeName"]
    parts = pointer.split("/")
    if name == "title" and type_name == "Schema":
        return _is_class(resolve(document, pointer.removesuffix("/title")))  # which is called by its title
    if type_name == "Parameter" or "parameters" in parts[:-1]:
        return done == "modified" and name in {"name", "in"} | _TYPES
    if type_name in {"Operation", "TagList"} and (name == "tags" or parts[-1] == "tags"):
        return True  # the module moves
    if parts[:3] == ["#", "components", "schemas"] and len(parts) == 4 and (name == "key" or done == "removed"):
        return True  # the class is called otherwise, or gone
    if name == "additionalProperties" or parts[-1] == "additionalProperties":
        return record.get("revision", {}).get("value") is False  # what is not listed is lost, or no longer taken
    return done == "removed" and len(parts) > 2 and parts[-2] in {"anyOf", "oneOf"}  # one kind of value less is read


def _is_class(schema: dict[str, Any]) -> bool:
    return "enum" in schema or "properties" in schema
