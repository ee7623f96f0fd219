"""The generated client, logged in: over our HTTP clients, with the proxies, certificates and cookies that are to be.

Each process has connections of its own.
"""

import os
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from kayrros_ext._auth.login import KayrrosAuth
from kayrros_ext._auth.token_cache import open_token_cache
from kayrros_ext._config.settings import USER_AGENT, Settings, is_loopback
from kayrros_ext._http.client import AsyncHTTPClient, Exchange, HTTPClient
from kayrros_ext._http.failures import Failures
from kayrros_ext._http.tls import Verify, context
from kayrros_ext._http.transport import in_both_worlds
from kayrros_ext.errors import ConfigurationError
from kayrros_openapi import Client


class LoggedInClient(Client):
    """The generated client over our HTTP clients, each made when it is first asked for, with `httpx_args`.

    A process made by fork has connections of its own: on those of its parent, each would read the answers of the other.
    """

    def get_httpx_client(self) -> HTTPClient:
        """The sync client of this process."""
        if not isinstance(self._client, HTTPClient) or _is_inherited(self._client):
            self._client = HTTPClient(**self._options())
        return self._client

    def get_async_httpx_client(self) -> httpx.AsyncClient:
        """The async client of this process."""
        known = self._async_client
        if known is None or (isinstance(known, AsyncHTTPClient) and _is_inherited(known)):
            known = self._async_client = AsyncHTTPClient(**self._options())
        return known

    def _options(self) -> dict[str, Any]:
        known = {"base_url": self._base_url, "headers": self._headers, "timeout": self._timeout}
        # No cookie is kept: those of the login host are nothing to the data host, and the API is not known to want any.
        return {**known, "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])), **self._httpx_args}


def _is_inherited(client: HTTPClient | AsyncHTTPClient) -> bool:
    """Whether a client came with a fork, open. It is let go and not closed: its connections are in use elsewhere."""
    return client.process != os.getpid() and not client.is_closed


def logged_in_client(
    settings: Settings, transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None, verify: Verify
) -> LoggedInClient:
    """The generated client, with its sync half made: two threads that come first would each make one.

    Raises:
        ConfigurationError: the proxies or certificates that the environment or `verify` names can't be used.
    """
    account, store = settings.credentials, None
    if account and settings.token_cache:
        store = open_token_cache(str(settings.auth_url), str(settings.base_url), account.email)
    auth = KayrrosAuth(settings, store=store)
    exchange = Exchange(
        Failures(auth, settings.base_url.host), settings.retries, settings.total_timeout_s, settings.max_body
    )
    # What goes to this machine goes there directly: a proxy would be given the password, in the clear.
    local = {url.host for url in (settings.base_url, settings.auth_url) if is_loopback(url)}
    mounts = {f"all://[{host}]" if ":" in host else f"all://{host}": None for host in local}
    # With a transport, httpx knows no proxies, and a mount of None is that transport: nothing gets around it.
    way = {"verify": context(verify)} if transport is None else {"transport": in_both_worlds(transport)}
    client = LoggedInClient(
        base_url=str(settings.base_url),
        # gzip alone: what else httpx could unpack, it would without a limit.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
        timeout=settings.timeout,
        # Otherwise a generated call returns None for a status that the spec does not know.
        raise_on_unexpected_status=True,
        httpx_args={"auth": auth, "mounts": mounts, "exchange": exchange, **way},
    )
    try:
        client.get_httpx_client()
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        # The words of an InvalidURL may be a piece of the password in a proxy's URL; and so may what led to the others.
        words = "a URL is not one" if isinstance(error, httpx.InvalidURL) else str(error)
    else:
        return client
    raise ConfigurationError(
        f"No HTTP client could be made ({words}). Check the proxies that the environment names: HTTPS_PROXY, ALL_PROXY."
    )
