"""The connections of a client: certificates, proxies, and a transport of the user's own."""

import os
import ssl
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from kayrros_ext._config.settings import USER_AGENT, Settings, is_loopback
from kayrros_ext._http.client import ApiClient, RequestPolicy
from kayrros_ext.errors import ConfigurationError, UsageError

Verify = bool | str | Path | ssl.SSLContext


def build_client(
    settings: Settings,
    base_url: httpx.URL,
    policy: RequestPolicy,
    connections: dict[str, Any],
    auth: httpx.Auth | None = None,
) -> ApiClient:
    """Return the generated client over our HTTP clients, with its sync half open.

    Args:
        settings: for the timeout, and for hosts that are this machine.
        base_url: the host.
        policy: of its requests.
        connections: from `connection_options`; two clients may share them.
        auth: signs the requests.

    Raises:
        ConfigurationError: the proxies that the environment names can't be used.
    """
    # Requests to this machine bypass proxies: a proxy would see the password in plain text.
    local = {url.host for url in (settings.base_url, settings.auth_url) if is_loopback(url)}
    mounts = {f"all://[{host}]" if ":" in host else f"all://{host}": None for host in local}
    client = ApiClient(
        base_url=str(base_url),
        # gzip alone, because zstd and brotli unpack far more at once.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
        timeout=settings.timeout,
        raise_on_unexpected_status=True,
        httpx_args={
            "auth": auth,
            "mounts": mounts,
            "policy": policy,
            # No cookie is kept: those of the login host must not reach the data host.
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            **connections,
        },
    )
    try:
        client.get_httpx_client()  # now, because two threads that come first would each open one
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        # The text of an InvalidURL may contain the password of a proxy.
        reason = "a URL is invalid" if isinstance(error, httpx.InvalidURL) else str(error)
    else:
        return client
    raise ConfigurationError(
        f"No HTTP client could be created ({reason}).",
        hint="Check the proxies in the environment: HTTPS_PROXY, ALL_PROXY.",
    )


def connection_options(
    transport: httpx.BaseTransport | httpx.AsyncBaseTransport | None, verify: Verify
) -> dict[str, Any]:
    """Return the options of httpx for a transport, or for certificates.

    Raises:
        ConfigurationError: there are no certificates at the path.
        UsageError: the transport is none of httpx.
    """
    return {"verify": ssl_context(verify)} if transport is None else {"transport": as_dual_transport(transport)}


def ssl_context(verify: Verify) -> ssl.SSLContext:
    """Return the TLS settings of a client.

    Args:
        verify: True for SSL_CERT_FILE and SSL_CERT_DIR where the environment names them, else for the authorities of the
            system, or those of certifi where it has none; the path of a file or folder, and then of these authorities alone; an SSLContext;
            False for no verification.

    Raises:
        ConfigurationError: there are no certificates at that path.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if verify is False:
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        return unverified
    if verify is True:
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if file or folder:
            return _load_certificates(file, folder)
        context = ssl.create_default_context()
        if not context.cert_store_stats()["x509_ca"]:  # a small container may have none
            import certifi  # a dependency of httpx

            context.load_verify_locations(cafile=certifi.where())
        return context
    path = Path(verify)
    return _load_certificates(None, str(path)) if path.is_dir() else _load_certificates(str(path), None)


def _load_certificates(file: str | None, folder: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=file or None, capath=folder or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigurationError(
            f"No certificates could be read from {file or folder} ({error}).",
            hint="Check verify=, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error


def as_dual_transport(transport: httpx.BaseTransport | httpx.AsyncBaseTransport) -> httpx.BaseTransport:
    """Return a transport for the sync and the async client. The half that is missing raises UsageError.

    Raises:
        UsageError: it is no transport of httpx.
    """
    if isinstance(transport, httpx.BaseTransport):
        return transport if isinstance(transport, httpx.AsyncBaseTransport) else _OneSidedTransport(transport, None)
    if isinstance(transport, httpx.AsyncBaseTransport):
        return _OneSidedTransport(None, transport)
    raise UsageError(
        f"transport is {transport!r}, which httpx can't use.",
        hint="Pass an httpx.BaseTransport or an httpx.AsyncBaseTransport.",
    )


class _OneSidedTransport(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """One half of a transport, and a clear error for the other."""

    def __init__(self, sync: httpx.BaseTransport | None, asynchronous: httpx.AsyncBaseTransport | None) -> None:
        self._sync, self._async = sync, asynchronous

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._sync is not None:
            return self._sync.handle_request(request)
        import anyio.from_thread

        # An async call logs in on a worker thread of anyio: from there, the event loop can send the request.
        try:
            return anyio.from_thread.run(self._handle_from_thread, request)
        except RuntimeError:
            raise UsageError("The transport is for async calls only.", hint="Await an asyncio function.") from None

    async def _handle_from_thread(self, request: httpx.Request) -> httpx.Response:
        response = await self.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._async is None:
            raise UsageError("The transport is for sync calls only.", hint="Pass one for asyncio calls.")
        return await self._async.handle_async_request(request)

    def close(self) -> None:
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        if self._async is not None:
            await self._async.aclose()
