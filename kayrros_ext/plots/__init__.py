"""Charts of results, as PNG, SVG, PDF, HTML, an Altair chart, or text for a terminal. `Results.plot` draws them.

The extra `plots` installs what they need: altair, vl-convert-python and plotext. Importing this package needs none of them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from kayrros_ext._arguments import describe
from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext._text import printable
from kayrros_ext.errors import ExportError, UsageError

if TYPE_CHECKING:
    import altair as alt

    from kayrros_ext import Results
    from kayrros_ext._results.query import Names
    from kayrros_ext.plots.frame import Drawing, Size

__all__ = ["terminal_chart"]

SUFFIXES = (".png", ".svg", ".pdf", ".html")
Kind = Literal["line", "seasonal", "change", "heatmap", "latest", "map"]
By = Literal["asset", "parent", "total"]
Theme = Literal["auto", "light", "dark"]
Statistic = Literal["latest", "mean", "date", "week"]
# The number of assets that a kind shows by default, the largest, and the statistics that it has, the default first.
KINDS: dict[str, tuple[int | None, tuple[str, ...]]] = {
    "line": (6, ()),
    "seasonal": (6, ()),
    "change": (6, ("date", "week")),
    "heatmap": (100, ()),
    "latest": (30, ("latest", "mean")),
    "map": (None, ("latest", "mean")),
}
# Pixels of a PNG for each pixel of its size, for screens with a high resolution.
PNG_SCALE = 2


def draw(
    results: "Results",
    path: str | Path | None,
    *,
    kind: str,
    metric: "Names | None",
    assets: "Names | int | None",
    by: str,
    facet: bool | None,
    statistic: str | None,
    theme: str,
    title: str | None,
    subtitle: str | None,
    width: int,
    height: int | None,
) -> "alt.LayerChart | alt.VConcatChart":
    """Draw as `Results.plot` does."""
    target = None if path is None else parse_target(path)
    check_options(kind=kind, by=by, facet=facet, statistic=statistic, theme=theme, width=width, height=height)
    _check_texts(title=title, subtitle=subtitle)
    limit, statistics = KINDS[kind]
    require("altair", "pandas", "vl_convert")
    from kayrros_ext.plots.data import read_metrics, to_gaps
    from kayrros_ext.plots.frame import Size

    size = Size(width, height)
    data = read_metrics(results, metric, assets, by=by, limit=limit)
    if len(data) > 1 and kind in {"heatmap", "latest", "map"}:
        raise UsageError(f"The kind {kind!r} shows one metric, not {len(data)}.", hint="Draw one metric at a time.")
    gaps, failures = to_gaps(results, data)

    def draw_kind(size: "Size", *, moves: bool = True, labelled: bool = True) -> "Drawing":
        from kayrros_ext.plots import kinds, maps

        if kind == "line":
            drawing = kinds.line(data, size, gaps=gaps, split=facet, moves=moves, labelled=labelled)
        elif kind == "map":
            drawing = maps.draw_map(data[0], results.assets, size, statistic=statistic or "latest")
        else:
            shown = data if kind in {"seasonal", "change"} else data[0]
            options: dict[str, Any] = {"statistic": statistic or statistics[0]} if statistics else {}
            options |= {"gaps": gaps} if kind in {"change", "heatmap"} else {}
            drawing = getattr(kinds, kind)(shown, size, **options)
        return attrs.evolve(drawing, notes=[*drawing.notes, *failures])

    _use_offline_renderer()
    is_page = target is not None and target.suffix.lower() == ".html"
    drawing = draw_kind(size, moves=target is None or is_page)
    texts = {
        "title": printable(title or results.dataset_name or " and ".join(one.label for one in data)),
        "subtitle": printable(subtitle or drawing.subtitle),
        "source": f"Source: Kayrros. {printable(results.attribution)}",
    }
    if texts["title"] == data[0].label:
        text = texts["subtitle"].removeprefix(f"{data[0].label}, ")
        texts["subtitle"] = text[:1].upper() + text[1:]
    colours = "dark" if theme == "dark" else "light"
    chart: alt.LayerChart | alt.VConcatChart = drawing.framed(texts, size, colours)
    if target and is_page:
        from kayrros_ext.plots.page import PHONE, render_page

        # The names of the lines stand above the chart on a phone, in the page.
        drawings = draw_kind(size, labelled=not size.is_narrow), draw_kind(PHONE, labelled=False)
        facts = [fact for one in data for fact in one.facts]
        _write(target, render_page(*drawings, facts=facts, texts=texts, size=size, theme=theme))
    elif target:
        _write(target, _render(chart, target.suffix.lower()))
    return chart


def check_options(
    *,
    kind: str,
    by: str,
    facet: bool | None,
    statistic: str | None,
    theme: str,
    width: int = 800,
    height: int | None = None,
    **_texts: object,
) -> None:
    """Check the options of `Results.plot` that need no results.

    Raises:
        UsageError: one of them is invalid.
    """
    _check("kind", kind, KINDS)
    _check("by", by, get_args(By) if kind != "map" else ("asset",))
    _check("theme", theme, get_args(Theme))
    _check("facet", facet, (None, True, False) if kind == "line" else (None,))
    _check("statistic", statistic, (None, *KINDS[kind][1]))
    _check_pixels("width", width, 200)
    if height is not None:
        _check_pixels("height", height, 150)


def _use_offline_renderer() -> None:
    """Let notebooks show charts without network, unless the user has chosen a renderer of Altair."""
    import altair as alt

    from kayrros_ext.plots.page import render_output

    if alt.renderers.active == "default":
        alt.renderers.register("kayrros", render_output)
        alt.renderers.enable("kayrros")


def _check(name: str, value: object, choices: Iterable[object]) -> None:
    if value not in [*choices]:
        hint = f"Use one of {', '.join(map(repr, choices))}{f': omit {name} for this kind' * (choices == (None,))}."
        raise UsageError(f"{name} is {describe(value)}.", hint=hint)


def _check_texts(**texts: object) -> None:
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise UsageError(f"{name} is {describe(text)}.", hint="Pass a string.")


def _check_pixels(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= 5000:
        raise UsageError(f"{name} is {describe(value)}.", hint=f"Pass a number of pixels, {least} to 5000.")


def _render(chart: "alt.LayerChart | alt.VConcatChart", suffix: str) -> bytes:
    import vl_convert

    options = {"scale": PNG_SCALE} if suffix == ".png" else {}
    picture: bytes | str = getattr(vl_convert, f"vegalite_to_{suffix[1:]}")(chart.to_dict(validate=False), **options)
    return picture.encode() if isinstance(picture, str) else picture


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


def terminal_chart(
    results: "Results",
    *,
    metric: "Names | None" = None,
    assets: "Names | int | None" = None,
    width: int = 80,
    height: int = 20,
    colour: bool = True,
) -> str:
    """Draw a metric of results over time as text.

    Args:
        results: kayrros_ext.Results.
        metric: name of the metric; by default the first of the table.
        assets: ids or names, or a number to draw that many of the largest. At most 6, and 1 in 10 lines, which is the
            default.
        width: in columns, at least 40.
        height: in lines, at least 10.
        colour: whether the text contains colour escape sequences.

    Returns:
        Lines without a final newline.

    Raises:
        UsageError: there is nothing to draw, an argument is invalid, or there are more than 6 assets.
        MissingExtraError: plotext is not installed; the extra `plots` installs it.
    """
    require_size(width, height)
    require("pandas", "plotext")
    from kayrros_ext.plots.data import read_metrics
    from kayrros_ext.plots.terminal import draw, max_lines

    data, *others = read_metrics(results, metric, assets, by="asset", limit=max_lines(height))
    if others:
        hint = "Draw one metric at a time, or write a picture to a file."
        raise UsageError(f"A terminal has room for one metric, not {len(others) + 1}.", hint=hint)
    return draw(data, width, height, title=printable(results.dataset_name or ""), colour=colour)


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
    """
    from kayrros_ext._results.convert import import_optional  # imports pyarrow

    for package in packages:
        import_optional(package, extra="plots")


def _write(path: Path, content: bytes) -> None:
    try:
        with write_output(path) as file:
            file.write(content)
    except OSError as error:
        raise output_error(ExportError, path, error) from error
