"""Downloads over real sockets: interrupted, resumed, of another version, with a wrong digest, next to existing files."""

import base64
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from kayrros_ext import APIError, ContractError, DownloadError, Kayrros, TransportError, UsageError
from kayrros_ext._config.retries import Retries
from kayrros_ext._download.partial import PartialFile
from tests.support.files import CONTENT, HALF, NAME, SHA256, TAG, File
from tests.support.server import DATASET, Request, Responder, Server, StubResponse

Start = Callable[[Responder], Server]
Connect = Callable[..., Kayrros]
Get = Callable[..., Kayrros]
NO_RETRY = Retries(0)
REVERSED = hashlib.sha256(CONTENT[::-1]).hexdigest()


@pytest.fixture
def get(start: Start, connect: Connect) -> Get:
    """Return a client of a server that has this file."""
    return lambda responder, **settings: connect(start(responder), token="a-token", **settings)


def b64(name: str, content: bytes = CONTENT) -> str:
    return base64.b64encode(hashlib.new(name, content).digest()).decode()


def interrupt(kayrros: Kayrros, directory: Path) -> None:
    with pytest.raises(TransportError):
        kayrros.download(DATASET, directory)


def sidecar(base_url: str, **changes: Any) -> str:
    metadata = {"base_url": base_url, "dataset_id": DATASET, "name": "a.bin", "etag": '"v1"', "size": len(CONTENT)}
    return json.dumps({**metadata, **changes})


def test_interrupted_download_resumes(get: Get, tmp_path: Path) -> None:
    """The next attempt requests only the rest, and the file is the server's."""
    file = File(cuts=[HALF, 100])
    download = get(file).download(DATASET, tmp_path)
    assert file.requested_ranges == [None, f"bytes={HALF}-", f"bytes={HALF + 100}-"]
    assert download.path.read_bytes() == CONTENT
    assert (download.sha256, download.size, download.new) == (SHA256, len(CONTENT), True)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.bin"]


def test_download_is_a_path(get: Get, tmp_path: Path) -> None:
    """open(), os.path and pathlib take a Download."""
    download = get(File(content=b"abc")).download(DATASET, tmp_path)
    with open(download, "rb") as file:  # noqa: PTH123 - the claim
        assert file.read() == b"abc"
    assert os.fspath(download) == str(tmp_path / "a.bin")
    assert Path(download) == download.path


def test_progress_counts_bytes(get: Get, tmp_path: Path) -> None:
    """The callback gets the bytes so far and the size of the file, also after it resumed."""
    counts: list[tuple[int, int | None]] = []
    kayrros = get(File(cuts=[HALF]))
    kayrros.download(DATASET, tmp_path, progress=lambda *count: counts.append(count))
    assert counts == sorted(counts)
    assert counts[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    "error",
    [
        OSError("mine"),
        httpx.ReadTimeout("mine"),
        UnicodeError("mine"),
        APIError("mine", status=503, operation="x", retry_after_s=None),
        KeyboardInterrupt("mine"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_of_the_progress_callback_is_raised_as_it_is(error: BaseException, get: Get, tmp_path: Path) -> None:
    """It is not taken for the network's and retried. The next call resumes, and a note of the error says so."""
    file = File()
    kayrros = get(file)

    def fail(*_: object) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        kayrros.download(DATASET, tmp_path, progress=fail)
    assert caught.value is error
    [note] = error.__notes__
    assert re.fullmatch(r"[\d.]+ [kM]B of [\d.]+ MB are kept. Repeat the download to resume it.", note)
    assert len(file.requested_ranges) == 1
    assert kayrros.download(DATASET, tmp_path).sha256 == SHA256
    assert file.requested_ranges[1]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"v1"'},
        {"ETag": "v1"},
        {"ETag": '"v\xe9"'},
        {"ETag": '"' + "v" * 2000 + '"'},
        {"Last-Modified": "Wed, 01 May 2024 10:00:00 GMT", "Date": "Wed, 01 May 2024 11:00:00 GMT"},
    ],
)
def test_without_strong_etag_it_starts_over(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """Two versions are never mixed in one file, and no part is kept for the next call."""
    file = File(headers=headers, cuts=[HALF])
    assert get(file).download(DATASET, tmp_path).path.read_bytes() == CONTENT
    assert file.requested_ranges == [None, None]
    other = tmp_path / "other"
    interrupt(get(File(headers=headers, cuts=[HALF]), retries=NO_RETRY), other)
    assert not list(other.iterdir())


def test_server_without_ranges_starts_over(get: Get, tmp_path: Path) -> None:
    """A 200 in response to a range replaces the part. Retries are counted, because nothing is gained."""
    file = File(ranges=False, cuts=[HALF])
    assert get(file).download(DATASET, tmp_path).path.read_bytes() == CONTENT
    assert file.requested_ranges == [None, f"bytes={HALF}-"]
    always = File(ranges=False, cuts=[HALF] * 100)
    interrupt(get(always), tmp_path)
    assert len(always.requested_ranges) == 5


def test_other_version_starts_over(get: Get, tmp_path: Path) -> None:
    """A file that changed between two attempts has none of the old bytes; nor has a file of another platform."""
    file = File(cuts=[HALF, None])

    def changing(request: Any) -> StubResponse:
        response = file(request)
        file.content, file.headers = CONTENT[::-1], {**NAME, "ETag": '"v2"'}
        return response

    path = get(changing).download(DATASET, tmp_path).path
    assert path.read_bytes() == CONTENT[::-1]
    path.unlink()
    interrupt(get(File(cuts=[HALF]), retries=NO_RETRY), tmp_path)
    other_platform = File(content=b"new")
    assert get(other_platform).download(DATASET, tmp_path, overwrite=True).path.read_bytes() == b"new"
    assert other_platform.requested_ranges == [None]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "range_headers",
    [
        {"Content-Range": ""},
        {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"},
        {"Content-Range": f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT) + 1}"},
        {"Content-Range": "bytes 9-2/x"},
        {"ETag": '"v2"'},
        {"Content-Encoding": "gzip"},
    ],
)
def test_wrong_206_is_rejected(range_headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """The whole file is requested at once."""
    file = File(cuts=[HALF], range_headers=range_headers)
    assert get(file).download(DATASET, tmp_path).path.read_bytes() == CONTENT
    assert file.requested_ranges == [None, f"bytes={HALF}-", None]


def test_ranges_of_limited_size(get: Get, tmp_path: Path) -> None:
    """A server that returns less than the requested range is asked for the rest."""
    size, limit = len(CONTENT), 1_100_000

    def respond(request: Request) -> StubResponse:
        if "range" not in request.headers:
            return StubResponse(200, CONTENT, {**TAG, **NAME}, cut=1000)
        first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        last = min(first + limit, size) - 1
        return StubResponse(206, CONTENT[first : last + 1], {**TAG, "Content-Range": f"bytes {first}-{last}/{size}"})

    kayrros = get(respond, retries=Retries(1, backoff_initial=0))
    assert kayrros.download(DATASET, tmp_path).path.read_bytes() == CONTENT


def test_digest_of_a_range_is_ignored(get: Get, tmp_path: Path) -> None:
    """Content-Digest of a 206 covers its body (RFC 9530), Repr-Digest the file."""
    of_range = {"Content-Digest": f"sha-256=:{b64('sha256', CONTENT[HALF:])}:"}
    assert get(File(cuts=[HALF], range_headers=of_range)).download(DATASET, tmp_path).sha256 == SHA256
    wrong = File(cuts=[HALF], range_headers={"Repr-Digest": f"sha-512=:{b64('sha512', b'')}:"})
    with pytest.raises(DownloadError, match="sha512"):
        get(wrong).download(DATASET, tmp_path / "b")


def test_416_requests_the_whole_file(get: Get, tmp_path: Path) -> None:
    """The file is shorter now, and the server checks the range before the version."""
    file = File(cuts=[HALF])

    def shrinking(request: Any) -> StubResponse:
        if "range" in request.headers:
            file.content = b"short"
            return StubResponse(416, b"", {"Content-Range": "bytes */5"})
        return file(request)

    assert get(shrinking).download(DATASET, tmp_path).path.read_bytes() == b"short"


def test_206_without_a_range_is_an_error(get: Get, tmp_path: Path) -> None:
    """The error is an APIError with the status, as for 416. No file is left."""
    for status in (206, 416):
        with pytest.raises(APIError) as caught:
            get(lambda _, status=status: StubResponse(status, b"x")).download(DATASET, tmp_path)
        assert caught.value.status == status
    assert not list(tmp_path.iterdir())


def test_progress_resets_the_retries(get: Get, tmp_path: Path) -> None:
    """Each mebibyte does. Less does not, because a server that always breaks off would never be given up."""
    file = File(cuts=[1_100_000, 1, 1_100_000, 1, 1, 1, None])
    kayrros = get(file, retries=Retries(4, backoff_initial=0))
    assert kayrros.download(DATASET, tmp_path).path.read_bytes() == CONTENT
    with pytest.raises(TransportError):
        get(File(cuts=[1_100_000, 1, 1]), retries=Retries(2, backoff_initial=0)).download(DATASET, tmp_path / "b")


def test_no_retries_means_one_request(get: Get, tmp_path: Path) -> None:
    """retries=0 allows no second request, whatever the size of the first response."""
    file = File(cuts=[HALF])
    interrupt(get(file, retries=0), tmp_path)
    assert file.requested_ranges == [None]


def test_busy_server_is_retried(get: Get, tmp_path: Path) -> None:
    """503 and 429 are retried as for other operations. 404 is final."""
    responses = [StubResponse(503), StubResponse(429), StubResponse(200, b"x", NAME), StubResponse(404)]
    kayrros = get(lambda _: responses.pop(0))
    assert kayrros.download(DATASET, tmp_path).path.read_bytes() == b"x"
    with pytest.raises(APIError, match="404"):
        kayrros.download(DATASET, tmp_path)


def test_next_call_resumes(start: Start, connect: Connect, tmp_path: Path) -> None:
    """Another client of the same platform finds the part and its sidecar, both hidden, and deletes them at the end."""
    file = File(cuts=[HALF])
    server = start(file)
    interrupt(connect(server, token="a-token", retries=0), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f".{DATASET}.part", f".{DATASET}.part.json"}
    # The 206 need not name the file again (RFC 9110, 15.3.7).
    file.range_headers = {"Content-Disposition": "", "ETag": ""}
    download = connect(server, token="a-token").download(DATASET, tmp_path)
    assert file.requested_ranges == [None, f"bytes={HALF}-"]
    assert (download.path, download.sha256) == (tmp_path / "a.bin", SHA256)
    assert download.path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [download.path]


def test_complete_part_is_checked(start: Start, connect: Connect, tmp_path: Path) -> None:
    """Its last byte is requested again, which tells whether the version is still the same."""
    file = File(cuts=[HALF])
    server = start(file)
    interrupt(connect(server, token="a-token", retries=0), tmp_path)
    (tmp_path / f".{DATASET}.part").write_bytes(CONTENT)
    assert connect(server, token="a-token").download(DATASET, tmp_path).sha256 == SHA256
    assert file.requested_ranges[-1] == f"bytes={len(CONTENT) - 1}-"


@pytest.mark.parametrize("size", [0, 1000])
def test_part_truncated_between_attempts_starts_over(size: int, get: Get, tmp_path: Path) -> None:
    """Another program truncates it. The client requests the whole file again, so the file has no hole."""
    file = File(cuts=[HALF])

    def truncating(request: Request) -> StubResponse:
        if "range" in request.headers:
            os.truncate(tmp_path / f".{DATASET}.part", size)
        return file(request)

    download = get(truncating).download(DATASET, tmp_path)
    assert file.requested_ranges == [None, f"bytes={HALF}-", None]
    assert (download.path.read_bytes(), download.sha256) == (CONTENT, SHA256)


def test_part_truncated_during_an_attempt_starts_over(get: Get, tmp_path: Path) -> None:
    """Another program truncates it. The client requests the whole file again, so the file has no hole."""
    truncated: list[bool] = []

    def truncate_once(*_: object) -> None:
        if not truncated:
            os.truncate(tmp_path / f".{DATASET}.part", 1000)
            truncated.append(True)

    file = File()
    download = get(file).download(DATASET, tmp_path, progress=truncate_once)
    assert file.requested_ranges == [None, None]
    assert (download.path.read_bytes(), download.sha256) == (CONTENT, SHA256)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "\0" * 100,
        sidecar("URL", etag=2),
        sidecar("URL", etag=None),
        sidecar("URL", size="x"),
        sidecar("URL", size=7),
        sidecar("URL", etag='"v2"'),
        sidecar("URL", etag='"v\xe9"'),
        sidecar("URL", etag='"v1"\n'),
        sidecar("URL", digest="md5:00"),
        sidecar("URL", digest="sha256:00", etag='"v2"'),
        sidecar("http://other"),
    ],
)
def test_part_with_unusable_sidecar_is_replaced(text: str, start: Start, connect: Connect, tmp_path: Path) -> None:
    """The content of the sidecar does not matter: the file is right and the directory is clean."""
    server = start(File())
    (tmp_path / f".{DATASET}.part").write_bytes(b"x" * 1000)
    (tmp_path / f".{DATASET}.part.json").write_text(text.replace("URL", f"{server.url}/"))
    path = connect(server, token="a-token").download(DATASET, tmp_path).path
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_symlink_in_place_of_the_part_is_replaced(start: Start, connect: Connect, tmp_path: Path) -> None:
    """It is not followed, and the file that it leads to is not resumed."""
    server = start(File())
    (victim := tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / f".{DATASET}.part.json").write_text(sidecar(f"{server.url}/"))
    (tmp_path / f".{DATASET}.part").symlink_to(victim)
    download = connect(server, token="a-token").download(DATASET, tmp_path)
    assert (download.sha256, victim.read_bytes()) == (SHA256, b"precious")
    assert set(tmp_path.iterdir()) == {download.path, victim}
    assert [request.headers.get("range") for request in server.requests] == [None]


def test_directory_in_place_of_the_part_is_an_error(get: Get, tmp_path: Path) -> None:
    """The error is a DownloadError with advice. The directory is not touched."""
    (part := tmp_path / f".{DATASET}.part").mkdir()
    with pytest.raises(DownloadError, match="Choose another directory"):
        get(File()).download(DATASET, tmp_path)
    assert list(tmp_path.iterdir()) == [part]


def test_symlink_is_replaced(get: Get, tmp_path: Path) -> None:
    """The server chooses the name, so that a symlink is neither written through nor read."""
    precious = b"x" * len(str(victim := tmp_path / "victim"))  # the size of the link itself
    victim.write_bytes(precious)
    (tmp_path / "a.bin").symlink_to(victim)
    for content in (precious, CONTENT):
        with pytest.raises(DownloadError, match="already exists"):
            get(File(content=content)).download(DATASET, tmp_path)
    path = get(File()).download(DATASET, tmp_path, overwrite=True).path
    assert (path.read_bytes(), path.is_symlink(), victim.read_bytes()) == (CONTENT, False, precious)


def test_symlink_to_a_directory_is_followed(get: Get, tmp_path: Path) -> None:
    """It is the user's choice."""
    (real := tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(real)
    get(File()).download(DATASET, tmp_path / "link")
    assert (real / "a.bin").read_bytes() == CONTENT


def test_hostile_name_stays_inside(get: Get, tmp_path: Path) -> None:
    """The file is in the directory, whatever folder the server names."""
    for number, header in enumerate(['filename="../../x"', "filename*=UTF-8''%2Fetc%2Fpasswd", 'filename="C:\\\\x"']):
        directory = tmp_path / "in" / str(number)
        path = get(File(headers={"Content-Disposition": f"attachment; {header}"})).download(DATASET, directory).path
        assert list(directory.iterdir()) == [path]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Digest": f"sha-256={b64('sha256')}"},
        {"Digest": f"SHA-512={b64('sha512')}"},
        {"Repr-Digest": f"sha-256=:{b64('sha256')}:"},
        {"Content-Digest": f"crc32c=:AAAA:, sha-512=:{b64('sha512')}:"},
    ],
)
def test_server_digest_is_verified(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """It covers the whole file, after a resume too. If it is wrong, neither the file nor a part is left."""
    right = File(headers={**NAME, **TAG, **headers}, cuts=[HALF])
    assert get(right).download(DATASET, tmp_path).path.read_bytes() == CONTENT
    wrong = File(content=CONTENT[:-1] + b"!", headers={**NAME, **TAG, **headers}, cuts=[HALF])
    empty = tmp_path / "empty"
    with pytest.raises(DownloadError, match="the server specified [0-9a-f]{64,}"):
        get(wrong).download(DATASET, empty)
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    "headers",
    [
        {"Digest": "sha-256=AAAA, unixsum=30637, x"},
        {"Repr-Digest": "sha-256=:!!!!:"},
        {"Repr-Digest": f"x-sha-256=:{b64('sha256', b'')}:"},
        {"Digest": f"md5={b64('md5', b'')}"},
    ],
)
def test_unusable_digest_is_ignored(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """The header is malformed, or the digest is of an algorithm that is not secure."""
    assert get(File(headers={**NAME, **headers})).download(DATASET, tmp_path).sha256 == SHA256


def test_sha256_is_logged(get: Get, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each download logs its SHA-256 and its size."""
    with caplog.at_level(logging.INFO, "kayrros_ext"):
        get(File()).download(DATASET, tmp_path)
    assert f"{len(CONTENT)} bytes, sha256 {SHA256}" in caplog.text


def test_sha256_of_the_caller_is_verified(get: Get, tmp_path: Path) -> None:
    """It has the form of sha256sum. A mismatch is an error, and an invalid argument is an error before any request."""
    file = File()
    kayrros = get(file)
    assert kayrros.download(DATASET, tmp_path, sha256=f" {SHA256.upper()}\n").path.read_bytes() == CONTENT
    with pytest.raises(DownloadError, match=f"{SHA256}, but you specified {'0' * 64}"):
        kayrros.download(DATASET, tmp_path / "b", sha256="0" * 64)
    assert not list((tmp_path / "b").iterdir())
    for wrong in ("", "abc", "g" * 64, 5):
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            kayrros.download(DATASET, tmp_path, sha256=wrong)  # type: ignore[arg-type]
    assert len(file.requested_ranges) == 2


def test_progress_that_is_no_function_is_refused(get: Get, tmp_path: Path) -> None:
    """The error comes before any request. `results` takes True, and `download` does not."""
    file = File()
    for wrong in (True, "yes"):
        with pytest.raises(UsageError, match="Pass a function that takes two numbers"):
            get(file).download(DATASET, tmp_path, progress=wrong)  # type: ignore[arg-type]
    assert not file.requested_ranges


def test_impossible_directory_is_refused(get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error comes before any request and has advice. tests/unit/test_files.py has more cases."""
    monkeypatch.chdir(tmp_path)
    file = File()
    wrong: Any
    for wrong in ("a\0b", "a\ud800b", 5, "", "s3://bucket/x", "out.csv"):
        with pytest.raises(UsageError, match="directory is .* Pass a directory"):
            get(file).download(DATASET, wrong)
    with pytest.raises(DownloadError, match="File name too long"):
        get(file).download(DATASET, "a" * 300)
    assert not file.requested_ranges
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_private_file_stays_private(get: Get, tmp_path: Path) -> None:
    """A new version has the permissions of the file that it replaces."""
    (tmp_path / "a.bin").touch(mode=0o600)
    file = get(File()).download(DATASET, tmp_path, overwrite=True)
    assert file.path.read_bytes() == CONTENT
    assert file.path.stat().st_mode & 0o777 == 0o600


def test_existing_file_is_not_replaced(get: Get, tmp_path: Path) -> None:
    """The error comes before the body is read, or at the end if the size does not tell or the file appears meanwhile."""
    (path := tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(DownloadError, match=r"already exists\. Pass overwrite=True .* a directory for each") as caught:
        get(File(cuts=[0] * 9)).download(DATASET, tmp_path)
    assert (caught.value.path, path.read_bytes()) == (path, b"mine")
    assert "--overwrite" in (caught.value.hint_cli or "")
    path.write_bytes(b"x" * len(CONTENT))
    with pytest.raises(DownloadError, match="already exists"):
        get(File()).download(DATASET, tmp_path)
    assert {entry: entry.read_bytes() for entry in tmp_path.iterdir()} == {path: b"x" * len(CONTENT)}
    path.unlink()

    file = File(cuts=[HALF])

    def appearing(request: Any) -> StubResponse:
        if "range" in request.headers:
            path.write_bytes(b"mine")
        return file(request)

    with pytest.raises(DownloadError, match="overwrite"):
        get(appearing).download(DATASET, tmp_path)
    assert path.read_bytes() == b"mine"
    path.unlink()
    interrupt(get(file := File(cuts=[HALF]), retries=0), tmp_path)
    assert get(file).download(DATASET, tmp_path).path.read_bytes() == CONTENT


def test_refusal_keeps_the_part_of_an_earlier_call(start: Start, connect: Connect, tmp_path: Path) -> None:
    """A call without `overwrite` does not throw away what a call with it has transferred."""
    (path := tmp_path / "a.bin").write_bytes(b"mine")
    server = start(file := File(cuts=[HALF]))
    with pytest.raises(TransportError):
        connect(server, token="a-token", retries=0).download(DATASET, tmp_path, overwrite=True)
    with pytest.raises(DownloadError, match="already exists"):
        connect(server, token="a-token").download(DATASET, tmp_path)
    assert connect(server, token="a-token").download(DATASET, tmp_path, overwrite=True).path == path
    assert (file.requested_ranges[-1], path.read_bytes()) == (f"bytes={HALF}-", CONTENT)


@pytest.mark.parametrize("overwrite", [True, False])
def test_file_that_appears_at_the_last_moment_is_kept(
    overwrite: bool, get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another dataset's, so that not even `overwrite` replaces it. No trace of the download is left."""
    path, finish = tmp_path / "a.bin", PartialFile.finish

    def late(part: PartialFile, target: Path, sha256: str, *, replace: bool) -> None:
        path.write_bytes(b"mine")
        finish(part, target, sha256, replace=replace)

    monkeypatch.setattr(PartialFile, "finish", late)
    with pytest.raises(DownloadError, match="already exists"):
        get(File()).download(DATASET, tmp_path, overwrite=overwrite)
    assert {entry: entry.read_bytes() for entry in tmp_path.iterdir()} == {path: b"mine"}


@pytest.mark.parametrize(
    ("headers", "sha256", "transfers"),
    [
        (TAG, None, 0),
        ({"Repr-Digest": f"sha-256=:{b64('sha256')}:"}, None, 0),
        ({"Repr-Digest": f"sha-512=:{b64('sha512')}:"}, None, 0),
        ({}, SHA256, 0),
        ({}, None, 1),
    ],
    ids=["etag", "sha-256", "sha-512", "sha256=", "nothing"],
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_the_very_file_is_returned(
    overwrite: bool,
    headers: dict[str, str],
    sha256: str | None,
    transfers: int,
    start: Start,
    connect: Connect,
    tmp_path: Path,
) -> None:
    """It is not transferred again, if an ETag or a digest identifies it. Without one, the bytes are compared."""
    server = start(file := File(headers={**NAME, **headers}))
    first = connect(server, token="a-token").download(DATASET, tmp_path)
    inode = first.path.stat().st_ino
    file.cuts = [None] * transfers + [0] * 9
    again = connect(server, token="a-token", retries=0).download(DATASET, tmp_path, overwrite=overwrite, sha256=sha256)
    assert (again.path, again.size, again.sha256, again.new) == (first.path, first.size, SHA256, False)
    assert first.path.stat().st_ino == inode
    assert list(tmp_path.iterdir()) == [first.path]


def test_file_of_the_same_version_that_changed_is_another(start: Start, connect: Connect, tmp_path: Path) -> None:
    """The ETag is the server's, so the bytes on disk count too. The caller's digest is never overruled."""
    kayrros = connect(start(File()), token="a-token")
    path = kayrros.download(DATASET, tmp_path).path
    with pytest.raises(DownloadError, match="already exists"):
        kayrros.download(DATASET, tmp_path, sha256="0" * 64)
    with path.open("r+b") as file:
        file.write(b"edited")
    with pytest.raises(DownloadError, match="already exists"):
        kayrros.download(DATASET, tmp_path)
    assert kayrros.download(DATASET, tmp_path, overwrite=True).new
    assert path.read_bytes() == CONTENT


def test_without_extended_attributes_the_bytes_are_compared(
    start: Start, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows, macOS and some file systems no version is kept with the file."""
    monkeypatch.delattr(os, "setxattr")
    kayrros = connect(start(file := File()), token="a-token")
    kayrros.download(DATASET, tmp_path)
    assert kayrros.download(DATASET, tmp_path).new is False
    file.content = CONTENT[::-1]
    with pytest.raises(DownloadError, match="already exists"):
        kayrros.download(DATASET, tmp_path)
    assert kayrros.download(DATASET, tmp_path, overwrite=True).path.read_bytes() == CONTENT[::-1]


OTHER = DATASET[:-1] + "5"


def of_two_datasets(request: Request) -> StubResponse:
    """Serve two datasets whose files have the same name, size and ETag."""
    content = CONTENT if DATASET in request.path else CONTENT[::-1]
    return StubResponse(200, content, {**NAME, **TAG})


@pytest.mark.parametrize("overwrite", [True, False])
def test_file_of_another_dataset_is_neither_returned_nor_replaced(overwrite: bool, get: Get, tmp_path: Path) -> None:
    """In a loop, the second dataset is an error, on the next day too, and the first stays."""
    kayrros = get(of_two_datasets)
    for new in (True, False):
        assert kayrros.download(DATASET, tmp_path, overwrite=overwrite).new is new
        with pytest.raises(DownloadError, match=f"as the file of dataset {DATASET}. Use a directory for each dataset"):
            kayrros.download(OTHER, tmp_path, overwrite=overwrite)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {tmp_path / "a.bin": CONTENT}
    assert kayrros.download(OTHER, tmp_path / "b").path.read_bytes() == CONTENT[::-1]


def test_same_bytes_of_another_dataset_are_another_file(get: Get, tmp_path: Path) -> None:
    """Neither the server's digest nor one of the caller makes the file of one dataset that of another."""
    digest = {"Repr-Digest": f"sha-256=:{b64('sha256')}:"}
    kayrros = get(lambda _: StubResponse(200, CONTENT, {**NAME, **digest}))
    kayrros.download(DATASET, tmp_path)
    for sha256 in (None, SHA256):
        with pytest.raises(DownloadError, match=f"as the file of dataset {DATASET}"):
            kayrros.download(OTHER, tmp_path, sha256=sha256)


@pytest.mark.parametrize("overwrite", [True, False])
def test_two_datasets_at_once_get_one_name(overwrite: bool, get: Get, tmp_path: Path) -> None:
    """One of them is returned with its own bytes. The other is an error."""
    kayrros = get(of_two_datasets)
    barrier = threading.Barrier(2)

    def call(dataset: str) -> bytes | DownloadError:
        def wait(size: int, _: int | None) -> None:
            if size == len(CONTENT):
                barrier.wait()

        try:
            download = kayrros.download(dataset, tmp_path, overwrite=overwrite, progress=wait)
        except DownloadError as error:
            return error
        return download.sha256.encode()

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(call, (DATASET, OTHER)))
    [winner] = [outcome for outcome in outcomes if isinstance(outcome, bytes)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert hashlib.sha256((tmp_path / "a.bin").read_bytes()).hexdigest().encode() == winner
    assert outcomes[outcomes.index(winner)] == [SHA256.encode(), REVERSED.encode()][outcomes.index(winner)]


def test_directory_in_the_way_is_an_error(get: Get, tmp_path: Path) -> None:
    """The error comes before the body is read."""
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(DownloadError, match="Is a directory"):
        get(File(cuts=[0] * 9)).download(DATASET, tmp_path)


def test_html_page_is_not_a_file(get: Get, tmp_path: Path) -> None:
    """A proxy's sign-in page is a ContractError. A page with a file name is a file."""
    page = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(ContractError, match="Sign in"):
        get(lambda _: StubResponse(200, b"<html><title>Sign in</title>", page)).download(DATASET, tmp_path)
    assert not list(tmp_path.iterdir())
    assert (
        get(lambda _: StubResponse(200, b"<p>", {**page, **NAME})).download(DATASET, tmp_path).path.read_bytes()
        == b"<p>"
    )


def test_compression_is_declined(start: Start, connect: Connect, tmp_path: Path) -> None:
    """A compressed response has no size to check, and can't be resumed."""
    server = start(File())
    connect(server, token="a-token").download(DATASET, tmp_path)
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_thread_that_outlives_the_main_thread_can_download(
    get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python starts no more threads of a pool then."""
    monkeypatch.setattr("concurrent.futures.thread._shutdown", True)
    assert get(File()).download(DATASET, tmp_path).sha256 == SHA256


def test_large_file_is_hashed_across_attempts(get: Get, tmp_path: Path) -> None:
    """The file has several blocks. The connection breaks within a block and between two of them."""
    content = CONTENT * 5
    file = File(content=content, cuts=[HALF, 3_000_000, 4 * 1024 * 1024, 1])
    download = get(file).download(DATASET, tmp_path)
    assert download.sha256 == hashlib.sha256(content).hexdigest()
    assert download.path.read_bytes() == content


def test_small_files_share_a_connection(start: Start, tmp_path: Path) -> None:
    """The body is read to its end, so that the connection serves the next request."""
    server = start(lambda _: StubResponse(200, b"x" * 100, NAME))
    connections = []
    with Kayrros(token="a-token", base_url=server.url) as kayrros:
        for number in range(3):
            kayrros.download(DATASET, tmp_path / str(number))
            pool = kayrros.client.get_httpx_client()._transport_for_url(httpx.URL(server.url))._pool  # type: ignore[attr-defined]
            connections.append(pool.connections[0])
    assert len(set(map(id, connections))) == 1
