"""Check that kayrros_ext, openapi.yaml and CHANGELOG.md have the same version; `make check` runs it.

A version that is released must also name the address of its documentation.
"""

import itertools
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import attrs
import yaml

ROOT = Path(__file__).parent.parent
NUMBERS = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"
PACKAGE = "kayrros_ext/__init__.py"
ASSIGNMENT = re.compile(r'^__version__ = "(.*)"', re.MULTILINE)
HEADING = re.compile(r"^##(?!#)(.*)$", re.MULTILINE)
TITLE = re.compile(rf" ({NUMBERS})(, \S.*)?")
# The address of the documentation until there is one; nobody can register a name of this domain (RFC 2606).
PLACEHOLDER = ".example/"
Version = tuple[int, int, int]


class VersionError(Exception):
    """A version, or a heading of the changelog, has the wrong form."""


@attrs.frozen
class Section:
    """A version of the changelog: its number, the rest of its heading, its lines."""

    version: str
    remark: str
    body: str

    @property
    def unreleased(self) -> bool:
        """Whether the heading contains `unreleased`; a release removes it."""
        return "unreleased" in self.remark.lower()


def main(root: Path = ROOT) -> int:
    """Print the version, or the three different ones."""
    try:
        versions = _versions(root)
        _check_documentation_url(root)
    except VersionError as error:
        print(error)
        return 1
    if len(set(versions.values())) == 1:
        print(f"version {versions.popitem()[1]} in {PACKAGE}, openapi.yaml and CHANGELOG.md")
        return 0
    print("The versions differ:", *(f"  {place}: {version}" for place, version in versions.items()), sep="\n")
    print("Write the newest one into all three files, then run `make generate`.")
    return 1


def _versions(root: Path) -> dict[str, str]:
    sections = changelog((root / "CHANGELOG.md").read_text("utf-8"))
    assigned = ASSIGNMENT.search((root / PACKAGE).read_text("utf-8"))
    for newer, older in itertools.pairwise(sections):
        if parse(newer.version) <= parse(older.version):
            raise VersionError(
                f"CHANGELOG.md: {newer.version} stands above {older.version}. The newest comes first, once."
            )
        if older.unreleased:
            raise VersionError(
                f"CHANGELOG.md: {older.version} is unreleased below {newer.version}. Only the newest may be."
            )
    return {
        f"{PACKAGE}, __version__": assigned[1] if assigned else "none",
        "openapi.yaml, info.version": spec_version((root / "openapi.yaml").read_text("utf-8")),
        "CHANGELOG.md, the newest `## x.y.z`": sections[0].version if sections else "none",
    }


def _check_documentation_url(root: Path) -> None:
    newest = changelog((root / "CHANGELOG.md").read_text("utf-8"))[:1]
    url = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Documentation"]
    if url.endswith(PLACEHOLDER) and newest and not newest[0].unreleased:
        raise VersionError(
            f"{newest[0].version} is to be released, but its documentation is at the placeholder {url}. Write the address "
            "of the published site into pyproject.toml, and into DOCS_URL of kayrros_ext/_text.py."
        )


def changelog(text: str) -> list[Section]:
    """Return the sections of the changelog in their order, the newest first.

    Raises:
        VersionError: a heading has another form, which would hide the section below it.
    """
    headings = list(HEADING.finditer(text))
    titles = [TITLE.fullmatch(heading[1].rstrip()) for heading in headings]
    for heading, title in zip(headings, titles, strict=True):
        if title is None:
            line = text.count("\n", 0, heading.start()) + 1
            raise VersionError(
                f"CHANGELOG.md:{line}: {heading[0].rstrip()!r} is not a heading: write `## 1.2.3, a date`."
            )
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    return [
        Section(title[1], title[2] or "", text[heading.end() : end].strip())
        for heading, title, end in zip(headings, titles, ends, strict=True)
        if title
    ]


def spec_version(text: str) -> str:
    """Return `info.version` as text; YAML reads 1.0 as a number."""
    document: Any = yaml.safe_load(text)
    try:
        return str(document["info"]["version"])
    except (KeyError, TypeError):
        return "none"


def parse(version: str) -> Version:
    """Return numbers that compare like versions.

    Raises:
        VersionError: it has not the form x.y.z.
    """
    if not re.fullmatch(NUMBERS, version):
        raise VersionError(f"{version!r} is not a version: write three numbers, such as 1.2.3.")
    major, minor, patch = map(int, version.split("."))
    return major, minor, patch


if __name__ == "__main__":
    sys.exit(main())
