"""`kayrros results`."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.commands.list import DATASET
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import PARTIAL
from kayrros_ext.cli.name_cache import resolve
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kayrros_ext import Gap, Results


class Format(StrEnum):
    """The format of results on stdout."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"


class OnGap(StrEnum):
    """The reaction to an unavailable part of the results."""

    RAISE = "raise"
    WARN = "warn"


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
    typer.Option("--asset", metavar="ID", help="Id of an asset; repeat for several.", show_default=False),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Name of a metric; repeat for several.", show_default=False),
]
Gaps = Annotated[
    OnGap,
    typer.Option(
        help="What to do when part of the data is unavailable: fail, or warn, continue and exit with status 5."
    ),
]


class Tally:
    """Counts the rows, requests and gaps of results."""

    def __init__(self) -> None:
        self.rows = self.requests = 0
        self.gaps: list[Gap] = []

    def add(self, part: "Results") -> "Results":
        """Count a part and return it."""
        self.rows += part.table.num_rows
        self.requests += part.requests
        self.gaps += part.gaps
        return part

    def __str__(self) -> str:
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        return f"{rows}, in {self.requests:,} request{'s' * (self.requests != 1)}"

    def exit_if_partial(self, context: Context) -> None:
        """Exit with PARTIAL if there are gaps within the dates of the metadata, and name them."""
        if gaps := [str(gap) for gap in self.gaps if not gap.is_outside]:
            context.info(f"Unavailable: {'; '.join(gaps)}")
            raise typer.Exit(PARTIAL)


@command(
    """Get the results of a dataset of any size.

    Rows are written to stdout or a file as they arrive, so memory use stays small. A table shows only the columns that
    differ from row to row; the other formats and files have all columns.

    File suffixes: .parquet, .geoparquet, .xlsx (Excel), .csv, .json, .ndjson, .geojson; the text formats also with .gz. An
    existing file is replaced once the new one is complete.
    """,
    "kayrros results 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4 --from 2024-01-01 --to 2024-06-30",
    "kayrros results 7d3c --metric fill_level_pct -o levels.parquet",
    "kayrros results 7d3c --asset tank-1 --asset tank-2 | head",
)
def results(
    context: Context,
    dataset: Annotated[str, DATASET],
    *,
    start: From = None,
    stop: To = None,
    asset: Assets = None,
    metric: Metrics = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write a file, in the format of its suffix.", show_default=False
        ),
    ] = None,
    file_format: Annotated[
        Format | None,
        typer.Option("--format", help="Format on stdout. [default: table in a terminal, else csv]", show_default=False),
    ] = None,
    excel_csv: Annotated[
        bool, typer.Option("--excel-csv", help="Write CSV that Excel opens correctly by a double click.")
    ] = False,
    on_gap: Gaps = OnGap.RAISE,
    with_dataset: Annotated[
        bool, typer.Option("--with-dataset", help="Add the columns dataset_id and dataset_name in front.")
    ] = False,
) -> None:
    from kayrros_ext._export import parse_target, write

    if output is not None and (file_format or context.json):
        raise UsageError(
            "--output can't be combined with --format or --json.", hint="The suffix of the file selects the format."
        )
    if file_format and context.json and file_format is not Format.JSON:
        raise UsageError(f"--json can't be combined with --format {file_format.value}.", hint="Give one of them.")
    if excel_csv and (context.json or file_format not in {None, Format.CSV}):
        raise UsageError("--excel-csv can't be combined with --json or another --format.", hint="Give one of them.")
    file_format = Format.CSV if excel_csv else file_format
    file_format = Format.JSON if context.json else file_format or (Format.TABLE if sys.stdout.isatty() else Format.CSV)
    target = None if output is None else parse_target(output, excel_csv=excel_csv)
    from kayrros_ext._results.schema import RESULTS, WITH_DATASET  # loads pyarrow
    from kayrros_ext.cli.format_rows import write_rows

    tally = Tally()
    with context.connect() as kayrros:
        dataset_id = resolve(context.account(), "datasets", dataset)
        # No bar in a terminal that shows the rows.
        has_bar = context.shows_progress and (target is not None or not sys.stdout.isatty())
        with results_bar(shown=has_bar) as progress:
            received = kayrros.iter_results(
                dataset_id,
                start=start,
                stop=stop,
                assets=asset or None,
                on_gap=on_gap.value,
                with_dataset=with_dataset,
                progress=progress,
            )
            parts = map(tally.add, _filter_metrics(received, metric) if metric else received)
            schema = WITH_DATASET if with_dataset else RESULTS
            if target:
                write(target, parts, schema=schema, excel_csv=excel_csv)
            else:
                write_rows(parts, "excel-csv" if excel_csv else file_format.value, schema)
    context.info(str(tally))
    if target:
        print(target)
    tally.exit_if_partial(context)


def _filter_metrics(parts: "Iterator[Results]", metrics: list[str]) -> "Iterator[Results]":
    """Yield the rows of some metrics, because the API can't filter them.

    Raises:
        UsageError: no row has one of the metrics; after the last part.
    """
    import attrs
    import pyarrow as pa
    import pyarrow.compute as pc

    from kayrros_ext._text import list_names

    available: set[str] = set()
    for part in parts:
        names = part.table["metric"].cast(pa.string())
        available.update(name for name in pc.unique(names).to_pylist() if name is not None)
        rows = part.table.filter(pc.is_in(names, pa.array(metrics, pa.string())))
        yield attrs.evolve(part, table=rows, query={**part.query, "metrics": ", ".join(metrics)})
    missing = [name for name in metrics if name not in available]
    if missing and available:
        choices = list_names(available, near=missing[0])
        raise UsageError(f"No row has the metric {missing[0]!r}.", hint=f"Available metrics: {choices}.")
