"""The command for a numeric user without an entry in passwd and without HOME, as in containers and batch jobs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kayrros_ext.testing import Platform
from tests.support.command import KAYRROS
from tests.support.leaks import PASSWORD

# The user may read root's Python, and write nowhere.
CAPABILITY = "+dac_read_search"
USER = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
USER += [f"--inh-caps={CAPABILITY}", f"--ambient-caps={CAPABILITY}"]

pytestmark = pytest.mark.skipif(
    not shutil.which("setpriv") or os.geteuid() != 0, reason="only root can run a command as another user"
)


@pytest.mark.parametrize(
    ("home_variable", "is_short"),
    [(None, False), ("", True), ("/nonexistent", True)],
    ids=["unset", "empty", "missing"],
)
def test_every_command_works_without_a_home(home_variable: str | None, is_short: bool, tmp_path: Path) -> None:
    """Nothing is kept, which `kayrros login` says, and nothing else differs."""
    platform = Platform()
    email = platform.add_account("canary@example.com", PASSWORD).email
    dataset = platform.generate(name="Tanks")
    platform.add_collection("Oil storage", [dataset.id], id="oil")
    removed = ("KAYRROS_", "XDG_", "HOME", "NETRC", "PYTHON_KEYRING")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    environment |= {"HOME": home_variable} if home_variable is not None else {}
    with platform.serve() as url:
        environment |= {**platform.environment(url), "KAYRROS_TOKEN_CACHE": "on", "PYTHONDONTWRITEBYTECODE": "1"}

        def run(*arguments: str, **variables: str) -> str:
            done = subprocess.run(
                [*USER, KAYRROS, *arguments],
                env={**environment, "KAYRROS_EMAIL": email, "KAYRROS_PASSWORD": PASSWORD, **variables},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            assert not re.search("Traceback|keyring could not", done.stderr)
            return done.stdout + done.stderr

        assert "Nothing was saved" in run("login")
        assert " rows" in run("results", str(dataset.id))
        if is_short:
            return
        assert email in run("whoami")
        assert "netrc" not in run("config")
        assert "Oil storage" in run("collections")
        assert "Tanks" in run("datasets", "Oil storage")
        assert "nothing to delete" in run("logout")
        assert (
            run("whoami", _KAYRROS_COMPLETE="complete_bash", COMP_WORDS="kayrros metadata ", COMP_CWORD="2").strip()
            == ""
        )
