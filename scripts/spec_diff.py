"""List the changes of the spec since a git ref, and the version that they require: `make spec-diff BASE=ref`.

With --check it exits with 1 if the version is too low for the changes of the spec and of the public names, or if the
changelog does not mention one of them. Without a ref it compares with the last release, the highest tag v*; before the first
one, it passes. A release in the changelog without a tag here, as in a shallow clone, is reported, and fails in CI (CI=true),
because nothing was compared.
"""

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

import attrs

from scripts.public_names import GENERATED, public_changes
from scripts.spec import ROOT
from scripts.spec_changes import Change, CompareError, Level, changes
from scripts.versions import Section, Version, VersionError, changelog, parse, spec_version

RELEASE = re.compile(r"v\d+\.\d+\.\d+")


@attrs.frozen
class Comparison:
    """The difference between a base and the working tree.

    Attributes:
        base: the git ref of the base.
        was: the version of the base.
        version: the version of the working tree.
        changes: changes of the spec.
        public: changes of the public names.
        unmentioned: changes that the changelog does not mention.
    """

    base: str
    was: str
    version: str
    changes: list[Change]
    public: list[Change]
    unmentioned: list[str]

    @property
    def level(self) -> Level | None:
        """The highest level of a change; None without changes."""
        return max((change.level for change in [*self.changes, *self.public]), default=None)


def main() -> int:
    """Compare, print, and judge with --check."""
    parser = argparse.ArgumentParser(prog="make spec-diff", description=__doc__)
    parser.add_argument("base", nargs="?", default="", metavar="BASE", help="a git ref; default: the last release")
    parser.add_argument("--check", action="store_true", help="exit with 1 if version or changelog are behind")
    options = parser.parse_args()
    try:
        return _compare_and_judge(options.base, gate=options.check)
    except (CompareError, VersionError) as error:
        print(error)
        return 2


def _compare_and_judge(ref: str, *, gate: bool) -> int:
    missing = [] if ref else releases_without_tag()
    if missing:
        print(f"CHANGELOG.md has a release without a tag here: {', '.join(f'v{version}' for version in missing)}.")
        print("The changes since then cannot be judged. Fetch the tags (`git fetch --tags`, in a shallow clone with")
        print("--unshallow), or tag that release.")
        if gate and os.environ.get("CI", "").lower() in {"true", "1"}:
            return 1
    base = ref or last_release()
    if not base:
        if not missing:
            print("No release yet to compare with: no tag v* precedes this commit.")
        return 0
    if _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}") is None:
        print(f"There is no commit {base} here. In a shallow clone, run: git fetch --unshallow --tags")
        return 2
    comparison = compare(base)
    print(*report(comparison), sep="\n")
    complaints = judge(comparison)
    print(*complaints, sep="\n")
    return 1 if complaints and gate else 0


def releases_without_tag() -> list[str]:
    """Return the released versions of the changelog that have no tag here.

    In a clone with its whole history, the newest one may be a release in progress that has no tag yet.
    """
    sections = changelog((ROOT / "CHANGELOG.md").read_text("utf-8"))
    whole = _git("rev-parse", "--is-shallow-repository") == b"false\n"
    released = [section.version for section in sections[1 if whole else 0 :] if not section.unreleased]
    return [version for version in released if f"v{version}" not in _tags()]


def last_release() -> str | None:
    """Return the highest tag v1.2.3, or None without one or without git.

    A tree that is a release itself, without edits, is compared with the one before, because it equals itself.
    """
    tags = _tags()
    if _git("diff", "--quiet", "HEAD") is not None:
        tags = [tag for tag in tags if tag not in _tags("--points-at", "HEAD")]
    return max(tags, key=lambda tag: parse(tag[1:]), default=None)


def _tags(*options: str) -> list[str]:
    listed = (_git("tag", "--list", *options, "v*") or b"").decode().split()
    return [tag for tag in listed if RELEASE.fullmatch(tag)]


def compare(base: str) -> Comparison:
    """Compare the working tree with a base."""
    before, now = _at(base, "openapi.yaml"), (ROOT / "openapi.yaml").read_text("utf-8")
    if not before:
        raise CompareError(f"There is no openapi.yaml at {base}.")
    of_spec = [] if before == now else changes(before, now)
    public = _public(base)
    # A breaking change of the spec removes generated names too; the changelog mentions it once, by its name in the spec.
    follows = any(change.level is Level.BREAKING for change in of_spec)
    to_mention = [*of_spec, *(one for one in public if not (follows and one.text.startswith(f"{GENERATED}.")))]
    sections = changelog((ROOT / "CHANGELOG.md").read_text("utf-8"))
    return Comparison(
        base=base,
        was=spec_version(before),
        version=spec_version(now),
        changes=of_spec,
        public=public,
        unmentioned=unmentioned(to_mention, changelog(_at(base, "CHANGELOG.md")), sections),
    )


def unmentioned(listed: list[Change], before: list[Section], now: list[Section]) -> list[str]:
    """Return the changes that no new line of the newest section of the changelog names in backticks.

    Any new line will do for documentation. No line is written here, because only a person knows the reason.
    """
    old = {line for section in before for line in section.body.splitlines()}
    new = [line for section in now[:1] for line in section.body.splitlines() if line not in old]
    code = "\n".join(span for line in new for span in re.findall(r"`([^`]+)`", line))
    return [
        change.text
        for change in listed
        if not any(new)
        or (change.level and not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code) for name in change.names))
    ]


def _public(base: str) -> list[Change]:
    # A zip, because `extractall` of tarfile has its filter only since Python 3.11.4.
    archive = _git("archive", "--format=zip", base, "kayrros_ext", "generated", "pyproject.toml")
    if archive is None:
        raise CompareError(
            f"There is no kayrros_ext, generated or pyproject.toml at {base}, to compare public names with."
        )
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
        return public_changes(Path(folder), ROOT)


def needed(was: str, level: Level) -> tuple[str, str]:
    """Return the lowest version that may follow, and the reason."""
    major, minor, patch = parse(was)
    version: Version = (major, minor, patch + 1)
    reason = "patch" if major else "patch: before 1.0, for all that does not break"
    if level is Level.BREAKING:
        version, reason = (
            ((major + 1, 0, 0), "major") if major else ((0, minor + 1, 0), "minor: before 1.0, for a break")
        )
    elif level is Level.COMPATIBLE and major:
        version, reason = (major, minor + 1, 0), "minor"
    return ".".join(map(str, version)), reason


def report(comparison: Comparison) -> list[str]:
    """List the changes and the version that follows."""
    lines = [f"openapi.yaml since {comparison.base} ({comparison.was}):"]
    lines += [f"  {change}" for change in comparison.changes]
    count = Counter(change.level for change in comparison.changes)
    totals = ", ".join(f"{count[level]} {level.name.lower()}" for level in reversed(Level) if count[level])
    lines.append(f"  {totals or 'no changes'}")
    if comparison.public:
        lines += [f"public names since {comparison.base}:", *(f"  {change}" for change in comparison.public)]
    if comparison.level is not None:
        version, reason = needed(comparison.was, comparison.level)
        lines.append(f"The version that follows: {version} ({reason}). The version now: {comparison.version}.")
    return lines


def judge(comparison: Comparison) -> list[str]:
    """Return what is missing and how to add it; nothing if version and changelog are up to date."""
    lines = []
    if comparison.level is not None:
        version, _ = needed(comparison.was, comparison.level)
        if parse(comparison.version) < parse(version):
            files = "openapi.yaml, kayrros_ext/__init__.py and CHANGELOG.md"
            lines.append(f"The version is too low: write {version} or higher into {files}, and run `make generate`.")
    if comparison.unmentioned:
        lines.append(
            "CHANGELOG.md does not mention these changes. Write into its newest section what each one means for a"
        )
        lines.append("user, with the operation, field, value or public name in backticks:")
        lines += [f"  - {text}" for text in comparison.unmentioned]
    return lines


def _at(base: str, name: str) -> str:
    """Return a file of the base; empty if it had none."""
    return (_git("show", f"{base}:./{name}") or b"").decode()


def _git(*arguments: str) -> bytes | None:
    """Return the output of git, or None if it fails: no repository, no such ref, no git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)  # nosec B607
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
