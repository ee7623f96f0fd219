"""Every code block of the documentation runs, and prints what the page says."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kayrros_ext.testing import Platform
from tests.support.checkout import ROOT
from tests.support.pages import PAGES, Block, blocks

# The README runs on the mock (test_habits.py), and what is a file of tests is one (test_testing.py).
PYTHON = [
    block
    for page in PAGES
    if page != "README.md"
    for block in blocks(page, "python")
    if "\ndef test_" not in block.code
]
SHELL = [block for page in PAGES for block in blocks(page, "sh")]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
# What a reader's shell has, and commands that come with what the block before them installs.
KNOWN = {"export", "read", "keyring", "pip", "kayrros", "chmod", "docker"}


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """Variables that point to a fake with the datasets of openapi.yaml."""
    platform = Platform()
    platform.add_examples()
    with platform.serve() as url:
        yield platform.environment(url)


def run_here(script: Path) -> int:
    """As `python script` would, without the price of a new process; its exit status."""
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_the_code_runs(
    block: Block,
    served: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Each block on its own, in an empty directory, with warnings as errors."""
    for name, value in served.items():
        monkeypatch.setenv(name, value)
    script = tmp_path / "recipe.py"
    script.write_text(block.code, "utf-8")
    monkeypatch.chdir(tmp_path)
    if "__main__" in block.code:  # it starts processes, which import it
        status = subprocess.run([sys.executable, "-W", "error", script], check=False).returncode
    else:
        status = run_here(script)
    out, err = capfd.readouterr()
    assert (block.status, "") == (status, err)
    if block.printed is not None:
        assert block.printed == out


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_the_commands_exist(block: Block) -> None:
    """A target of make is one, and any other command is one that the reader has or has just installed."""
    subprocess.run(["sh", "-n"], input=block.code, text=True, check=True, capture_output=True)
    for line in block.code.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\||;", line.partition(" #")[0]):
            words = [word for word in command.split() if "=" not in word]
            if words and words[0] == "make":
                assert set(words[1:]) <= TARGETS, line
            elif words and not line.startswith("#"):
                assert words[0] in KNOWN or shutil.which(words[0]), line


@pytest.mark.parametrize("block", [one for one in SHELL if "\nkayrros " in one.code], ids=lambda block: block.place)
def test_the_commands_run(block: Block, served: dict[str, str], tmp_path: Path) -> None:
    """Those of kayrros, in a shell that stops at the first that fails. What installs it before them is done here."""
    done = tmp_path / "done"
    done.mkdir()
    for name in ("pip", *(() if shutil.which("jq") else ("jq",))):
        (done / name).write_text(f"#!/bin/sh\n{'cat' if name == 'jq' else ':'}\n", "utf-8")
        (done / name).chmod(0o755)
    path = os.pathsep.join([str(done), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **served, "PATH": path, "HOME": str(tmp_path)}
    run = subprocess.run(
        ["sh", "-euc", block.code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert 0 == run.returncode, run.stderr
    written = re.findall(r"-o (\S+)", re.sub(r" #.*", "", block.code))
    assert written == [path.name for path in tmp_path.glob("*.parquet")]


def test_every_python_block_is_one_of_these() -> None:
    """None is passed over for the way it is written: as many fences as blocks."""
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        assert len(re.findall(r"^ *(?:```|~~~) *(?:python|py)\b", text, re.MULTILINE)) == len(blocks(page, "python")), (
            page
        )


def test_links_between_files_lead_somewhere() -> None:
    """Every relative link of a page, to a file that is there. The headings are checked where the site is built."""
    for page in PAGES:
        folder = (ROOT / page).parent
        for target in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8")):
            assert (folder / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_runs_and_holds_no_outputs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code from top to bottom, with no account and no network; `make test-docs` runs it in a kernel."""
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert [(None, [])] * len(cells) == [(cell["execution_count"], cell["outputs"]) for cell in cells]
    script = tmp_path / "notebook.py"
    script.write_text("\n".join("".join(cell["source"]) for cell in cells), "utf-8")
    monkeypatch.chdir(tmp_path)
    assert 0 == run_here(script)


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_ci_calls_targets_alone(path: Path) -> None:
    """What it runs is a target that there is, so that anybody can run it; the Pythons are those that we name."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    steps = [step["run"].partition(" #")[0].strip() for job in jobs.values() for step in job["steps"] if "run" in step]
    assert {"make check", "make test", "make test-oldest", "make test-docs"} <= set(steps)
    assert {f"make {target}" for target in TARGETS} >= set(steps)
    assert ["3.11", "3.12", "3.13", "3.14"] == jobs["test"]["strategy"]["matrix"]["python"]
