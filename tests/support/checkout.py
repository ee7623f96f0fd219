"""Editable copies of the checkout, with the files that git tracks and links to the installed packages."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A spec for tests that edit one, so that they do not depend on the text of the real spec.
SMALL = (ROOT / "tests" / "data" / "small.yaml").read_text("utf-8")
FIRST = "# Changelog\n\n## 0.1.0, unreleased\n\n- All that there is.\n"


def copy_checkout(target: Path) -> Path:
    """Copy the checkout; commands started by `run` import the packages of the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((ROOT / name).read_bytes())
    for name in (".venv", "node_modules"):
        (target / name).symlink_to(ROOT / name)
    return target


def small_checkout(target: Path) -> Path:
    """Copy the checkout with the small spec at its first version; the client is still generated from the real spec."""
    copy_checkout(target)
    (target / "openapi.yaml").write_text(SMALL, "utf-8")
    (target / "CHANGELOG.md").write_text(FIRST, "utf-8")
    return target


def edit(file: Path, *edits: tuple[str, str]) -> str:
    """Replace the first occurrence of each text; return the former content."""
    before = after = file.read_text("utf-8")
    for old, new in edits:
        assert old in after, old
        after = after.replace(old, new, 1)
    file.write_text(after, "utf-8")
    return before


def run(checkout: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command in the copy, with the packages of the copy."""
    return subprocess.run(
        command, cwd=checkout, env=environment(checkout), capture_output=True, text=True, check=False, timeout=120
    )


def environment(checkout: Path) -> dict[str, str]:
    path = os.pathsep.join([str(checkout / "generated"), str(checkout)])
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


PYTHON = sys.executable
# Starts a command as a script does that puts it into the background, under nohup.
IN_BACKGROUND = ("sh", "-c", """trap '' INT HUP; exec "$@" """, "sh")

# Edits that a maintainer could make: a field, a value and an operation, each with its provenance.
FIELD = (
    "        asset_count:\n",
    "        nickname:\n          type: [string, 'null']\n          x-provenance: observed\n          description: N.\n"
    "        asset_count:\n",
)
EXAMPLE = (
    "                    asset_count: 6\n",
    "                    asset_count: 6\n                    nickname: tanks\n",
)
VALUE = (
    "      x-provenance: reference (the values), assumed (the name)\n      type: string\n      enum: [OWNED,",
    "      x-provenance: reference (the values), assumed (the name), observed (OPEN)\n"
    "      type: string\n      enum: [OPEN, OWNED,",
)
OPERATION = (
    "  /v1/processingresult/dataset/{datasetId}:\n",
    """  /v1/test/asset/{assetId}:
    get:
      operationId: getTestAsset
      summary: Get an asset
      description: One asset.
      tags: [datasets]
      x-provenance: {path: observed, status: assumed, body: observed}
      parameters:
        - {name: assetId, in: path, required: true, description: Id, schema: {type: string}, example: tank-1}
        - {name: pageSize, in: query, description: Size, schema: {type: integer}, example: 5}
      responses:
        '200':
          description: OK. The assets.
          content:
            application/json:
              schema: {type: array, items: {$ref: '#/components/schemas/AssetResult'}}
              example: [{asset_id: tank-1, asset_version: 3}]
        '404':
          $ref: '#/components/responses/NotFound'

  /v1/processingresult/dataset/{datasetId}:
""",
)
