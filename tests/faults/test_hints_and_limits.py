"""Hints that fit the operation, limits of responses, and what servers write into their status lines."""

import asyncio
import gzip
import logging
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from kayrros_ext import APIError, ContractError, Kayrros, NotFoundError, TransportError
from kayrros_openapi import contract
from kayrros_openapi.api.datasets import get_dataset_metadata
from tests.support.server import DATASET, DOWNLOAD, METADATA, RESULTS, Server, StubResponse, StubServer, as_json

Start = Callable[..., Server]
COLLECTIONS = "/v1/processing/collection/list"


@pytest.fixture
def kayrros(platform: StubServer, start: Start, connect: Callable[..., Kayrros]) -> Kayrros:
    platform.valid.add("a-token")
    return connect(start(platform), token="a-token", retries=0)


HINTS = {
    201: "This is not the data",
    202: "Try again later",
    207: "This is not the data",
    302: "The API does not redirect",
    400: "Check the arguments",
    404: "Check the id",
    405: "the API has changed: please report it",
    407: "Check the proxy",
    409: "Try again later",
    413: "fewer assets",
    415: "the API has changed: please report it",
    500: "The platform failed",
    511: "Check the proxy",
}


@pytest.mark.parametrize("status", HINTS)
def test_a_hint_fits_the_status_and_the_operation(status: int, kayrros: Kayrros, platform: StubServer) -> None:
    """An operation without an id gives no advice about ids, arguments and datasets."""
    platform.answers[METADATA] = platform.answers[COLLECTIONS] = StubResponse(status)
    with pytest.raises(APIError, match=HINTS[status]) as caught:
        kayrros.metadata(DATASET)
    assert "start and stop" not in str(caught.value)
    with pytest.raises(APIError) as caught:
        kayrros.collections()
    assert not [word for word in ("id:", "arguments", "dataset ") if word in caught.value.hint]


def test_hints_of_a_404_say_where_ids_and_results_are(kayrros: Kayrros, platform: StubServer, tmp_path: Path) -> None:
    """A dataset without a file has results. The command line names commands."""
    platform.answers[METADATA] = platform.answers[DOWNLOAD] = StubResponse(404)
    for call, hint, hint_cli in (
        (kayrros.metadata, "kayrros.datasets() lists", "`kayrros datasets` lists"),
        (
            lambda dataset: kayrros.download(dataset, tmp_path),
            "has no file, use kayrros.results.",
            "has no file, use `kayrros results`.",
        ),
    ):
        with pytest.raises(NotFoundError) as caught:
            call(DATASET)
        assert hint in caught.value.hint
        assert hint_cli in str(caught.value.hint_cli)


@pytest.mark.parametrize("status", [202, 207])
def test_a_documented_success_without_the_data_is_an_error(
    status: int, kayrros: Kayrros, platform: StubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Results and downloads take a 200 alone, also if openapi.yaml gains another success; no file is written."""
    for operation in contract.OPERATIONS:
        monkeypatch.setitem(operation.responses, str(status), {"application/json": object})
    platform.answers[RESULTS] = platform.answers[DOWNLOAD] = as_json({"message": "in preparation"}, status)
    for call in (lambda: kayrros.results(DATASET), lambda: kayrros.download(DATASET, tmp_path)):
        with pytest.raises(APIError, match=f"answered {status} .in preparation") as caught:
            call()
        assert "KAYRROS_BASE_URL" not in caught.value.hint or status == 207
    assert list(tmp_path.glob("*.*")) == []


def test_a_damaged_body_is_said_to_be_damaged(kayrros: Kayrros, platform: StubServer) -> None:
    """Neither a timeout nor the network explains bad gzip."""
    platform.answers[METADATA] = StubResponse(200, b"no gzip", {"Content-Encoding": "gzip"})
    with pytest.raises(TransportError, match="damaged on its way"):
        kayrros.metadata(DATASET)


@pytest.mark.parametrize("encoding", ["gzip, gzip", "GZIP,deflate", "br", "zstd", "gzip, identity, gzip"])
def test_an_encoding_that_unpacks_without_limit_is_refused(
    encoding: str, kayrros: Kayrros, platform: StubServer, tmp_path: Path
) -> None:
    """A gzip of a gzip unpacks each 64 KiB to 64 GB at once."""
    answer = StubResponse(200, gzip.compress(gzip.compress(b"{}")), {"Content-Encoding": encoding})
    platform.answers[METADATA] = platform.answers[DOWNLOAD] = answer
    with pytest.raises(ContractError, match="which was not requested"):
        kayrros.metadata(DATASET)
    with pytest.raises(ContractError, match="which was not requested"):
        kayrros.download(DATASET, tmp_path)
    with pytest.raises(ContractError, match="which was not requested"):
        asyncio.run(get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client))


PEAK = """
import re, sys
from pathlib import Path
from kayrros_ext import ContractError, Kayrros
kayrros = Kayrros(token="a-token", base_url=sys.argv[1], auth_url=sys.argv[1], retries=0)
try:
    kayrros.metadata(sys.argv[2])
except ContractError as error:
    # Not ru_maxrss, which starts with that of the parent.
    print(error.is_too_large, int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("unit", [b"1,", b'{"a":[]},'])
def test_a_small_body_does_not_become_gigabytes(unit: bytes, start: Start, platform: StubServer) -> None:
    """A typed response has at most 64 MiB, and at most two million objects and arrays."""
    size = 200_000_000 if unit == b"1," else 30_000_000
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    block = unit * 100_000
    packed = packer.compress(b'{"x":[') + b"".join(packer.compress(block) for _ in range(size // len(block)))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    platform.valid.add("a-token")
    platform.answers[METADATA] = StubResponse(200, packed + packer.compress(b"1]}") + packer.flush(), headers)
    command = [sys.executable, "-c", PEAK, start(platform).url, DATASET]
    too_large, peak_mb = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert too_large == "True"
    assert int(peak_mb) < 300


def test_a_reason_phrase_is_not_logged(connect: Callable[..., Kayrros], caplog: pytest.LogCaptureFixture) -> None:
    """Servers put the texts of exceptions there, and httpx logs it at INFO, in sync and async calls."""
    caplog.set_level(logging.DEBUG, "httpx")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(
                        b"HTTP/1.1 400 token=abc refused\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
                    )

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Kayrros(token="a-token", base_url=url, auth_url=url, retries=0) as kayrros:
            with pytest.raises(APIError):
                kayrros.metadata(DATASET)
            with pytest.raises(APIError):
                asyncio.run(get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client))
        thread.join()
    lines = [record.message for record in caplog.records if record.name == "httpx"]
    assert [line.rpartition(" ")[0][-12:] for line in lines] == ["/1.1 400 Bad"] * 2
