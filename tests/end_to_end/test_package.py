"""The wheel is built, installed in an empty environment away from the checkout, and used."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from kayrros_ext.testing import PrismMock
from tests.support.checkout import ROOT
from tests.support.server import DATASET

pytestmark = pytest.mark.slow

# `make setup` saves the wheels of the base install here, so that no test needs a network.
WHEELS = Path(sys.prefix) / "wheels"

USE = f"""
import logging, pathlib, sys
import kayrros_openapi, kayrros_ext
from kayrros_ext import Kayrros
for package in (kayrros_openapi, kayrros_ext):
    assert pathlib.Path(sys.prefix) in pathlib.Path(package.__file__).parents, package.__file__
with Kayrros() as kayrros:
    assert kayrros.metadata("{DATASET}").name
    assert kayrros.results("{DATASET}").table.num_rows
    path = kayrros.download("{DATASET}", "data")
    assert pathlib.Path(path).stat().st_size
from kayrros_ext.testing import Platform
platform = Platform()
with platform.connect() as kayrros:
    print(kayrros.results(platform.generate().id).table.num_rows)
try:
    import kayrros_ext.testing.plugin
except ModuleNotFoundError as error:
    print("kayrros-ext[testing]" in str(error))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make dist` does, from a copy, so that the checkout stays clean."""
    copy = tmp_path_factory.mktemp("source") / "checkout"
    ignored = shutil.ignore_patterns(".git", ".venv", "node_modules", "dist", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, copy, ignore=ignored)
    subprocess.run([Path(sys.executable).parent / "hatchling", "build"], cwd=copy, check=True, capture_output=True)
    [built] = (copy / "dist").glob("*.whl")
    assert list((copy / "dist").glob("*.tar.gz"))
    return built


def test_wheel_holds_two_typed_packages_and_nothing_else(wheel: Path) -> None:
    """The wheel contains no tests, no scripts and no spec tools."""
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"kayrros_openapi", "kayrros_ext"}
    assert {"kayrros_openapi/py.typed", "kayrros_ext/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    [points] = [name for name in names if name.endswith("entry_points.txt")]
    assert "[pytest11]\nkayrros = kayrros_ext.testing.plugin" in zipfile.ZipFile(wheel).read(points).decode()


def test_wheel_works_away_from_the_checkout(wheel: Path, mock: PrismMock, tmp_path: Path) -> None:
    """The base install alone gives metadata, a table and a file from the mock, and a table from the fake."""
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    install: list[str | Path] = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", WHEELS, wheel]
    subprocess.run([python, *install], check=True, env=environment, cwd=tmp_path)
    used = subprocess.run(
        [python, "-W", "error", "-c", USE],
        env={**environment, **mock.settings},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert used.stderr == ""
    # The last line: without pytest, the fixtures of the fake name the extra to install.
    assert used.stdout.splitlines() == ["144", "True"]
