"""Traffic between the client and a server, checked by openapi-core: somebody else's reading of openapi.yaml."""

from types import SimpleNamespace

import attrs
import httpx
from openapi_core import OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError

HOSTS = {"/v3/login": "https://auth.kayrros.com"}
DATA_HOST = "https://platform.api.kayrros.com"


@attrs.define
class Traffic:
    """What went out and what came back."""

    exchanges: list[tuple[httpx.Request, httpx.Response, bytes]] = attrs.field(factory=list)

    def violations(self, spec: OpenAPI) -> list[str]:
        """Each request and each response that is not what the spec says, in words."""
        found = []
        for request, response, content in self.exchanges:
            asked = _as_openapi(request)
            answered = SimpleNamespace(
                status_code=response.status_code,
                content_type=response.headers.get("content-type", "").lower(),
                headers=dict(response.headers),
                data=content,
            )
            for way, check in (
                ("request", lambda asked=asked: spec.validate_request(asked)),
                ("response", lambda asked=asked, answered=answered: spec.validate_response(asked, answered)),
            ):
                try:
                    check()
                except OpenAPIError as error:
                    causes = [str(cause) for cause in (error, error.__cause__) if cause]
                    causes += [str(one) for one in getattr(error.__cause__, "schema_errors", [])]
                    found.append(
                        f"{way} {request.method} {request.url.path} {response.status_code}: {'; '.join(causes)}"
                    )
        return found


def _as_openapi(request: httpx.Request) -> SimpleNamespace:
    return SimpleNamespace(
        # Wherever the server is: the spec knows the real hosts alone.
        host_url=HOSTS.get(request.url.path, DATA_HOST),
        path=request.url.path,
        method=request.method.lower(),
        parameters=RequestParameters(query=request.url.params, header=request.headers, cookie={}),
        content_type=request.headers.get("content-type", "").lower(),
        body=request.content or None,
    )


class Recording(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A transport that keeps what goes through another one, sync or async, byte by byte as it is read."""

    def __init__(self, inner: httpx.BaseTransport, async_inner: httpx.AsyncBaseTransport, traffic: Traffic) -> None:
        self._inner, self._async_inner, self._traffic = inner, async_inner, traffic

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._inner.handle_request(request)
        response.read()
        return self._kept(request, response)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._async_inner.handle_async_request(request)
        await response.aread()
        return self._kept(request, response)

    def _kept(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        self._traffic.exchanges.append((request, response, response.content))
        # Anew, since what has been read can't be streamed again. The body is no longer compressed.
        headers = [(name, value) for name, value in response.headers.multi_items() if name != "content-encoding"]
        return httpx.Response(response.status_code, headers=headers, content=response.content)
