"""Exchanges over the wire, validated by openapi-core, an independent implementation of OpenAPI."""

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

# Larger bodies, and those that were not read to their end, are not validated; their status, content type and headers are. A
# larger body comes from the same few lines of code, or is a file with any bytes.
LARGEST_BODY = 2**20
# Differences between equal exchanges: a token of the fake, a port on loopback, the time of day.
_VOLATILE = re.compile(rb"fake-[0-9a-f]{32}|127\.0\.0\.1:\d+|\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT")
_valid: set[bytes] = set()


@attrs.define(eq=False)
class Exchange:
    """A request as it left httpx, and its response.

    Attributes:
        by_fake: whether the platform fake answered, or should have.
        fault: the fault that the fake injected.
        body: the body of the response; None if it is incomplete or too large.
    """

    request: httpx.Request
    by_fake: bool
    fault: str | None = None
    status: int | None = None
    headers: httpx.Headers = attrs.field(factory=httpx.Headers)
    body: bytes | None = None

    @classmethod
    def from_request(cls, request: httpx.Request, *, by_fake: bool) -> "Exchange":
        """Copy the request, because a retry after a login sends the same object with another token."""
        content = b""
        with contextlib.suppress(httpx.RequestNotRead):
            content = request.content
        return cls(httpx.Request(request.method, request.url, headers=request.headers.copy(), content=content), by_fake)

    @property
    def is_ours(self) -> bool:
        """Whether our client sent the request; a test may send an invalid one on purpose."""
        return bool(self.request.headers.get("User-Agent") == USER_AGENT)

    def violations(self) -> list[str]:
        """Return the violations of openapi.yaml by a request of our client, and by a response without a fault."""
        if (key := self._key()) in _valid:
            return []
        violations = self._violations()
        if not violations:
            _valid.add(key)
        return violations

    def _key(self) -> bytes:
        """Return the same key for equal exchanges, because most are equal and a validation takes 10 ms."""
        asked = [self.request.method, str(self.request.url), self.request.headers.raw, self.request.content]
        answered = [self.by_fake, self.fault is None, self.status, self.headers.raw, self.body]
        return hashlib.sha256(_VOLATILE.sub(b"", repr([asked, answered]).encode())).digest()

    def _violations(self) -> list[str]:
        place = f"{self.request.method} {self.request.url.path} {self.status}"
        violations = [f"request of {place}: {text}" for text in request_problems(self)] if self.is_ours else []
        if self.by_fake and self.fault is None and self.status is not None:
            violations += [f"response of {place}: {text}" for text in response_problems(self)]
        return violations


@functools.cache
def contract() -> "tuple[OpenAPI, list[str]]":
    """Return openapi.yaml and the URLs of its servers. Loaded on first use, because it takes half a second."""
    from jsonschema_path import SchemaPath
    from openapi_core import Config, OpenAPI

    from tests.support.quick import QuickFactory
    from tests.support.spec import SPEC

    config = Config(
        extra_media_type_deserializers={kind: _reader(kind) for kind in _kinds(SPEC) if _reader(kind)},
        schema_validators_factory=QuickFactory(SPEC["components"]),
    )
    servers = [server["url"] for owner in [SPEC, *SPEC["paths"].values()] for server in owner.get("servers", [])]
    # The cache is off by default, and an exchange looks up each place of the spec some sixty times.
    spec = SchemaPath.from_file_path(str(Path(__file__).parents[2] / "openapi.yaml"), resolved_cache_maxsize=10_000)
    return OpenAPI(spec, config=config), servers


def _kinds(node: Any) -> Iterator[str]:
    """Yield the content types in a part of the spec."""
    if isinstance(node, dict):
        yield from node.get("content") or ()
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _kinds(part)


def _reader(kind: str) -> Any:
    """Return a reader for a body that openapi-core would leave as bytes; None for other content types."""
    from openapi_core.deserializing.media_types import media_type_deserializers

    if kind in media_type_deserializers:
        return None
    return lambda body, **_: json.loads(body) if kind.endswith("+json") else body.decode("latin-1")


def request_problems(exchange: Exchange) -> list[str]:
    """Return the violations by a request, including a path that is not in the spec."""
    spec, _ = contract()
    return [_text(error) for error in spec.iter_request_errors(_as_request(exchange))]


def response_problems(exchange: Exchange) -> list[str]:
    """Return the violations by a response; none if the request is not in the spec."""
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
    elif "json" not in exchange.headers.get("content-type", ""):  # a file may be empty
        errors = [error for error in errors if not isinstance(error, MissingData)]
    return [_text(error) for error in errors]


def _text(error: Exception) -> str:
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
    """Return the server of the spec for a path, because all hosts are one on loopback."""
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
