"""Traffic between the client and a server, checked by openapi-core: somebody else's reading of openapi.yaml."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attrs
import httpx
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers

LOGIN_HOST, DATA_HOST = "https://auth.kayrros.com", "https://platform.api.kayrros.com"


@attrs.define
class Traffic:
    """What went out and what came back."""

    exchanges: list[tuple[httpx.Request, httpx.Response]] = attrs.field(factory=list)

    def violations(self, spec: OpenAPI) -> list[str]:
        """Each request and each response that is not what the spec says, in words."""
        found = []
        for request, response in self.exchanges:
            asked, answered = _as_request(request), _as_response(response)
            problems = {
                "request": _problem(spec.validate_request, asked),
                "response": _problem(spec.validate_response, asked, answered),
            }
            place = f"{request.method} {request.url.path} {response.status_code}"
            found += [f"{way} of {place}: {problem}" for way, problem in problems.items() if problem]
        return found


def _problem(check: Callable[..., Any], *arguments: Any) -> str | None:
    try:
        check(*arguments)
    except OpenAPIError as error:
        cause = error.__cause__
        return "; ".join(map(str, [error, *getattr(cause, "schema_errors", [cause] if cause else [])]))
    return None


def _as_request(request: httpx.Request) -> Any:
    return SimpleNamespace(
        # Wherever the server is: the spec knows the real hosts alone.
        host_url=LOGIN_HOST if request.url.path == "/v3/login" else DATA_HOST,
        path=request.url.path,
        method=request.method.lower(),
        parameters=RequestParameters(header=Headers(request.headers.multi_items())),
        content_type=request.headers.get("content-type", "").lower(),
        body=request.content or None,
    )


def _as_response(response: httpx.Response) -> Any:
    return SimpleNamespace(
        status_code=response.status_code,
        content_type=response.headers.get("content-type", "").lower(),
        headers=dict(response.headers),
        data=response.content,
    )


class Recording(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that keeps what goes through another one, sync or async."""

    def __init__(self, inner: Any, traffic: Traffic) -> None:
        self._inner = inner
        self._traffic = traffic

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = self._inner.handle_request(request)
        response.read()
        return self._kept(request, response)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response: httpx.Response = await self._inner.handle_async_request(request)
        await response.aread()
        return self._kept(request, response)

    def _kept(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        # As it was: a repeat after a login takes the same request again, with another token.
        sent = httpx.Request(request.method, request.url, headers=request.headers.copy(), content=request.content)
        self._traffic.exchanges.append((sent, response))
        # Anew, since what has been read can't be streamed again.
        return httpx.Response(response.status_code, headers=response.headers, content=response.content)
