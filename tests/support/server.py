"""A small HTTP server on loopback that sends whatever a callable of the test returns: real sockets, any bytes."""

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

from tests.support.leaks import TOKEN

DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
LOGIN = "/v3/login"
METADATA = f"/v1/collection/dataset/summary/{DATASET}"
RESULTS = f"/v1/processingresult/dataset/{DATASET}"
DOWNLOAD = f"/v1/collection/dataset/download/{DATASET}"


@attrs.frozen
class Request:
    """A request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None


@attrs.frozen
class StubResponse:
    """A response to send. `cut` sends only that number of bytes of the body, then breaks the connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    cut: int | None = None


def as_json(value: object, status: int = 200) -> StubResponse:
    return StubResponse(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


Responder = Callable[[Request], StubResponse]


@attrs.define
class Server:
    """A running server and the requests it received."""

    url: str
    requests: list[Request]

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@contextlib.contextmanager
def serve(respond: Responder, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve the responses of a callable, each connection in its own thread; over TLS if a context is passed."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            requests.append(request)
            response = respond(request)
            self.send_response_only(response.status, "Stub")
            framing = {} if "Transfer-Encoding" in response.headers else {"Content-Length": str(len(response.body))}
            for name, value in {**framing, **response.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(response.body[: response.cut])
            if response.cut is not None:
                self.close_connection = True

        do_GET = do_POST = _respond  # noqa: N815 - http.server calls these names

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        request_queue_size = 128  # the number of threads in the tests

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not tls:  # with TLS, a client that does not trust the certificate hangs up
                super().handle_error(request, client_address)

    server = Listener(("127.0.0.1", 0), Handler)
    if tls:  # the handshake runs in the thread of the connection
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@attrs.define
class RateLimit:
    """A limit of requests a second. `refuses()` counts a request, and returns whether it is one too many."""

    per_second: int
    clock: Callable[[], float]
    accepted: list[float] = attrs.field(factory=list)
    refused: list[float] = attrs.field(factory=list)
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def refuses(self) -> bool:
        with self._lock:
            now = self.clock()
            is_refused = sum(moment > now - 1 for moment in self.accepted[-self.per_second :]) >= self.per_second
            (self.refused if is_refused else self.accepted).append(now)
            return is_refused


class StubServer:
    """A minimal stub of the platform: logins, one dataset, tokens that expire on demand. A callable for `serve`.

    `kayrros_ext.testing.Platform` is the full fake that users get; this one is for tests that choose each response.
    """

    def __init__(self) -> None:
        self.logins = 0
        self.valid: set[str] = set()
        self.answers: dict[str, StubResponse] = {
            METADATA: as_json({"id": DATASET, "name": "Tanks"}),
            RESULTS: as_json({"assets": []}),
        }
        self.refuse_logins_with: StubResponse | None = None
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> StubResponse:
        if request.path == LOGIN:
            return self._log_in()
        if request.token not in self.valid:
            return as_json({"code": "WRONG_CREDENTIALS", "message": "The token is not valid"}, 401)
        return self.answers[request.path]

    def _log_in(self) -> StubResponse:
        with self._lock:
            self.logins += 1
            if self.refuse_logins_with:
                return self.refuse_logins_with
            token = f"{TOKEN}-{self.logins}"
            self.valid.add(token)
        return as_json({"token": token, "expires": "unknown"})

    def expire_tokens(self) -> None:
        self.valid.clear()
