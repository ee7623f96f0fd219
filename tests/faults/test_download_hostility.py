"""Downloads from servers that answer anything, into directories that hold anything."""

import base64
import hashlib
import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kayrros_ext import APIError, DownloadError, Kayrros, KayrrosError, TransportError
from kayrros_ext._config.retries import Retries
from tests.support.files import CONTENT, HALF, NAME, TAG, File
from tests.support.server import DATASET, Request, Responder, Server, StubResponse, serve
from tests.support.unprivileged import unprivileged

Start = Callable[[Responder], Server]
Connect = Callable[..., Kayrros]
MIB = 1024 * 1024
PART = f".{DATASET}.part"
NO_WAIT = Retries(3, backoff_initial=0)


def test_range_of_a_file_without_a_known_size_is_not_its_end(start: Start, connect: Connect, tmp_path: Path) -> None:
    """The first response has no length, and the second one says `206 a-b/*`: the whole file is requested."""
    ranges: list[str | None] = []

    def respond(request: Request) -> StubResponse:
        ranges.append(request.headers.get("range"))
        chunk = b"%x\r\n%s\r\n" % (HALF, CONTENT[:HALF])
        if len(ranges) == 1:
            return StubResponse(200, chunk, {**TAG, **NAME, "Transfer-Encoding": "chunked"}, len(chunk))
        if ranges[-1]:
            end = HALF + 1000
            return StubResponse(206, CONTENT[HALF:end], {**TAG, "Content-Range": f"bytes {HALF}-{end - 1}/*"})
        return StubResponse(200, CONTENT, {**TAG, **NAME})

    download = connect(start(respond), token="a-token", retries=NO_WAIT).download(DATASET, tmp_path)
    assert download.path.read_bytes() == CONTENT
    assert ranges == [None, f"bytes={HALF}-", None]


@pytest.mark.parametrize(
    "refusal",
    [
        StubResponse(416, b"", {"Content-Range": "bytes */9"}),
        StubResponse(206, b"x", {**TAG, "Content-Range": "bytes 0-0/9"}),
        StubResponse(206, b"x", {"ETag": '"v2"', "Content-Range": f"bytes {MIB + 5}-{MIB + 5}/{MIB + 6}"}),
    ],
    ids=["416", "range", "version"],
)
def test_part_that_is_thrown_away_is_no_progress(
    refusal: StubResponse, start: Start, connect: Connect, tmp_path: Path
) -> None:
    """A server that breaks off after each mebibyte, and refuses to go on from there, is given up."""

    def respond(request: Request) -> StubResponse:
        if "range" in request.headers:
            return refusal
        return StubResponse(200, CONTENT, {**TAG, **NAME}, MIB + 5)

    server = start(respond)
    with pytest.raises((TransportError, APIError)):
        connect(server, token="a-token", retries=NO_WAIT).download(DATASET, tmp_path)
    assert len(server.requests) <= 6


def test_digest_is_that_of_the_file(start: Start, connect: Connect, tmp_path: Path) -> None:
    """Another program writes into the part. The server's digest is compared with what is on disk."""

    def scribble(*_: object) -> None:
        with (tmp_path / PART).open("r+b") as part:
            part.write(b"scribbled")

    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()}:"
    kayrros = connect(start(File(headers={**TAG, **NAME, "Repr-Digest": digest})), token="a-token")
    with pytest.raises(DownloadError, match="but the server specified"):
        kayrros.download(DATASET, tmp_path, progress=scribble)
    assert not list(tmp_path.iterdir())
    download = connect(start(File()), token="a-token").download(DATASET, tmp_path, progress=scribble)
    assert download.sha256 == hashlib.sha256(download.path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "put",
    [lambda part: part.write_bytes(CONTENT[::-1]), lambda part: part.symlink_to("victim")],
    ids=["file", "symlink"],
)
def test_part_that_is_replaced_is_not_given_the_name(
    put: Callable[[Path], object], start: Start, connect: Connect, tmp_path: Path
) -> None:
    """Another program puts something in its place during the transfer. The whole file is requested again."""
    (victim := tmp_path / "victim").write_bytes(CONTENT)
    done: list[bool] = []

    def replace(*_: object) -> None:
        if not done:
            (tmp_path / PART).unlink()
            put(tmp_path / PART)
            done.append(True)

    download = connect(start(File()), token="a-token", retries=NO_WAIT).download(DATASET, tmp_path, progress=replace)
    assert not download.path.is_symlink()
    assert download.path.read_bytes() == victim.read_bytes() == CONTENT
    assert set(tmp_path.iterdir()) == {victim, download.path}


def hostile_response(draw: random.Random, request: Request) -> StubResponse:
    """Return a response to a download that no server should send."""
    size = draw.choice([0, 1, 1000, 70_000, MIB + 1])
    body = CONTENT[:size]
    first = int(re.sub(r"\D", "", request.headers.get("range", "0")) or 0)
    headers = {
        "ETag": draw.choice(['"v1"', '"v1"', '"v2"', "W/x", '"v\xe9"', "\xff", '"' + "v" * 2000 + '"', ""]),
        "Last-Modified": draw.choice(["Wed, 01 May 2024 10:00:00 GMT", "\xe9t\xe9", ""]),
        "Content-Disposition": draw.choice(
            ["attachment; filename=a.bin"] * 3 + ["attachment; filename=.x.part", "filename*=\xe9", "x" * 300, ""]
        ),
        "Content-Range": draw.choice(
            [f"bytes {first}-{first + size - 1}/{first + size}"] * 3
            + [f"bytes {first}-{first + size - 1}/*", "bytes */0", "\xb2", f"bytes 0-{10**17}/{10**18 - 1}", ""]
        ),
        "Repr-Digest": draw.choice(["", "", "sha-256=:" + "A" * 43 + "=:", "sha-512=:" + "A" * 86 + "==:", "\xe9"]),
        "Content-Encoding": draw.choice(["", "", "", "gzip", "x-\xe9"]),
    }
    status = draw.choice([200] * 4 + [206] * 4 + [204, 304, 404, 416, 500, 503])
    headers = {name: value for name, value in headers.items() if value}
    return StubResponse(status, body, headers, draw.choice([None, None, 0, size // 2]))


def leave_behind(draw: random.Random, path: Path, victim: Path, base_url: str) -> None:
    """Put something in the place of a file."""
    sidecar = {"base_url": base_url, "dataset_id": DATASET, "name": "a.bin", "etag": '"v1"', "size": 70_000}
    texts = [
        "",
        "\0" * 1000,
        str(sidecar),
        *(
            json.dumps({**sidecar, **change})
            for change in (
                {},
                {"etag": '"\xe9"'},
                {"etag": '"v1"\r\nX: y'},
                {"digest": "md4:0"},
                {"size": -1},
                {"name": "../x\ud800"},
            )
        ),
    ]
    kinds: list[Callable[[], object]] = [
        lambda: None,
        lambda: path.write_text(draw.choice(texts)),
        lambda: path.write_bytes(CONTENT[: draw.choice([1, 1000, 70_000])]),
        lambda: path.touch(mode=0),
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to(victim),
        lambda: path.symlink_to(path.name),
        lambda: path.symlink_to(path.parent / "missing" / "x"),
        lambda: path.symlink_to("/dev/null"),
    ]
    draw.choice(kinds)()


@pytest.mark.parametrize("seed", range(40))
def test_hostile_servers_and_directories_give_only_our_errors(seed: int, connect: Connect, tmp_path: Path) -> None:
    """Nothing hangs, no other file is touched, and what is returned has the SHA-256 that is returned with it."""
    draw = random.Random(seed)
    (victim := tmp_path / "victim").write_bytes(b"precious")
    (directory := tmp_path / "d").mkdir()
    with serve(lambda request: hostile_response(draw, request)) as server, unprivileged():
        for name in (PART, f"{PART}.json", f"{PART}.lock", "a.bin"):
            leave_behind(draw, directory / name, victim, f"{server.url}/")
        if draw.random() < 0.1:
            directory.chmod(0o500)
        kayrros = connect(server, token="a-token", retries=NO_WAIT, total_timeout=0.5)
        for _ in range(3):
            try:
                download = kayrros.download(DATASET, directory, overwrite=draw.random() < 0.5)
            except KayrrosError:
                continue
            assert not download.path.is_symlink()
            assert download.sha256 == hashlib.sha256(download.path.read_bytes()).hexdigest()
        directory.chmod(0o700)
    assert victim.read_bytes() == b"precious"
    assert {path.name for path in tmp_path.iterdir()} == {"victim", "d"}
