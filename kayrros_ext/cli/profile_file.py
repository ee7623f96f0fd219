"""Edits of the config file that keep its other lines, including comments."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kayrros_ext._config.credentials import same_email
from kayrros_ext._config.environment import decode_text
from kayrros_ext.errors import ConfigurationError

# Marks what `kayrros login` has written, for `kayrros logout` to delete; and a line of the user, to restore.
_MARK = "  # written by kayrros login"
_REPLACED = "  # replaced by kayrros login"


def write_profile(path: Path, name: str, values: dict[str, str]) -> None:
    """Set and mark keys of a profile. Afterwards only the owner can read the file. Never pass a password.

    A key that has its value already, but for the case of an email or a final slash, is left as it is. A line of the user
    that is replaced stays as a comment.

    Raises:
        ConfigurationError: the file can't be written, or its syntax can't be edited line by line.
    """

    def edit(lines: list[str], table: dict[str, Any]) -> dict[str, Any]:
        new_values = {key: value for key, value in values.items() if not _is_same(key, table.get(key), value)}
        header, end = _section(lines, name)
        if header is None and new_values:
            lines += [*[""] * bool(lines), f"[{_key(name)}]{_MARK}"]
            header, end = len(lines) - 1, len(lines)
        new = (header or 0) + 1
        for key, assignment in _assignments(new_values).items():
            old = next((index for index in range(new, end) if re.match(rf"\s*{key}\s*=", lines[index])), None)
            if old is not None and lines[old].endswith(_MARK):
                lines[old] = assignment + _MARK
                continue
            if old is not None:
                lines[old] = f"# {lines[old]}{_REPLACED}"
            lines.insert(new if old is None else old, assignment + _MARK)
            new, end = new + (old is None), end + 1
        return {**table, **new_values}

    _edit(path, name, edit, f"Add to its profile {name}: {'; '.join(_assignments(values).values())}")


def clear_profile(path: Path, name: str) -> list[str]:
    """Undo `write_profile`: delete what it has written, and the profile if nothing else is in it. Return the keys.

    Raises:
        ConfigurationError: as `write_profile`.
    """
    import tomllib

    deleted: list[str] = []

    def edit(lines: list[str], table: dict[str, Any]) -> dict[str, Any] | None:
        header, end = _section(lines, name)
        if header is None:
            return table or None
        section = lines[header + 1 : end]
        deleted.extend(_key_of(line) for line in section if line.endswith(_MARK))
        replaced = [line for line in section if line.endswith(_REPLACED) and _key_of(line) in deleted]
        restored = {line: line.removeprefix("# ").removesuffix(_REPLACED) for line in replaced}
        kept = [restored.get(line, line) for line in section if not line.endswith(_MARK)]
        is_empty = lines[header].endswith(_MARK) and not any(line.strip() for line in kept)
        if is_empty and header and not lines[header - 1]:
            header -= 1  # the blank line that came with it
        lines[header:end] = [] if is_empty else [lines[header], *kept]
        others = {key: value for key, value in table.items() if key not in deleted}
        return None if is_empty else others | tomllib.loads("\n".join(restored.values()))

    _edit(path, name, edit, f"Delete the lines of its profile {name} that `kayrros login` has written.")
    return deleted


def _edit(path: Path, name: str, edit: Callable[[list[str], dict[str, Any]], dict[str, Any] | None], hint: str) -> None:
    """Edit the lines of the file. `edit` returns the profile to expect: where it is another, the file stays as it is."""
    import tomllib

    path = path.resolve()  # edit the target of a symlink
    try:
        before = decode_text(path.read_bytes()) if path.exists() else ""
        lines = before.splitlines()
        try:
            tables: dict[str, Any] = tomllib.loads(before)
            tables[name] = edit(lines, tables.get(name, {}))
            after = "".join(f"{line}\n" for line in lines)
            is_expected = tomllib.loads(after) == {key: table for key, table in tables.items() if table is not None}
        except (tomllib.TOMLDecodeError, TypeError, AttributeError, RecursionError):
            is_expected = False
        if not is_expected:
            raise ConfigurationError(f"{path} can't be edited automatically.", hint=hint)
        if lines != before.splitlines():
            _replace(path, after)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{path} could not be written ({type(error).__name__}).",
            hint="Make it writable, or set KAYRROS_EMAIL and the hosts in the environment.",
        ) from None


def _section(lines: list[str], name: str) -> tuple[int | None, int]:
    """Return the index of the header of a profile, None without one, and the index after its last line."""
    headers = [index for index, line in enumerate(lines) if re.match(r"\s*\[", line)]
    spellings = "|".join({re.escape(_key(name)), re.escape(json.dumps(name, ensure_ascii=False))})
    pattern = re.compile(rf"\s*\[\s*({spellings})\s*\]\s*(#.*)?")
    header = next((index for index in headers if pattern.fullmatch(lines[index])), None)
    return header, next((index for index in headers if header is not None and index > header), len(lines))


def _is_same(key: str, old: object, new: str) -> bool:
    """Return whether a value leads to the same account or host as before."""
    if key == "email":
        return bool(old) and same_email(str(old), new)
    return isinstance(old, str) and old.rstrip("/") == new.rstrip("/")


def _key_of(line: str) -> str:
    return line.removeprefix("#").split("=")[0].strip()


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _assignments(values: dict[str, str]) -> dict[str, str]:
    return {key: f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()}


def _replace(path: Path, text: str) -> None:
    from kayrros_ext._files import atomic_write

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with atomic_write(path) as file:
        Path(file.name).chmod(0o600)
        file.write(text.encode())
