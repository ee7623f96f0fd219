"""Responses over real sockets: an error status and a response that breaks the contract raise our errors."""

import asyncio
import http
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kayrros_ext import (
    AccessDeniedError,
    APIError,
    ContractError,
    DownloadError,
    Kayrros,
    KayrrosError,
    NotFoundError,
    TransportError,
    UnauthorizedError,
    UsageError,
)
from kayrros_ext._config.retries import Retries
from kayrros_openapi.api.collections import list_collections
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_openapi.models import SharedOption
from kayrros_openapi.types import UNSET, Response
from tests.support.server import DATASET, DOWNLOAD, METADATA, RESULTS, Server, StubResponse, StubServer, as_json, serve
from tests.support.spec import SPEC

Start = Callable[..., Server]
Connect = Callable[..., Kayrros]
HTML = StubResponse(200, b"<html><body>Please sign in</body></html>", {"Content-Type": "text/html"})


@pytest.fixture
def kayrros(platform: StubServer, start: Start, connect: Connect) -> Kayrros:
    platform.valid.add("a-token")
    return connect(start(platform), token="a-token")


def calls(kayrros: Kayrros, directory: Path) -> dict[str, Callable[[], object]]:
    return {
        METADATA: lambda: kayrros.metadata(DATASET),
        RESULTS: lambda: kayrros.results(DATASET),
        DOWNLOAD: lambda: kayrros.download(DATASET, directory),
    }


OPERATIONS = {METADATA: "getDatasetMetadata", RESULTS: "getDatasetResults", DOWNLOAD: "downloadStaticDataset"}
SUBCLASS = {401: UnauthorizedError, 403: AccessDeniedError, 404: NotFoundError}


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize(
    "status", [201, 204, 302, 400, 401, 403, 404, 405, 409, 418, 429, 500, 502, 504, 499, 520, 999]
)
def test_a_status_that_is_not_200_is_an_error(
    status: int, path: str, kayrros: Kayrros, platform: StubServer, tmp_path: Path
) -> None:
    """The error has the status, the message of the server and the operation, for documented and other statuses."""
    body = b"" if status == 204 else b'{"code": "SOME_CODE", "message": "some words"}'
    platform.answers[path] = StubResponse(status, body)
    with pytest.raises(APIError) as caught:
        calls(kayrros, tmp_path)[path]()
    error = caught.value
    assert SUBCLASS.get(status, APIError) is type(error)
    assert (status, OPERATIONS[path]) == (error.status, error.operation)
    assert str(status) in str(error)
    if status != 204:
        assert (error.code, error.message) == ("SOME_CODE", "some words")
        assert "some words" in str(error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("body", "details"),
    [
        (b"<html>\n<h1>504  Gateway\x1b[31m Time-out</h1>", {"excerpt": "a web page: 504 Gateway [31m Time-out"}),
        (
            b"\n<!DOCTYPE html><html><style>a{}</style><title>\n502 Bad &amp; Gateway</title><h1>x</h1>",
            {"excerpt": "a web page: 502 Bad & Gateway"},
        ),
        (b"<html><body>secret", {"excerpt": "a web page"}),
        (b"<html><title>" + b"x" * 5000, {"excerpt": "a web page"}),
        (b"", {}),
        (b"\xff\xfe\x00", {"excerpt": "\ufffd\ufffd"}),
        (b"null", {"message": "null"}),
        (b'["a", 1]', {"message": '["a", 1]'}),
        (b'{"error": "denied", "detail": 7}', {"code": "denied", "message": "7"}),
        (b'{"code": 0, "message": {"deep": 1}}', {"code": "0"}),
        (b'{"status": 504, "a": 1}', {"message": "an object with status, a"}),
        (b"[" * 50_000, {}),
        (b"x" * 10_000_000, {"excerpt": "x" * 300 + "…"}),
    ],
)
def test_an_error_with_any_body_is_read(
    body: bytes, details: dict[str, str], kayrros: Kayrros, platform: StubServer
) -> None:
    """The error has the status and at most a line of the body, which may be any JSON, HTML, empty or ten megabytes."""
    platform.answers[METADATA] = StubResponse(504, body)
    with pytest.raises(APIError, match="response is too large") as caught:
        kayrros.metadata(DATASET)
    assert caught.value.status == 504
    assert details.items() <= vars(caught.value).items()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_an_error_with_a_truncated_body_keeps_its_status(kayrros: Kayrros, platform: StubServer) -> None:
    """The status is more useful than the broken connection."""
    platform.answers[METADATA] = StubResponse(404, b"x" * 1000, cut=10)
    with pytest.raises(NotFoundError):
        kayrros.metadata(DATASET)


@pytest.mark.parametrize("path", [METADATA, RESULTS])
@pytest.mark.parametrize("kind", ["text/html", "text/plain; charset=utf-8", "application/octet-stream", "*/*"])
def test_another_content_type_is_a_contract_error(
    kind: str, path: str, kayrros: Kayrros, platform: StubServer, tmp_path: Path
) -> None:
    """A body that happens to be JSON is no exception. The error has the type and the beginning of the body."""
    platform.answers[path] = StubResponse(200, b'{"name": "n"}', {"Content-Type": kind})
    with pytest.raises(ContractError, match="not application/json.*begins: .*name") as caught:
        calls(kayrros, tmp_path)[path]()
    assert kind.partition(";")[0] in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json;charset=UTF-8", "application/problem+json", None]
)
def test_every_json_content_type_is_accepted(kind: str | None, kayrros: Kayrros, platform: StubServer) -> None:
    """The content type may have a charset or a suffix, or may be missing."""
    platform.answers[METADATA] = StubResponse(200, b'{"name": "n"}', {"Content-Type": kind} if kind else {})
    assert kayrros.metadata(DATASET).name == "n"


def test_lists_are_read_with_tolerance_too(kayrros: Kayrros, platform: StubServer) -> None:
    """Fields may be missing or null, and unknown ones are kept; an item that is no object is an error with its place."""
    platform.answers["/v1/processing/collection/list"] = as_json([{"id": None, "owner": "me"}, {}])
    first, second = kayrros.collections()
    assert (first.id, first.additional_properties, second.name) == (None, {"owner": "me"}, UNSET)
    wrongs: list[Any] = [[5], {}, None, [{"name": 5}], "text"]
    for wrong in wrongs:
        platform.answers["/v1/processing/collection/list"] = as_json(wrong)
        with pytest.raises(ContractError) as caught:
            kayrros.collections()
        assert caught.value.operation == "listCollections"


@pytest.mark.parametrize("path", [METADATA, RESULTS])
@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        StubResponse(200, b""),
        StubResponse(200, b'{"id": '),
        StubResponse(200, b'"text"'),
        StubResponse(200, b"null"),
        StubResponse(200, b"[]"),
        StubResponse(200, b'""'),
        StubResponse(200, b"\xff"),
        StubResponse(200, b"[" * 100_000),
    ],
)
def test_a_success_that_breaks_the_contract_is_a_contract_error(
    path: str, answer: StubResponse, kayrros: Kayrros, platform: StubServer, tmp_path: Path
) -> None:
    """The body may be HTML, truncated JSON or JSON of another type."""
    platform.answers[path] = answer
    with pytest.raises(ContractError) as caught:
        calls(kayrros, tmp_path)[path]()
    assert OPERATIONS[path] == caught.value.operation


def test_the_bytes_of_a_response_are_checked_when_its_json_is_read(kayrros: Kayrros, platform: StubServer) -> None:
    """The HTTP client is the way to see what the platform sends, whatever that is."""
    platform.answers[METADATA] = StubResponse(200, b'{"name": 1}')
    response = kayrros.client.get_httpx_client().get(METADATA)
    assert response.content == b'{"name": 1}'
    with pytest.raises(ContractError, match="at `name`"):
        response.json()


def test_json_that_only_the_schema_allows_is_a_contract_error(kayrros: Kayrros, platform: StubServer) -> None:
    """An undeclared field may hold what the parser of the generated code refuses, such as an integer of 5,000 digits."""
    platform.answers[METADATA] = StubResponse(200, b'{"extra": ' + b"1" * 5000 + b"}")
    with pytest.raises(ContractError, match="getDatasetMetadata: .* ValueError: Exceeds the limit"):
        kayrros.metadata(DATASET)


@pytest.mark.parametrize("path", OPERATIONS)
@pytest.mark.parametrize(
    "answer",
    [
        StubResponse(200, b"x" * 5_000_000, cut=3_000_000),
        StubResponse(200, b"not gzip at all", {"Content-Encoding": "gzip"}),
    ],
)
def test_a_truncated_body_is_a_transport_error(
    path: str, answer: StubResponse, kayrros: Kayrros, platform: StubServer, tmp_path: Path
) -> None:
    """The body is shorter than promised or badly compressed. No partial file is left."""
    platform.answers[path] = answer
    with pytest.raises(TransportError, match="incomplete or no response") as caught:
        calls(kayrros, tmp_path)[path]()
    assert OPERATIONS[path] == caught.value.operation
    assert not list(tmp_path.iterdir())


def test_a_redirect_to_an_invalid_url_is_a_kayrros_error(kayrros: Kayrros, platform: StubServer) -> None:
    """The URL is parsed even if the redirect is not followed."""
    platform.answers[METADATA] = StubResponse(302, b"", {"Location": "javascript:alert(1)"})
    with pytest.raises(TransportError, match="InvalidURL"):
        kayrros.metadata(DATASET)


def test_a_refused_connection_is_a_transport_error() -> None:
    """The error names the host and what to check. On this machine it comes at once, in sync and in async calls."""
    text = r"^Nothing listens at http://127\.0\.0\.1:1\. Is `kayrros fake` running\? .* KAYRROS_BASE_URL"
    with Kayrros(token="a-token", base_url="http://127.0.0.1:1") as kayrros:
        with pytest.raises(TransportError, match=text) as caught:
            kayrros.metadata(DATASET)
        assert (caught.value.reason, caught.value.attempts) == ("ConnectError", 1)
        with pytest.raises(TransportError, match=text):
            asyncio.run(get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client))


def test_a_host_of_this_machine_that_has_answered_is_tried_again() -> None:
    """It may restart."""
    with serve(
        lambda _: StubResponse(200, b"{}", {"Content-Type": "application/json", "Connection": "close"})
    ) as server:
        kayrros = Kayrros(token="a-token", base_url=server.url, retries=Retries(1, backoff_initial=0))
        kayrros.metadata(DATASET)
    with kayrros, pytest.raises(TransportError, match=r"Nothing listens at .* after 2 attempts\.") as caught:
        kayrros.metadata(DATASET)
    assert caught.value.attempts == 2


def test_a_server_that_does_not_respond_is_a_transport_error(platform: StubServer, start: Start) -> None:
    """The user sets the timeout."""
    done = threading.Event()

    def silent(_: object) -> StubResponse:
        done.wait(20)
        return StubResponse()

    server = start(silent)
    with (
        Kayrros(token="a-token", base_url=server.url, timeout=0.1, retries=0) as kayrros,
        pytest.raises(TransportError, match="ReadTimeout.*raise timeout") as caught,
    ):
        kayrros.metadata(DATASET)
    assert "timeout" not in str(caught.value.hint_cli)
    done.set()


def test_a_client_closed_between_two_attempts_is_an_error(platform: StubServer, start: Start) -> None:
    """The error is that of a client closed before the first attempt, and not the RuntimeError of httpx."""
    platform.valid.add("a-token")
    platform.answers[METADATA] = StubResponse(503)

    opened: list[Kayrros] = []

    async def close_async(_: float) -> None:
        await opened[0].client.get_async_httpx_client().aclose()

    wait_and_close = Retries(sleep=lambda _: opened[0].close(), sleep_async=close_async)
    with Kayrros(token="a-token", base_url=start(platform).url, retries=wait_and_close) as kayrros:
        opened.append(kayrros)
        with pytest.raises(UsageError, match="closed"):
            asyncio.run(get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client))
        with pytest.raises(UsageError, match="closed"):
            kayrros.metadata(DATASET)


def test_a_success_without_content_is_an_error(kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch) -> None:
    """If openapi.yaml gains one, a method does not return None: the generated operation gives it."""
    response: Response[Any] = Response(HTTPStatus(204), b"", {}, None)
    monkeypatch.setattr(list_collections, "sync_detailed", lambda **_: response)
    with pytest.raises(ContractError, match="status 204 and no content"):
        kayrros.collections()


def test_a_closed_client_is_an_error(kayrros: Kayrros) -> None:
    """The error explains that the client was used after its `with` block."""
    kayrros.close()
    with pytest.raises(UsageError, match="closed"):
        kayrros.metadata(DATASET)


@pytest.mark.parametrize(
    ("member", "value", "message"),
    [
        ("asset_count", "6", "`int | null`, got `str` at `asset_count`"),
        ("asset_count", True, "`int | null`, got `bool` at `asset_count`"),
        ("start_date", 1.5, "`int | null`, got `float` at `start_date`"),
        ("name", {}, "`str | null`, got `object` at `name`"),
        pytest.param(
            "id",
            "not-a-uuid",
            "Invalid UUID at `id`",
            marks=pytest.mark.skipif(
                "format" not in SPEC["components"]["schemas"]["DatasetMetadata"]["properties"]["id"],
                reason="an id may be another text",
            ),
        ),
        ("sharedOption", 5, "`str | null`, got `int` at `sharedOption`"),
    ],
)
def test_metadata_of_the_wrong_type_is_a_contract_error(
    member: str, value: Any, message: str, kayrros: Kayrros, platform: StubServer
) -> None:
    """The generated models would let a string pass for a number. The error names the place."""
    platform.answers[METADATA] = as_json({member: value})
    with pytest.raises(ContractError, match=re.escape(message)) as caught:
        kayrros.metadata(DATASET)
    assert caught.value.where == member


def test_metadata_is_read_with_tolerance(kayrros: Kayrros, platform: StubServer) -> None:
    """Fields may be missing or null, unknown ones are kept, a sharedOption outside the enum is the plain string."""
    platform.answers[METADATA] = as_json({"name": None, "sharedOption": "LEASED", "colour": "red"})
    metadata = kayrros.metadata(DATASET)
    assert (metadata.asset_count, metadata.name, metadata.shared_option) == (UNSET, None, "LEASED")
    assert metadata.additional_properties == {"colour": "red"}
    platform.answers[METADATA] = as_json({"sharedOption": "OWNED"})
    assert SharedOption.OWNED is kayrros.metadata(DATASET).shared_option


def test_a_filter_is_sent_in_the_form_of_the_reference(kayrros: Kayrros, platform: StubServer, start: Start) -> None:
    """It has mo_ids, and time_range in epoch milliseconds. Without a filter there is no body and no content type."""
    server = start(platform)
    platform.answers[RESULTS] = as_json({"assets": [{"asset_id": "a"}, {"asset_id": "b"}]})
    with Kayrros(token="a-token", base_url=server.url) as client:
        client.results(DATASET, start="2024-01-01", stop="2024-06-30", assets=["a", "b"])
        client.results(DATASET)
    check, filtered, plain = server.requests
    assert check.json == {"time_range": {"start_date": 0, "stop_date": 3_600_000}}
    assert filtered.json == {
        "mo_ids": ["a", "b"],
        "time_range": {"start_date": 1704067200000, "stop_date": 1719791999999},
    }
    assert filtered.headers["content-type"] == "application/json"
    assert plain.body == b""
    assert "content-type" not in plain.headers


def test_a_file_is_streamed_under_its_name(kayrros: Kayrros, platform: StubServer, tmp_path: Path) -> None:
    """The download makes the directory, writes the bytes of the server and replaces a file of that name."""
    target = tmp_path / "new" / "deep"
    for content in (bytes(range(256)) * 20_000, b"second"):
        platform.answers[DOWNLOAD] = StubResponse(
            200, content, {"Content-Disposition": 'attachment; filename="../a b.bin"'}
        )
        path = kayrros.download(DATASET, target, overwrite=True).path
        assert target / "a b.bin" == path
        assert content == path.read_bytes()
        assert [path] == list(target.iterdir())


def test_a_lost_connection_leaves_the_old_file(kayrros: Kayrros, platform: StubServer, tmp_path: Path) -> None:
    """A file is replaced completely or not at all."""
    headers = {"Content-Disposition": "attachment; filename=a.csv"}
    platform.answers[DOWNLOAD] = StubResponse(200, b"old", headers)
    path = kayrros.download(DATASET, tmp_path).path
    platform.answers[DOWNLOAD] = StubResponse(200, b"n" * 5_000_000, headers, cut=4_000_000)
    with pytest.raises(TransportError):
        kayrros.download(DATASET, tmp_path, overwrite=True)
    assert path.read_bytes() == b"old"
    assert [path] == list(tmp_path.iterdir())


def test_an_impossible_directory_is_a_download_error(kayrros: Kayrros, platform: StubServer, tmp_path: Path) -> None:
    """The error names the file that is in the way, and has advice."""
    platform.answers[DOWNLOAD] = StubResponse(200, b"x")
    (tmp_path / "file").write_text("in the way")
    for directory in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(DownloadError, match="file.*Choose another directory") as caught:
            kayrros.download(DATASET, directory)
        assert tmp_path in caught.value.path.parents


def test_every_error_has_advice(kayrros: Kayrros, platform: StubServer) -> None:
    """The last sentence of each message is advice, for every status."""
    for status in http.HTTPStatus:
        if status >= 300:
            platform.answers[METADATA] = StubResponse(status.value)
            with pytest.raises(KayrrosError) as caught:
                kayrros.metadata(DATASET)
            assert str(caught.value).rstrip(".").rpartition("). ")[2], str(caught.value)
