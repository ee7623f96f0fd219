"""How far a long fetch has come, for a person who waits for it."""

import sys
from collections.abc import Callable

import attrs

from kayrros_ext.errors import UsageError


@attrs.frozen
class Progress:
    """How far a fetch of results has come.

    Attributes:
        fraction: of the time range, from 0 to 1.
        rows: how many have come.
        windows: how many parts they came in.
        requests: how many requests it took so far.
    """

    fraction: float
    rows: int
    windows: int
    requests: int


Report = Callable[[Progress], object]


def reporter(progress: Report | bool | None) -> Report:  # noqa: FBT001 - as the user gave it
    """Who is told of progress.

    Args:
        progress: a callable; True for a line on stderr, False for nobody, None for the line where stderr is a terminal.

    Raises:
        UsageError: it is something else.
    """
    if progress is None:
        progress = sys.stderr is not None and sys.stderr.isatty()
    if callable(progress):
        return progress
    if not isinstance(progress, bool):
        raise UsageError(f"progress is {progress!r}. Give True, False, or a callable that takes a Progress.")
    return _show if progress else lambda _: None


def _show(progress: Progress) -> None:
    """One line that is written over, and stays at the end; nothing for what came in one answer."""
    if progress.windows == 1 and progress.fraction == 1:
        return
    end = "\n" if progress.fraction == 1 else ""
    print(
        f"\rresults: {progress.fraction:4.0%}, {progress.rows:,} rows in {progress.windows:,} windows, "
        f"{progress.requests:,} requests",
        end=end,
        file=sys.stderr,
        flush=True,
    )
