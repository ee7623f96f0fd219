"""The pytest plugin and its documentation, as a user sees them who tests their own code."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "testing.md").read_text("utf-8")
# The first block; test_documentation.py runs the others.
[EXAMPLE] = re.findall(r"\A.*?^```python\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
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


def pytest_(folder: Path, *options: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest once for all files, because its start takes most of the time."""
    for name, code in files.items():
        (folder / f"test_{name}.py").write_text(code)
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-W", "error", *options)
    return run(folder, "-m", "pytest", *options)


def test_documented_example_passes_and_can_fail(tmp_path: Path) -> None:
    """It needs no network, settings or conftest. Each of its tests fails if its expectation is wrong, and no other does."""
    edits = {
        "id": ('== "tank-2"', '== "tank-1"'),
        "logins": ("logins == 2", "logins == 1"),
        "table": ("== before\n\n\ndef test_fails", "!= before\n\n\ndef test_fails"),
    }
    assert {EXAMPLE.count(right) for right, _ in edits.values()} == {1}
    examples = {"tanks": EXAMPLE, **{name: EXAMPLE.replace(*edit) for name, edit in edits.items()}}
    output = pytest_(tmp_path, **examples).stdout
    assert sorted(edits) == sorted(re.findall(r"^FAILED test_(\w+)\.py", output, re.MULTILINE)), output
    assert "3 failed, 13 passed" in output


def test_documentation_mentions_all_methods() -> None:
    """Every public method of the fake is mentioned; `handle` is for transports of other kinds."""
    from kayrros_ext.testing import Fault, Platform

    names = {name for name, value in vars(Platform).items() if inspect.isfunction(value)}
    names |= {name for name, value in vars(Fault).items() if isinstance(value, classmethod)}
    # `handle` is for transports of other kinds.
    assert {name for name in names if not name.startswith("_") and f"{name}(" not in DOCS} == {"handle"}


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


OWN = """
import pytest

@pytest.fixture
def kayrros(): return 1

def test_own(kayrros): assert kayrros == 1
"""


def test_fixtures_are_fresh_closed_and_overridable(tmp_path: Path) -> None:
    """Each test gets a fresh platform and a client that is closed; a project's own fixtures win."""
    done = pytest_(tmp_path, "-p", "no:randomly", isolated=ISOLATED, own=OWN)
    assert "5 passed" in done.stdout, done.stdout


def test_plugin_can_be_turned_off(tmp_path: Path) -> None:
    """Its fixtures do not exist with -p no:kayrros."""
    off = pytest_(tmp_path, "-p", "no:kayrros", off="def test(kayrros_platform): ...\n")
    assert "fixture 'kayrros_platform' not found" in off.stdout


def test_the_fake_needs_no_pytest(tmp_path: Path) -> None:
    """Only the fixtures do."""
    code = "import sys; sys.modules['pytest'] = None; from kayrros_ext.testing import Platform; Platform().generate()"
    assert run(tmp_path, "-c", code).returncode == 0
