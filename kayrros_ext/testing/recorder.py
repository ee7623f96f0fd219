"""Sends requests as they are, and keeps each with its answer: for `kayrros doctor` and `kayrros fake --proxy`."""

import contextlib
import time
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import attrs
import httpx

from kayrros_ext._config.settings import USER_AGENT, Settings, is_loopback
from kayrros_ext._http.errors import TRANSPORT_ERRORS
from kayrros_ext._http.transport import connection_options
from kayrros_ext.testing.har import Exchange

# Bytes of an answer that are read: a larger one is closed.
MAX_BODY = 8 * 1024**2


class Recorder:
    """An HTTP client without retries, redirects and cookies. A transport replaces the network.

    Attributes:
        client: of httpx.
        exchanges: all requests, in order, with their answers.
        issuers: who signed the certificate of a host, "" if it has none.
        is_local: whether the data host is this machine.
    """

    def __init__(
        self, settings: Settings, transport: httpx.BaseTransport | None = None, auth: httpx.Auth | None = None
    ) -> None:
        self.exchanges, self.issuers = list[Exchange](), dict[str, str]()
        self.is_local = transport is not None or is_loopback(settings.base_url)
        options = connection_options(settings, transport, verify=True)
        connect = options.pop("connect", None)
        self.client = httpx.Client(
            auth=auth,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
            timeout=settings.timeout,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            **(connect(is_async=False) if connect else options),
        )

    def send(
        self, operation: str | None, method: str, url: httpx.URL | str, *, limit: int = MAX_BODY, **content: Any
    ) -> Exchange:
        """Send a request, with headers and content as httpx takes them, and return it with its answer or error."""
        request = self.client.build_request(method, url, **content)
        exchange = Exchange(operation, method, str(url), request.headers.multi_items(), request.content)
        begin, body, problem, status, headers = time.monotonic(), b"", "", 0, httpx.Headers()
        try:
            with contextlib.closing(self.client.send(request, stream=True, follow_redirects=False)) as answer:
                self._note_issuer(request.url.host, answer)
                for chunk in answer.iter_bytes():
                    body += chunk
                    if len(body) > limit:
                        body, problem = body[:limit], "too large"
                        break
                status, headers = answer.status_code, answer.headers
        except TRANSPORT_ERRORS as error:
            problem = "certificate" if "CERTIFICATE" in str(error) else type(error).__name__
        names = {name.lower(): value for name, value in headers.items()}
        seconds = time.monotonic() - begin
        exchange = attrs.evolve(exchange, status=status, headers=names, body=body, problem=problem, seconds=seconds)
        self.exchanges.append(exchange)
        return exchange

    def _note_issuer(self, host: str, answer: httpx.Response) -> None:
        stream = answer.extensions.get("network_stream")
        tls = stream.get_extra_info("ssl_object") if stream else None
        certificate = (tls.getpeercert() if tls else None) or {}
        names = {key: value for parts in certificate.get("issuer", ()) for key, value in parts}
        self.issuers.setdefault(host, names.get("organizationName") or names.get("commonName") or "")

    def skew_s(self, host: str) -> float | None:
        """Return how many seconds the clock of a host is ahead of ours, by its Date header; None without one."""
        for exchange in self.exchanges:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                if httpx.URL(exchange.url).host == host:
                    return (parsedate_to_datetime(exchange.headers["date"]) - exchange.started).total_seconds()
        return None
