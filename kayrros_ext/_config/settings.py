"""Where the hosts are and who we are to them: one frozen object of all that was given, here and elsewhere."""

import ipaddress
import os
from importlib import metadata
from typing import Self

import attrs
import httpx

from kayrros_ext._config.credentials import Credentials, Found, Origin, find
from kayrros_ext._config.profiles import Profile, load_profile
from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

# Hosts: the public reference.
BASE_URL = "https://platform.api.kayrros.com"
AUTH_URL = "https://auth.kayrros.com"

# The gateway gives up after about a minute (assumed from its 504s); we listen longer, so that it is the one to say so.
DEFAULT_TIMEOUT = httpx.Timeout(120, connect=10)

DEFAULT_TOTAL_TIMEOUT_S = 300.0
DEFAULT_CONCURRENCY = 4
# Of an answer that is read into memory. The largest that the gateway lets through is not known.
DEFAULT_MAX_BODY = 2 * 1024**3

# Kayrros can tell who calls.
USER_AGENT = f"kayrros-ext/{metadata.version('kayrros-ext')} httpx/{httpx.__version__}"


@attrs.frozen
class Settings:
    """Hosts, credentials, timeouts and limits of a client, checked: what is here can be used."""

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
        """Settings from arguments and, where they are silent, from the environment, a profile, the keyring and netrc.

        A token and credentials together are of use: the token is tried first, the credentials get the next one. But a
        credential given as an argument is not mixed with one of another kind from the environment.

        Raises:
            ConfigurationError: no credentials, half of them, a value that can't be sent, a host that is not safe.
        """
        given, named = _given(email, Secret.of(password), Secret.of(token)), _from_environment()
        hosts = {"base_url": base_url or None, "auth_url": auth_url or None}
        if profile is not None:  # asked for in so many words, so before the environment
            chosen = load_profile(profile)
            sources = [given, _of_profile(chosen), named]
            urls = {
                name: hosts[name] or getattr(chosen, name) or _environment(f"KAYRROS_{name.upper()}") for name in hosts
            }
        else:
            urls = {name: hosts[name] or _environment(f"KAYRROS_{name.upper()}") for name in hosts}
            # Not read where all is known without it.
            chosen = Profile("") if (given or named) and all(urls.values()) else load_profile()
            sources = [given, named, _of_profile(chosen)]
            urls = {name: urls[name] or getattr(chosen, name) for name in hosts}
        base, auth = _host("base_url", urls["base_url"] or BASE_URL), _host("auth_url", urls["auth_url"] or AUTH_URL)
        found = find(sources, auth.host)
        return cls(
            base_url=base,
            auth_url=auth,
            credentials=found.credentials,
            token=None if found.token is None else clean_token(found.token),
            timeout=_timeout(timeout),
            retries=Retries.parse(retries),
            total_timeout_s=_seconds("total_timeout", total_timeout),
            concurrency=_count("concurrency", concurrency),
            max_body=_count("max_body", max_body),
            source=found.source,
            profile=found.profile,
            token_cache=_token_cache(token_cache, base, auth),
        )


def clean_token(token: Secret) -> Secret:
    """A token without the line end that a file or a shell leaves on it.

    Raises:
        ConfigurationError: it has characters that no header can carry. The HTTP library would show it in its error.
    """
    stripped = Secret(token.reveal().strip()) if token.is_text else token
    if not (stripped.is_text and stripped.fits_a_header):
        raise ConfigurationError(
            "The token is empty, or holds spaces or characters that a header can't carry. Copy it again, whole."
        )
    return stripped


def is_loopback(url: httpx.URL) -> bool:
    """Whether requests to this URL stay on this machine."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False


def _environment(name: str) -> str | None:
    # An empty variable is how a shell says that there is none.
    return os.environ.get(name) or None


def _given(email: str | None, password: Secret | None, token: Secret | None) -> Found:
    """The arguments; where they are half of an account, the environment may hold the other."""
    if email is None and password is None:
        return Found("arguments", token=token)
    source: Origin = "arguments" if password else "environment"
    email = email if email is not None else _environment("KAYRROS_EMAIL")
    password = password or Secret.of(_environment("KAYRROS_PASSWORD"))
    return Found(source if password else "arguments", email or None, password, token)


def _from_environment() -> Found:
    password, token = (Secret.of(_environment(f"KAYRROS_{name}")) for name in ("PASSWORD", "TOKEN"))
    return Found("environment", _environment("KAYRROS_EMAIL"), password, token)


def _of_profile(profile: Profile) -> Found:
    return Found("profile", profile.email, profile.password, profile.token, profile.name)


def _token_cache(wanted: bool | None, *hosts: httpx.URL) -> bool:  # noqa: FBT001 - None is the third
    """Whether to keep tokens between processes.

    Not of this machine unless asked to: there a mock listens, another one tomorrow at the same port, and a login is cheap.
    """
    if wanted is not None:
        return bool(wanted)
    said = (_environment("KAYRROS_TOKEN_CACHE") or "").lower()
    if said not in {"", "on", "off"}:
        raise ConfigurationError(f"KAYRROS_TOKEN_CACHE is {said!r:.40}. Set it to on or off.")
    return said == "on" or (not said and not any(is_loopback(host) for host in hosts))


def _host(name: str, text: str) -> httpx.URL:
    """A URL that is safe to send credentials to. It is not repeated in errors, for it may hold some."""
    try:
        url = httpx.URL(text)
        url.host.encode("idna")  # as the network will, whose error would come with the first request
    except (httpx.InvalidURL, TypeError, UnicodeError):
        raise ConfigurationError(f"{name} is not a URL. Give one such as {BASE_URL}.") from None
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise ConfigurationError(
            f"{name} is not scheme, host and no more. Give one such as {BASE_URL}, and credentials on their own."
        )
    if url.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{name} is plain http to {url.host}, which would show the token to everyone on the way. Use https; plain http "
            "is for localhost alone."
        )
    return url


def _timeout(timeout: float | httpx.Timeout | None) -> httpx.Timeout:
    if timeout is None:
        return DEFAULT_TIMEOUT
    if isinstance(timeout, httpx.Timeout):
        return timeout
    return httpx.Timeout(_seconds("timeout", timeout, " or an httpx.Timeout"))


def _seconds(name: str, value: float, otherwise: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(f"{name} is {value!r}. Give seconds, more than 0{otherwise and ',' + otherwise}.")
    return value


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {value!r}. Give a whole number, 1 or more.")
    return value
