"""What changed between two versions of the spec: its level, its words, the version and the changelog that follow."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.spec_changes import Change, Level, changes
from scripts.spec_diff import Comparison, judge, needed, untold
from scripts.versions import Section
from tests.checkout import FIELD, OPERATION, PYTHON, VALUE, copy_checkout, edit

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "openapi.yaml").read_text("utf-8")
BREAKING, COMPATIBLE, DOCUMENTATION = Level.BREAKING, Level.COMPATIBLE, Level.DOCUMENTATION
PROCESSING = (
    "        processing_name:\n          type: [string, 'null']\n"
    "          description: Name of the platform processing.\n"
)
CONFLICT = "        '409':\n          $ref: '#/components/responses/DuplicateEntity'\n"

# An edit, and the change that is told of it. All are made at once, since a comparison costs half a second.
CASES = [
    (FIELD, COMPATIBLE, "field `nickname` of `DatasetMetadata` added (string or null), used by getDatasetMetadata"),
    ((PROCESSING, ""), BREAKING, "field `processing_name` of `DatasetMetadata` removed, used by getDatasetMetadata"),
    (VALUE, COMPATIBLE, "value `OPEN` of schema `SharedOption` added, used by getDatasetMetadata"),
    (
        (", NON_SHARED]", "]"),
        BREAKING,
        "value `NON_SHARED` of schema `SharedOption` removed, used by getDatasetMetadata",
    ),
    (OPERATION, COMPATIBLE, "operation `getTestAsset` added"),
    (
        (
            "      additionalProperties: false\n      properties:\n        mo_ids:",
            "      additionalProperties: false\n      required: [mo_ids]\n      properties:\n        mo_ids:",
        ),
        BREAKING,
        "field `mo_ids` of schema `ProcessingResultFilter` is now required, used by getDatasetResults",
    ),
    (
        ("required: [start_date, stop_date]", "required: [start_date]"),
        COMPATIBLE,
        "field `stop_date` of schema `DateRange` is no longer required, used by getDatasetResults",
    ),
    (
        ("format: int32", "format: int64"),
        BREAKING,
        "format of field `asset_count` of `DatasetMetadata`: `int32` became `int64`, used by getDatasetMetadata",
    ),
    ((CONFLICT, ""), BREAKING, "answer 409 of `getDatasetMetadata` removed"),
    (
        ("operationId: downloadStaticDataset", "operationId: download"),
        BREAKING,
        "operationId of operation `download`: `downloadStaticDataset` became `download`",
    ),
    (
        ("tags: [datasets]", "tags: [authentication]"),
        BREAKING,
        'tags of operation `getDatasetMetadata`: `["datasets"]` became `["authentication"]`',
    ),
    (
        ("https://auth.kayrros", "https://login.kayrros"),
        BREAKING,
        "url of servers of path `/v3/login`: `https://auth.kayrros.com` became `https://login.kayrros.com`",
    ),
    (
        ("What the dataset holds.", "What it holds."),
        DOCUMENTATION,
        "description of field `description` of `DatasetMetadata` changed, used by getDatasetMetadata",
    ),
    (("summary: Log in", "summary: Log on"), DOCUMENTATION, "summary of operation `login` changed"),
    (
        ("analyst@example.com", "me@example.com"),
        DOCUMENTATION,
        "examples of `login` changed, and so does what the mock answers",
    ),
]


@pytest.fixture(scope="module")
def told() -> dict[str, Level]:
    text = SPEC
    for (old, new), _, _ in CASES:
        assert old in text, old
        text = text.replace(old, new, 1)
    return {change.words: change.level for change in changes(SPEC, text)}


@pytest.mark.parametrize(("level", "words"), [case[1:] for case in CASES])
def test_a_change_has_its_level_and_words(level: Level, words: str, told: dict[str, Level]) -> None:
    """By direction: what answers lose and what requests must have breaks; what is added does not."""
    assert words in told, sorted(told)
    assert level is told[words]


def test_what_is_the_same_is_not_told() -> None:
    """A comment and the version of the spec are no changes for a user."""
    assert not changes(SPEC, SPEC.replace("  version: 0.", "  # A comment.\n  version: 7."))


@pytest.mark.parametrize(
    ("was", "level", "version"),
    [
        ("0.1.3", BREAKING, "0.2.0"),
        ("0.1.3", COMPATIBLE, "0.1.4"),
        ("0.1.3", DOCUMENTATION, "0.1.4"),
        ("1.2.3", BREAKING, "2.0.0"),
        ("1.2.3", COMPATIBLE, "1.3.0"),
        ("1.2.3", DOCUMENTATION, "1.2.4"),
    ],
)
def test_a_version_follows(was: str, level: Level, version: str) -> None:
    """Before 1.0 what breaks is a minor version, and all else a patch."""
    assert version == needed(was, level)[0]


def test_a_new_line_of_the_changelog_names_the_change() -> None:
    """In the newest section, and not in the words of the last release."""
    change = Change(COMPATIBLE, "words", names=frozenset({"getThing"}))
    old = Section("0.1.0", "", "- `getThing` is an old line")
    assert ["words"] == untold([change], [old], [old])
    assert ["words"] == untold([change], [old], [Section("0.2.0", "", "- getThings"), old])
    assert not untold([change], [old], [Section("0.2.0", "", "- `getThing` gives a thing."), old])
    assert not untold([Change(DOCUMENTATION, "words")], [old], [Section("0.2.0", "", "- Clearer words."), old])
    assert ["words"] == untold([Change(DOCUMENTATION, "words")], [old], [old])


def test_a_public_name_that_goes_asks_for_a_version() -> None:
    """With a spec that did not change at all."""
    gone = Comparison("v0.1.0", "0.1.0", "0.1.1", [], ["kayrros_ext.Results is gone"], [])
    assert ["write 0.2.0 or higher"] == [line.partition(": ")[2].partition(" into")[0] for line in judge(gone)]
    assert not judge(Comparison("v0.1.0", "0.1.0", "0.2.0", [], ["kayrros_ext.Results is gone"], []))


def git(checkout: Path, *arguments: str) -> None:
    own = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "tag.gpgsign=false",
    ]
    subprocess.run(["git", *own, *arguments], cwd=checkout, check=True, capture_output=True)


def check(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [PYTHON, "-m", "scripts.spec_diff", *arguments]
    return subprocess.run(command, cwd=checkout, env={**os.environ}, capture_output=True, text=True, check=False)


def test_against_the_last_release(tmp_path: Path) -> None:
    """Without a tag there is nothing to compare; with one, version, names and changelog are asked for, then all is well."""
    checkout = copy_checkout(tmp_path / "checkout")
    first = check(checkout, "--check")
    assert (0, "No release yet") == (first.returncode, first.stdout[:14])
    git(checkout, "init", "-q")
    git(checkout, "add", "--all", ":!.venv", ":!node_modules")
    git(checkout, "commit", "-q", "-m", "A release")
    git(checkout, "tag", "v0.0.9")
    git(checkout, "tag", "v0.1.0")
    assert (0, "") == (check(checkout, "--check").returncode, check(checkout, "--check").stderr)

    edit(checkout / "openapi.yaml", (PROCESSING, ""))
    edit(checkout / "kayrros_ext" / "__init__.py", ('    "Results",\n', ""))
    edit(checkout / "kayrros_ext" / "client.py", ("    def metadata(", "    def about("))
    failed = check(checkout, "--check")
    assert 1 == failed.returncode
    for words in (
        "openapi.yaml since v0.1.0 (0.1.0):",
        "breaking: field `processing_name` of `DatasetMetadata` removed",
        "breaking: kayrros_ext.Results is gone",
        "breaking: kayrros_ext.client.Kayrros.metadata: public object was removed",
        "The version that follows: 0.2.0 (minor: before 1.0 that is what breaks). The version now: 0.1.0.",
        "write 0.2.0 or higher into openapi.yaml, pyproject.toml and CHANGELOG.md",
        "CHANGELOG.md does not tell of these yet.",
    ):
        assert words in failed.stdout
    assert 0 == check(checkout, "HEAD").returncode  # without --check it tells, and judges nobody

    edit(checkout / "openapi.yaml", ("  version: 0.1.0", "  version: 0.2.0"))
    edit(checkout / "CHANGELOG.md", ("## 0.1.0", "## 0.2.0, unreleased\n\n- `processing_name` is gone.\n\n## 0.1.0"))
    passed = check(checkout, "--check")
    assert 0 == passed.returncode, passed.stdout
    assert 2 == check(checkout, "no-such-ref").returncode

    shutil.rmtree(checkout / ".git")
    assert 0 == check(checkout, "--check").returncode


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"'),
        ("openapi.yaml", "version: 0.1.0", "version: 0.1.1"),
        ("CHANGELOG.md", "## 0.1.0", "## 0.1.1, unreleased\n\n## 0.1.0"),
    ],
)
def test_a_version_that_disagrees_is_seen(name: str, old: str, new: str, tmp_path: Path) -> None:
    """Wherever it stands; each place is named with its version."""
    (tmp_path / "scripts").mkdir()
    for file in ("pyproject.toml", "openapi.yaml", "CHANGELOG.md", "scripts/versions.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    command = [PYTHON, str(tmp_path / "scripts" / "versions.py")]
    assert 0 == subprocess.run(command, check=False, capture_output=True).returncode
    edit(tmp_path / name, (old, new))
    seen = subprocess.run(command, check=False, capture_output=True, text=True)
    assert 1 == seen.returncode
    assert f"{name}, " in seen.stdout
    assert 1 == seen.stdout.count(": 0.1.1")
