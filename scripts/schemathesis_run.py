"""Run Schemathesis against the mock and the platform fake: `make fuzz`.

It sends the examples of the spec, boundary values, random requests, and chains of calls along the links. The reports go to
reports/ as JUnit.
"""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from scripts.spec import complete, operations

ROOT = Path(__file__).parent.parent

# Disabled checks, each with its reason.
OFF = {
    "prism": {
        "ignored_auth": "Prism accepts any token because it has no accounts",
        "negative_data_rejection": "Prism accepts unknown fields of a form, and null instead of an optional body",
        "unsupported_method": "a 405 of Prism has no Allow header, and not the body of the spec",
    },
    "fake": {},
}


def run(target: str, examples: int, seed: int, reports: Path) -> int:
    """Run Schemathesis against one target and return its exit code."""
    off = ",".join(OFF[target])
    with _serving(target) as (url, token):
        command = [str(Path(sys.executable).parent / "st"), "run", str(ROOT / "openapi.yaml"), "--url", url]
        options = [
            *("--header", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing,stateful"),
            *("--mode", "all", "--max-examples", str(examples), "--seed", str(seed)),
            *("--generation-database", "none"),
            *("--request-timeout", "10", "--continue-on-failure", "--no-color"),
            *("--report", "junit", "--report-junit-path", str(reports / f"schemathesis-{target}.xml")),
            *(("--exclude-checks", off) if off else ()),
            *(part for name in unsupported(target) for part in ("--exclude-operation-id", name)),
        ]
        return subprocess.run([*command, *options], cwd=reports, check=False).returncode


def unsupported(target: str, text: str | None = None) -> dict[str, str]:
    """Return the operations that a target does not support, with the reason. The fake is written by hand."""
    from kayrros_ext.testing.operations import OPERATIONS

    if target != "fake":
        return {}
    spec = yaml.safe_load(text or (ROOT / "openapi.yaml").read_text("utf-8"))
    supported = {operation.id: set(operation.request_fields) for operation in OPERATIONS}
    names = {name: set(_names(complete(spec, name)[0][2])) for name in operations(spec)}
    return {
        name: ", ".join(sorted(inputs - supported[name])) if name in supported else "the operation"
        for name, inputs in names.items()
        if name not in supported or inputs - supported[name]
    }


def _names(node: Any) -> Iterator[str]:
    """Yield the names of parameters and of the fields of requests at any depth."""
    for part in node if isinstance(node, list) else []:
        yield from _names(part)
    if isinstance(node, dict):
        if "in" in node and "schema" in node:
            yield node["name"]
        yield from node.get("properties", {})
        for key, value in node.items():
            if key not in {"responses", "examples", "example", "schemes"}:
                yield from _names(value)


@contextlib.contextmanager
def _serving(target: str) -> Iterator[tuple[str, str]]:
    """Yield the URL of a running target, and a token that it accepts."""
    if target == "prism":
        from kayrros_ext.testing import prism_mock

        with prism_mock() as mock:
            yield mock.url, "any-token-will-do"
    else:
        from kayrros_ext.testing import Platform

        platform = Platform()
        platform.add_examples()
        with platform.serve() as url:
            yield url, platform.give_token()


def main() -> int:
    """Run against one target, or against both."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", default=list(OFF), help="prism, fake, or both")
    parser.add_argument("--examples", type=int, default=100, help="requests for each operation and phase, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reports", type=Path, default=ROOT / "reports")
    options = parser.parse_args()
    options.reports.mkdir(exist_ok=True)
    for target in options.targets:
        print(f"Schemathesis against {target}; disabled checks:", flush=True)
        for check, reason in OFF[target].items() or {"none": "all checks run"}.items():
            print(f"  {check}: {reason}", flush=True)
        for name, reason in unsupported(target).items():
            print(f"  {name} is skipped: {target} does not support {reason} yet", flush=True)
    return max([run(target, options.examples, options.seed, options.reports.resolve()) for target in options.targets])


if __name__ == "__main__":
    sys.exit(main())
