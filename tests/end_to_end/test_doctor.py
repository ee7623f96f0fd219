"""`kayrros doctor` as a command: what it prints, asks, sends and writes, and that no secret and no data is in it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from kayrros_ext.testing import Platform, Request, Response
from tests.support.checkout import PYTHON, copy_checkout, run
from tests.support.command import Command, Inside
from tests.support.deviating import DATASET, DeviatingPlatform, problems

FILES = ["openapi.patch", "report.json", "report.md", "session.har"]


def command_for(platform: Platform, url: str) -> Command:
    account = {"KAYRROS_EMAIL": platform.account.email, "KAYRROS_PASSWORD": platform.account.password}
    return Command(platform, {**os.environ, **account, "KAYRROS_BASE_URL": url, "KAYRROS_AUTH_URL": url})


@pytest.fixture
def kayrros() -> Iterator[Command]:
    """The command for an account that sees the datasets of the documentation."""
    platform = Platform()
    platform.add_examples()
    with platform.serve() as url:
        yield command_for(platform, url)


@pytest.fixture
def inside(kayrros: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same command, called in this process."""
    return Inside(kayrros, monkeypatch, capsys)


def test_a_check_up_of_the_fake_is_clean(kayrros: Command, tmp_path: Path) -> None:
    """One line for each check on stdout, four files, exit code 0, at most 20 requests."""
    done = kayrros("doctor", "--yes", "-o", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "note", "skipped"}
    for name in (
        "Python",
        "extras",
        "settings",
        "clock",
        "proxy",
        "login",
        "token",
        "collections",
        "time_range",
        "contract",
    ):
        assert sum(line[8:33].strip() == name for line in lines) == 1, name
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert len(kayrros.platform.requests) <= 20
    assert json.loads((tmp_path / "out" / "report.json").read_text())["differences"] == []


def test_json_is_the_report(inside: Inside, tmp_path: Path) -> None:
    """Stdout has nothing else, so that other programs can read it."""
    report = json.loads(inside("doctor", "--yes", "--json", "-o", tmp_path / "out").stdout)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == {**report, "not_in_the_patch": []}
    assert {*report} >= {"checks", "confirmed", "differences"}
    assert {check["result"] for check in report["checks"]} <= {"ok", "note", "skipped"}
    assert len({check["name"] for check in report["checks"]}) == len(report["checks"])


def test_nothing_is_sent_without_consent(kayrros: Command, inside: Inside, tmp_path: Path) -> None:
    """It says what it would send. A script gets exit code 1; a person who answers no gets 0; no file is written."""
    done = inside("doctor", "-o", tmp_path / "out")
    assert (done.returncode, kayrros.platform.requests) == (1, [])
    assert "At most 20 requests that read" in done.stderr
    assert "Add --yes" in done.stderr
    shown = kayrros.in_terminal("doctor", "-o", tmp_path / "out", typed="n\n")
    assert (shown.code, kayrros.platform.requests) == (0, [])
    assert list(tmp_path.iterdir()) == []
    shown = kayrros.in_terminal("doctor", "-o", tmp_path / "out", typed="y\n")
    assert shown.code == 0
    assert kayrros.platform.requests


@pytest.mark.parametrize(
    "variables",
    [{"KAYRROS_PASSWORD": "wrong"}, {"KAYRROS_EMAIL": None, "KAYRROS_PASSWORD": None}, {"KAYRROS_TOKEN": "old-token"}],
)
def test_without_a_login_the_exit_code_is_3(variables: dict[str, str | None], inside: Inside, tmp_path: Path) -> None:
    """A wrong password, no credentials, or a token that is refused."""
    without = {"KAYRROS_EMAIL": None, "KAYRROS_PASSWORD": None} if "KAYRROS_TOKEN" in variables else {}
    done = inside("doctor", "--yes", "-o", tmp_path / "out", **{**without, **variables})
    assert done.returncode == 3, done.stdout
    assert sum(request.operation == "login" for request in inside.command.platform.requests) <= 1


def test_a_host_that_is_not_there_is_a_failed_check(inside: Inside, tmp_path: Path) -> None:
    """The report says so, and the command does not crash."""
    done = inside("doctor", "--yes", "-o", tmp_path / "out", KAYRROS_BASE_URL="http://127.0.0.1:1")
    assert done.returncode in {1, 3}
    assert re.search(r"^failed\s+data host: TCP", done.stdout, re.MULTILINE)


@pytest.mark.skipif(os.name != "posix", reason="a limit on the size of files is of POSIX")
def test_a_report_that_does_not_fit_is_an_error_in_words(kayrros: Command, tmp_path: Path) -> None:
    """A full disk or a quota is no bug of ours: the message names the folder, and what to do."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        # Python would leave truncated .pyc files, which break each later import.
        done = kayrros("doctor", "--yes", "-o", tmp_path / "out", PYTHONDONTWRITEBYTECODE="1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert done.returncode == 1
    assert f"{tmp_path / 'out'} could not be written (File too large)" in done.stderr
    assert "This is a bug" not in done.stderr


def test_the_set_up_is_checked_offline(inside: Inside, tmp_path: Path) -> None:
    """A readable config file, variables of another product and a certificate file that is missing are named."""
    config = tmp_path / "config.toml"
    config.write_text('[default]\npassword = "secret-in-config"\n')
    config.chmod(0o644)
    variables = {"KAYRROS_CONFIG": str(config), "KAYRROS_CLIENT_LOGIN": "x", "SSL_CERT_FILE": str(tmp_path / "no.pem")}
    done = inside("doctor", **variables)
    assert done.returncode == 1
    assert re.search(r"^failed\s+settings.*chmod 600", done.stdout, re.MULTILINE)
    assert re.search(r"^note\s+variables.*another product", done.stdout, re.MULTILINE)
    assert re.search(r"^failed\s+certificates.*SSL_CERT_FILE", done.stdout, re.MULTILINE)
    assert inside.command.platform.requests == []


SECRET = "planted"


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class PlantedPlatform(DeviatingPlatform):
    """It has a secret in each header, value, name, error, query and redirect that it sends."""

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        body = b"".join(response.body)
        try:
            value = json.loads(body)
        except ValueError:
            value, body = None, body + f" {SECRET} in a page".encode()
        if value is not None and request.operation != "login":
            body = json.dumps(self._plant(value)).encode()
        headers = {
            **response.headers,
            "Server": f"{SECRET}-server",
            "Set-Cookie": f"session={SECRET}",
            f"X-{SECRET}": "1",
            "ETag": f'"{SECRET}-etag"',
            "Content-Disposition": f'attachment; filename="{SECRET}.csv"',
        }
        if "Location" in headers:
            headers["Location"] += f"?X-Amz-Signature={SECRET}&client={SECRET}"
        if "Content-Type" in headers:
            headers["Content-Type"] += f"; profile={SECRET}"
        return attrs.evolve(response, headers=headers, body=[body] if body else [], length=len(body))

    def _plant(self, value: Any) -> Any:
        if isinstance(value, dict):
            planted = {name: self._plant(part) for name, part in value.items()}
            return {**planted, "extra_props": {f"{SECRET} key": f"{SECRET} value", "note": 41.123456789}}
        if isinstance(value, list):
            return [self._plant(part) for part in value]
        is_id = value in {"OWNED", "SHARED", "NON_SHARED", "PARTNER"} or re.fullmatch(
            r"[0-9a-f-]{36}|\d{4}-.*", str(value)
        )
        return f"{SECRET} {value}" if isinstance(value, str) and not is_id else value

    def _file(self, request: Request) -> Response:
        return attrs.evolve(super()._file(request), body=[SECRET.encode()], length=len(SECRET))


def test_no_secret_and_no_data_is_shown_or_written(tmp_path: Path) -> None:
    """Secrets are planted in answers, headers, URLs, paths, the account, the config and the environment."""
    platform = PlantedPlatform()
    email = platform.add_account(f"{SECRET}@client.example", f"{SECRET}-password-123").email
    platform.jwt = platform.jwt.replace("c2lnbmF0dXJl", f"c2ln{SECRET}")
    folder = tmp_path / f"{SECRET}-config"
    folder.mkdir()
    (folder / "config.toml").write_text(f'[{SECRET}]\nemail = "{email}"\n', "utf-8")
    (folder / "config.toml").chmod(0o600)
    (folder / "ca.pem").write_bytes(Path(__import__("certifi").where()).read_bytes())
    platform.requests.clear()
    with platform.serve() as url:
        done = command_for(platform, url)(
            *("doctor", "--yes", "--dataset", DATASET, "-o", tmp_path / "out", "-v"),
            KAYRROS_EMAIL=email,
            KAYRROS_PASSWORD=f"{SECRET}-password-123",
            KAYRROS_CONFIG=str(folder / "config.toml"),
            KAYRROS_PROFILE=SECRET,
            KAYRROS_CACHE_DIR=str(folder / "cache"),
            HTTPS_PROXY=f"http://{SECRET}:{SECRET}@{SECRET}.example:3128",
            NO_PROXY=f"{SECRET}.example",
            SSL_CERT_FILE=str(folder / "ca.pem"),
            KAYRROS_CLIENT_PASSWORD=SECRET,
        )
    assert done.returncode == 1, done.stdout + done.stderr
    written = {path.name: path.read_text("utf-8") for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == FILES
    texts = {**written, "stdout": done.stdout}
    names = [SECRET, "client.example", "Cushing", "tank-0", "41.123456789", DATASET, "2024-01"]
    leaks = {(name, place) for name in names for place, text in texts.items() if name.casefold() in text.casefold()}
    assert leaks - {(name, "openapi.patch") for name in ("Cushing", DATASET, "2024-01")} == set()
    assert len(json.loads(written["report.json"])["differences"]) > 15


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_loop_closes(tmp_path: Path) -> None:
    """A patch of a check-up applies in a checkout; the generated code, the lint, the fake and the tests follow it."""
    platform = DeviatingPlatform()
    with platform.serve() as url:
        done = command_for(platform, url)("doctor", "--yes", "--dataset", DATASET, "-o", tmp_path / "out")
    assert done.returncode == 1
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    copy_checkout(checkout)
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    subprocess.run(["git", "apply", tmp_path / "out" / "openapi.patch"], cwd=checkout, check=True)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert problems(report, (checkout / "openapi.yaml").read_text("utf-8")) == []
    names = (
        "contract/test_reference.py",
        "contract/test_spec.py",
        "contract/test_fake.py",
        "contract/test_generated.py",
    )
    tests = [f"tests/{name}" for name in (*names, "contract/test_traffic.py", "unit/test_fake.py")]
    for command in (["scripts/generate.py"], ["-m", "scripts.lint_spec"], ["-m", "pytest", "-q", "-n0", *tests]):
        result = run(checkout, PYTHON, *command)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
    with (again := DeviatingPlatform()).serve() as url:
        account = {"KAYRROS_EMAIL": again.account.email, "KAYRROS_PASSWORD": again.account.password}
        hosts = {"KAYRROS_BASE_URL": url, "KAYRROS_AUTH_URL": url}
        code = "from kayrros_ext.cli import main; main()"
        arguments = ["doctor", "--yes", "--dataset", DATASET, "-o", "again"]
        path = os.pathsep.join([str(checkout / "generated"), str(checkout)])
        result = subprocess.run(
            [PYTHON, "-c", code, *arguments],
            cwd=checkout,
            env={**os.environ, **account, **hosts, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    assert result.returncode == 0, result.stdout
    assert (checkout / "again" / "openapi.patch").read_text() == ""
