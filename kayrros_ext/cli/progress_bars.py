"""Progress bars on stderr."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from kayrros_ext import Progress


@contextlib.contextmanager
def results_bar(*, shown: bool) -> Iterator["Callable[[Progress], None]"]:
    """Show rows, requests and the remaining time; yield the callback for each Progress."""
    if not shown:
        yield lambda _: None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[counts]}"), TimeRemainingColumn(compact=True)
    with _bars(*columns) as bars:
        task = bars.add_task("results", total=None, counts="waiting for the first response")

        def show(progress: "Progress") -> None:
            counts = f"{progress.rows:,} rows, {progress.requests:,} request{'s' * (progress.requests != 1)}"
            bars.update(task, total=1, completed=progress.fraction, counts=counts)

        yield show


@contextlib.contextmanager
def download_bar(*, shown: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show bytes and the remaining time; yield the callback for the bytes downloaded and their total."""
    if not shown:
        yield lambda _, __: None
        return
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn

    with _bars(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(compact=True)) as bars:
        task = bars.add_task("download", total=None)
        yield lambda size, total: bars.update(task, completed=size, total=total)


@contextlib.contextmanager
def _bars(*columns: object) -> "Iterator[Bars]":
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    # Without `redirect_stdout=False`, rich would write what goes to stdout to the console, which is stderr.
    shown: Any = TextColumn("{task.description}"), *columns
    with Progress(*shown, console=Console(stderr=True), transient=True, redirect_stdout=False) as bars:
        yield bars
