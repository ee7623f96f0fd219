"""Requests generated from openapi.yaml, sent to the mock and to the platform fake, and their answers judged: `make fuzz`.

All four phases: the examples of the spec, its boundary values, random requests, and chains of calls along its links.
The reports go to reports/, as JUnit.
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

# Checks that are off, each with its reason; no other is.
OFF = {
    "prism": {
        "ignored_auth": "Prism takes any token: it holds no accounts",
        "unsupported_method": "Prism's own 405 has no Allow header, and no body of the spec's",
    },
    "fake": {},
}
# What is sent. A malformed JSON body hangs Prism for ever, so it gets valid requests alone; the fake gets all.
MODE = {"prism": "positive", "fake": "all"}


def run(target: str, examples: int, seed: int, reports: Path) -> int:
    """Schemathesis against one target; its exit code, 0 where nothing was found."""
    off = ",".join(OFF[target])
    with _serving(target) as (url, token):
        command = [str(Path(sys.executable).parent / "st"), "run", str(ROOT / "openapi.yaml"), "--url", url]
        options = [
            *("--header", f"Authorization: Bearer {token}", "--phases", "examples,coverage,fuzzing,stateful"),
            *(
                "--mode",
                MODE[target],
                "--max-examples",
                str(examples),
                "--seed",
                str(seed),
                "--generation-database",
                "none",
            ),
            *("--request-timeout", "10", "--continue-on-failure", "--no-color"),
            *("--report", "junit", "--report-junit-path", str(reports / f"schemathesis-{target}.xml")),
            *(("--exclude-checks", off) if off else ()),
            *(word for name in unknown(target) for word in ("--exclude-operation-id", name)),
        ]
        return subprocess.run([*command, *options], cwd=reports, check=False).returncode


def unknown(target: str, text: str | None = None) -> dict[str, str]:
    """What a target does not know yet, by operation: the fake is written by hand, the mock made from the spec."""
    from kayrros_ext.testing.operations import OPERATIONS

    if target != "fake":
        return {}
    spec = yaml.safe_load(text or (ROOT / "openapi.yaml").read_text("utf-8"))
    known = {operation.id: operation.request_fields for operation in OPERATIONS}
    found = {}
    for name in operations(spec):
        more = set(_names(complete(spec, name)[0][2])) - set(known.get(name, ()))
        if name not in known or more:
            found[name] = ", ".join(sorted(more)) if name in known else "it"
    return found


def _names(node: Any) -> Iterator[str]:
    """Parameters, and the fields of requests at any depth, of what a path and an operation say."""
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
    """URL of a running target, and a token that it takes."""
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
    parser.add_argument("targets", nargs="*", default=list(MODE), help="prism, fake, or both")
    parser.add_argument("--examples", type=int, default=100, help="requests for each operation and phase, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reports", type=Path, default=ROOT / "reports")
    given = parser.parse_args()
    given.reports.mkdir(exist_ok=True)
    for target in given.targets:
        print(f"Schemathesis against {target}, {MODE[target]} requests; checks that are off:", flush=True)
        for check, reason in OFF[target].items() or {"none": "all are on"}.items():
            print(f"  {check}: {reason}", flush=True)
        for name, what in unknown(target).items():
            print(f"  {name} is left out: {target} does not know {what} yet", flush=True)
    return max([run(target, given.examples, given.seed, given.reports.resolve()) for target in given.targets])


if __name__ == "__main__":
    sys.exit(main())
