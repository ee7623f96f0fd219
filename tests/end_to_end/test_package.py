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
from tests.support.checkout import ROOT, copy_checkout
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
from kayrros_ext.testing import Platform, prism_mock
from kayrros_ext.testing.prism import find_spec
assert pathlib.Path(sys.prefix) in find_spec().parents
with prism_mock() as mock, Kayrros(base_url=mock.url, auth_url=mock.url) as kayrros:
    assert kayrros.metadata("{DATASET}").name
platform = Platform()
with platform.connect() as kayrros:
    print(kayrros.results(platform.generate().id).table.num_rows)
"""


# Files that may lie in a checkout and must not be published.
STRAY = [
    *(
        ".env",
        ".netrc",
        ".tanks.csv.part",
        ".tanks.csv.part.json",
        ".client.py.swp",
        ".#client.py",
        "#client.py#",
        "client.py~",
    ),
    *(
        "client.py.orig",
        "tanks.csv",
        "results.parquet",
        "credentials.json",
        "config.toml",
        "key.pem",
        ".old.py",
        "core",
    ),
    *(
        "__pycache__/client.cpython-311.pyc",
        ".ipynb_checkpoints/client.py",
        ".idea/workspace.xml",
        "demo-output/tanks.json",
    ),
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build as `make dist` does, from a copy of the files of git in which other files lie around."""
    checkout = copy_checkout(tmp_path_factory.mktemp("source") / "checkout")
    for folder in (".", "kayrros_ext", "kayrros_ext/testing", "generated", "generated/kayrros_openapi/models", "docs"):
        for name in STRAY:
            file = checkout / folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text("secret")
    subprocess.run([Path(sys.executable).parent / "hatchling", "build"], cwd=checkout, check=True, capture_output=True)
    return checkout / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    [built] = dist.glob("*.whl")
    return built


def tracked(*folders: str) -> set[str]:
    """Return the files of git below some folders."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in listed if name and (ROOT / name).is_file()}


def test_wheel_holds_two_typed_packages_and_nothing_else(wheel: Path) -> None:
    """The wheel contains each file of the two packages and the spec, and no other file that lies in their folders."""
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {name for name in names if ".dist-info/" not in name}
    sources = {name.removeprefix("generated/") for name in tracked("kayrros_ext", "generated/kayrros_openapi")}
    assert files == {*sources, "kayrros_openapi/openapi.yaml"}
    assert {"kayrros_openapi/py.typed", "kayrros_ext/py.typed"} <= files
    spec = zipfile.ZipFile(wheel).read("kayrros_openapi/openapi.yaml")
    assert spec == (ROOT / "openapi.yaml").read_bytes()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    [points] = [name for name in names if name.endswith("entry_points.txt")]
    assert "[pytest11]\nkayrros = kayrros_ext.testing.plugin" in zipfile.ZipFile(wheel).read(points).decode()


def test_sdist_holds_sources_and_nothing_else(dist: Path, wheel: Path, tmp_path: Path) -> None:
    """The sdist contains files of git alone, and gives the same wheel."""
    [sdist] = dist.glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path)
    [folder] = tmp_path.iterdir()
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names - tracked() == {"PKG-INFO"}
    assert names >= tracked("kayrros_ext", "generated", "openapi.yaml", "docs/*.md", "LICENSE")
    hatchling = Path(sys.executable).parent / "hatchling"
    subprocess.run([hatchling, "build", "-t", "wheel"], cwd=folder, check=True, capture_output=True)
    [again] = (folder / "dist").glob("*.whl")
    assert sorted(zipfile.ZipFile(again).namelist()) == sorted(zipfile.ZipFile(wheel).namelist())


def test_wheel_works_away_from_the_checkout(wheel: Path, mock: PrismMock, tmp_path: Path) -> None:
    """The base install alone gives metadata, a table and a file from the mock, and a table from the fake.

    With a Node and a `prism` on the PATH, it serves the mock itself.
    """
    venv.create(tmp_path / "env", with_pip=True, symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    install: list[str | Path] = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", WHEELS, wheel]
    subprocess.run([python, *install], check=True, env=environment, cwd=tmp_path)
    prism = ROOT / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
    (tmp_path / "env" / "bin" / "prism").symlink_to(prism)
    path = os.pathsep.join([str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    used = subprocess.run(
        [python, "-W", "error", "-c", USE],
        env={**environment, **mock.settings, "PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert used.stderr == ""
    assert used.stdout == "144\n"
