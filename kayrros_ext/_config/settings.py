"""Settings of a client, from arguments, environment and profile, in one frozen object."""

import ipaddress
import os
import re
from typing import NamedTuple, Self

import attrs
import httpx

from kayrros_ext import __version__
from kayrros_ext._config.credentials import KEYS, Credentials, Origin, Source, resolve_credentials
from kayrros_ext._config.profiles import load_profile
from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

# Hosts: the public reference.
BASE_URL = "https://platform.api.kayrros.com"
AUTH_URL = "https://auth.kayrros.com"
_DEFAULTS = {"base_url": BASE_URL, "auth_url": AUTH_URL}

# The gateway gives up after about a minute (assumed from its 504s). We wait longer, so that its answer arrives.
DEFAULT_TIMEOUT = httpx.Timeout(120, connect=10)
DEFAULT_TOTAL_TIMEOUT_S = 300.0
DEFAULT_CONCURRENCY = 4
# Bytes of a response that is read into memory. The largest that the gateway lets through is unknown.
DEFAULT_MAX_BODY = 2 * 1024**3

# Kayrros can tell which client calls.
USER_AGENT = f"kayrros-ext/{__version__} httpx/{httpx.__version__}"


class Setting(NamedTuple):
    """A setting, and the name of the place that it comes from; both None where it is not set."""

    value: str | Secret | None = None
    source: str | None = None


@attrs.frozen
class Settings:
    """Hosts, credentials, timeouts and limits of a client, validated."""

    base_url: httpx.URL
    auth_url: httpx.URL
    credentials: Credentials | None
    token: Secret | None
    timeout: httpx.Timeout
    retries: Retries
    total_timeout_s: float
    concurrency: int
    max_body: int
    source: Origin = "arguments"
    profile: str | None = None
    token_cache: bool = False

    @classmethod
    def load(
        cls,
        *,
        email: str | None = None,
        password: str | Secret | None = None,
        token: str | Secret | None = None,
        base_url: str | None = None,
        auth_url: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        retries: int | Retries = DEFAULT_MAX_RETRIES,
        total_timeout: float = DEFAULT_TOTAL_TIMEOUT_S,
        concurrency: int = DEFAULT_CONCURRENCY,
        max_body: int = DEFAULT_MAX_BODY,
        profile: str | None = None,
        token_cache: bool | None = None,
    ) -> Self:
        """Return the settings from arguments; where these are missing, from `load_sources`, the keyring and netrc.

        A token may come with email and password. It is tried first, and they get the next one.

        Raises:
            ConfigurationError: credentials are missing or incomplete, or a value is invalid or not safe.
        """
        # Sealed first, because a traceback with locals shows this frame.
        password, token = Secret.parse(password), Secret.parse(token)
        arguments = Source("arguments", email, password, token, base_url, auth_url)
        sources = load_sources(profile, arguments)
        base = _parse_host("base_url", sources)
        auth = _parse_host("auth_url", sources)
        source = resolve_credentials(sources, auth.host)
        return cls(
            base_url=base,
            auth_url=auth,
            credentials=source.credentials(),
            token=clean_token(source.token) if source.token else None,
            timeout=_parse_timeout(timeout),
            retries=Retries.parse(retries),
            total_timeout_s=_parse_seconds("total_timeout", total_timeout),
            concurrency=_parse_count("concurrency", concurrency),
            max_body=_parse_count("max_body", max_body),
            source=source.origin,
            profile=source.profile,
            token_cache=use_token_cache(base, auth) if token_cache is None else bool(token_cache),
        )


def load_sources(
    profile: str | None = None, arguments: Source | None = None, *, missing_ok: bool = False
) -> list[Source]:
    """Return the places of settings in order of precedence: arguments, environment, profile of the config file.

    A profile that is requested by name counts before the environment. With arguments, the config file is not read where
    they and the environment hold credentials and both hosts.

    Args:
        profile: its name, if one was requested.
        arguments: those of Kayrros. Email or password alone are completed from the environment.
        missing_ok: whether the profile may be missing from the config file.

    Raises:
        ConfigurationError: the config file or the profile can't be used.
    """
    environment = Source("environment", **{key: os.environ.get(f"KAYRROS_{key.upper()}") for key in KEYS})
    sources = [environment]
    if arguments:
        sources.insert(0, _complete(arguments, environment))
        hosts = [find_setting(sources, name).source for name in _DEFAULTS]
        if profile is None and "default" not in hosts and any(source.has_credentials for source in sources):
            return sources
    sources.insert(-1 if profile is not None else len(sources), load_profile(profile, missing_ok=missing_ok))
    return sources


def _complete(arguments: Source, environment: Source) -> Source:
    """Return the arguments, with the other half of an account from the environment where they hold one half."""
    if bool(arguments.email) == bool(arguments.password):
        return arguments
    password = arguments.password or environment.password
    origin: Origin = "environment" if password and not arguments.password else "arguments"
    return attrs.evolve(arguments, origin=origin, email=arguments.email or environment.email, password=password)


def find_setting(sources: list[Source], key: str) -> Setting:
    """Return a setting from the first source that has it, else its default."""
    for source in sources:
        if value := getattr(source, key):
            return Setting(value, source.label(key))
    return Setting(_DEFAULTS[key], "default") if key in _DEFAULTS else Setting()


def clean_token(token: Secret) -> Secret:
    """Return a token without the line end that a file or a shell leaves on it.

    Raises:
        ConfigurationError: it is not visible ASCII. httpx would show such a token in its error.
    """
    if isinstance(token.value, str) and re.fullmatch(r"\s*[!-~]+\s*", token.value):
        return Secret(token.value.strip())
    raise ConfigurationError(
        "The token is empty, or has spaces or characters that a header can't carry.", hint="Copy all of it again."
    )


def is_loopback(url: httpx.URL) -> bool:
    """Return whether requests to this URL stay on this machine."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def use_token_cache(*hosts: httpx.URL) -> bool:
    """Return whether tokens are cached for other processes, by KAYRROS_TOKEN_CACHE; else whether no host is loopback.

    On loopback a mock listens, and tomorrow another one at the same port.

    Raises:
        ConfigurationError: the variable is neither on nor off.
    """
    value = os.environ.get("KAYRROS_TOKEN_CACHE", "").lower()
    if value not in {"", "on", "off"}:
        raise ConfigurationError(f"KAYRROS_TOKEN_CACHE is {value!r:.40}.", hint="Set it to on or off.")
    return value == "on" or (not value and not any(is_loopback(host) for host in hosts))


def _parse_host(name: str, sources: list[Source]) -> httpx.URL:
    """Return a URL that is safe to send credentials to. Errors do not repeat it, because it may hold some."""
    example = f"Use one such as {BASE_URL}."
    try:
        url = httpx.URL(str(find_setting(sources, name).value))
        url.host.encode("idna")  # as the network will, whose error would come with the first request
    except (httpx.InvalidURL, UnicodeError):
        raise ConfigurationError(f"{name} is not a URL.", hint=example) from None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise ConfigurationError(
            f"{name} has to be a scheme and a host, without user, password, query and fragment.", hint=example
        )
    if url.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{name} is plain http to {url.host}, which would show the token to everyone on the way.",
            hint="Use https. Plain http is for localhost only.",
        )
    return url


def _parse_timeout(timeout: float | httpx.Timeout | None) -> httpx.Timeout:
    if timeout is None:
        return DEFAULT_TIMEOUT
    if isinstance(timeout, httpx.Timeout):
        return timeout
    return httpx.Timeout(_parse_seconds("timeout", timeout, " Or pass an httpx.Timeout."))


def _parse_seconds(name: str, value: float, alternative: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} is {value!r}.", hint=f"Pass seconds, more than 0.{alternative}")
    return value


def _parse_count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}.", hint="Pass a whole number, 1 or more.")
    return value
