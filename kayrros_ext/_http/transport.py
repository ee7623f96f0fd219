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
    """Return the generated client of a host over our HTTP clients, or raise ConfigurationError for a proxy of no use."""
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
        hint = "Check the proxies in the environment: HTTPS_PROXY, ALL_PROXY."
        raise ConfigurationError(f"No HTTP client could be created ({reason}).", hint=hint) from None
    return client


def connection_options(settings: Settings, transport: httpx.BaseTransport | None, verify: Verify) -> dict[str, Any]:
    """Return the options of httpx for a transport, else for certificates."""
    if transport is None:
        return {"verify": _ssl_context(verify, is_tls="https" in {settings.base_url.scheme, settings.auth_url.scheme})}
    if isinstance(transport, httpx.BaseTransport):
        return {"transport": transport}
    raise UsageError(f"transport is {transport!r}, which is no httpx.BaseTransport.", hint="Pass a transport of httpx.")


def _ssl_context(verify: Verify, *, is_tls: bool) -> ssl.SSLContext:
    """Return the TLS settings for `verify` of Kayrros. Without TLS, the system's certificates are not loaded."""
    if isinstance(verify, ssl.SSLContext):
        return verify
    cafile, capath = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not isinstance(verify, bool):
        cafile, capath = (None, str(verify)) if Path(verify).is_dir() else (str(verify), None)
    if verify and not (is_tls or cafile or capath):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = ssl.create_default_context(cafile=cafile or None, capath=capath or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        if (keylog := os.environ.get("SSLKEYLOGFILE")) and getattr(error, "filename", None) == keylog:
            hint = "Unset it, or name a file that you may write to. Some antivirus programs set it."
            raise ConfigurationError(f"SSLKEYLOGFILE can't be written ({error}).", hint=hint) from None
        raise ConfigurationError(
            f"No certificates could be read from {cafile or capath} ({error}).",
            hint="Check verify=, SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif not (cafile or capath or context.cert_store_stats()["x509_ca"]):  # a small container may have none
        import certifi  # a dependency of httpx

        context.load_verify_locations(cafile=certifi.where())
    return context
