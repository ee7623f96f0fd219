"""Make differences and facts a patch of openapi.yaml that only widens, and changes no other line."""

import difflib
import functools
import re
import textwrap
from typing import Any

from kayrros_ext._results.convert import import_optional
from kayrros_ext.doctor.contract import Difference, Judge, confirm, confirm_statuses
from kayrros_ext.testing.spec import get, load_spec, split

_NEW = {"description": "Not in the reference."}
_TEXT: dict[str, Any] = {"schema": {"type": "string"}, "example": "A text that is not JSON"}
_ERROR = {"schema": {"$ref": "#/components/schemas/ErrorResponse"}, "example": {"code": "ERROR", "message": "An error"}}
# What the generator needs to know of a type besides.
_MORE: dict[str, dict[str, Any]] = {"array": {"items": {}}, "object": {"additionalProperties": True}}


def make_patch(judge: Judge, text: str, date: str) -> tuple[str, list[str]]:
    """Return a unified diff for `git apply`, and the places that it does not change."""
    spec, by_hand = _Spec(text, date), []
    # A new status or content type takes the schema of another, with the changes of that.
    for difference in sorted(judge.news(), key=lambda it: it.kind in {"status", "content_type"}):
        place, seen = difference.place, difference.seen
        widen = getattr(spec, f"add_{difference.kind}", None)
        if widen is None or "*" in {seen, place[-1]}:  # nothing widens it, or the name is not shown
            by_hand.append(place)
            continue
        spec.comment = f"{difference.change.get('what', seen)} {difference.rests_on} ({date})."
        widen(place, difference)
        if difference.kind in {"type", "format", "range", "enum"} and place.startswith("/components/schemas/"):
            owner = re.match(r"(/[^/]+){3}(/properties/[^/]+)?", place)
            spec.confirm(f"{owner and owner[0]}/x-provenance", rf"; {re.escape(seen)}\)$", seen)
    for (place, remark), topic in ((fact, topic) for fact, topic in judge.facts.items() if topic):
        spec.confirm(place, topic, remark)
    for operation, statuses in judge.statuses.items():
        place = f"{operation}/x-provenance/status"
        spec.put(place, confirm_statuses(spec.value(place), statuses, date))
    before, after = (part.splitlines(keepends=True) for part in (text, spec.text))
    return "".join(difflib.unified_diff(before, after, "a/openapi.yaml", "b/openapi.yaml")), by_hand


class _Spec:
    """The text of the spec, and edits of its nodes by their pointers, each under the comment of the moment."""

    def __init__(self, text: str, date: str) -> None:
        self._yaml, self.text, self.comment, self._date = import_optional("yaml", extra="doctor"), text, "", date
        loader = getattr(self._yaml, "CSafeLoader", self._yaml.SafeLoader)
        self._compose = functools.lru_cache(1)(functools.partial(self._yaml.compose, Loader=loader))
        self._load = functools.lru_cache(1)(load_spec)

    def add_field(self, place: str, difference: Difference) -> None:
        types, items = difference.change["types"], difference.change["items"]
        more = {key: value for kind in sorted(types) for key, value in _MORE.get(kind, {}).items()}
        if "items" in more and items and not items & {"array", "object"}:
            more["items"] = {"type": sorted(items)}
        schema = {"type": [*sorted(types - {"null"}), "null"], **more, "x-provenance": f"confirmed ({self._date})"}
        self.put(place, {**schema, **_NEW})

    def add_type(self, place: str, difference: Difference) -> None:
        seen = difference.seen
        other = {"type": seen, **_MORE.get(seen, {})}
        if self.value(f"{place}/anyOf"):
            self._append(f"{place}/anyOf", other)
        elif kinds := self.value(f"{place}/type"):
            kinds = [kinds] if isinstance(kinds, str) else kinds
            kept = [it for it in kinds if it != "null" and (it, seen) != ("integer", "number")]
            kept += [seen] if seen != "null" else []
            self.put(f"{place}/type", [*kept, "null"] if "null" in {*kinds, seen} else kept)
            self.comment = ""
            for key, value in _MORE.get(seen, {}).items():
                self.put(f"{place}/{key}", value)
            if seen == "number":
                self._drop(f"{place}/format")
        else:  # a reference
            options = [{"$ref": self.value(f"{place}/$ref")}, other]
            if (node := self._find(place)[1]).flow_style:
                self._replace(node, self._flow({"anyOf": options}), self.comment)
            else:
                self.put(f"{place}/anyOf", options)
                self._drop(f"{place}/$ref")

    def add_format(self, place: str, difference: Difference) -> None:
        types = self.value(f"{place}/type")
        options = [{"type": kind} for kind in ([types] if isinstance(types, str) else types)]
        self.put(f"{place}/anyOf", [{"type": "string", "format": difference.expected}, *options])
        self._drop(f"{place}/type")
        self._drop(f"{place}/format")

    def add_range(self, place: str, difference: Difference) -> None:
        self.put(f"{place}/format", "int64") if difference.expected == "int32" else self._drop(f"{place}/format")

    def add_enum(self, place: str, difference: Difference) -> None:
        self._append(f"{place}/enum", difference.seen)

    def add_status(self, place: str, difference: Difference) -> None:
        change, media = difference.change, _TEXT
        if change["is_json"] and difference.seen[0] == "2":
            media = next(iter(self.value(f"{place.rpartition('/')[0]}/200/content").values()))
        elif change["is_json"]:
            media = _ERROR if change["is_object"] else {**_ERROR, "schema": {}}
        content = {change["media"] or "application/json": media}
        self.put(place, {**_NEW, **({"content": content} if change["has_body"] else {})})

    def add_content_type(self, place: str, difference: Difference) -> None:
        documented = next(iter(self.value(place.rpartition("/")[0]).values()))
        self.put(place, documented if difference.change["is_json"] else _TEXT)

    def add_behaviour(self, place: str, difference: Difference) -> None:
        self.confirm(place, difference.change["topic"], difference.seen)

    def confirm(self, place: str, topic: str, remark: str) -> None:
        self.put(place, confirm(self.value(place) or "", topic, remark, self._date))

    def value(self, pointer: str) -> Any:
        return get(self._load(self.text), pointer)

    def put(self, pointer: str, value: Any) -> None:
        """Set a key of a mapping. An x-provenance has no comment, and may take several lines."""
        parent, _, key = pointer.rpartition("/")
        (_, node), owner, name = self._find(pointer), self._find(parent)[1], split(f"/{key}")[0]
        if owner is None or (node is not None and self.value(pointer) == value):
            return
        is_text, indent = "x-provenance" in pointer, " " * owner.value[0][0].start_mark.column
        comment = "" if is_text else self.comment
        lines = textwrap.wrap(f"{name}: {value}", 120 - len(indent), subsequent_indent="  ") if is_text else []
        lines = lines or [f"{self._flow(name)}: {self._flow(value)}"]
        if owner.flow_style:
            self._replace(owner, self._flow({**self.value(parent), name: value}), comment)
        elif node is not None:
            self._replace(node, f"\n{indent}".join(lines).partition(": ")[2], comment)
        else:
            self._insert(self._last_line(owner) + 1, [*[f"# {comment}"] * bool(comment), *lines], indent)

    def _append(self, pointer: str, item: Any) -> None:
        node = self._find(pointer)[1]
        if node.flow_style:
            self._replace(node, f"{self._source(node)[:-1]}, {self._flow(item)}]", self.comment)
        else:
            lines = [f"# {self.comment}", f"- {self._flow(item)}"]
            self._insert(self._last_line(node) + 1, lines, " " * node.start_mark.column)

    def _drop(self, pointer: str) -> None:
        """Remove a key with a value of one line, of a block mapping."""
        if key := self._find(pointer)[0]:
            lines = self.text.splitlines()
            self.text = "\n".join([*lines[: key.start_mark.line], *lines[key.start_mark.line + 1 :]]) + "\n"

    def _flow(self, value: Any) -> str:
        """Return a value as YAML in one line."""
        text = self._yaml.safe_dump([value], default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
        return str(text).strip()[1:-1]

    def _find(self, pointer: str) -> tuple[Any, Any]:
        """Return the nodes of a key and of its value, or None for both."""
        key, node = None, self._compose(self.text)
        for part in split(pointer):
            pairs = node.value if isinstance(node, self._yaml.MappingNode) else ()
            key, node = next((pair for pair in pairs if pair[0].value == part), (None, None))
        return key, node

    def _source(self, node: Any) -> str:
        return self.text[node.start_mark.index : node.end_mark.index].rstrip()

    def _replace(self, node: Any, new: str, comment: str = "") -> None:
        start, line = node.start_mark.index, node.start_mark.line
        first = self.text.splitlines()[line]
        self.text = self.text[:start] + new + self.text[start + len(self._source(node)) :]
        if comment:
            self._insert(line, [f"# {comment}"], first[: len(first) - len(first.lstrip())])

    def _insert(self, line: int, new: list[str], indent: str) -> None:
        lines = self.text.splitlines()
        self.text = "\n".join([*lines[:line], *(indent + it for it in new), *lines[line:]]) + "\n"

    def _last_line(self, node: Any) -> int:
        """Return the number of the last line of a node, without the blank lines and comments that follow it."""
        if isinstance(node.value, list) and node.value and not node.flow_style:
            last = node.value[-1]
            return self._last_line(last[1] if isinstance(last, tuple) else last)
        return int(node.start_mark.line + self._source(node).count("\n"))
