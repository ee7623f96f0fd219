"""Charts of results, as PNG, SVG, PDF, HTML or an Altair chart. `Results.plot` draws them.

The extra `plots` installs what they need: altair and vl-convert-python. Importing this package needs neither.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import attrs

from kayrros_ext._arguments import describe
from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext.errors import ExportError, UsageError

if TYPE_CHECKING:
    import altair as alt

    from kayrros_ext import Results
    from kayrros_ext._results.query import Names

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
    """The options of `Results.plot`, and of the file: whether lines answer the pointer, and may have a legend.

    Raises UsageError if one is invalid.
    """

    kind: str
    by: str
    facet: bool | None
    statistic: str | None
    theme: str
    title: str | None
    subtitle: str | None
    width: int = 800
    height: int | None = None
    moves: bool = True
    has_legend: bool = True

    def __attrs_post_init__(self) -> None:
        choices: dict[str, tuple[object, ...]] = {"kind": get_args(Kind), "theme": get_args(Theme)}
        choices["by"] = ("asset",) if self.kind == "map" else get_args(By)
        choices["facet"] = (None, True, False) if self.kind == "line" else (None,)
        choices["statistic"] = (None, *STATISTICS.get(str(self.kind), ()))
        hints = {
            name: f"Use one of {', '.join(map(repr, values))}." if len(values) > 1 else f"Omit {name} for this kind."
            for name, values in choices.items()
            if getattr(self, name) not in values
        }
        hints |= {
            name: "Pass a string." for name in ("title", "subtitle") if not isinstance(getattr(self, name), str | None)
        }
        for name, pixels, least in (("width", self.width, 200), ("height", self.height or 220, 220)):
            if type(pixels) is not int or not least <= pixels <= 5000:
                hints[name] = f"Pass a number of pixels, {least} to 5000."
        for name, hint in hints.items():
            raise UsageError(f"{name} is {describe(getattr(self, name))}.", hint=hint)

    @property
    def inner(self) -> int:
        """The width without padding."""
        return self.width - 28

    @property
    def is_narrow(self) -> bool:
        """Whether names stand above the lines, because at their right they would leave them no room."""
        return self.width < 520


def draw(
    results: "Results", path: str | Path | None, metric: "Names | None", assets: "Names | int | None", options: Options
) -> "alt.LayerChart | alt.VConcatChart":
    """Draw as `Results.plot` does."""
    from kayrros_ext._results.convert import import_optional  # imports pyarrow

    target = None if path is None else parse_target(path)
    for package in ("altair", "pandas", "vl_convert"):
        import_optional(package, extra="plots")
    import vl_convert

    from kayrros_ext.plots import kinds, page
    from kayrros_ext.plots.data import read

    statistic = options.statistic or STATISTICS.get(options.kind, (None,))[0]
    data = read(results, metric, assets, by=options.by, limit=LIMITS.get(options.kind, 6), statistic=statistic)
    if len(data.labels) > 1 and options.kind != "line":
        text = f"The kind {options.kind!r} shows one metric, not {len(data.labels)}."
        raise UsageError(text, hint="Draw one metric at a time.")
    suffix = target.suffix.lower() if target else ".html"
    options = attrs.evolve(options, statistic=statistic, moves=suffix == ".html")
    page.use_offline_renderer()
    drawing = kinds.draw(data, results, options)
    chart: alt.LayerChart | alt.VConcatChart = drawing.framed(options, options.theme.replace("auto", "light"))
    content: str | bytes = ""
    if target and suffix == ".html":
        # On a phone, the names of lines stand above the chart, in the page.
        phone = attrs.evolve(options, width=PHONE, height=None, has_legend=False)
        content = page.render(drawing, kinds.draw(data, results, phone), options, data.facts())
    elif target:
        scale: dict[str, Any] = {"scale": PNG_SCALE} if suffix == ".png" else {}
        content = getattr(vl_convert, f"vegalite_to_{suffix[1:]}")(chart.to_dict(validate=False), **scale)
    if target:
        try:
            with write_output(target) as file:
                file.write(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise output_error(ExportError, target, error) from error
    return chart


def parse_target(path: str | Path) -> Path:
    """Return the path of a picture. Raises UsageError if its suffix is not that of a format, and as `parse_output`."""
    target = parse_output(path)
    if target.suffix.lower() not in SUFFIXES:
        text = f"{str(target)!r} does not end in the suffix of a picture format."
        raise UsageError(text, hint=f"Use one of {', '.join(SUFFIXES)}.")
    return target
