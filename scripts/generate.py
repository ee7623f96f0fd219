"""Make generated/kayrros_openapi from openapi.yaml. `make generate` runs it; `make check` runs it with --check.

`make watch` names another spec with --spec: the text that it has looked at, whatever is being saved meanwhile.

The same input gives the same bytes: the generator and the formatter are pinned, and the output is made in an empty
folder, so that files that no longer belong disappear.
"""

import argparse
import contextlib
import filecmp
import functools
import hashlib
import importlib.metadata
import keyword
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "generated"
BANNER = "# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.\n"


def main() -> int:
    """Write the client, or with --check say how it differs from what the spec gives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--spec", type=Path, default=ROOT / "openapi.yaml")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "generated"
        _generate(fresh, options.spec)
        if options.check:
            return _report(_differences(fresh))
        changed = _differences(fresh)
        _replace(fresh)
    print(f"generated/: {len(changed) or 'no'} files changed", *changed, sep="\n  ")
    return 0


def _replace(fresh: Path) -> None:
    """Put the new client in place of the old one by two renames, so that an interrupt does not leave half of one."""
    with tempfile.TemporaryDirectory(prefix=".generated-", dir=ROOT) as folder:
        shutil.copytree(fresh, Path(folder) / "new")
        with _uninterrupted():
            if TARGET.exists():
                TARGET.rename(Path(folder) / "old")
            (Path(folder) / "new").rename(TARGET)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Between the two renames there is no client, and a Ctrl-C there would delete the old one with its folder."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _generate(folder: Path, spec: Path) -> None:
    """The whole of generated/ into an empty folder."""
    package = folder / "kayrros_openapi"
    folder.mkdir(parents=True)
    tools = Path(sys.executable).parent
    generator = [
        str(tools / "openapi-python-client"),
        "generate",
        "--path",
        str(spec),
        "--meta",
        "none",
    ]
    options = ["--config", str(ROOT / "codegen.yaml"), "--fail-on-warning", "--output-path", str(package)]
    done = subprocess.run([*generator, *options], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"openapi-python-client could not make a client of openapi.yaml:\n{done.stdout}{done.stderr}")
    (package / "py.typed").write_text("# PEP 561: this package carries types.\n")
    document = yaml.safe_load(spec.read_text("utf-8"))
    types = _Types(document)
    (package / "contract.py").write_text(_contract(document, types))
    (package / "schemas.py").write_text(types.module())
    (folder / "SOURCE.toml").write_text(_source(spec))
    # Formatted by our ruff with settings of its own, so that a change of the project's does not change the output.
    ruff = str(tools / "ruff")
    subprocess.run([ruff, "check", "--quiet", "--isolated", "--select", "I,F401", "--fix", str(package)], check=True)
    subprocess.run([ruff, "format", "--quiet", "--isolated", "--line-length", "120", str(package)], check=True)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            file.write_text(BANNER + file.read_text("utf-8"), "utf-8")
    for cache in list(folder.rglob(".ruff_cache")):
        shutil.rmtree(cache)


def _contract(document: dict[str, Any], types: "_Types") -> str:
    """Return contract.py: the path of each operation, and the type of each documented response.

    The generator leaves this out. The HTTP client needs it to tell documented responses from others.
    """
    lines = []
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict) and "operationId" in operation:
                name = operation["operationId"]
                responses = {
                    str(status): {
                        media: types.expression(body.get("schema", {}), f"{name}{status}")
                        if _is_json(media)
                        else "None"
                        for media, body in types.resolve(response).get("content", {}).items()
                    }
                    for status, response in operation["responses"].items()
                }
                table = ", ".join(
                    f"{status!r}: {{{', '.join(f'{media!r}: {kind}' for media, kind in contents.items())}}}"
                    for status, contents in responses.items()
                )
                lines.append(f"    Operation({name!r}, {method.upper()!r}, {path!r}, {{{table}}}),")
    return _CONTRACT.format(operations="\n".join(lines))


def _is_json(media: str) -> bool:
    return media.partition(";")[0].endswith(("/json", "+json"))


class _Types:
    """Turns schemas of the spec into msgspec types, which decode and validate JSON.

    A union that msgspec can't tell apart (two objects, say) becomes Any: its parts are not validated.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.structs: dict[str, str] = {}

    def resolve(self, node: Any) -> Any:
        """Follow $ref."""
        while "$ref" in node:
            node = functools.reduce(lambda part, name: part[name], node["$ref"][2:].split("/"), self._document)
        return node

    def expression(self, schema: Any, name: str) -> str:
        """Return the type of a schema as Python source; `name` is for an object that has none."""
        return " | ".join(sorted(self._union(schema, name), key=lambda part: (part == "None", part)))

    def _union(self, schema: Any, name: str) -> set[str]:
        if "$ref" in schema:
            name, schema = schema["$ref"].rpartition("/")[2], self.resolve(schema)
        if "const" in schema:
            schema = {"enum": [schema["const"]], **schema}
        if "enum" in schema:
            values = [value for value in schema["enum"] if value is not None]
            strings = all(isinstance(value, str | int) and not isinstance(value, bool) for value in values)
            kinds = {f"Literal[{', '.join(map(repr, values))}]"} if values and strings else {"Any"}
            return kinds | ({"None"} if len(values) < len(schema["enum"]) else set())
        for name_of_union in ("anyOf", "oneOf", "allOf"):
            if len(parts := schema.get(name_of_union, [])) == 1 or (name_of_union != "allOf" and parts):
                return _simplify([self._union(part, f"{name}{number or ''}") for number, part in enumerate(parts)])
            if parts:  # the values of all parts: Python has no type for that
                return {"dict[str, Any]"}
        kinds = schema.get("type", [])
        return _simplify([self._type(kind, schema, name) for kind in ([kinds] if isinstance(kinds, str) else kinds)])

    def _type(self, kind: str, schema: Any, name: str) -> set[str]:
        if kind == "array":
            return {f"list[{self.expression(schema.get('items', {}), name + 'Item')}]"}
        if kind == "object":
            return {self._struct(schema, name)}
        if kind == "string":
            return {_STRINGS.get(schema.get("format", ""), "str")}
        return {_SCALARS[kind]}

    def _struct(self, schema: Any, name: str) -> str:
        """Return the name of the class of an object, and write the class when it is new."""
        if not schema.get("properties"):
            return "dict[str, Any]"
        name = name[0].upper() + name[1:]
        if name not in self.structs:
            self.structs[name] = ""  # an object may hold itself
            required = schema.get("required", [])
            lines = [
                f"    {_identifier(field)}: {self.expression(inner, name + field.title().replace('_', ''))}"
                + ("" if field in required else " | msgspec.UnsetType")
                + f" = msgspec.field(name={field!r}{'' if field in required else ', default=msgspec.UNSET'})"
                for field, inner in schema["properties"].items()
            ]
            self.structs[name] = f"class {name}(msgspec.Struct, kw_only=True):\n" + "\n".join(lines) + "\n"
        return name

    def module(self) -> str:
        """Return schemas.py."""
        return _SCHEMAS + "\n\n".join(self.structs.values())


# Types that the generated models convert a string to; of any other format, a string is a string.
_STRINGS = {"uuid": "UUID", "date-time": "datetime.datetime", "date": "datetime.date"}
_SCALARS = {"integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def _simplify(parts: list[set[str]]) -> set[str]:
    """Return a union that msgspec can decode: one kind of string, one kind of object, one kind of list."""
    union = set().union(*parts)
    strings = {part for part in union if part in {"str", *_STRINGS.values()} or part.startswith("Literal[")}
    if len(strings) > 1:
        union = (union - strings) | {"str"}
    objects = {
        part for part in union if part.startswith("dict[") or (part[0].isupper() and part not in {"None", "UUID"})
    }
    lists = {part for part in union if part.startswith("list[")}
    is_mixed = len(objects - strings) > 1 or len(lists) > 1
    return {"Any"} if is_mixed or "Any" in union or not union else union


def _identifier(name: str) -> str:
    text = re.sub(r"\W", "_", name)
    return f"_{text}" if not text.isidentifier() or keyword.iskeyword(text) else text


_SCHEMAS = '''"""The schemas of openapi.yaml as msgspec types, which validate JSON while they decode it."""
from __future__ import annotations

import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec


'''
_CONTRACT = '''"""Each operation of openapi.yaml: its method and path, and what it may answer."""
from typing import Any, Literal, NamedTuple
from uuid import UUID
import datetime

from .schemas import *


class Operation(NamedTuple):
    """An operation. `responses` has, for each documented status and content type, the msgspec type of its JSON."""

    id: str
    method: str
    path: str
    responses: dict[str, dict[str, Any]]


OPERATIONS = (
{operations}
)
'''


def _source(spec: Path) -> str:
    """Return the hashes of the inputs, because a clone resets the times of files."""
    files = {"openapi.yaml": spec, "codegen.yaml": ROOT / "codegen.yaml"}
    digests = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    tools = {name: importlib.metadata.version(name) for name in ("openapi-python-client", "ruff")}
    sections = {"sha256": digests, "version": tools}
    return "\n".join(
        f"[{title}]\n" + "".join(f'"{name}" = "{value}"\n' for name, value in section.items())
        for title, section in sections.items()
    )


def _differences(fresh: Path) -> list[str]:
    """Files of generated/ that are missing, too many, or not what the spec gives."""
    names = {
        file.relative_to(root)
        for root in (fresh, TARGET)
        for file in root.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }

    def same(name: Path) -> bool:
        sides = (fresh / name, TARGET / name)
        return all(side.is_file() for side in sides) and filecmp.cmp(*sides, shallow=False)

    return sorted(str(name) for name in names if not same(name))


def _report(changed: list[str]) -> int:
    if changed:
        print(
            "generated/ is not what openapi.yaml gives: one of them was edited without the other.", *changed, sep="\n  "
        )
        print("Edit openapi.yaml, never generated/, and run `make generate`.")
        return 1
    print("generated/ is what openapi.yaml gives")
    return 0


if __name__ == "__main__":
    sys.exit(main())
