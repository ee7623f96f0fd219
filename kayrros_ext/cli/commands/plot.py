"""`kayrros plot`."""

import shutil
from typing import Annotated, Any, Literal

import typer

from kayrros_ext.cli.commands.list import DATASET
from kayrros_ext.cli.commands.results import Assets, From, Gaps, Metrics, Tally, To, explain_no_rows
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import note_interrupt
from kayrros_ext.cli.output import has_colour, terminal_width
from kayrros_ext.cli.progress_bars import results_bar
from kayrros_ext.errors import UsageError

# Those of kayrros_ext.plots, whose import takes time.
Kind = Literal["line", "seasonal", "change", "heatmap", "latest", "map"]
By = Literal["asset", "parent", "total"]
Theme = Literal["auto", "light", "dark"]
Statistic = Literal["latest", "mean", "date", "week"]
# Lines of a chart in a terminal. A higher one is no easier to read.
_MAX_HEIGHT = 32


@command(
    """Draw the results of a dataset as a chart or a map.

    The suffix of --output selects the format: .png, .svg, .pdf or .html, a page that needs no network. An existing file is
    replaced. Without --output, lines are drawn in the terminal. This command needs the extra `plots`.
    """,
    "kayrros plot 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros plot 7d3c --metric fill_level_pct --theme dark -o chart.svg",
    "kayrros plot 7d3c --kind change --metric stored_volume_bbl -o change.png",
    "kayrros plot 7d3c --kind map -o map.html",
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
        bool, typer.Option("--all", help="Draw all assets, not only the largest; a small chart each beyond six.")
    ] = False,
    metric: Metrics = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Write a picture.", show_default=False)
    ] = None,
    kind: Annotated[Kind, typer.Option(help="Kind of the chart.")] = "line",
    by: Annotated[By, typer.Option(help="Draw each asset, or sums by parent or of all.")] = "asset",
    facet: Annotated[
        bool | None,
        typer.Option(
            "--facet/--no-facet", help="Draw a chart for each asset. [default: beyond six assets]", show_default=False
        ),
    ] = None,
    statistic: Annotated[
        Statistic | None,
        typer.Option(help="latest or mean value (latest, map); change to the last date or week.", show_default=False),
    ] = None,
    theme: Annotated[Theme, typer.Option(help="auto is light, and in HTML as the reader's system.")] = "auto",
    title: Annotated[str | None, typer.Option(help="Title. [default: name of the dataset]", show_default=False)] = None,
    subtitle: Annotated[
        str | None, typer.Option(help="Subtitle. [default: metric, unit and period]", show_default=False)
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTH[xHEIGHT]", help="In pixels, such as 800x450; twice as many in a PNG.", show_default=False
        ),
    ] = None,
    on_gap: Gaps = "raise",
) -> None:
    from kayrros_ext._results.convert import import_optional
    from kayrros_ext.cli.terminal_chart import require_size, terminal_chart
    from kayrros_ext.plots import Options, parse_target

    if all_assets and asset:
        raise UsageError("--all can't be combined with --asset.", hint="Give one of them.")
    target = None if output is None else parse_target(output)
    if not target:
        if kind != "line":
            raise UsageError(f"The kind {kind} can't be drawn in the terminal.", hint=f"Add -o {kind}.html or .png.")
        require_size(*_chart_size())
        pictures = {"facet": facet, "statistic": statistic, "title": title, "subtitle": subtitle, "size": size}
        for name, value in (pictures | {"theme": None if theme == "auto" else theme}).items():
            if value is not None:
                raise UsageError(
                    f"--{name} does not apply to a chart in the terminal.", hint="Add -o chart.png, or omit it."
                )
    options: dict[str, Any] = {"kind": kind, "by": by, "theme": theme, "facet": facet}
    options |= {"statistic": statistic, "title": title, "subtitle": subtitle, **_parse_size(size)}
    Options(**options)  # and the packages, before anything is sent
    for package in ("altair", "pandas", "vl_convert") if target else ("pandas", "plotext"):
        import_optional(package, extra="plots")
    note = f"{target} was not written." if target else ""
    with note_interrupt(note), context.connect() as kayrros, results_bar(shown=context.shows_progress) as progress:
        kayrros.metadata(dataset)  # for the title and the attribution
        received = kayrros.results(dataset, start=start, stop=stop, assets=asset, on_gap=on_gap, progress=progress)
        hint = None if received.table.num_rows else explain_no_rows(kayrros, dataset, start, stop)
    if hint:
        raise UsageError("There is nothing to draw, because no row lies between --from and --to.", hint=hint)
    tally = Tally()
    tally.add(received)
    tally.save_names(context.account(), received.dataset_id)
    assets = "all" if all_assets else asset
    if target:
        received.plot(target, metric=metric, assets=assets, **options)
        print(target)
        context.info(str(tally))
    else:
        width, height = _chart_size()
        print(terminal_chart(received, metric, assets, by=by, width=width, height=height, colour=has_colour()))
    tally.exit_if_partial(context)


def _parse_size(size: str | None) -> dict[str, int]:
    """Parse "800x450" or "800"."""
    if size is None:
        return {}
    width, _, height = size.partition("x")
    if not all(side.isascii() and side.isdigit() for side in ((width, height) if "x" in size else (width,))):
        raise UsageError(f"{size!r:.40} is not a size.", hint="Write the pixels of width and height, such as 800x450.")
    return {"width": int(width[:6])} | ({"height": int(height[:6])} if height else {})


def _chart_size() -> tuple[int, int]:
    """Return columns and lines, so that the screen also shows the command and the prompt."""
    width = terminal_width()
    return width or 80, min(shutil.get_terminal_size().lines - 2, _MAX_HEIGHT) if width else 20
