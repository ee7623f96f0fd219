"""The make targets, the demo, the README, and addresses that must not be in the repository."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kayrros_ext.testing import PrismMock
from tests.support.checkout import IN_BACKGROUND, ROOT
from tests.support.pages import Block, blocks, run_python

README = (ROOT / "README.md").read_text("utf-8")


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def planned(target: str) -> str:
    """Return the commands that `make` would run for a target."""
    return subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_make_lists_its_targets() -> None:
    """`make` alone prints each target with its purpose, and installs nothing."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+) +\S", listed, re.MULTILINE) == targets()
    assert set(targets()) >= {"setup", "demo", "test", "test-slow", "check", "generate", "mock", "dist"}


def test_check_runs_every_linter() -> None:
    """`make check` runs lint, format, types, import layers, prose, the linters of the spec and a check of the code."""
    commands = planned("check")
    for command in (
        *("ruff check .", "ruff format --check .", "mypy", "lint-imports", "scripts.prose", "lint_spec"),
        *("scripts/generate.py --check", "scripts.versions", "scripts.spec_diff --check"),
    ):
        assert command in commands
    assert "recommended" in (ROOT / "redocly.yaml").read_text()


def test_ci_runs_every_test() -> None:
    """CI runs the checks and all three groups of tests, and stops at the first failure."""
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    commands = re.findall(r"^(?:CI=true )?(make .*)$", script, re.MULTILINE)
    tests = {
        "make test",
        "make test-slow",
        "make test-pythons",
        "make test-foreign",
        "make test-cluster",
        "make test-docs",
    }
    assert set(commands) >= {"make check", "make audit", *tests}


def test_workflows_pin_actions_by_commit() -> None:
    """A tag can be moved to other code; a comment names the version of the commit. One job audits with a database."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    example = (ROOT / "examples" / "nightly-export.yml").read_text()
    uses = re.findall(r"uses: (.*)", workflow + example)
    assert uses
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", action) for action in uses)
    assert "make audit ARGS=--strict" in workflow


def test_each_marker_that_is_deselected_has_a_target() -> None:
    """No test is left out for good: what plain pytest leaves out, a target of its own runs."""
    options = (ROOT / "pyproject.toml").read_text()
    assert '"-m", "not slow and not site and not live and not cluster"' in options
    assert "-m slow" in planned("test-slow")
    assert "-m site" in planned("test-docs")
    assert "-m live" in planned("verify-live")
    assert "-m cluster" in planned("test-cluster")


def test_tests_in_the_background_start_processes_with_default_signals() -> None:
    """`make test &` in a script passes: the processes that a test starts do not ignore Ctrl-C."""
    code = "import signal, tests.conftest; print(signal.getsignal(signal.SIGINT))"
    run = subprocess.run(
        [*IN_BACKGROUND, sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith("<built-in function default_int_handler>")


def test_mock_listens_on_4010() -> None:
    """`make mock` uses port 4010 by default."""
    assert "--port 4010" in planned("mock")


def test_setup_says_nothing_wrong_about_an_old_node(tmp_path: Path) -> None:
    """`make setup` installs a Node if the machine has an old one, so its search does not advise to run `make setup`."""
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v20.1.0 $0\n")
        (tmp_path / name).chmod(0o755)
    python = Path(sys.executable).resolve()  # not that of .venv, which may have a Node
    variables = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    search = subprocess.run(
        [python, "scripts/node_folder.py"], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert (search.returncode, search.stdout, search.stderr) == (1, "", "")


def test_installed_packages_are_locked() -> None:
    """Each pip and npm install of the setup checks hashes, and no package runs code when it is installed."""
    setup = (ROOT / "scripts" / "setup.py").read_text()
    assert setup.count('"--require-hashes"') == setup.count('"--requirement"') == 3
    assert '"ci", "--include=dev", "--ignore-scripts"' in setup
    assert "ignore-scripts=true" in (ROOT / ".npmrc").read_text()
    for name in ("base", "dev", "node", "docs", "oldest", "lock"):
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE)
        assert pins
        assert len(pins) <= lock.count("--hash=sha256:")


def test_readme_names_existing_targets() -> None:
    """Each `make target` of the README exists."""
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(targets())


def test_demo_shows_data(tmp_path: Path) -> None:
    """The demo prints metadata, a table, a chart and the path of a file, and stops its mock."""
    demo = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert demo.stderr == ""
    for text in ("sharedOption", "stored_volume_bbl", "demo-output/", "The mock is stopped"):
        assert text in demo.stdout
    assert re.search(r"\d+ rows, \d+ assets", demo.stdout)
    assert re.search(r"│ .+ │ 2024-01-02 │ stored_volume_bbl │ [\d.]+ │", demo.stdout)
    [file] = (tmp_path / "demo-output").iterdir()
    assert file.stat().st_size


@pytest.mark.parametrize("block", blocks("README.md", "python"), ids=lambda block: block.place)
def test_readme_code_runs(
    block: Block, mock: PrismMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each block runs on its own against the examples of openapi.yaml, too, in an empty directory."""
    for name, value in mock.settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert run_python(block.code, tmp_path) == 0
    assert capfd.readouterr().err == ""


def test_no_file_names_a_registry() -> None:
    """The locks install from the index that the machine is configured for."""
    hosts = "|".join(
        re.escape(a + b) for a, b in [("pypi", ".org"), ("pythonhosted", ".org"), ("npmjs", ".org"), ("npmjs", ".com")]
    )
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        assert not re.search(hosts, (ROOT / name).read_text("utf-8", "ignore")), name
