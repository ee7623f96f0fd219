"""Completion in real shells, in which a user presses Tab. Names and ids come from a server, and never run."""

import os
import shutil
from pathlib import Path

import pytest

from kayrros_ext.cli.app import run
from kayrros_ext.testing import Platform
from tests.support.command import KAYRROS
from tests.support.shells import Shell

# A name that ran in zsh when it was offered as it is, one that is wrong markup, and a plain one.
NAMES = [r"\$(touch ran-1)", "[/x]", "Réservoirs de Fos"]
IDS = [f"{number}d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4" for number in range(len(NAMES))]


# zsh is the one of which a name ran.
@pytest.mark.parametrize("name", ["zsh", *(pytest.param(name, marks=pytest.mark.slow) for name in ("bash", "fish"))])
def test_names_of_a_server_never_run(name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are completed whatever their names are. An id that a shell would run is not offered."""
    if not shutil.which(name):
        pytest.skip(f"there is no {name}")
    platform = Platform()
    for id_, dataset_name in zip(IDS, NAMES, strict=True):
        values = {"2024-01-02": {"level": 1.0, "$(touch ran-3)": 1.0}}
        platform.add({"$(touch ran-4)": values, "tank-1": values}, id=id_, name=dataset_name)
    platform.add_collection("Oil storage", IDS, id="oil")
    platform.add_collection("Gas", [], id="gas;touch${IFS}ran-2")
    monkeypatch.setenv("PATH", f"{KAYRROS.parent}{os.pathsep}{os.environ['PATH']}")
    with platform.serve() as url:
        for variable, value in platform.environment(url).items():
            monkeypatch.setenv(variable, value)
        commands = ["collections"], ["datasets", "oil"], ["results", IDS[0]]
        assert [run([*command, "-q"]) for command in commands] == [0, 0, 0]
        with Shell(name, {**os.environ}, tmp_path) as shell:
            for id_ in IDS:
                shell.press(f"kayrros metadata {id_[:3]}\t")
                assert id_[3:] in shell.wait_for(id_[3:]), id_
                shell.press("\x15")  # deletes the line
            for option, value in (("asset", "tank-1"), ("metric", "level")):
                shell.press(f"kayrros results {IDS[0]} --{option} \t")
                assert value in shell.wait_for(value)
                shell.press("\x15")
            shell.press("kayrros datasets gas\t\r")
            assert "0 datasets" in shell.wait_for("0 datasets")
            shell.press("echo do''ne\r")
            assert "done" in shell.wait_for("done")
    assert not list(tmp_path.glob("ran*"))
