"""Run cases, print their tables and write them to docs/benchmarks.md. Exit with 1 if a claim is missed."""

import argparse
import importlib
import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.reports import Report

CASES = ["reader", "large", "sync", "downloads", "fake", "startup", "watch", "cluster"]
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

`make bench` measures these figures and fails if a claim is missed. Run it to get those of your machine.
"""


def main() -> int:
    """Run the named cases, or all."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    missed = []
    named = parser.parse_args().cases
    if unknown := set(named) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))} (there are: {', '.join(CASES)})")
    for name in named or CASES:
        report: Report = importlib.import_module(f"bench.{name}").run()
        section = f"{report}\nMade by `make bench ARGS={name}` on {machine()}.\n"
        print(f"\n{section}", flush=True)
        keep(name, section)
        missed += [claim for claim in report.claims if not claim.holds]
    for claim in missed:
        print(f"missed: {claim}", file=sys.stderr)
    return 1 if missed else 0


def keep(name: str, section: str) -> None:
    """Replace the section of a case on the page, or append it."""
    page = PAGE.read_text("utf-8") if PAGE.exists() else HEAD
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    new = f"{begin}{section}{end}"
    page, count = re.subn(f"{begin}.*?{end}", lambda _: new, page, flags=re.DOTALL)
    PAGE.write_text(page if count else f"{page}\n{new}", "utf-8")


def machine() -> str:
    """Return cores, processor, and the versions of Python and relevant packages."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text("utf-8")) if info.exists() else []
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("pyarrow", "msgspec", "pysimdjson", "pandas")
    )
    processor = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores of {processor}, Python {platform.python_version()}, {versions}"


if __name__ == "__main__":
    sys.exit(main())
