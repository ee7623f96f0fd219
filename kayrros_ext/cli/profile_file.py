"""Email and hosts into a profile of the config file, whose other lines, comments among them, stay as they are."""

import json
import os
import re
import secrets
from pathlib import Path
from typing import Any

from kayrros_ext.errors import ConfigurationError


def write_profile(path: Path, name: str, values: dict[str, str]) -> None:
    """Set keys of a profile. The file is for its owner alone afterwards; never is a password written.

    Raises:
        ConfigurationError: the file can't be written, or is written in a way that can't be edited line by line.
    """
    path = path.resolve()  # of a symlink, the target is the file
    try:
        before = path.read_text("utf-8") if path.exists() else ""
        after = _edited(before, name, values)
        if not _is_right(before, after, name, values):
            raise ConfigurationError(
                f"{path} can't be edited. Put this into its profile {name}: {'; '.join(_assignments(values))}"
            )
        if after != before:
            _replace(path, after)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} could not be written ({type(error).__name__}). Make it so that you may write to it, or set "
            "KAYRROS_EMAIL and the hosts in the environment."
        ) from None


def _edited(text: str, name: str, values: dict[str, str]) -> str:
    lines = text.splitlines()
    quoted = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)
    heads = [number for number, line in enumerate(lines) if re.match(r"\s*\[", line)]
    of_name = re.compile(
        rf"\s*\[\s*({re.escape(quoted)}|{re.escape(json.dumps(name, ensure_ascii=False))})\s*\]\s*(#.*)?"
    )
    head = next((number for number in heads if of_name.fullmatch(lines[number])), None)
    if head is None:
        return "\n".join([*lines, *[""] * bool(lines), f"[{quoted}]", *_assignments(values)]) + "\n"
    end = next((number for number in heads if number > head), len(lines))
    for key, line in zip(values, _assignments(values), strict=True):
        old = next((n for n in range(head + 1, end) if re.match(rf"\s*{key}\s*=", lines[n])), None)
        if old is None:
            lines.insert(head + 1, line)
            end += 1
        else:
            lines[old] = line
    return "\n".join(lines) + "\n"


def _assignments(values: dict[str, str]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _is_right(before: str, after: str, name: str, values: dict[str, str]) -> bool:
    """Whether the new text says what the old one said, and the values."""
    import tomllib

    try:
        wanted: dict[str, Any] = tomllib.loads(before)
        wanted[name] = {**wanted.get(name, {}), **values}
        return tomllib.loads(after) == wanted
    except (tomllib.TOMLDecodeError, TypeError, RecursionError):
        return False


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
