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
    with tempfile.TemporaryDirectory(prefix=".generated-", dir=ROOT) as beside:
        shutil.copytree(fresh, Path(beside) / "new")
        with _uninterrupted():
            if TARGET.exists():
                TARGET.rename(Path(beside) / "old")
            (Path(beside) / "new").rename(TARGET)


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
    (package / "contract.py").write_text(_contract(spec))
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


def _contract(spec: Path) -> str:
    """What the generator leaves out, as data: where each operation is, and what it may answer.

    A call needs it to tell an answer that is documented from one that is not.
    """
    document = yaml.safe_load(spec.read_text("utf-8"))

    def resolve(node: Any) -> Any:
        while "$ref" in node:
            node = functools.reduce(lambda part, name: part[name], node["$ref"][2:].split("/"), document)
        return node

    def kind(body: Any) -> str | None:
        named = resolve(body.get("schema", {})).get("type")
        return named if isinstance(named, str) else None

    def answers(operation: Any) -> dict[str, dict[str, str | None]]:
        return {
            str(status): {media: kind(body) for media, body in resolve(response).get("content", {}).items()}
            for status, response in operation["responses"].items()
        }

    found = [
        f"    Operation({operation['operationId']!r}, {method.upper()!r}, {path!r}, {answers(operation)!r}),"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "operationId" in operation
    ]
    return _CONTRACT.format(operations="\n".join(found))


_CONTRACT = '''"""Each operation of openapi.yaml: where it is, and what it may answer."""
from typing import NamedTuple


class Operation(NamedTuple):
    """An operation, and for each documented status the content types of its answer, each with the type of its JSON."""

    id: str
    method: str
    path: str
    answers: dict[str, dict[str, str | None]]


OPERATIONS = (
{operations}
)
'''


def _source(spec: Path) -> str:
    """What the output was made from: hashes, since a clone resets the times of files."""
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
