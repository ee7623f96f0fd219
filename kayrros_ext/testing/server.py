"""The platform fake on loopback: HTTP/1.1 over real sockets, a thread for each connection."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from kayrros_ext.errors import MockError
from kayrros_ext.testing.messages import Answer, BrokenError, Request

Handle = Callable[[Request], Answer]


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and first bytes leave in one packet
    server: "_Listener"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # any method: the fake knows which are allowed
            return self.respond
        raise AttributeError(name)

    def handle(self) -> None:
        # A client that goes away in the middle is no error of ours.
        with contextlib.suppress(ConnectionError, TimeoutError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def respond(self) -> None:
        body = self._body()
        if body is None:
            self.send_error(400, "Bad Request")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.handle(Request(self.command, None, self.path, headers, body))
        if answer.delay_s:
            self.server.sleep(answer.delay_s)
        if answer.dropped:
            self._break()
            return
        has_body = self.command != "HEAD" and answer.status not in {204, 304}
        chunked = has_body and answer.length is None and self.request_version == "HTTP/1.1"
        self._head(answer, chunked=chunked)
        if has_body:
            self._send(answer, chunked=chunked)

    def _body(self) -> bytes | None:
        """The body of the request; None where its length is not said in a way that we understand."""
        length, coding = self.headers.get("Content-Length", "0").strip(), self.headers.get("Transfer-Encoding")
        if coding == "chunked":
            with contextlib.suppress(ValueError):
                return b"".join(self._chunks())
        elif coding is None and length.isdecimal():
            return self.rfile.read(int(length))
        self.close_connection = True
        return None

    def _chunks(self) -> Iterator[bytes]:
        """The chunks of a request's body, up to the empty one; trailers are passed over."""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline(64)
        while self.rfile.readline(1024).strip():
            pass

    def _head(self, answer: Answer, *, chunked: bool) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.length is not None:
            self.send_header("Content-Length", str(answer.length))
        else:
            self.send_header("Connection", "close")  # which sets close_connection: the end is the end of the body
        self.end_headers()

    def _send(self, answer: Answer, *, chunked: bool) -> None:
        try:
            for chunk in answer.chunks():
                if answer.pause_s:
                    self.wfile.flush()
                    self.server.sleep(answer.pause_s)
                if chunked:
                    self.wfile.write(b"%x\r\n" % len(chunk))
                self.wfile.write(chunk)
                if chunked:
                    self.wfile.write(b"\r\n")
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except BrokenError:
            self.wfile.flush()
            self._break()

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


class _Listener(ThreadingMixIn, TCPServer):
    # Not http.server's own, which asks for the name of this machine: on some, that takes seconds.
    request_queue_size = 512  # clients that connect at once
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, handle: Handle, sleep: Callable[[float], object]) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.handle = handle
        self.sleep = sleep
        self._open: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_all(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serve_on_loopback(handle: Handle, *, port: int = 0, sleep: Callable[[float], object] = time.sleep) -> Iterator[str]:
    """Serve the fake on 127.0.0.1, both hosts at one address, until the block ends; then all connections close.

    Args:
        handle: the fake.
        port: a free one unless given.
        sleep: waits so many seconds, where an answer is late or slow.

    Yields:
        Its URL.

    Raises:
        MockError: the port is taken, or is none.
    """
    try:
        server = _Listener(port, handle, sleep)
    except (OSError, OverflowError) as error:
        raise MockError(f"The platform fake can't listen on port {port} ({error}). Choose another, or 0.") from error
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="platform-fake")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.close_all()
        server.server_close()
