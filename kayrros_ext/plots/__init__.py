"""Pictures of results: charts over time and maps, as PNG, SVG, HTML, a matplotlib figure, or text for a terminal.

The extra `plots` brings what they need, matplotlib and plotext; to import this package needs neither.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from kayrros_ext._files import TODO, whole_or_not_at_all
from kayrros_ext._results.convert import bring
from kayrros_ext.errors import ExportError, UsageError
from kayrros_ext.plots.words import refuse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kayrros_ext.plots.figures import Point
    from kayrros_ext.plots.series import Source

__all__ = ["ENDINGS", "Options", "parse_target", "plot", "terminal_chart"]

ENDINGS = (".png", ".svg", ".html")
# Lines in one chart; so many of the largest are drawn where no assets are asked for.
DEFAULT_ASSETS = 6


class Options(TypedDict, total=False):
    """The options of `plot`, for those who pass them on."""

    metric: str | None
    assets: Iterable[str] | int | None
    map: bool
    statistic: Literal["latest", "mean"]
    theme: Literal["auto", "light", "dark"]
    title: str | None
    size: tuple[float, float] | None


def plot(
    results: "Source",
    path: str | Path | None = None,
    *,
    metric: str | None = None,
    assets: Iterable[str] | int | None = None,
    map: bool = False,  # noqa: A002 - what it is
    statistic: Literal["latest", "mean"] = "latest",
    theme: Literal["auto", "light", "dark"] = "auto",
    title: str | None = None,
    size: tuple[float, float] | None = None,
) -> "Figure":
    """Draw a metric of results over time, or on a map.

    Lines break where values are missing: where a value is null, where two dates lie further apart than 1.5 times the median
    step between dates, and where `results.gaps` says that data could not be had, which is shaded too. More than 6 assets
    get a small chart each, all with the same axes. The unit of the metric is what the end of its name says (`_bbl`, `_pct`,
    `_kg_per_h`, ...), since the API gives none; a name that says nothing gets none.

    Args:
        results: kayrros_ext.Results.
        path: where to write it; the ending, .png, .svg or .html, says as what. HTML is one file that needs no network, with
            value, date and asset under the pointer, and a narrow picture for phones. What was at the path is replaced.
        metric: its name; the first of the table unless given.
        assets: ids or names; a number for so many of the largest; "all". The largest are those with the largest mean of the
            absolute values: the surface of an asset may be missing. Unless given, the 6 largest, and on a map all.
        map: assets at their centroids, coloured and sized by the metric, with the coast around them.
        statistic: of each asset on a map: its latest value, or the mean of its values.
        theme: "auto" is light, and in HTML what the reader's system says.
        title: the metric's unless given.
        size: width and height in inches; a picture takes more height where its charts, or its words, need it.

    Returns:
        The figure, which a notebook shows, and which matplotlib can take further.

    Raises:
        UsageError: there is nothing to draw, or an argument can't be: the error names the metrics, assets or endings that
            there are.
        MissingExtraError: matplotlib is not installed; the extra `plots` brings it.
        ExportError: the file can't be written. What was there before is untouched.
    """
    target = None if path is None else parse_target(path)
    if theme not in ("auto", "light", "dark"):
        raise refuse("theme", theme, ["auto", "light", "dark"])
    if size is not None and not (len(size) == 2 and all(2 <= side <= 100 for side in size)):
        raise UsageError(f"size is {size!r}. Give width and height in inches, from 2 to 100, such as (10, 5).")
    bring("matplotlib", extra="plots")
    import matplotlib as mpl

    from kayrros_ext.plots.figures import save, settings, without_glyph_warnings
    from kayrros_ext.plots.lines import draw as draw_lines
    from kayrros_ext.plots.maps import draw as draw_map
    from kayrros_ext.plots.series import select
    from kayrros_ext.plots.themes import DARK, LIGHT

    chosen = select(results, metric, assets, None if map else DEFAULT_ASSETS)
    is_page = target is not None and target.suffix.lower() == ".html"
    colours = DARK if theme == "dark" and not is_page else LIGHT

    def draw(size: tuple[float, float] | None) -> "tuple[Figure, list[Point]]":
        if map:
            return draw_map(chosen, colours, statistic=statistic, title=title, size=size)
        return draw_lines(chosen, colours, title=title, size=size)

    with mpl.rc_context(settings()):
        figure, points = draw(size)
        with without_glyph_warnings():
            figure.draw_without_rendering()  # what is made late takes its font now
        if target and is_page:
            from kayrros_ext.plots.pages import PHONE, page

            name = title or f"{chosen.metric} of {len(chosen.series)} assets"
            pictures = [(figure, points), *([draw(PHONE)] if figure.get_figwidth() > PHONE[0] else [])]
            _write(target, page(pictures, title=name, metric=chosen.metric, theme=theme))
        elif target:
            _write(target, save(figure, target.suffix.lower()[1:]))
    return figure


def terminal_chart(
    results: "Source",
    *,
    metric: str | None = None,
    assets: Iterable[str] | int | None = None,
    width: int = 80,
    height: int = 20,
    colour: bool = True,
) -> str:
    """The chart of `plot` as text.

    Args:
        results: as for `plot`.
        metric: as for `plot`.
        assets: as for `plot`, and at most 6 of them.
        width: in columns, at least 40.
        height: in lines, at least 10.
        colour: whether it holds the escape sequences of colours.

    Returns:
        Lines, the last without an end.

    Raises:
        UsageError: as `plot`, and where more than 6 assets are asked for.
        MissingExtraError: plotext is not installed; the extra `plots` brings it.
    """
    for name in ("matplotlib", "plotext"):  # what reads the results comes with matplotlib: numpy
        bring(name, extra="plots")
    from kayrros_ext.plots.series import select
    from kayrros_ext.plots.terminal import draw

    return draw(select(results, metric, assets, DEFAULT_ASSETS), max(width, 40), max(height, 10), colour=colour)


def parse_target(path: str | Path) -> Path:
    """The path of a file that a picture can be written to.

    Raises:
        UsageError: it is a directory, or its ending is not that of a format.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"path is {str(path)!r}, and its ending says no format. Give it one of these: {', '.join(ENDINGS)}."
        )
    if target.is_dir():
        raise UsageError(f"path is {str(path)!r}, which is a directory. Give the path of a file.")
    return target


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_or_not_at_all(path) as file:
            file.write(content)
    except OSError as error:
        todo = TODO.get(error.errno or 0, "Choose another directory.")
        raise ExportError(f"{path} could not be written ({error.strerror or error}). {todo}", path=path) from error
