"""A small HTTP server on loopback, whose answers are what a callable of the test says: real sockets, any bytes."""

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
    """What arrived."""

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
class Answer:
    """What goes back. `cut` sends only so many bytes of the body, then breaks the connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    cut: int | None = None


def as_json(value: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


Answering = Callable[[Request], Answer]


@attrs.define
class Server:
    """A running server, and the requests that it has had."""

    url: str
    requests: list[Request]

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


@contextlib.contextmanager
def serve(answer: Answering, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve what `answer` says, each request in a thread of its own; over TLS, if there is such a context."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, body)
            requests.append(request)
            reply = answer(request)
            self.send_response_only(reply.status, "Said")
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True

        do_GET = do_POST = respond  # noqa: N815 - names that http.server calls

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        request_queue_size = 128  # as many as the tests have threads

        def handle_error(self, request: Any, client_address: Any) -> None:
            if not tls:  # there, a client that does not trust us goes away
                super().handle_error(request, client_address)

    server = Listener(("127.0.0.1", 0), Handler)
    if tls:  # each shakes hands in its own thread
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield Server(f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}", requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Platform:
    """A Kayrros of a page: real logins, one dataset, tokens that can be made to expire. A callable for `serve`."""

    def __init__(self) -> None:
        self.logins = 0
        self.valid: set[str] = set()
        self.answers: dict[str, Answer] = {
            METADATA: as_json({"id": DATASET, "name": "Tanks"}),
            RESULTS: as_json({"assets": []}),
        }
        self.refuse_logins_with: Answer | None = None
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        if request.path == LOGIN:
            return self._log_in()
        if request.token not in self.valid:
            return as_json({"code": "WRONG_CREDENTIALS", "message": "The token is not valid"}, 401)
        return self.answers[request.path]

    def _log_in(self) -> Answer:
        with self._lock:
            self.logins += 1
            if self.refuse_logins_with:
                return self.refuse_logins_with
            token = f"{TOKEN}-{self.logins}"
            self.valid.add(token)
        return as_json({"token": token, "expires": "who knows"})

    def expire_tokens(self) -> None:
        self.valid.clear()
