"""A user's session: the login in the shell and in Python, then on the mock from the first collection to a file on disk."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kayrros_ext import ConfigurationError, Kayrros, UnauthorizedError
from kayrros_ext._text import DOCS_URL
from kayrros_ext.testing import Platform, PrismMock
from kayrros_openapi.models import DatasetMetadata, SharedOption
from tests.support.command import Command, Inside
from tests.support.leaks import PASSWORD
from tests.support.server import DATASET
from tests.support.spec import named

EMAIL = "canary@example.com"
SAVES_TOKENS = pytest.mark.holds_secrets("**/tokens/*.json", "config.toml")
CALL = """
from kayrros_ext import Kayrros
with Kayrros({}) as kayrros:
    print(kayrros.whoami().source, len(kayrros.collections()))
"""


@pytest.fixture
def shell(tmp_path: Path) -> Command:
    """The command of a new user with an empty home, who has exported nothing yet."""
    platform = Platform()
    platform.add_account(EMAIL, PASSWORD)
    platform.add_examples()
    removed = ("KAYRROS_", "XDG_", "NETRC")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    return Command(platform, {**environment, "HOME": str(tmp_path), "PYTHONWARNINGS": "error"})


@pytest.fixture
def inside(shell: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same command, called in this process."""
    return Inside(shell, monkeypatch, capsys)


def python(shell: Command, arguments: str = "", **variables: str | None) -> str:
    """Return what a program that calls Kayrros() prints, or the last line of its error."""
    command = [sys.executable, "-c", CALL.format(arguments)]
    done = subprocess.run(command, env=shell.variables(**variables), capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).strip().splitlines()[-1]


def files(folder: Path) -> set[str]:
    """Return the names of files with content, but for locks and the names of completion, which are not of the login."""
    return {it.name for it in folder.rglob("*") if it.is_file() and it.stat().st_size and it.parent.name != "names"}


@SAVES_TOKENS
def test_the_variables_of_the_fake_are_enough(shell: Command, inside: Inside, tmp_path: Path) -> None:
    """The first ten minutes: `kayrros fake`, its variables, login, collections, Python. Logout leaves nothing of it."""
    fake = shell.start("fake", "--port", 0, "--json")
    assert fake.stdout
    text = ""
    while not text.rstrip().endswith("}"):
        text += fake.stdout.readline()
    variables = json.loads(text)
    login = shell("login", **variables)
    assert login.returncode == 0, login.stderr
    assert "The token is saved" in login.stderr
    assert inside("collections", **variables).stdout.count("\n") == 3
    assert inside.json("whoami", **variables)["has_token"] is True
    assert python(shell, **variables) == "environment 2"
    without_password = {**variables, "KAYRROS_PASSWORD": None}
    assert python(shell, **without_password) == "login 2"
    assert "config.toml" not in files(tmp_path)  # the variables say it all
    assert "Deleted: the token." in inside("logout", **variables).stderr
    assert files(tmp_path) == set()
    assert inside("collections", **without_password).returncode == 3
    fake.terminate()
    fake.communicate(timeout=20)


@SAVES_TOKENS
def test_one_login_serves_the_shell_and_python(shell: Command, inside: Inside, tmp_path: Path) -> None:
    """A login to a local server in a profile is kept, says how to renew it, and is undone by logout."""
    config = {"KAYRROS_CONFIG": str(tmp_path / "config.toml")}
    mine = '[default]\nemail = "me@example.com"  # mine\n'
    (tmp_path / "config.toml").write_text(mine)
    profile = ("--profile", "fake")
    with shell.platform.serve() as url:
        hosts = ("--base-url", url, "--auth-url", url)
        stdin = f"{PASSWORD}\n"
        login = shell("login", *hosts, *profile, "--email", EMAIL, "--password-stdin", stdin=stdin, **config)
        assert login.returncode == 0, login.stderr
        assert inside("collections", *profile, **config).returncode == 0
        identity = inside.json("whoami", *profile, **config)
        assert (identity["source"], identity["email"], identity["profile"]) == ("login", EMAIL, "fake")
        assert python(shell, "profile='fake'", **config) == "login 2"
        assert shell.platform.logins == 1
        shell.platform.expire_tokens()
        advice = "kayrros login --profile fake"
        expired = inside("collections", *profile, **config)
        assert (expired.returncode, advice in expired.stderr) == (3, True)
        assert advice in python(shell, "profile='fake'", **config)
        assert inside(*advice.split()[1:], "--password-stdin", stdin=stdin, **config).returncode == 0
        assert python(shell, "profile='fake'", **config) == "login 2"
        logout = inside("logout", *profile, **config)
        assert "Deleted: the token; email, base_url, auth_url of profile fake." in logout.stderr
        assert (tmp_path / "config.toml").read_text() == mine
        assert files(tmp_path) == {"config.toml"}


@SAVES_TOKENS
def test_a_program_that_runs_long_continues_after_a_login(
    shell: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It started with a saved login, and takes the one that another process saves after the 401."""
    with shell.platform.serve() as url:
        variables = {"KAYRROS_BASE_URL": url, "KAYRROS_AUTH_URL": url, "KAYRROS_EMAIL": EMAIL}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        variables |= {"KAYRROS_CACHE_DIR": str(home / "cache"), "KAYRROS_PASSWORD": PASSWORD}
        with pytest.raises(ConfigurationError, match="run `kayrros login`"):
            Kayrros()
        assert shell("login", **variables).returncode == 0
        with Kayrros() as kayrros:
            assert kayrros.whoami().source == "login"
            kayrros.collections()
            shell.platform.expire_tokens()
            with pytest.raises(UnauthorizedError, match="Run `kayrros login`"):
                kayrros.collections()
            assert shell("login", **variables).returncode == 0
            assert len(kayrros.collections()) == 2


# Variables, profile, the error, and changes of the variables: each follows one part of the advice, by itself.
ADVICE: dict[str, tuple[dict[str, str], str, str, list[dict[str, str | None]]]] = {
    "nothing": (
        {},
        "",
        "There are no credentials. Run `kayrros login`, or set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN "
        f"(other places: {DOCS_URL}credentials/).",
        [{}, {"KAYRROS_EMAIL": EMAIL, "KAYRROS_PASSWORD": PASSWORD}, {"KAYRROS_TOKEN": "valid-token"}],
    ),
    "password": (
        {"KAYRROS_PASSWORD": PASSWORD},
        "",
        "There is a password (KAYRROS_PASSWORD), but no email. Run `kayrros login`, or set KAYRROS_EMAIL.",
        [{}, {"KAYRROS_EMAIL": EMAIL}],
    ),
    "email": (
        {},
        f'email = "{EMAIL}"',
        f"There is no password for {EMAIL} (profile default). Run `kayrros login`, or set KAYRROS_PASSWORD.",
        [{}, {"KAYRROS_PASSWORD": PASSWORD}],
    ),
    "variable": (
        {"KAYRROS_EMAIL": EMAIL},
        "",
        f"There is no password for {EMAIL} (KAYRROS_EMAIL). Run `kayrros login`, or set KAYRROS_PASSWORD.",
        [{}, {"KAYRROS_PASSWORD": PASSWORD}],
    ),
    "two emails": (
        {"KAYRROS_EMAIL": EMAIL},
        f'email = "other@example.com"\npassword = "{PASSWORD}"',
        f"There is no password for {EMAIL} (KAYRROS_EMAIL), and profile default is for other@example.com. "
        "Run `kayrros login`, or remove the first of these emails.",
        [{}, {"KAYRROS_EMAIL": None}],
    ),
    "token": (
        {"KAYRROS_TOKEN": "expired-token"},
        "",
        "Replace the token (KAYRROS_TOKEN), or remove it and run `kayrros login`.",
        [{"KAYRROS_TOKEN": None}, {"KAYRROS_TOKEN": "valid-token"}],
    ),
    "token next to an email": (
        {"KAYRROS_TOKEN": "expired-token", "KAYRROS_EMAIL": EMAIL},
        "",
        "Replace the token (KAYRROS_TOKEN), or remove it and run `kayrros login`.",
        [{"KAYRROS_TOKEN": None}, {"KAYRROS_TOKEN": "valid-token"}],
    ),
}


@pytest.mark.holds_secrets("cache/tokens/*.json", "config.toml")
@pytest.mark.parametrize("name", ADVICE)
def test_each_part_of_the_advice_leads_to_success(
    name: str, shell: Command, inside: Inside, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a login that the error names, or after the change that it names, the command and Python work."""
    variables, profile, message, changes = ADVICE[name]
    shell.platform.add_account("other@example.com", PASSWORD)
    token = shell.platform.give_token(EMAIL)
    with shell.platform.serve() as url:
        places = {"KAYRROS_CONFIG": str(home / "config.toml"), "KAYRROS_CACHE_DIR": str(home / "cache")}
        hosts = {"KAYRROS_BASE_URL": url, "KAYRROS_AUTH_URL": url}
        for change in changes:
            (home / "config.toml").write_text(f"[default]\n{profile}\n")
            (home / "config.toml").chmod(0o600)
            state: dict[str, str | None] = {**places, **hosts, **variables}
            failed = inside("collections", **state)
            assert (failed.returncode, failed.stdout) == (3, "")
            assert f"{message} See {DOCS_URL}troubleshooting/#" in failed.stderr
            state |= {key: token if value == "valid-token" else value for key, value in change.items()}
            if change in ({}, {"KAYRROS_TOKEN": None}):
                [command] = re.findall(r"un `kayrros (login[^`]*)`", failed.stderr)
                email = () if EMAIL in {*variables.values()} or EMAIL in profile else ("--email", EMAIL)
                login = inside(command, *email, "--password-stdin", stdin=f"{PASSWORD}\n", **state)
                assert login.returncode == 0, login.stderr
            assert inside("collections", **state).returncode == 0
            with monkeypatch.context() as patch:
                for key, value in state.items():
                    patch.setenv(key, value) if value else patch.delenv(key, raising=False)
                with Kayrros() as kayrros:
                    assert len(kayrros.collections()) == 2
            inside("logout", **state)


def test_collections_lead_to_datasets_and_their_metadata(kayrros: Kayrros) -> None:
    """Each call accepts the ids that the previous one returned."""
    collection = kayrros.collections()[0]
    assert collection.name == "Oil storage"
    dataset = kayrros.datasets(str(collection.id))[0]
    metadata = kayrros.metadata(str(dataset.id))
    assert (metadata.id, metadata.name) == (UUID(DATASET), dataset.name)
    assets = kayrros.results(str(dataset.id)).table["asset_id"].unique()
    assert len(assets) == metadata.asset_count


def test_metadata_is_typed(kayrros: Kayrros) -> None:
    """Metadata have a UUID, an enum member, and dates in epoch milliseconds."""
    metadata = kayrros.metadata(DATASET)
    assert isinstance(metadata, DatasetMetadata)
    assert (metadata.id, metadata.shared_option, metadata.asset_count) == (UUID(DATASET), SharedOption.SHARED, 6)
    assert metadata.start_date == 1704153600000


def test_results_become_a_table_and_a_parquet_file(kayrros: Kayrros, tmp_path: Path) -> None:
    """The table has every metric of the example, and the Parquet file keeps the units."""
    results = kayrros.results(DATASET, start="2024-01-01", assets=["tank-cushing-tk-101"])
    example = named("getDatasetResults")["crude-tanks"]
    expected = sorted(
        (asset["asset_id"], result["value_date"], metric["name"], metric["value"])
        for asset in example["assets"]
        for result in asset["results"]
        for metric in result["metrics"]
    )
    table = results.table.select(["asset_id", "value_date", "metric", "value"])
    dates = pc.strftime(table["value_date"], "%Y-%m-%dT%H:%M:%SZ")
    rows = table.set_column(1, "value_date", pc.replace_substring(dates, ".000000", "")).to_pylist()
    assert [tuple(row.values()) for row in rows] == expected
    assert len(rows) == 72
    pq.write_table(results.table, tmp_path / "results.parquet")
    read = pq.read_table(tmp_path / "results.parquet")
    assert read.equals(results.table)
    assert read.schema.field("asset_surface_area_m2").metadata[b"unit"] == b"m2"


def test_download_saves_the_file_of_the_spec(kayrros: Kayrros, tmp_path: Path) -> None:
    """The file has the bytes of the spec and the name in the header."""
    path = Path(kayrros.download(DATASET, tmp_path))
    assert path == tmp_path / "crude-terminals.csv"
    assert path.read_text() == named("downloadStaticDataset")["crude-terminals"]


def test_variables_of_the_mock_configure_kayrros(mock: PrismMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kayrros() needs no argument if the environment has the output of `make mock`."""
    for name, value in mock.settings.items():
        monkeypatch.setenv(name, value)
    with Kayrros() as kayrros:
        assert kayrros.metadata(DATASET).name == "Crude oil storage, selected terminals"
