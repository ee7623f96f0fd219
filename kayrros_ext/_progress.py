"""Progress and warnings of a fetch of results. Neither fails a fetch, whatever sys.stderr is."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable

import attrs

from kayrros_ext._text import plural
from kayrros_ext.errors import UsageError


@attrs.frozen
class Progress:
    """How far a fetch of results is.

    Example:
        >>> results = kayrros.results("Crude oil storage", progress=print)
        Progress(fraction=1.0, rows=72, windows=1, requests=1)

    Attributes:
        fraction: share of the time range that is done, from 0 to 1.
        rows: number of rows so far.
        windows: number of time windows that they came in.
        requests: number of requests so far.
    """

    fraction: float
    rows: int
    windows: int
    requests: int


_log = logging.getLogger("kayrros_ext")

ProgressCallback = Callable[[Progress], object]


def make_callback(progress: ProgressCallback | bool | None) -> ProgressCallback | None:  # noqa: FBT001 - a user's argument
    """Return a callable, or one for a line on stderr: if True, or if None and stderr is a terminal. False: None."""
    if callable(progress):
        return progress
    if progress is None:
        progress = False
        with contextlib.suppress(Exception):  # stderr may be None, closed, or an object without this method
            progress = bool(sys.stderr.isatty())
    if not isinstance(progress, bool):
        raise UsageError(
            f"progress is {progress!r:.80}.", hint="Pass True, False, or a callable that takes a Progress."
        )
    return _print if progress else None


def _print(progress: Progress) -> None:
    """Overwrite one line on stderr. Results of one response have none."""
    if progress.windows == 1 and progress.fraction == 1:
        return
    counts = f"{plural(progress.rows, 'row')} in {plural(progress.windows, 'window')}"
    line = f"results: {progress.fraction:4.0%}, {counts}, {plural(progress.requests, 'request')}"
    columns = 80
    with contextlib.suppress(Exception):  # whatever stderr is, progress never fails a fetch
        columns = os.get_terminal_size(sys.stderr.fileno()).columns or columns
    with contextlib.suppress(Exception):
        # A line as wide as the terminal would wrap, and "\r" would not return to its start.
        sys.stderr.write(f"\r{line[: columns - 1]}" + "\n" * (progress.fraction == 1))
        sys.stderr.flush()


def warn(message: str, *values: object) -> None:
    """Log a warning. logging writes it to stderr where the program has no handler, and raises if stderr is closed."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        _log.warning(message, *values)
