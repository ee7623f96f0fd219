"""Profiles of the user's config file: credentials and hosts by name."""

import logging
import os
import re
import stat
from pathlib import Path
from typing import Literal

from kayrros_ext._config.credentials import KEYS, SECRET_KEYS, Source, check_private, permission_error
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)

APP = "kayrros-ext"
DEFAULT_PROFILE = "default"

# The tables of a config file. Each value is sealed, whatever its key, because a secret may stand under a misspelt one.
_Tables = dict[str, dict[str, Secret]]


def load_profile(name: str | None = None, *, missing_ok: bool = False) -> Source:
    """Return a profile of the config file: the named one, else that of KAYRROS_PROFILE, else `default`.

    Args:
        name: of the profile.
        missing_ok: return an empty profile where no profile has that name, or without a config file.

    Raises:
        ConfigurationError: the file or the profile is missing although it was named, can't be read, or is not safe.
    """
    requested = name or os.environ.get("KAYRROS_PROFILE") or None
    path = config_path()
    tables = _read_tables(path) if path else None
    if not missing_ok:
        if tables is None and (variable := os.environ.get("KAYRROS_CONFIG")):
            raise ConfigurationError(
                f"KAYRROS_CONFIG names {path or variable}, and there is no such file.",
                hint="Create it, or unset the variable.",
            )
        if requested and tables is None:
            raise ConfigurationError(
                f"There is no config file {path or ''} to read the profile {requested!r} from.",
                hint="Create it, or set KAYRROS_CONFIG to another one.",
            )
        if requested and requested not in (tables or {}):
            raise ConfigurationError(
                f"There is no profile {requested!r} in {path}.", hint=f"It has: {', '.join(tables or []) or 'none'}."
            )
    profile = requested or DEFAULT_PROFILE
    table = (tables or {}).get(profile, {})
    if unknown := sorted(set(table) - set(KEYS)):
        _log.warning("%s: profile %s has unknown keys, which are ignored: %s", path, profile, ", ".join(unknown))
    if bad := [key for key in KEYS if key in table and not isinstance(table[key].value, str)]:
        raise ConfigurationError(f"{path}: {bad[0]} of profile {profile} is not a string.", hint="Put it in quotes.")
    return Source("profile", profile=profile, **{key: table[key].value for key in KEYS if key in table})


def config_path() -> Path | None:
    """Return the user's config file: KAYRROS_CONFIG, else the usual place of the platform; None without one."""
    folder = user_path("KAYRROS_CONFIG", "user_config_path")
    return folder / "config.toml" if folder and not os.environ.get("KAYRROS_CONFIG") else folder


def user_path(variable: str, kind: Literal["user_config_path", "user_cache_path"]) -> Path | None:
    """Return the path that a variable names, else this package's folder of a kind; None where it can't be determined.

    Args:
        variable: of the environment.
        kind: name of a function of platformdirs.
    """
    try:
        if named := os.environ.get(variable):
            return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111 - Path.expanduser raises without a home
        import platformdirs

        path: Path = getattr(platformdirs, kind)(APP, appauthor=False)
    except (RuntimeError, OSError, ValueError, LookupError) as error:  # platformdirs >= 4.14 raises without a home
        _log.debug("%s: no folder (%s).", kind, error)
        return None
    return path if path.is_absolute() else None  # older versions return a relative path then


def _read_tables(path: Path) -> _Tables | None:
    """Return the tables of the file; None where there is no file."""
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            tables = _parse(path, Secret(file.read().decode("utf-8")))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise permission_error(path, f"{path} can't be read: permission denied.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.", hint="Check KAYRROS_CONFIG.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _invalid(path, f"line {line} is not UTF-8") from None
    if any(key in table for table in tables.values() for key in SECRET_KEYS):
        check_private(path, info)
    if os.name == "posix" and stat.S_ISREG(info.st_mode) and info.st_mode & 0o002:
        problem = f"Everyone on this machine can write to {path}, and it specifies where passwords are sent."
        raise permission_error(path, problem)
    return tables


def _parse(path: Path, content: Secret) -> _Tables:
    """Return the tables. Errors give a line number and no text, because any value may be a secret."""
    import tomllib

    try:
        tables = {
            name: {key: Secret(value) for key, value in table.items()} if isinstance(table, dict) else Secret(table)
            for name, table in tomllib.loads(content.value).items()
        }
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise _invalid(path, f"it is not TOML, at {'line ' + line[1] if line else 'its end'}") from None
    except RecursionError:
        raise _invalid(path, "it is nested too deeply") from None
    if loose := [name for name, table in tables.items() if isinstance(table, Secret)]:
        raise _invalid(path, f"{', '.join(loose)} must be in a profile, such as [{DEFAULT_PROFILE}]")
    return {name: table for name, table in tables.items() if isinstance(table, dict)}


def _invalid(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{path} is not a valid config file: {problem}.", hint="See docs/credentials.md.")
