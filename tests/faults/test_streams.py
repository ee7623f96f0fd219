"""Bodies over real sockets, plain and TLS, in every framing and chunk size."""

import contextlib
import gzip
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kayrros_ext import Kayrros, TransportError
from kayrros_ext._config.retries import Retries
from tests.support.files import CONTENT
from tests.support.leaks import PASSWORD
from tests.support.server import DATASET

# Of what is sent, a piece a time; each is on its way before the next.
Pieces = list[bytes]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename=a.bin\r\n"
LENGTH = f"Content-Length: {len(CONTENT)}\r\n".encode()
END = b"\r\n"
PACKED = gzip.compress(CONTENT, 1)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for 127.0.0.1, in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@contextlib.contextmanager
def sending(answers: list[Pieces], certificate: Path | None = None) -> Iterator[str]:
    """A server that sends each connection one of the answers, and closes it."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    def answer_all() -> None:
        for pieces in answers:
            connection = listener.accept()[0]
            with contextlib.suppress(OSError), connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with context.wrap_socket(connection, server_side=True) if context else connection as stream:
                    stream.recv(65536)
                    for piece in pieces:
                        stream.sendall(piece)
                    stream.shutdown(socket.SHUT_WR)
                    stream.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_all, daemon=True)
        thread.start()
        yield f"http{'s' if certificate else ''}://127.0.0.1:{listener.getsockname()[1]}"


def chunked(content: bytes, size: int = 100_000) -> Pieces:
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    return [b"%x\r\n%s\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]


FRAMES: dict[str, Callable[[], Pieces]] = {
    "whole": lambda: [HEAD + LENGTH + END + CONTENT],
    "headers alone first": lambda: [HEAD + LENGTH + END, CONTENT],
    "a byte with the headers": lambda: [HEAD + LENGTH + END + CONTENT[:1], CONTENT[1:]],
    "headers in halves": lambda: [
        HEAD[:20],
        HEAD[20:] + LENGTH[:5],
        LENGTH[5:] + END + CONTENT[:70_000],
        CONTENT[70_000:],
    ],
    "small pieces": lambda: [HEAD + LENGTH + END, *(CONTENT[i : i + 9973] for i in range(0, len(CONTENT), 9973))],
    "until the connection closes": lambda: [HEAD + END, CONTENT],
    "chunked": lambda: [HEAD + b"Transfer-Encoding: chunked\r\n" + END, *chunked(CONTENT)],
    "gzip, though not asked for": lambda: [
        HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n" + END,
        *chunked(PACKED),
    ],
    "gzip of known length": lambda: [
        HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(PACKED)}\r\n".encode() + END,
        PACKED,
    ],
    "HTTP/1.0": lambda: [HEAD.replace(b"1.1", b"1.0") + LENGTH + END, CONTENT],
    "more than its length": lambda: [HEAD + LENGTH + END, CONTENT + b"and more"],
}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("frame", list(FRAMES))
def test_the_file_has_the_bytes_that_were_sent(frame: str, tls: bool, certificate: Path, tmp_path: Path) -> None:
    """Framing and chunk sizes have no effect."""
    with (
        sending([FRAMES[frame]()], certificate if tls else None) as url,
        Kayrros(token="a-token", base_url=url, verify=f"{certificate}.crt", retries=0) as kayrros,
    ):
        assert kayrros.download(DATASET, tmp_path).path.read_bytes() == CONTENT


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("frame", ["whole", "headers alone first", "chunked", "gzip, though not asked for"])
def test_a_connection_that_closes_early_is_noticed(frame: str, tls: bool, certificate: Path, tmp_path: Path) -> None:
    """The client retries, and leaves no file if every attempt fails."""
    whole = b"".join(FRAMES[frame]())
    broken = [[whole[:end]] for end in (200, 100_000, len(whole) - 1)]
    with (
        sending(broken, certificate if tls else None) as url,
        Kayrros(
            token="a-token", base_url=url, verify=f"{certificate}.crt", retries=Retries(2, backoff_initial=0)
        ) as kayrros,
        pytest.raises(TransportError, match="after 3 attempts"),
    ):
        kayrros.download(DATASET, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_server_that_falls_silent_is_a_timeout(tmp_path: Path) -> None:
    """The read timeout holds inside the body too."""
    released = threading.Event()

    def stop() -> None:
        connection = listener.accept()[0]
        with connection:
            connection.recv(65536)
            connection.sendall(HEAD + LENGTH + END + CONTENT[:1000])
            released.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=stop)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with (
                Kayrros(token="a-token", base_url=url, timeout=0.2, retries=0) as kayrros,
                pytest.raises(TransportError, match="ReadTimeout"),
            ):
                kayrros.download(DATASET, tmp_path)
        finally:
            released.set()
            thread.join()


def drip(connection: socket.socket, ended: threading.Event) -> None:
    """An answer of a byte now and then, for as long as somebody listens, and ten seconds at most."""
    with contextlib.suppress(OSError), connection:
        connection.recv(65536)
        connection.sendall(HEAD + LENGTH + END + b"{")
        for _ in range(500):
            connection.sendall(b" ")
            ended.wait(0.02)


@pytest.mark.parametrize("call", ["metadata", "download", "login"])
def test_a_body_that_never_ends_is_a_timeout(call: str, tmp_path: Path) -> None:
    """An occasional byte is no progress. `total_timeout` ends it, because no timeout between bytes would."""
    ended = threading.Event()

    def answer() -> None:
        with contextlib.suppress(OSError):
            drip(listener.accept()[0], ended)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Kayrros(
            token="a-token", email="e", password=PASSWORD, base_url=url, auth_url=url, total_timeout=0.3
        ) as kayrros:
            calls: dict[str, Callable[[], object]] = {
                "metadata": lambda: kayrros.metadata(DATASET),
                "download": lambda: kayrros.download(DATASET, tmp_path),
                "login": kayrros.login,
            }
            with pytest.raises(TransportError, match=r"less than a mebibyte") as caught:
                calls[call]()
        ended.set()
        thread.join()
    assert (caught.value.operation == "login") == (call == "login")
    assert not list(tmp_path.iterdir())


@pytest.mark.off_contract("a redirect leads to what is no operation")
def test_the_host_that_falls_silent_is_named(tmp_path: Path) -> None:
    """The error names the host of the file, and not the data host that redirected to it."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: drip(listener.accept()[0], ended))
        thread.start()
        place = f"http://localhost:{listener.getsockname()[1]}/x"
        redirect = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
        with (
            sending([[redirect]]) as url,
            Kayrros(token="a-token", base_url=url, total_timeout=0.3, retries=0) as kayrros,
            pytest.raises(TransportError, match="incomplete or no response from localhost .*less than a mebibyte"),
        ):
            kayrros.download(DATASET, tmp_path)
        ended.set()
        thread.join()


@pytest.mark.off_contract("a redirect leads to what is no operation")
def test_a_redirect_from_https_to_http_is_refused(certificate: Path, tmp_path: Path) -> None:
    """Loopback is no exception. Redirects from http to https and within https are followed."""

    def get(start: str) -> bytes:
        with Kayrros(token="a-token", base_url=start, verify=f"{certificate}.crt", retries=0) as kayrros:
            return kayrros.download(DATASET, tmp_path).path.read_bytes()

    def to(place: str) -> Pieces:
        return [f"HTTP/1.1 302 Found\r\nLocation: {place}/x\r\nContent-Length: 0\r\n\r\n".encode()]

    whole = FRAMES["whole"]()
    with sending([whole, whole], certificate) as safe:
        with sending([whole]) as plain, sending([to(plain)], certificate) as redirecting:
            with pytest.raises(TransportError, match="redirects to http of 127.0.0.1, which is refused"):
                get(redirecting)
            assert get(plain) == CONTENT  # which nobody has asked: it has but this one answer
        for authority in (None, certificate):
            with sending([to(safe)], authority) as redirecting:
                assert get(redirecting) == CONTENT
