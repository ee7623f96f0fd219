"""What changed in the spec since a git ref, and the version that follows. `make spec-diff BASE=ref` runs it.

With --check it is a gate: a version that is too low for what changed, in the spec or in the public names of the packages,
or a change that the changelog does not tell of, ends it with 1. Without a ref it compares with the last release, the
highest tag v*; where there was none yet it says so and passes. A release that the changelog tells of and that has no tag
here, as in a shallow clone, is said too, and in CI (CI=true) it fails: a gate that saw nothing must not look like one that
found nothing.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import attrs

from scripts.change import Change, Level
from scripts.public_names import GENERATED, public_changes
from scripts.spec_changes import CompareError, changes
from scripts.versions import Section, Version, VersionError, changelog, parse, spec_version

ROOT = Path(__file__).parent.parent
RELEASE = re.compile(r"v\d+\.\d+\.\d+")


@attrs.frozen
class Comparison:
    """What lies between a base and the working tree."""

    base: str
    was: str
    version: str
    changes: list[Change]
    public: list[Change]
    untold: list[str]

    @property
    def level(self) -> Level | None:
        """The worst of it; None where nothing changed."""
        return max((change.level for change in [*self.changes, *self.public]), default=None)


def main() -> int:
    """Compare, print, and with --check judge."""
    parser = argparse.ArgumentParser(prog="make spec-diff", description=__doc__)
    parser.add_argument("base", nargs="?", default="", metavar="BASE", help="a git ref; the last release unless given")
    parser.add_argument("--check", action="store_true", help="exit with 1 if version or changelog do not follow")
    options = parser.parse_args()
    try:
        return _compare_and_judge(options.base, gate=options.check)
    except (CompareError, VersionError) as error:
        print(error)
        return 2


def _compare_and_judge(named: str, *, gate: bool) -> int:
    unseen = [] if named else releases_without_tag()
    if unseen:
        print(
            f"CHANGELOG.md tells of a release, and its tag is not here: {', '.join(f'v{version}' for version in unseen)}."
        )
        print(
            "What changed since can't be judged without it. Get the tags (`git fetch --tags`, in a shallow clone with"
        )
        print("--unshallow), or tag that release.")
        if gate and os.environ.get("CI", "").lower() in {"true", "1"}:
            return 1
    base = named or last_release()
    if not base:
        if not unseen:
            print("No release yet to compare with: there is no tag v* before this commit.")
        return 0
    if _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}") is None:
        print(f"There is no commit {base} here. In a shallow clone get it first: git fetch --unshallow --tags")
        return 2
    found = compare(base)
    print(*report(found), sep="\n")
    missing = judge(found)
    print(*missing, sep="\n")
    return 1 if missing and gate else 0


def releases_without_tag() -> list[str]:
    """Versions of the changelog that are released and have no tag here.

    The newest may be the one that is just being released, before its tag: a clone with all its history would have that.
    """
    sections = changelog((ROOT / "CHANGELOG.md").read_text("utf-8"))
    whole = _git("rev-parse", "--is-shallow-repository") == b"false\n"
    released = [section.version for section in sections[1 if whole else 0 :] if not section.unreleased]
    return [version for version in released if f"v{version}" not in _tags()]


def last_release() -> str | None:
    """The highest tag v1.2.3, or None without one, or without git.

    Of a tree that is a release itself, unedited, the one before: compared with itself it would always pass.
    """
    tags = _tags()
    if _git("diff", "--quiet", "HEAD") is not None:
        tags = [tag for tag in tags if tag not in _tags("--points-at", "HEAD")]
    return max(tags, key=lambda tag: parse(tag[1:]), default=None)


def _tags(*which: str) -> list[str]:
    listed = (_git("tag", "--list", *which, "v*") or b"").decode().split()
    return [tag for tag in listed if RELEASE.fullmatch(tag)]


def compare(base: str) -> Comparison:
    """Look at both sides."""
    before, now = _at(base, "openapi.yaml"), (ROOT / "openapi.yaml").read_text("utf-8")
    if not before:
        raise CompareError(f"There is no openapi.yaml at {base}.")
    found = [] if before == now else changes(before, now)
    public = _public(base)
    # What the generated client loses follows from the spec; a change of that is named once, by the name it has there.
    follows = any(change.level is Level.BREAKING for change in found)
    asked = [*found, *(one for one in public if not (follows and one.words.startswith(f"{GENERATED}.")))]
    sections = changelog((ROOT / "CHANGELOG.md").read_text("utf-8"))
    return Comparison(
        base=base,
        was=spec_version(before),
        version=spec_version(now),
        changes=found,
        public=public,
        untold=untold(asked, changelog(_at(base, "CHANGELOG.md")), sections),
    )


def untold(found: list[Change], before: list[Section], now: list[Section]) -> list[str]:
    """Changes that no new line of the changelog's newest section names, in backticks: `id` is a name, id a word.

    A line is asked for and not written here: only a person knows why, and for whom. Documentation needs any new line.
    """
    old = {line for section in before for line in section.body.splitlines()}
    new = [line for section in now[:1] for line in section.body.splitlines() if line not in old]
    code = "\n".join(span for line in new for span in re.findall(r"`([^`]+)`", line))
    return [
        change.words
        for change in found
        if not any(new)
        or (change.level and not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code) for name in change.names))
    ]


def _public(base: str) -> list[Change]:
    archive = _git("archive", "--format=tar", base, "kayrros_ext", "generated", "pyproject.toml")
    if archive is None:
        raise CompareError(
            f"There is no kayrros_ext, generated or pyproject.toml at {base}, to compare public names with."
        )
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
        return public_changes(Path(folder), ROOT)


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
    if found.public:
        lines += [f"public names since {found.base}:", *(f"  {change}" for change in found.public)]
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
        lines.append("means for a user, naming in backticks the operation, field, value or public name in question:")
        lines += [f"  - {words}" for words in found.untold]
    return lines


def _at(base: str, name: str) -> str:
    """A file of the ref; empty where it had none."""
    return (_git("show", f"{base}:./{name}") or b"").decode()


def _git(*arguments: str) -> bytes | None:
    """What git says, or None where it fails: no repository, no such ref, no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)  # nosec B607
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
