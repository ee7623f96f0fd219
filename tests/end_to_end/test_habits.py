"""The habits of the project: what `make` lists, the demo, the README, and what must not be in the repository."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kayrros_ext.testing import PrismMock

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def targets() -> list[str]:
    return re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_make_alone_lists_the_targets() -> None:
    """Each with what it is for, and nothing is set up for that."""
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets() == re.findall(r"^  make ([a-z-]+) +\S", listed, re.MULTILINE)
    assert {"setup", "demo", "test", "check", "generate", "mock", "dist"} <= set(targets())


def planned(target: str) -> str:
    """The commands of a target, as `make` would run them."""
    return subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_check_checks_everything() -> None:
    """Lint, format, types, the spec by three linters, and the generated code."""
    commands = planned("check")
    for part in (
        *(
            "ruff check .",
            "ruff format --check .",
            "mypy",
            "redocly lint openapi.yaml",
            "openapi-spec-validator openapi.yaml",
        ),
        *("scripts/lint_spec.py", "scripts/generate.py --check"),
    ):
        assert part in commands
    assert "recommended" in (ROOT / "redocly.yaml").read_text()


def test_ci_runs_what_the_readme_says() -> None:
    """`make check`, `make test` and `make test-docs`, and stops where one fails."""
    script = (ROOT / ".ci" / "run").read_text()
    assert "set -euo pipefail" in script
    assert ["make check", "make test", "make test-docs"] == re.findall(
        r"^(?:CI=true )?(make .*)$", script, re.MULTILINE
    )


def test_the_mock_listens_where_it_is_said_to() -> None:
    """On 4010 unless PORT says otherwise."""
    assert "--port 4010" in planned("mock")


def test_what_is_installed_is_what_is_locked() -> None:
    """Every pip and npm of the setup takes hashes, and no package runs code of its own at install."""
    setup = (ROOT / "scripts" / "setup.py").read_text()
    assert 3 == setup.count('"--require-hashes"') == setup.count('"--requirement"')
    assert '"ci", "--include=dev", "--ignore-scripts"' in setup
    assert "ignore-scripts=true" in (ROOT / ".npmrc").read_text()
    for name in ("base", "dev", "node", "docs", "oldest", "lock"):
        lock = (ROOT / "requirements" / f"{name}.txt").read_text()
        pins = re.findall(r"^[a-z0-9-]+==", lock, re.MULTILINE)
        assert pins
        assert len(pins) <= lock.count("--hash=sha256:")


def test_the_readme_names_targets_that_exist() -> None:
    """Every `make target` of the README is one."""
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.MULTILINE))
    assert named
    assert named <= set(targets())


def test_the_demo_shows_data(tmp_path: Path) -> None:
    """Steps, metadata, a table, a chart, where the file went, and that the mock is stopped."""
    demo = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "" == demo.stderr
    for shown in (
        "sharedOption       SHARED",
        "(2024-01-02)",
        "│ Cushing TK-101 │ Cushing North Terminal │ 2024-01-02 │ stored_volume_bbl │ 339318.887 │",
        "72 rows, 6 assets",
        "Cushing TK-101: stored_volume_bbl",
        "demo-output/crude-terminals.csv",
        "The mock is stopped",
    ):
        assert shown in demo.stdout
    assert (tmp_path / "demo-output" / "crude-terminals.csv").is_file()


BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_the_code_of_the_readme_runs(
    code: str, mock: PrismMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block on its own, in an empty directory, against the mock."""
    for name, value in mock.settings.items():
        monkeypatch.setenv(name, value)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert 0 == run.returncode, run.stderr


def test_no_registry_is_named_in_any_file() -> None:
    """Locks install from whichever index the machine is set up for."""
    hosts = "|".join(
        re.escape(a + b) for a, b in [("pypi", ".org"), ("pythonhosted", ".org"), ("npmjs", ".org"), ("npmjs", ".com")]
    )
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        assert not re.search(hosts, (ROOT / name).read_text("utf-8", "ignore")), name
