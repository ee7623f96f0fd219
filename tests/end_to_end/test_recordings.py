"""`kayrros fake --from` and `--proxy`, and `Platform.from_har`: a recorded session is served again."""

import base64
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from kayrros_ext import APIError, Kayrros, LoginError, NotFoundError, UsageError
from kayrros_ext.doctor import Doctor
from kayrros_ext.testing import Platform
from tests.support.command import KAYRROS

DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"


def entry(method: str, path: str, status: int, text: str, *, sent: Any = None, **content: str) -> dict[str, Any]:
    """Return an entry of a HAR as a browser writes it."""
    posted = {"postData": sent} if sent else {}
    request = {"method": method, "url": f"https://platform.api.kayrros.com{path}", "headers": [], **posted}
    headers = [{"name": "content-type", "value": "application/json"}, {"name": "content-encoding", "value": "br"}]
    response = {
        "status": status,
        "headers": headers,
        "content": {"text": text, "mimeType": "application/json", **content},
    }
    return {"request": request, "response": response}


def har(folder: Path, *entries: dict[str, Any]) -> Path:
    path = folder / "session.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}), "utf-8")
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A check-up of the fake."""
    platform, folder = Platform(), tmp_path_factory.mktemp("recorded")
    platform.add_examples()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAYRROS_EMAIL", platform.account.email)
        patch.setenv("KAYRROS_PASSWORD", platform.account.password)
        doctor = Doctor(transport=platform.transport())
        list(doctor.check())
        doctor.write(folder)
        doctor.close()
    return folder / "session.har"


def test_a_recorded_check_up_is_served_again(recorded: Path) -> None:
    """Collections, datasets, metadata and errors are those of the session, under their pseudonyms."""
    platform = Platform.from_har(recorded)
    with platform.connect(retries=0) as kayrros:
        [dataset] = kayrros.datasets(kayrros.collections()[0])
        assert dataset.id
        assert dataset.id == str(kayrros.metadata(dataset.id).id)
        with pytest.raises(NotFoundError, match="not in the recording"):
            kayrros.results(dataset.id, start="1999-01-01", stop="1999-01-02")
    assert platform.logins == 1


def test_the_same_request_gets_the_same_answer(tmp_path: Path) -> None:
    """The order of fields does not matter, a success counts before an error, and a browser's forms of a body are read."""
    results = {"processing_id": "p", "assets": []}
    text, path = json.dumps(results), f"/v1/processingresult/dataset/{DATASET}"
    binary = base64.b64encode(b'[{"id": "c", "name": "n"}]').decode()
    form = {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "collection_id", "value": "c"}]}
    session = har(
        tmp_path,
        entry(
            "POST", path, 200, text, sent={"text": '{"mo_ids": ["a"], "time_range": {"start_date": 1, "stop_date": 2}}'}
        ),
        entry(
            "POST", path, 504, "<html>", sent={"text": '{"time_range":{"stop_date":2,"start_date":1},"mo_ids":["a"]}'}
        ),
        entry("GET", "/v1/processing/collection/list", 200, binary, encoding="base64"),
        entry("POST", "/v1/processing/collection/datasets", 304, "[]", sent=form),
        entry("GET", "/v1/other?page=2", 200, "[1]"),
        entry("GET", "/v1/cancelled", 0, ""),
    )
    platform = Platform.from_har(session)
    headers = {"Authorization": f"Bearer {platform.give_token()}"}
    with httpx.Client(
        transport=platform.transport(), base_url="https://platform.api.kayrros.com", headers=headers
    ) as http:
        body = {"mo_ids": ["a"], "time_range": {"stop_date": 2, "start_date": 1}}
        assert http.post(path, json=body).json() == results
        assert http.post(path, json={**body, "mo_ids": ["b"]}).status_code == 404
        assert http.get("/v1/processing/collection/list").json() == [{"id": "c", "name": "n"}]
        assert http.post("/v1/processing/collection/datasets", data={"collection_id": "c"}).json() == []
        assert http.get("/v1/other?page=2").json() == [1]
        assert "not in the recording" in http.get("/v1/other").text
        assert http.get("/v1/other?page=2", headers={"Authorization": "Bearer x"}).status_code == 401


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"log": {"entries": [{}]}}', '{"log": {"entries": 5}}'])
def test_a_file_that_is_no_har_is_refused(text: str, tmp_path: Path) -> None:
    """Before anything is served."""
    (tmp_path / "x.har").write_text(text)
    with pytest.raises(UsageError, match="no HAR"):
        Platform.from_har(tmp_path / "x.har")
    with pytest.raises(UsageError, match="No such file"):
        Platform.from_har(tmp_path / "missing.har")


@contextmanager
def fake(folder: Path, *arguments: object, **variables: str) -> Iterator[dict[str, str]]:
    """Run `kayrros fake` in a folder until the block ends, which gets its variables."""
    command = [str(KAYRROS), "fake", "--port", "0", "--json", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    text = ""
    while not text.endswith("}\n") and (line := process.stdout.readline()):
        text += line
    try:
        yield json.loads(text)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()
        process.stderr.close()


def connect(variables: dict[str, str]) -> Any:
    names = ("base_url", "auth_url", "email", "password")
    return Kayrros(**{name: variables[f"KAYRROS_{name.upper()}"] for name in names}, retries=0)  # type: ignore[arg-type]


def test_fake_serves_a_recording(recorded: Path, tmp_path: Path) -> None:
    """The command does what `Platform.from_har` does, over a socket."""
    with fake(tmp_path, "--from", recorded) as variables, connect(variables) as kayrros:
        assert len(kayrros.collections()) == 2
        with pytest.raises(NotFoundError, match="not in the recording"):
            kayrros.metadata(DATASET)


def test_fake_sends_chosen_paths_on_and_records_them(tmp_path: Path) -> None:
    """The others it answers itself. The client has no credentials of the platform, and the record no secret and no data."""
    platform = Platform()
    platform.add_account("owner@client.example", "secret-of-the-owner")
    dataset = platform.generate(id=DATASET, name="Tanks of a client", file=b"a,b\n")
    platform.add_collection("Collection of a client", [dataset], id="client-collection")
    with platform.serve() as url:
        account = {
            "KAYRROS_EMAIL": "owner@client.example",
            "KAYRROS_PASSWORD": "secret-of-the-owner",
            "KAYRROS_AUTH_URL": url,
        }
        arguments = (
            "--proxy",
            url,
            "--path",
            "/v1/processing/*",
            "--path",
            "/v1/collection/dataset/summary/*",
            "--record",
            "r.har",
        )
        with fake(tmp_path, *arguments, **account) as variables, connect(variables) as kayrros:
            assert variables["KAYRROS_EMAIL"] != "owner@client.example"
            assert kayrros.collections()[0].name == "Collection of a client"
            assert kayrros.metadata(DATASET).name == "Tanks of a client"
            assert len(kayrros.results(DATASET)) > 0  # the fake's own: the documentation has a dataset of this id
            with (
                connect({**variables, "KAYRROS_PASSWORD": "wrong"}) as stranger,
                pytest.raises(LoginError, match="401"),
            ):
                stranger.metadata(DATASET)
    assert {request.operation for request in platform.requests} == {"login", "listCollections", "getDatasetMetadata"}
    text = (tmp_path / "r.har").read_text("utf-8")
    assert not [it for it in ("client", "secret", "fake-", DATASET, "127.0.0.1") if it in text]
    log = json.loads(text)["log"]
    assert [it["request"]["url"].rpartition("/")[2][:4] for it in log["entries"]] == ["list", "0000"]
    with Platform.from_har(tmp_path / "r.har").connect() as again:
        assert len(again.collections()) == 1


def test_fake_passes_errors_of_the_platform_on(tmp_path: Path) -> None:
    """A refused login at the platform, and a platform that is not there, are a 502 that says so."""
    platform = Platform()
    with platform.serve() as url:
        account = {"KAYRROS_EMAIL": platform.account.email, "KAYRROS_PASSWORD": "wrong", "KAYRROS_AUTH_URL": url}
        running = fake(tmp_path, "--proxy", url, **account)
        with running as variables, connect(variables) as kayrros, pytest.raises(APIError, match="502.*LoginError"):
            kayrros.metadata(DATASET)


def test_options_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """The message names them."""
    for arguments in (("--from", "x", "--large"), ("--path", "/v1/*")):
        done = subprocess.run([KAYRROS, "fake", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 2, done.stderr
