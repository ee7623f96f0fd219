"""Data on stdout, all of it or an error: tables that fit the terminal, and JSON."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kayrros_ext._text import cell_width, printable, shorten

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_MIN_COLUMN_WIDTH = 6
_SEPARATOR = "  "


class OutputError(OSError):
    """Stdout can't be written."""


class ClosedPipeError(Exception):
    """The reader of stdout is gone. Not an OSError, because typer handles those of a pipe itself."""


class _Stream(io.RawIOBase):
    """A standard stream, to be buffered. It waits for a slow reader of a non-blocking pipe, and its errors are ours.

    Args:
        raw: the unbuffered stream.
        ignore_errors: whether to drop what can't be written.
    """

    def __init__(self, raw: io.RawIOBase, *, ignore_errors: bool) -> None:
        self._raw, self._ignore_errors, self.is_discarding = raw, ignore_errors, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return self._raw.isatty()

    def write(self, data: "ReadableBuffer") -> int:
        try:
            while not self.is_discarding:
                if (count := self._raw.write(data)) is not None:
                    return count  # BufferedWriter writes the rest
                import select

                select.select([], [self._raw], [])  # a non-blocking stream is full
        except OSError as error:
            if not self._ignore_errors:
                raise ClosedPipeError if isinstance(error, BrokenPipeError) else OutputError(*error.args) from None
        return memoryview(data).nbytes


@contextlib.contextmanager
def complete_output() -> Iterator[None]:
    """Write everything to stdout, or raise OutputError. Drop messages that stderr can't take.

    Pipes and files get UTF-8, whatever the locale; letters that a terminal can't show are replaced.
    """
    before = sys.stdout, sys.stderr
    sys.stdout = _complete(sys.stdout, errors="surrogateescape")
    sys.stderr = _complete(sys.stderr, errors="backslashreplace", ignore_errors=True)
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _complete(stream: Any, *, errors: str, ignore_errors: bool = False) -> Any:
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # python -u has no buffer between
    if not isinstance(raw, io.RawIOBase):
        return stream
    is_terminal = stream.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(_Stream(raw, ignore_errors=ignore_errors)),
        encoding=stream.encoding if is_terminal else "utf-8",
        errors="replace" if is_terminal else errors,
        line_buffering=is_terminal or ignore_errors,
    )


def finish_output() -> None:
    """Write what is buffered.

    Raises:
        OutputError: some of the output could not be written.
    """
    sys.stdout.flush()
    try:
        # A network file system reports a full disk when a descriptor is closed.
        os.close(os.dup(sys.stdout.fileno()))
    except io.UnsupportedOperation:  # stdout is no file
        pass
    except OSError as error:
        raise OutputError(*error.args) from None


def discard_output() -> None:
    """Write no more to stdout, also not what is buffered."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, _Stream):
        raw.is_discarding = True


def write_json(value: object) -> None:
    """Write a value as indented JSON; ids, dates and paths become strings."""
    write_text(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_text(text: str) -> None:
    """Write text of a server to stdout, in a terminal with escapes."""
    sys.stdout.write(escape(text) if sys.stdout.isatty() else text)


def escape(text: str) -> str:
    """Return text with control, bidirectional and invisible characters as JSON spells them; lines stay."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, None where stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def has_colour() -> bool:
    """Return whether stdout is a terminal and its user allows colour (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


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
        cells = [["" if value is None else printable(str(value)) for value in row] for row in rows]
        if not self._widths:
            self._widths = self._fit(cells)
            header = self._line(self._columns)
            sys.stdout.write(f"\x1b[1m{header}\x1b[0m\n" if has_colour() else f"{header}\n")
        sys.stdout.writelines(f"{self._line(row)}\n" for row in cells)

    def _fit(self, rows: list[list[str]]) -> list[int]:
        """Return the width of each column; 0 for the one to omit."""
        widths = [max(map(cell_width, column)) for column in zip(self._columns, *rows, strict=True)]
        if self._terminal_width is None:
            return widths
        available = self._terminal_width - len(_SEPARATOR) * (len(widths) - 1)
        if self._drop and sum(widths) > available:
            widths[self._columns.index(self._drop)] = 0
            available += len(_SEPARATOR)
        others = [name for name in self._columns if name not in self._keep]
        for names, minimum in ((others, _MIN_COLUMN_WIDTH), (self._columns, 1)):
            indices = [self._columns.index(name) for name in names]
            while sum(widths) > available and indices:
                widest = max(indices, key=widths.__getitem__)
                if widths[widest] <= minimum:
                    break
                widths[widest] -= 1
        return widths

    def _line(self, cells: Sequence[str]) -> str:
        padded = [self._pad(*cell) for cell in zip(self._columns, cells, self._widths, strict=True) if cell[-1]]
        return _SEPARATOR.join(padded).rstrip()

    def _pad(self, column: str, text: str, width: int) -> str:
        if self._terminal_width is not None:
            text = shorten(text, width)
        padding = " " * (width - cell_width(text))
        return padding + text if column in self._right else text + padding
