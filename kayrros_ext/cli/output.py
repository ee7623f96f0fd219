"""Data on stdout: tables that fit the terminal, and JSON."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

_MIN_COLUMN_WIDTH = 6
_SEPARATOR = "  "


def write_json(value: object) -> None:
    """Write a value as indented JSON; ids, dates and paths become strings."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, None where stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def has_colour() -> bool:
    """Return whether stdout is a terminal and its user allows colour (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(value: object) -> str:
    """Return a value as one line without control characters, because a server may send some in a name."""
    from kayrros_ext.plots.labels import single_line

    return "" if value is None else single_line(str(value))


def from_epoch_ms(milliseconds: int) -> datetime:
    """Return a datetime in UTC.

    Raises:
        OverflowError: the year is not between 1 and 9999.
    """
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


class Table:
    """Rows in columns whose widths follow from the first rows written.

    Args:
        columns: their names.
        right: names of the right-aligned columns.
        keep: names of the columns to truncate last in a narrow terminal.
        drop: name of a column to omit, before others are truncated, if the terminal is too narrow.
    """

    def __init__(
        self, *columns: str, right: Iterable[str] = (), keep: Iterable[str] = (), drop: str | None = None
    ) -> None:
        self._columns, self._right, self._keep, self._drop = columns, set(right), set(keep), drop
        self._terminal_width = terminal_width()
        self._widths: list[int] = []

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        """Write rows, the first time after a header."""
        cells = [[printable(value) for value in row] for row in rows]
        if not self._widths:
            self._widths = self._fit(cells)
            header = self._line(self._columns)
            sys.stdout.write(f"\x1b[1m{header}\x1b[0m\n" if has_colour() else f"{header}\n")
        sys.stdout.writelines(f"{self._line(row)}\n" for row in cells)

    def _fit(self, rows: list[list[str]]) -> list[int]:
        """Return the width of each column; 0 for the one to omit."""
        from rich.cells import cell_len

        widths = [max(map(cell_len, column)) for column in zip(self._columns, *rows, strict=True)]
        if self._terminal_width is None:
            return widths
        available = self._terminal_width - len(_SEPARATOR) * (len(widths) - 1)
        if self._drop and sum(widths) > available:
            widths[self._columns.index(self._drop)] = 0
            available += len(_SEPARATOR)
        for names in ([name for name in self._columns if name not in self._keep], self._columns):
            indices = [self._columns.index(name) for name in names]
            while sum(widths) > available and indices:
                widest = max(indices, key=widths.__getitem__)
                if widths[widest] <= _MIN_COLUMN_WIDTH:
                    break
                widths[widest] -= 1
        return widths

    def _line(self, cells: Sequence[str]) -> str:
        padded = [self._pad(*cell) for cell in zip(self._columns, cells, self._widths, strict=True) if cell[-1]]
        return _SEPARATOR.join(padded).rstrip()

    def _pad(self, column: str, text: str, width: int) -> str:
        from rich.cells import cell_len

        padding = width - cell_len(text)
        if padding < 0:
            return text if self._terminal_width is None else _truncate(text, width)
        return " " * padding + text if column in self._right else text + " " * padding


def _truncate(text: str, width: int) -> str:
    """Truncate in the middle, because ids, paths and names often differ at the end."""
    from rich.cells import set_cell_size

    tail = (width - 1) // 2
    return f"{set_cell_size(text, width - 1 - tail)}…{set_cell_size(text[::-1], tail)[::-1]}"
