"""The pytest plugin and its documentation: what a user sees who tests code of their own with it."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "testing.md").read_text("utf-8")
EXAMPLE, *OTHERS = re.findall(r"^```python\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
# Nobody is there: a request that left the process would fail.
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:1")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "KAYRROS"))}
    clean = theirs | {
        name: os.environ[name] for name in ("KAYRROS_CONFIG", "KAYRROS_CACHE_DIR")
    }  # no user's of the machine
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**clean, **NO_NETWORK},
        capture_output=True,
        text=True,
        check=False,
    )


def pytest_(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_tanks.py").write_text(code)
    return run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-W", "error", *options)


def test_the_example_of_the_documentation_passes(tmp_path: Path) -> None:
    """As a user has it: in an empty directory, with no network, no settings and no conftest."""
    done = pytest_(tmp_path, EXAMPLE)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('== "tank-2"', '== "tank-1"'), ("logins == 2", "logins == 1"), ("== before\n\n\ndef", "!= before\n\n\ndef")],
)
def test_the_example_can_fail(right: str, wrong: str, tmp_path: Path) -> None:
    """Each of its tests does, when what it expects is wrong."""
    assert 1 == EXAMPLE.count(right)
    assert "1 failed, 3 passed" in pytest_(tmp_path, EXAMPLE.replace(right, wrong)).stdout


@pytest.mark.parametrize("code", OTHERS)
def test_the_other_code_of_the_documentation_runs(code: str, tmp_path: Path) -> None:
    """Each block on its own."""
    done = run(tmp_path, "-W", "error", "-c", code)
    assert 0 == done.returncode, done.stderr


def test_the_documentation_names_what_there_is() -> None:
    """Every public name of the fake has its place there."""
    from kayrros_ext.testing import Fault, Platform

    names = {name for kind in Platform.__mro__[:2] for name, value in vars(kind).items() if inspect.isfunction(value)}
    names |= {name for name, value in vars(Fault).items() if isinstance(value, classmethod)}
    # `handle` is for transports of other kinds.
    assert {"handle"} == {name for name in names if not name.startswith("_") and f"{name}(" not in DOCS}


ISOLATED = """
import pytest
from kayrros_ext import Kayrros
from kayrros_ext.testing import Platform

@pytest.mark.parametrize("again", [1, 2])
def test_each_test_has_a_platform_of_its_own(kayrros: Kayrros, kayrros_platform: Platform, again: int) -> None:
    [dataset] = kayrros_platform.datasets.values()
    assert (6, 144) == (kayrros.metadata(dataset.id).asset_count, kayrros.results(dataset.id).table.num_rows)
    assert kayrros_platform.logins == 1
    kayrros_platform.add({})

closed = []

@pytest.fixture
def after(kayrros: Kayrros):
    closed.append(kayrros)

def test_a(after) -> None: ...

def test_b() -> None:
    from kayrros_ext import UsageError
    with pytest.raises(UsageError, match="closed"):
        closed[0].metadata("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
"""


def test_the_fixtures_are_fresh_and_closed(tmp_path: Path) -> None:
    """For each test."""
    done = pytest_(tmp_path, ISOLATED, "-p", "no:randomly")
    assert "4 passed" in done.stdout, done.stdout


def test_fixtures_of_a_project_win_and_the_plugin_can_be_turned_off(tmp_path: Path) -> None:
    """Ours stand back."""
    own = "import pytest\n@pytest.fixture\ndef kayrros(): return 1\ndef test(kayrros): assert kayrros == 1\n"
    assert "1 passed" in pytest_(tmp_path, own).stdout
    off = pytest_(tmp_path, "def test(kayrros_platform): ...\n", "-p", "no:kayrros")
    assert "fixture 'kayrros_platform' not found" in off.stdout


def test_without_pytest_the_fixtures_say_what_to_install(tmp_path: Path) -> None:
    """And the fake itself works."""
    code = "import sys; sys.modules['pytest'] = None\n"
    done = run(tmp_path, "-c", code + "import kayrros_ext.testing.plugin")
    assert 'pip install "kayrros-client[testing]"' in done.stderr
    assert 0 == run(tmp_path, "-c", code + "from kayrros_ext.testing import Platform; Platform().generate()").returncode
