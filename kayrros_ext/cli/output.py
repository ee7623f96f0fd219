"""What goes to stdout: tables that fit the terminal, and JSON."""

import json
import os
import sys
from collections.abc import Iterable, Sequence

# A column gets no narrower than this, whatever the terminal.
_NARROWEST = 6
_GAP = "  "


def write_json(value: object) -> None:
    """A value as JSON, indented; what JSON does not know (ids, dates, paths) as text."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is none."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def visible(value: object) -> str:
    """A value as one line that a terminal can take: names are the server's, and may hold what steers a terminal."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else " ".join("".join(c if c.isprintable() else " " for c in text).split())


class Table:
    """Rows in columns. The first rows that are written say how wide each column is.

    Args:
        columns: their names.
        right: names of those whose values stand at the right.
        whole: names of those that are not cut short as long as another can be.
        spare: name of the one that is left out of a terminal that is too narrow for all, before another is cut short.
    """

    def __init__(
        self, *columns: str, right: Iterable[str] = (), whole: Iterable[str] = (), spare: str | None = None
    ) -> None:
        self._columns, self._right, self._whole, self._spare = columns, set(right), set(whole), spare
        self._width = terminal_width()
        self._widths: list[int] = []

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        """Write rows, and before the first of them the head."""
        cells = [[visible(value) for value in row] for row in rows]
        if not self._widths:
            self._widths = self._fit(cells)
            head = self._line(self._columns)
            sys.stdout.write(f"\x1b[1m{head}\x1b[0m\n" if has_colour() else f"{head}\n")
        sys.stdout.writelines(f"{self._line(row)}\n" for row in cells)

    def _fit(self, rows: list[list[str]]) -> list[int]:
        from rich.cells import cell_len

        widths = [max(map(cell_len, column)) for column in zip(self._columns, *rows, strict=True)]
        if self._width is None:
            return widths
        room = self._width - len(_GAP) * (len(widths) - 1)
        if self._spare and sum(widths) > room:
            widths[self._columns.index(self._spare)] = 0
            room += len(_GAP)
        for names in ([name for name in self._columns if name not in self._whole], self._columns):
            places = [self._columns.index(name) for name in names]
            while sum(widths) > room and places:
                widest = max(places, key=widths.__getitem__)
                if widths[widest] <= _NARROWEST:
                    break
                widths[widest] -= 1
        return widths

    def _line(self, cells: Sequence[str]) -> str:
        placed = [self._cell(*cell) for cell in zip(self._columns, cells, self._widths, strict=True) if cell[-1]]
        return _GAP.join(placed).rstrip()

    def _cell(self, column: str, text: str, width: int) -> str:
        from rich.cells import cell_len

        missing = width - cell_len(text)
        if missing < 0:
            return text if self._width is None else _shortened(text, width)
        return " " * missing + text if column in self._right else text + " " * missing


def _shortened(text: str, width: int) -> str:
    """Its beginning and its end: ids, paths and names often differ in the latter."""
    from rich.cells import set_cell_size

    end = (width - 1) // 2
    return f"{set_cell_size(text, width - 1 - end)}…{set_cell_size(text[::-1], end)[::-1]}"


def has_colour() -> bool:
    """Whether stdout is a terminal whose user has nothing against colour (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
