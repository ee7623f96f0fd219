"""The version stands in three places: pyproject.toml, the spec and the changelog. They cannot disagree.

`make check` runs it. Prints where they disagree and exits with 1.
"""

import re
import sys
import tomllib
from pathlib import Path

import attrs
import yaml

ROOT = Path(__file__).parent.parent
HEADING = re.compile(r"^## (\d+\.\d+\.\d+)(.*)$", re.MULTILINE)
Version = tuple[int, int, int]


@attrs.frozen
class Section:
    """A version of the changelog: its number, the rest of its heading, its lines."""

    version: str
    remark: str
    body: str


def main(root: Path = ROOT) -> int:
    """Say the version, or how the three differ."""
    sections = changelog((root / "CHANGELOG.md").read_text("utf-8"))
    found = {
        "pyproject.toml, project.version": tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"][
            "version"
        ],
        "openapi.yaml, info.version": spec_version((root / "openapi.yaml").read_text("utf-8")),
        "CHANGELOG.md, the newest `## x.y.z`": sections[0].version if sections else "none",
    }
    if len(set(found.values())) == 1:
        print(f"version {found.popitem()[1]} in pyproject.toml, openapi.yaml and CHANGELOG.md")
        return 0
    print("The version is not the same in:", *(f"  {place}: {version}" for place, version in found.items()), sep="\n")
    print("A release has one version: write the newest into all three, then run `make generate`.")
    return 1


def changelog(text: str) -> list[Section]:
    """The sections of the changelog, the newest first, as they stand."""
    headings = list(HEADING.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    return [
        Section(heading[1], heading[2], text[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    ]


def spec_version(text: str) -> str:
    """`info.version`, as words: YAML reads 1.0 as a number."""
    return str(yaml.safe_load(text)["info"]["version"])


def parse(version: str) -> Version:
    """Numbers that compare as versions do."""
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


if __name__ == "__main__":
    sys.exit(main())
