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
# A step to a narrower table: a column to omit, or columns to truncate.
Step = str | tuple[str, ...]
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


def write_message(text: str) -> None:
    """Print a message to stderr, in a terminal wrapped at blanks."""
    if sys.stderr.isatty():
        import shutil
        import textwrap

        with contextlib.suppress(OSError, ValueError):
            # shutil asks stdout, which may be a pipe.
            columns = os.get_terminal_size(sys.stderr.fileno()).columns if "COLUMNS" not in os.environ else 0
            text = textwrap.fill(
                text,
                columns or shutil.get_terminal_size().columns,
                replace_whitespace=False,
                break_long_words=False,
                break_on_hyphens=False,
            )
    print(text, file=sys.stderr)


def terminal_width() -> int | None:
    """Return the width of the terminal that stdout is, None where stdout is not a terminal."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns


def is_pipe(stream: Any) -> bool:
    """Return whether another program reads what is written to a stream."""
    import stat

    try:
        return stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode)
    except OSError:  # it is no file
        return False


def has_colour() -> bool:
    """Return whether stdout is a terminal and its user allows colour (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _narrowest(cells: Iterable[str]) -> int:
    """Return the smallest width at which different cells look different."""
    import bisect

    cells = set(cells)
    widths = range(_MIN_COLUMN_WIDTH, max(map(cell_width, cells), default=0))
    is_clear = lambda width: len({shorten(cell, width) for cell in cells}) == len(cells)  # noqa: E731
    return _MIN_COLUMN_WIDTH + bisect.bisect_left(widths, True, key=is_clear)  # noqa: FBT003


class Table:
    """Rows in columns whose widths follow from the first rows written.

    Args:
        columns: their names.
        right: names of the right-aligned columns, which hold numbers.
        whole: names of the columns that are never truncated, such as dates and numbers.
        narrow: steps to take in a narrow terminal, in this order, until a line fits: a column to omit, or columns to
            truncate, but not so far that different cells look the same.
    """

    def __init__(
        self,
        *columns: str,
        right: Iterable[str] = (),
        whole: Iterable[str] = (),
        narrow: Sequence[Step] = (),
    ) -> None:
        self._columns, self._right, self._whole, self._narrow = columns, set(right), set(whole), narrow
        self._terminal_width = terminal_width()
        self._widths: list[int] = []

    def write(self, rows: Sequence[Sequence[object]]) -> None:
        """Write rows, the first time after a header."""
        cells = [[self._cell(*cell) for cell in zip(self._columns, row, strict=True)] for row in rows]
        if not self._widths:
            self._widths = self._fit(cells)
            header = self._line(self._columns)
            sys.stdout.write(f"\x1b[1m{header}\x1b[0m\n" if has_colour() else f"{header}\n")
        sys.stdout.writelines(f"{self._line(row)}\n" for row in cells)

    def _cell(self, column: str, value: object) -> str:
        # The blanks at the end of a number align its decimal point.
        return "" if value is None else str(value) if column in self._right else printable(str(value))

    def _fit(self, rows: list[list[str]]) -> list[int]:
        """Return the width of each column; 0 for those to omit."""
        columns = dict(zip(self._columns, zip(*rows, strict=True) if rows else [()] * len(self._columns), strict=True))
        full = {name: max(map(cell_width, (name, *cells))) for name, cells in columns.items()}
        widths, omitted, groups = full, set[str](), list[dict[str, int]]()
        for step in (None, *self._narrow):
            if isinstance(step, str):
                omitted.add(step)
            elif step:
                groups.append({name: _narrowest(columns[name]) for name in step if name in columns})
            widths = {name: 0 if name in omitted else width for name, width in full.items()}
            for group in groups:
                self._truncate(widths, group)
            if self._excess(widths) <= 0:
                return list(widths.values())
        self._truncate(widths, {name: 1 for name in self._columns if name not in self._whole})
        return list(widths.values())

    def fits(self, rows: Sequence[Sequence[object]]) -> bool:
        """Return whether the terminal is wide enough for whole rows."""
        columns = zip(self._columns, *rows, strict=True)
        widths = {name: max(cell_width(self._cell("", cell)) for cell in (name, *cells)) for name, *cells in columns}
        return self._excess(widths) <= 0

    def _excess(self, widths: dict[str, int]) -> int:
        """Return the number of columns by which a line is wider than the terminal."""
        width = sum(widths.values()) + len(_SEPARATOR) * (sum(map(bool, widths.values())) - 1)
        return 0 if self._terminal_width is None else width - self._terminal_width

    def _truncate(self, widths: dict[str, int], narrowest: dict[str, int]) -> None:
        """Make the widest of some columns narrower until a line fits, or none can be."""
        while self._excess(widths) > 0:
            wider = [name for name, width in narrowest.items() if widths[name] > width]
            if not wider:
                return
            widths[max(wider, key=widths.__getitem__)] -= 1

    def _line(self, cells: Sequence[str]) -> str:
        padded = [self._pad(*cell) for cell in zip(self._columns, cells, self._widths, strict=True) if cell[-1]]
        return _SEPARATOR.join(padded).rstrip()

    def _pad(self, column: str, text: str, width: int) -> str:
        if self._terminal_width is not None and column not in self._whole:
            text = shorten(text, width)
        padding = " " * (width - cell_width(text))
        return padding + text if column in self._right else text + padding
