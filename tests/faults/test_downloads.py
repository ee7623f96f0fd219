"""Downloads over real sockets: broken off, resumed, of another version, with the wrong digest, in the way of a file."""

import base64
import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import attrs
import httpx
import pytest

from kayrros_ext import APIError, ContractError, DownloadError, Kayrros, TransportError, UsageError
from kayrros_ext._config.retries import Retries
from kayrros_ext._download.partial import About, Part, new_part
from kayrros_ext._files import move
from tests.support.files import CONTENT, HALF, NAME, SHA256, TAG, File
from tests.support.server import DATASET, Answer, Answering, Request, Server

Start = Callable[[Answering], Server]
Get = Callable[..., Kayrros]
NO_RETRY = Retries(0)


@pytest.fixture
def get(start: Start, connect: Callable[..., Kayrros]) -> Get:
    """A client of a server that has this file, or answers so."""
    return lambda answering, **settings: connect(start(answering), token="t", **settings)


def parts(directory: Path) -> list[str]:
    return sorted(path.suffix for path in directory.iterdir() if path.name.startswith("."))


def b64(name: str, content: bytes = CONTENT) -> str:
    return base64.b64encode(hashlib.new(name, content).digest()).decode()


def break_off(kayrros: Kayrros, directory: Path) -> None:
    with pytest.raises(TransportError):
        kayrros.download(DATASET, directory)


def test_what_breaks_off_is_gone_on_from(get: Get, tmp_path: Path) -> None:
    """The next attempt asks for the rest alone, and the whole is what the server has."""
    file = File(cuts=[HALF, 100])
    download = get(file).download(DATASET, tmp_path, details=True)
    assert [None, f"bytes={HALF}-", f"bytes={HALF + 100}-"] == file.asked
    assert (CONTENT, SHA256, len(CONTENT)) == (download.path.read_bytes(), download.sha256, download.size)
    assert [tmp_path / "a.bin"] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "headers",
    [
        {"Last-Modified": "Wed, 01 May 2024 10:00:00 GMT", "Date": "Wed, 01 May 2024 10:00:01 GMT"},
        {"ETag": '"v1"', "Last-Modified": "nonsense"},
    ],
)
def test_either_validator_will_do(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """A strong entity tag, or a date of change that is older than the answer."""
    file = File(headers=headers, cuts=[HALF])
    assert CONTENT == get(file).download(DATASET, tmp_path).read_bytes()
    assert [None, f"bytes={HALF}-"] == file.asked


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ETag": 'W/"v1"'},
        {"ETag": "v1"},
        {"ETag": 'W/"v1"', "Last-Modified": "Wed, 01 May 2024 10:00:00 GMT", "Date": "Wed, 01 May 2024 11:00:00 GMT"},
        {"Last-Modified": "Wed, 01 May 2024 10:00:00 GMT", "Date": "Wed, 01 May 2024 10:00:00 GMT"},
        {"Last-Modified": "Wed, 01 May 2024 10:00:00 GMT"},
        {"ETag": '"v1"', "Accept-Ranges": "none"},
    ],
)
def test_without_a_strong_validator_it_starts_over(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """Two versions never end up in one file; and for the next call nothing is kept."""
    file = File(headers=headers, cuts=[HALF])
    assert CONTENT == get(file).download(DATASET, tmp_path).read_bytes()
    assert [None, None] == file.asked
    again = tmp_path / "again"
    break_off(get(File(headers=headers, cuts=[HALF]), retries=NO_RETRY), again)
    assert not list(again.iterdir())


def test_a_server_without_ranges_is_read_from_the_start(get: Get, tmp_path: Path) -> None:
    """It answers 200 to a range, and what was there is dropped; also where it breaks off every time."""
    file = File(ranges=False, cuts=[HALF])
    assert CONTENT == get(file).download(DATASET, tmp_path).read_bytes()
    assert [None, f"bytes={HALF}-"] == file.asked
    stubborn = File(ranges=False, cuts=[HALF] * 100)
    break_off(get(stubborn), tmp_path)
    assert 5 == len(stubborn.asked)


def test_another_version_is_read_from_the_start(get: Get, tmp_path: Path) -> None:
    """The file changed between two attempts, or two calls: none of the old bytes are in the new file."""
    file = File(cuts=[HALF, None])

    def changing(request: Any) -> Answer:
        answer = file(request)
        file.content, file.headers = CONTENT[::-1], {**NAME, "ETag": '"v2"'}
        return answer

    path = get(changing).download(DATASET, tmp_path)
    assert CONTENT[::-1] == path.read_bytes()
    break_off(get(File(cuts=[HALF]), retries=NO_RETRY), tmp_path)
    # The part is of another platform, which may give other files the same tag.
    other = File(content=b"new")
    assert b"new" == get(other).download(DATASET, tmp_path).read_bytes()
    assert [None] == other.asked
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "ranged",
    [
        {"Content-Range": ""},
        {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"},
        {"Content-Range": f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT) + 1}"},
        {"Content-Range": "bytes 9-2/x"},
        {"ETag": '"v2"'},
        {"Content-Encoding": "gzip"},
    ],
)
def test_a_206_that_is_not_the_rest_is_not_believed(ranged: dict[str, str], get: Get, tmp_path: Path) -> None:
    """Then the whole is asked for, at once."""
    file = File(cuts=[HALF], ranged=ranged)
    assert CONTENT == get(file).download(DATASET, tmp_path).read_bytes()
    assert [None, f"bytes={HALF}-", None] == file.asked


def test_a_server_that_gives_less_than_was_asked_for(get: Get, tmp_path: Path) -> None:
    """Its ranges have a limit: the rest is asked for again and again."""
    size, limit = len(CONTENT), 1_100_000

    def answer(request: Request) -> Answer:
        if "range" not in request.headers:
            return Answer(200, CONTENT, {**TAG, **NAME}, cut=1000)
        first = int(request.headers["range"].removeprefix("bytes=").removesuffix("-"))
        last = min(first + limit, size) - 1
        return Answer(206, CONTENT[first : last + 1], {**TAG, "Content-Range": f"bytes {first}-{last}/{size}"})

    assert CONTENT == get(answer, retries=Retries(1, backoff_initial=0)).download(DATASET, tmp_path).read_bytes()


def test_a_digest_of_a_range_says_nothing_of_the_file(get: Get, tmp_path: Path) -> None:
    """Content-MD5 and Content-Digest of a 206 are of its body alone (RFC 9530)."""
    for digest in (
        {"Content-MD5": b64("md5", CONTENT[HALF:])},
        {"Content-Digest": f"md5=:{b64('md5', CONTENT[HALF:])}:"},
    ):
        assert CONTENT == get(File(cuts=[HALF], ranged=digest)).download(DATASET, tmp_path).read_bytes()
    wrong = File(cuts=[HALF], ranged={"Repr-Digest": f"sha-512=:{b64('sha512', b'')}:"})
    with pytest.raises(DownloadError, match="sha512"):
        get(wrong).download(DATASET, tmp_path)


def test_a_416_is_answered_by_asking_for_the_whole(get: Get, tmp_path: Path) -> None:
    """The file is shorter now, and its server looks at the range before it looks at the version."""
    file = File(cuts=[HALF])

    def shrinking(request: Any) -> Answer:
        if "range" in request.headers:
            file.content = b"short"
            return Answer(416, b"", {"Content-Range": "bytes */5"})
        return file(request)

    assert b"short" == get(shrinking).download(DATASET, tmp_path).read_bytes()


def test_a_206_or_416_that_nobody_asked_for_is_an_error(get: Get, tmp_path: Path) -> None:
    """Named by its status; no file is left."""
    for status in (206, 416):
        with pytest.raises(APIError) as caught:
            get(lambda _, status=status: Answer(status, b"x")).download(DATASET, tmp_path)
        assert status == caught.value.status
    assert not list(tmp_path.iterdir())


def test_progress_is_not_given_up(get: Get, tmp_path: Path) -> None:
    """Each mebibyte starts the count anew; less than that does not, else a broken server would keep us for ever."""
    file = File(cuts=[1_100_000, 1, 1_100_000, 1, 1, 1, None])
    assert CONTENT == get(file, retries=Retries(4, backoff_initial=0)).download(DATASET, tmp_path).read_bytes()
    with pytest.raises(TransportError):
        get(File(cuts=[1_100_000, 1, 1]), retries=Retries(2, backoff_initial=0)).download(DATASET, tmp_path / "b")


def test_no_retry_means_none(get: Get, tmp_path: Path) -> None:
    """With retries=0 one request is sent, however far it came."""
    file = File(cuts=[HALF])
    break_off(get(file, retries=0), tmp_path)
    assert [None] == file.asked


def test_a_busy_server_is_asked_again(get: Get, tmp_path: Path) -> None:
    """503 before the file is the rule of retries as anywhere; 404 is final."""
    answers = [Answer(503), Answer(429), Answer(200, b"x", NAME), Answer(404)]
    kayrros = get(lambda _: answers.pop(0))
    assert b"x" == kayrros.download(DATASET, tmp_path).read_bytes()
    with pytest.raises(APIError, match="404"):
        kayrros.download(DATASET, tmp_path)


def test_the_next_call_goes_on(start: Start, connect: Callable[..., Kayrros], tmp_path: Path) -> None:
    """Another client, the same platform: the part is kept, hidden, with what it is of, and gone in the end."""
    file = File(cuts=[HALF])
    server = start(file)
    break_off(connect(server, token="t", retries=0), tmp_path)
    assert [".json", ".part"] == parts(tmp_path)
    # What If-Range is answered with need not name the file again (RFC 9110, 15.3.7).
    file.ranged = {"Content-Disposition": "", "ETag": ""}
    download = connect(server, token="t").download(DATASET, tmp_path, details=True)
    assert [None, f"bytes={HALF}-"] == file.asked
    assert (tmp_path / "a.bin", SHA256, CONTENT) == (download.path, download.sha256, download.path.read_bytes())
    assert [download.path] == list(tmp_path.iterdir())


def test_a_part_that_lacks_nothing_is_asked_about(
    start: Start, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """Its last byte is fetched again, which tells whether it is still of the version there is."""
    file = File(cuts=[HALF])
    server = start(file)
    break_off(connect(server, token="t", retries=0), tmp_path)
    next(tmp_path.glob(".*.part")).write_bytes(CONTENT)
    assert CONTENT == connect(server, token="t").download(DATASET, tmp_path).read_bytes()
    assert f"bytes={len(CONTENT) - 1}-" == file.asked[-1]


@pytest.mark.parametrize(
    "about",
    [
        "",
        "[]",
        "{" * 100_000,
        '{"host": 1, "validator": 2, "name": 3, "size": "x", "digests": []}',
        '{"host": "HOST", "validator": "a\\r\\nb: c", "name": "x", "size": 3200000, "digests": {}}',
        '{"host": "HOST", "validator": "\\"v1\\"", "name": "x", "size": 3200000, "digests": {"shake_128": "x"}}',
        '{"host": "HOST", "validator": "\\"v1\\"", "name": "x", "size": 7, "digests": {}}',
    ],
)
def test_a_part_that_makes_no_sense_is_removed(
    about: str, start: Start, connect: Callable[..., Kayrros], tmp_path: Path
) -> None:
    """Whatever stands beside it, the download goes well, and the directory is clean."""
    server = start(File())
    (tmp_path / f".{DATASET}.0.part").write_bytes(b"x" * 1000)
    (tmp_path / f".{DATASET}.0.json").write_text(about.replace("HOST", server.url))
    path = connect(server, token="t").download(DATASET, tmp_path)
    assert CONTENT == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())


def test_a_part_is_not_written_through_a_link(
    start: Start, connect: Callable[..., Kayrros], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to the directory can't make us write elsewhere, nor take what is elsewhere for our own."""
    server = start(File())
    about: dict[str, Any] = {
        "host": server.url,
        "validator": '"v1"',
        "name": "a.bin",
        "size": len(CONTENT),
        "digests": {},
    }
    (victim := tmp_path / "victim").write_bytes(b"precious")
    directory = tmp_path / "data"
    directory.mkdir()
    for number in (0, 1):
        (directory / f".{DATASET}.{number}.json").write_text(json.dumps(about))
    (directory / f".{DATASET}.0.part").symlink_to(victim)
    (directory / f".{DATASET}.1.part").hardlink_to(victim)
    (directory / "a.bin").symlink_to(victim)
    (directory / f".{DATASET}.2.part").write_bytes(CONTENT[:HALF])
    (directory / f".{DATASET}.2.json").symlink_to(directory / f".{DATASET}.0.json")
    path = connect(server, token="t").download(DATASET, directory)
    assert (CONTENT, b"precious") == (path.read_bytes(), victim.read_bytes())
    assert not path.is_symlink()
    assert "range" not in server.requests[0].headers

    part = new_part(directory, DATASET)
    part._side.symlink_to(victim)
    monkeypatch.setattr(Part, "_forget", lambda _: None)  # somebody was quicker
    with pytest.raises(FileExistsError):
        part.start(About(**about))
    assert b"precious" == victim.read_bytes()


def test_a_directory_that_is_a_link_is_the_users_choice(get: Get, tmp_path: Path) -> None:
    """The file lands where it points."""
    (real := tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(real)
    get(File()).download(DATASET, tmp_path / "link")
    assert CONTENT == (real / "a.bin").read_bytes()


def test_a_hostile_name_stays_inside(get: Get, tmp_path: Path) -> None:
    """The server proposes a way out; the file is in the directory."""
    for number, header in enumerate(['filename="../../x"', "filename*=UTF-8''%2Fetc%2Fpasswd", 'filename="C:\\\\x"']):
        directory = tmp_path / "in" / str(number)
        path = get(File(headers={"Content-Disposition": f"attachment; {header}"})).download(DATASET, directory)
        assert [path] == list(directory.iterdir())
    assert ["in"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-MD5": b64("md5")},
        {"Digest": f"md5={b64('md5')}"},
        {"Digest": f"SHA={b64('sha1')},MD5={b64('md5')}"},
        {"Digest": f"sha-256={b64('sha256')}"},
        {"Repr-Digest": f"sha-256=:{b64('sha256')}:"},
        {"Content-Digest": f"crc32c=:AAAA:, sha-512=:{b64('sha512')}:"},
    ],
)
def test_a_digest_is_checked_over_the_whole_file(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """Right, and resumed half-way, it passes; wrong, both digests are named and no file is left, nor a part."""
    right = File(headers={**NAME, **TAG, **headers}, cuts=[HALF])
    assert CONTENT == get(right).download(DATASET, tmp_path).read_bytes()
    wrong = File(content=CONTENT[:-1] + b"!", headers={**NAME, **TAG, **headers}, cuts=[HALF])
    empty = tmp_path / "empty"
    with pytest.raises(DownloadError, match="the server gave [0-9a-f]{32,}"):
        get(wrong).download(DATASET, empty)
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-MD5": "not base64"},
        {"Digest": "sha-256=AAAA, unixsum=30637, x"},
        {"Repr-Digest": "sha-256=:!!!!:"},
        {"ETag": '"' + "0" * 32 + '"'},
        {"ETag": '"' + "0" * 64 + '"'},
        {"ETag": '"' + "0" * 32 + '-12"'},
    ],
)
def test_what_is_no_digest_is_no_reason_to_fail(headers: dict[str, str], get: Get, tmp_path: Path) -> None:
    """Malformed headers; and an entity tag that has the length of a digest, which nobody says it is."""
    assert CONTENT == get(File(headers={**NAME, **headers})).download(DATASET, tmp_path).read_bytes()


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_a_tag_that_is_the_digest_is_said_to_be(
    name: str, get: Get, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so; and the SHA-256, always."""
    tag = hashlib.new(name, CONTENT).hexdigest()
    with caplog.at_level(logging.INFO, "kayrros_ext"):
        get(File(headers={"ETag": f'"{tag}"'})).download(DATASET, tmp_path)
    assert f"the entity tag is its {name}" in caplog.text
    assert f"{len(CONTENT)} bytes, sha256 {SHA256}" in caplog.text


def test_the_digest_that_the_caller_has(get: Get, tmp_path: Path) -> None:
    """As sha256sum prints it; another one is an error, and what is no digest is refused before anything is sent."""
    file = File()
    kayrros = get(file)
    assert CONTENT == kayrros.download(DATASET, tmp_path, sha256=f" {SHA256.upper()}\n").read_bytes()
    with pytest.raises(DownloadError, match=f"{SHA256}, and you gave {'0' * 64}"):
        kayrros.download(DATASET, tmp_path / "b", sha256="0" * 64)
    assert not list((tmp_path / "b").iterdir())
    for wrong in ("", "abc", "g" * 64, 5):
        with pytest.raises(UsageError, match="64 hexadecimal digits"):
            kayrros.download(DATASET, tmp_path, sha256=wrong)  # type: ignore[arg-type]
    assert 2 == len(file.asked)


def test_an_existing_file_is_not_replaced(get: Get, tmp_path: Path) -> None:
    """overwrite=False says so once the name is known, and leaves it, even where it comes while the other is under way."""
    (path := tmp_path / "a.bin").write_bytes(b"mine")
    with pytest.raises(DownloadError, match="overwrite") as caught:
        get(File(cuts=[0] * 9)).download(DATASET, tmp_path, overwrite=False)
    assert (b"mine", path) == (path.read_bytes(), caught.value.path)
    path.unlink()

    file = File(cuts=[HALF])

    def appearing(request: Any) -> Answer:
        if "range" in request.headers:
            path.write_bytes(b"mine")
        return file(request)

    with pytest.raises(DownloadError, match="overwrite"):
        get(appearing).download(DATASET, tmp_path, overwrite=False)
    assert b"mine" == path.read_bytes()
    path.unlink()
    break_off(get(file := File(cuts=[HALF]), retries=0), tmp_path)
    assert CONTENT == get(file).download(DATASET, tmp_path, overwrite=False).read_bytes()


def test_a_file_that_comes_at_the_last_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To move without replacing is one step, where the file system has hard links; and where not, a look before."""
    for links in (True, False):
        part, path = tmp_path / "part", tmp_path / "file"
        part.write_bytes(b"new")
        path.write_bytes(b"old")
        with pytest.raises(FileExistsError):
            move(part, path, replace=False)
        assert (b"new", b"old") == (part.read_bytes(), path.read_bytes())
        path.unlink()
        move(part, path, replace=False)
        assert {"file": b"new"} == {found.name: found.read_bytes() for found in tmp_path.iterdir()}
        if links:
            monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError))


def test_an_existing_file_is_returned(get: Get, tmp_path: Path) -> None:
    """skip_existing reads no body, whatever overwrite says; a file that is not the one asked for is replaced."""
    (path := tmp_path / "a.bin").write_bytes(b"mine")
    kayrros = get(File(cuts=[0] * 4), retries=0)
    for overwrite in (True, False):
        found = kayrros.download(DATASET, tmp_path, skip_existing=True, overwrite=overwrite, details=True)
        assert (path, 4, hashlib.sha256(b"mine").hexdigest(), False) == attrs.astuple(found)
        assert b"mine" == path.read_bytes()
    kayrros = get(File())
    with pytest.raises(DownloadError, match="overwrite"):
        kayrros.download(DATASET, tmp_path, skip_existing=True, overwrite=False, sha256=SHA256)
    assert CONTENT == kayrros.download(DATASET, tmp_path, skip_existing=True, sha256=SHA256).read_bytes()


def test_a_directory_of_that_name_is_in_the_way(get: Get, tmp_path: Path) -> None:
    """Seen before the body is read."""
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(DownloadError, match="is a directory"):
        get(File(cuts=[0] * 9)).download(DATASET, tmp_path)


def test_a_page_is_not_a_file(get: Get, tmp_path: Path) -> None:
    """What a proxy that wants a sign-in answers with is a ContractError; a page with a name is a file."""
    page = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(ContractError, match="Sign in"):
        get(lambda _: Answer(200, b"<html>Sign in", page)).download(DATASET, tmp_path)
    assert not list(tmp_path.iterdir())
    assert b"<p>" == get(lambda _: Answer(200, b"<p>", {**page, **NAME})).download(DATASET, tmp_path).read_bytes()


def test_small_files_share_a_connection(start: Start, tmp_path: Path) -> None:
    """What came with the headers is the whole: nothing is left on the socket, and the next request goes over it."""
    server = start(lambda _: Answer(200, b"x" * 100, NAME))
    opened = []
    with Kayrros(token="t", base_url=server.url) as kayrros:
        for _ in range(3):
            kayrros.download(DATASET, tmp_path)
            pool = kayrros.client.get_httpx_client()._transport_for_url(httpx.URL(server.url))._pool  # type: ignore[attr-defined]
            opened.append(pool.connections[0])
    assert 1 == len(set(map(id, opened)))
