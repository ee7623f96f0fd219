"""Credentials: where they come from, first found wins, and who we are by them."""

import logging
import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

import attrs

from kayrros_ext._config.keyring import Keyring
from kayrros_ext._config.profiles import check_private, unreadable
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

Origin = Literal["arguments", "environment", "profile", "keyring", "netrc"]


@attrs.frozen
class Credentials:
    """An account, to log in with."""

    email: str
    password: Secret


@attrs.frozen
class Identity:
    """Who a Kayrros is to the platform, and where that comes from; no secret among it.

    Attributes:
        source: where the password or the token comes from: "arguments", "environment", "profile", "keyring" or "netrc".
        email: the account; None where there is a token alone.
        base_url: data host.
        auth_url: login host.
        profile: name of the profile that `source` is, or None.
        token_cache: where tokens of logins are kept between processes: "file", "keyring" or "off".
        token_held: whether there is a token at hand, given or kept, so that the next call needs no login, unless the
            platform no longer takes it.
        token_expires: when it ends (UTC), where it says so (a JWT does).
    """

    source: Origin
    email: str | None
    base_url: str
    auth_url: str
    profile: str | None = None
    token_cache: Literal["file", "keyring", "off"] = "off"  # noqa: S105 - no password
    token_held: bool = False
    token_expires: datetime | None = None


@attrs.frozen
class Found:
    """What one source holds."""

    source: Origin
    email: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    profile: str | None = None

    def __bool__(self) -> bool:
        return bool(self.email or self.password or self.token)

    @property
    def credentials(self) -> Credentials | None:
        """The account; None where there is a token, with an email at most.

        Raises:
            ConfigurationError: half of it, or not text.
        """
        if self.token and not self.password:
            return None
        if bool(self.email) != bool(self.password):
            given, missing = ("email", "password") if self.email else ("password", "email")
            where = f"profile {self.profile}" if self.profile else f"the {self.source}"
            raise ConfigurationError(
                f"There is {given} but no {missing} in {where}, and sources are not mixed. Give it there, as an argument of "
                f"Kayrros, or as KAYRROS_{missing.upper()}.",
                needs_login=True,
            )
        if not (self.email and self.password):
            return None
        # The error of the HTTP library about text that it can't encode would show the whole of the login.
        for name, value in (("email", Secret(self.email)), ("password", self.password)):
            if not value.is_text:
                raise ConfigurationError(f"The {name} is not text in UTF-8. Check how it reaches Kayrros.")
        return Credentials(self.email, self.password)


def find(sources: Iterable[Found], host: str, keyring: Keyring | None = None) -> Found:
    """The first source that holds anything; then the keyring, then netrc.

    Nothing is put together from two sources, but for this: the keyring and netrc may hold the password of an email that
    another source names, since there it stands under that very email.

    Args:
        sources: what was given, the first one first.
        host: the login host, for netrc.
        keyring: the system's unless given.
    """
    first = next(filter(None, sources), None)
    if first and (first.password or not first.email):
        return first
    email = first.email if first else None
    held: tuple[tuple[Origin, Callable[[], tuple[str, Secret] | None]], ...] = (
        ("keyring", lambda: (keyring or Keyring()).account(email)),
        ("netrc", lambda: from_netrc(host)),
    )
    for place, look in held:
        stored = look()
        if stored and email in {None, stored[0]}:
            source = first.source if first and first.token else place
            return attrs.evolve(first or Found(place), source=source, email=stored[0], password=stored[1])
    if first:
        return first
    raise ConfigurationError(
        "There are no credentials. Give email and password, or a token, as arguments of Kayrros, in the environment "
        "(KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN), or in a profile of the config file: docs/credentials.md "
        "names all places.",
        needs_login=True,
    )


def from_netrc(host: str) -> tuple[str, Secret] | None:
    """Login and password of a host in the file that NETRC names, or ~/.netrc.

    The entry called `default` is for hosts of which nobody thought, and not taken: its password is for others.

    Raises:
        ConfigurationError: the file may not be read, others can read it, or it is not a netrc file.
    """
    named = os.environ.get("NETRC")
    path = Path(os.path.expanduser(named or "~/.netrc"))  # noqa: PTH111 - Path.expanduser raises where there is no home
    if not (named or path.is_absolute()):
        return None
    try:
        found = path.stat()
        problem, entry = _read_netrc(path, host)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise unreadable(path) from None
    except OSError as error:
        _log.warning("%s can't be read (%s). Going on without it.", path, error.strerror)
        return None
    if problem:
        raise ConfigurationError(
            f"{path} is not a netrc file: {problem}. Mend it, or give credentials in another place."
        )
    if entry:
        check_private(path, found)
    return entry


def _read_netrc(path: Path, host: str) -> tuple[str | None, tuple[str, Secret] | None]:
    """What is wrong, and the entry. The parser's own words are not repeated: they quote the file."""
    import netrc

    try:
        login, _, password = netrc.netrc(str(path)).hosts.get(host) or ("", "", "")
    except netrc.NetrcParseError as error:
        return f"line {error.lineno} can't be read", None
    except UnicodeDecodeError:
        return "it is not UTF-8", None
    return None, (login, Secret(password)) if login and password else None
