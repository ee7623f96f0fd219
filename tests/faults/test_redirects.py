"""Only downloads follow redirects, and another host never gets the token. Two ports of loopback are two origins."""

from collections.abc import Callable
from pathlib import Path

import pytest

from kayrros_ext import APIError, Kayrros, TransportError
from tests.support.files import CONTENT, HALF, File
from tests.support.server import DATASET, DOWNLOAD, Request, Responder, Server, StubResponse

Start = Callable[[Responder], Server]
ELSEWHERE = pytest.mark.off_contract("a redirect leads to what is no operation")


def to(place: str, status: int = 302) -> StubResponse:
    return StubResponse(status, b"", {"Location": place, "Set-Cookie": "session=secret"})


@ELSEWHERE
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_download_is_followed_to_another_host_without_the_token(
    status: int, start: Start, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """The other host gets no cookie. An interrupted download resumes there by a new redirect of the data host."""
    store = start(File(cuts=[HALF]))
    platform = start(lambda _: to(f"{store.url}/file?sign=abc", status))
    assert connect(platform, token="a-token").download(DATASET, tmp_path).path.read_bytes() == CONTENT
    assert store.paths() == ["/file?sign=abc", "/file?sign=abc"]
    assert platform.paths() == [DOWNLOAD, DOWNLOAD]
    assert not [name for seen in store.requests for name in seen.headers if name in {"authorization", "cookie"}]
    assert [None, f"bytes={HALF}-"] == [seen.headers.get("range") for seen in store.requests]


@ELSEWHERE
def test_a_redirect_within_the_data_host_keeps_the_token(
    start: Start, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """The client follows a relative Location five times at most."""

    def answer(request: Request, hops: int) -> StubResponse:
        done = int(request.path.removeprefix("/hop/")) if request.path.startswith("/hop/") else 0
        return StubResponse(200, b"x") if done == hops else to(f"/hop/{done + 1}")

    five = start(lambda request: answer(request, 5))
    assert connect(five, token="a-token").download(DATASET, tmp_path).path.read_bytes() == b"x"
    assert {"a-token"} == {request.token for request in five.requests}
    six = start(lambda request: answer(request, 6))
    with pytest.raises(TransportError, match="more than 5 redirects"):
        connect(six, token="a-token").download(DATASET, tmp_path)
    assert len(six.requests) == 6


@pytest.mark.parametrize(
    "place",
    [
        "ftp://127.0.0.1/x",
        "file:///etc/passwd",
        "http://192.0.2.1/x",
        "javascript:alert(1)",
        "data:text/plain,x",
        pytest.param("https://a..b/x", marks=ELSEWHERE),
        pytest.param(f"https://{'a' * 64}.example.com/x", marks=ELSEWHERE),
        "https://xn--/x",
    ],
)
def test_a_redirect_to_a_forbidden_url_is_an_error(
    place: str, start: Start, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """Another scheme, plain http to another machine and an invalid host are errors. No request and no file follow."""
    server = start(lambda _: to(place))
    with pytest.raises(TransportError, match="The redirect is not followed"):
        connect(server, token="a-token").download(DATASET, tmp_path)
    assert not list(tmp_path.iterdir())


@ELSEWHERE
def test_a_refusal_by_the_other_host_names_it(start: Start, connect: Callable[..., Kayrros], tmp_path: Path) -> None:
    """The error names that host, and the client does not log in again."""
    store = start(lambda _: StubResponse(403, b"expired"))
    platform = start(lambda request: to(f"{store.url.replace('127.0.0.1', 'localhost')}/signed"))
    with pytest.raises(APIError, match="localhost answered 403"):
        connect(platform, token="a-token").download(DATASET, tmp_path)
    assert len(platform.requests) == 1


def test_no_other_operation_is_redirected(start: Start, connect: Callable[..., Kayrros]) -> None:
    """No redirect of the API is documented, so it is an error with that status."""
    store = start(lambda _: StubResponse(200, b"{}"))
    kayrros = connect(start(lambda _: to(store.url)), token="a-token")
    for call in (kayrros.metadata, kayrros.results):
        with pytest.raises(APIError, match="302"):
            call(DATASET)
    assert not store.requests
