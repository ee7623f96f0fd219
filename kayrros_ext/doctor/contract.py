"""Compare answers with openapi.yaml. Nothing here holds a value of the platform: only types, names and counts."""

import copy
import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import attrs

from kayrros_ext._results.convert import import_optional
from kayrros_ext.testing.har import MEDIA_TYPE, SAFE_NAME, SAFE_VALUE, parse_json
from kayrros_ext.testing.spec import escape, get, load_spec
from kayrros_openapi.contract import OPERATIONS

_MAX_NEW_FIELDS = 40  # an object with more unlisted fields is a map, and its keys are data
_OPEN = "/components/schemas/LoginReply/"  # it has unlisted fields, as the reference says: those are no difference
_LIMITS = {"int32": 2**31, "int64": 2**63}
_UNITS = {"Result": "result", "AssetResult": "asset", "Metrics": "metric"}
_TYPES: Any = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_TYPES |= {type(None): "null"}
_PLACES = {it.id: f"/paths/{it.path.replace('/', '~1')}/{it.method.lower()}" for it in OPERATIONS}
_TERM = re.compile(r"(reference|observed|assumed|confirmed)( \([^()]*\))?")


class Check(NamedTuple):
    """A check in one line: its result in words, and what to do next. `private` is for the terminal, and in no file.

    Example:
        >>> Check("login", "ok", "accepted").result
        'ok'
    """

    name: str
    result: Literal["ok", "note", "failed", "skipped"]
    text: str
    advice: str = ""
    private: str = ""


@attrs.define(eq=False)
class Difference:
    """A way in which answers differ from the spec, `count` of `total` times; `change` is what the patch needs besides.

    Its kind is field, type, format, range, enum, required, status, content_type or behaviour. Its place is a JSON pointer
    into openapi.yaml. What was seen is a type or a name, and never a value.

    Example:
        >>> place = "/components/schemas/Result/properties/value_date"
        >>> Difference("type", place, "string", "integer", 412, 412, "result").rests_on
        'seen in 412 of 412 results'
    """

    kind: str
    place: str
    expected: str
    seen: str
    count: int = 0
    total: int = 0
    unit: str = "answer"
    change: dict[str, Any] = attrs.field(factory=dict)

    @property
    def rests_on(self) -> str:
        """How often it came: "seen in 412 of 412 results"."""
        return f"seen in {self.count} of {self.total} {self.unit}{'' if self.total == 1 else 's'}"


class Judge:
    """Collects differences, facts (place and remark, with its topic), and the statuses seen, by place of the operation."""

    def __init__(self, text: str) -> None:
        self.document: Any = load_spec(text)
        self.get = functools.partial(get, self.document)
        self.facts: dict[tuple[str, str], str] = {}
        self.statuses: dict[str, set[int]] = {}
        self._strict = self._make_strict(copy.deepcopy({key: self.document[key] for key in ("paths", "components")}))
        self._differences: dict[tuple[str, ...], tuple[Difference, tuple[str, str]]] = {}
        self._totals: Counter[tuple[str, str]] = Counter()

    def place(self, operation: str, part: str = "") -> str:
        """Return the pointer of an operation, or of a part of its x-provenance."""
        return _PLACES[operation] + (part and f"/x-provenance/{part}")

    def judge(self, operation: str, status: int, content_type: str, body: bytes) -> None:
        """Compare an answer with the spec."""
        pointer = self.place(operation)
        self.statuses.setdefault(pointer, set()).add(status)
        self._totals["answers", pointer] += 1
        media, (value, is_json) = content_type.partition(";")[0].strip().lower(), parse_json(body)
        shown = media if MEDIA_TYPE.fullmatch(media) else ""
        change = {"media": shown, "is_json": is_json, "is_object": isinstance(value, dict), "has_body": bool(body)}
        responses, place = self.get(f"{pointer}/responses"), f"{pointer}/responses/{status}"
        key = next((name for name in (str(status), f"{status // 100}XX", "default") if name in responses), None)
        if key is None:
            documented, total = ", ".join(responses), ("answers", pointer)
            self._add("status", place, documented, str(status), total, what=f"Status {status}", **change)
            success = f"{pointer}/responses/200/content/application~1json/schema"
            if is_json and status < 300 and self.get(success):  # the patch takes it for another 200
                self._validate(success, value)
            elif change["is_object"] and status >= 400:  # and for an error like the others
                self._validate("/components/schemas/ErrorResponse", value)
            return
        response = self._follow(f"{pointer}/responses/{key}")
        self._totals["answers", response] += 1
        documented, place = self.get(response).get("content", {}), f"{response}/x-provenance"
        match = next((it for it in (media, f"{media.partition('/')[0]}/*", "*/*") if it in documented), "")
        if documented and not match:
            match = next(iter(documented)) if is_json else ""
            if body and shown:
                place = f"{response}/content/{escape(shown)}"
                self._add("content_type", place, ", ".join(documented), shown, ("answers", response), **change)
            else:
                remark = "without a usable content type" if body else "without a body"
                self.settle(place, remark, remark, ", ".join(documented))
        elif match.endswith(("/json", "+json")) and not is_json:
            self.settle(place, "no JSON", "the body is no JSON", "JSON")
        if match.endswith(("/json", "+json")) and is_json:
            self._validate(f"{response}/content/{escape(match)}/schema", value)

    def settle(self, place: str, topic: str, remark: str, expected: str = "", seen: tuple[int, int] = (1, 1)) -> None:
        """Note a fact at an x-provenance, in place of the remark with a topic. With `expected`, it contradicts the spec."""
        is_new = not any(remark in term for term in _terms(self.get(place) or "") if term.startswith("confirmed"))
        if expected and is_new:
            self._add("behaviour", place, expected, remark, ("answers", place.rpartition("/")[0]), topic=topic)
            difference, _ = self._differences["behaviour", place, remark]
            difference.count, difference.total = difference.count + seen[0] - 1, difference.total + seen[1]
        else:
            self.facts[place, remark] = topic if is_new else ""

    @property
    def differences(self) -> list[Difference]:
        """All differences, in the order of their places."""
        return [it for it in self.news() if not (it.kind == "field" and it.place.startswith(_OPEN))]

    def news(self) -> list[Difference]:
        """Return the differences, and the fields of objects whose fields the reference does not name."""
        for difference, total in self._differences.values():
            difference.total = self._totals[total] or difference.total
        return sorted((it for it, _ in self._differences.values()), key=lambda it: (it.place, it.kind, it.seen))

    def fields(self) -> list[dict[str, Any]]:
        """Return how often each documented field of an object that came was there, and how often it was null."""
        rows = []
        for (kind, place), total in sorted(self._totals.items()):
            for name in self.get(place).get("properties", ()) if kind == "objects" and total else ():
                field = f"{place}/properties/{escape(name)}"
                counts = (field, self._totals["values", field], self._totals["nulls", field], total)
                rows.append(dict(zip(("place", "present", "null", "of"), counts, strict=True)))
        return rows

    def _follow(self, pointer: str) -> str:
        while "$ref" in (node := self.get(pointer)):
            pointer = node["$ref"].removeprefix("#")
        return pointer

    def _validate(self, root: str, value: Any) -> None:
        for place, instance in self._walk(root, value):
            self._totals["values", place] += 1
            self._totals["nulls", place] += instance is None
            self._totals["objects", place] += isinstance(instance, dict)
        schema = {"$ref": f"#{quote(root, safe='/~')}", **self._strict}
        rust = import_optional("jsonschema_rs", extra="doctor")
        errors = rust.Draft202012Validator(schema, validate_formats=True).iter_errors(value)
        for error in itertools.chain.from_iterable(map(_leaves, errors)):
            *path, keyword = error.schema_path
            place = "".join(f"/{escape(str(part))}" for part in path)
            if keyword == "type" and "properties" in self.get(place):
                place = self._site(error.evaluation_path, root)  # where the object is used, something else may come
            self._note(keyword, place, error)

    def _note(self, keyword: str, place: str, error: Any) -> None:
        node, value, total = self.get(place), error.instance, ("values", place)
        if keyword == "additionalProperties":
            names = error.kind.unexpected
            for name in names if len(names) <= _MAX_NEW_FIELDS else ["*"]:
                self._note_field(place, name if SAFE_NAME.fullmatch(name) else "*", value.get(name))
        elif keyword == "anyOf" and isinstance(value, str):
            options = map(self._follow, (f"{place}/anyOf/{number}" for number in range(len(node["anyOf"]))))
            enum = next((option for option in options if "enum" in self.get(option)), place)
            seen = value if SAFE_VALUE.fullmatch(value) else "*"
            self._add("enum", enum, ", ".join(map(str, self.get(enum).get("enum", ()))), seen, total)
        elif keyword in {"type", "anyOf"}:
            types, kind = node.get("type", "object or another"), _TYPES[type(value)]
            expected = types if isinstance(types, str) else " or ".join(types)
            self._add("type", place, expected, kind, total, what=f"Type {kind}")
        elif keyword in {"format", "minimum", "maximum"}:
            kind, name = "format" if keyword == "format" else "range", node.get("format", keyword)
            self._add(kind, place, name, f"other than {name}", total, what=f"Values other than {name}")
        else:
            self._add(keyword, place, keyword, getattr(error.kind, "property", "a value that breaks it"), total)

    def _note_field(self, place: str, name: str, value: Any) -> None:
        total, field = ("objects", place), f"{place}/properties/{escape(name)}"
        self._add("field", field, "no such field", "", total, what="Field", types=set(), items=set())
        difference, _ = self._differences["field", field, ""]
        difference.change["types"].add(_TYPES[type(value)])
        difference.change["items"] |= {_TYPES[type(it)] for it in (value if isinstance(value, list) else ())}
        kinds = " or ".join(sorted(difference.change["types"]))
        difference.seen = "fields that are not shown" if name == "*" else kinds

    def _site(self, path: list[Any], root: str) -> str:
        """Return the pointer of the last reference on the way of the validator, which begins with one to the root."""
        pointer, site = root, root
        for part in path[1:-1]:
            if part == "$ref":
                site, pointer = pointer, self.get(pointer)["$ref"].removeprefix("#")
            else:
                pointer += f"/{escape(str(part))}"
        return site

    def _walk(self, pointer: str, value: Any) -> Iterator[tuple[str, Any]]:
        """Yield each value of an answer with the pointer of its schema, and of each reference to that."""
        yield pointer, value
        node = self.get(pointer)
        places = [f"{pointer}/anyOf/{number}" for number in range(len(node.get("anyOf", ())))]
        places += [node["$ref"].removeprefix("#")] if "$ref" in node else []
        parts = [(place, value) for place in places]
        if isinstance(value, dict):
            names = node.get("properties", {}).keys() & value.keys()
            parts += [(f"{pointer}/properties/{escape(name)}", value[name]) for name in names]
        elif isinstance(value, list) and "items" in node:
            parts += [(f"{pointer}/items", item) for item in value]
        for part in parts:
            yield from self._walk(*part)

    def _add(self, kind: str, place: str, expected: str, seen: str, total: tuple[str, str], **change: Any) -> None:
        parts = place.split("/")
        unit = "item" if place.endswith("/items") and parts[-2] != "properties" else _UNITS.get(parts[3], "answer")
        new = Difference(kind, place, expected, seen, unit=unit, change=change)
        difference, _ = self._differences.setdefault((kind, place, seen), (new, total))
        difference.count += 1

    def _make_strict(self, node: Any) -> Any:
        """Return a copy of the spec in which unlisted fields and values, and integers beyond their format, are errors."""
        if isinstance(node, list):
            return [self._make_strict(part) for part in node]
        if not isinstance(node, dict):
            return node
        node = {key: part if key.startswith("example") else self._make_strict(part) for key, part in node.items()}
        if node.get("additionalProperties") is True and node.get("properties"):
            node["additionalProperties"] = False
        if limit := _LIMITS.get(str(node.get("format"))):
            node |= {"minimum": -limit, "maximum": limit - 1}
        references = [part["$ref"].removeprefix("#") for part in node.get("anyOf", ()) if "$ref" in part]
        if any("enum" in self.get(reference) for reference in references):
            # Replaced and not removed, because the path of an error counts the options.
            node["anyOf"] = [{"not": {}} if part == {"type": "string"} else part for part in node["anyOf"]]
        return node


def confirm(provenance: str, topic: str, remark: str, date: str) -> str:
    """Return a provenance in which a confirmed term replaces the assumed or confirmed one with the topic, or comes last."""
    terms, new = _terms(provenance), f"confirmed ({date}{remark and f'; {remark}'})"
    guesses = [n for n, it in enumerate(terms) if it.startswith(("assumed", "confirmed")) and re.search(topic, it)]
    place = guesses[0] if guesses else len(terms)
    return ", ".join([*terms[:place], new, *terms[place + 1 :]])


def confirm_statuses(provenance: str, statuses: set[int], date: str) -> str:
    """Return a provenance that lists the statuses among the confirmed ones."""
    terms = ["assumed (the other numbers)" if it == "assumed (numbers)" else it for it in _terms(provenance)]
    old = [it for it in terms if re.match(r"confirmed \([^;]*; \d{3}(, \d{3})*\)", it)]
    listed = set(map(int, re.findall(r"\b\d{3}\b", " ".join(old))))
    if statuses <= listed:
        return provenance
    new = f"confirmed ({date}; {', '.join(map(str, sorted(statuses | listed)))})"
    terms = [it for it in terms if it not in old]
    place = next((n for n, it in enumerate(terms) if it.startswith("assumed")), len(terms))
    return ", ".join([*terms[:place], new, *terms[place:]])


def _leaves(error: Any) -> Iterator[Any]:
    """Yield an error; those of an anyOf are of the option whose type the value has, if there is one."""
    for errors in error.kind.context if error.schema_path[-1] == "anyOf" else ():
        ends = [it.schema_path[-1] for it in errors if it.instance_path == error.instance_path]
        if not {"type", "not", "enum"} & {*ends}:
            for inner in errors:
                yield from _leaves(inner)
            return
    yield error


def _terms(provenance: str) -> list[str]:
    return [match[0] for match in _TERM.finditer(provenance)]
