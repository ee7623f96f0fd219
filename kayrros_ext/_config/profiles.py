"""Profiles: hosts and credentials by name, in the user's config file. And the check of files that hold secrets."""

import logging
import os
import re
import shlex
import stat
from pathlib import Path
from typing import Any

import attrs

from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

APP = "kayrros-ext"
DEFAULT_PROFILE = "default"
KEYS = ("email", "password", "token", "base_url", "auth_url")
_SECRET_KEYS = {"password", "token"}
# A config file is a page. More is another file, or one without an end.
_MOST_BYTES = 2**20


@attrs.frozen
class Profile:
    """A table of the config file; what it does not say is None."""

    name: str
    email: str | None = None
    password: Secret | None = None
    token: Secret | None = None
    base_url: str | None = None
    auth_url: str | None = None


def load_profile(name: str | None = None) -> Profile:
    """A profile of the config file: the one named, else that of KAYRROS_PROFILE, else `default`.

    An empty profile where nobody named one, and there is no config file or no `default` in it.

    Raises:
        ConfigurationError: the file or the profile that was named is not there, can't be read, or is not safe.
    """
    wanted = name or os.environ.get("KAYRROS_PROFILE") or None
    path = config_path()
    tables = _read_config(path) if path else None
    if tables is None and os.environ.get("KAYRROS_CONFIG"):
        raise ConfigurationError(
            f"KAYRROS_CONFIG names {path}, and there is no such file. Make it, or unset the variable."
        )
    if wanted is None:
        return _profile(DEFAULT_PROFILE, (tables or {}).get(DEFAULT_PROFILE, {}), path)
    if tables is None:
        raise ConfigurationError(
            f"There is no config file {path or ''} to take the profile {wanted!r} from. Make one, or name it with "
            "KAYRROS_CONFIG."
        )
    if wanted not in tables:
        known = ", ".join(tables) or "none"
        raise ConfigurationError(f"There is no profile {wanted!r} in {path}. It has: {known}.")
    return _profile(wanted, tables[wanted], path)


def profile_names() -> list[str]:
    """Names of the profiles of the config file; none where there is no file.

    Raises:
        ConfigurationError: the file can't be read, or is not safe.
    """
    path = config_path()
    return list((_read_config(path) if path else None) or {})


def config_path() -> Path | None:
    """The user's config file: KAYRROS_CONFIG, else the platform's place for such files; None where it has none."""
    if named := os.environ.get("KAYRROS_CONFIG"):
        return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111 - Path.expanduser raises where there is no home
    import platformdirs

    folder = platformdirs.user_config_path(APP, appauthor=False)
    # A relative path is what a process without a home gets: a file of the working directory is not the user's.
    return folder / "config.toml" if folder.is_absolute() else None


def check_private(path: Path, found: os.stat_result) -> None:
    """Refuse a file with secrets that others can read.

    Only where modes say so (POSIX), and only files: a pipe is its maker's. Of a symlink, the target counts.

    Raises:
        ConfigurationError: others can read it; with the command that changes that.
    """
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o077:
        raise ConfigurationError(
            f"{path} holds secrets, and others on this machine can read it (mode {stat.S_IMODE(found.st_mode):o}). Run: "
            f"{_chmod(path)}"
        )


def unreadable(path: Path) -> ConfigurationError:
    """The error for a file that may not be read."""
    return ConfigurationError(f"{path} can't be read: permission denied. Run, as its owner: {_chmod(path)}")


def _chmod(path: Path) -> str:
    return f"chmod 600 {shlex.quote(str(path))}"


def _read_config(path: Path) -> dict[str, dict[str, Secret]] | None:
    """The tables of the file, each value sealed; None where there is no file."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            problem, tables = _parse(file.read(_MOST_BYTES + 1))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise unreadable(path) from None
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be read: {error.strerror}. Check the file, or KAYRROS_CONFIG."
        ) from None
    if problem:
        raise ConfigurationError(f"{path} is not a config file: {problem}. Mend it: docs/credentials.md shows one.")
    if any(_SECRET_KEYS & set(table) for table in tables.values()):
        check_private(path, found)
    if os.name == "posix" and stat.S_ISREG(found.st_mode) and found.st_mode & 0o002:
        raise ConfigurationError(
            f"Everyone on this machine can write to {path}, and it says where passwords go. Run: {_chmod(path)}"
        )
    return tables


def _parse(content: bytes) -> tuple[str | None, dict[str, dict[str, Secret]]]:
    """What is wrong, and the tables. No more than a line number is said: any value may be a secret.

    Every value is sealed here, whatever its key, so that no frame above holds one in the clear.
    """
    import tomllib

    if len(content) > _MOST_BYTES:
        return f"it has more than {_MOST_BYTES} bytes", {}
    try:
        whole: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        return f"line {len(content[: error.start].splitlines()) or 1} is not UTF-8", {}
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        return f"it is not TOML, at {'line ' + line[1] if line else 'its end'}", {}
    except RecursionError:
        return "it is nested too deep", {}
    loose = [key for key, value in whole.items() if not isinstance(value, dict)]
    if loose:
        return f"{', '.join(loose)} stands outside of a profile; begin with [{DEFAULT_PROFILE}]", {}
    return None, {name: {key: Secret(value) for key, value in table.items()} for name, table in whole.items()}


def _profile(name: str, table: dict[str, Secret], path: Path | None) -> Profile:
    if unknown := sorted(set(table) - set(KEYS)):
        _log.warning("%s: profile %s: not known, and ignored: %s", path, name, ", ".join(unknown))
    given: dict[str, Any] = {}
    for key in KEYS:
        value = table.get(key)
        if value is not None and not value.is_text:
            raise ConfigurationError(f"{path}: {key} of profile {name} is not a string. Put it in quotes.")
        if value and value.reveal():  # an empty string is none, as with variables
            given[key] = value if key in _SECRET_KEYS else value.reveal()
    return Profile(name, **given)
