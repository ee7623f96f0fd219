"""Profiles of the user's config file: credentials and hosts by name."""

import os
import re
from pathlib import Path

from kayrros_ext._config import environment
from kayrros_ext._config.credentials import KEYS, SECRET_KEYS, Source, check_private, permission_error
from kayrros_ext._secret import Secret
from kayrros_ext._text import list_names
from kayrros_ext.errors import ConfigurationError

_EXAMPLE = 'A profile is a table, such as [default], with lines such as email = "analyst@example.com".'


def load_profile(name: str | None = None, *, missing_ok: bool = False) -> Source:
    """Return a profile of the config file: the named one, else that of KAYRROS_PROFILE, else `default`."""
    requested = name or environment.variable("KAYRROS_PROFILE")
    path = config_path()
    tables = _read_tables(path) if path else None
    if missing_ok:
        pass
    elif tables is None and (requested or environment.variable("KAYRROS_CONFIG")):
        needed_for = f"the profile {requested!r}" if requested else "KAYRROS_CONFIG"
        hint = "Create it, with `kayrros login` for example, or change KAYRROS_CONFIG."
        raise ConfigurationError(f"There is no config file {path or ''} for {needed_for}.", hint=hint)
    elif tables is not None and requested and requested not in tables:
        hint = f"It has: {list_names(tables, near=requested)}. `kayrros login` can add one."
        raise ConfigurationError(f"There is no profile {requested!r} in {path}.", hint=hint)
    profile = requested or "default"
    table = (tables or {}).get(profile, {})
    environment.warn_about_unknown(f"{path}: profile {profile} has unknown keys", tuple(table), KEYS)
    if bad := [key for key in KEYS if key in table and not isinstance(table[key].value, str)]:
        raise ConfigurationError(f"{path}: {bad[0]} of profile {profile} is not a string.", hint="Put it in quotes.")
    return Source("profile", profile=profile, **{key: table[key].value for key in KEYS if key in table})


def config_path() -> Path | None:
    """Return the user's config file: KAYRROS_CONFIG, else the usual place of the platform; None without one."""
    return environment.user_path("KAYRROS_CONFIG", "user_config_path", "config.toml")


def _read_tables(path: Path) -> dict[str, dict[str, Secret]] | None:
    """Return the tables of the file; None where there is no file. No error quotes it, because it may hold secrets."""
    import tomllib

    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            tables = {  # Every value is sealed, because a secret may stand under a misspelt key.
                name: {key: Secret(value) for key, value in table.items()} if isinstance(table, dict) else None
                for name, table in tomllib.loads(environment.decode_text(file.read())).items()
            }
    except FileNotFoundError:
        return None
    except PermissionError:
        raise permission_error(path, f"{path} can't be read: permission denied.") from None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.", hint="Check KAYRROS_CONFIG.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        place = re.search(r"line \d+|end of document", str(error))
        problem = f"TOML, at {place[0]}" if place else "UTF-8"
        raise ConfigurationError(f"{path} is not {problem}.", hint=_EXAMPLE) from None
    sections = {name: table for name, table in tables.items() if table is not None}
    if loose := [name for name in tables if name not in sections]:
        raise ConfigurationError(f"{path}: {', '.join(loose)} must be in a profile.", hint=_EXAMPLE)
    check_private(path, info, has_secrets=any(key in table for table in sections.values() for key in SECRET_KEYS))
    return sections
