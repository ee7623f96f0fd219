"""Where the hosts are and who we are to them: one frozen object, the only place that reads the environment."""

import ipaddress
import os
from importlib import metadata
from typing import Self

import attrs
import httpx

from kayrros_ext.errors import ConfigurationError

# Hosts: the public reference.
BASE_URL = "https://platform.api.kayrros.com"
AUTH_URL = "https://auth.kayrros.com"

# The gateway gives up after about a minute (assumed from its 504s); we listen longer, so that it is the one to say so.
DEFAULT_TIMEOUT = httpx.Timeout(120, connect=10)


# Kayrros can tell who calls.
USER_AGENT = f"kayrros-client/{metadata.version('kayrros-client')} httpx/{httpx.__version__}"


class Secret:
    """A string that shows itself only when asked."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The string itself."""
        return self._value

    def __repr__(self) -> str:
        return "**********"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("A secret is not pickled. Give the other process its own settings.")


@attrs.frozen
class Settings:
    """Hosts, credentials and timeout of a client, checked: what is here can be used."""

    base_url: httpx.URL
    auth_url: httpx.URL
    email: str | None
    password: Secret | None
    token: Secret | None
    timeout: httpx.Timeout

    @classmethod
    def load(
        cls,
        *,
        email: str | None = None,
        password: str | None = None,
        token: str | None = None,
        base_url: str | None = None,
        auth_url: str | None = None,
        timeout: float | httpx.Timeout | None = None,
    ) -> Self:
        """Settings from arguments and, where they are silent, from the environment.

        A token and credentials together are of use: the token is tried first, the credentials get the next one. But a
        credential given as an argument is not mixed with one of another kind from the environment.

        Raises:
            ConfigurationError: no credentials at all, half of them, a value that can't be sent, a host that is not safe.
        """
        if email is None and password is None and token is None:
            token = _environment("KAYRROS_TOKEN")
            email, password = _environment("KAYRROS_EMAIL"), _environment("KAYRROS_PASSWORD")
        elif email is not None or password is not None:
            email = email if email is not None else _environment("KAYRROS_EMAIL")
            password = password if password is not None else _environment("KAYRROS_PASSWORD")
        _check_complete(email, password, token)
        return cls(
            base_url=_host("base_url", base_url or _environment("KAYRROS_BASE_URL") or BASE_URL),
            auth_url=_host("auth_url", auth_url or _environment("KAYRROS_AUTH_URL") or AUTH_URL),
            email=email or None,
            password=None if not password else Secret(_encodable(password)),
            token=None if not token else Secret(clean_token(token)),
            timeout=_timeout(timeout),
        )

    @property
    def can_log_in(self) -> bool:
        """Whether there are credentials to get a token with."""
        return self.password is not None


def clean_token(token: str) -> str:
    """A token without the line end that a file or a shell leaves on it.

    Raises:
        ConfigurationError: it has characters that no header can carry.
    """
    stripped = token.strip()
    if not stripped or not all("!" <= character <= "~" for character in stripped):
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


def _check_complete(email: str | None, password: str | None, token: str | None) -> None:
    if bool(email) != bool(password):
        given, missing = ("email", "password") if email else ("password", "email")
        raise ConfigurationError(
            f"There is {given} but no {missing}. Give it as an argument of Kayrros or as KAYRROS_{missing.upper()}."
        )
    if not (email or token):
        raise ConfigurationError(
            "There are no credentials. Give email and password, or a token, as arguments of Kayrros or in the "
            "environment: KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN."
        )


def _encodable(password: str) -> str:
    # An undecodable byte of the environment becomes a lone surrogate, and the error about that would show the password.
    try:
        password.encode()
    except UnicodeEncodeError:
        raise ConfigurationError("The password is not valid UTF-8. Check how it reaches the environment.") from None
    return password


def _host(name: str, text: str) -> httpx.URL:
    """A URL that is safe to send credentials to. Its text is not repeated in errors before it is known to hold none."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError):
        raise ConfigurationError(f"{name} is not a URL. Give one such as {BASE_URL}.") from None
    if url.userinfo:
        raise ConfigurationError(
            f"{name} holds a user or password. Give the URL without, and credentials on their own."
        )
    if url.scheme not in {"http", "https"} or not url.host or url.query or url.fragment:
        raise ConfigurationError(f"{name} is {text!r}. Give scheme and host, such as {BASE_URL}.")
    if url.scheme == "http" and not is_loopback(url):
        raise ConfigurationError(
            f"{name} is {text!r}: plain http would show the token to everyone on the way. Use https; plain http is for "
            "localhost alone."
        )
    return url


def _timeout(timeout: float | httpx.Timeout | None) -> httpx.Timeout:
    if timeout is None:
        return DEFAULT_TIMEOUT
    if isinstance(timeout, httpx.Timeout):
        return timeout
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise ConfigurationError(f"timeout is {timeout!r}. Give seconds, more than 0, or an httpx.Timeout.")
    return httpx.Timeout(timeout)
