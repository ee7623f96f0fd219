"""A small CONNECT proxy on loopback, over real sockets."""

import base64
import contextlib
import socket
import threading
from collections.abc import Iterator

import attrs


@attrs.define
class Proxy:
    """A running proxy.

    Attributes:
        address: where it listens.
        account: the required `user:password`; None if no account is required.
        heads: the head of each request received.
    """

    address: str
    account: str | None
    heads: list[str] = attrs.field(factory=list)

    @property
    def targets(self) -> list[str]:
        """Return the targets of the requests."""
        return [head.split()[1] for head in self.heads]


@contextlib.contextmanager
def proxy(account: str | None = None) -> Iterator[Proxy]:
    """Run a proxy that connects every host name to this machine, at the requested port."""

    def answer(client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client:
            head = client.recv(65536).decode("latin-1")
            running.heads.append(head)
            code = base64.b64encode((account or "").encode()).decode()
            if account and f"Basic {code}" not in head:
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            method, target, _ = head.split(None, 2)
            if method != "CONNECT":
                client.sendall(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2]))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_forward, args=(server, client), daemon=True)
                back.start()
                _forward(client, server)
                back.join()

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Proxy(f"127.0.0.1:{listener.getsockname()[1]}", account)
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
