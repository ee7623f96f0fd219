"""`kayrros results`."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from kayrros_ext.cli.commands.list import DATASET
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import PARTIAL
from kayrros_ext.cli.name_cache import MAX_NAMES, complete_assets, complete_metrics, save_names
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext import Gap, Results
    from kayrros_ext.cli.accounts import Account


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
        self._names: dict[str, dict[str, str | None]] = {"assets": {}, "metrics": {}}

    def add(self, part: "Results") -> "Results":
        """Count a part and return it."""
        self.rows += part.table.num_rows
        self.requests += part.requests
        self.gaps += part.gaps
        assets = part.assets.slice(0, MAX_NAMES)
        self._names["assets"].update(
            zip(*(assets[name].to_pylist() for name in ("asset_id", "asset_name")), strict=True)
        )
        self._names["metrics"].update(dict.fromkeys(part.table["metric"].unique().to_pylist()))
        return part

    def save_names(self, account: "Account", dataset_id: UUID) -> None:
        """Cache the names of assets and metrics for the completion."""
        save_names(account, f"assets of {dataset_id}", self._names["assets"].items())
        save_names(account, "metrics", self._names["metrics"].items())

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

    File suffixes: .parquet, .geoparquet, .csv, .json, .ndjson, .geojson; the text formats also with .gz. An existing file
    is replaced once the new one is complete.
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
    file_format = Format.JSON if context.json else file_format or (Format.TABLE if sys.stdout.isatty() else Format.CSV)
    target = None if output is None else parse_target(output)
    from kayrros_ext._results.schema import RESULTS, WITH_DATASET  # loads pyarrow
    from kayrros_ext.cli.format_rows import write_rows

    tally = Tally()
    with context.connect() as kayrros:
        dataset_id = kayrros._dataset_id(dataset)
        # No bar in a terminal that shows the rows.
        has_bar = context.shows_progress and (target is not None or not sys.stdout.isatty())
        with results_bar(shown=has_bar) as progress:
            received = kayrros.iter_results(
                dataset_id,
                start=start,
                stop=stop,
                assets=asset or None,
                metric=metric or None,
                on_gap=on_gap.value,
                with_dataset=with_dataset,
                progress=progress,
            )
            parts = map(tally.add, received)
            schema = WITH_DATASET if with_dataset else RESULTS
            if target:
                write(target, parts, schema=schema)
            else:
                write_rows(parts, file_format.value, schema)
    tally.save_names(context.account(), dataset_id)
    context.info(str(tally))
    if target:
        print(target)
    tally.exit_if_partial(context)
