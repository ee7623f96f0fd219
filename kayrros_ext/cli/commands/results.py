"""`kayrros results`."""

import collections
import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from kayrros_ext._text import plural
from kayrros_ext.cli.commands.list import DATASET
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import PARTIAL, note_interrupt
from kayrros_ext.cli.name_cache import MAX_NAMES, complete_assets, complete_metrics, save_names
from kayrros_ext.cli.output import is_pipe
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kayrros_ext import Gap, Kayrros, Progress, Results
    from kayrros_ext._results.query import ResultsOptions
    from kayrros_ext.cli.accounts import Account

# Rows of a table in a terminal.
MAX_ROWS = 40


Format = Literal["table", "csv", "json", "ndjson"]  # of results on stdout
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="DATE",
        help="First day, month, year or moment (UTC), like 2024-01-31, 2024-01, 2024 or 2024-01-31T12:00.",
        show_default=False,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="DATE", help="Last day, month, year (to its end) or moment, likewise.", show_default=False
    ),
]
Assets = Annotated[
    list[str] | None,
    typer.Option(
        "--asset",
        metavar="ASSET",
        help="Id or name of an asset; repeat for several.",
        autocompletion=complete_assets,
        show_default=False,
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Name of a metric; repeat for several.",
        autocompletion=complete_metrics,
        show_default=False,
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Write a file, in the format of its suffix.", show_default=False
    ),
]
ShowAll = Annotated[bool, typer.Option("--all", help=f"Show all rows in a terminal, not only the first {MAX_ROWS}.")]
FileFormat = Annotated[
    Format | None,
    typer.Option("--format", help="Format on stdout. [default: table in a terminal, else csv]", show_default=False),
]
Gaps = Annotated[
    Literal["raise", "warn"],
    typer.Option(
        help="What to do when part of the data is unavailable: fail, or warn, continue and exit with status 5."
    ),
]


class Tally:
    """Counts the rows and gaps of results. `is_complete` says whether all of them have arrived."""

    def __init__(self) -> None:
        self.rows = 0
        self.is_complete = False
        self.gaps: list[Gap] = []
        self._names: dict[str, dict[str, str | None]] = {"assets": {}, "metrics": {}}

    def add(self, part: "Results") -> "Results":
        """Count a part and return it."""
        self.rows += part.table.num_rows
        self.gaps += part.gaps
        assets = part.assets.slice(0, MAX_NAMES)
        self._names["assets"].update(
            zip(*(assets[name].to_pylist() for name in ("asset_id", "asset_name")), strict=True)
        )
        self._names["metrics"].update(dict.fromkeys(part.table["metric"].unique().to_pylist()))
        return part

    def save_names(self, account: "Account", dataset_id: UUID | None) -> None:
        """Cache the names of assets and metrics for the completion."""
        save_names(account, f"assets of {dataset_id}", self._names["assets"].items())
        save_names(account, "metrics", self._names["metrics"].items())

    def text(self, limit: int | None = None) -> str:
        """Return the number of rows, and how to see all of them if only some are shown."""
        if limit is None or self.rows <= limit:
            return str(self)
        more = "" if self.is_complete else "more than "
        return f"{limit} of {more}{self}. Add --all, or -o results.csv for a file."

    def __str__(self) -> str:
        return plural(self.rows, "row")

    def exit_if_partial(self, context: Context) -> None:
        """Exit with PARTIAL if there are gaps within the dates of the metadata, and name them."""
        if gaps := [str(gap) for gap in self.gaps if not gap.is_outside]:
            context.info(f"Unavailable: {'; '.join(gaps)}")
            raise typer.Exit(PARTIAL)


@command(
    """Get the results of a dataset of any size.

    Rows are written to stdout or a file as they arrive, so memory use stays small. A table shows only the columns that
    differ from row to row; the other formats and files have all columns.

    File suffixes: .parquet, .geoparquet, .xlsx (extra `excel`), .csv, .json, .ndjson, .geojson; the text formats also with
    .gz. An existing file is replaced once the new one is complete.
    """,
    "kayrros results 7d3c --from 2024-01-01 --to 2024-06-30",
    "kayrros results 7d3c --metric fill_level_pct -o levels.parquet",
    "kayrros results 7d3c --asset tank-cushing-tk-101 --asset 'Fujairah T-11'",
)
def results(
    context: Context,
    dataset: Annotated[str, DATASET],
    *,
    start: From = None,
    stop: To = None,
    asset: Assets = None,
    metric: Metrics = None,
    output: Output = None,
    show_all: ShowAll = False,
    file_format: FileFormat = None,
    excel_csv: Annotated[
        bool, typer.Option("--excel-csv", help="Write CSV that Excel opens correctly by a double click.")
    ] = False,
    on_gap: Gaps = "raise",
    with_dataset: Annotated[
        bool, typer.Option("--with-dataset", help="Add the columns dataset_id and dataset_name in front.")
    ] = False,
) -> None:
    from kayrros_ext._export import parse_target, write

    if output is not None and (file_format or context.json):
        raise UsageError(
            "--output can't be combined with --format or --json.", hint="The suffix of the file selects the format."
        )
    if file_format and context.json and file_format != "json":
        raise UsageError(f"--json can't be combined with --format {file_format}.", hint="Give one of them.")
    if excel_csv and (context.json or file_format not in {None, "csv"}):
        raise UsageError("--excel-csv can't be combined with --json or another --format.", hint="Give one of them.")
    file_format = "csv" if excel_csv else file_format
    file_format = "json" if context.json else file_format or ("table" if sys.stdout.isatty() else "csv")
    target = None if output is None else parse_target(output, excel_csv=excel_csv)
    from kayrros_ext._results.schema import RESULTS, WITH_DATASET  # loads pyarrow
    from kayrros_ext.cli.format_rows import write_rows

    tally, is_table = Tally(), not target and file_format == "table"
    limit = MAX_ROWS if is_table and sys.stdout.isatty() and not show_all else None
    note = f"{target} was not written." if target else ""
    with note_interrupt(note), context.connect() as kayrros, contextlib.ExitStack() as bar:
        # The reader of a pipe, such as head or less, may draw on the same terminal.
        show = bar.enter_context(
            results_bar(shown=context.shows_progress and (bool(target) or not is_pipe(sys.stdout)))
        )

        def report(progress: "Progress") -> None:
            show(progress)
            tally.is_complete = progress.fraction == 1

        options: ResultsOptions = {
            "start": start,
            "stop": stop,
            "assets": asset or None,
            "metric": metric or None,
            "on_gap": on_gap,
            "with_dataset": with_dataset,
            "progress": report,
        }
        fetcher = kayrros._fetcher(dataset, options, bounded_memory=True, needs_metadata=target is not None)
        parts: Iterator[Results] = map(tally.add, fetcher)
        schema = WITH_DATASET if with_dataset else RESULTS
        if target:
            write(target, parts, schema=schema, excel_csv=excel_csv)
        else:
            parts = _remove_before_rows(bar, parts) if sys.stdout.isatty() else parts
            write_rows(parts, "excel-csv" if excel_csv else file_format, schema, limit)
        if limit and tally.is_complete:
            collections.deque(parts, maxlen=0)  # they have arrived, so count them
        bar.close()
        hint = explain_no_rows(kayrros, fetcher.dataset_id, start, stop) if not tally.rows else None
    tally.save_names(context.account(), fetcher.dataset_id)
    context.info(tally.text(limit))
    if hint:
        context.info(hint)
    if target:
        print(target)
    tally.exit_if_partial(context)


def explain_no_rows(kayrros: "Kayrros", dataset: "UUID | str", start: str | None, stop: str | None) -> str | None:
    """Return the dates of the dataset if the rows were limited to other ones. It requests the metadata."""
    from kayrros_ext.errors import KayrrosError

    if not (start or stop):
        return None
    try:
        metadata = kayrros.metadata(dataset)
    except KayrrosError:  # there are no rows, whatever the reason
        return None
    if not (metadata.start and metadata.stop):
        return None
    return f"The dataset has values from {metadata.start:%Y-%m-%d} to {metadata.stop:%Y-%m-%d}."


def _remove_before_rows(bar: contextlib.ExitStack, parts: "Iterator[Results]") -> "Iterator[Results]":
    """Remove the bar when the first row arrives, because both are on the same terminal."""
    for part in parts:
        if part.table.num_rows:
            bar.close()
        yield part
