"""The package without its metadata, as in a zipapp or PyInstaller, and without docstrings."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from kayrros_ext import __version__
from scripts.cli_reference import reference
from tests.support.checkout import ROOT

USE = """
import sys
sys.path[:0] = sys.argv[1:]
import kayrros_ext, kayrros_ext.cli
assert ".zip" in kayrros_ext.__file__
from kayrros_ext.testing import Platform
platform = Platform()
dataset = platform.generate()
with platform.connect() as kayrros:
    assert kayrros.results(dataset.id).table.num_rows
assert f"kayrros-ext/{kayrros_ext.__version__} " in platform.requests[-1].headers["user-agent"]
sys.argv[1:] = ["--version"]
sys.exit(kayrros_ext.cli.main())
"""


@pytest.fixture
def dependencies(tmp_path: Path) -> Path:
    """Link to all installed packages but ours, whose metadata would be there, too."""
    folder = tmp_path / "dependencies"
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "kayrros" not in path.name:
            (folder / path.name).symlink_to(path)
    return folder


def test_a_zip_without_metadata_works(dependencies: Path, tmp_path: Path) -> None:
    """Import, calls, User-Agent and `kayrros --version` need no metadata of the distribution, and no folder."""
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as app:
        for package in (ROOT / "kayrros_ext", ROOT / "generated" / "kayrros_openapi"):
            for path in package.rglob("*"):
                if path.is_file() and path.suffix != ".pyc":
                    app.write(path, path.relative_to(package.parent))
    command = [sys.executable, "-I", "-S", "-c", USE, str(archive), str(dependencies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (f"kayrros-ext {__version__}\n", "")


def test_help_needs_no_docstrings() -> None:
    """`python -OO` strips docstrings; the help of each command is the same as with them."""
    environment = {**os.environ, "PYTHONOPTIMIZE": "2"}
    command = [sys.executable, "-c", "import scripts.cli_reference as page; print(page.reference(), end='')"]
    stripped = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert stripped == reference()
    assert "None" not in stripped
