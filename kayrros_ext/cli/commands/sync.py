"""`kayrros sync`."""

import threading
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext._text import plural, printable
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import FAILED, PARTIAL, exit_code, format_error
from kayrros_ext.cli.name_cache import complete_collections, complete_datasets
from kayrros_ext.cli.output import Table, write_json, write_message
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import KayrrosError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from kayrros_ext import Kayrros, Progress, SyncReport
    from kayrros_ext.mirror._sync import Sync

LOCATION = typer.Argument(metavar="LOCATION", help="Folder of the mirror, or a URL such as s3://bucket/prefix.")
_COUNTS = ("added", "changed", "gone", "unchanged", "requests")


@command(
    """Keep a local copy of datasets, with its history.

    The first time, everything is fetched; then what is new or may have been revised since the last date less a window. Other
    programs read LOCATION/data as Parquet in hive partitions. `kayrros changes` shows what a run has brought.

    Several datasets are synced at a time. An error of one does not stop the others: the exit code is 5, or 1 if all have
    failed. A run may be interrupted at any moment; the next one completes it.
    """,
    "kayrros sync 7d3c mirror/",
    'kayrros sync --collection "Oil storage" mirror/',
    "kayrros sync mirror/ --full",
    "kayrros sync DATASET s3://bucket/prefix",
)
def sync(
    context: Context,
    dataset: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET]...",
            help="Ids or names of datasets, or the beginning of either. [default: those of the mirror]",
            autocompletion=complete_datasets,
            show_default=False,
        ),
    ] = None,
    *,
    location: Annotated[str, LOCATION],
    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME",
            help="Sync all datasets of a collection; repeat for several.",
            autocompletion=complete_collections,
            show_default=False,
        ),
    ] = None,
    revisions: Annotated[
        str, typer.Option(metavar="DAYS", help="How far before the last date values may be revised: 30d, or all.")
    ] = "90d",
    full: Annotated[bool, typer.Option("--full", help="Fetch and compare everything.")] = False,
    accept_removals: Annotated[
        bool, typer.Option("--accept-removals", help="Remove rows although most assets, or all rows, are missing.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Rebuild damaged files from the API. History stays.")
    ] = False,
) -> None:
    from kayrros_ext.mirror import Mirror, parse_revisions
    from kayrros_ext.mirror._sync import Sync

    mirror, window = Mirror(location), None if full else parse_revisions(revisions)
    with context.connect() as kayrros, results_bar(shown=context.shows_progress) as progress:
        names = [*(dataset or ()), *(each for name in collection or () for each in kayrros.datasets(name))]
        ids = list(dict.fromkeys(map(kayrros._dataset_id, names or mirror.datasets())))
        if not ids:
            raise UsageError("There is nothing to sync.", hint="Give datasets, or --collection.")

        def make() -> Sync:
            run = Sync(mirror._store, kayrros, revisions=window, repair=repair)
            run.accept_removals = accept_removals
            return run

        reports = _Runs(kayrros, ids, make, progress).run()
    _write_reports(context, kayrros._names, reports)
    errors = [(key, report) for key, report in reports.items() if isinstance(report, KayrrosError)]
    for key, error in errors:
        name = kayrros._names.get(key)
        write_message(f"kayrros: {f'{printable(name)} ({key})' if name else key}: {format_error(error)}")
    gaps = [f"{gap} of {key}" for key, it in reports.items() if not isinstance(it, KayrrosError) for gap in it.gaps]
    if gaps:
        context.info(f"Unavailable, and fetched by the next sync: {'; '.join(gaps)}")
    if errors or gaps:
        is_all = len(errors) == len(reports)
        raise typer.Exit((exit_code(errors[0][1]) if len(reports) == 1 else FAILED) if is_all else PARTIAL)


class _Runs:
    """Runs for some datasets, several at a time, with as many requests at a time as the client allows for one."""

    def __init__(
        self, kayrros: "Kayrros", ids: "list[UUID]", make: "Callable[[], Sync]", progress: "Callable[[Progress], Any]"
    ) -> None:
        from kayrros_ext import Progress

        self._kayrros, self._ids, self._make, self._callback = kayrros, ids, make, progress
        self._progress = dict.fromkeys(ids, Progress(fraction=0, rows=0, windows=0, requests=0))
        self._lock, self._is_over, self._pending = threading.Lock(), False, iter(ids)
        self._reports: dict[UUID, SyncReport | KayrrosError] = {}
        self._limit = kayrros._settings.concurrency
        self._count = min(len(ids), self._limit)

    def run(self) -> "dict[UUID, SyncReport | KayrrosError]":
        from kayrros_ext._threads import run_in_daemon  # so that Ctrl-C does not wait for a response

        try:
            for future in [run_in_daemon(self._work, "kayrros-sync") for _ in range(self._count)]:
                future.result()
            return {key: self._reports[key] for key in self._ids}
        finally:
            self._is_over = True

    def _work(self) -> None:
        while key := self._next():
            self._reports[key] = self._run(key)

    def _next(self) -> "UUID | None":
        with self._lock:
            return next(self._pending, None)

    def _run(self, key: "UUID") -> "SyncReport | KayrrosError":
        run = self._make()
        run.concurrency, run.progress = max(1, self._limit // self._count), partial(self._report, key)
        try:
            report = run.run(key)
        except KayrrosError as error:
            return error
        finally:
            self._report(key)
        self._kayrros._names.update({key: report.name} if report.name else {})
        return report

    def _report(self, key: "UUID", progress: "Progress | None" = None) -> None:
        """Show the sum over all datasets. Without progress, a dataset is done."""
        import attrs

        with self._lock:
            if self._is_over:
                raise KeyboardInterrupt
            progress = self._progress[key] = progress or attrs.evolve(self._progress[key], fraction=1)
            done, *counts = map(sum, zip(*map(attrs.astuple, self._progress.values()), strict=True))
            self._callback(type(progress)(done / len(self._ids), *counts))


def _write_reports(
    context: Context, names: "dict[UUID, str]", reports: "dict[UUID, SyncReport | KayrrosError]"
) -> None:
    rows = [
        {"dataset_id": str(key), "name": names.get(key), "status": "failed", "error": format_error(report)}
        if isinstance(report, KayrrosError)
        else {
            "dataset_id": str(key),
            "name": report.name,
            **{name: getattr(report, name) for name in (*_COUNTS, "withheld")},
            "oldest_revision_days": None if (age := report.oldest_revision) is None else age.days,
            "gaps": list(map(str, report.gaps)),
            "status": "partial" if report.gaps else "done",
            "error": None,
        }
        for key, report in reports.items()
    ]
    if context.json:
        write_json(rows)
        return
    columns = ("dataset", "name", *_COUNTS, "revised days", "status")
    table = Table(
        *columns,
        right=(*_COUNTS, "revised days"),
        whole=(*_COUNTS, "status"),
        narrow=["dataset", "requests", "unchanged", ("name",), "revised days"],
    )
    cells = [{**row, "dataset": row["dataset_id"], "revised days": row.get("oldest_revision_days")} for row in rows]
    cells = [{name: f"{it:,}" if isinstance(it, int) else it for name, it in row.items()} for row in cells]
    table.write([[row.get(column) for column in columns] for row in cells])
    statuses = [str(row["status"]) for row in rows]
    counts = ", ".join(f"{statuses.count(status):,} {status}" for status in dict.fromkeys(statuses))
    context.info(f"{plural(len(rows), 'dataset')}: {counts}")
