"""`kayrros plot`."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.catalogue import DATASET
from kayrros_ext.cli.common import Run, command
from kayrros_ext.cli.output import has_colour, terminal_width
from kayrros_ext.cli.results import Assets, From, Gaps, OnGap, To, end
from kayrros_ext.cli.seen import resolve
from kayrros_ext.cli.waiting import results_bar
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext import Results

app = typer.Typer()

# A chart that is higher is no easier to read.
_MOST_LINES = 32


@command(
    app,
    "plot",
    "kayrros plot 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros plot 7d3c --metric fill_level_pct -o chart.svg",
    "kayrros plot 7d3c --map -o map.html",
    prints_data=False,
)
def plot(
    run: Run,
    dataset: Annotated[str, DATASET],
    *,
    start: From = None,
    stop: To = None,
    asset: Assets = None,
    every: Annotated[
        bool, typer.Option("--all", help="All assets, a small chart each beyond six; else the six largest.")
    ] = False,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="The metric to draw; else the first.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="chart.png, .svg or .html; else in the terminal.", show_default=False
        ),
    ] = None,
    as_map: Annotated[bool, typer.Option("--map", help="Assets at their centroids, on a map.")] = False,
    on_gap: Gaps = OnGap.RAISE,
) -> None:
    """Draw the results of a dataset, over time or on a map.

    What was at FILE is replaced. Wants the extra `plots`.
    """
    from kayrros_ext._results.convert import bring
    from kayrros_ext.cli.selection import Selection
    from kayrros_ext.plots import parse_target

    if every and asset:
        raise UsageError("--all and --asset don't go together. Give one of them.")
    if as_map and not output:
        raise UsageError("A map wants a file: give --output map.html, .png or .svg.")
    if output:
        parse_target(output)
    for name in ("matplotlib",) if output else ("matplotlib", "plotext"):  # before anything is sent
        bring(name, extra="plots")
    wanted = Selection(start, stop, asset, None)
    with run.connect() as kayrros, results_bar(shown=run.shows_progress) as report:
        dataset_id = resolve(run.account(), "datasets", dataset)
        found = kayrros.results(dataset_id, start=start, stop=stop, assets=asset, on_gap=on_gap.value, progress=report)
        wanted.count(found)
    _draw(found, output, metric, "all" if every else asset, as_map=as_map)
    if output:
        run.say(wanted.summary)
    end(run, wanted)


def _draw(
    found: "Results", output: Path | None, metric: str | None, assets: "str | list[str] | None", *, as_map: bool
) -> None:
    from kayrros_ext.plots import plot as draw
    from kayrros_ext.plots import terminal_chart

    if output:
        draw(found, output, metric=metric, assets=assets, map=as_map)
        print(output)
        return
    width = terminal_width()
    lines = min(shutil.get_terminal_size().lines - 2, _MOST_LINES) if width else 20
    print(terminal_chart(found, metric=metric, assets=assets, width=width or 80, height=lines, colour=has_colour()))
