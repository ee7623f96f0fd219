"""Settings of a client, from arguments, environment and profile, in one frozen object."""

import contextlib
import ipaddress
import math
import os
import re
from typing import Any, NamedTuple, Self, TypeVar

import attrs
import httpx

from kayrros_ext import __version__
from kayrros_ext._config.credentials import KEYS, Origin, Source, is_settled, pick, resolve_credentials
from kayrros_ext._config.environment import parse_text, variable, warn_about_variables
from kayrros_ext._config.profiles import load_profile
from kayrros_ext._config.retries import Retries
from kayrros_ext._secret import MIN_SECRET_CHARS, Secret
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

_Number = TypeVar("_Number", int, float)


class Setting(NamedTuple):
    """A setting, and the name of the place that it comes from; both None where it is not set."""

    value: str | Secret | None = None
    source: str | None = None


def _parse_timeout(value: float | httpx.Timeout | None) -> httpx.Timeout:
    if isinstance(value, httpx.Timeout):
        return value
    return DEFAULT_TIMEOUT if value is None else httpx.Timeout(_parse_positive("timeout", value))


def _check_positive(_: "Settings", attribute: "attrs.Attribute[Any]", value: Any) -> None:
    _parse_positive(attribute.name, value, whole=attribute.type is int)


@attrs.frozen
class Settings:
    """Hosts, account, timeouts and limits of a client, validated. `no_login` is raised where no login is saved."""

    base_url: httpx.URL
    auth_url: httpx.URL
    email: str | None
    password: Secret | None
    token: Secret | None
    source: Origin
    profile: str | None
    no_login: ConfigurationError | None
    hint_401: str
    token_cache: bool | None
    timeout: httpx.Timeout = attrs.field(default=None, converter=_parse_timeout)
    # mypy supports functions as converters, but not methods.
    retries: Retries = attrs.field(factory=Retries, converter=Retries.parse)  # type: ignore[misc]
    total_timeout: float = attrs.field(default=DEFAULT_TOTAL_TIMEOUT_S, validator=_check_positive)
    concurrency: int = attrs.field(default=DEFAULT_CONCURRENCY, validator=_check_positive)
    max_body: int = attrs.field(default=DEFAULT_MAX_BODY, validator=_check_positive)

    @classmethod
    def load(
        cls, arguments: Source, *, profile: str | None = None, token_cache: bool | None = None, **options: Any
    ) -> Self:
        """Return settings from the arguments, environment, config file, keyring and netrc; `options` are the last fields."""
        sources = load_sources(profile, arguments)
        base, auth = _parse_host("base_url", sources), _parse_host("auth_url", sources)
        account = resolve_credentials(sources, auth.host)
        account["token"] = account["token"] and clean_token(account["token"], MIN_SECRET_CHARS)
        token_cache = use_token_cache(base, auth) if token_cache is None else bool(token_cache)
        return cls(base_url=base, auth_url=auth, token_cache=token_cache, **account, **options)


def load_sources(
    profile: str | None = None, arguments: Source | None = None, *, missing_ok: bool = False
) -> list[Source]:
    """Return the places of settings in order of precedence: arguments, environment, profile of the config file.

    A profile that is requested by name counts before the environment. With arguments, the config file is not read where
    they and the environment hold both hosts, and credentials that nothing can be added to.
    """
    sources = [Source("environment", **{key: os.environ.get(f"KAYRROS_{key.upper()}") for key in KEYS})]
    warn_about_variables()
    if arguments:
        sources.insert(0, arguments)
        hosts = [find_setting(sources, name).source for name in _DEFAULTS]
        if profile is None and "default" not in hosts and is_settled(pick(sources)):
            return sources
    sources.insert(-1 if profile is not None else len(sources), load_profile(profile, missing_ok=missing_ok))
    return sources


def find_setting(sources: list[Source], key: str) -> Setting:
    """Return a setting from the first source that has it, else its default."""
    for source in sources:
        if value := getattr(source, key):
            return Setting(value, source.label(key))
    return Setting(_DEFAULTS[key], "default") if key in _DEFAULTS else Setting()


def clean_token(token: Secret, min_chars: int = 1) -> Secret:
    """Return a token without the line end that a file or a shell leaves on it, and without quotes."""
    # httpx would show a token that is not visible ASCII in its error.
    problem = "The token is empty, not a string, or has spaces or characters that a header can't carry."
    if isinstance(token.value, str):
        token = Secret(parse_text(token.value))
        if 0 < len(token.value) < min_chars:
            problem = f"The token has fewer than {min_chars} characters."
        elif re.fullmatch("[!-~]+", token.value):
            return token
    raise ConfigurationError(problem, hint="Copy all of it again.")


def is_loopback(url: httpx.URL) -> bool:
    """Return whether requests to this URL stay on this machine."""
    network = parse_network(url.host)
    return network.is_loopback if network else url.host == "localhost"


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return a network, or that of one address; None for a name."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_network(text, strict=False)
    return None


def use_token_cache(*hosts: httpx.URL) -> bool | None:
    """Return whether to cache tokens: KAYRROS_TOKEN_CACHE, else True; None on loopback: only if there is a cached one."""
    value = variable("KAYRROS_TOKEN_CACHE").lower()
    if value not in {"", "on", "off"}:
        raise ConfigurationError(f"KAYRROS_TOKEN_CACHE is {value!r:.40}.", hint="Set it to on or off.")
    # On loopback listens a fake or a mock, and tomorrow another one at the same port. Only `kayrros login` caches there.
    return value == "on" if value else None if any(is_loopback(host) for host in hosts) else True


def _parse_host(name: str, sources: list[Source]) -> httpx.URL:
    """Return a URL that is safe to send credentials to. Errors do not repeat it, because it may hold some."""
    try:
        url = httpx.URL(str(find_setting(sources, name).value))
        url.host.encode("idna")  # as the network will, whose error would come with the first request
    except (httpx.InvalidURL, UnicodeError):
        url = httpx.URL()
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        problem = f"{name} is not an http or https URL without user, password, query and fragment."
        raise ConfigurationError(problem, hint=f"Use one such as {BASE_URL}.")
    if url.scheme == "http" and not is_loopback(url):
        problem = f"{name} is plain http to {url.host}, which would show the token to everyone on the way."
        raise ConfigurationError(problem, hint="Use https. Plain http is for localhost only.")
    return url


def _parse_positive(name: str, value: _Number, *, whole: bool = False) -> _Number:
    """Return a number of seconds, or a whole number, that is more than 0."""
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 < value < math.inf:
        unit = "a whole number" if whole else "seconds"
        raise ConfigurationError(f"{name} is {value!r}.", hint=f"Pass {unit}, more than 0.")
    return value
