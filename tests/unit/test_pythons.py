"""`make test-pythons` finds each Python of the machine once, and reports each result."""

from pathlib import Path

import pytest

from scripts import pythons


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a machine without Pythons but for those that a test puts there."""
    monkeypatch.setattr(pythons, "SYSTEM", tmp_path / "usr")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{tmp_path}/pyenv/shims")
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.argv", ["pythons"])
    return tmp_path


def put(file: Path, version: str, rest: str = "") -> None:
    """Write a program that gives a version, and does the rest with other arguments."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'#!/bin/sh\ncase "$*" in *python_version*) echo "{version}";; *) {rest or ":"};; esac\n')
    file.chmod(0o755)


def test_each_version_is_found_once(machine: Path) -> None:
    """It looks in the system's folder, on the PATH and in pyenv; what is older, no release or does not run is left out."""
    put(machine / "usr" / "python3.11", "3.11.2")
    put(machine / "usr" / "python3.10", "3.10.1")
    put(machine / "usr" / "python3.11-config", "3.11.9")
    put(machine / "bin" / "python3.11", "3.11.2")
    put(machine / "bin" / "python3.15", "")  # prints nothing: it is no release
    put(machine / "pyenv" / "shims" / "python3.13", "3.13.9")
    put(machine / "pyenv" / "versions" / "3.13.0" / "bin" / "python3.13", "3.13.0")
    put(machine / "home" / ".pyenv" / "versions" / "3.9" / "bin" / "python3.9", "3.9.0")
    put(machine / "home" / ".pyenv" / "versions" / "3.12" / "bin" / "python3.12", "3.12.10")
    (machine / "bin" / "python3.14").symlink_to("gone")
    assert list(pythons.installed().items()) == [
        ("3.11.2", machine / "usr" / "python3.11"),
        ("3.12.10", machine / "home" / ".pyenv" / "versions" / "3.12" / "bin" / "python3.12"),
        ("3.13.0", machine / "pyenv" / "versions" / "3.13.0" / "bin" / "python3.13"),
    ]


def test_a_python_that_fails_fails_the_run(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The output of the failed command is shown, and the next Python is tested."""
    monkeypatch.setattr(pythons, "ROOT", machine)
    put(machine / "usr" / "python3.11", "3.11.98", 'case "$*" in *venv*) echo boom; exit 3;; esac')
    put(machine / "usr" / "python3.12", "3.12.98", "exit 1")
    assert pythons.main() == 1
    output = capsys.readouterr().out
    assert output.startswith("Pythons of this machine: 3.11.98 (")
    assert "boom\n" in output
    assert "3.11.98: FAILED, see above" in output
    assert "3.12.98: NOT TESTED, because it has no ensurepip (on Debian: apt install python3.12-venv)" in output
