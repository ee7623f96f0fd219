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

from kayrros_ext._config.environment import parse_text, user_path
from kayrros_ext._config.keyring import load_password
from kayrros_ext._secret import Secret
from kayrros_ext._text import DOCS_URL
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

Origin = Literal["arguments", "environment", "profile", "keyring", "netrc"]
SECRET_KEYS = ("password", "token")
KEYS = ("email", *SECRET_KEYS, "base_url", "auth_url")
_SURROGATE = re.compile("[\ud800-\udfff]")


@attrs.frozen
class Credentials:
    """An account to log in with."""

    email: str
    password: Secret


@attrs.frozen
class Identity:
    """The account of a Kayrros, and the source of its credentials. It holds no secret.

    Attributes:
        source: "arguments", "environment", "profile", "keyring" or "netrc".
        email: None where there is only a token.
        base_url: data host.
        auth_url: login host.
        profile: name of the profile that is the source, else None.
        token_cache: "file" where other processes share the token, else "off".
        has_token: whether the next call needs no login, unless the platform rejects the token.
        token_expires: expiry (UTC) of a token that is a JWT with one, else None.
    """

    source: Origin
    email: str | None
    base_url: str
    auth_url: str
    profile: str | None = None
    token_cache: Literal["file", "off"] = "off"  # noqa: S105 - no password
    has_token: bool = False
    token_expires: datetime | None = None


def _parse_text(value: str | None) -> str | None:
    return parse_text(value) if isinstance(value, str) else value


def _parse_password(value: str | Secret | None) -> Secret | None:
    secret = Secret.parse(value)
    return Secret.parse(secret.value.rstrip("\r\n")) if secret and isinstance(secret.value, str) else secret


@attrs.frozen
class Source:
    """The settings from one place. None and an empty string count as unset."""

    origin: Origin
    email: str | None = attrs.field(default=None, converter=_parse_text)
    password: Secret | None = attrs.field(default=None, converter=_parse_password)
    # mypy supports functions as converters, but not methods.
    token: Secret | None = attrs.field(default=None, converter=Secret.parse)  # type: ignore[misc]
    base_url: str | None = attrs.field(default=None, converter=_parse_text)
    auth_url: str | None = attrs.field(default=None, converter=_parse_text)
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
        """Return the account; None where there is a token without a password. Half of an account is an error."""
        if self.token and not self.password:
            return None
        if not (self.email and self.password):
            present, missing = ("email", "password") if self.email else ("password", "email")
            place = self.label("") if self.origin == "profile" else f"the {self.origin}"
            raise ConfigurationError(
                f"There is {present} but no {missing} in {place}, and sources are not mixed.",
                hint=f"Set {missing} there as well, pass it to Kayrros, or set KAYRROS_{missing.upper()}.",
                hint_cli=f"Set {missing} there as well, set KAYRROS_{missing.upper()}, or run `kayrros login`.",
                needs_login=True,
            )
        # httpx would show the whole login in its error about a string that UTF-8 can't encode.
        if any(not isinstance(text, str) or _SURROGATE.search(text) for text in (self.email, self.password.value)):
            hint = "Check its encoding. Of a SecretStr, pass get_secret_value()."
            raise ConfigurationError("The email or the password is not a string of UTF-8 text.", hint=hint)
        if self.origin == "environment" and re.fullmatch(r"(['\"]).*\1", self.password.value):
            _log.warning("KAYRROS_PASSWORD is in quotes. `docker run --env-file` keeps them: remove those of the file.")
        return Credentials(self.email, self.password)


def resolve_credentials(sources: Sequence[Source], host: str) -> Source:
    """Return the first source with credentials, else the keyring, else the netrc entry of the login host.

    Keyring and netrc store a password under its email, so they also complete a source that has an email alone.
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
        f"or write them into a profile of the config file ({DOCS_URL}credentials/ lists all places).",
        hint_cli="Run `kayrros login`; or set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN.",
        needs_login=True,
    )


def load_netrc(host: str) -> tuple[str, Secret] | None:
    """Return login and password of a host from NETRC, else ~/.netrc; not those of `default`, which are for other hosts."""
    import netrc

    path = user_path("NETRC", "home", ".netrc")
    if path is None:
        return None
    try:
        info = path.stat()
        login, _, password = map(Secret, netrc.netrc(str(path)).hosts.get(host) or ("", "", ""))
    except PermissionError:
        raise permission_error(path, f"{path} can't be read: permission denied.") from None
    except OSError as error:
        _log.debug("%s is not used (%s).", path, error.strerror)
        return None
    except (netrc.NetrcParseError, UnicodeDecodeError) as error:
        # The message of the error would quote the file.
        place = f" at line {error.lineno}" if isinstance(error, netrc.NetrcParseError) else ", because it is not UTF-8"
        hint = "Correct or remove it. It must be UTF-8 without a byte order mark."
        raise ConfigurationError(f"{path} is not a valid netrc file{place}.", hint=hint) from None
    if not (login.value and password.value):
        return None
    check_private(path, info)
    return login.value, password


def check_private(path: Path, info: os.stat_result, *, has_secrets: bool = True) -> None:
    """Refuse a regular file that others can write or, if it has secrets, read. Windows keeps user profiles private."""
    if os.name != "posix" or not stat.S_ISREG(info.st_mode):
        return
    # Kubernetes gives a secret to root and, with fsGroup, to the group of the pod: mode 0440.
    is_mounted = info.st_uid == 0 != os.geteuid()
    if has_secrets and info.st_mode & (0o037 if is_mounted else 0o077):
        mode = f"mode {stat.S_IMODE(info.st_mode):o}"
        raise permission_error(path, f"{path} holds secrets, and others on this machine can read it ({mode}).")
    if info.st_mode & 0o002:
        problem = f"Everyone on this machine can write to {path}, and it specifies where passwords are sent."
        raise permission_error(path, problem)


def permission_error(path: Path, problem: str) -> ConfigurationError:
    """Return the error for a file with wrong permissions; its hint is the command that corrects them."""
    return ConfigurationError(problem, hint=f"Run as the owner of the file: chmod 600 {shlex.quote(str(path))}")
