"""Progress bars on stderr. One appears after a second, and leaves nothing behind."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kayrros_ext._text import plural

if TYPE_CHECKING:
    import logging

    from rich.progress import Progress as Bars

    from kayrros_ext import Progress

# Who waits for less sees no bar.
DELAY_S = 1.0


@contextlib.contextmanager
def results_bar(*, shown: bool) -> Iterator["Callable[[Progress], None]"]:
    """Show rows, requests and the remaining time; yield the callback for each Progress."""
    with _bar("results", shown=shown, counts="waiting for the first response") as bar:

        def show(progress: "Progress") -> None:
            counts = f"{plural(progress.rows, 'row')}, {plural(progress.requests, 'request')}"
            bar.update(total=1, completed=progress.fraction, counts=counts)

        yield show


@contextlib.contextmanager
def download_bar(*, shown: bool) -> Iterator[Callable[[int, int | None], object]]:
    """Show bytes and the remaining time; yield the callback for the bytes downloaded and their total."""
    with _bar("download", shown=shown) as bar:
        yield lambda size, total: bar.update(completed=size, total=total)


def show_notice(record: "logging.LogRecord") -> str | None:
    """Show the notice of a retry in the bar. Return it where there is no bar, and any other notice."""
    text, wait_s = str(record.__dict__["notice"]), record.__dict__.get("wait_s")
    if wait_s is None:
        return text
    if _Bar.current and _Bar.current.update(notice=text, notice_until=time.monotonic() + wait_s):
        return None
    return f"{record.__dict__['reason']}, retrying in {max(wait_s, 1):.0f} s, {text}"


@contextlib.contextmanager
def _bar(name: str, *, shown: bool, **fields: Any) -> "Iterator[_Bar]":
    bar = _Bar(name, fields)
    timer = threading.Timer(DELAY_S, bar.start)
    timer.daemon = True
    if shown:
        _Bar.current = bar
        timer.start()
    try:
        yield bar
    finally:
        _Bar.current = None
        timer.cancel()
        bar.stop()


class _Bar:
    """One bar of rich, which is imported when the bar appears. Threads update it."""

    current: "_Bar | None" = None

    def __init__(self, name: str, fields: dict[str, Any]) -> None:
        self._name, self._fields, self._lock = name, {"total": None, **fields}, threading.Lock()
        self._bars: Bars | None = None
        self._has_ended = False

    def start(self) -> None:
        with self._lock:
            if not self._has_ended:
                self._bars = _make_bars(self._name)
                self._task = self._bars.add_task(self._name, **self._fields)
                self._bars.start()

    def update(self, **fields: Any) -> bool:
        """Change fields of the task. Return whether the bar is shown or will be."""
        with self._lock:
            if "notice" not in fields:
                fields["notice"] = ""
            has_begun = "completed" in self._fields
            self._fields |= fields
            if self._bars and "completed" in fields and not has_begun:
                self._bars.reset(self._task, **self._fields)  # else the speed would count bytes of an earlier download
            elif self._bars:
                self._bars.update(self._task, **fields)
            return not self._has_ended

    def stop(self) -> None:
        """Remove the bar, for good."""
        with self._lock:
            self._has_ended = True
            if self._bars:
                self._bars.stop()


def _make_bars(name: str) -> "Bars":
    from rich import progress
    from rich.console import Console
    from rich.table import Column
    from rich.text import Text

    class Notice(progress.ProgressColumn):
        """The notice of a retry, else the counts."""

        def render(self, task: progress.Task) -> Text:
            if not (notice := task.fields.get("notice")):
                return Text(task.fields.get("counts", ""))
            wait_s = task.fields["notice_until"] - time.monotonic()
            return Text(f"retrying in {wait_s:.0f} s, {notice}" if wait_s >= 0.5 else notice)

    # One line, whatever the width.
    def line() -> Column:
        return Column(no_wrap=True, overflow="ellipsis")

    console = Console(stderr=True)
    console.width -= 3  # the terminal echoes ^C behind the bar, which must not wrap
    columns: list[progress.ProgressColumn] = []
    if console.width >= 40:
        columns.append(progress.TextColumn("{task.description}"))
    if console.width >= 57:
        columns.append(progress.BarColumn(min(40, console.width - 48)))
    if name == "results":
        columns.append(progress.TaskProgressColumn())
    else:
        columns.append(progress.DownloadColumn(table_column=line()))
        columns += [progress.TransferSpeedColumn(line())] * (console.width >= 57)
    columns.append(Notice(line()))
    if console.width >= 40:
        columns.append(progress.TimeRemainingColumn(compact=True, table_column=line()))
    # Without `redirect_stdout=False`, rich would write what goes to stdout to the console, which is stderr.
    return progress.Progress(*columns, console=console, transient=True, redirect_stdout=False)
