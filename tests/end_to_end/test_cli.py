"""The command: data on stdout, messages on stderr, exit codes, terminals, pipes and Ctrl-C."""

import concurrent.futures
import contextlib
import csv
import fcntl
import io
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import attrs
import openpyxl
import pyarrow.parquet as pq
import pytest
import yaml
from rich.cells import cell_len

from kayrros_ext.cli import progress_bars
from kayrros_ext.cli.app import app
from kayrros_ext.cli.exit_codes import MEANINGS
from kayrros_ext.cli.name_cache import complete_datasets
from kayrros_ext.testing import Fault, Platform, Request, Response, StaticFile
from kayrros_openapi.contract import OPERATIONS
from scripts.cli_reference import reference
from tests.support.checkout import ROOT
from tests.support.command import KAYRROS, Command, Inside
from tests.support.leaks import PASSWORD

TANKS = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
OTHER = "7d3c1a52-0000-4c7e-9a46-0b8f5c2e91d4"
FIRST_MS = 1_704_153_600_000  # 2024-01-02, the first date of a generated dataset
NO_CREDENTIALS = {"KAYRROS_EMAIL": None, "KAYRROS_PASSWORD": None}


@pytest.fixture
def kayrros() -> Iterator[Command]:
    """The command as a process, for an account that sees a dataset of 3 assets, 4 dates and 2 metrics, and a file."""
    platform = Platform()
    email = platform.add_account("canary@example.com", PASSWORD).email
    tanks = platform.generate(
        id=TANKS, name="Tanks of Cushing", assets=3, dates=4, metrics=2, file=StaticFile(b"a,b\n1,2\n", "tanks.csv")
    )
    other = platform.generate(id=OTHER, name="Tanks of Rotterdam", assets=1, dates=1)
    platform.add_collection("Oil storage", [tanks.id, other.id], id="oil")
    with platform.serve() as url:
        removed = {"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM"}
        environment = {name: value for name, value in os.environ.items() if name not in removed}
        account = {"KAYRROS_EMAIL": email, "KAYRROS_PASSWORD": PASSWORD}
        yield Command(platform, {**environment, **platform.environment(url), **account, "PYTHONWARNINGS": "error"})


@pytest.fixture
def inside(kayrros: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same command, called in this process."""
    return Inside(kayrros, monkeypatch, capsys)


@pytest.fixture
def examples(kayrros: Command, inside: Inside) -> Iterator[Inside]:
    """The command in this process, for an account that sees what `kayrros fake` serves."""
    platform = Platform()
    platform.add_examples()
    with platform.serve() as url:
        environment = {**kayrros.environment, **platform.environment(url)}
        yield attrs.evolve(inside, command=Command(platform, environment))


def test_data_goes_to_stdout_and_messages_to_stderr(kayrros: Command, inside: Inside) -> None:
    """A pipe carries only data, and --quiet omits the messages."""
    done = kayrros("collections")
    assert [line.split() for line in done.stdout.splitlines()] == [["id", "name"], ["oil", "Oil", "storage"]]
    assert done.stderr == "1 collection\n"
    assert inside("collections", "--quiet").stderr == ""
    assert inside.json("metadata", TANKS)["name"] == "Tanks of Cushing"
    assert inside.json("collections") == [{"id": "oil", "name": "Oil storage"}]
    assert {row["id"] for row in inside.json("datasets", "oil")} == {TANKS, OTHER}
    assert inside.json("whoami")["email"] == "canary@example.com"


def test_every_format_has_the_same_rows(inside: Inside) -> None:
    """CSV is the default in a pipe; a table shows the columns that differ from row to row."""
    rows = inside.json("results", TANKS)
    assert len(rows) == 24
    lines = inside("results", TANKS, "--format", "ndjson").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    parsed = list(csv.DictReader(inside("results", TANKS).stdout.splitlines()))
    assert [(row["asset_id"], float(row["value"])) for row in parsed] == [
        (row["asset_id"], row["value"]) for row in rows
    ]
    named = inside.json("results", TANKS, "--with-dataset")
    assert named == [{"dataset_id": TANKS, "dataset_name": "Tanks of Cushing", **row} for row in rows]
    header = inside("results", TANKS, "--with-dataset").stdout.splitlines()[0]
    assert header.startswith("dataset_id,dataset_name,asset_id,")
    table = inside("results", TANKS, "--format", "table").stdout.splitlines()
    assert table[0].split() == ["asset_id", "asset_name", "value_date", "metric", "unit", "value"]
    assert len(table) == 25


def test_metadata_are_spelled_as_in_python(inside: Inside) -> None:
    """Fields have the names of the attributes, and dates are dates; --json has both as the API sends them."""
    lines = inside("metadata", TANKS).stdout.splitlines()
    fields = dict(line.split(maxsplit=1) for line in lines[1:] if " " in line.strip())
    assert fields["start"] == "2024-01-02"
    assert "attribution_text" in fields
    assert {"start_date", "attributionText"} <= inside.json("metadata", TANKS).keys()


def test_results_are_filtered_by_date_asset_and_metric(inside: Inside) -> None:
    """The command filters by metric itself, because the API has no such filter."""
    row = inside.json("results", TANKS)[0]
    dates = ["--from", row["value_date"], "--to", row["value_date"]]
    assert inside.json("results", TANKS, "--asset", row["asset_id"], "--metric", row["metric"], *dates) == [row]


def test_a_date_is_a_stop_at_its_end(inside: Inside, tmp_path: Path) -> None:
    """Values of the last day, at whatever hour, belong to the results and to the chart; its end is in the file."""
    dataset = inside.command.platform.generate(assets=1, dates=3, start=datetime(2024, 1, 29, 10, 42, tzinfo=UTC)).id
    rows, day = inside.json("results", dataset), "2024-01-29"
    expected = [row for row in rows if row["value_date"].startswith(f"{day}T10:42")]
    assert 0 < len(expected) < len(rows)
    assert inside.json("results", dataset, "--from", day, "--to", day) == expected
    assert inside.json("results", dataset, "--to", "2024-01") == expected
    assert inside.json("results", dataset, "--to", "2024-W05") == expected
    assert inside.json("results", dataset, "--to", "2024") == rows
    assert inside("results", dataset, "--from", f"{day}T00:00", "--to", f"{day}T00:00").stdout.count("\n") == 1
    assert inside("plot", dataset, "--from", day, "--to", day).returncode == 0
    path = tmp_path / "x.parquet"
    inside("results", dataset, "--from", day, "--to", day, "-o", path)
    metadata = pq.read_metadata(path).metadata
    assert (metadata[b"start"].decode(), metadata[b"stop"].decode()) == (
        f"{day}T00:00:00+00:00",
        f"{day}T23:59:59.999000+00:00",
    )
    assert b"processing_id" in metadata


def test_results_are_written_to_a_file(inside: Inside, tmp_path: Path) -> None:
    """The suffix selects the format, the metadata contain the request, and stdout has the path."""
    path = tmp_path / "x.parquet"
    metric = inside.json("results", TANKS)[0]["metric"]
    done = inside("results", TANKS, "-o", path, "--metric", metric, "--from", "2000-01-01")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "12 rows\n")
    assert set(pq.read_table(path)["metric"].to_pylist()) == {metric}
    metadata = pq.read_metadata(path).metadata
    request = [metadata[name].decode() for name in (b"dataset_id", b"metrics", b"start", b"requests")]
    assert request == [TANKS, metric, "2000-01-01T00:00:00+00:00", "1"]


def test_results_are_written_for_excel(inside: Inside, tmp_path: Path) -> None:
    """A workbook, or CSV with a byte order mark and short dates, in a file as on stdout."""
    done = inside("results", TANKS, "-o", tmp_path / "x.xlsx")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'x.xlsx'}\n")
    assert openpyxl.load_workbook(tmp_path / "x.xlsx")["values"].max_row == 25
    plain = inside("results", TANKS, "--format", "csv").stdout
    expected = "\ufeff" + plain.replace("T00:00:00.000000Z", "")
    assert inside("results", TANKS, "--excel-csv").stdout == expected
    assert inside("results", TANKS, "--excel-csv", "-o", tmp_path / "x.csv").returncode == 0
    assert (tmp_path / "x.csv").read_text() == expected


def test_unknown_metric_lists_the_available_ones(inside: Inside, tmp_path: Path) -> None:
    """The command writes neither a file nor a header to stdout."""
    available = {row["metric"] for row in inside.json("results", TANKS)}
    for options in ["-o", tmp_path / "x.csv"], ["--format", "csv"], ["--json"]:
        done = inside("results", TANKS, "--metric", "nope", *options)
        assert (done.returncode, done.stdout) == (2, "")
        assert all(name in done.stderr for name in available)
    assert not list(tmp_path.iterdir())
    many = {f"metric_number_{number}": 1.0 for number in range(1000)}
    dataset = inside.command.platform.add({"a": {"2024-01-01": many}}).id
    for command in ("results", "plot"):
        done = inside(command, dataset, "--metric", "metric_numbre_77")
        assert "Available metrics: 'metric_number_77', " in done.stderr
        assert "and 995 more." in done.stderr
        assert len(done.stderr) < 300


@pytest.mark.parametrize(
    ("code", "message", "arguments", "variables"),
    [
        (2, "No such option", ["results", TANKS, "--nope"], {}),
        (2, "Missing argument 'DATASET'. See `kayrros results --help`.", ["results"], {}),
        (2, "No such command 'result'. Did you mean 'results'? See `kayrros --help`.", ["result"], {}),
        (2, "'yesterday'", ["results", TANKS, "--from", "yesterday"], {}),
        (2, "2024-01-01", ["results", TANKS, "--from", "2024-02-01", "--to", "2024-01-01"], {}),
        (2, "x.doc", ["results", TANKS, "-o", "x.doc"], {}),
        (2, "can't be combined", ["results", TANKS, "-o", "x.csv", "--json"], {}),
        (2, "can't be combined", ["results", TANKS, "--format", "csv", "--json"], {}),
        (2, "can't be combined", ["results", TANKS, "--excel-csv", "--json"], {}),
        (2, "can't be combined", ["results", TANKS, "--excel-csv", "--format", "ndjson"], {}),
        (2, "CSV for Excel can't be written", ["results", TANKS, "--excel-csv", "-o", "x.xlsx"], {}),
        (2, "a URL", ["download", TANKS, "s3://bucket/x"], {}),
        (2, "the name of a file", ["download", TANKS, "out.csv"], {}),
        (2, "empty", ["download", TANKS, ""], {}),
        (2, "empty", ["results", TANKS, "-o", ""], {}),
        (2, "a URL", ["results", TANKS, "-o", "gs://bucket/x.csv"], {}),
        (2, "a URL", ["plot", TANKS, "-o", "https://host/x.png"], {}),
        (2, "not a file", ["plot", TANKS, "-o", "/"], {}),
        (1, "File name too long", ["results", TANKS, "-o", "a" * 300 + ".csv"], {}),
        (4, "no dataset 'abc'. `kayrros datasets` lists: 'Tanks of ", ["metadata", "abc"], {}),
        (4, "no dataset 'abc'", ["results", "abc", "-o", "x.csv"], {}),
        (4, "no dataset 'abc'", ["plot", "abc"], {}),
        (4, "no dataset 'abc'", ["download", "abc"], {}),
        (4, "no dataset 'abc'", ["assets", "abc"], {}),
        (4, f"'{TANKS} Tanks of Cushing'", ["metadata", "7d3c1a52"], {}),
        (2, "'nope'", ["whoami", "--profile", "nope"], {}),
        (2, "http", ["collections"], {"KAYRROS_BASE_URL": "http://example.com"}),
        (2, "503:0.1", ["fake", "--fault", "503:2"], {}),
        (2, "503:0.1", ["fake", "--fault", "gremlins"], {}),
        (2, "503:0.1", ["fake", "--fault", "200"], {}),
        (2, "getDatasetResults", ["fake", "--fault", "logins=503"], {}),
        (2, "getDatasetResults", ["fake", "--fault", "=503"], {}),
        (2, "503:0.1", ["fake", "--fault", "login="], {}),
        (2, "x.gif", ["plot", TANKS, "-o", "x.gif"], {}),
        (2, "-o map.html", ["plot", TANKS, "--kind", "map"], {}),
        (2, "800x450", ["plot", TANKS, "--size", "800 by 450", "-o", "x.png"], {}),
        (2, "--title does not apply", ["plot", TANKS, "--title", "Mine"], {}),
        (2, "--theme does not apply", ["plot", TANKS, "--theme", "dark"], {}),
        (
            2,
            "Use one of None, 'date', 'week'",
            ["plot", TANKS, "--kind", "change", "--statistic", "mean", "-o", "x.png"],
            {},
        ),
        (2, "200 to 5000", ["plot", TANKS, "--size", "9", "-o", "x.png"], {}),
        (2, "can't be combined", ["plot", TANKS, "--all", "--asset", "x"], {}),
        (2, "can't be combined", ["fake", "--proxy", "http://127.0.0.1:1", "--large"], {}),
        (2, "can't be combined", ["fake", "--from", "x", "--proxy", "http://127.0.0.1:1"], {}),
        (2, "Did you mean `kayrros fake`?", ["mock", "--latency", "0.5"], {}),
        (2, "Did you mean `kayrros fake`?", ["mock", "--prism", "--large"], {}),
        (2, "Did you mean `kayrros fake`?", ["mock", "--max-rows", "5"], {}),
        (2, "--from. Did you mean `kayrros fake`?", ["mock", "--from", "session.har"], {}),
        (2, "Did you mean `kayrros fake`?", ["mock", "--proxy", "http://127.0.0.1:1"], {}),
        (2, "(pytest). Did you mean `kayrros fake`?", ["mock", "--", "pytest"], {}),
        (2, "range 0<=x<=65535. See `kayrros mock --help`.", ["mock", "--port", "99999"], {}),
        (3, "kayrros login", ["collections"], NO_CREDENTIALS),
        (3, "kayrros login", ["collections"], {"KAYRROS_PASSWORD": None}),
        (3, "kayrros login", ["collections"], {"KAYRROS_PASSWORD": "wrong"}),
        (3, "kayrros login", ["collections"], {**NO_CREDENTIALS, "KAYRROS_TOKEN": "wrong"}),
        (4, "no collection 'gas'. `kayrros collections` lists: 'Oil storage'.", ["datasets", "gas"], {}),
        (4, "404", ["metadata", "00000000-0000-4000-8000-000000000000"], {}),
        (1, "port PORT (Address already in use). Choose another with --port", ["fake", "--port", "PORT"], {}),
    ],
)
def test_each_failure_has_its_exit_code_and_one_line(
    code: int, message: str, arguments: list[str], variables: dict[str, str | None], kayrros: Command, inside: Inside
) -> None:
    """No traceback is shown, and stdout is empty. Invalid arguments send no request."""
    port = kayrros.environment["KAYRROS_BASE_URL"].rpartition(":")[2]
    done = inside(*[argument.replace("PORT", port) for argument in arguments], **variables)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert message.replace("PORT", port) in line
    assert line.startswith("kayrros: ")
    assert re.search(r" See (`kayrros( \w+)? --help`\.|https://\S+/troubleshooting/#\w+error)$", line)
    assert code != 2 or not kayrros.platform.requests


def test_server_error_is_1_and_debug_shows_the_traceback(inside: Inside) -> None:
    """Without --debug it is one line."""
    inside.command.platform.fail_next(500, times=None, operation="getDatasetMetadata")
    done = inside("metadata", TANKS)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    done = inside("metadata", TANKS, "--debug")
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr


def test_failure_of_the_login_host_is_1(inside: Inside) -> None:
    """The credentials may be right, so the hint does not ask for others."""
    inside.command.platform.fail_next(404, operation="login")  # a 500 would be retried, which takes time
    done = inside("metadata", TANKS)
    assert done.returncode == 1
    assert "kayrros login" not in done.stderr


ROWS = [["results", TANKS, "--format", name] for name in ("table", "csv", "json", "ndjson")]
OTHERS = [
    ["metadata", TANKS],
    ["metadata", TANKS, "--json"],
    ["collections"],
    ["datasets", "oil"],
    ["whoami"],
    ["config"],
]
OTHERS += [["--help"], ["results", "--help"], ["--version"], ["plot", TANKS], ["fake", "--port", "0"]]
# As Python opens stdout by default, and with `python -u`.
BUFFERING = pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "unbuffered"])


def stream(descriptor: int, buffering: int) -> io.TextIOWrapper:
    """Open a descriptor as Python opens its own, and does not close it."""
    binary = open(descriptor, "wb", buffering=buffering, closefd=False)  # noqa: SIM115 - a descriptor
    return io.TextIOWrapper(binary, "utf-8", write_through=not buffering)


@BUFFERING
def test_full_disk_behind_stdout_is_reported(buffering: int, inside: Inside) -> None:
    """The message names the full disk and does not ask for a bug report."""
    for arguments in [*ROWS, *OTHERS]:
        with inside.monkeypatch.context() as patch, Path("/dev/full").open("wb") as full:
            patch.setattr(sys, "stdout", stream(full.fileno(), buffering))
            done = inside(*arguments)
        assert done.returncode == 1, arguments
        assert "could not be written (No space left on device). Free some space" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@BUFFERING
@pytest.mark.parametrize("arguments", ROWS, ids=lambda arguments: arguments[-1])
def test_slow_reader_of_a_non_blocking_pipe_gets_every_byte(
    arguments: list[str], buffering: int, inside: Inside
) -> None:
    """The pipe takes 4,096 bytes at a time. So does stderr, which shares it as in `2>&1`."""
    dataset = inside.command.platform.generate(assets=20, dates=20).id
    arguments = ["results", dataset, *arguments[2:]]
    expected = inside(*arguments).stdout
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writing, False)
    received = bytearray()

    def read() -> None:
        while chunk := os.read(reading, 1000):
            received.extend(chunk)

    with inside.monkeypatch.context() as patch, concurrent.futures.ThreadPoolExecutor() as pool:
        reader = pool.submit(read)
        patch.setattr(sys, "stdout", stream(writing, buffering))
        patch.setattr(sys, "stderr", stream(writing, buffering))
        done = inside(*arguments)
        os.close(writing)
        reader.result()
    os.close(reading)
    assert len(expected) > 20_000
    assert (received.decode(), done.returncode) == (f"{expected}800 rows\n", 0)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_limit_on_the_size_of_a_file_is_reported(unbuffered: str, kayrros: Command, tmp_path: Path) -> None:
    """`ulimit -f` cuts the file short, and the exit code says so."""
    with (tmp_path / "x.csv").open("wb") as file:
        environment = kayrros.variables(PYTHONUNBUFFERED=unbuffered, PYTHONDONTWRITEBYTECODE="1")
        limit = ["bash", "-c", f"ulimit -f 4; {KAYRROS} results {TANKS}"]
        limited = subprocess.run(limit, env=environment, stdout=file, stderr=subprocess.PIPE, check=False)
    assert (limited.returncode, limited.stderr.count(b"\n")) == (1, 1 + (b" rows" in limited.stderr))
    assert b"could not be written (File too large)" in limited.stderr


@BUFFERING
def test_full_disk_behind_stderr_cuts_nothing(buffering: int, inside: Inside) -> None:
    """It changes no exit code either."""
    with inside.monkeypatch.context() as patch, Path("/dev/full").open("wb") as full:
        patch.setattr(sys, "stderr", stream(full.fileno(), buffering))
        done = inside("results", TANKS)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 25)


def test_error_at_close_is_reported(inside: Inside, tmp_path: Path) -> None:
    """Network file systems report a full disk only then."""
    with inside.monkeypatch.context() as patch, (tmp_path / "x").open("w") as file:
        patch.setattr(sys, "stdout", file)
        patch.setattr(os, "dup", lambda _: 10**6)  # no open descriptor, so that close fails
        done = inside("collections")
    assert done.returncode == 1
    assert "could not be written (Bad file descriptor)" in done.stderr


def test_closed_streams_are_no_failure(inside: Inside) -> None:
    """`2>&-` writes no messages to stdout, and with `<&-` there is no prompt. Data that `>&-` drops are an error."""
    with inside.monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", None)
        assert {line.split()[0] for line in inside("collections").stdout.splitlines()} == {"id", "oil"}
        sys.stderr.close()
    with inside.monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        done = inside("collections", "--json")
        assert (done.returncode, done.stdout) == (1, "")
        assert "could not be written (Bad file descriptor)" in done.stderr
        assert inside("logout").returncode == 0  # which prints no data
        sys.stdout.close()
    with inside.monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", None)
        login = inside.in_terminal("login", KAYRROS_EMAIL=None)
        assert login.code == 2
        assert "There is no email." in login.shown
        sys.stdin.close()


def test_gap_is_5_with_on_gap_warn(inside: Inside) -> None:
    """The rest is written and the gap is named. By default it is a failure whose hint names the option."""

    def includes_first_date(request: Request) -> bool:
        time_range = request.json.get("time_range") if request.body else None
        return time_range is not None and time_range["start_date"] <= FIRST_MS <= time_range["stop_date"]

    inside.command.platform.max_rows = 6
    inside.command.platform.fail_when(includes_first_date, 500, operation="getDatasetResults")
    done = inside("results", TANKS, "--on-gap", "warn", "--format", "ndjson")
    assert done.returncode == 5, done.stderr
    assert "Unavailable: " in done.stderr
    assert 0 < len(done.stdout.splitlines()) < 24
    done = inside("results", TANKS)
    assert done.returncode == 1
    assert "--on-gap warn" in done.stderr


@pytest.mark.parametrize("file_format", ["csv", "table"])
def test_closed_pipe_ends_quietly(file_format: str, kayrros: Command) -> None:
    """`kayrros results ID | head -1` succeeds and prints no error."""
    large = kayrros.platform.generate(assets=40, dates=100)
    process = kayrros.start("results", large.id, "--format", file_format)
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read().replace("8,000 rows\n", "") == ""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.parametrize("arguments", [["collections"], ["results", "--help"]])
def test_pipe_without_a_reader_ends_quietly(arguments: list[str], kayrros: Command) -> None:
    """Output that fits into the buffer, and output of typer, are no exceptions."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [KAYRROS, *arguments], env=kayrros.environment, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.returncode == 0
    assert done.stderr in {b"", b"1 collection\n"}  # unbuffered output fails before the message


@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGINT, 130, "kayrros: interrupted. {path} was not written."), (signal.SIGTERM, 143, "")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_ctrl_c_is_130(number: int, code: int, message: str, kayrros: Command, tmp_path: Path) -> None:
    """The command stops at once during a request, and leaves no partial file. SIGTERM is 143."""
    requested = threading.Event()

    def note(_: Request) -> bool:
        requested.set()
        return True

    kayrros.platform.fail_when(note, Fault.late(30), operation="getDatasetResults")
    process = kayrros.start("results", TANKS, "-o", tmp_path / "x.csv")
    assert requested.wait(60)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout, stderr.strip()) == (code, "", message.format(path=tmp_path / "x.csv"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("columns", [20, 40, 80, 120])
def test_table_fits_the_terminal(columns: int, inside: Inside) -> None:
    """Long values are truncated with an ellipsis; the header is bold."""
    inside.command.platform.add_collection("A name that goes on and on, beyond eighty columns of any terminal" * 3, [])
    inside.command.platform.add_collection("東京湾の石油タンク" * 9, [])
    wide = inside.command.platform.generate(name="東京湾の石油タンク" * 9, assets=1, dates=1)
    for arguments in (
        ["collections"],
        ["results", TANKS],
        ["metadata", TANKS],
        ["metadata", wide.id],
        ["config"],
        ["whoami"],
    ):
        done = inside.in_terminal(*arguments, "-q", columns=columns)
        lines = re.sub(r"\x1b\[\d+m", "", done.shown).splitlines()
        assert done.code == 0
        assert max(map(cell_len, lines)) <= columns, arguments
        assert done.shown.startswith("\x1b[1m")
    assert "…" in inside.in_terminal("collections", columns=columns).shown


def test_narrow_terminal_tells_assets_apart(inside: Inside) -> None:
    """It omits units and their names first, and truncated ids keep their ends."""
    rows = {f"storage-terminal-of-the-north-{n}": {"2024-01-01": {"stored_volume_bbl": 1.5}} for n in (1, 2)}
    dataset = inside.command.platform.add(rows)
    head, *lines = inside.in_terminal("results", dataset.id, columns=60, NO_COLOR="1").shown.splitlines()[:3]
    assert head.split() == ["asset_id", "value_date", "metric", "value"]
    assert [line.split()[0] for line in lines] == ["storage-termin…north-1", "storage-termin…north-2"]


def test_narrow_terminal_tells_metrics_apart(inside: Inside) -> None:
    """Two metrics that differ in the middle never look the same. Times show seconds only where some are not zero."""
    metrics = {"emission_rate_kg_per_h": 14_477.4, "emission_rate_uncertainty_kg_per_h": 2366.03}
    rows = {f"hotspot-of-the-basin-{n}": {"2024-02-03T13:06:00Z": metrics} for n in (1, 2)}
    dataset = inside.command.platform.add(rows)
    for columns in (60, 80):
        head, *lines = inside.in_terminal("results", dataset.id, "-q", columns=columns, NO_COLOR="1").shown.splitlines()
        assert head.split()[1:] == ["value_date", "metric", "value"]
        assert len({line.split()[0] for line in lines}) == 2
        assert len({line.split()[3] for line in lines}) == 2
        assert {line.split()[2] for line in lines} == {"13:06"}
    narrow = inside.in_terminal("results", dataset.id, "-q", columns=45, NO_COLOR="1").shown
    assert "metric" not in narrow
    dataset = inside.command.platform.add({"a": {"2024-02-03T13:06:00Z": metrics, "2024-02-03T13:07:08Z": metrics}})
    table = inside("results", dataset.id, "--format", "table").stdout
    assert "13:06:00" in table
    assert "13:07:08" in table


def test_colour_can_be_turned_off(inside: Inside) -> None:
    """It is off in a pipe, with NO_COLOR, and with TERM=dumb."""
    assert "\x1b" not in inside("results", TANKS, "--format", "table").stdout
    assert "\x1b" not in inside.in_terminal("results", TANKS, NO_COLOR="1").shown
    assert "\x1b" not in inside.in_terminal("results", TANKS, TERM="dumb").shown


def test_progress_appears_after_a_second(kayrros: Command, inside: Inside, tmp_path: Path) -> None:
    """It leaves nothing behind, and rows come after it."""
    assert "━" not in inside.in_terminal("results", TANKS, "-o", tmp_path / "x.csv").shown
    kayrros.platform.fail_when(lambda _: True, Fault.late(1.5), operation="getDatasetResults")
    shown = kayrros.in_terminal("results", TANKS)
    assert "waiting for the first response" in shown.shown
    assert "━" not in shown.screen
    assert shown.screen.splitlines()[0].startswith("asset_id")


@pytest.fixture
def slow(kayrros: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Responses that are late enough for the progress bar, which does not wait for a second here."""
    monkeypatch.setattr(progress_bars, "DELAY_S", 0.05)
    for operation in ("getDatasetResults", "downloadStaticDataset"):
        kayrros.platform.fail_when(lambda _: True, Fault.late(0.4), operation=operation)


@pytest.mark.usefixtures("slow")
def test_progress_is_shown_only_in_a_terminal(inside: Inside, tmp_path: Path) -> None:
    """A pipe, --quiet and a dumb terminal show none."""
    path = tmp_path / "x.csv"
    shown = inside.in_terminal("results", TANKS, "-o", path)
    assert re.search("results .*━.*waiting for the first response", shown.shown)
    assert shown.screen == f"24 rows\n{path}"
    assert re.search("download .*━", inside.in_terminal("download", TANKS, tmp_path).shown)
    assert inside.in_terminal("results", TANKS, "-q", "-o", path).shown == f"{path}\n"
    assert "━" not in inside("results", TANKS, "-o", path).stderr
    assert "\x1b" not in inside.in_terminal("results", TANKS, "-o", path, TERM="dumb").shown


def test_progress_is_not_shown_to_a_pager(kayrros: Command) -> None:
    """`less` and `head` draw on the same terminal."""
    kayrros.platform.fail_when(lambda _: True, Fault.late(1.5), operation="getDatasetResults")
    reading, writing = os.pipe()
    assert kayrros.in_terminal("results", TANKS, stdout=writing).shown == "24 rows\r\n"
    os.close(writing)
    os.close(reading)


@pytest.mark.usefixtures("slow")
def test_log_lines_stay_above_the_bar(inside: Inside, tmp_path: Path) -> None:
    """With -v, none is overwritten and no bar stays between them."""
    inside.command.platform.max_rows = 6
    shown = inside.in_terminal("results", TANKS, "-v", "-o", tmp_path / "x.csv", columns=100)
    assert "━" in shown.shown
    [log, rows, path] = shown.screen.splitlines()
    assert log.startswith("INFO kayrros_ext: getDatasetResults: rows=24 windows=")
    assert (rows.partition(",")[0], path) == ("24 rows", str(tmp_path / "x.csv"))


def test_terminal_shows_40_rows(inside: Inside) -> None:
    """The message says how to see all; a pipe has all. With windows, those after the rows are not requested."""
    dataset = inside.command.platform.generate(assets=10, dates=10, metrics=1)
    shown = inside.in_terminal("results", dataset.id, NO_COLOR="1").shown.splitlines()
    message = "40 of 100 rows. Add --all, or -o results.csv for a file."
    assert (len(shown), shown[-2:]) == (43, ["…", message])
    assert inside.in_terminal("results", dataset.id, "-q").shown.splitlines()[-1] == "…"
    assert len(inside.in_terminal("results", dataset.id, "--all", "-q").shown.splitlines()) == 101
    assert len(inside("results", dataset.id, "--format", "table").stdout.splitlines()) == 101
    assert "…" not in inside.in_terminal("results", TANKS).shown
    inside.command.platform.max_rows = 20
    shown = inside.in_terminal("results", dataset.id, NO_COLOR="1").shown.splitlines()
    assert len(shown) == 43
    assert re.match(r"40 of (more than )?\d+ rows\. Add", shown[-1])


def test_numbers_are_aligned_and_have_a_unit(inside: Inside) -> None:
    """All numbers of a metric have the same decimal places, in each batch of rows."""
    values = {f"2024-01-{day:02}": {"level_pct": 61.25 + day, "volume_bbl": 1234.5, "count": 3.0} for day in (1, 2)}
    dataset = inside.command.platform.add({"a": values})
    table = inside("results", dataset.id, "--format", "table").stdout.splitlines()
    assert [line.partition("2024-01-01  ")[2] for line in table if "2024-01-01" in line] == [
        "count                 3",
        "level_pct   %        62.25",
        "volume_bbl  bbl   1,234.5",
    ]


@pytest.mark.parametrize("columns", [20, 30, 40, 60])
def test_narrow_terminal_truncates_no_number_and_no_date(columns: int, inside: Inside) -> None:
    """It truncates and drops other columns."""
    day = {"stored_volume_bbl": 1_234_567.25, "fill_level_pct": 9.5}
    dataset = inside.command.platform.add({"7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4": {"2024-01-01": day}})
    lines = inside.in_terminal("results", dataset.id, "-q", columns=columns, NO_COLOR="1").shown.splitlines()
    for line, number in zip(lines[1:], ("9.5", "1,234,567"), strict=True):
        assert {"2024-01-01", number} <= set(line.split())


def test_later_rows_are_whole_too(inside: Inside) -> None:
    """The columns have the width of the first thousand rows, and a longer number goes beyond it."""
    values = {f"{2000 + n // 336}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}": {"level": 1.5} for n in range(1000)}
    dataset = inside.command.platform.add({"a": {**values, "2024-01-01": {"level": 123_456.5}}})
    shown = inside.in_terminal("results", dataset.id, "--all", "-q", NO_COLOR="1").shown
    assert shown.splitlines()[-1].split()[-1] == "123,456.5"


def test_no_rows_show_the_dates_of_the_dataset(inside: Inside) -> None:
    """Outside of the dates and between two of them. It costs a request for the metadata, only when there are no rows."""
    dates = "The dataset has values from 2024-01-02 to 2024-01-23."
    for options in (["--from", "2031"], ["--to", "2001-05"], ["--from", "2024-01-03", "--to", "2024-01-04"]):
        done = inside("results", TANKS, *options)
        assert (done.returncode, done.stderr) == (0, f"0 rows\n{dates}\n")
    assert dates in inside("plot", TANKS, "--from", "2031").stderr
    requests = len(inside.command.platform.requests)
    assert "The dataset" not in inside("results", TANKS, "--from", "2024-01-03").stderr
    assert len(inside.command.platform.requests) == requests + 2  # login and results


def test_interrupted_download_says_how_much_is_kept(kayrros: Command, inside: Inside, tmp_path: Path) -> None:
    """The same command resumes, and says where."""
    file = StaticFile(3_000_000, ranges=True)
    dataset = kayrros.platform.generate(assets=1, dates=1, file=file)
    is_over = threading.Event()

    def stall(response: Response) -> Response:
        def body() -> Iterator[bytes]:
            yield from file.chunks(0, 1_000_000)
            is_over.wait(60)

        return attrs.evolve(response, body=body())

    kayrros.platform.fail_next(Fault("stalls", stall), operation="downloadStaticDataset")
    process = kayrros.start("download", dataset.id, tmp_path)
    part = tmp_path / f".{dataset.id}.part"
    while not (part.exists() and part.stat().st_size == 1_000_000):
        os.sched_yield()
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    is_over.set()
    message = "\nkayrros: interrupted. 1 MB of 3 MB are kept. Repeat the download to resume it.\n"
    assert (process.returncode, stderr) == (130, message)
    assert inside("download", dataset.id, tmp_path).stderr.startswith("kayrros: resuming at 1 MB\n3 MB, sha256 ")


def test_usage_names_the_arguments(inside: Inside) -> None:
    """Without braces."""
    assert inside("results", "--help").stdout.startswith("Usage: kayrros results [OPTIONS] DATASET\n")
    assert inside("download", "--help").stdout.startswith("Usage: kayrros download [OPTIONS] DATASET [DIRECTORY]\n")
    bare = inside()
    assert (bare.returncode, bare.stderr) == (2, inside("--help").stdout)


@pytest.mark.parametrize("file_format", ["table", "csv"])
def test_rows_do_not_go_where_the_progress_goes(
    file_format: str, kayrros: Command, inside: Inside, tmp_path: Path
) -> None:
    """`kayrros results ID > file` in a terminal writes to the file what a pipe gets."""
    arguments = ["results", TANKS, "--format", file_format]
    with (tmp_path / "x").open("wb") as file:
        terminal = kayrros.in_terminal(*arguments, stdout=file.fileno())
    assert (tmp_path / "x").read_text() == inside(*arguments).stdout
    assert "24 rows" in terminal.shown
    assert "tank-000001" not in terminal.shown


@pytest.mark.parametrize(("columns", "rows"), [(40, 12), (20, 5)])
@pytest.mark.usefixtures("slow")
def test_progress_leaves_no_lines_in_a_small_terminal(columns: int, rows: int, inside: Inside, tmp_path: Path) -> None:
    """Each update replaces the one before, so there are only as many lines as messages."""
    inside.command.platform.max_rows = 6
    shown = inside.in_terminal("results", TANKS, "-o", tmp_path / "x.csv", columns=columns, LINES=str(rows)).shown
    assert "24 rows" in shown
    assert shown.count("\x1b[2K") > 2
    assert shown.count("\n") <= 4  # the path, the number of rows, and the end of the bar
    bar = re.sub(r"\x1b\[[?\d;]*[a-z]", "", shown.partition("24 rows\n")[0])
    assert max(map(cell_len, re.split(r"[\r\n]|\x1b\[\d*[A-K]", bar))) <= columns


@pytest.mark.parametrize(("columns", "rows"), [(40, 12), (20, 5)])
def test_chart_fits_a_small_terminal(columns: int, rows: int, inside: Inside) -> None:
    """Or the command says that the terminal is too small, and sends nothing."""
    shown = inside.in_terminal("plot", TANKS, "-q", columns=columns, LINES=str(rows))
    if columns < 40:
        assert shown.code == 2
        assert "too small" in " ".join(shown.shown.split())
        assert "--output" in shown.shown
        assert not inside.command.platform.requests
    else:
        lines = re.sub(r"\x1b\[[\d;]*m", "", shown.shown).splitlines()
        assert len(lines) == rows - 2
        assert max(map(cell_len, lines)) <= columns
        assert sum("Tank" in line for line in lines) == 2


def test_plot_draws_in_the_terminal_or_to_a_file(inside: Inside, tmp_path: Path) -> None:
    """The chart has colour and the width of the terminal, and no colour in a pipe. For a file, stdout has its path."""
    metric = inside.json("results", TANKS)[0]["metric"]
    shown = inside.in_terminal("plot", TANKS, "--metric", metric, "-q", columns=60)
    assert shown.code == 0
    assert "\x1b[38;5;" in shown.shown
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in shown.shown.splitlines()) <= 60
    piped = inside("plot", TANKS)
    assert piped.returncode == 0
    assert "\x1b" not in piped.stdout
    assert "2 Jan 2024" in piped.stdout
    assert "can't be added up" in inside("plot", TANKS, "--by", "total").stderr
    path = tmp_path / "x.svg"
    done = inside("plot", TANKS, "--all", "-o", path)
    assert (done.stdout, done.stderr) == (f"{path}\n", "24 rows\n")
    assert "<svg" in path.read_text()


def test_plot_has_the_options_of_results_plot(inside: Inside, tmp_path: Path) -> None:
    """A repeated --metric gives a chart each, and --size the pixels, of which a PNG has two for each."""
    metrics = list(dict.fromkeys(row["metric"] for row in inside.json("results", TANKS)))[:2]
    path = tmp_path / "x.svg"
    options = ["--facet", "--theme", "dark", "--title", "Mine", "--subtitle", "My own", "--size", "600"]
    assert inside("plot", TANKS, "-o", path, "--metric", metrics[0], *options).returncode == 0
    assert all(text in path.read_text() for text in (">Mine<", ">My own<", 'width="600"', "#14171b"))
    both = [part for metric in metrics for part in ("--metric", metric)]
    assert inside("plot", TANKS, "-o", path, *both).returncode == 0
    assert path.read_text().count("Y-axis") == 2
    options = ["--kind", "change", "--statistic", "week", "--size", "500x300"]
    done = inside("plot", TANKS, "-o", path, *options)
    assert (done.stdout, done.returncode) == (f"{path}\n", 0), done.stderr
    assert all(text in path.read_text() for text in ("hange to the previous week", "Source: Kayrros"))
    done = inside("plot", TANKS, "-o", tmp_path / "x.pdf", "--kind", "latest")
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF"), done.stderr


EVIL = "red\x1b[31m\x9b[/x]\u202e\u2066\u200b\u2028\nalert"


def test_names_from_the_server_lose_control_characters(inside: Inside) -> None:
    """They are one line without escape sequences, and no markup of rich."""
    inside.command.platform.add_collection(EVIL, [])
    assert "red [31m [/x] alert" in inside("collections").stdout
    dataset = inside.command.platform.add({EVIL: {"2024-01-01": {EVIL: 1.0}}}, name=EVIL)
    for arguments in (["results", dataset.id], ["metadata", dataset.id], ["results", dataset.id, "--metric", "x"]):
        done = inside.in_terminal(*arguments, NO_COLOR="1")
        assert all(line.isprintable() for line in done.shown.splitlines()), done.shown
        assert "[/x]" in done.shown


@pytest.mark.parametrize("options", [["--json"], ["--format", "ndjson"], ["--format", "csv"]])
def test_text_in_a_terminal_is_escaped(options: list[str], inside: Inside) -> None:
    """JSON stays equal. In a pipe, nothing is escaped that JSON does not escape."""
    dataset = inside.command.platform.add({EVIL: {"2024-01-01": {EVIL: 1.0}}}, name=EVIL)
    commands = [["results", dataset.id, *options]] + [["metadata", dataset.id, *options]] * (options == ["--json"])
    for arguments in commands:
        shown, piped = inside.in_terminal(*arguments, "-q").shown, inside(*arguments).stdout
        assert all(line.isprintable() for line in shown.split("\n"))
        assert "\u202e" in piped
        assert "csv" in options or json.loads(shown) == json.loads(piped)


def test_a_dataset_has_a_short_name(inside: Inside, tmp_path: Path) -> None:
    """Its name or the beginning of its id or name, if only one matches. Nothing need be listed first."""
    assert inside("datasets", "oil st").returncode == 0
    assert inside.json("metadata", "tanks of CUSHING")["id"] == TANKS
    assert inside.json("metadata", "tanks of c")["id"] == TANKS
    assert inside.json("metadata", OTHER[:11])["id"] == OTHER
    assert inside.json("results", "tanks of c") == inside.json("results", TANKS)
    assert inside("download", "tanks of c", tmp_path, "-q").returncode == 0
    assert inside("plot", "tanks of c").returncode == 0


def test_all_datasets_are_listed_with_their_collection(inside: Inside) -> None:
    """Without a collection, the table has a column for it; JSON has id and name of the collection in any case."""
    lines = [re.split("  +", line) for line in inside("datasets").stdout.splitlines()]
    assert lines[0] == ["id", "name", "collection"]
    assert lines[1] == [TANKS, "Tanks of Cushing", "Oil storage"]
    assert inside("datasets", "oil").stdout.splitlines()[0].split() == ["id", "name"]
    assert inside.json("datasets")[0]["collection"] == {"id": "oil", "name": "Oil storage"}
    assert inside.json("datasets") == inside.json("datasets", "oil")


def test_find_searches_collections_datasets_and_assets_that_were_shown(inside: Inside) -> None:
    """Assets are in the cache once a command has shown them, with the name of their dataset."""
    assert [row["name"] for row in inside.json("find", "cushing tanks")] == ["Tanks of Cushing"]
    assert [row["kind"] for row in inside.json("find", "oil")] == ["collection"]
    done = inside("find", "tank-0000")
    hint = "Assets are found after `kayrros assets DATASET` or `kayrros results DATASET`."
    assert (done.returncode, done.stderr) == (0, f"0 matches\n{hint}\n")
    inside("results", "tanks of c")  # which caches no names of datasets
    done = inside("find", "tank-000001")
    assert done.stderr == "1 match\n"
    assert re.split("  +", done.stdout.splitlines()[1]) == [
        "asset",
        "tank-000001",
        "Tank 000001, Cushing",
        "Tanks of Cushing",
    ]


def test_assets_are_listed(inside: Inside) -> None:
    """A row for each, with the number of its dates."""
    header, *rows = [re.split("  +", line) for line in inside("assets", "tanks of c").stdout.splitlines()]
    assert header == ["id", "name", "parent", "categories", "centroid", "dates"]
    assert [row[0] for row in rows] == [f"tank-00000{number}" for number in range(3)]
    assert {row[-1] for row in rows} == {"4"}
    [first, *_] = inside.json("assets", TANKS)
    assert (first["id"], first["date_count"]) == ("tank-000000", 4)


def test_assets_are_selected_by_id_or_name(inside: Inside, tmp_path: Path) -> None:
    """In results, files and plots. One that does not exist is an error, and leaves no file."""
    expected = inside.json("results", TANKS, "--asset", "tank-000001")
    assert 0 < len(expected) < 24
    name = expected[0]["asset_name"]
    assert inside.json("results", TANKS, "--asset", name.upper()) == expected
    assert inside("plot", TANKS, "--asset", name.upper()).returncode == 0
    for command in (["results"], ["results", "-o", tmp_path / "x.csv"], ["plot"], ["plot", "-o", tmp_path / "x.svg"]):
        done = inside(*command, TANKS, "--asset", "tnak-000001")
        assert (done.returncode, done.stdout) == (2, "")
        assert "no asset 'tnak-000001'" in done.stderr
        assert "'Tank 000001, " in done.stderr
    assert not list(tmp_path.iterdir())


def test_cached_names_are_private(inside: Inside, home: Path) -> None:
    """They belong to one account, the file has mode 0600 and its folder 0700. A damaged file counts as empty."""
    inside("datasets", "oil")
    [file] = (home / "cache" / "names").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    account = inside.command.platform.environment("")
    others = {name: account[name] for name in ("KAYRROS_EMAIL", "KAYRROS_PASSWORD")}
    inside("assets", TANKS)
    assert len(inside.json("find", "tank-000001")) == 1
    assert inside.json("find", "tank-000001", **others) == []
    file.write_text("[1")
    assert inside.json("find", "tank-000001") == []


def test_cached_names_of_others_are_ignored(inside: Inside, home: Path) -> None:
    """A pipe in their place does not hang the command, nor completion, and a file that others can write is not read."""
    inside("datasets", "oil")
    [file] = (home / "cache" / "names").iterdir()
    assert len(complete_datasets("")) == 2
    file.chmod(0o666)
    assert complete_datasets("") == []
    content = file.read_bytes()
    file.unlink()
    (home / "copy").write_bytes(content)
    (home / "copy").chmod(0o600)
    file.symlink_to(home / "copy")
    assert complete_datasets("") == []
    file.unlink()
    os.mkfifo(file, 0o600)
    assert complete_datasets("") == []
    assert inside("datasets", "oil").returncode == 0  # replaces it
    assert len(complete_datasets("")) == 2


def test_download_prints_its_path_and_replaces_no_file_unasked(inside: Inside, tmp_path: Path) -> None:
    """The very file is no error. --overwrite replaces another one, and a wrong --sha256 fails."""
    file = tmp_path / "data" / "tanks.csv"
    done = inside("download", TANKS, file.parent)
    assert (done.returncode, done.stdout, file.read_bytes()) == (0, f"{file}\n", b"a,b\n1,2\n")
    again = inside("download", TANKS, file.parent)
    assert (again.returncode, again.stdout) == (0, f"{file}\n")
    assert "existed already" in again.stderr
    assert not inside.json("download", TANKS, file.parent)["new"]
    file.write_bytes(b"mine")
    refused = inside("download", TANKS, file.parent)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "--overwrite" in refused.stderr
    assert "overwrite=" not in refused.stderr
    assert inside("download", TANKS, file.parent, "--overwrite", "--sha256", "0" * 64).returncode == 1
    assert file.read_bytes() == b"mine"
    downloaded = inside.json("download", TANKS, file.parent, "--overwrite")
    assert {"path": str(file), "size": 8, "new": True}.items() <= downloaded.items()


def test_paths_that_are_no_utf8_are_written_and_printed(kayrros: Command, tmp_path: Path) -> None:
    """A pipe gets their bytes, as from ls, and an error does not become a traceback."""
    root = os.fsencode(tmp_path) + b"/\xff"
    for path, command in (
        (root + b"/x.csv", [b"results", TANKS.encode(), b"-o", root + b"/x.csv"]),
        (root + b"/tanks.csv", [b"download", TANKS.encode(), root]),
    ):
        done = subprocess.run([KAYRROS, *command], env=kayrros.environment, capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (0, path + b"\n"), done.stderr
        assert os.path.isfile(path)  # noqa: PTH113 - bytes
    arguments = [b"results", TANKS.encode(), b"-o", root + b"/x.csv/y.csv"]
    done = subprocess.run([KAYRROS, *arguments], env=kayrros.environment, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"Not a directory" in done.stderr
    assert b"Traceback" not in done.stderr


def test_home_in_a_path_is_expanded(inside: Inside, home: Path) -> None:
    """Also where no shell did it."""
    for command in (["download", TANKS, "~/data"], ["results", TANKS, "-o", "~/data/x.csv"]):
        assert inside(*command, HOME=str(home)).stdout.startswith(f"{home}/data/")
    assert {path.name for path in (home / "data").iterdir()} == {"tanks.csv", "x.csv"}


def test_api_sends_any_request_logged_in(kayrros: Command, inside: Inside) -> None:
    """The body of the response is printed without the token, and an error status is the exit code."""
    listed = inside("api", "get", "/v1/processing/collection/list")
    assert json.loads(listed.stdout) == [{"id": "oil", "name": "Oil storage"}]
    assert listed.stderr == "200 application/json\n"
    posted = inside("api", "POST", "/v1/processing/collection/datasets", "--form", "collection_id=oil")
    assert [dataset["id"] for dataset in json.loads(posted.stdout)] == [TANKS, OTHER]
    results = f"/v1/processingresult/dataset/{TANKS}"
    filtered = inside("api", "POST", results, "--data", "@-", stdin='{"mo_ids": ["tank-000001"]}')
    assert [asset["asset_id"] for asset in json.loads(filtered.stdout)["assets"]] == ["tank-000001"]
    failed = inside("api", "GET", "/nowhere")
    assert (failed.returncode, json.loads(failed.stdout)["code"]) == (4, "NOT_FOUND")
    assert "GET /nowhere: 127.0.0.1 answered 404 (NOT_FOUND: " in failed.stderr
    kayrros.platform.fail_next(Fault.body(b'{"got": "Bearer canary-token"}', status=400), operation="listCollections")
    failed = inside(
        "api", "GET", "/v1/processing/collection/list", **{**NO_CREDENTIALS, "KAYRROS_TOKEN": "canary-token"}
    )
    assert (failed.returncode, "canary" in failed.stdout + failed.stderr, "got" in failed.stdout) == (1, False, True)
    refused = inside("api", "GET", "/v1/processing/collection/list", **{**NO_CREDENTIALS, "KAYRROS_TOKEN": "wrong"})
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (3, "WRONG_CREDENTIALS")
    assert "kayrros login" in refused.stderr


def test_api_writes_other_bodies_as_they_are(kayrros: Command, inside: Inside) -> None:
    """A file comes out byte by byte in a pipe, and without control characters in a terminal. Pages of gateways do, too."""
    content = b"\xff\x00\x1b[31m,b\n"
    dataset = kayrros.platform.add(file=StaticFile(content, "x.csv", "text/csv")).id
    [path] = [operation.path for operation in OPERATIONS if operation.id == "downloadStaticDataset"]
    path = path.replace("{datasetId}", dataset)
    done = subprocess.run(
        [KAYRROS, "api", "GET", path],
        env=kayrros.environment,
        capture_output=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.stdout == content
    assert "\x1b" not in inside.in_terminal("api", "GET", path).shown
    kayrros.platform.fail_next(Fault.html(502), operation="downloadStaticDataset")
    failed = inside("api", "GET", path)
    assert failed.returncode == 1
    assert "<h1>502 Bad Gateway</h1>" in failed.stdout
    assert failed.stdout.endswith(">\n")
    assert len([request for request in kayrros.platform.requests if request.status == 502]) == 1
    kayrros.platform.fail_next(Fault.html(502), operation="downloadStaticDataset")
    shown = inside.in_terminal("api", "GET", path).shown
    assert "a web page: 502 Bad Gateway" in shown
    assert "<" not in shown


@pytest.mark.parametrize("content_type", ["text/plain; charset=utf-8", "Text/CSV", "", "application/json"])
def test_api_shows_no_token_in_text(content_type: str, kayrros: Command, inside: Inside) -> None:
    """A successful response may repeat the token, also one without a content type."""
    body = b'"got Bearer canary-token"\n'
    response = Response(200, {"Content-Type": content_type} if content_type else {}, [body], len(body))
    fault = Fault("repeats the token", lambda _: response, replaces_response=True)
    variables = {**NO_CREDENTIALS, "KAYRROS_TOKEN": "canary-token"}
    kayrros.platform.fail_next(fault, operation="listCollections")
    piped = inside("api", "GET", "/v1/processing/collection/list", **variables)
    assert piped.stderr.strip() == f"200 {content_type or 'without a content type'}"
    kayrros.platform.fail_next(fault, operation="listCollections")
    shown = inside.in_terminal("api", "GET", "/v1/processing/collection/list", KAYRROS_TOKEN="canary-token").shown
    for text in (piped.stdout, shown):
        assert "got" in text
        assert "canary" not in text


@pytest.mark.parametrize("path", ["/v3/login", "/v3/login/?a=b", "/v3//x/../%6Cogin", "/V3/login#x"])
def test_api_refuses_the_login(path: str, kayrros: Command, inside: Inside) -> None:
    """Its response is a new token. Nothing is sent."""
    done = inside("api", "POST", path, "--form", "login=a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Use `kayrros login`." in done.stderr
    assert not kayrros.platform.requests


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["/v1\n"], "can't be sent"),
        (["/v1", "--form", "a=\udcff"], "can't be sent"),
        (["/v1", "--data", '"\udcff"'], "--data is not JSON"),
        (["/v1", "--data", "[" * 100_000], "--data is not JSON"),
        (["//example.com/v1"], "not a path on the data host"),
        (["https://example.com/v1"], "not a path on the data host"),
        (["/v1", "--data", "{"], "--data is not JSON"),
        (["/v1", "--data", "@missing.json"], "missing.json can't be read"),
        (["/v1", "--form", "collection_id"], "is not NAME=VALUE"),
        (["/v1", "--form", "a=b", "--data", "{}"], "can't be combined"),
    ],
)
def test_api_refuses_what_cannot_be_sent(arguments: list[str], problem: str, kayrros: Command, inside: Inside) -> None:
    """The token goes to the data host alone, and nothing is sent before the body is checked."""
    done = inside("api", "POST", *arguments)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "bug" not in done.stderr
    assert "not an HTTP method" in inside("api", "GET /v1", "/v1").stderr
    assert not kayrros.platform.requests


def test_verbose_logs_and_vv_logs_requests(inside: Inside) -> None:
    """The log has no secrets: the suite searches all output for the password."""
    log = inside("results", TANKS, "-v").stderr
    assert "getDatasetResults: rows=24" in log
    assert "HTTP Request" not in log
    assert "HTTP Request: POST" in inside("metadata", TANKS, "-vv").stderr


def test_login_that_saves_nothing_says_so(inside: Inside, tmp_path: Path, home: Path) -> None:
    """A folder that `sudo` left to root, or any other that can't be written, holds no token, and the profile stays."""
    (tmp_path / "cache").touch()
    unwritable = {**NO_CREDENTIALS, "KAYRROS_TOKEN_CACHE": "on", "KAYRROS_CACHE_DIR": str(tmp_path / "cache")}
    login = inside("login", "--email", "canary@example.com", "--password-stdin", stdin=f"{PASSWORD}\n", **unwritable)
    assert f"Nothing was saved: {tmp_path / 'cache'} is not a folder of yours" in login.stderr
    assert (home / "config.toml").read_text() == ""
    login = inside("login", KAYRROS_TOKEN_CACHE="off")
    assert "Nothing was saved: KAYRROS_TOKEN_CACHE is off" in login.stderr
    assert (home / "config.toml").read_text() == ""


@pytest.mark.holds_secrets("cache/tokens/*")
def test_login_without_a_keyring_saves_its_token(kayrros: Command, inside: Inside, home: Path) -> None:
    """The next commands use it until it expires or `kayrros logout` deletes it."""
    saved = NO_CREDENTIALS
    login = inside("login", "--email", "canary@example.com", "--password-stdin", stdin=f"{PASSWORD}\n", **saved)
    assert login.returncode == 0, login.stderr
    assert "The token is saved, but not the password" in login.stderr
    assert "Log in again when it expires." in login.stderr
    url = kayrros.environment["KAYRROS_BASE_URL"]
    profile = {"email": "canary@example.com", "base_url": url, "auth_url": url}
    assert tomllib.loads((home / "config.toml").read_text()) == {"default": profile}
    assert (home / "config.toml").stat().st_mode & 0o777 == 0o600
    assert kayrros.platform.logins == 1
    identity = inside.json("whoami", **saved)
    assert (identity["email"], identity["source"], identity["has_token"]) == ("canary@example.com", "login", True)
    assert kayrros("collections", **saved).returncode == 0
    assert kayrros.platform.logins == 1
    config = inside.json("config", **saved)
    assert (config["token"]["source"], config["token_cache"]["value"]) == ("saved by a login", "on")
    assert re.search("^token +saved$", inside("whoami", **saved).stdout, re.MULTILINE)
    assert "The token is saved. KAYRROS_PASSWORD is used when it expires." in inside("login").stderr
    kayrros.platform.logins = 1
    kayrros.platform.expire_tokens()
    expired = inside("collections", **saved)
    assert expired.returncode == 3
    assert "The saved login has expired or was revoked. Run `kayrros login`." in expired.stderr
    logout = inside("logout", **{**saved, "KAYRROS_EMAIL": "other@example.com"}).stderr
    stays = "The login of canary@example.com (profile default) stays, because KAYRROS_EMAIL is other@example.com."
    assert logout == f"There was nothing to delete.\n{stays}\n"
    logout = inside("logout", **saved).stderr
    deleted = "the token; email, base_url, auth_url of profile default"
    assert logout == f"Logged out canary@example.com. Deleted: {deleted}.\n"
    assert (home / "config.toml").read_text() == ""
    assert not list((home / "cache" / "tokens").glob("*.json"))
    assert inside("collections", **saved).returncode == 3


@pytest.mark.holds_secrets("cache/tokens/*")
def test_login_prompts_for_the_password_without_echo(kayrros: Command) -> None:
    """A real terminal does not show the password."""
    done = kayrros.in_terminal("login", typed=f"{PASSWORD}\n", KAYRROS_PASSWORD=None)
    assert done.code == 0
    assert "Password: " in done.shown
    assert PASSWORD not in done.shown
    assert kayrros.platform.logins == 1


def test_password_is_never_an_argument(inside: Inside) -> None:
    """Without a terminal it comes from a variable or stdin."""
    assert "No such option" in inside("login", "--password", "secret").stderr
    done = inside("login", KAYRROS_PASSWORD=None)
    assert done.returncode == 2
    assert "--password-stdin" in done.stderr
    assert inside("login", "--password-stdin", KAYRROS_PASSWORD=None).returncode == 2


def test_refused_login_saves_nothing(inside: Inside, home: Path) -> None:
    """The command makes one attempt and exits with 3."""
    done = inside("login", "--profile", "new", "--email", "canary@example.com", KAYRROS_PASSWORD="wrong")
    assert (done.returncode, (home / "config.toml").read_text()) == (3, "")
    assert len(inside.command.platform.requests) == 1


@pytest.mark.holds_secrets("cache/tokens/*")
def test_login_adds_a_profile_with_hosts(inside: Inside, home: Path) -> None:
    """Other profiles and comments stay, and the password is not written."""
    url = inside.command.environment["KAYRROS_BASE_URL"]
    before = '# mine\n[default]\nemail = "me@example.com"  # old\n'
    (home / "config.toml").write_text(before)
    hosts = ["--base-url", url, "--auth-url", url]
    variables = {"KAYRROS_BASE_URL": None, "KAYRROS_AUTH_URL": None}
    assert inside("login", "--profile", "local", *hosts, **variables).returncode == 0
    after = (home / "config.toml").read_text()
    assert after.startswith(before)
    profile = {"email": "canary@example.com", "base_url": url, "auth_url": url}
    assert tomllib.loads(after)["local"] == profile
    assert inside("collections", "--profile", "local", **NO_CREDENTIALS, **variables).returncode == 0
    assert inside.command.platform.logins == 1
    assert inside("logout", "--profile", "local", **NO_CREDENTIALS, **variables).returncode == 0
    assert (home / "config.toml").read_text() == before


@pytest.mark.holds_secrets("config.toml")
def test_login_to_a_profile_with_its_own_token_is_refused(inside: Inside, home: Path) -> None:
    """That token would override the login, so nothing is sent."""
    (home / "config.toml").write_text(f'[mine]\ntoken = "{PASSWORD}"\n')
    done = inside("login", "--profile", "mine")
    assert done.returncode == 2
    assert "profile mine has its own credentials" in done.stderr
    assert not inside.command.platform.requests


@pytest.mark.holds_secrets("cache/tokens/*")
def test_login_names_the_variables_that_override_it(inside: Inside) -> None:
    """The next command would use another token, account or host."""
    url = inside.command.environment["KAYRROS_BASE_URL"]
    variables = {"KAYRROS_TOKEN": "a-token", "KAYRROS_EMAIL": "x@example.com", "KAYRROS_BASE_URL": "http://localhost:1"}
    email = ("--email", "canary@example.com", "--password-stdin")
    login = inside("login", *email, "--base-url", url, "--auth-url", url, stdin=f"{PASSWORD}\n", **variables)
    assert login.returncode == 0, login.stderr
    for name in variables:
        assert f"{name} is set and overrides this login: unset it." in login.stderr
    done = inside("login", *email[:2], **variables)
    assert (done.returncode, "KAYRROS_PASSWORD is for x@example.com." in done.stderr) == (2, True)


@pytest.mark.holds_secrets("cache/tokens/*", "config.toml")
def test_login_never_changes_the_profile_of_another_account(inside: Inside, home: Path) -> None:
    """Its password would then be that of this email."""
    url = inside.command.environment["KAYRROS_BASE_URL"]
    config = f'[default]\nemail = "other@example.com"\npassword = "{PASSWORD}"\n'
    (home / "config.toml").write_text(config)
    hosts = {"KAYRROS_BASE_URL": None, "KAYRROS_AUTH_URL": None}
    done = inside("login", "--base-url", url, "--auth-url", url, **hosts)
    assert (done.returncode, "profile default has its own credentials" in done.stderr) == (2, True)
    assert inside("login").returncode == 0
    assert inside("collections", KAYRROS_PASSWORD=None).returncode == 0
    assert inside("logout").returncode == 0
    assert (home / "config.toml").read_text() == config


def test_config_masks_secrets_and_names_their_sources(inside: Inside) -> None:
    """It has a row for each setting with a value."""

    def settings(**variables: str | None) -> dict[str, tuple[str, str]]:
        return {name: (it["value"], it["source"]) for name, it in inside.json("config", **variables).items()}

    assert settings()["password"] == ("**********", "KAYRROS_PASSWORD")
    assert settings()["email"] == ("canary@example.com", "KAYRROS_EMAIL")
    assert settings()["base_url"][1] == "KAYRROS_BASE_URL"
    assert settings()["token_cache"] == ("off", "default")  # hosts on loopback
    assert settings(KAYRROS_BASE_URL=None, KAYRROS_AUTH_URL=None)["token_cache"] == ("on", "default")


def test_password_in_a_url_is_never_shown(inside: Inside) -> None:
    """It may be anywhere in the URL."""
    for host in (f"https://me:{PASSWORD}@example.com", f"https://example.com/?key={PASSWORD}"):
        assert PASSWORD not in inside("config", KAYRROS_BASE_URL=host).stdout
    # A slash in a password ends the host of a URL, so parts of the password become port, host or path.
    for host in (f"https://me:{PASSWORD}/x@example.com", f"https://me:x@{PASSWORD}/y@example.com"):
        for command in ("config", "login"):
            done = inside(command, KAYRROS_BASE_URL=host)
            assert PASSWORD.lower() not in (done.stdout + done.stderr).lower()
            assert "This is a bug" not in done.stderr


@contextlib.contextmanager
def fake_of(kayrros: Command, *options: object) -> "Iterator[tuple[subprocess.Popen[str], dict[str, str]]]":
    """Run `kayrros fake` on a free port; yield the process and its variables."""
    with kayrros.start("fake", "--port", 0, "--json", *options) as process:
        assert process.stdout
        text = ""
        while not text.rstrip().endswith("}"):
            text += process.stdout.readline()
        try:
            yield process, json.loads(text)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def test_fake_serves_until_ctrl_c(kayrros: Command, inside: Inside) -> None:
    """It prints the variables to export, logs each request with -v, and exits with 0."""
    options = "--latency", 0, "--rate-limit", 1000, "--fault", "503:0", "-v"
    with fake_of(kayrros, *options) as (process, variables):
        assert inside.json("metadata", TANKS, **variables)["name"] == "Crude oil storage, selected terminals"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr
        assert f"GET /v1/collection/dataset/summary/{TANKS} 200" in process.stderr.read()


def test_faults_of_the_fake_spare_logins(kayrros: Command, inside: Inside) -> None:
    """A fault of logins names them, and a fault of any other operation leaves the rest alone."""
    with fake_of(kayrros, "--fault", "403") as (_, variables):
        done = inside("metadata", TANKS, **variables)
        assert (done.returncode, "getDatasetMetadata: 127.0.0.1 answered 403" in done.stderr) == (1, True)
    with fake_of(kayrros, "--fault", "login=403") as (_, variables):
        done = inside("metadata", TANKS, **variables)
        assert (done.returncode, "login: 127.0.0.1 answered 403" in done.stderr) == (3, True)
    with fake_of(kayrros, "--fault", "getDatasetResults=403:1") as (_, variables):
        assert inside("metadata", TANKS, **variables).returncode == 0
        assert inside("results", TANKS, **variables).returncode == 1


def test_large_dataset_of_the_fake_comes_in_parts(kayrros: Command, inside: Inside) -> None:
    """The fake says which commands to try. A part of the results comes, all at once are a 504, and the file is slow."""
    with fake_of(kayrros, "--large") as (process, variables):
        assert process.stderr
        messages = list(itertools.islice(process.stderr, 4))
        assert messages[2:] == ["kayrros results large -o large.parquet\n", "kayrros download large\n"]
        dataset = "b16da7a5-0000-4000-8000-000000000001"
        assert inside.json("metadata", "large", **variables)["id"] == dataset
        assert len(inside.json("results", dataset, "--from", "2020-01-07", "--to", "2020-01-07", **variables)) == 400
        failed = inside("api", "POST", f"/v1/processingresult/dataset/{dataset}", "--data", "{}", **variables)
        assert (failed.returncode, "answered 504" in failed.stderr) == (1, True)
        assert inside.json("metadata", dataset, **variables)["asset_count"] == 200


def test_spec_prints_the_openapi_document(kayrros: Command, inside: Inside) -> None:
    """It prints every byte of the file, or the same document as JSON, and sends nothing."""
    text = (ROOT / "openapi.yaml").read_text("utf-8")
    assert inside("spec").stdout == text
    assert inside.json("spec") == yaml.safe_load(text)
    assert not kayrros.platform.requests


def examples_of(help_text: str) -> list[str]:
    """Return the command lines after `kayrros` of the examples in a help."""
    return re.findall(r"^(?: +\$ )?kayrros (?!.*\[OPTIONS\])(.*)$", help_text.replace("\\\n", ""), re.MULTILINE)


def test_every_command_has_examples_with_valid_options() -> None:
    """The help and the reference show them."""
    head, *sections = reference().split("\n## kayrros ")
    assert len(sections) == len(app.registered_commands)
    for section in sections:
        name = section.split()[0]
        lists = "\n".join(re.findall(r"^- \*\*(.*)\*\*", head + section, re.MULTILINE))
        options = set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", lists))
        examples = examples_of(section)
        assert examples, name
        for example in examples:
            command, *arguments = shlex.split(example.partition("|")[0].partition("<")[0])
            assert command == name
            assert {argument for argument in arguments if argument.startswith("-")} <= options


@pytest.mark.slow
def test_examples_of_the_help_work_on_the_fake(examples: Inside, tmp_path: Path) -> None:
    """They succeed, and searches find something.

    Those of `login`, `fake` and `mock` are for other hosts and take a terminal, and so does `doctor` without --yes.
    """
    examples.monkeypatch.chdir(tmp_path)
    for example in examples_of(reference()):
        command, *arguments = shlex.split(re.split("[|>]", example)[0])
        takes_terminal = command in {"login", "logout", "fake", "mock"} or example == "doctor"
        if not takes_terminal and "DATASET" not in arguments:
            done = examples(command, *arguments)
            assert done.returncode == 0, (example, done.stderr)
            assert not done.stderr.startswith("0 "), example


def test_help_fits_80_columns(inside: Inside) -> None:
    """No example breaks within a word, and no summary is cut."""
    names = [command.name or "" for command in app.registered_commands]
    for arguments in ([], *([name] for name in names)):
        shown = inside(*arguments, "--help", COLUMNS="80").stdout
        assert max(map(len, shown.splitlines())) <= 80, arguments
        assert not re.search(r"\.\.\.$", shown.partition("Commands:")[2], re.MULTILINE)


def test_messages_wrap_at_blanks_in_a_terminal(inside: Inside) -> None:
    """A pipe gets one line."""
    for arguments in (["results", TANKS, "--metric", "nope"], ["find", "nope"], ["results", "--nope"]):
        lines = inside.in_terminal(*arguments, columns=40, NO_COLOR="1").shown.splitlines()
        assert all(len(line) <= 40 or " " not in line for line in lines)  # a link is longer
        assert " ".join(lines).endswith(" ".join(inside(*arguments).stderr.splitlines()))


def test_narrow_terminal_shows_short_ids_and_whole_names(examples: Inside) -> None:
    """The first digits of a UUID, if they are unique. Names are truncated last."""
    name = "Crude oil storage, selected terminals"
    for columns in (60, 80):
        assert (
            examples.in_terminal("datasets", columns=columns).shown.splitlines()[1].startswith(f"7d3c1a52  {name}  Oil")
        )
        assert f"dataset     7d3c1a52  {name}" in examples.in_terminal("find", "oil", columns=columns).shown
        assert "tank-cushing-tk-101  Cushing TK-101  " in examples.in_terminal("assets", "crude", columns=columns).shown
    assert "7d3c1a52  Crude oil st" in examples.in_terminal("datasets", columns=40).shown
    assert f"{TANKS}  {name}  Oil storage" in examples.in_terminal("datasets", columns=120).shown
    examples.command.platform.add_collection("Twins", [examples.command.platform.add(id=OTHER, name="Other tanks").id])
    assert TANKS in examples.in_terminal("datasets", columns=100).shown


def test_find_names_the_dataset_of_an_asset(examples: Inside) -> None:
    """`results` caches assets, but not the name of their dataset, which `find` lists."""
    assert examples("results", TANKS).returncode == 0
    assert examples("find", "cushing").stdout.splitlines()[1].endswith("Crude oil storage, selected terminals")


def test_exit_codes_are_documented(inside: Inside) -> None:
    """The help and docs/cli.md list them."""
    shown = inside("--help").stdout
    page = (ROOT / "docs" / "cli.md").read_text()
    for code, meaning in MEANINGS.items():
        assert re.search(rf"^ +{code}  {re.escape(meaning)}$", shown, re.MULTILINE)
        assert f"| {code} | {meaning} |" in page


def test_help_imports_no_heavy_module() -> None:
    """The commands import httpx, pyarrow and rich when they need them."""
    heavy = {"httpx", "pyarrow", "numpy", "altair", "rich.console", "attrs", "logging", "kayrros_ext.client"}
    command_lines = [["--help"], ["results", "--help"], ["plot", "--help"], ["--version"]]
    code = (
        f"import sys; from kayrros_ext.cli.app import run; [run(line) for line in {command_lines}]; "
        f"sys.exit(' '.join({heavy} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_missing_extra_is_one_line_with_the_install_command(missing: str, kayrros: Command) -> None:
    """No traceback is shown."""
    code = f"import sys; sys.modules[{missing!r}] = None; from kayrros_ext.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "collections"],
        env=kayrros.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert 'Run: pip install "pyyaml>=6.0.1" "rich>=13.9" "typer>=0.27.2"' in done.stderr


def test_bash_completes_commands_and_listed_ids(kayrros: Command, inside: Inside) -> None:
    """The ids are those of datasets and collections, and of the assets and metrics that a command has shown."""
    metrics = sorted({row["metric"] for row in inside.json("results", TANKS)})
    inside("assets", OTHER)
    inside("datasets")
    lines = [["m"], ["metadata", "7d3c"], ["datasets", ""]]
    lines += [["results", OTHER, "--asset", "t"], ["plot", "'Tanks of Cushing'", "--asset", "tank-"]]
    lines += [["results", TANKS, "--metric", metrics[0][:-1]], ["results", OTHER[:10], "--asset", "t"]]
    lines += [["results", "'Tanks of R'", "--asset", "tank-"], ["results", "'Tanks of'", "--asset", "tank-"]]
    script = 'eval "$(_KAYRROS_COMPLETE=source_bash kayrros)"\n' + "".join(
        f"COMP_WORDS=({shlex.join(['kayrros', *line])}); COMP_CWORD={len(line)}; _kayrros_completion kayrros; "
        'echo "${COMPREPLY[@]}"\n'
        for line in lines
    )
    path = f"{KAYRROS.parent}{os.pathsep}{os.environ['PATH']}"
    bash = ["bash", "--norc", "-c", script]
    done = subprocess.run(bash, env=kayrros.variables(PATH=path), capture_output=True, text=True, check=False)
    completions = [sorted(line.split()) for line in done.stdout.splitlines()]
    tanks = [f"tank-00000{number}" for number in range(3)]
    of_datasets = [tanks[:1], tanks, metrics, tanks[:1], tanks[:1], tanks]
    assert completions == [["metadata", "mock"], sorted([TANKS, OTHER]), ["oil"], *of_datasets], done.stderr


def test_command_runs_as_a_module(kayrros: Command) -> None:
    """`python -m kayrros_ext.cli` is the same command."""
    done = subprocess.run(
        [sys.executable, "-m", "kayrros_ext.cli", "--version"],
        env=kayrros.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.fullmatch(r"kayrros-ext \d+\.\d+\.\d+\S*\n", done.stdout)
