"""List the changes between two versions of the spec, each with a level: breaking, compatible or documentation.

redocly's diff finds most changes and knows by direction which ones break a client: a field that responses lose, a field that
requests must have. Our users also depend on the generated names and types, so a change of those is breaking too
(`_breaks_names`). `extra_changes` adds the changes that redocly does not report: security, types behind a `$ref`, links,
examples.
"""

import enum
import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

from scripts.describe import describe, kind, member_names, operation_ids, show
from scripts.spec import METHODS, SCHEMAS, complete, operations, redocly, resolve, schemas_used

# Properties that explain and do not oblige. `x-` belongs to them: provenance states how well a thing is confirmed.
EXPLAINS = {"description", "summary", "title", "example", "examples", "externalDocs"}
# Compared by `extra_changes`.
_NOT_FROM_REDOCLY = {"SecurityRequirementList", "SecurityRequirement", "LinksMap", "Link"}
# Under a parameter these decide the Python type of its argument.
_TYPES = {"type", "format", "enum", "anyOf", "items", "$ref"}
# Fields by which a response announces a further page.
_PAGING = re.compile(r"(next|cursor|continuation|has_?more|page_?token|(total_?)?pages?$)", re.IGNORECASE)
_Spec = dict[str, Any]


class Level(enum.IntEnum):
    """How much a change asks of a user."""

    DOCUMENTATION = 0
    COMPATIBLE = 1
    BREAKING = 2


@attrs.frozen
class Change:
    """One change of the spec or of the public names.

    Attributes:
        level: how much it asks of a user.
        text: a description for a reader who is familiar with the API.
        line: its line in the version named by `side`.
        names: names that a changelog entry may use for it; one of them is enough.
    """

    level: Level
    text: str
    line: int | None = None
    side: str = "now"
    names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        place = f" (line {self.line}{'' if self.side == 'now' else ' before'})" if self.line else ""
        return f"{self.level.name.lower()}: {self.text}{place}"


class CompareError(Exception):
    """redocly cannot read one of the two versions."""


def changes(before: str, now: str) -> list[Change]:
    """Compare two texts of the spec; the breaking changes come first."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("before.yaml", before), ("now.yaml", now)):
            (Path(folder) / name).write_text(text, "utf-8")
        done = redocly("diff", f"{folder}/before.yaml", f"{folder}/now.yaml", "--format", "json", "--fail-on", "none")
    if not done.stdout.strip():
        raise CompareError(f"redocly could not compare the two versions of openapi.yaml:\n{done.stderr}")
    documents = _Documents(yaml.safe_load(before), yaml.safe_load(now))
    read = [change for record in json.loads(done.stdout)["changes"] for change in _read(record, documents)]
    # redocly reports a shared component once for each place that uses it.
    unique = dict.fromkeys([*read, *extra_changes(documents.before, documents.now)])
    return sorted(unique, key=lambda change: -change.level)


@attrs.frozen
class _Documents:
    before: _Spec
    now: _Spec

    def users(self, pointer: str, name: str | None) -> list[str]:
        """Return the operations that use a component, or those of a path that was renamed."""
        if name == "key" and pointer.startswith("#/paths/") and pointer.count("/") == 2:
            return operation_ids(resolve(self.now, pointer) or {})
        component = "/".join(pointer.split("/")[:4])
        documents = (self.now, self.before)
        names = [name for one in documents for name in operations(one) if component in complete(one, name)[1]]
        return list(dict.fromkeys(names))

    def is_retyped(self, path: str) -> bool:
        """Return whether a place on the way to `path` has another type: its members then have nothing in common."""
        old, new = self.before, self.now
        for part in ["", *path.removeprefix("#/").split("/")]:
            old, new = (_step(side, node, part) for side, node in ((self.before, old), (self.now, new)))
            if _types_differ(old, new, (self.before, self.now)):
                return True
        return False


def _step(document: _Spec, node: Any, part: str) -> Any:
    """Return a member of a node, references followed; an empty part is the node itself."""
    if not part:
        return node
    if isinstance(node, dict) and isinstance(node.get("$ref"), str):
        node = resolve(document, node["$ref"])
    if isinstance(node, list):
        return node[int(part)] if part.isdecimal() and int(part) < len(node) else None
    return node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None


def _read(record: dict[str, Any], documents: _Documents) -> Iterator[Change]:
    """Turn one record of redocly into changes; an enum may gain and lose several values."""
    base, revision = record.get("base") or {}, record.get("revision") or {}
    removed = record["kind"] == "removed"
    side, document = (base, documents.before) if removed else (revision, documents.now)
    pointer: str = side["pointer"]
    name = record.get("property")
    if (pointer.startswith("#/info") and name == "version") or record["typeName"] in _NOT_FROM_REDOCLY:
        return  # scripts/versions.py checks the version
    if documents.is_retyped(record["path"]):
        return  # `extra_changes` reports the type as a whole
    thing, names = describe(pointer, name, document)
    users = documents.users(pointer, name)
    suffix = f", used by {', '.join(users)}" if users else ""
    for level, text, more in _tell(record, thing, (_value(base, name), _value(revision, name)), document):
        yield Change(
            level=level,
            text=text + suffix,
            line=side.get("line"),
            side="before" if removed else "now",
            names=frozenset({*names, *users, *more}),
        )


def _value(side: dict[str, Any], name: str | None) -> Any:
    """Return the value of a property; redocly points at the parent where the property was absent."""
    present = name in {None, "key"} or side.get("pointer", "").endswith(f"/{name}")
    return side.get("value") if present else None


_Told = Iterator[tuple[Level, str, set[str]]]


def _tell(record: dict[str, Any], thing: str, sides: tuple[Any, Any], document: _Spec) -> _Told:
    """Yield level, text and further names of each change in a record."""
    name, action = record.get("property") or "", record["kind"]
    level = _level(record, document)
    old, new = sides
    value = new if action == "added" else old
    if action != "modified" and record["typeName"] == "PathItem" and any(method in METHODS for method in value or {}):
        for operation in (value[method].get("operationId", thing) for method in value if method in METHODS):
            yield level, f"operation `{operation}` {action}", {operation}
    elif action != "modified":
        details = kind(value) if action == "added" or record["typeName"].endswith(("List", "Map")) else ""
        warning = ": responses may now come in pages, and a client that reads one page loses the rest"
        paging = warning if action == "added" and _is_paging(record) else ""
        yield level, f"{thing} {action}{f' ({details})' if details else ''}{paging}", member_names(value)
    elif name == "enum":
        yield from _values(thing, old, new)
    elif name == "required" and isinstance(old or new, list):
        yield from _required(record, thing, old or [], new or [])
    elif name == "deprecated":
        yield level, f"{thing} is {'now' if new else 'no longer'} deprecated", set()
    elif name in EXPLAINS or name.startswith("x-") or record["typeName"] == "SpecExtension":
        yield level, f"{name} of {thing} changed", set()
    elif name in {"key", "name"}:
        yield level, f"{thing} was named {show(old)}", {str(side) for side in sides if side}
    else:
        names = {str(side) for side in sides if side} if name in {"operationId", "url"} else set()
        yield level, f"{name} of {thing}: {show(old)} became {show(new)}", names


def _values(thing: str, old: list[Any] | None, new: list[Any] | None) -> _Told:
    """Compare the values of an enum. A removed one is a missing name in Python; an added one breaks nobody.

    An enum is a class, so a type changes where one begins or ends.
    """
    if old is None or new is None:
        listed = ", ".join(show("null" if value is None else value) for value in old or new or [])
        yield Level.BREAKING, f"{thing} is {'now an enum' if old is None else 'no longer an enum'}: {listed}", set()
        return
    for value in [value for value in new if value not in old]:
        yield Level.COMPATIBLE, f"value `{value}` of {thing} added", {str(value)}
    for value in [value for value in old if value not in new]:
        yield Level.BREAKING, f"value `{value}` of {thing} removed", {str(value)}


def _required(record: dict[str, Any], thing: str, old: list[str], new: list[str]) -> _Told:
    """Rate each field by direction: a request must have one more, or a response may lack one. redocly rates the list."""
    rules = {verdict["ruleId"] for verdict in record["verdicts"] if verdict["impact"] == "major"}
    for field in [field for field in new if field not in old]:
        level = Level.BREAKING if "required-properties-added" in rules else Level.COMPATIBLE
        yield level, f"field `{field}` of {thing} is now required", {field}
    for field in [field for field in old if field not in new]:
        level = Level.BREAKING if "required-properties-removed" in rules else Level.COMPATIBLE
        yield level, f"field `{field}` of {thing} is no longer required", {field}


def _level(record: dict[str, Any], document: _Spec) -> Level:
    """Return redocly's verdict, or ours where the change moves a name or a type, or adds pages."""
    name = record.get("property") or ""
    pointer = (record.get("revision") or record.get("base") or {}).get("pointer", "")
    breaks = record["impact"] == "major" or _breaks_names(record, name, pointer, document)
    if breaks or (record["kind"] == "added" and _is_paging(record)):
        return Level.BREAKING
    explains = name in EXPLAINS or name.startswith("x-") or record["typeName"] in {"SpecExtension", "Example", "Tag"}
    last = pointer.rpartition("/")[2]
    if explains or pointer.startswith("#/info") or last in EXPLAINS or last.startswith("x-"):
        return Level.DOCUMENTATION
    return Level.COMPATIBLE


def _is_paging(record: dict[str, Any]) -> bool:
    """Return whether a response gets a field, or the header `Link`, that leads to a further page."""
    path = str(record["path"])
    if "/responses/" not in path:
        return False
    parent, name = path.split("/")[-2:]
    headers = (
        {name} if parent == "headers" else member_names(record["revision"]["value"]) if name == "headers" else set()
    )
    return (parent == "properties" and bool(_PAGING.match(name))) or "Link" in headers


def _breaks_names(record: dict[str, Any], name: str, pointer: str, document: _Spec) -> bool:
    """Return whether code that uses the generated client has to change, although the wire format may be the same."""
    action, type_name = record["kind"], record["typeName"]
    parts = pointer.split("/")
    if name == "title" and type_name == "Schema":  # names the class
        return not {"enum", "properties"}.isdisjoint(resolve(document, pointer.removesuffix("/title")))
    if type_name == "Parameter" or "parameters" in parts[:-1]:
        return action == "modified" and name in {"name", "in"} | _TYPES
    if type_name in {"Operation", "TagList"} and (name == "tags" or parts[-1] == "tags"):
        return True  # the module moves
    if parts[:3] == ["#", "components", "schemas"] and len(parts) == 4 and (name == "key" or action == "removed"):
        return True  # the class has another name, or is removed
    if name == "additionalProperties" or parts[-1] == "additionalProperties":
        return record.get("revision", {}).get("value") is False  # unlisted fields are lost, or no longer accepted
    return action == "removed" and len(parts) > 2 and parts[-2] in {"anyOf", "oneOf"}  # one type less is read


def extra_changes(before: _Spec, now: _Spec) -> Iterator[Change]:
    """Compare what redocly's diff leaves out, in the operations that both versions have."""
    for name in operations(now):
        if name in operations(before):
            yield from _security(name, before, now)
            old, new = (_operation(side, name) for side in (before, now))
            for parts, keys, text in (
                (["responses"], {"links"}, f"links of `{name}` changed"),
                (
                    ["responses"],
                    {"example", "examples"},
                    f"response examples of `{name}` changed, and so does the mock",
                ),
                (["requestBody", "parameters"], {"example", "examples"}, f"request examples of `{name}` changed"),
            ):
                sides = [[list(_collect(side.get(part), keys)) for part in parts] for side in (old, new)]
                if sides[0] != sides[1]:
                    yield Change(Level.DOCUMENTATION, text, names=frozenset({name}))
    yield from _retyped("#", before, now, (before, now))


def _operation(document: _Spec, name: str) -> _Spec:
    """Return an operation with its references followed."""
    operation: _Spec = complete(document, name)[0][2][2]
    return operation


def _collect(node: Any, keys: set[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for part in node:
            yield from _collect(part, keys)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in keys:
                yield value
            elif key != "properties":  # a field may have such a name
                yield from _collect(value, keys)


def _security(name: str, before: _Spec, now: _Spec) -> Iterator[Change]:
    """Compare the accepted credentials of an operation. It breaks where formerly accepted ones no longer suffice."""
    old, new = _accepted(name, before), _accepted(name, now)
    if old != new:
        suffices = all(any(one <= other for one in new) for other in old)
        text = f"security of `{name}`: {_show_accepted(old)} became {_show_accepted(new)}"
        yield Change(Level.COMPATIBLE if suffices else Level.BREAKING, text, names=frozenset({name}))


def _accepted(name: str, document: _Spec) -> set[frozenset[str]]:
    """Return each set of schemes and scopes that suffices; the empty one needs no credentials."""
    path, method = operations(document)[name]
    listed = document["paths"][path][method].get("security", document.get("security")) or [{}]
    return {
        frozenset(
            part for scheme, scopes in one.items() for part in (scheme, *(f"{scheme}:{scope}" for scope in scopes))
        )
        for one in listed
    }


def _show_accepted(accepted: set[frozenset[str]]) -> str:
    return " or ".join(sorted(f"`{' and '.join(sorted(one))}`" if one else "none" for one in accepted))


def _retyped(pointer: str, before: Any, now: Any, documents: tuple[_Spec, _Spec]) -> Iterator[Change]:
    """Yield the places with another class, or with a choice of types instead of one type.

    redocly compares the targets of references and ignores their names. Lists are left to redocly, which matches members.
    """
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return
    if _types_differ(before, now, documents):
        thing, names = describe(pointer, None, documents[1])
        old, new = _types(before, documents[0]), _types(now, documents[1])
        was, became = (_show_types(side, types) for side, types in ((before, old), (now, new)))
        only_sent = schemas_used(documents[1], "requestBody") - schemas_used(documents[1], "responses")
        in_request = "/requestBody" in pointer or pointer.split("/")[3:4] in [[name] for name in only_sent]
        level = Level.COMPATIBLE if in_request and old and old <= new else Level.BREAKING
        yield Change(level, f"type of {thing}: {was} became {became}", names=frozenset({*names, *old, *new}))
        return
    for key in before.keys() & now.keys() - {"example", "examples", "links", "default"}:
        part = key.replace("~", "~0").replace("/", "~1")
        yield from _retyped(f"{pointer}/{part}", before[key], now[key], documents)


def _types_differ(before: Any, now: Any, documents: tuple[_Spec, _Spec]) -> bool:
    """Return whether a reference or a choice of types became something else.

    Two choices are left to redocly, and so is a class that was removed or renamed, which it reports by name.
    """
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return False
    choices = sum(not {"anyOf", "oneOf"}.isdisjoint(side) for side in (before, now))
    if choices == 2 or not (choices or "$ref" in {*before, *now}):
        return False
    old, new = (_types(side, document) for side, document in zip((before, now), documents, strict=True))
    schemas = [document.get("components", {}).get("schemas", {}) for document in documents]
    return old != new and not any(name in schemas[0] and name not in schemas[1] for name in old)


def _types(node: _Spec, document: _Spec) -> frozenset[str]:
    """Return the classes and plain types of a node with a reference or a choice; none for any other node."""
    options = node.get("anyOf") or node.get("oneOf") or ([node] if "$ref" in node else [])
    names = {str(option.get("$ref", "")).removeprefix(SCHEMAS) for option in options}
    classes = {name for name in names if _is_class(resolve(document, SCHEMAS + name) or {})}
    return frozenset(classes | {str(option["type"]) for option in options if "type" in option})


def _is_class(schema: _Spec) -> bool:
    """Return whether the generator makes a class of a schema."""
    return "object" in schema.get("type", []) or "enum" in schema


def _show_types(node: _Spec, types: frozenset[str]) -> str:
    listed = ", ".join(f"`{name}`" for name in sorted(types)) or "an unnamed type"
    return listed if "$ref" in node or not types else f"one of {listed}"
