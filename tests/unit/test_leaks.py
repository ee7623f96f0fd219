"""The scan for secrets (tests/support/leaks.py) reports each planted leak."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.leaks import PASSWORD, TOKEN, files_with_secrets, shows_a_secret

ROOT = Path(__file__).parents[2]

CONFTEST = """
from tests.conftest import home
from tests.support.leaks import no_secret_leaks, pytest_runtest_makereport
"""

PLANTS = """
import base64, json, logging, subprocess, sys
import pytest
from kayrros_ext._secret import Secret
from tests.support.leaks import PASSWORD, TOKEN

def test_leak_printed(): print("password:", PASSWORD)
def test_leak_printed_as_error(): print(TOKEN, file=sys.stderr)
def test_leak_read(capsys):
    print(TOKEN)
    assert TOKEN in capsys.readouterr().out
def test_leak_run(): subprocess.run([sys.executable, "-c", f"print({PASSWORD!r})"], capture_output=True)
def test_leak_logged(): logging.getLogger("kayrros_ext").debug("with %s", PASSWORD)
def test_leak_logged_as_extra(): logging.getLogger("x").info("text", extra={"account": {"password": PASSWORD}})
def test_leak_logged_in_a_traceback():
    try:
        raise ValueError(TOKEN)
    except ValueError:
        logging.getLogger("x").exception("text")
def test_leak_written(tmp_path): (tmp_path / "results.json").write_text(json.dumps({"token": TOKEN}))
def test_leak_written_in_a_name(tmp_path): (tmp_path / TOKEN).touch()
def test_leak_written_at_home(home): (home / "cache").write_text(PASSWORD)
def test_leak_encoded(tmp_path): (tmp_path / "x").write_bytes(base64.b64encode(f"someone@example.com:{PASSWORD}".encode()))
def test_leak_of_the_fake():
    from kayrros_ext.testing import Platform
    print(Platform().give_token())
@pytest.mark.holds_secrets("other.toml")
def test_leak_in_another_file_than_the_allowed_one(tmp_path): (tmp_path / "config.toml").write_text(PASSWORD)

@pytest.mark.holds_secrets("config.toml")
def test_clean_in_an_allowed_file(tmp_path): (tmp_path / "config.toml").write_text(PASSWORD)
def test_clean_as_a_secret(caplog):
    print(Secret(PASSWORD), {"token": Secret(TOKEN)})
    logging.getLogger("x").warning("with %s", Secret(PASSWORD), extra={"token": Secret(TOKEN)})
"""


def test_each_planted_leak_is_reported(tmp_path: Path) -> None:
    """Each way in which a secret can leave a process fails its test; a hidden secret and an allowed file pass."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_planted.py").write_text(PLANTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nmarkers = holds_secrets(*patterns): x\naddopts = -p no:schemathesis -p no:cacheprovider -p no:randomly\n"
    )
    path = os.pathsep.join([str(ROOT), str(ROOT / "generated")])
    options = ["-rA", "--no-header", "--tb=line", "--basetemp", str(tmp_path / "in")]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in result.stdout.splitlines() if line.startswith(("FAILED ", "ERROR test_"))]
    failed = {line.split()[1].partition("::")[2] for line in lines}
    planted = {line.split("(")[0][4:] for line in PLANTS.splitlines() if line.startswith("def test_")}
    assert result.returncode == 1
    assert failed == {name for name in planted if "leak" in name}


@pytest.mark.parametrize("secret", [PASSWORD, TOKEN])
def test_secret_is_recognized_in_any_text(secret: str) -> None:
    """A secret is recognized in text and in bytes, and a part of it is no secret."""
    assert shows_a_secret(f"a {secret} b")
    assert shows_a_secret(secret.encode())
    assert not shows_a_secret(secret[:-1])
    assert not shows_a_secret(None)


def test_source_of_the_scan_holds_no_secret(tmp_path: Path) -> None:
    """A test that copies the checkout passes the scan, because leaks.py joins the secrets at run time."""
    (tmp_path / "leaks.py").write_bytes((ROOT / "tests" / "support" / "leaks.py").read_bytes())
    assert not list(files_with_secrets(tmp_path, []))
