"""Profiles of the user's config file: credentials and hosts by name."""

import logging
import os
import re
from pathlib import Path
from typing import Literal

from kayrros_ext._config.credentials import KEYS, SECRET_KEYS, Source, check_private, is_unreachable, permission_error
from kayrros_ext._secret import Secret
from kayrros_ext.errors import ConfigurationError

_log = logging.getLogger(__name__)


def load_profile(name: str | None = None, *, missing_ok: bool = False) -> Source:
    """Return a profile of the config file: the named one, else that of KAYRROS_PROFILE, else `default`."""
    requested = name or os.environ.get("KAYRROS_PROFILE")
    path = config_path()
    tables = _read_tables(path) if path else None
    if tables is None and not missing_ok and (requested or os.environ.get("KAYRROS_CONFIG")):
        needed_for = f"the profile {requested!r}" if requested else "KAYRROS_CONFIG"
        problem = f"There is no config file {path or ''} for {needed_for}."
        raise ConfigurationError(problem, hint="Create it, or change KAYRROS_CONFIG.")
    if tables is not None and not missing_ok and requested and requested not in tables:
        problem = f"There is no profile {requested!r} in {path}."
        raise ConfigurationError(problem, hint=f"It has: {', '.join(tables) or 'none'}.")
    profile = requested or "default"
    table = (tables or {}).get(profile, {})
    if unknown := sorted(set(table) - set(KEYS)):
        _log.warning("%s: profile %s has unknown keys, which are ignored: %s", path, profile, ", ".join(unknown))
    if bad := [key for key in KEYS if key in table and not isinstance(table[key].value, str)]:
        raise ConfigurationError(f"{path}: {bad[0]} of profile {profile} is not a string.", hint="Put it in quotes.")
    return Source("profile", profile=profile, **{key: table[key].value for key in KEYS if key in table})


def config_path() -> Path | None:
    """Return the user's config file: KAYRROS_CONFIG, else the usual place of the platform; None without one."""
    return user_path("KAYRROS_CONFIG", "user_config_path", "config.toml")


def user_path(variable: str, kind: Literal["user_config_path", "user_cache_path"], name: str = "") -> Path | None:
    """Return the path in an environment variable, else one in our folder of a platformdirs kind; None without a home."""
    try:
        if named := os.environ.get(variable):
            return Path(os.path.expanduser(named)).absolute()  # noqa: PTH111 - Path.expanduser raises without a home
        import platformdirs

        path: Path = getattr(platformdirs, kind)("kayrros-ext", appauthor=False) / name
    except (RuntimeError, OSError) as error:  # platformdirs >= 4.14 raises without a home
        _log.debug("%s: no folder (%s).", kind, error)
        return None
    return path if path.is_absolute() else None  # older versions return a relative path then


def _read_tables(path: Path) -> dict[str, dict[str, Secret]] | None:
    """Return the tables of the file; None where there is no file. No error quotes it, because it may hold secrets."""
    import tomllib

    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            tables = {  # Every value is sealed, because a secret may stand under a misspelt key.
                name: {key: Secret(value) for key, value in table.items()} if isinstance(table, dict) else None
                for name, table in tomllib.load(file).items()
            }
    except FileNotFoundError:
        return None
    except PermissionError:
        if is_unreachable(path, "KAYRROS_CONFIG"):
            _log.warning("There may be a config file in %s, which this user may not enter. Set HOME.", path.parent)
            return None
        raise permission_error(path, f"{path} can't be read: permission denied.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.", hint="Check KAYRROS_CONFIG.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        place = re.search(r"line \d+|end of document", str(error))
        problem = f"TOML, at {place[0]}" if place else "UTF-8"
        raise ConfigurationError(f"{path} is not {problem}.", hint="See docs/credentials.md.") from None
    sections = {name: table for name, table in tables.items() if table is not None}
    if loose := [name for name in tables if name not in sections]:
        problem = f"{path}: {', '.join(loose)} must be in a profile, such as [default]."
        raise ConfigurationError(problem, hint="See docs/credentials.md.")
    check_private(path, info, has_secrets=any(key in table for table in sections.values() for key in SECRET_KEYS))
    return sections
