"""`kayrros export`."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext._text import plural, printable
from kayrros_ext.cli.commands.results import From, Gaps, Metrics, To
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import FAILED, PARTIAL, format_error
from kayrros_ext.cli.name_cache import complete_collections, complete_datasets
from kayrros_ext.cli.output import Table, write_json, write_message
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import KayrrosError, NotFoundError, UsageError

if TYPE_CHECKING:
    from kayrros_ext import ExportedDataset


@command(
    """Export datasets to a directory, a file for each.

    Several are exported at a time. An error of one dataset does not stop the others: the exit code is 5, or 1 if all have
    failed. A file is named after its dataset, and keeps its name when that is renamed. kayrros-export.json in the directory
    records the files.

    With --skip-existing, a dataset is skipped if its file is complete, and arguments, host, version, and the processing,
    source, dates and number of assets in its metadata are as before. A revision that changes none of these is not noticed.
    """,
    'kayrros export "Oil storage" -o lake/',
    "kayrros export 5f2d8c34 --skip-existing --from 2024-01 -o lake/",
    "kayrros export --dataset 7d3c --dataset c0a8 --format csv -o lake/",
    "kayrros export --all -o lake/ --json | jq '.[] | select(.error)'",
)
def export(
    context: Context,
    collection: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[COLLECTION]...",
            help="Ids or names of collections, or the beginning of either.",
            autocompletion=complete_collections,
            show_default=False,
        ),
    ] = None,
    *,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIRECTORY", help="Created if it does not exist.", show_default=False),
    ],
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            "--dataset",
            metavar="DATASET",
            help="Id or name of a dataset, or the beginning of either; repeat for several.",
            autocompletion=complete_datasets,
            show_default=False,
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Export all datasets that the account can see.")] = False,
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Suffix of the files: parquet, csv, csv.gz, xlsx, ...")
    ] = "parquet",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Skip datasets whose file is complete and unchanged.")
    ] = False,
    start: From = None,
    stop: To = None,
    metric: Metrics = None,
    on_gap: Gaps = "raise",
) -> None:
    if everything and (collection or dataset):
        raise UsageError("--all can't be combined with collections or --dataset.", hint="Omit --all, or the others.")
    if not (everything or collection or dataset):
        raise UsageError("There is nothing to export.", hint="Give collections, --dataset, or --all.")
    from kayrros_ext._export.many import MANIFEST, Export

    with context.connect() as kayrros:

        def list_datasets() -> Iterator[Any]:
            """Yield datasets, once Export has checked its other arguments."""
            try:
                yield from kayrros.datasets() if everything else ()
                for name in collection or ():
                    yield from kayrros.datasets(name)
            except NotFoundError as error:
                error.hint_cli = f"{error.hint_cli or error.hint} For one dataset, use --dataset."
                raise
            yield from dataset or ()

        try:
            with results_bar(shown=context.shows_progress) as progress, _hide_errors():
                query: Any = {"start": start, "stop": stop, "metric": metric or None, "on_gap": on_gap}
                query |= {"format": file_format, "skip_existing": skip_existing, "progress": progress}
                report = Export(kayrros, list_datasets(), output, **query).run()
        except (KayrrosError, KeyboardInterrupt) as error:
            if not isinstance(error, UsageError | NotFoundError) and (Path(output).expanduser() / MANIFEST).is_file():
                context.info(f"Complete files stay in {output}. With --skip-existing, this command skips them.")
            raise
    _write_report(context, report)
    failed = [(each, each.error) for each in report if each.error]
    for each, reason in failed:
        label = f"{printable(each.name)} ({each.dataset_id})" if each.name else each.dataset_id
        write_message(f"kayrros: {label}: {format_error(reason)}")
    statuses = [each.status for each in report]
    where = {"written": f" to {output}"}
    counts = [f"{statuses.count(status):,} {status}{where.get(status, '')}" for status in dict.fromkeys(statuses)]
    context.info(f"{plural(len(report), 'dataset')}: {', '.join(counts) or 'nothing to export'}")
    if failed or "partial" in statuses:
        raise typer.Exit(FAILED if len(failed) == len(report) else PARTIAL)


def _write_report(context: Context, report: "list[ExportedDataset]") -> None:
    if context.json:
        rows = [
            {"dataset": each.dataset_id, "name": each.name, "rows": each.rows, "file": each.path, "status": each.status}
            | {"gaps": [*map(str, each.gaps)], "error": each.error and format_error(each.error)}
            for each in report
        ]
        write_json(rows)
        return
    # A narrow terminal omits the names of datasets that those of their files repeat.
    is_named = all(each.path and each.path.name.startswith(each.name or "") for each in report)
    table = Table(
        *("dataset", "name", "rows", "file", "status"),
        right=["rows"],
        whole=["rows", "status"],
        narrow=["dataset", *["name"] * is_named, ("name",), ("file",)],
    )
    files = [(f"{each.rows:,}", each.path.name) if each.path else (None, None) for each in report]
    table.write([(x.dataset_id, x.name, *file, x.status) for x, file in zip(report, files, strict=True)])


@contextlib.contextmanager
def _hide_errors() -> Iterator[None]:
    """Keep errors of datasets out of the log, because a list of them follows."""
    import logging

    from kayrros_ext._export.many import NOT_EXPORTED

    def is_other(record: logging.LogRecord) -> bool:
        return record.msg != NOT_EXPORTED

    log = logging.getLogger("kayrros_ext")
    log.addFilter(is_other)
    try:
        yield
    finally:
        log.removeFilter(is_other)
