"""The changes between two versions of the spec: their level and text, and the version and changelog that follow."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from scripts.spec_changes import Change, Level, changes
from scripts.spec_diff import Comparison, judge, needed, unmentioned
from scripts.versions import Section
from tests.support.checkout import FIELD, FIRST, OPERATION, PYTHON, SMALL, VALUE, edit
from tests.support.spec import Edit, add_field, edited, operations

ROOT = Path(__file__).parents[2]
BREAKING, COMPATIBLE, DOCUMENTATION = Level.BREAKING, Level.COMPATIBLE, Level.DOCUMENTATION
PROCESSING = (
    "        processing_name:\n          type: [string, 'null']\n"
    "          description: Name of the platform processing.\n"
)
CONFLICT = "        '409':\n          $ref: '#/components/responses/DuplicateEntity'\n"

# An edit of the small spec, and the change that is reported. All are made at once, because a comparison takes half a second.
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
    ((CONFLICT, ""), BREAKING, "response 409 of `getDatasetMetadata` removed"),
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
        "request examples of `login` changed",
    ),
    (
        ("mo_ids: [tank-cushing-tk-101, tank", "mo_ids: [tank-cushing-tk-103, tank"),
        DOCUMENTATION,
        "request examples of `getDatasetResults` changed",
    ),
    (
        (
            "requestBody: collection_id={$response.body#/0/id}",
            "requestBody: collection_id={$response.body#/1/id}",
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
        "type of `application/json` of response 200 of `listCollections`: `Collection` became `Other`",
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
        "header `Content-Disposition` of response 200 of `downloadStaticDataset` removed",
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
        "field `attributionText` of `DatasetMetadata` is now an enum: `A`, `null`, used by getDatasetMetadata",
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
        "path `/v2/processing/collection/datasets` was named `/v1/processing/collection/datasets`, "
        "used by listCollectionDatasets",
    ),
]
# The same kind of change in the other direction.
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
def all_edits() -> str:
    text = SMALL
    for (old, new), _, _ in CASES:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


@pytest.fixture(scope="module")
def forward(all_edits: str) -> dict[str, Level]:
    return {change.text: change.level for change in changes(SMALL, all_edits)}


@pytest.fixture(scope="module")
def backward(all_edits: str) -> dict[str, Level]:
    return {change.text: change.level for change in changes(all_edits, SMALL)}


@pytest.mark.parametrize(("level", "text"), [case[1:] for case in CASES])
def test_a_change_has_its_level_and_text(level: Level, text: str, forward: dict[str, Level]) -> None:
    """The direction decides: losses of responses and demands of requests break, additions do not."""
    assert text in forward, sorted(forward)
    assert forward[text] is level


@pytest.mark.parametrize(("level", "text"), BACK)
def test_the_reverse_change_has_its_own_level(level: Level, text: str, backward: dict[str, Level]) -> None:
    """A break in one direction may be compatible in the other, and both may break."""
    assert text in backward, sorted(backward)
    assert backward[text] is level


PAGES = ": responses may now come in pages, and a client that reads one page loses the rest"


def body(spec: dict[str, Any], operation: str) -> dict[str, Any]:
    content: dict[str, Any] = operations(spec)[operation]["responses"]["200"]["content"]["application/json"]
    return content


def choose_in_a_response(spec: dict[str, Any]) -> None:
    schema = body(spec, "listCollectionDatasets")["schema"]
    schema["items"] = {"oneOf": [schema["items"], {"type": "string"}]}


def rename_field(spec: dict[str, Any]) -> None:
    properties = spec["components"]["schemas"]["AssetResult"]["properties"]
    properties["asset_label"] = properties.pop("asset_id")


def choose_in_a_request(spec: dict[str, Any]) -> None:
    choice = {"anyOf": [{"$ref": "#/components/schemas/DateRange"}, {"type": "string"}]}
    spec["components"]["schemas"]["ProcessingResultFilter"]["properties"]["time_range"] = choice


def link_header(spec: dict[str, Any]) -> None:
    response = operations(spec)["listCollections"]["responses"]["200"]
    response["headers"] = {"Link": {"description": "The next page.", "schema": {"type": "string"}}}


EDITS = [
    (
        choose_in_a_response,
        BREAKING,
        "type of `application/json` of response 200 of `listCollectionDatasets`: `CollectionDataset` became one of "
        "`CollectionDataset`, `string`",
    ),
    (
        choose_in_a_request,
        COMPATIBLE,
        "type of field `time_range` of `ProcessingResultFilter`: `DateRange` became one of `DateRange`, `string`",
    ),
    (
        lambda spec: operations(spec)["getDatasetMetadata"].update(deprecated=True),
        COMPATIBLE,
        "operation `getDatasetMetadata` is now deprecated",
    ),
    (
        lambda spec: body(spec, "getDatasetMetadata")["examples"]["crude-tanks"]["value"].update(asset_count=7),
        DOCUMENTATION,
        "response examples of `getDatasetMetadata` changed, and so does the mock",
    ),
    (
        rename_field,
        BREAKING,
        "field `asset_label` of `AssetResult` was named `asset_id`, used by getDatasetResults",
    ),
    (
        add_field("AssetResult", "next", {"type": ["string", "null"]}),
        BREAKING,
        f"field `next` of `AssetResult` added (string or null){PAGES}, used by getDatasetResults",
    ),
    (
        add_field("DatasetMetadata", "hasMore", {"type": ["boolean", "null"]}),
        BREAKING,
        f"field `hasMore` of `DatasetMetadata` added (boolean or null){PAGES}, used by getDatasetMetadata",
    ),
    (link_header, BREAKING, f"headers of response 200 of `listCollections` added (`Link`){PAGES}"),
    (
        add_field("ProcessingResultFilter", "page", {"type": "integer"}),
        COMPATIBLE,
        "field `page` of `ProcessingResultFilter` added (integer), used by getDatasetResults",
    ),
]


def test_an_edit_is_one_change() -> None:
    """Nothing else is reported with it, such as a schema that is still there as removed."""
    listed = changes(edited(SMALL), edited(SMALL, *(edit for edit, _, _ in EDITS)))
    assert {change.text: change.level for change in listed} == {text: level for _, level, text in EDITS}


def require_token(spec: dict[str, Any]) -> None:
    spec["components"]["schemas"]["LoginReply"]["required"] = ["token"]


def send_json(spec: dict[str, Any]) -> None:
    content = operations(spec)["listCollectionDatasets"]["requestBody"]["content"]
    content["application/json"] = content.pop("application/x-www-form-urlencoded")


def send_the_reply(spec: dict[str, Any]) -> None:
    [content] = operations(spec)["login"]["requestBody"]["content"].values()
    content["schema"] = {"$ref": "#/components/schemas/LoginReply"}


@pytest.mark.parametrize(
    ("was", "now", "expected"),
    [
        (
            [],
            [require_token, send_json],
            {
                "field `token` of schema `LoginReply` is now required, used by login": COMPATIBLE,
                "`application/x-www-form-urlencoded` of request of `listCollectionDatasets` removed": BREAKING,
                "`application/json` of request of `listCollectionDatasets` added": COMPATIBLE,
            },
        ),
        (
            [require_token],
            [],
            {"field `token` of schema `LoginReply` is no longer required, used by login": BREAKING},
        ),
        (
            [send_the_reply],
            [send_the_reply, require_token],
            {"field `token` of schema `LoginReply` is now required, used by login": BREAKING},
        ),
    ],
)
def test_the_direction_of_a_schema_decides_its_level(
    was: list[Edit], now: list[Edit], expected: dict[str, Level]
) -> None:
    """A response may gain a required field and not lose it; a request, the reverse, also if a schema is used in both."""
    listed = changes(edited(SMALL, *was), edited(SMALL, *now))
    assert expected.items() <= {change.text: change.level for change in listed}.items()


def test_comments_and_the_version_are_not_changes() -> None:
    """A user does not notice them."""
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
    """Before 1.0, a break is a minor version and everything else a patch."""
    assert needed(was, level)[0] == version


def test_a_new_line_of_the_changelog_names_the_change() -> None:
    """The line is in the newest section, and not in the text of the last release."""

    def rest(change: Change, line: str | None) -> list[str]:
        old = Section("0.1.0", "", "- `getThing` is an old line")
        return unmentioned([change], [old], [Section("0.2.0", "", line), old] if line else [old])

    thing = Change(COMPATIBLE, "text", names=frozenset({"getThing"}))
    documentation = Change(DOCUMENTATION, "text")
    name = Change(COMPATIBLE, "text", names=frozenset({"name"}))
    assert rest(thing, None) == rest(documentation, None) == ["text"]
    assert rest(thing, "- getThings") == rest(name, "- The name of a thing.") == ["text"]
    assert not rest(thing, "- `getThing` gives a thing.")
    assert not rest(documentation, "- Clearer text.")
    assert not rest(name, "- `thing.name` is its name.")


@pytest.mark.parametrize(
    ("was", "low", "level", "version"),
    [
        ("0.1.0", "0.1.1", BREAKING, "0.2.0"),
        ("0.1.0", "0.1.0", COMPATIBLE, "0.1.1"),
        ("1.1.0", "1.1.1", COMPATIBLE, "1.2.0"),
    ],
)
def test_a_public_name_requires_a_version(was: str, low: str, level: Level, version: str) -> None:
    """A removed name and a new one do, even if the spec did not change."""
    public = [Change(level, "kayrros_ext.Results")]
    [complaint] = judge(Comparison(f"v{was}", was, low, [], public, []))
    assert f"write {version} or higher" in complaint
    assert not judge(Comparison(f"v{was}", was, version, [], public, []))


def git(checkout: Path, *arguments: str) -> None:
    settings = ("user.name=t", "user.email=t@example.com", "commit.gpgsign=false", "tag.gpgsign=false")
    options = [option for setting in settings for option in ("-c", setting)]
    subprocess.run(["git", *options, *arguments], cwd=checkout, check=True, capture_output=True)


def spec_diff(checkout: Path, *arguments: str, ci: str = "") -> "subprocess.CompletedProcess[str]":
    command = [PYTHON, "-m", "scripts.spec_diff", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(checkout), "CI": ci}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def link_tools(checkout: Path) -> None:
    for name in (".venv", "node_modules"):
        (checkout / name).symlink_to(ROOT / name)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the small spec, the scripts and a package of one class, not yet committed."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("redocly.yaml", "kayrros_ext/testing/node.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    files = {
        "openapi.yaml": SMALL,
        "CHANGELOG.md": FIRST,
        ".gitignore": ".venv\nnode_modules\n__pycache__\n",
        "pyproject.toml": '[project]\nname = "kayrros-ext"\nversion = "0.1.0"\n',
        "generated/kayrros_openapi/__init__.py": "",
        "kayrros_ext/__init__.py": '__all__ = ["Kayrros"]\n\nclass Kayrros:\n    def metadata(self): ...\n',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    link_tools(folder)
    git(folder, "init", "-q")
    return folder


def release(checkout: Path, *tags: str) -> None:
    git(checkout, "add", "--all")
    git(checkout, "commit", "-q", "-m", "A release")
    for tag in tags:
        git(checkout, "tag", tag)


@pytest.mark.slow
def test_against_the_last_release(checkout: Path) -> None:
    """Without a tag there is nothing to compare; with one, version and changelog must follow the changes."""
    first = spec_diff(checkout, "--check")
    assert (first.returncode, first.stdout[:14]) == (0, "No release yet")
    release(checkout, "v0.0.9", "v0.1.0")
    unchanged = spec_diff(checkout, "--check")
    assert (unchanged.returncode, unchanged.stderr) == (0, "")

    edit(checkout / "openapi.yaml", (PROCESSING, ""))
    edit(checkout / "kayrros_ext" / "__init__.py", ("def metadata", "def details"))
    failed = spec_diff(checkout, "--check")
    assert failed.returncode == 1
    for text in (
        "openapi.yaml since v0.1.0 (0.1.0):",
        "breaking: field `processing_name` of `DatasetMetadata` removed",
        "breaking: kayrros_ext.Kayrros.metadata: public object was removed",
        "compatible: kayrros_ext.Kayrros.details is new",
        "The version that follows: 0.2.0 (minor: before 1.0, for a break). The version now: 0.1.0.",
        "write 0.2.0 or higher into openapi.yaml, kayrros_ext/__init__.py and CHANGELOG.md",
        "CHANGELOG.md does not mention these changes.",
        "  - kayrros_ext.Kayrros.details is new",
    ):
        assert text in failed.stdout
    assert spec_diff(checkout, "HEAD").returncode == 0  # it judges only with --check

    edit(checkout / "openapi.yaml", ("  version: 0.1.0", "  version: 0.2.0"))
    edit(checkout / "CHANGELOG.md", ("## 0.1.0", "## 0.2.0, unreleased\n\n- `processing_name` is gone.\n\n## 0.1.0"))
    assert "Kayrros.details is new" in spec_diff(checkout, "--check").stdout.partition("does not mention")[2]
    edit(checkout / "CHANGELOG.md", ("is gone.\n", "is gone.\n- `metadata` is now `details`.\n"))
    passed = spec_diff(checkout, "--check")
    assert passed.returncode == 0, passed.stdout
    assert spec_diff(checkout, "no-such-ref").returncode == 2

    shutil.rmtree(checkout / ".git")
    assert spec_diff(checkout, "--check").returncode == 0


def test_a_release_without_a_tag_fails_in_ci(checkout: Path, tmp_path: Path) -> None:
    """Nothing was compared, so CI must not pass. The newest release has no tag before it is published."""
    edit(checkout / "CHANGELOG.md", ("## 0.1.0, unreleased", "## 0.1.0, 2026-01-01"))
    release(checkout)
    shallow, whole = tmp_path / "shallow", tmp_path / "whole"
    git(tmp_path, "clone", "-q", "--depth=1", checkout.as_uri(), str(shallow))
    git(tmp_path, "clone", "-q", checkout.as_uri(), str(whole))
    for clone in (shallow, whole):
        link_tools(clone)
    failed = spec_diff(shallow, "--check", ci="true")
    assert (failed.returncode, failed.stdout.splitlines()[0]) == (
        1,
        "CHANGELOG.md has a release without a tag here: v0.1.0.",
    )
    assert spec_diff(shallow, "--check").returncode == 0
    first = spec_diff(whole, "--check", ci="true")
    assert (first.returncode, first.stdout[:14]) == (0, "No release yet")

    edit(whole / "CHANGELOG.md", ("## 0.1.0", "## 0.2.0, unreleased\n\n## 0.1.0"))
    assert spec_diff(whole, "--check", ci="true").returncode == 1  # 0.1.0 was released, and has no tag
    git(whole, "tag", "v0.1.0")
    compared = spec_diff(whole, "--check", ci="true")
    assert (compared.returncode, compared.stdout[:25]) == (0, "openapi.yaml since v0.1.0")


def test_a_release_is_compared_with_the_one_before(checkout: Path) -> None:
    """Compared with itself it would always pass; a later edit is compared with the release."""
    release(checkout, "v0.1.0")
    edit(checkout / "openapi.yaml", VALUE)
    release(checkout, "v0.1.1")
    assert "openapi.yaml since v0.1.0 (0.1.0):" in spec_diff(checkout, "--check").stdout
    edit(checkout / "openapi.yaml", FIELD)
    assert "openapi.yaml since v0.1.1 (0.1.0):" in spec_diff(checkout, "--check").stdout
