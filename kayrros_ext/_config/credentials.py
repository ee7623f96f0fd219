"""Sources of credentials, which one counts, and the check that files with secrets are private."""

import logging
import os
import re
import shlex
import stat
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import attrs

from kayrros_ext._config.keyring import load_password
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

Origin = Literal["arguments", "environment", "profile", "keyring", "netrc"]
SECRET_KEYS = ("password", "token")
KEYS = ("email", *SECRET_KEYS, "base_url", "auth_url")


@attrs.frozen
class Credentials:
    """An account to log in with."""

    email: str
    password: Secret


@attrs.frozen
class Identity:
    """The account of a Kayrros, and where its credentials come from. It holds no secret.

    Attributes:
        source: where the password or token comes from: "arguments", "environment", "profile", "keyring" or "netrc".
        email: the account; None where there is only a token.
        base_url: data host.
        auth_url: login host.
        profile: name of the profile where `source` is "profile", else None.
        token_cache: where tokens are cached for other processes: "file" or "off".
        has_token: whether a token is at hand, so that the next call needs no login unless the platform rejects it.
        token_expires: when the token expires (UTC), where it is a JWT that specifies this.
    """

    source: Origin
    email: str | None
    base_url: str
    auth_url: str
    profile: str | None = None
    token_cache: Literal["file", "off"] = "off"  # noqa: S105 - no password
    has_token: bool = False
    token_expires: datetime | None = None


def _unless_empty(text: str | None) -> str | None:
    return text or None


def _parse_secret(value: str | Secret | None) -> Secret | None:
    return Secret.parse(value)  # mypy does not accept the method itself as a converter


@attrs.frozen
class Source:
    """The settings from one place; None where it does not set one. An empty string counts as unset."""

    origin: Origin
    email: str | None = attrs.field(default=None, converter=_unless_empty)
    password: Secret | None = attrs.field(default=None, converter=_parse_secret)
    token: Secret | None = attrs.field(default=None, converter=_parse_secret)
    base_url: str | None = attrs.field(default=None, converter=_unless_empty)
    auth_url: str | None = attrs.field(default=None, converter=_unless_empty)
    profile: str | None = None

    @property
    def has_credentials(self) -> bool:
        """Whether it sets any of email, password and token."""
        return bool(self.email or self.password or self.token)

    def label(self, key: str) -> str:
        """Return the place of a setting, for users to read."""
        if self.origin == "environment":
            return f"KAYRROS_{key.upper()}"
        return f"profile {self.profile}" if self.origin == "profile" else self.origin

    def credentials(self) -> Credentials | None:
        """Return the account; None where there is a token without a password.

        Raises:
            ConfigurationError: half of the account is missing, or it is not text.
        """
        if self.email and self.password:
            # httpx would show the whole login in its error about a string that UTF-8 can't encode.
            if any(
                not isinstance(v, str) or re.search("[\ud800-\udfff]", v) for v in (self.email, self.password.value)
            ):
                raise ConfigurationError("The email or the password is not UTF-8 text.", hint="Check its encoding.")
            return Credentials(self.email, self.password)
        if self.token and not self.password:
            return None
        present, missing = ("email", "password") if self.email else ("password", "email")
        place = self.label("") if self.origin == "profile" else f"the {self.origin}"
        variable = f"KAYRROS_{missing.upper()}"
        raise ConfigurationError(
            f"There is {present} but no {missing} in {place}, and sources are not mixed.",
            hint=f"Set {missing} there as well, pass it to Kayrros, or set {variable}.",
            hint_cli=f"Set {missing} there as well, set {variable}, or run `kayrros login`.",
            needs_login=True,
        )


def resolve_credentials(sources: Sequence[Source], host: str) -> Source:
    """Return the first source with credentials; else the keyring or netrc.

    Sources are not mixed, with one exception: the password of an email without one may come from the keyring or netrc,
    because they store it under that very email.

    Args:
        sources: in order of precedence.
        host: the login host, for netrc.

    Raises:
        ConfigurationError: there are no credentials, or netrc can't be used.
    """
    first = next((source for source in sources if source.has_credentials), None)
    if first and (first.password or not first.email):
        return first
    email = first.email if first else None
    stores: tuple[Origin, ...] = ("keyring", "netrc")
    for origin in stores:
        account = load_password(email) if origin == "keyring" else load_netrc(host)
        if account and email in {None, account[0]}:
            if first and first.token:  # it is used before the password is
                return attrs.evolve(first, password=account[1])
            return Source(origin, *account)
    if first:
        return first
    raise ConfigurationError(
        "There are no credentials.",
        hint="Pass email and password, or a token, to Kayrros; or set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN; "
        "or write them into a profile of the config file (docs/credentials.md lists all places).",
        hint_cli="Run `kayrros login`; or set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN.",
        needs_login=True,
    )


def load_netrc(host: str) -> tuple[str, Secret] | None:
    """Return login and password of a host from the file that NETRC names, else from ~/.netrc.

    The entry `default` is not used, because its password is for other hosts.

    Raises:
        ConfigurationError: the file may not be read, others can read it, or it is not a netrc file.
    """
    import netrc

    path = Path(os.path.expanduser(os.environ.get("NETRC") or "~/.netrc"))  # noqa: PTH111 - no error without a home
    if str(path).startswith("~"):  # there is no home
        return None
    try:
        info = path.stat()
        login, _, password = map(Secret, netrc.netrc(str(path)).hosts.get(host) or ("", "", ""))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        raise permission_error(path, f"{path} can't be read: permission denied.") from None
    except OSError as error:
        _log.warning("%s can't be read (%s). Continuing without it.", path, error.strerror)
        return None
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        # The message of the error would quote the file.
        place = f" at line {error.lineno}" if isinstance(error, netrc.NetrcParseError) else ", because it is not UTF-8"
        raise ConfigurationError(
            f"{path} is not a valid netrc file{place}.", hint="Correct it, or put the credentials elsewhere."
        ) from None
    if not (login.value and password.value):
        return None
    check_private(path, info)
    return login.value, password


def check_private(path: Path, info: os.stat_result) -> None:
    """Refuse a file with secrets that others can read.

    POSIX modes only, and regular files only, because a pipe belongs to its maker. The target of a symlink counts.

    Raises:
        ConfigurationError: others can read it; the hint is the command that changes that.
    """
    if os.name == "posix" and stat.S_ISREG(info.st_mode) and info.st_mode & 0o077:
        mode = f"mode {stat.S_IMODE(info.st_mode):o}"
        raise permission_error(path, f"{path} holds secrets, and others on this machine can read it ({mode}).")


def permission_error(path: Path, problem: str) -> ConfigurationError:
    """Return the error for a file with wrong permissions; its hint is the command that corrects them."""
    return ConfigurationError(problem, hint=f"Run as the owner of the file: chmod 600 {shlex.quote(str(path))}")
