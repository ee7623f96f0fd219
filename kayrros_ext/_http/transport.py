"""The connections of a client: certificates, proxies, and a transport of the user's own."""

import itertools
import logging
import os
import re
import ssl
import urllib.request
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Any

import httpx

from kayrros_ext._config.environment import parse_text, variable
from kayrros_ext._config.settings import USER_AGENT, Settings, parse_network
from kayrros_ext._http.client import ApiClient, RequestPolicy
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError, UsageError

Verify = bool | str | Path | ssl.SSLContext
_log = logging.getLogger(__name__)


class _Transport(httpx.HTTPTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _drop_reason(super().handle_request(request))


class _AsyncTransport(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return _drop_reason(await super().handle_async_request(request))


def _drop_reason(response: httpx.Response) -> httpx.Response:
    """Drop the reason phrase of the status: httpx logs it, and servers put the texts of exceptions there."""
    response.extensions.pop("reason_phrase", None)
    return response


def build_client(
    settings: Settings,
    base_url: httpx.URL,
    policy: RequestPolicy,
    connections: dict[str, Any],
    auth: httpx.Auth | None = None,
) -> ApiClient:
    """Return the generated client of a host over our HTTP clients, or raise ConfigurationError for a proxy of no use."""
    client = ApiClient(
        base_url=str(base_url),
        # gzip alone, because zstd and brotli unpack far more at once.
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"},
        timeout=settings.timeout,
        raise_on_unexpected_status=True,
        httpx_args={
            "auth": auth,
            "policy": policy,
            # No cookie is kept: those of the login host must not reach the data host.
            "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            **connections,
        },
    )
    try:
        client.get_httpx_client()  # now, because two threads that come first would each open one
    except (OSError, ValueError, ImportError, httpx.InvalidURL) as error:
        # The others quote the URL of a proxy, with its password.
        reason = str(error) if isinstance(error, OSError | ImportError) else "a URL is invalid"
        names = (name for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY") if os.environ.get(name))
        hint = f"Check {next(names, 'the proxy of the system')}."
        raise ConfigurationError(f"No HTTP client could be created ({reason}).", hint=hint) from None
    return client


def connection_options(settings: Settings, transport: httpx.BaseTransport | None, verify: Verify) -> dict[str, Any]:
    """Return the options of our HTTP clients: a transport, else a function that connects with certificates and proxies."""
    if transport is not None:
        if isinstance(transport, httpx.BaseTransport):
            return {"transport": transport}
        raise UsageError(f"transport is {transport!r}, no httpx.BaseTransport.", hint="Pass a transport of httpx.")
    context = _ssl_context(verify, is_tls="https" in {settings.base_url.scheme, settings.auth_url.scheme})
    proxies = _proxies({settings.base_url.host, settings.auth_url.host})

    def connect(*, is_async: bool) -> dict[str, Any]:
        new, mounts = _AsyncTransport if is_async else _Transport, {}
        for pattern, url in proxies.items():
            # Without a context, httpx trusts the certificates of certifi there.
            tls = context if url and url.value.startswith("https:") else None
            mounts[pattern] = url and new(context, proxy=httpx.Proxy(url.value, ssl_context=tls))
        return {"transport": new(context), "mounts": mounts}

    return {"connect": connect}


def _proxies(hosts: set[str]) -> dict[str, Secret | None]:
    """Return the proxy of the environment by URL pattern of httpx; None is a direct connection.

    Plain http has no proxy: it goes to this machine alone. httpx itself raises for a NO_PROXY that it can't parse.
    """
    environment = urllib.request.getproxies()
    url = parse_text(environment.get("https") or environment.get("all") or "")
    entries = re.split(r"[,\s]+", parse_text(environment.get("no", "")))
    if "*" in entries:
        return {}
    proxies = {"https://": Secret.parse(url if "://" in url else f"http://{url}")} if url else {}
    entries = ["localhost", "127.0.0.1", "127.0.0.0/8", "::1", *filter(None, entries)]
    direct = {entry: _direct_patterns(entry, hosts) for entry in entries}
    if ignored := [entry for entry, patterns in direct.items() if not patterns]:
        _log.warning("Ignoring entries of NO_PROXY that are no host name or address: %s", ", ".join(ignored))
    return proxies | dict.fromkeys(itertools.chain(*direct.values()))


def _direct_patterns(entry: str, hosts: set[str]) -> list[str]:
    """Return the URL patterns of httpx for an entry of NO_PROXY; for a network, those of our hosts that are in it."""
    if network := parse_network(entry.strip("[]")):
        direct = [host for host in hosts if (it := parse_network(host)) and it[0] in network]
        direct += [str(network[0])] * (network.version == 4 or "/" not in entry)
        return [f"https://[{host}]" if ":" in host else f"https://{host}" for host in direct]
    domain = entry.removeprefix("*").removesuffix(".")
    return [f"https://*{domain}"] if re.fullmatch(r"\.?[\w-]+(\.[\w-]+)*(:\d+)?", domain, re.ASCII) else []


def _ssl_context(verify: Verify, *, is_tls: bool) -> ssl.SSLContext:
    """Return the TLS settings for `verify` of Kayrros. Without TLS, the system's certificates are not loaded."""
    if isinstance(verify, ssl.SSLContext):
        return verify
    cafile, capath = variable("SSL_CERT_FILE"), variable("SSL_CERT_DIR")
    if not isinstance(verify, bool):
        cafile, capath = ("", str(verify)) if Path(verify).is_dir() else (str(verify), "")
    if verify and not (is_tls or cafile or capath):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context = ssl.create_default_context(cafile=cafile or None, capath=capath or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigurationError(
            f"TLS could not be set up with {cafile or capath or 'the certificates of the system'} ({error}).",
            hint="Check verify=, SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE.",
        ) from error
    if verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif not (cafile or capath or context.cert_store_stats()["x509_ca"]):
        # OpenSSL reads the files of its folder when it needs them, so it has not counted them.
        folder = ssl.get_default_verify_paths().capath
        if not (folder and any(Path(folder).glob("[0-9a-f]" * 8 + ".[0-9]"))):  # a small container may have none
            import certifi  # a dependency of httpx

            context.load_verify_locations(cafile=certifi.where())
    return context
