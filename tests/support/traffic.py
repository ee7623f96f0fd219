"""What went over the wire, and what openapi-core, which is somebody else's reading of openapi.yaml, says to it."""

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import attrs
import httpx

from kayrros_ext._config.settings import USER_AGENT

if TYPE_CHECKING:
    from openapi_core import OpenAPI

# Bytes of an answer that are kept and validated. Of one that is larger, or was not read to its end, status, content type
# and headers are: a larger one is generated from the same few lines of code, or is a file, which may be any bytes.
LARGEST_BODY = 2**20
# What differs between exchanges that are the same: a token of the fake, a port on loopback, the time of day.
_OF_THE_MOMENT = re.compile(rb"fake-[0-9a-f]{32}|127\.0\.0\.1:\d+|\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT")
_in_order: set[bytes] = set()


@attrs.define(eq=False)
class Exchange:
    """A request as it left httpx, and what came back.

    Attributes:
        by_fake: whether the platform fake has answered, or should have.
        fault: what the fake was asked to do wrong with it.
        body: what was read of the answer; None where that is not all of it, or too large.
    """

    request: httpx.Request
    by_fake: bool
    fault: str | None = None
    status: int | None = None
    headers: httpx.Headers = attrs.field(factory=httpx.Headers)
    body: bytes | None = None

    @classmethod
    def of(cls, request: httpx.Request, *, by_fake: bool) -> "Exchange":
        """Of the request as it is now: a repeat after a login takes the same one again, with another token."""
        content = b""
        with contextlib.suppress(httpx.RequestNotRead):
            content = request.content
        return cls(httpx.Request(request.method, request.url, headers=request.headers.copy(), content=content), by_fake)

    @property
    def is_ours(self) -> bool:
        """Whether the client has sent the request; what a test sends by itself may be wrong on purpose."""
        return bool(self.request.headers.get("User-Agent") == USER_AGENT)

    def violations(self) -> list[str]:
        """What openapi.yaml does not allow, of a request of the client and of an answer that no fault was asked for."""
        if (key := self._key()) in _in_order:
            return []
        found = self._found()
        if not found:
            _in_order.add(key)
        return found

    def _key(self) -> bytes:
        """The same for two exchanges that say the same, as most do; the judge takes a hundredth of a second for one."""
        asked = [self.request.method, str(self.request.url), self.request.headers.raw, self.request.content]
        answered = [self.by_fake, self.fault is None, self.status, self.headers.raw, self.body]
        return hashlib.sha256(_OF_THE_MOMENT.sub(b"", repr([asked, answered]).encode())).digest()

    def _found(self) -> list[str]:
        place = f"{self.request.method} {self.request.url.path} {self.status}"
        found = [f"request of {place}: {words}" for words in request_problems(self)] if self.is_ours else []
        if self.by_fake and self.fault is None and self.status is not None:
            found += [f"response of {place}: {words}" for words in response_problems(self)]
        return found


@functools.cache
def contract() -> "tuple[OpenAPI, list[str]]":
    """openapi.yaml, and the URLs of all its servers. Loaded in the tests that need it: it takes half a second."""
    from jsonschema_path import SchemaPath
    from openapi_core import Config, OpenAPI

    from tests.support.quick import QuickFactory
    from tests.support.spec import SPEC

    config = Config(
        extra_media_type_deserializers={kind: _reader(kind) for kind in _kinds(SPEC) if _reader(kind)},
        schema_validators_factory=QuickFactory(SPEC["components"]),
    )
    servers = [server["url"] for owner in [SPEC, *SPEC["paths"].values()] for server in owner.get("servers", [])]
    # Looked up once for each place of the spec: unasked it keeps none, and looks each up some sixty times an exchange.
    spec = SchemaPath.from_file_path(str(Path(__file__).parents[2] / "openapi.yaml"), resolved_cache_maxsize=10_000)
    return OpenAPI(spec, config=config), servers


def _kinds(node: Any) -> Iterator[str]:
    """The content types that a part of the spec names."""
    if isinstance(node, dict):
        yield from node.get("content") or ()
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _kinds(part)


def _reader(kind: str) -> Any:
    """What reads a body that openapi-core would leave as bytes, which are no string and no object; None for the others."""
    from openapi_core.deserializing.media_types import media_type_deserializers

    if kind in media_type_deserializers:
        return None
    return lambda body, **_: json.loads(body) if kind.endswith("+json") else body.decode("latin-1")


def request_problems(exchange: Exchange) -> list[str]:
    """What is wrong with the request; that it is no operation, too."""
    spec, _ = contract()
    return [_words(error) for error in spec.iter_request_errors(_as_request(exchange))]


def response_problems(exchange: Exchange) -> list[str]:
    """What is wrong with the answer. A request that is no operation has none that the spec could judge."""
    from openapi_core.templating.media_types.exceptions import MediaTypeNotFound
    from openapi_core.templating.paths.exceptions import PathError
    from openapi_core.validation.response.exceptions import DataValidationError, MissingData

    spec, _ = contract()
    errors = [
        error
        for error in spec.iter_response_errors(_as_request(exchange), _as_response(exchange))
        if not isinstance(error, PathError)
    ]
    if exchange.body is None:
        errors = [
            error
            for error in errors
            if not isinstance(error, DataValidationError) or isinstance(error.__cause__, MediaTypeNotFound)
        ]
    elif "json" not in exchange.headers.get("content-type", ""):  # an empty file is a file
        errors = [error for error in errors if not isinstance(error, MissingData)]
    return [_words(error) for error in errors]


def _words(error: Exception) -> str:
    cause = error.__cause__
    return "; ".join(map(str, [error, *getattr(cause, "schema_errors", [cause] if cause else [])]))


def _as_request(exchange: Exchange) -> Any:
    from openapi_core.datatypes import RequestParameters
    from werkzeug.datastructures import Headers, ImmutableMultiDict

    request = exchange.request
    asked = SimpleNamespace(
        host_url=f"{request.url.scheme}://{request.url.netloc.decode()}",
        path=request.url.path,
        method=request.method.lower(),
        parameters=RequestParameters(
            query=ImmutableMultiDict(request.url.params.multi_items()), header=Headers(request.headers.multi_items())
        ),
        content_type=request.headers.get("content-type", "").lower(),
        body=request.content or None,
    )
    if request.url.host == "127.0.0.1":
        asked.host_url = _server_of(asked)
    return asked


def _server_of(asked: Any) -> str:
    """On loopback all hosts are one, so it is the server that the spec has for this path."""
    from openapi_core.templating.paths.exceptions import PathError
    from openapi_core.templating.paths.finders import APICallPathFinder

    spec, servers = contract()
    for server in servers:
        with contextlib.suppress(PathError):
            APICallPathFinder(spec.spec).find(asked.method, server + asked.path)
            return server
    return servers[0]


def _as_response(exchange: Exchange) -> Any:
    from werkzeug.datastructures import Headers

    kind = exchange.headers.get("content-type", "").lower()
    return SimpleNamespace(
        status_code=exchange.status,
        content_type=kind,
        headers=Headers(exchange.headers.multi_items()),
        data=exchange.body or b"",
    )
