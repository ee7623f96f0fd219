"""The platform fake on loopback: HTTP/1.1 over real sockets, a thread for each connection."""

import contextlib
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any

import httpx

from kayrros_ext.errors import MockError
from kayrros_ext.testing.http import Request, Response


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and first bytes leave in one packet
    server: "_Server"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # any method, because the fake knows which are allowed
            return self.respond
        raise AttributeError(name)

    def respond(self) -> None:
        try:
            body = self._read_body()
        except ValueError:
            self.close_connection = True
            self.send_error(400, "Bad Request")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.respond(Request(self.command, None, self.path, headers, body))
        if response.delay_s:
            self.server.sleep(response.delay_s)
        if response.dropped:
            self._break()
        else:
            self._send(response)

    def _read_body(self) -> bytes:
        """Return the body of the request. A ValueError if its framing is invalid."""
        if "Transfer-Encoding" not in self.headers:
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline(64).partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline(64)
        while self.rfile.readline(1024).strip():  # trailers
            pass
        return body

    def _send(self, response: Response) -> None:
        has_body = self.command != "HEAD" and response.status not in {204, 304}
        chunked = has_body and response.length is None and self.request_version == "HTTP/1.1"
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif response.length is not None:
            self.send_header("Content-Length", str(response.length))
        else:
            self.send_header("Connection", "close")  # the end of the connection is the end of the body
        self.end_headers()
        try:
            for chunk in response.body if has_body else ():
                if response.pause_s:
                    self.wfile.flush()
                    self.server.sleep(response.pause_s)
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
            if chunked:
                self.wfile.write(b"0\r\n\r\n")
        except httpx.RemoteProtocolError:
            self.wfile.flush()
            self._break()

    def _break(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingTCPServer):
    # Not http.server's own class, because that looks up the name of this machine, which can take seconds.
    request_queue_size = 512  # clients that connect at once
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, respond: Callable[[Request], Response], sleep: Callable[[float], object]) -> None:
        self.respond, self.sleep = respond, sleep
        self._connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client may go away at any time
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def serve(respond: Callable[[Request], Response], *, port: int, sleep: Callable[[float], object]) -> Iterator[str]:
    """Serve the fake on 127.0.0.1 until the block ends, which gets the URL. All connections close then."""
    try:
        server = _Server(port, respond, sleep)
    except OSError as error:
        raise MockError(
            f"The platform fake can't listen on port {port} ({error.strerror}).",
            hint="Choose another port, or 0 for any free one.",
            hint_cli="Choose another one with --port, or any free one with --port 0.",
        ) from error
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="platform-fake")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
