"""What changed between two versions of the spec: its level, its words, the version and the changelog that follow."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.change import Change, Level
from scripts.public_names import public_changes
from scripts.spec_changes import changes
from scripts.spec_diff import Comparison, judge, needed, untold
from scripts.versions import Section, main
from tests.support.checkout import FIELD, FIRST, OPERATION, PYTHON, SMALL, VALUE, edit, small_checkout

ROOT = Path(__file__).parents[2]
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
    (
        ("mo_ids: [tank-cushing-tk-101, tank", "mo_ids: [tank-cushing-tk-103, tank"),
        DOCUMENTATION,
        "examples of `getDatasetResults` changed, and so does what the mock answers",
    ),
    (
        (
            "requestBody: {collection_id: '$response.body#/0/id'}",
            "requestBody: {collection_id: '$response.body#/1/id'}",
        ),
        DOCUMENTATION,
        "links of `listCollections` changed",
    ),
    (
        ("body: observed (an array of objects with `id` and `name`)", "body: observed (an array)"),
        DOCUMENTATION,
        "body of x-provenance of `listCollections` changed",
    ),
    (("      security: []\n", ""), BREAKING, "security of `login`: none became `bearer`"),
    (
        ("      scheme: bearer\n", "      scheme: basic\n"),
        BREAKING,
        "scheme of security scheme `bearer`: `bearer` became `basic`",
    ),
    (
        (
            "    description: Data host (reference)\n",
            "    description: D\n  - url: https://b.example\n    description: B\n",
        ),
        COMPATIBLE,
        "server `https://b.example` added",
    ),
    (
        ("        required: false\n        content", "        required: true\n        content"),
        BREAKING,
        "required of request of `getDatasetResults`: `false` became `true`",
    ),
    (
        (
            "                  $ref: '#/components/schemas/Collection'\n",
            "                  $ref: '#/components/schemas/Other'\n",
        ),
        BREAKING,
        "class of `application/json` of answer 200 of `listCollections`: `Collection` became `Other`",
    ),
    (
        (
            "    Collection:\n",
            "    Other:\n      type: object\n      properties:\n        id: {type: string}\n"
            "    Loose:\n      type: object\n    Collection:\n",
        ),
        COMPATIBLE,
        "schema `Loose` added (object)",
    ),
    (
        ("          headers:\n            Content-Disposition:", "          headers:\n            X-Name:"),
        BREAKING,
        "header `Content-Disposition` of answer 200 of `downloadStaticDataset` removed",
    ),
    (
        ("            - type: string\n            - type: 'null'", "            - type: 'null'"),
        BREAKING,
        "one type of field `sharedOption` of `DatasetMetadata` removed, used by getDatasetMetadata",
    ),
    (
        ("        source_name:\n          type: [string, 'null']\n", "        source_name:\n          type: string\n"),
        COMPATIBLE,
        'type of field `source_name` of `DatasetMetadata`: `["string", "null"]` became `string`, used by getDatasetMetadata',
    ),
    (
        (
            "        attributionText:\n          type: [string, 'null']\n",
            "        attributionText:\n          type: [string, 'null']\n          enum: [A, null]\n",
        ),
        BREAKING,
        "field `attributionText` of `DatasetMetadata` is an enum now: `A`, `null`, used by getDatasetMetadata",
    ),
    (
        ("      required: [collection_id]\n", "      required: [collection_id, page]\n"),
        BREAKING,
        "field `page` of schema `CollectionDatasetsRequest` is now required, used by listCollectionDatasets",
    ),
    (
        (
            "        collection_id:\n          type: string\n",
            "        page:\n          type: integer\n        collection_id:\n          type: [string, 'null']\n",
        ),
        COMPATIBLE,
        'type of field `collection_id` of `CollectionDatasetsRequest`: `string` became `["string", "null"]`, '
        "used by listCollectionDatasets",
    ),
    (
        (
            "          minLength: 1\n          description: Email",
            "          minLength: 3\n          description: Email",
        ),
        BREAKING,
        "minLength of field `email` of `LoginRequest`: `1` became `3`, used by login",
    ),
    (
        (
            "      operationId: listCollections\n",
            "      operationId: listCollections\n      deprecated: true\n"
            "      parameters: [{name: page, in: query, schema: {type: integer}}]\n",
        ),
        COMPATIBLE,
        "parameters of `listCollections` added (`page`)",
    ),
    (
        ("  /v1/processing/collection/datasets:", "  /v2/processing/collection/datasets:"),
        BREAKING,
        "path `/v2/processing/collection/datasets` was `/v1/processing/collection/datasets`, used by listCollectionDatasets",
    ),
]
# The same kind of change, made the other way round.
BACK = [
    (BREAKING, "operation `getTestAsset` removed"),
    (BREAKING, "value `OPEN` of schema `SharedOption` removed, used by getDatasetMetadata"),
    (COMPATIBLE, "value `NON_SHARED` of schema `SharedOption` added, used by getDatasetMetadata"),
    (COMPATIBLE, "field `mo_ids` of schema `ProcessingResultFilter` is no longer required, used by getDatasetResults"),
    (COMPATIBLE, "security of `login`: `bearer` became none"),
    (COMPATIBLE, "required of request of `getDatasetResults`: `true` became `false`"),
    (COMPATIBLE, "minLength of field `email` of `LoginRequest`: `3` became `1`, used by login"),
    (BREAKING, "parameters of `listCollections` removed (`page`)"),
    (BREAKING, "field `page` of `CollectionDatasetsRequest` removed, used by listCollectionDatasets"),
    (
        BREAKING,
        'type of field `source_name` of `DatasetMetadata`: `string` became `["string", "null"]`, used by getDatasetMetadata',
    ),
    (
        BREAKING,
        "field `attributionText` of `DatasetMetadata` is no longer an enum: `A`, `null`, used by getDatasetMetadata",
    ),
]


@pytest.fixture(scope="module")
def edited() -> str:
    text = SMALL
    for (old, new), _, _ in CASES:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


@pytest.fixture(scope="module")
def told(edited: str) -> dict[str, Level]:
    return {change.words: change.level for change in changes(SMALL, edited)}


@pytest.fixture(scope="module")
def told_back(edited: str) -> dict[str, Level]:
    return {change.words: change.level for change in changes(edited, SMALL)}


@pytest.mark.parametrize(("level", "words"), [case[1:] for case in CASES])
def test_a_change_has_its_level_and_words(level: Level, words: str, told: dict[str, Level]) -> None:
    """By direction: what answers lose and what requests must have breaks; what is added does not."""
    assert words in told, sorted(told)
    assert level is told[words]


@pytest.mark.parametrize(("level", "words"), BACK)
def test_the_way_back_has_its_own_level(level: Level, words: str, told_back: dict[str, Level]) -> None:
    """What breaks one way may be compatible the other way, and both may break."""
    assert words in told_back, sorted(told_back)
    assert level is told_back[words]


FORM = ("          application/x-www-form-urlencoded:", "          application/json:")
REPLY = ("    LoginReply:\n", "    LoginReply:\n      required: [token]\n")


@pytest.mark.parametrize(
    ("was", "now", "level", "words"),
    [
        ([], [REPLY], COMPATIBLE, "field `token` of schema `LoginReply` is now required, used by login"),
        ([], [FORM], BREAKING, "`application/x-www-form-urlencoded` of request of `listCollectionDatasets` removed"),
        ([], [FORM], COMPATIBLE, "`application/json` of request of `listCollectionDatasets` added"),
        ([REPLY], [], BREAKING, "field `token` of schema `LoginReply` is no longer required, used by login"),
        (
            [("'#/components/schemas/LoginRequest'", "'#/components/schemas/LoginReply'")],
            [("'#/components/schemas/LoginRequest'", "'#/components/schemas/LoginReply'"), REPLY],
            BREAKING,
            "field `token` of schema `LoginReply` is now required, used by login",
        ),
    ],
)
def test_direction_decides(was: list[tuple[str, str]], now: list[tuple[str, str]], level: Level, words: str) -> None:
    """An answer may hold a field for sure, and not no longer; a request, the reverse, also where a schema is both."""
    before, after = SMALL, SMALL
    for old, new in was:
        before = before.replace(old, new, 1)
    for old, new in now:
        after = after.replace(old, new, 1)
    assert (words, level) in {(change.words, change.level) for change in changes(before, after)}


def test_what_is_the_same_is_not_told() -> None:
    """A comment and the version of the spec are no changes for a user."""
    assert not changes(SMALL, SMALL.replace("  version: 0.", "  # A comment.\n  version: 7."))


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
    name = Change(COMPATIBLE, "words", names=frozenset({"name"}))
    assert ["words"] == untold([name], [old], [Section("0.2.0", "", "- The name of a thing."), old])
    assert not untold([name], [old], [Section("0.2.0", "", "- `thing.name` is its name."), old])


@pytest.mark.parametrize(
    ("was", "low", "level", "version"),
    [
        ("0.1.0", "0.1.1", BREAKING, "0.2.0"),
        ("0.1.0", "0.1.0", COMPATIBLE, "0.1.1"),
        ("1.1.0", "1.1.1", COMPATIBLE, "1.2.0"),
    ],
)
def test_a_public_name_asks_for_a_version(was: str, low: str, level: Level, version: str) -> None:
    """One that goes and one that comes, with a spec that did not change at all."""
    public = [Change(level, "kayrros_ext.Results")]
    asked = judge(Comparison(f"v{was}", was, low, [], public, []))
    assert [f"write {version} or higher"] == [line.partition(": ")[2].partition(" into")[0] for line in asked]
    assert not judge(Comparison(f"v{was}", was, version, [], public, []))


@pytest.mark.slow
def test_public_names_that_no_list_names(tmp_path: Path) -> None:
    """Fixtures, extras and entry points that go break; those that come, members and arguments among them, are new.

    So do a name that is still listed where its class is gone, an argument of a function, and a base that a class had.
    """
    before, now = (small_checkout(tmp_path / side) for side in ("before", "now"))
    assert not public_changes(before, now)
    errors = [("class GapError(", "class Gone("), ("class MockError(KayrrosError)", "class MockError(Exception)")]
    edit(now / "kayrros_ext" / "errors.py", *errors)
    edit(
        now / "kayrros_ext" / "plots" / "__init__.py", ('dark"] = "auto",\n', 'dark"],\n'), ("map: bool", "maps: bool")
    )
    edit(
        now / "kayrros_ext" / "testing" / "plugin.py",
        ("@pytest.fixture\ndef kayrros(", '@pytest.fixture(name="kayrros_openapi")\ndef kayrros('),
    )
    edit(
        now / "pyproject.toml",
        ("polars = [", "arrow = ["),
        ("[project.scripts]", '[project.scripts]\nkay = "kayrros_ext.k:main"'),
    )
    edit(
        now / "kayrros_ext" / "client.py",
        ("    def metadata(self, ", "    def brand_new(self) -> None: ...\n\n    def metadata(self, "),
    )
    forward = {change.words: change.level for change in public_changes(before, now)}
    assert {
        "fixture `kayrros` is gone": BREAKING,
        "fixture `kayrros_openapi` is new": COMPATIBLE,
        "extra `polars` is gone": BREAKING,
        "extra `arrow` is new": COMPATIBLE,
        "command `kay` is new": COMPATIBLE,
        "kayrros_ext.client.Kayrros.brand_new is new": COMPATIBLE,
        "kayrros_ext.GapError is gone": BREAKING,
        "kayrros_ext.errors.MockError.__init__: public object was removed": BREAKING,
        "kayrros_ext.errors.MockError has no base KayrrosError any more": BREAKING,
        "kayrros_ext.plots.Options.map: public object was removed": BREAKING,
        "kayrros_ext.plots.Options.maps is new": COMPATIBLE,
        "kayrros_ext.plots.plot: parameter is now required (`theme`)": BREAKING,
    } == forward
    assert "command `kay` is gone" in {change.words for change in public_changes(now, before)}


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


def check(checkout: Path, *arguments: str, ci: str = "") -> "subprocess.CompletedProcess[str]":
    command = [PYTHON, "-m", "scripts.spec_diff", *arguments]
    environment = {**os.environ, "CI": ci}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_against_the_last_release(tmp_path: Path) -> None:
    """Without a tag there is nothing to compare; with one, version, names and changelog are asked for, then all is well."""
    checkout = small_checkout(tmp_path / "checkout")
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
        "compatible: kayrros_ext.client.Kayrros.about is new",
        "The version that follows: 0.2.0 (minor: before 1.0 that is what breaks). The version now: 0.1.0.",
        "write 0.2.0 or higher into openapi.yaml, pyproject.toml and CHANGELOG.md",
        "CHANGELOG.md does not tell of these yet.",
        "  - kayrros_ext.Results is gone",
        "  - kayrros_ext.client.Kayrros.about is new",
    ):
        assert words in failed.stdout
    assert 0 == check(checkout, "HEAD").returncode  # without --check it tells, and judges nobody

    edit(checkout / "openapi.yaml", ("  version: 0.1.0", "  version: 0.2.0"))
    edit(checkout / "CHANGELOG.md", ("## 0.1.0", "## 0.2.0, unreleased\n\n- `processing_name` is gone.\n\n## 0.1.0"))
    assert "kayrros_ext.Results is gone" in check(checkout, "--check").stdout.partition("CHANGELOG.md does not tell")[2]
    edit(checkout / "CHANGELOG.md", ("is gone.\n", "is gone.\n- `Results` too; `metadata` is `about`.\n"))
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
        ("CHANGELOG.md", "## 0.1.0, unreleased", "## 0.1.1, unreleased\n\n## 0.1.0, 2026-01-01"),
    ],
)
def test_a_version_that_disagrees_is_seen(name: str, old: str, new: str, tmp_path: Path) -> None:
    """Wherever it stands; each place is named with its version."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "versions.py", tmp_path / "scripts")
    project = '[project]\nversion = "0.1.0"\n'
    for file, text in (("openapi.yaml", SMALL), ("CHANGELOG.md", FIRST), ("pyproject.toml", project)):
        (tmp_path / file).write_text(text, "utf-8")
    command = [PYTHON, str(tmp_path / "scripts" / "versions.py")]
    assert 0 == subprocess.run(command, check=False, capture_output=True).returncode
    edit(tmp_path / name, (old, new))
    seen = subprocess.run(command, check=False, capture_output=True, text=True)
    assert 1 == seen.returncode
    assert f"{name}, " in seen.stdout
    assert 1 == seen.stdout.count(": 0.1.1")


@pytest.mark.slow
def test_a_release_that_is_not_here_fails_in_ci(tmp_path: Path) -> None:
    """A clone without its tag can't be compared: said everywhere, and no pass in CI. The release itself has no tag yet."""
    origin = small_checkout(tmp_path / "origin")
    for name in (".venv", "node_modules"):
        (origin / name).unlink()
    released = re.sub(r"## 0\.1\.0.*", "## 0.1.0, 2026-01-01", (origin / "CHANGELOG.md").read_text("utf-8"))
    (origin / "CHANGELOG.md").write_text(released, "utf-8")
    git(origin, "init", "-q")
    git(origin, "add", "--all")
    git(origin, "commit", "-q", "-m", "A release")
    shallow, whole = tmp_path / "shallow", tmp_path / "whole"
    git(tmp_path, "clone", "-q", "--depth=1", origin.as_uri(), str(shallow))
    git(tmp_path, "clone", "-q", origin.as_uri(), str(whole))
    for clone in (shallow, whole):
        for name in (".venv", "node_modules"):
            (clone / name).symlink_to(ROOT / name)
    unseen = check(shallow, "--check", ci="true")
    assert (1, "CHANGELOG.md tells of a release, and its tag is not here: v0.1.0.") == (
        unseen.returncode,
        unseen.stdout.splitlines()[0],
    )
    assert 0 == check(shallow, "--check").returncode
    assert (0, "No release yet") == ((done := check(whole, "--check", ci="true")).returncode, done.stdout[:14])

    edit(whole / "CHANGELOG.md", ("## 0.1.0", "## 0.2.0, unreleased\n\n## 0.1.0"))
    assert 1 == check(whole, "--check", ci="true").returncode  # 0.1.0 was released, and has no tag
    git(whole, "tag", "v0.1.0")
    assert (0, "openapi.yaml since v0.1.0") == (
        (done := check(whole, "--check", ci="true")).returncode,
        done.stdout[:25],
    )


@pytest.mark.slow
def test_a_release_is_compared_with_the_one_before(tmp_path: Path) -> None:
    """With itself it would pass, whatever it breaks; a later edit is compared with the release."""
    checkout = small_checkout(tmp_path / "checkout")
    git(checkout, "init", "-q")
    for tag, value in (("v0.1.0", VALUE), ("v0.1.1", FIELD)):
        git(checkout, "add", "--all", ":!.venv", ":!node_modules")
        git(checkout, "commit", "-q", "-m", "A release")
        git(checkout, "tag", tag)
        if tag == "v0.1.0":
            edit(checkout / "openapi.yaml", value)
    assert "openapi.yaml since v0.1.0 (0.1.0):" in check(checkout, "--check").stdout
    edit(checkout / "openapi.yaml", FIELD)
    assert "openapi.yaml since v0.1.1 (0.1.0):" in check(checkout, "--check").stdout


@pytest.mark.parametrize(
    ("heading", "says"),
    [
        ("## [0.1.0] - 2026-01-01", "CHANGELOG.md:3: '## [0.1.0] - 2026-01-01' is no heading"),
        ("## v0.1.0", "is no heading"),
        ("##0.1.0", "is no heading"),
        ("## 0.1.0rc1", "is no heading"),
        ("## 0.1.0.1", "is no heading"),
        ("## 0.01.0", "is no heading"),
        ("## Unreleased", "is no heading"),
        ("## 0.1.0\n\n## 0.1.0", "0.1.0 stands above 0.1.0"),
        ("## 0.1.0\n\n## 0.2.0", "0.1.0 stands above 0.2.0"),
        ("## 0.1.0, unreleased\n\n## 0.0.9, unreleased", "0.0.9 is unreleased, below 0.1.0"),
    ],
)
def test_a_heading_of_another_form_is_named(
    heading: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would hide a version, or be one that nobody has."""
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n\n- A line.\n")
    for file in ("pyproject.toml", "openapi.yaml"):
        shutil.copy(ROOT / file, tmp_path / file)
    assert 1 == main(tmp_path)
    assert says in capsys.readouterr().out
