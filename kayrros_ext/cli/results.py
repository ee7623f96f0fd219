"""`kayrros results`."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext.cli.catalogue import DATASET
from kayrros_ext.cli.common import Run, command
from kayrros_ext.cli.exits import PARTIAL
from kayrros_ext.cli.seen import resolve
from kayrros_ext.cli.waiting import results_bar
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kayrros_ext.cli.selection import Selection

app = typer.Typer()


class Format(StrEnum):
    """What results look like on stdout."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    NDJSON = "ndjson"


class OnGap(StrEnum):
    """What happens where a part can't be had."""

    RAISE = "raise"
    WARN = "warn"


From = Annotated[
    str | None, typer.Option("--from", metavar="DATE", help="First date wanted, ISO 8601.", show_default=False)
]
To = Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last date wanted, likewise.", show_default=False)]
Assets = Annotated[
    list[str] | None,
    typer.Option("--asset", metavar="ID", help="Id of an asset; more than once for more.", show_default=False),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Name of a metric; more than once for more.", show_default=False),
]
Gaps = Annotated[OnGap, typer.Option(help="Where a part can't be had: fail, or name it, go on and exit with 5.")]


@command(
    app,
    "results",
    "kayrros results 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4 --from 2024-01-01 --to 2024-07-01",
    "kayrros results 7d3c --metric fill_level_pct -o levels.parquet",
    "kayrros results 7d3c --asset tank-1 --asset tank-2 | head",
)
def results(
    run: Run,
    dataset: Annotated[str, DATASET],
    *,
    start: From = None,
    stop: To = None,
    asset: Assets = None,
    metric: Metrics = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write a file, in the format of its ending.", show_default=False
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="On stdout: a table in a terminal, else CSV, unless given.", show_default=False),
    ] = None,
    on_gap: Gaps = OnGap.RAISE,
) -> None:
    """Get the results of a dataset, however large.

    They go to stdout or into a file, as they come, so memory stays flat. The table shows the columns that differ from row
    to row; the other formats, and files, have all of them. Endings of files: .parquet, .geoparquet, .csv, .json, .ndjson,
    .geojson; and .csv.gz and the like. What was at FILE is replaced, once the new file is whole.
    """
    from kayrros_ext._export import parse_target
    from kayrros_ext.cli.selection import Selection

    if output and (form or run.json):
        raise UsageError(
            "--output and --format don't go together: the ending of the file says its format. Give one of them."
        )
    if form and run.json and form is not Format.JSON:
        raise UsageError(f"--json and --format {form.value} don't go together. Give one of them.")
    form = Format.JSON if run.json else form or (Format.TABLE if sys.stdout.isatty() else Format.CSV)
    target = parse_target(output) if output else None
    wanted = Selection(start, stop, asset, metric)
    with run.connect() as kayrros:
        dataset_id = resolve(run.account(), "datasets", dataset)
        # A bar among the rows of a terminal would be torn by them.
        shown = run.shows_progress and (target is not None or not sys.stdout.isatty())
        with results_bar(shown=shown) as report:
            parts = wanted.parts(kayrros, dataset_id, on_gap.value, report)
            if target:
                wanted.to_file(target, parts, dataset_id)
            else:
                _write(parts, form)
    run.say(wanted.summary)
    if target:
        print(target)
    end(run, wanted)


def _write(parts: "Iterator[Any]", form: Format) -> None:
    from kayrros_ext.cli.rows import write_table, write_text

    if form is Format.TABLE:
        write_table(parts)
    else:
        write_text(parts, form.value)


def end(run: Run, wanted: "Selection") -> None:
    """Name what is missing, and exit with the code of that."""
    if wanted.gaps:
        run.say(f"Missing: {'; '.join(map(str, wanted.gaps))}")
        raise typer.Exit(PARTIAL)
