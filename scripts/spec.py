"""Read openapi.yaml: its operations, its references, and redocly's view of it."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
SCHEMAS = "#/components/schemas/"


@cache
def _redocly_command() -> list[str]:
    # A process of its own finds Node without an import of the package, which may not work with the spec as it is.
    finder = [sys.executable, str(ROOT / "scripts" / "node_folder.py")]
    folder = subprocess.run(finder, capture_output=True, text=True, check=False).stdout.strip()
    program = ROOT / "node_modules" / "@redocly" / "cli" / "bin" / "cli.js"
    if not folder or not program.is_file():
        raise SystemExit("redocly is not installed. Run `make setup`.")
    return [str(Path(folder) / "node"), str(program)]


def redocly(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run redocly with the rules of redocly.yaml, and without its advertisements."""
    command = [*_redocly_command(), *arguments, "--config", str(ROOT / "redocly.yaml")]
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def operations(spec: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return path and method of each operation by operationId; one without an id goes by method and path."""
    return {
        operation.get("operationId", f"{method} {path}"): (path, method)
        for path, item in spec.get("paths", {}).items()
        for method, operation in item.items()
        if method in METHODS
    }


def complete(spec: dict[str, Any], name: str) -> tuple[Any, set[str]]:
    """Return an operation with its references followed, and the pointers of the components that it uses."""
    path, method = operations(spec)[name]
    item = spec["paths"][path]
    shared = {key: value for key, value in item.items() if key not in METHODS}
    schemes = (spec.get("components") or {}).get("securitySchemes")
    inherited = {"servers": spec.get("servers"), "security": spec.get("security"), "schemes": schemes}
    used: set[str] = set()
    return [path, method, _follow(spec, [inherited, shared, item[method]], used)], used


def schemas_used(spec: dict[str, Any], part: str) -> set[str]:
    """Return the names of the schemas that a part of the operations uses: `requestBody` or `responses`."""
    used: set[str] = set()
    for path, method in operations(spec).values():
        _follow(spec, spec["paths"][path][method].get(part), used)
    return {pointer.removeprefix(SCHEMAS) for pointer in used if pointer.startswith(SCHEMAS)}


def _follow(spec: dict[str, Any], node: Any, used: set[str]) -> Any:
    if isinstance(node, list):
        return [_follow(spec, part, used) for part in node]
    if not isinstance(node, dict):
        return node
    pointer = node.get("$ref")
    if isinstance(pointer, str):
        if pointer in used:  # also ends a recursive schema
            return pointer
        used.add(pointer)
        return [pointer, _follow(spec, resolve(spec, pointer), used)]
    return {key: _follow(spec, value, used) for key, value in node.items()}


def resolve(spec: dict[str, Any], pointer: str) -> Any:
    """Return the target of a pointer such as #/components/schemas/Metrics, or None."""
    node: Any = spec
    for part in pointer.removeprefix("#/").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        node = node[int(name)] if isinstance(node, list) else (node or {}).get(name)
    return node


def changed_operations(base: dict[str, Any], revision: dict[str, Any]) -> list[str]:
    """Return the operations that are new or changed, schemas, parameters and examples included."""
    before = operations(base)
    return [
        name
        for name in operations(revision)
        if name not in before or complete(base, name)[0] != complete(revision, name)[0]
    ]
