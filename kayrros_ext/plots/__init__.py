"""Charts of results, as PNG, SVG, PDF, HTML, an Altair chart, or text for a terminal. `Results.plot` draws them.

The extra `plots` installs what they need: altair, vl-convert-python and plotext. Importing this package needs none of them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from kayrros_ext._arguments import describe
from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext._text import printable
from kayrros_ext.errors import ExportError, UsageError
from kayrros_ext.plots.terminal import require, terminal_chart

if TYPE_CHECKING:
    import altair as alt

    from kayrros_ext import Results
    from kayrros_ext._results.query import Names
    from kayrros_ext.plots.frame import Drawing, View

__all__ = ["terminal_chart"]

SUFFIXES = (".png", ".svg", ".pdf", ".html")
Kind = Literal["line", "seasonal", "change", "heatmap", "latest", "map"]
By = Literal["asset", "parent", "total"]
Theme = Literal["auto", "light", "dark"]
Statistic = Literal["latest", "mean", "date", "week"]
# The statistics of each kind, the default first; and how many assets it shows by default.
STATISTICS = {"change": ("date", "week"), "latest": ("latest", "mean"), "map": ("latest", "mean")}
LIMITS = {"heatmap": 100, "latest": 30, "map": None}
# Pixels of a PNG for each pixel of its size, for screens with a high resolution; and the width of a page on a phone.
PNG_SCALE, PHONE = 2, 358


@attrs.frozen(kw_only=True)
class Options:
    """The options of `Results.plot`. Raises UsageError if one is invalid."""

    kind: str
    by: str
    facet: bool | None
    statistic: str | None
    theme: str
    title: str | None
    subtitle: str | None
    width: int = 800
    height: int | None = None

    def __attrs_post_init__(self) -> None:
        choices: dict[str, tuple[object, ...]] = {"kind": get_args(Kind), "theme": get_args(Theme)}
        choices["by"] = ("asset",) if self.kind == "map" else get_args(By)
        choices["facet"] = (None, True, False) if self.kind == "line" else (None,)
        choices["statistic"] = (None, *STATISTICS.get(str(self.kind), ()))
        for name, values in choices.items():
            if (value := getattr(self, name)) not in values:
                hint = (
                    f"Use one of {', '.join(map(repr, values))}{f': omit {name} for this kind' * (values == (None,))}."
                )
                raise UsageError(f"{name} is {describe(value)}.", hint=hint)
        for name, text in (("title", self.title), ("subtitle", self.subtitle)):
            if not isinstance(text, str | None):
                raise UsageError(f"{name} is {describe(text)}.", hint="Pass a string.")
        for name, pixels, least in (("width", self.width, 200), ("height", self.height or 150, 150)):
            if type(pixels) is not int or not least <= pixels <= 5000:
                raise UsageError(f"{name} is {describe(pixels)}.", hint=f"Pass a number of pixels, {least} to 5000.")


def draw(
    results: "Results", path: str | Path | None, metric: "Names | None", assets: "Names | int | None", options: Options
) -> "alt.LayerChart | alt.VConcatChart":
    """Draw as `Results.plot` does."""
    target = None if path is None else parse_target(path)
    require("altair", "pandas", "vl_convert")
    from kayrros_ext.plots.data import read_metrics
    from kayrros_ext.plots.frame import View
    from kayrros_ext.plots.page import render_page, use_offline_renderer

    data = read_metrics(results, metric, assets, by=options.by, limit=LIMITS.get(options.kind, 6))
    if len(data) > 1 and options.kind != "line":
        text = f"The kind {options.kind!r} shows one metric, not {len(data)}."
        raise UsageError(text, hint="Draw one metric at a time.")
    is_page = target is not None and target.suffix.lower() == ".html"
    view = View(options.width, options.height, moves=is_page or not target)
    drawing = _draw_kind(results, data, view, options)
    title = printable(options.title or results.dataset_name or data[0].label)
    subtitle = printable(options.subtitle or drawing.subtitle)
    if title == data[0].label:
        subtitle = (rest := subtitle.removeprefix(f"{title}, "))[:1].upper() + rest[1:]
    texts = {"title": title, "subtitle": subtitle, "source": f"Source: Kayrros. {printable(results.attribution)}"}
    use_offline_renderer()
    chart: alt.LayerChart | alt.VConcatChart = drawing.framed(texts, view, options.theme.replace("auto", "light"))
    if target and is_page:
        # The names of the lines stand above the chart on a phone, in the page.
        views = {"wide": attrs.evolve(view, labelled=not view.is_narrow), "narrow": View(PHONE, labelled=False)}
        drawings = {name: (_draw_kind(results, data, one, options), one) for name, one in views.items()}
        _write(target, render_page(drawings, [fact for one in data for fact in one.facts], texts, options.theme))
    elif target:
        _write(target, _render(chart, target.suffix.lower()))
    return chart


def _draw_kind(results: "Results", data: list[Any], view: "View", options: Options) -> "Drawing":
    from kayrros_ext.plots import kinds, maps
    from kayrros_ext.plots.data import to_gaps

    statistic = options.statistic or STATISTICS.get(options.kind, ("",))[0]
    gaps, failures = to_gaps(results, data[0])
    drawing = {
        "line": lambda: kinds.line(data, view, gaps, split=options.facet),
        "seasonal": lambda: kinds.seasonal(data[0], view),
        "change": lambda: kinds.change(data[0], view, gaps, statistic=statistic),
        "heatmap": lambda: kinds.heatmap(data[0], view, gaps),
        "latest": lambda: kinds.latest(data[0], view, statistic=statistic),
        "map": lambda: maps.draw_map(data[0], results.assets, view, statistic=statistic),
    }[options.kind]()
    return attrs.evolve(drawing, notes=[*drawing.notes, *failures])


def _render(chart: "alt.LayerChart | alt.VConcatChart", suffix: str) -> bytes:
    import vl_convert

    options: dict[str, Any] = {"scale": PNG_SCALE} if suffix == ".png" else {}
    picture: bytes | str = getattr(vl_convert, f"vegalite_to_{suffix[1:]}")(chart.to_dict(validate=False), **options)
    return picture.encode() if isinstance(picture, str) else picture


def _write(path: Path, content: bytes) -> None:
    try:
        with write_output(path) as file:
            file.write(content)
    except OSError as error:
        raise output_error(ExportError, path, error) from error


def parse_target(path: str | Path) -> Path:
    """Return the path of a picture. Raises UsageError if its suffix is not that of a format, and as `parse_output`."""
    target = parse_output(path)
    if target.suffix.lower() not in SUFFIXES:
        text = f"{str(target)!r} does not end in the suffix of a picture format."
        raise UsageError(text, hint=f"Use one of {', '.join(SUFFIXES)}.")
    return target
