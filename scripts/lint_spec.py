"""Our own rules for openapi.yaml, beside redocly's: each operation says how well each part of it is known.

Keys are strings, too: an unquoted status is a number to YAML. The version is one that a package can have. No two operations
would be the same function, and no format is one that nobody reads.

Prints a line for each problem, with file and line, and exits with 1 if there is one.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

SPEC = Path(__file__).parent.parent / "openapi.yaml"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
PARTS = ("path", "status", "body")
# Words joined by commas, each with a remark in brackets or without: "reference (labels), assumed (numbers)".
WORD = r"(reference|observed|assumed)( \([^()]*\))?"
FORM = "write reference, observed or assumed, with a remark in brackets or without"
PROVENANCE = re.compile(rf"{WORD}(, {WORD})*")
# Of OpenAPI 3.1 and of JSON Schema, as far as the generator and the validators tell them from a plain type. A misspelt one
# would pass: all of them take what they don't know for no format.
FORMATS = {
    *("int32", "int64", "float", "double", "password", "binary", "byte"),
    *("date", "date-time", "time", "duration", "uuid", "uri", "email", "hostname", "ipv4", "ipv6", "regex"),
}
VERSION = re.compile(r"\d+\.\d+\.\d+")


def main() -> int:
    """Check one spec: the project's, or the one named as argument."""
    path = Path(sys.argv[1]) if sys.argv[1:] else SPEC
    problems = list(lint(path.read_text("utf-8")))
    for line, problem in problems:
        print(f"{path.name}:{line}: {problem}")
    if not problems:
        print(f"{path.name}: each operation says where it comes from")
    return 1 if problems else 0


def lint(text: str) -> list[tuple[int, str]]:
    """Line and words of each problem."""
    problems = []
    names: dict[str, str] = {}
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    paths = _members(_get(document, "paths"))
    if not paths:
        return [(1, "no paths; a contract has operations")]
    for path, item in paths:
        for method, operation in _members(item):
            if method.value in METHODS:
                line = method.start_mark.line + 1
                found = _provenance(operation)
                problems += [(line, f"{method.value} {path.value}: {problem}") for problem in found]
                problems += _same_name(_get(operation, "operationId"), names)
    marks = _marks(_get(_get(document, "components"), "schemas"))
    return [*_version(document), *problems, *marks, *_keys(document), *_formats(document)]


def _same_name(called: yaml.Node | None, names: dict[str, str]) -> Iterator[tuple[int, str]]:
    """The generator writes `getThing` and `get_thing` to the same file, the one over the other."""
    if called is not None:
        other = names.setdefault(re.sub(r"\W|_", "", str(called.value)).lower(), called.value)
        if other != called.value:
            yield called.start_mark.line + 1, f"the operationId {called.value} is {other} in Python; choose another"


def _formats(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Formats of schemas: beside a type, since an example or a field may have the name, too."""
    value = _get(node, "format")
    if isinstance(value, yaml.ScalarNode) and _get(node, "type") is not None and value.value not in FORMATS:
        yield value.start_mark.line + 1, f"the format {value.value} is unknown; one of {', '.join(sorted(FORMATS))}"
    for part in node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []:
        key, inner = part if isinstance(part, tuple) else (None, part)
        if key is None or key.value not in {"example", "examples", "default", "enum", "const"}:
            yield from _formats(inner)


def _version(document: yaml.Node | None) -> Iterator[tuple[int, str]]:
    version = _get(_get(document, "info"), "version")
    if version is not None and not (isinstance(version.value, str) and VERSION.fullmatch(version.value)):
        yield version.start_mark.line + 1, f"info.version is {version.value!r}: write three numbers, such as 1.2.3"


def _keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Keys that YAML takes for something else than words: a status without quotes is a number, and breaks the generator."""
    parts = node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []
    for part in parts:
        key, value = part if isinstance(part, tuple) else (None, part)
        if key is not None and key.tag != "tag:yaml.org,2002:str":
            yield key.start_mark.line + 1, f"the key {key.value} is no string; put it into quotes"
        yield from _keys(value)


def _marks(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    """Schemas and fields that the reference does not list carry the same words, in one line."""
    for key, value in _members(node):
        if key.value == "x-provenance" and not (isinstance(value.value, str) and PROVENANCE.fullmatch(value.value)):
            yield key.start_mark.line + 1, f"x-provenance is {value.value!r}: {FORM}"
        yield from _marks(value)


def _provenance(operation: yaml.Node) -> list[str]:
    says = {key.value: value.value for key, value in _members(_get(operation, "x-provenance"))}
    if not says:
        return ["no x-provenance; say where path, status and body come from"]
    problems = [f"x-provenance has no `{part}`" for part in PARTS if part not in says]
    problems += [
        f"x-provenance has `{part}`, which is none of {', '.join(PARTS)}" for part in says if part not in PARTS
    ]
    problems += [
        f"x-provenance.{part} is {words!r}: {FORM}"
        for part, words in says.items()
        if not (isinstance(words, str) and PROVENANCE.fullmatch(words))
    ]
    return problems


def _members(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in _members(node) if key.value == name), None)


if __name__ == "__main__":
    sys.exit(main())
