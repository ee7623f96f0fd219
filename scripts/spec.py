"""What several scripts need of openapi.yaml: its operations, what is wrong with it and where, redocly run on it."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import yaml

from kayrros_ext.testing.node import find_node
from scripts.lint_spec import METHODS, lint

ROOT = Path(__file__).parent.parent


@attrs.frozen
class Problem:
    """What is wrong, where (from 1), by which rule; a warning does not stop anything."""

    line: int
    column: int
    rule: str
    words: str
    warning: bool = False

    def __str__(self) -> str:
        words = f"{self.words} (warning)" if self.warning else self.words
        return f"openapi.yaml:{self.line}:{self.column}: {self.rule}: {words}"


def problems(text: str) -> list[Problem]:
    """What `make lint-spec` finds, each with its place; where YAML breaks, nothing behind that is looked at."""
    try:
        json.dumps(yaml.safe_load(text), default=str)
    except yaml.YAMLError as error:
        return [_yaml_problem(text, error)]
    except (RecursionError, ValueError):
        return [Problem(1, 1, "yaml", "an alias that holds itself, or lists in lists without end")]
    found = [*_by_redocly(text), *_by_our_rules(text)]
    return found if any(not problem.warning for problem in found) else [*found, *_by_validator(text)]


def _yaml_problem(text: str, error: yaml.YAMLError) -> Problem:
    if isinstance(
        error, yaml.reader.ReaderError
    ):  # a character that YAML does not take; it knows the place as a number
        before = text[: error.position]
        column = error.position - (before.rfind("\n") + 1) + 1
        return Problem(before.count("\n") + 1, column, "yaml", f"{error.reason} (#x{error.character:04x})")
    mark = getattr(error, "problem_mark", None)
    words = getattr(error, "problem", None) or str(error)
    return Problem(mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, "yaml", words)


def _by_redocly(text: str) -> list[Problem]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "openapi.yaml").write_text(text, "utf-8")
        done = redocly("lint", f"{folder}/openapi.yaml", "--format", "json", "--max-problems", "1000")
        done.stderr = done.stderr.replace(f"{folder}/", "")
    if not done.stdout.strip():  # it could not read the document, and then it prints words alone
        place = re.search(r"\((\d+):(\d+)\)", done.stderr)
        words = " ".join(line.strip(" -") for line in done.stderr.splitlines() if line.startswith("  - "))
        line, column = map(int, place.groups()) if place else (1, 1)
        return [Problem(line, column, "parse", words or done.stderr.strip())]
    found = []
    for problem in json.loads(done.stdout)["problems"]:
        place = problem["location"][0].get("start", {"line": 1, "col": 1})
        warning = problem["severity"] != "error"
        words = problem["message"]
        if problem["ruleId"] == "no-unresolved-refs":  # it does not say which
            words += f" ({text.splitlines()[place['line'] - 1].strip()})"
        found.append(Problem(place["line"], place["col"], problem["ruleId"], words, warning))
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _by_our_rules(text: str) -> list[Problem]:
    lines = text.splitlines()
    found = []
    for line, words in lint(text):
        there = lines[line - 1] if line <= len(lines) else ""  # an empty file has no line 1
        found.append(Problem(line, len(there) - len(there.lstrip()) + 1, "ours", words))
    return found


def _by_validator(text: str) -> Iterator[Problem]:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    try:
        for error in OpenAPIV31SpecValidator(yaml.safe_load(text)).iter_errors():
            line, column = _place(text, list(error.absolute_path))
            yield Problem(line, column, "openapi-spec-validator", error.message)
    except Exception as error:
        # What it can't take at all it does not name the place of. Whoever watches must hear of it, and go on.
        yield Problem(1, 1, "openapi-spec-validator", f"{type(error).__name__}: {error}")


def by_generator(text: str, said: str) -> list[Problem]:
    """Where in the spec the generator's warnings belong; it names operations and schemas, and no lines."""
    operations = [
        ["paths", path, method.lower()] for method, path in re.findall(r"parsing ([A-Z]+) (\S+) within", said)
    ]
    schemas = [
        ["components", "schemas", name] for name in re.findall(r"process schema (?:/components/schemas/)?(\w+)", said)
    ]
    return [
        Problem(*_place(text, path), "generator", f"no client can be made of {' '.join(path[1:])}")
        for path in [*operations, *schemas]
    ]


def _place(text: str, path: list[Any]) -> tuple[int, int]:
    """Line and column of what a path of keys leads to, as far as it leads."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == str(part)), node)
        elif isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
    return (node.start_mark.line + 1, node.start_mark.column + 1) if node else (1, 1)


@cache
def _redocly_command() -> list[str]:
    node = find_node()
    program = ROOT / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js"
    if node is None or not program.is_file():
        raise SystemExit("redocly is not installed. Run `make setup`.")
    return [str(node.executable), str(program)]


def redocly(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run redocly, with the rules of redocly.yaml and no words of its own but the answer."""
    command = [*_redocly_command(), *arguments, "--config", str(ROOT / "redocly.yaml")]
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def operations(spec: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Path and method of each operation, by operationId; one without an id goes by method and path."""
    return {
        operation.get("operationId", f"{method} {path}"): (path, method)
        for path, item in spec.get("paths", {}).items()
        for method, operation in item.items()
        if method in METHODS
    }


def complete(spec: dict[str, Any], name: str) -> tuple[Any, set[str]]:
    """All that an operation says, references followed, and the pointers of the components that it uses."""
    path, method = operations(spec)[name]
    item = spec["paths"][path]
    apart = {key: value for key, value in item.items() if key not in METHODS}
    schemes = (spec.get("components") or {}).get("securitySchemes")
    inherited = {"servers": spec.get("servers"), "security": spec.get("security"), "schemes": schemes}
    used: set[str] = set()
    return [path, method, _follow(spec, [inherited, apart, item[method]], used)], used


def _follow(spec: dict[str, Any], node: Any, used: set[str]) -> Any:
    if isinstance(node, list):
        return [_follow(spec, part, used) for part in node]
    if not isinstance(node, dict):
        return node
    pointer = node.get("$ref")
    if isinstance(pointer, str):
        if pointer in used:  # also what ends a schema that holds itself
            return pointer
        used.add(pointer)
        return [pointer, _follow(spec, resolve(spec, pointer), used)]
    return {key: _follow(spec, value, used) for key, value in node.items()}


def resolve(spec: dict[str, Any], pointer: str) -> Any:
    """What a pointer such as #/components/schemas/Error points at, or None."""
    node: Any = spec
    for part in pointer.removeprefix("#/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        node = node[int(name)] if isinstance(node, list) else (node or {}).get(name)
    return node


def changed_operations(base: dict[str, Any], revision: dict[str, Any]) -> list[str]:
    """Operations of the revision that are new or say something else, schemas, parameters and examples included."""
    before = operations(base)
    return [
        name
        for name in operations(revision)
        if name not in before or complete(base, name)[0] != complete(revision, name)[0]
    ]
