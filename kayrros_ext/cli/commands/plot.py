"""`kayrros plot`."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.commands.list import DATASET
from kayrros_ext.cli.commands.results import Assets, From, Gaps, OnGap, Tally, To, explain_no_rows
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import note_interrupt
from kayrros_ext.cli.name_cache import complete_metrics
from kayrros_ext.cli.output import has_colour, terminal_width
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext import Results

# Lines of a chart in a terminal. A higher one is no easier to read.
_MAX_HEIGHT = 32


@command(
    """Draw the results of a dataset, over time or on a map.

    An existing file is replaced. This command needs the extra `plots`.
    """,
    "kayrros plot 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros plot 7d3c --metric fill_level_pct -o chart.svg",
    "kayrros plot 7d3c --map -o map.html",
    prints_data=False,
)
def plot(
    context: Context,
    dataset: Annotated[str, DATASET],
    *,
    start: From = None,
    stop: To = None,
    asset: Assets = None,
    all_assets: Annotated[
        bool, typer.Option("--all", help="Draw all assets, not only the six largest; a small chart each beyond six.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric to draw. [default: the first of the dataset]",
            autocompletion=complete_metrics,
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            *("--output", "-o"),
            metavar="FILE",
            help="Write a picture: .png, .svg or .html. [default: draw in the terminal]",
            show_default=False,
        ),
    ] = None,
    as_map: Annotated[bool, typer.Option("--map", help="Draw the assets at their centroids on a map.")] = False,
    on_gap: Gaps = OnGap.RAISE,
) -> None:
    from kayrros_ext.plots import parse_target, require, require_size

    if all_assets and asset:
        raise UsageError("--all can't be combined with --asset.", hint="Give one of them.")
    target = None if output is None else parse_target(output)
    if as_map and not target:
        raise UsageError("A map can't be drawn in the terminal.", hint="Add --output map.html, .png or .svg.")
    if not target:
        require_size(*_chart_size())
    require(*(["matplotlib"] if target else ["matplotlib", "plotext"]))  # before anything is sent
    note = f"{target} was not written." if target else ""
    with note_interrupt(note), context.connect() as kayrros, results_bar(shown=context.shows_progress) as progress:
        received = kayrros.results(
            dataset, start=start, stop=stop, assets=asset, on_gap=on_gap.value, progress=progress
        )
        hint = None if received.table.num_rows else explain_no_rows(kayrros, dataset, start, stop)
    if hint:
        raise UsageError("There is nothing to draw, because no row lies between --from and --to.", hint=hint)
    tally = Tally()
    tally.add(received)
    tally.save_names(context.account(), received.dataset_id)
    _draw(received, target, metric, "all" if all_assets else asset, as_map=as_map)
    if target:
        context.info(str(tally))
    tally.exit_if_partial(context)


def _draw(
    received: "Results", output: Path | None, metric: str | None, assets: "str | list[str] | None", *, as_map: bool
) -> None:
    from kayrros_ext import plots

    if output:
        plots.plot(received, output, metric=metric, assets=assets, map=as_map)
        print(output)
        return
    width, height = _chart_size()
    print(plots.terminal_chart(received, metric=metric, assets=assets, width=width, height=height, colour=has_colour()))


def _chart_size() -> tuple[int, int]:
    """Return columns and lines, so that the screen also shows the command and the prompt."""
    width = terminal_width()
    return width or 80, min(shutil.get_terminal_size().lines - 2, _MAX_HEIGHT) if width else 20
