"""What changed in the spec since a git ref, and the version that follows. `make spec-diff BASE=ref` runs it.

With --check it is a gate: a version that is too low for what changed, in the spec or in the public names of the packages,
or a change of the spec that the changelog does not tell of, ends it with 1. Without a ref it compares with the last
release, the highest tag v*; where there is none there is nothing to compare, and it says so and passes.
"""

import argparse
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import attrs

from scripts.public_names import removed
from scripts.spec_changes import Change, CompareError, Level, changes
from scripts.versions import Section, Version, changelog, parse, spec_version

ROOT = Path(__file__).parent.parent
RELEASE = re.compile(r"v\d+\.\d+\.\d+")


@attrs.frozen
class Comparison:
    """What lies between a base and the working tree."""

    base: str
    was: str
    version: str
    changes: list[Change]
    gone: list[str]
    untold: list[str]

    @property
    def level(self) -> Level | None:
        """The worst of it; None where nothing changed."""
        levels = [change.level for change in self.changes] + [Level.BREAKING for _ in self.gone]
        return max(levels, default=None)


def main() -> int:
    """Compare, print, and with --check judge."""
    parser = argparse.ArgumentParser(prog="make spec-diff", description=__doc__)
    parser.add_argument("base", nargs="?", default="", metavar="BASE", help="a git ref; the last release unless given")
    parser.add_argument("--check", action="store_true", help="exit with 1 if version or changelog do not follow")
    options = parser.parse_args()
    base = options.base or last_release()
    if not base:
        shallow = _git("rev-parse", "--is-shallow-repository") == b"true\n"
        where = " in this shallow clone (`git fetch --tags` gets them)" if shallow else ""
        print(f"No release yet: there is no tag v*{where}, and nothing to compare openapi.yaml with.")
        return 0
    if _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}") is None:
        print(f"There is no commit {base} here. In a shallow clone get it first: git fetch --unshallow --tags")
        return 2
    try:
        found = compare(base)
    except CompareError as error:
        print(error)
        return 2
    print(*report(found), sep="\n")
    missing = judge(found)
    print(*missing, sep="\n")
    return 1 if missing and options.check else 0


def last_release() -> str | None:
    """The highest tag v1.2.3, or None without one, or without git."""
    tags = [tag for tag in (_git("tag", "--list", "v*") or b"").decode().split() if RELEASE.fullmatch(tag)]
    return max(tags, key=lambda tag: parse(tag[1:]), default=None)


def compare(base: str) -> Comparison:
    """Look at both sides."""
    before, now = _at(base, "openapi.yaml"), (ROOT / "openapi.yaml").read_text("utf-8")
    if not before:
        raise CompareError(f"There is no openapi.yaml at {base}.")
    found = [] if before == now else changes(before, now)
    sections = changelog((ROOT / "CHANGELOG.md").read_text("utf-8"))
    return Comparison(
        base=base,
        was=spec_version(before),
        version=spec_version(now),
        changes=found,
        gone=_gone(base),
        untold=untold(found, changelog(_at(base, "CHANGELOG.md")), sections),
    )


def untold(found: list[Change], before: list[Section], now: list[Section]) -> list[str]:
    """Changes that no new line of the changelog's newest section names.

    A line is asked for and not written here: only a person knows why, and for whom. Documentation needs any new line.
    """
    old = {line for section in before for line in section.body.splitlines()}
    new = "\n".join(line for section in now[:1] for line in section.body.splitlines() if line not in old)
    return [
        change.words
        for change in found
        if not new
        or (change.level and not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", new) for name in change.names))
    ]


def _gone(base: str) -> list[str]:
    archive = _git("archive", "--format=tar", base, "kayrros_ext", "generated")
    if archive is None:
        return []
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
        return removed(Path(folder), ROOT)


def needed(was: str, level: Level) -> tuple[str, str]:
    """The lowest version that may follow, and why."""
    major, minor, patch = parse(was)
    follows: tuple[Version, str]
    if level is Level.BREAKING:
        follows = (
            ((0, minor + 1, 0), "minor: before 1.0 that is what breaks") if not major else ((major + 1, 0, 0), "major")
        )
    elif level is Level.COMPATIBLE and major:
        follows = (major, minor + 1, 0), "minor"
    else:
        follows = (major, minor, patch + 1), "patch" if major else "patch: before 1.0 that is all that does not break"
    return ".".join(map(str, follows[0])), follows[1]


def report(found: Comparison) -> list[str]:
    """What changed, and the version that follows, in lines."""
    lines = [f"openapi.yaml since {found.base} ({found.was}):", *(f"  {change}" for change in found.changes)]
    count = Counter(change.level for change in found.changes)
    lines.append(
        "  "
        + (", ".join(f"{count[level]} {level.name.lower()}" for level in reversed(Level) if count[level]) or "nothing")
    )
    if found.gone:
        lines += [f"public names since {found.base}:", *(f"  breaking: {name}" for name in found.gone)]
    if found.level is not None:
        version, why = needed(found.was, found.level)
        lines.append(f"The version that follows: {version} ({why}). The version now: {found.version}.")
    return lines


def judge(found: Comparison) -> list[str]:
    """What is missing, in words that say what to do; nothing where all follows."""
    lines = []
    if found.level is not None:
        version, _ = needed(found.was, found.level)
        if parse(found.version) < parse(version):
            places = "openapi.yaml, pyproject.toml and CHANGELOG.md"
            lines.append(f"The version is too low: write {version} or higher into {places}, and run `make generate`.")
    if found.untold:
        lines.append(
            "CHANGELOG.md does not tell of these yet. Add to its newest section, under the version to come, what each"
        )
        lines.append("means for a user, naming the operation, field or value in question:")
        lines += [f"  - {words}" for words in found.untold]
    return lines


def _at(base: str, name: str) -> str:
    """A file of the ref; empty where it had none."""
    return (_git("show", f"{base}:./{name}") or b"").decode()


def _git(*arguments: str) -> bytes | None:
    """What git says, or None where it fails: no repository, no such ref, no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
