"""The command: data on stdout, talk on stderr, exit codes, terminals, pipes and Ctrl-C, each with a real process."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from kayrros_ext.cli.exits import MEANING
from kayrros_ext.cli.reference import reference
from kayrros_ext.testing import Fault, Platform, Request, StaticFile
from tests.support.checkout import ROOT
from tests.support.command import KAYRROS, Command, Inside
from tests.support.leaks import PASSWORD

TANKS = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
OTHER = "7d3c1a52-0000-4c7e-9a46-0b8f5c2e91d4"
FIRST_MS = 1_704_153_600_000  # 2024-01-02, the first date of a generated dataset
NOBODY = {"KAYRROS_EMAIL": None, "KAYRROS_PASSWORD": None}


@pytest.fixture
def kayrros() -> Iterator[Command]:
    """The command, for the canary account of a platform with a dataset of 3 assets, 4 dates and 2 metrics, and a file."""
    platform = Platform()
    email = platform.add_account("canary@example.com", PASSWORD).email
    tanks = platform.generate(
        id=TANKS, name="Tanks of Cushing", assets=3, dates=4, metrics=2, file=StaticFile(b"a,b\n1,2\n", "tanks.csv")
    )
    other = platform.generate(id=OTHER, name="Tanks of Rotterdam", assets=1, dates=1)
    platform.add_collection("Oil storage", [tanks.id, other.id], id="oil")
    with platform.serve() as url:
        unwanted = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM"}
        clean = {name: value for name, value in os.environ.items() if name not in unwanted}
        account = {"KAYRROS_EMAIL": email, "KAYRROS_PASSWORD": PASSWORD}
        yield Command(platform, {**clean, **platform.environment(url), **account, "PYTHONWARNINGS": "error"})


@pytest.fixture
def inside(kayrros: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same, in this process."""
    return Inside(kayrros, monkeypatch, capsys)


def test_data_goes_to_stdout_and_talk_to_stderr(kayrros: Command, inside: Inside) -> None:
    """So that what stands behind a pipe gets data alone; with --quiet there is no talk."""
    done = kayrros("collections")
    assert [["id", "name"], ["oil", "Oil", "storage"]] == [line.split() for line in done.stdout.splitlines()]
    assert "1 collection\n" == done.stderr
    assert "" == inside("collections", "--quiet").stderr
    assert "Tanks of Cushing" == inside.json("metadata", TANKS)["name"]
    assert [{"id": "oil", "name": "Oil storage"}] == inside.json("collections")
    assert {TANKS, OTHER} == {row["id"] for row in inside.json("datasets", "oil")}
    assert "canary@example.com" == inside.json("whoami")["email"]


def test_results_in_every_format_are_the_same_rows(inside: Inside) -> None:
    """CSV unless told otherwise where stdout is no terminal; a table for eyes."""
    rows = inside.json("results", TANKS)
    assert 24 == len(rows)
    lines = inside("results", TANKS, "--format", "ndjson").stdout.splitlines()
    assert rows == [json.loads(line) for line in lines]
    plain = list(csv.DictReader(inside("results", TANKS).stdout.splitlines()))
    assert [(row["asset_id"], row["value"]) for row in rows] == [
        (row["asset_id"], float(row["value"])) for row in plain
    ]
    table = inside("results", TANKS, "--format", "table").stdout.splitlines()
    assert ["asset_id", "asset_name", "value_date", "metric", "value"] == table[0].split()
    assert 25 == len(table)


def test_dates_assets_and_metrics_are_chosen(inside: Inside) -> None:
    """The API has no filter for metrics: these are chosen here."""
    rows = inside.json("results", TANKS)
    asset, metric, date = rows[0]["asset_id"], rows[0]["metric"], rows[0]["value_date"]
    found = inside.json("results", TANKS, "--asset", asset, "--metric", metric, "--from", date, "--to", date)
    assert [rows[0]] == found


def test_results_go_into_a_file(inside: Inside, tmp_path: Path) -> None:
    """In the format of its ending; its path is the data. What is known of the request is in its metadata."""
    metric = inside.json("results", TANKS)[0]["metric"]
    done = inside("results", TANKS, "-o", tmp_path / "x.parquet", "--metric", metric, "--from", "2000-01-01")
    assert (0, f"{tmp_path / 'x.parquet'}\n") == (done.returncode, done.stdout)
    assert "12 rows, in 1 request\n" == done.stderr
    assert {metric} == set(pq.read_table(tmp_path / "x.parquet")["metric"].to_pylist())
    about = pq.read_metadata(tmp_path / "x.parquet").metadata
    assert (TANKS, metric, "2000-01-01T00:00:00+00:00") == tuple(
        about[name].decode() for name in (b"dataset_id", b"metrics", b"start")
    )


def test_a_metric_that_no_row_has_is_named_with_those_there_are(inside: Inside, tmp_path: Path) -> None:
    """And there is no file, nor the head of one on stdout."""
    known = {row["metric"] for row in inside.json("results", TANKS)}
    for more in ["-o", tmp_path / "x.csv"], ["--format", "csv"], ["--json"]:
        done = inside("results", TANKS, "--metric", "nope", *more)
        assert (2, "") == (done.returncode, done.stdout)
        assert all(name in done.stderr for name in known)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "words", "arguments", "variables"),
    [
        (2, "No such option", ["results", TANKS, "--nope"], {}),
        (2, "Missing argument", ["results"], {}),
        (2, "--from is 'yesterday'", ["results", TANKS, "--from", "yesterday"], {}),
        (2, "lies before --from", ["results", TANKS, "--from", "2024-02-01", "--to", "2024-01-01"], {}),
        (2, "its ending says no format", ["results", TANKS, "-o", "x.doc"], {}),
        (2, "don't go together", ["results", TANKS, "-o", "x.csv", "--json"], {}),
        (2, "don't go together", ["results", TANKS, "--format", "csv", "--json"], {}),
        (2, "don't go together", ["download", TANKS, "--overwrite", "--skip-existing"], {}),
        (2, "no dataset 'abc'", ["metadata", "abc"], {}),
        (2, "no profile 'nope'", ["whoami", "--profile", "nope"], {}),
        (2, "plain http", ["collections"], {"KAYRROS_BASE_URL": "http://example.com"}),
        (2, "503:0.1", ["mock", "--fault", "503:2"], {}),
        (2, "503:0.1", ["mock", "--fault", "gremlins"], {}),
        (2, "503:0.1", ["mock", "--fault", "200"], {}),
        (2, "its ending says no format", ["plot", TANKS, "-o", "x.pdf"], {}),
        (2, "A map wants a file", ["plot", TANKS, "--map"], {}),
        (2, "don't go together", ["plot", TANKS, "--all", "--asset", "x"], {}),
        (2, "knows no faults", ["mock", "--prism", "--fault", "503"], {}),
        (3, "kayrros login", ["collections"], NOBODY),
        (3, "kayrros login", ["collections"], {"KAYRROS_PASSWORD": None}),
        (3, "The login was refused (status 401", ["collections"], {"KAYRROS_PASSWORD": "wrong"}),
        (3, "kayrros login", ["collections"], {**NOBODY, "KAYRROS_TOKEN": "wrong"}),
        (
            4,
            "no collection 'gas'. `kayrros collections` lists those there are: 'Oil storage'.",
            ["datasets", "gas"],
            {},
        ),
        (4, "404", ["metadata", "00000000-0000-4000-8000-000000000000"], {}),
        (1, "can't listen on port", ["mock", "--port", "PORT"], {}),
    ],
)
def test_each_failure_has_its_exit_code_and_ends_in_one_line(
    code: int, words: str, arguments: list[str], variables: dict[str, str | None], kayrros: Command, inside: Inside
) -> None:
    """Which says what happened; no traceback, and nothing on stdout."""
    port = kayrros.environment["KAYRROS_BASE_URL"].rpartition(":")[2]
    done = inside(*[argument.replace("PORT", port) for argument in arguments], **variables)
    assert (code, "") == (done.returncode, done.stdout), done.stderr
    *before, last = done.stderr.splitlines()
    assert words in last
    assert last.startswith("kayrros: ") or before[0].startswith("Usage: ")
    assert not before or before[0].startswith("Usage: ")
    assert 2 != code or not kayrros.platform.requests  # what can't work is not sent


def test_a_platform_that_fails_is_1_and_a_traceback_wants_debug(inside: Inside) -> None:
    """One line without --debug."""
    inside.command.platform.fail_next(500, times=None, operation="getDatasetMetadata")
    assert 1 == inside("metadata", TANKS).returncode
    assert 1 == inside("metadata", TANKS).stderr.count("\n")
    done = inside("metadata", TANKS, "--debug")
    assert (1, True) == (done.returncode, "Traceback (most recent call last)" in done.stderr)


def test_a_login_that_fails_without_a_refusal_is_1(inside: Inside) -> None:
    """It says nothing of the password, and so no other password is asked for."""
    inside.command.platform.fail_next(404, operation="login")  # a 500 is tried again, and takes its time
    done = inside("metadata", TANKS)
    assert (1, False) == (done.returncode, "kayrros login" in done.stderr)


def test_a_full_disk_behind_stdout_is_one_line_that_says_so(inside: Inside) -> None:
    """Of the disk, not of a fault of ours."""
    for form in ("table", "csv"):
        with Path("/dev/full").open("w", encoding="utf-8") as full, inside.monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            done = inside("results", TANKS, "--format", form)
        assert 1 == done.returncode
        assert "could not be written (No space left on device). Make room" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_stream_that_is_closed_gets_nothing(inside: Inside) -> None:
    """`2>&-` puts no talk among the data, `>&-` is no failure, and nothing can be asked for with `<&-`."""
    with inside.monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert {"id", "oil"} == {line.split()[0] for line in inside("collections").stdout.splitlines()}
        sys.stderr.close()
    with inside.monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        done = inside("collections", "--json")
        assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
        sys.stdout.close()
    with inside.monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        login = inside.in_terminal("login", KAYRROS_EMAIL=None)
        assert (2, True) == (login.code, "There is no email." in login.shown)
        sys.stdin.close()


def test_a_gap_is_5_where_the_rest_may_come(inside: Inside) -> None:
    """And is named; else it is a failure that names the option."""

    def holds_the_first_date(request: Request) -> bool:
        ends = request.json.get("time_range", {"start_date": 0, "stop_date": 0}) if request.body else {}
        return bool(ends) and ends["start_date"] <= FIRST_MS <= ends["stop_date"]

    inside.command.platform.max_rows = 6
    inside.command.platform.fail_when(holds_the_first_date, 500, operation="getDatasetResults")
    done = inside("results", TANKS, "--on-gap", "warn", "--format", "ndjson")
    assert 5 == done.returncode, done.stderr
    assert "Missing: " in done.stderr
    assert 0 < len(done.stdout.splitlines()) < 24
    done = inside("results", TANKS)
    assert 1 == done.returncode
    assert "--on-gap warn" in done.stderr


@pytest.mark.parametrize("form", ["csv", "table"])
def test_a_reader_that_has_enough_ends_it_quietly(form: str, kayrros: Command) -> None:
    """`kayrros results ID | head -1`: nothing on stderr, and no failure."""
    large = kayrros.platform.generate(assets=40, dates=100)
    process = kayrros.start("results", large.id, "--format", form)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    process.stdout.close()
    assert "" == process.stderr.read().replace("8,000 rows, in 1 request\n", "")
    process.stderr.close()
    assert 0 == process.wait(60)


@pytest.mark.parametrize("arguments", [["collections"], ["results", "--help"]])
def test_a_reader_that_never_was_there_ends_it_quietly(arguments: list[str], kayrros: Command) -> None:
    """Also where all of it fits into what is held back until the end, and where it is typer that writes."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [KAYRROS, *arguments], env=kayrros.environment, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert 0 == done.returncode
    assert done.stderr in {b"", b"1 collection\n"}  # where output is not held back, it ends before that


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [(signal.SIGINT, 130, "kayrros: interrupted"), (signal.SIGTERM, 143, "")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_ctrl_c_is_130(number: int, code: int, words: str, kayrros: Command, tmp_path: Path) -> None:
    """At once, in the middle of a request, in one line, and without a file or a part of one; 143 where it is told to end."""
    asked = threading.Event()

    def note(_: Request) -> bool:
        asked.set()
        return True

    kayrros.platform.fail_when(note, Fault.late(30), operation="getDatasetResults")
    process = kayrros.start("results", TANKS, "-o", tmp_path / "x.csv")
    assert asked.wait(60)
    process.send_signal(number)
    out, said = process.communicate(timeout=20)
    assert (code, "", words) == (process.returncode, out, said.strip())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_table_fits_the_terminal(columns: int, inside: Inside) -> None:
    """What is too long is cut short, and says so; its head is bold."""
    inside.command.platform.add_collection("A name that goes on and on, beyond eighty columns of any terminal" * 3, [])
    for arguments in (["collections"], ["results", TANKS], ["metadata", TANKS], ["config"]):
        seen = inside.in_terminal(*arguments, columns=columns)
        lines = re.sub(r"\x1b\[\d+m", "", seen.shown).splitlines()
        assert 0 == seen.code
        assert columns >= max(map(len, lines)), arguments
        assert seen.shown.startswith("\x1b[1m")
    assert "…" in inside.in_terminal("collections", columns=columns).shown


def test_a_narrow_terminal_tells_assets_apart(inside: Inside) -> None:
    """Their names go before their ids are cut short, and these keep their ends."""
    rows = {f"storage-terminal-of-the-north-{n}": {"2024-01-01": {"stored_volume_bbl": 1.5}} for n in (1, 2)}
    dataset = inside.command.platform.add(rows)
    head, *lines = inside.in_terminal("results", dataset.id, columns=60, NO_COLOR="1").shown.splitlines()[:3]
    assert ["asset_id", "value_date", "metric", "value"] == head.split()
    assert ["storage-ter…he-north-1", "storage-ter…he-north-2"] == [line.split()[0] for line in lines]


def test_there_is_no_colour_where_nobody_wants_it(inside: Inside) -> None:
    """In a pipe, with NO_COLOR, in a terminal that is dumb."""
    assert "\x1b" not in inside("results", TANKS, "--format", "table").stdout
    assert "\x1b" not in inside.in_terminal("results", TANKS, NO_COLOR="1").shown
    assert "\x1b" not in inside.in_terminal("results", TANKS, TERM="dumb").shown


def test_progress_is_shown_in_a_terminal_alone(kayrros: Command, inside: Inside, tmp_path: Path) -> None:
    """Rows and requests, or bytes; none in a pipe, nor with --quiet, nor among the rows of a terminal."""
    kayrros.platform.max_rows = 6
    path = tmp_path / "x.csv"
    shown = kayrros.in_terminal("results", TANKS, "-o", path, columns=100).shown
    assert re.search(r"results .*24 rows, \d+ requests", shown)
    assert "download" in inside.in_terminal("download", TANKS, tmp_path, "--overwrite").shown
    assert f"{path}\n" == inside.in_terminal("results", TANKS, "-q", "-o", path).shown
    assert "results" not in inside("results", TANKS, "-o", path).stderr
    assert "results" not in inside.in_terminal("results", TANKS).shown


def test_a_chart_is_drawn_in_the_terminal_or_into_a_file(inside: Inside, tmp_path: Path) -> None:
    """In colour in a terminal, and as wide; in letters in a pipe. The path of a file is the data."""
    metric = inside.json("results", TANKS)[0]["metric"]
    shown = inside.in_terminal("plot", TANKS, "--metric", metric, "-q", columns=60)
    assert (0, True) == (shown.code, "\x1b[38;5;" in shown.shown)
    assert 60 >= max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in shown.shown.splitlines())
    piped = inside("plot", TANKS)
    assert (0, False, True) == (piped.returncode, "\x1b" in piped.stdout, "2024-01-02" in piped.stdout)
    done = inside("plot", TANKS, "--all", "-o", tmp_path / "x.svg")
    assert (f"{tmp_path / 'x.svg'}\n", "24 rows, in 1 request\n") == (done.stdout, done.stderr)
    assert "<svg" in (tmp_path / "x.svg").read_text()


def test_what_a_server_sends_steers_no_terminal(inside: Inside) -> None:
    """Names are one line without escapes."""
    inside.command.platform.add_collection("red\x1b[31m\nalert", [])
    assert "red [31m alert" in inside("collections").stdout


def test_a_dataset_that_was_listed_is_found_by_its_beginning_or_its_name(inside: Inside) -> None:
    """Not before it was listed; and never where two are meant: these are named. A collection is found at once."""
    assert 2 == inside("metadata", "tanks of cushing").returncode
    assert 0 == inside("datasets", "oil st").returncode
    assert TANKS == inside.json("metadata", "tanks of CUSHING")["id"]
    assert TANKS == inside.json("metadata", "tanks of c")["id"]
    assert OTHER == inside.json("metadata", OTHER[:11])["id"]
    done = inside("metadata", "7d3c1a52")
    assert 2 == done.returncode
    assert all(word in done.stderr for word in (TANKS, OTHER, "Tanks of Cushing", "Tanks of Rotterdam"))


def test_names_are_of_one_account_and_for_its_owner_alone(inside: Inside, home: Path) -> None:
    """Another account has seen none of them; the file has mode 0600, its folder 0700. A broken one is none."""
    inside("datasets", "oil")
    [file] = (home / "cache" / "names").iterdir()
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777)
    assert 0 == inside("metadata", "Tanks of Cushing").returncode
    account = inside.command.platform.environment("")
    others = {name: account[name] for name in ("KAYRROS_EMAIL", "KAYRROS_PASSWORD")}
    assert "no dataset 'Tanks of Cushing'" in inside("metadata", "Tanks of Cushing", **others).stderr
    file.write_text("[1")
    assert "no dataset 'Tanks of Cushing'" in inside("metadata", "Tanks of Cushing").stderr


def test_a_download_prints_its_path_and_replaces_nothing_unasked(inside: Inside, tmp_path: Path) -> None:
    """What is there is left alone; --overwrite and --skip-existing say otherwise; --sha256 is held to."""
    done = inside("download", TANKS, tmp_path / "data")
    file = tmp_path / "data" / "tanks.csv"
    assert (0, f"{file}\n", b"a,b\n1,2\n") == (done.returncode, done.stdout, file.read_bytes())
    file.write_bytes(b"mine")
    refused = inside("download", TANKS, tmp_path / "data")
    assert (1, "") == (refused.returncode, refused.stdout)
    assert "--overwrite" in refused.stderr
    assert "overwrite=" not in refused.stderr
    assert not inside.json("download", TANKS, tmp_path / "data", "--skip-existing")["new"]
    assert b"mine" == file.read_bytes()
    assert 1 == inside("download", TANKS, tmp_path / "data", "--overwrite", "--sha256", "0" * 64).returncode
    assert b"mine" == file.read_bytes()
    assert {"path": str(file), "size": 8, "new": True}.items() <= inside.json(
        "download", TANKS, tmp_path / "data", "--overwrite"
    ).items()


def test_what_happens_is_said_without_secrets(inside: Inside) -> None:
    """-vv says each request; the canaries are watched in all that a test runs."""
    said = inside("results", TANKS, "-v").stderr
    assert ("getDatasetResults: 24 rows" in said, "HTTP Request" in said) == (True, False)
    assert "HTTP Request: POST" in inside("metadata", TANKS, "-vv").stderr


@pytest.mark.holds_secrets("cache/tokens/*")
def test_a_login_without_a_keyring_keeps_its_token_for_the_next_command(
    kayrros: Command, inside: Inside, home: Path
) -> None:
    """No second login and no password are needed, until `kayrros logout`; then there is nobody."""
    kept = {**NOBODY, "KAYRROS_TOKEN_CACHE": "on"}
    login = inside("login", "--email", "canary@example.com", "--password-stdin", stdin=f"{PASSWORD}\n", **kept)
    assert 0 == login.returncode, login.stderr
    assert "The token is kept, the password is not" in login.stderr
    assert '[default]\nemail = "canary@example.com"\n' == (home / "config.toml").read_text()
    assert 0o600 == (home / "config.toml").stat().st_mode & 0o777
    assert 1 == kayrros.platform.logins
    me = inside.json("whoami", **kept)
    assert ("canary@example.com", "login", True) == (me["email"], me["source"], me["has_token"])
    assert 0 == kayrros("collections", **kept).returncode
    assert 1 == kayrros.platform.logins
    assert ["token", "kept of a login"] == [
        row[key] for row in inside.json("config", **kept) if row["setting"] == "token" for key in ("setting", "source")
    ]
    kayrros.platform.expire_tokens()
    ended = inside("collections", **kept)
    assert (3, True) == (ended.returncode, "kayrros login" in ended.stderr)
    assert "Forgot the token of canary@example.com." in inside("logout", **kept).stderr
    assert 3 == inside("collections", **kept).returncode


def test_a_login_asks_for_a_password_without_echo(kayrros: Command) -> None:
    """In a terminal; the canary would show in what it displayed."""
    seen = kayrros.in_terminal("login", typed=f"{PASSWORD}\n", KAYRROS_PASSWORD=None)
    assert PASSWORD not in seen.shown
    assert (0, True) == (seen.code, "Password: " in seen.shown)
    assert 1 == kayrros.platform.logins


def test_a_password_is_never_an_argument(inside: Inside) -> None:
    """There is no such option; without a terminal, a variable or stdin has it."""
    assert "No such option" in inside("login", "--password", "secret").stderr
    done = inside("login", KAYRROS_PASSWORD=None)
    assert (2, True) == (done.returncode, "--password-stdin" in done.stderr)
    assert 2 == inside("login", "--password-stdin", KAYRROS_PASSWORD=None).returncode


def test_a_login_that_is_refused_changes_nothing(inside: Inside, home: Path) -> None:
    """One attempt, exit code 3, and no profile."""
    done = inside("login", "--profile", "new", "--email", "canary@example.com", KAYRROS_PASSWORD="wrong")
    assert (3, "") == (done.returncode, (home / "config.toml").read_text())
    assert 1 == len(inside.command.platform.requests)


@pytest.mark.holds_secrets("cache/tokens/*")
def test_a_login_makes_a_profile_with_hosts_and_leaves_the_others_alone(inside: Inside, home: Path) -> None:
    """Comments stay; never is there a password."""
    url = inside.command.environment["KAYRROS_BASE_URL"]
    (home / "config.toml").write_text('# mine\n[default]\nemail = "me@example.com"  # old\n')
    hosts = ["--base-url", url, "--auth-url", url]
    gone = {"KAYRROS_BASE_URL": None, "KAYRROS_AUTH_URL": None, "KAYRROS_TOKEN_CACHE": "on"}
    assert 0 == inside("login", "--profile", "local", *hosts, **gone).returncode
    written = (home / "config.toml").read_text()
    assert written.startswith('# mine\n[default]\nemail = "me@example.com"  # old\n')
    assert {'email = "canary@example.com"', f'base_url = "{url}"', f'auth_url = "{url}"'} <= set(written.splitlines())
    assert 0 == inside("collections", "--profile", "local", **NOBODY, **gone).returncode
    assert 1 == inside.command.platform.logins


@pytest.mark.holds_secrets("config.toml")
def test_a_profile_with_a_token_of_its_own_is_not_logged_in_over(inside: Inside, home: Path) -> None:
    """That token would come first. Nothing is sent."""
    (home / "config.toml").write_text(f'[mine]\ntoken = "{PASSWORD}"\n')
    done = inside("login", "--profile", "mine")
    assert (2, True) == (done.returncode, "profile mine holds credentials of its own" in done.stderr)
    assert not inside.command.platform.requests


def test_config_masks_secrets_and_names_their_sources(inside: Inside) -> None:
    """One row for each setting that there is."""
    rows = {row["setting"]: (row["value"], row["source"]) for row in inside.json("config")}
    assert ("**********", "KAYRROS_PASSWORD") == rows["password"]
    assert ("canary@example.com", "KAYRROS_EMAIL") == rows["email"]
    assert "KAYRROS_BASE_URL" == rows["base_url"][1]
    for host in (f"https://me:{PASSWORD}@example.com", f"https://example.com/?key={PASSWORD}"):
        assert PASSWORD not in inside("config", KAYRROS_BASE_URL=host).stdout
    # A slash in a password ends what a URL takes for its host: part of it is the port, the host or the path.
    for host in (f"https://me:{PASSWORD}/x@example.com", f"https://me:x@{PASSWORD}/y@example.com"):
        for command in ("config", "login"):
            done = inside(command, KAYRROS_BASE_URL=host)
            assert PASSWORD.lower() not in (done.stdout + done.stderr).lower()
            assert "should not happen" not in done.stderr
    assert ("off", "default") == rows["token cache"]  # of this machine
    assert (
        "on"
        == {
            row["setting"]: row["value"] for row in inside.json("config", KAYRROS_BASE_URL=None, KAYRROS_AUTH_URL=None)
        }["token cache"]
    )


def test_the_mock_serves_until_ctrl_c(kayrros: Command, inside: Inside) -> None:
    """It prints what to export, says each request with -v, and ends with 0."""
    process = kayrros.start("mock", "--port", 0, "--json", "--latency", 0, "--fault", "503:0", "-v")
    assert process.stdout
    text = ""
    while not text.rstrip().endswith("}"):
        text += process.stdout.readline()
    assert "Crude oil storage, selected terminals" == inside.json("metadata", TANKS, **json.loads(text))["name"]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert (0, True) == (process.returncode, f"GET /v1/collection/dataset/summary/{TANKS} 200" in said)


def test_every_command_has_help_with_examples_that_can_be_run() -> None:
    """Each example is of a command that there is, with options that it has; and all stand in the reference."""
    page = reference()
    commands = re.findall(r"^## kayrros (\w+)$", page, re.MULTILINE)
    assert 11 == len(commands)
    for section in page.split("\n## ")[1:]:
        name, options = (
            section.split()[1],
            set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", section.partition("Options:")[2])),
        )
        examples = re.findall(r"^ +\$ kayrros (.*)$", section, re.MULTILINE)
        assert examples, name
        for example in examples:
            words = shlex.split(example.partition("|")[0].partition("<")[0])
            assert name == words[0]
            assert {word for word in words if word.startswith("-")} <= options


def test_exit_codes_are_documented(inside: Inside) -> None:
    """In the help, and on the page."""
    shown = inside("--help").stdout
    page = (ROOT / "docs" / "cli.md").read_text()
    for code, words in MEANING.items():
        assert re.search(rf"^ +{code}  {re.escape(words)}$", shown, re.MULTILINE)
        assert f"| {code} | {words} |" in page


def test_what_is_heavy_is_not_imported_to_show_help() -> None:
    """HTTP, tables and rich come with the command that needs them."""
    heavy = {"httpx", "pyarrow", "numpy", "matplotlib", "rich.console", "attrs", "logging", "kayrros_ext.client"}
    asked = [["--help"], ["results", "--help"], ["plot", "--help"], ["--version"]]
    code = (
        f"import sys; from kayrros_ext.cli.app import run; [run(one) for one in {asked}]; "
        f"sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    )
    assert 0 == subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing: str, kayrros: Command) -> None:
    """No traceback."""
    code = f"import sys; sys.modules[{missing!r}] = None; from kayrros_ext.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "collections"],
        env=kayrros.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert 'pip install "kayrros-ext[cli]"' in done.stderr


def test_bash_completes_commands_and_ids_that_were_listed(kayrros: Command, inside: Inside) -> None:
    """With the function that its completion is; ids of collections too."""
    inside("datasets", "oil")
    tried = [["m"], ["metadata", "7d3c"], ["datasets", ""]]
    script = 'eval "$(_KAYRROS_COMPLETE=source_bash kayrros)"\n' + "".join(
        f"COMP_WORDS=({shlex.join(['kayrros', *words])}); COMP_CWORD={len(words)}; _kayrros_completion kayrros; "
        'echo "${COMPREPLY[@]}"\n'
        for words in tried
    )
    path = f"{KAYRROS.parent}{os.pathsep}{os.environ['PATH']}"
    bash = ["bash", "--norc", "-c", script]
    done = subprocess.run(bash, env=kayrros.variables(PATH=path), capture_output=True, text=True, check=False)
    found = [sorted(line.split()) for line in done.stdout.splitlines()]
    assert [["metadata", "mock"], sorted([TANKS, OTHER]), ["oil"]] == found, done.stderr


def test_it_runs_as_a_module_too(kayrros: Command) -> None:
    """`python -m kayrros_ext.cli`."""
    done = subprocess.run(
        [sys.executable, "-m", "kayrros_ext.cli", "--version"],
        env=kayrros.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.fullmatch(r"kayrros-ext \d+\.\d+\.\d+\S*\n", done.stdout)
