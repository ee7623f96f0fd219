"""Variables of the environment, the user's own folders, and text that was written on Windows."""

import codecs
import contextlib
import functools
import logging
import os
from pathlib import Path
from typing import Literal

from kayrros_ext._arguments import nearest

_log = logging.getLogger(__name__)

_OURS = ("EMAIL", "PASSWORD", "TOKEN", "BASE_URL", "AUTH_URL", "PROFILE", "CONFIG", "CACHE_DIR", "TOKEN_CACHE")
_NAMES = (*_OURS, "CLIENT_LOGIN", "CLIENT_PASSWORD")  # the last two belong to another product


def variable(name: str) -> str:
    """Return a variable of the environment as `parse_text` does; "" if it is unset."""
    return parse_text(os.environ.get(name, ""))


def parse_text(value: str) -> str:
    """Return a setting without blanks, carriage return, byte order mark, and the quotes that `docker --env-file` keeps."""
    return value.strip().strip("\ufeff\"'")


def user_path(name: str, kind: Literal["home", "user_config_path", "user_cache_path"], file: str = "") -> Path | None:
    """Return the path in a variable, else a file in a folder of the user, by platformdirs; None without such a folder."""
    text = variable(name)
    try:
        if text and not text.startswith("~"):
            return Path(text).absolute()
        if text or kind == "home":
            path = Path(text or f"~/{file}").expanduser()
        else:
            import platformdirs

            path = getattr(platformdirs, kind)("kayrros-ext", appauthor=False) / file
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # HOME may be a file, or the folder of another user
    except (OSError, RuntimeError, KeyError) as error:  # of platformdirs and pathlib, where there is no home
        _log.debug("%s: there is no folder (%s).", name, error)
        return None
    return path if path.is_absolute() else None  # HOME may be relative


def decode_text(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 as PowerShell writes it, without a byte order mark; or raise UnicodeDecodeError."""
    return data.decode("utf-16" if data[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig")


def warn_about_variables() -> None:
    """Warn about variables that begin as ours do, and are not ours."""
    names = sorted(name.removeprefix("KAYRROS_") for name in os.environ if name.startswith("KAYRROS_"))
    warn_about_unknown("The environment has unknown variables", tuple(names), _NAMES, "KAYRROS_")


@functools.cache
def warn_about_unknown(problem: str, names: tuple[str, ...], valid: tuple[str, ...], prefix: str = "") -> None:
    """Log a warning about names that are not valid ones, once in a process, with the valid one that each resembles."""
    if unknown := [name for name in names if name not in valid]:
        near = ((name, nearest(name, valid)) for name in unknown)
        text = ", ".join(prefix + name + (f" (did you mean {prefix}{it}?)" if it else "") for name, it in near)
        _log.warning("%s, which are ignored: %s", problem, text)
