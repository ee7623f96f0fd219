"""Pictures of results: charts over time and maps, as PNG, SVG, HTML, a matplotlib figure, or text for a terminal.

The extra `plots` installs what they need: matplotlib and plotext. Importing this package needs neither.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Never, TypedDict

from kayrros_ext._arguments import describe, unknown_argument
from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext._text import plural, printable
from kayrros_ext.errors import ConfigurationError, ExportError, UsageError
from kayrros_ext.plots.labels import invalid_choice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kayrros_ext import Results
    from kayrros_ext._results.query import Names
    from kayrros_ext.plots.figures import HoverData

__all__ = ["Options", "plot", "terminal_chart"]

SUFFIXES = (".png", ".svg", ".html")
THEMES = ["auto", "light", "dark"]
# How many of the largest assets a chart shows by default.
DEFAULT_ASSETS = 6


class Options(TypedDict, total=False):
    """The options of `plot`, for callers that pass them on."""

    metric: str | None
    assets: "Names | int | None"
    map: bool
    statistic: Literal["latest", "mean"]
    theme: Literal["auto", "light", "dark"]
    title: str | None
    size: tuple[float, float] | None


def plot(
    results: "Results",
    path: str | Path | None = None,
    *,
    metric: str | None = None,
    assets: "Names | int | None" = None,
    map: bool = False,  # noqa: A002 - the plain name of the option
    statistic: Literal["latest", "mean"] = "latest",
    theme: Literal["auto", "light", "dark"] = "auto",
    title: str | None = None,
    size: tuple[float, float] | None = None,
    **_unknown: Never,
) -> "Figure":
    """Draw a metric of results over time, or on a map.

    A line breaks where values are missing: at a null, where two dates are further apart than 1.5 times the median step
    between dates, and over `results.gaps`, which is also shaded. More than 6 assets get a small chart each, all with the
    same axes. The unit is derived from the end of the metric's name (`_bbl`, `_pct`, `_kg_per_h`, ...), because the API
    gives none.

    Args:
        results: kayrros_ext.Results.
        path: a file to write, in the format of its suffix: .png, .svg or .html. HTML is one self-contained file with
            value, date and asset under the pointer, and a narrow picture for phones. An existing file is replaced.
        metric: name of the metric; by default the first of the table.
        assets: ids or names, or objects with an `id`; a number to draw that many of the largest; or "all". An asset's size
            is the mean of its absolute values, because its surface may be missing. By default the 6 largest, on a map all.
        map: draw the assets at their centroids, coloured and sized by the metric, with the coast around them.
        statistic: the value of each asset on a map, its latest or its mean.
        theme: "auto" is light, and in HTML follows the reader's system.
        title: by default the metric.
        size: width and height in inches. The picture grows in height if its charts or texts need it.

    Returns:
        The figure, which a notebook shows and matplotlib can modify.

    Raises:
        UsageError: there is nothing to draw, or an argument is invalid; the hint lists the available metrics, assets or
            suffixes.
        MissingExtraError: matplotlib is not installed; the extra `plots` installs it.
        ConfigurationError: matplotlib finds no directory to write its cache to.
        ExportError: the file can't be written. An existing file stays as it was.
    """
    if _unknown:
        raise unknown_argument(plot, _unknown)
    target = None if path is None else parse_target(path)
    if theme not in THEMES:
        raise invalid_choice("theme", theme, THEMES)
    if not isinstance(map, bool):
        raise invalid_choice("map", map, [True, False])
    if title is not None and not isinstance(title, str):
        raise UsageError(f"title is {describe(title)}.", hint="Pass a string.")
    if not _is_size(size):
        raise UsageError(f"size is {size!r:.80}.", hint="Pass width and height in inches, 2 to 100, such as (10, 5).")
    title = title and printable(title)
    require("matplotlib")
    import matplotlib as mpl

    from kayrros_ext.plots.figures import catch_missing_glyphs, rc_params, render
    from kayrros_ext.plots.lines import draw as draw_lines
    from kayrros_ext.plots.maps import draw as draw_map
    from kayrros_ext.plots.series import chart_data
    from kayrros_ext.plots.themes import DARK, LIGHT

    data = chart_data(results, metric, assets, None if map else DEFAULT_ASSETS)
    is_page = target is not None and target.suffix.lower() == ".html"
    colours = DARK if theme == "dark" and not is_page else LIGHT

    def draw(size: tuple[float, float] | None) -> "tuple[Figure, list[HoverData]]":
        if map:
            return draw_map(data, colours, statistic=statistic, title=title, size=size)
        return draw_lines(data, colours, title=title, size=size)

    with mpl.rc_context(rc_params()):
        figure, hover = draw(size)
        with catch_missing_glyphs():
            figure.draw_without_rendering()  # creates the remaining texts while our settings apply
        if target and is_page:
            from kayrros_ext.plots.pages import PHONE_SIZE, render_page

            name = title or f"{data.metric} of {plural(len(data.series), 'asset')}"
            pictures = [(figure, hover), *([draw(PHONE_SIZE)] if figure.get_figwidth() > PHONE_SIZE[0] else [])]
            _write(target, render_page(pictures, title=name, metric=data.metric, theme=theme))
        elif target:
            _write(target, render(figure, target.suffix.lower()[1:]))
    return figure


def terminal_chart(
    results: "Results",
    *,
    metric: str | None = None,
    assets: "Names | int | None" = None,
    width: int = 80,
    height: int = 20,
    colour: bool = True,
) -> str:
    """Draw a metric of results over time as text.

    Args:
        results: kayrros_ext.Results.
        metric: name of the metric; by default the first of the table.
        assets: ids or names, or a number to draw that many of the largest. At most 6, and 2 in 10 lines, which is the
            default.
        width: in columns, at least 40.
        height: in lines, at least 10.
        colour: whether the text contains colour escape sequences.

    Returns:
        Lines without a final newline.

    Raises:
        UsageError: there is nothing to draw, an argument is invalid, or there are more than 6 assets.
        MissingExtraError: matplotlib or plotext is not installed; the extra `plots` installs them.
    """
    require_size(width, height)
    require("matplotlib", "plotext")  # matplotlib brings numpy
    from kayrros_ext.plots.series import chart_data
    from kayrros_ext.plots.terminal import draw, max_series

    return draw(chart_data(results, metric, assets, max_series(height)), width, height, colour=colour)


def parse_target(path: str | Path) -> Path:
    """Return the path of a picture.

    Raises:
        UsageError: it can't be that of a file, or its suffix is not that of a format.
        ExportError: it can't be reached.
    """
    target = parse_output(path)
    if target.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"{str(target)!r} does not end in the suffix of a picture format.",
            hint=f"Use one of {', '.join(SUFFIXES)}.",
        )
    return target


def require_size(width: int, height: int) -> None:
    """Check that a terminal has room for a chart.

    Raises:
        UsageError: it is too small.
    """
    if width < 40 or height < 10:
        raise UsageError(
            f"{width} columns and {height} lines are too small for a chart.",
            hint="Pass at least 40 columns and 10 lines, or write a picture to a file.",
            hint_cli="Enlarge the terminal to 40 columns and 12 lines, or write a picture with --output.",
        )


def require(*packages: str) -> None:
    """Check that packages of the extra `plots` can be imported.

    Raises:
        MissingExtraError: one of them is not installed.
        ConfigurationError: matplotlib finds no directory to write its cache to.
    """
    from kayrros_ext._results.convert import import_optional  # imports pyarrow

    for package in packages:
        try:
            import_optional(package, extra="plots")
        except OSError as error:
            hint = "Set MPLCONFIGDIR to a directory that you may write to."
            raise ConfigurationError(f"{package} can't be imported ({error}).", hint=hint) from error


def _is_size(size: object) -> bool:
    """Return whether a size is None, or width and height from 2 to 100."""
    if not (isinstance(size, tuple | list) and len(size) == 2):
        return size is None
    return all(isinstance(side, int | float) and 2 <= side <= 100 for side in size)


def _write(path: Path, content: bytes) -> None:
    try:
        with write_output(path) as file:
            file.write(content)
    except OSError as error:
        raise output_error(ExportError, path, error) from error
