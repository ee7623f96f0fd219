"""Lint openapi.yaml with redocly, with our own rules and with openapi-spec-validator: `make lint-spec`.

Our rules: each operation states the provenance of its parts. Keys are strings, also for YAML, which reads an unquoted status
as a number. The version has three numbers. No two operations have the same name in Python. Formats are ones that tools read.
Reading is tolerant and sending is strict, so that the generated client reads responses with missing, null and unlisted
values, and sends no field that the API does not have.

It prints a line for each problem, with line, column and rule, and exits with 1 if there is an error.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import yaml

from scripts.spec import METHODS, ROOT, redocly, resolve, schemas_used

PARTS = ("path", "status", "body")
# Terms joined by commas, each with an optional remark in brackets: "reference (labels), assumed (numbers)".
TERM = r"(reference|observed|assumed|confirmed)( \([^()]*\))?"
PROVENANCE_FORM = "write reference, observed, assumed or confirmed, with an optional remark in brackets"
PROVENANCE = re.compile(rf"{TERM}(, {TERM})*")
# The formats of OpenAPI 3.1 and JSON Schema that the generator or the validators read. All of them ignore a misspelt one.
FORMATS = {
    *("int32", "int64", "float", "double", "password", "binary", "byte"),
    *("date", "date-time", "time", "duration", "uuid", "uri", "email", "hostname", "ipv4", "ipv6", "regex"),
}
VERSION = re.compile(r"\d+\.\d+\.\d+")
# Required fields of responses, each with its reason in openapi.yaml.
REQUIRED_IN_RESPONSES = {"LoginReply": {"token"}}
_Lines = Iterator[tuple[int, str]]


@attrs.frozen
class Problem:
    """A problem with its place (counted from 1) and its rule; a warning does not stop anything."""

    line: int
    column: int
    rule: str
    text: str
    warning: bool = False

    def __str__(self) -> str:
        return f"openapi.yaml:{self.line}:{self.column}: {self.rule}: {self.text}{' (warning)' if self.warning else ''}"


def main() -> int:
    """Lint the project's spec, or the one named as argument."""
    path = Path(sys.argv[1]) if sys.argv[1:] else ROOT / "openapi.yaml"
    reported = problems(path.read_text("utf-8"))
    print(*reported, sep="\n", end="\n" if reported else f"{path.name}: no problems\n")
    return int(any(not problem.warning for problem in reported))


def problems(text: str) -> list[Problem]:
    """Return the problems of a spec; invalid YAML ends the search."""
    try:
        json.dumps(yaml.safe_load(text), default=str)
    except yaml.YAMLError as error:
        return [_yaml_problem(text, error)]
    except (RecursionError, ValueError):
        return [Problem(1, 1, "yaml", "an alias contains itself, or lists are nested too deeply")]
    reported = [*_by_redocly(text), *_by_our_rules(text)]
    return reported if any(not problem.warning for problem in reported) else [*reported, *_by_validator(text)]


def _yaml_problem(text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):  # a forbidden character, placed by its offset
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1) + 1
        return Problem(before.count("\n") + 1, column, "yaml", f"{error.reason} (#x{error.character:04x})")
    mark = getattr(error, "problem_mark", None)
    message = getattr(error, "problem", None) or str(error)
    return Problem(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, "yaml", message)


def _by_redocly(text: str) -> list[Problem]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "openapi.yaml").write_text(text, "utf-8")
        done = redocly("lint", f"{folder}/openapi.yaml", "--format", "json", "--max-problems", "1000")
        done.stderr = done.stderr.replace(f"{folder}/", "")
    if not done.stdout.strip():  # it could not read the document, and printed plain text
        place = re.search(r"\((\d+):(\d+)\)", done.stderr)
        message = " ".join(line.strip(" -") for line in done.stderr.splitlines() if line.startswith("  - "))
        line, column = map(int, place.groups()) if place else (1, 1)
        return [Problem(line, column, "parse", message or done.stderr.strip())]
    reported = []
    for problem in json.loads(done.stdout)["problems"]:
        start = problem["location"][0].get("start", {"line": 1, "col": 1})
        message = problem["message"]
        if problem["ruleId"] == "no-unresolved-refs":  # the message does not name the reference
            message += f" ({text.splitlines()[start['line'] - 1].strip()})"
        is_warning = problem["severity"] != "error"
        reported.append(Problem(start["line"], start["col"], problem["ruleId"], message, is_warning))
    return sorted(reported, key=lambda problem: (problem.line, problem.column))


def _by_our_rules(text: str) -> list[Problem]:
    lines = ["", *text.splitlines(), ""]
    indents = [len(line) - len(line.lstrip()) for line in lines]
    return [Problem(line, indents[line] + 1, "ours", message) for line, message in lint(text)]


def _by_validator(text: str) -> Iterator[Problem]:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    try:
        for error in OpenAPIV31SpecValidator(yaml.safe_load(text)).iter_errors():
            line, column = _place(text, list(error.absolute_path))
            yield Problem(line, column, "openapi-spec-validator", error.message)
    except Exception as error:
        # A document that it cannot process at all, without a place. `make watch` must report it and go on.
        yield Problem(1, 1, "openapi-spec-validator", f"{type(error).__name__}: {error}")


def by_generator(text: str, output: str) -> list[Problem]:
    """Place the generator's warnings in the spec; they name operations and schemas, and no lines."""
    operations = [
        ["paths", path, method.lower()] for method, path in re.findall(r"parsing ([A-Z]+) (\S+) within", output)
    ]
    schemas = [
        ["components", "schemas", name] for name in re.findall(r"process schema (?:/components/schemas/)?(\w+)", output)
    ]
    return [
        Problem(*_place(text, path), "generator", f"no client can be generated from {' '.join(path[1:])}")
        for path in [*operations, *schemas]
    ]


def _place(text: str, path: list[Any]) -> tuple[int, int]:
    """Return line and column of the target of a path of keys, or of its last existing part."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = _get(node, str(part)) or node
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
    return (node.start_mark.line + 1, node.start_mark.column + 1) if node else (1, 1)


def lint(text: str) -> list[tuple[int, str]]:
    """Return line and text of each breach of our own rules."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    paths = _members(_get(document, "paths"))
    if not paths:
        return [(1, "no paths; a contract has operations")]
    reported: list[tuple[int, str]] = []
    names: dict[str, str] = {}
    for path, item in paths:
        for method, operation in _members(item):
            if method.value in METHODS:
                line = method.start_mark.line + 1
                label = f"{method.value} {path.value}"
                reported += [(line, f"{label}: {problem}") for problem in _provenance(operation)]
                reported += _same_name(_get(operation, "operationId"), names)
    schemas = _get(_get(document, "components"), "schemas")
    rules = [_version(document), _marks(schemas), _keys(document), _formats(document)]
    reported += [problem for rule in rules for problem in rule]
    # The rest follows references, so the document has to be in order.
    return reported or list(_directions(yaml.safe_load(text), schemas))


def _directions(spec: dict[str, Any], schemas: yaml.Node | None) -> _Lines:
    """Reading is tolerant, sending is strict."""
    sent, read = schemas_used(spec, "requestBody"), schemas_used(spec, "responses")
    listed = (spec.get("components") or {}).get("schemas") or {}
    for key, node in _members(schemas):
        name, schema = key.value, listed[key.value]
        if "properties" not in schema:
            continue
        line = key.start_mark.line + 1
        if name in sent & read:
            yield line, f"{name} is both sent and read; sending is strict and reading is tolerant, so use two schemas"
        elif schema.get("additionalProperties") is not (name not in sent):
            direction, value = ("sent", "false") if name in sent else ("read", "true")
            yield line, f"{name} is {direction}: write `additionalProperties: {value}`"
        rule = _sent_field if name in sent else _read_field
        for field, _ in _members(_get(node, "properties")):
            for problem in rule(spec, name, field.value):
                yield field.start_mark.line + 1, f"{name}.{field.value} {problem}"


def _sent_field(spec: dict[str, Any], name: str, field: str) -> Iterator[str]:
    if any("null" in option.get("type", []) for option in _options(spec, name, field)):
        yield "allows null, and a request never has one: leave the field out of `required` instead"


def _read_field(spec: dict[str, Any], name: str, field: str) -> Iterator[str]:
    options = _options(spec, name, field)
    if field in spec["components"]["schemas"][name].get("required", []):
        if field not in REQUIRED_IN_RESPONSES.get(name, set()):
            yield "is required, and a response may lack any field: remove it from `required`"
    elif not any("null" in option.get("type", ["null"]) for option in options):
        yield "does not allow null, and a response may have null in any field: add `'null'` to its types"
    if any("enum" in option for option in options) and {"type": "string"} not in options:
        yield (
            "accepts only the listed values, and the client cannot read any other: write `anyOf` with a schema that has the "
            "enum, `type: string` and `type: 'null'`"
        )


def _options(spec: dict[str, Any], name: str, field: str) -> list[dict[str, Any]]:
    """Return the types that a field may have, references followed."""
    value = spec["components"]["schemas"][name]["properties"][field]
    options = value.get("anyOf") or value.get("oneOf") or [value]
    return [resolve(spec, option["$ref"]) if "$ref" in option else option for option in options]


def _same_name(operation_id: yaml.Node | None, names: dict[str, str]) -> _Lines:
    """The generator writes `getThing` and `get_thing` to the same file."""
    if operation_id is not None:
        other = names.setdefault(re.sub(r"\W|_", "", str(operation_id.value)).lower(), operation_id.value)
        if other != operation_id.value:
            line = operation_id.start_mark.line + 1
            yield line, f"the operationId {operation_id.value} is the same as {other} in Python; choose another"


def _formats(node: yaml.Node | None) -> _Lines:
    """A format counts only next to a type, because an example or a field may have that name too."""
    value = _get(node, "format")
    if isinstance(value, yaml.ScalarNode) and _get(node, "type") is not None and value.value not in FORMATS:
        yield value.start_mark.line + 1, f"the format {value.value} is unknown; one of {', '.join(sorted(FORMATS))}"
    for part in node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []:
        key, inner = part if isinstance(part, tuple) else (None, part)
        if key is None or key.value not in {"example", "examples", "default", "enum", "const"}:
            yield from _formats(inner)


def _version(document: yaml.Node | None) -> _Lines:
    version = _get(_get(document, "info"), "version")
    if version is not None and not (isinstance(version.value, str) and VERSION.fullmatch(version.value)):
        yield version.start_mark.line + 1, f"info.version is {version.value!r}: write three numbers, such as 1.2.3"


def _keys(node: yaml.Node | None) -> _Lines:
    """An unquoted status is a number, and breaks the generator."""
    parts = node.value if isinstance(node, yaml.MappingNode | yaml.SequenceNode) else []
    for part in parts:
        key, value = part if isinstance(part, tuple) else (None, part)
        if key is not None and key.value == "<<":
            yield key.start_mark.line + 1, "Prism ignores YAML merge keys (`<<`); write the entries out"
        elif key is not None and key.tag != "tag:yaml.org,2002:str":
            yield key.start_mark.line + 1, f"the key {key.value} is not a string; put it into quotes"
        yield from _keys(value)


def _marks(node: yaml.Node | None) -> _Lines:
    """Schemas and fields that the reference does not list carry a provenance in one line."""
    for key, value in _members(node):
        if key.value == "x-provenance" and not (isinstance(value.value, str) and PROVENANCE.fullmatch(value.value)):
            yield key.start_mark.line + 1, f"x-provenance is {value.value!r}: {PROVENANCE_FORM}"
        yield from _marks(value)


def _provenance(operation: yaml.Node) -> Iterator[str]:
    parts = {key.value: value.value for key, value in _members(_get(operation, "x-provenance"))}
    if not parts:
        yield "no x-provenance; state the provenance of path, status and body"
        return
    yield from (f"x-provenance has no `{part}`" for part in PARTS if part not in parts)
    yield from (f"x-provenance has `{part}`; the parts are {', '.join(PARTS)}" for part in parts if part not in PARTS)
    for part, value in parts.items():
        if not (isinstance(value, str) and PROVENANCE.fullmatch(value)):
            yield f"x-provenance.{part} is {value!r}: {PROVENANCE_FORM}"


def _members(node: yaml.Node | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else []


def _get(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in _members(node) if key.value == name), None)


if __name__ == "__main__":
    sys.exit(main())
