"""Edits of the config file that keep its other lines, including comments."""

import json
import re
from pathlib import Path
from typing import Any

from kayrros_ext._config.environment import decode_text
from kayrros_ext.errors import ConfigurationError


def write_profile(path: Path, name: str, values: dict[str, str]) -> None:
    """Set keys of a profile. Afterwards only the owner can read the file. Never pass a password.

    Raises:
        ConfigurationError: the file can't be written, or its syntax can't be edited line by line.
    """
    path = path.resolve()  # edit the target of a symlink
    try:
        before = decode_text(path.read_bytes()) if path.exists() else ""
        after = _edit(before, name, values)
        if not _is_equivalent(before, after, name, values):
            raise ConfigurationError(
                f"{path} can't be edited automatically.",
                hint=f"Add to its profile {name}: {'; '.join(_assignments(values))}",
            )
        if after != before:
            _replace(path, after)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} could not be written ({type(error).__name__}).",
            hint="Make it writable, or set KAYRROS_EMAIL and the hosts in the environment.",
        ) from None


def _edit(text: str, name: str, values: dict[str, str]) -> str:
    lines = text.splitlines()
    quoted = json.dumps(name, ensure_ascii=False)
    key = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted
    headers = [index for index, line in enumerate(lines) if re.match(r"\s*\[", line)]
    header_of_profile = re.compile(rf"\s*\[\s*({re.escape(key)}|{re.escape(quoted)})\s*\]\s*(#.*)?")
    header = next((index for index in headers if header_of_profile.fullmatch(lines[index])), None)
    if header is None:
        return "\n".join([*lines, *[""] * bool(lines), f"[{key}]", *_assignments(values)]) + "\n"
    end = next((index for index in headers if index > header), len(lines))
    for setting, assignment in zip(values, _assignments(values), strict=True):
        old = next((index for index in range(header + 1, end) if re.match(rf"\s*{setting}\s*=", lines[index])), None)
        if old is None:
            lines.insert(header + 1, assignment)
            end += 1
        else:
            lines[old] = assignment
    return "\n".join(lines) + "\n"


def _assignments(values: dict[str, str]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def _is_equivalent(before: str, after: str, name: str, values: dict[str, str]) -> bool:
    """Return whether the edited text has the old settings and the new values, and nothing else."""
    import tomllib

    try:
        expected: dict[str, Any] = tomllib.loads(before)
        expected[name] = {**expected.get(name, {}), **values}
        return tomllib.loads(after) == expected
    except (tomllib.TOMLDecodeError, TypeError, RecursionError):
        return False


def _replace(path: Path, text: str) -> None:
    from kayrros_ext._files import atomic_write

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_write(path) as file:
        Path(file.name).chmod(0o600)
        file.write(text.encode())
