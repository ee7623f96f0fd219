"""Sources of credentials, which one counts, and the check that files with secrets are private."""

import logging
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import attrs

from kayrros_ext._config.environment import parse_text, user_path
from kayrros_ext._config.keyring import load_password
from kayrros_ext._secret import Secret
from kayrros_ext._text import DOCS_URL
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

Origin = Literal["arguments", "environment", "profile", "keyring", "netrc", "login"]
SECRET_KEYS = ("password", "token")
KEYS = ("email", *SECRET_KEYS, "base_url", "auth_url")
_SURROGATE = re.compile("[\ud800-\udfff]")


@attrs.frozen
class Identity:
    """The account of a Kayrros, and the source of its credentials. It holds no secret.

    Example:
        >>> identity = kayrros.whoami()
        >>> identity.source, identity.email, identity.token_cache
        ('arguments', 'analyst@example.com', 'off')

    Attributes:
        source: of the token or password: "arguments", "environment", "profile", "keyring" or "netrc"; or "login", for the
            token that `kayrros login` saved.
        email: None where there is only a token.
        base_url: data host.
        auth_url: login host.
        profile: name of the profile, where the email, password or token comes from one.
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

    def label(self, key: str) -> str:
        """Return the place of a setting, for users to read."""
        if self.origin == "environment":
            return f"KAYRROS_{key.upper()}"
        return f"profile {self.profile}" if self.origin == "profile" else self.origin


def same_email(first: str | None, second: str | None) -> bool:
    """Return whether two emails are of one account: case does not matter. A missing one is like any other."""
    return not first or not second or str(first).casefold() == str(second).casefold()


def pick(sources: Iterable[Source]) -> dict[str, Source]:
    """Return the source of `email`, `password` and `token`: for each the first that has it, until they suffice.

    A source of another email than the one that is picked supplies nothing, and is returned as `other`. A token below a
    password is not picked. A token without an email is used alone, because nobody knows whose it is, and not below an email.
    """
    picked: dict[str, Source] = {}
    for source in sources:
        if "email" in picked and not same_email(source.email, picked["email"].email):
            picked.setdefault("other", source)
            continue
        for key in ("email", "password", "token")[: 2 if "password" in picked else 3]:
            if getattr(source, key) and (key != "token" or source.email or "email" not in picked):
                picked.setdefault(key, source)
        if is_settled(picked):
            break  # before the next one is loaded
    return picked


def is_settled(picked: dict[str, Source]) -> bool:
    """Return whether no other source can add anything."""
    return "password" in picked if "email" in picked else "token" in picked


def resolve_credentials(sources: Sequence[Source], host: str) -> dict[str, Any]:
    """Return the fields of Settings about the account. Keyring and netrc, of the login host, come after the sources.

    Raises:
        ConfigurationError: there is neither a token nor an email, or the email or password is not text.
    """
    picked = pick(_with_stored_passwords(sources, host))
    email, password, token = (getattr(picked.get(key), key, None) for key in ("email", "password", "token"))
    # httpx would show the whole login in its error about a string that UTF-8 can't encode.
    texts = [Secret(email or ""), password or Secret("")]
    if any(not isinstance(text.value, str) or _SURROGATE.search(text.value) for text in texts):
        hint = "Check its encoding. Of a SecretStr, pass get_secret_value()."
        raise ConfigurationError("The email or the password is not a string of UTF-8 text.", hint=hint)
    if password and picked["password"].origin == "environment" and re.fullmatch(r"(['\"]).*\1", password.value):
        _log.warning("KAYRROS_PASSWORD is in quotes. `docker run --env-file` keeps them: remove those of the file.")
    profile = next((source.profile for source in sources if source.profile), "default")
    command = "`kayrros login" + f" --profile {shlex.quote(profile)}" * (profile != "default") + "`"
    if not (email or token):
        raise _missing_credentials(picked, command)
    first = picked.get("token") or picked.get("password")
    renew = f"Replace the token ({picked['token'].label('token')}), or remove it and run" if token else "Run"
    expired = "" if first else "The saved login has expired or was revoked. "
    return {
        "email": email,
        "password": password if email else None,
        "token": token,
        "source": first.origin if first else "login",
        "profile": next((source.profile for key, source in picked.items() if key != "other" and source.profile), None),
        "no_login": None if first else _missing_credentials(picked, command),
        "hint_401": f"{expired}{renew} {command}.",
    }


def _with_stored_passwords(sources: Sequence[Source], host: str) -> Iterator[Source]:
    yield from sources
    email = next((source.email for source in sources if source.email), None)
    if entry := load_password(email):
        yield Source("keyring", *entry)
    if entry := load_netrc(host):
        yield Source("netrc", *entry)


def _missing_credentials(picked: dict[str, Source], command: str) -> ConfigurationError:
    labels = {key: f"({source.label(key)})" for key, source in picked.items() if key != "other"}
    if "email" in picked:
        problem, way = f"There is no password for {picked['email'].email} {labels['email']}", "set KAYRROS_PASSWORD"
        if other := picked.get("other"):
            problem += f", and {other.label('email')} is for {other.email}"
            way = "remove the first of these emails"
    elif "password" in picked:
        problem, way = f"There is a password {labels['password']}, but no email", "set KAYRROS_EMAIL"
    else:
        problem, way = "There are no credentials", "set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN"
        way += f" (other places: {DOCS_URL}credentials/)"
    hint, hint_cli = f"Pass email and password to Kayrros, run {command}, or {way}.", f"Run {command}, or {way}."
    return ConfigurationError(f"{problem}.", hint=hint, hint_cli=hint_cli, needs_login=True)


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
