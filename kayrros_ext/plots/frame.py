"""The frame of a published chart: texts, axes and colours. A theme is a Vega-Lite config, whose styles the marks name.

Under normal vision, protanopia, deuteranopia and tritanopia, two colours of `themes.json`, or one and the background, are at
least 20 apart in CIELAB; their contrast with the background is at least 3.9. Light and dark have the same six hues.
"""

import json
import math
import textwrap
from collections.abc import Iterable, Sequence
from importlib import resources
from os.path import commonprefix  # of any strings
from typing import TYPE_CHECKING, Any

import altair as alt
import attrs
import pandas as pd

from kayrros_ext._text import MONTHS, cell_width, distinct
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.data import ChartData, to_ms

if TYPE_CHECKING:
    from kayrros_ext.plots import Options

# Pixels: padding of a picture, space between charts, axis of values, and height of all texts around a chart, about; and the
# width of a letter of one pixel, on average.
PADDING, SPACING, AXIS, TEXTS, LETTER = 14, 20, 46, 150, 0.55
# Hours and months between two ticks.
TICK_HOURS = (1, 3, 6, 12, 24, 48, 168, 336)
TICK_MONTHS = (1, 2, 3, 6, *(12 * factor * 10**power for power in range(5) for factor in (1, 2, 5)))
ONE_ROW: Any = {"values": [{}]}
# What the pointer shows of a mark.
DATE, ASSET = alt.Tooltip("when:N", title="Date"), alt.Tooltip("asset:N", title="Asset")


@attrs.frozen(eq=False)
class Drawing:
    """A chart without its frame, its texts, a sentence for all that is left out, and the lines with a colour each.

    `left` is the width of what stands at the left of the plot, in pixels; `below` the height of what stands below it.
    """

    chart: Any
    subtitle: str
    notes: Sequence[str]
    names: Sequence[str] = ()
    left: float = AXIS
    below: float = 46
    title: str = ""

    def framed(self, options: "Options", theme: str) -> Any:
        """Return the chart with title, subtitle, footer and colours. All begin at the left of the picture."""
        chart, width = self.chart, options.inner
        lines = [line for note in self.notes for line in wrap(note, width / 11)]
        footer = alt.Chart(ONE_ROW).mark_text(style="note", text=lines, dx=-self.left, clip=False)
        footer = footer.encode(x=alt.value(0), y=alt.value(0))
        if isinstance(chart, alt.LayerChart):
            # += would change it for pages.
            chart = chart + footer.encode(y=alt.value("height"), yOffset=alt.value(self.below))
        else:
            chart = alt.vconcat(chart, footer.properties(width=width - self.left, height=15 * len(lines)))
        title, subtitle = wrap(self.title, width / 18), wrap(self.subtitle, width / 13)
        heading = alt.TitleParams(text=title, subtitle=subtitle, dx=-self.left)
        return chart.properties(title=heading, description=f"{self.title}. {self.subtitle}", config=themes()[theme])


def themes() -> dict[str, dict[str, Any]]:
    """Return the configs of the themes "light" and "dark"."""
    themes: dict[str, dict[str, Any]] = json.loads(resources.files(__package__).joinpath("themes.json").read_bytes())
    return themes


def inline(rows: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Return rows as data of a chart, without cells that have no value; as a dict, because Altair would validate each."""
    dates = {name: to_ms(rows[name]) for name in ("date", "start", "stop") if name in rows}
    records = rows.assign(**dates).to_dict("records")
    return {"values": [{str(key): value for key, value in row.items() if value == value} for row in records]}  # noqa: PLR0124


def single(layers: Sequence[Any], options: "Options", height: float, *, least: int = 50, **properties: Any) -> Any:
    """Return the layers as a chart that is as wide with all its texts as the options say, and so high without a height.

    `least` is the least height without texts. Raises UsageError if it has no room.
    """
    if options.height and options.height < least + TEXTS:
        hint = f"Pass {least + TEXTS} or more, or omit it."
        raise UsageError(f"height is {options.height}, which is too small for this chart.", hint=hint)
    fit = alt.AutoSizeParams(type="fit" if options.height else "fit-x", contains="padding")
    return alt.layer(*layers, width=options.width, height=options.height or height, autosize=fit, **properties)


def facet(
    layers: Sequence[Any], rows: pd.DataFrame, options: "Options", *, stacked: bool = False, right: float = 12,
    least: int = 50,
) -> Any:  # fmt: skip
    """Return the layers as a chart, or as a small chart for each panel of the rows: in columns, or stacked.

    `right` is the width of what stands at their right, in pixels.
    """
    panels = [*rows["panel"].unique()]
    if len(panels) == 1:
        return single(layers, options, 300, least=least, data=inline(rows.drop(columns="panel")))
    columns, width = grid(1 if stacked else len(panels), options, right)
    height = max(width / 2, 90) if columns > 1 else 180
    if options.height:
        height = max((options.height - TEXTS) / -(-len(panels) // columns) - 40, 40)
    by = alt.Facet(field="panel", type="nominal", sort=panels, header=alt.Header(labelLimit=width))
    spacing = alt.RowColnumber(row=2 * SPACING, column=SPACING)
    charts = alt.layer(*layers, data=inline(rows), width=width, height=height)
    charts = charts.facet(by, columns=columns, spacing=spacing, bounds="flush")
    return charts.resolve_scale(y="independent") if stacked else charts


def grid(count: int, options: "Options", right: float = 12) -> tuple[int, float]:
    """Return the columns of small charts, about as many as rows, and the width of each without its texts."""
    columns = min(count if count < 4 else math.ceil(math.sqrt(count)), max(options.inner // 220, 1), 6)
    return columns, (options.inner - AXIS - SPACING * (columns - 1) - right) / columns


def wrap(text: str, ems: float) -> list[str]:
    """Return text in lines of a width in ems."""
    is_wide = cell_width(text) / max(len(text), 1)  # 2 for Chinese
    return textwrap.wrap(text, max(int(ems / LETTER / is_wide), 8)) or [""]


def fit_names(names: Iterable[str], pixels: float) -> dict[str, str]:
    """Return each name as it fits a width. Names that are too long lose what all begin with, but for a word of it."""
    names, limit, start = list(dict.fromkeys(names)), max(int(pixels / 12 / LETTER), 6), 0
    if len(names) > 1 and max(map(cell_width, names)) > limit:
        prefix = commonprefix(names)  # noqa: RUF071 - of letters
        start = max(prefix.rfind(" ") + 1, len(prefix) - 3)
    return dict(zip(names, distinct((name[start:] for name in names), limit).values(), strict=True))


def names_width(names: Iterable[str]) -> float:
    """Return the width of the longest name in pixels, with some space."""
    return max(map(cell_width, names)) * 12 * LETTER + 10


def y_names(left: float) -> alt.Y:
    """Return the axis of names in the order of the rows, which is so wide in pixels."""
    axis = alt.Axis(ticks=False, domain=False, labelLimit=0, minExtent=left, maxExtent=left)
    return alt.Y("asset:N", sort=None, axis=axis)


def number(field: str, title: str) -> alt.Tooltip:
    """Return what the pointer shows of a value."""
    return alt.Tooltip(f"{field}:Q", format=",.6~r", title=title)


def x_dates(data: ChartData, width: float, *, margin: bool = False, zooms: bool = False) -> alt.X:
    """Return the axis of dates in UTC. Its ticks are dates of the data, until the reader zooms in."""
    dates, count = data.dates, max(int(width / 66), 2)
    labels = _tick_labels(dates, count)
    clock = "utchours(datum.value) || utcminutes(datum.value) ? '%H:%M' : '%-d %b'"
    text = "".join(f"time(datum.value) === {time} ? {lines} : " for time, lines in labels.items())
    text += f"[utcFormat(datum.value, {clock}), utcFormat(datum.value, '%-d %b %Y')]"
    axis = alt.Axis(labelExpr=text, labelFlush=False, labelOverlap="greedy", tickCount=count)
    # An expression, because Vega's interpreter, which a page uses, does not read the numbers of a list as dates.
    axis.values = alt.ExprRef(f"{'zoom.date ? null : ' * zooms}{[*labels]}")
    axis.tickMinStep = 86_400_000 if (dates == dates.normalize()).all() else alt.Undefined
    first, last = to_ms(dates[[0, -1]])
    gap = int(data.step.total_seconds() * 500) if margin or first == last else 0
    domain = [alt.ExprRef(str(first - gap)), alt.ExprRef(str(last + gap))]
    return alt.X("date:T", axis=axis, scale=alt.Scale(type="utc", domain=domain, nice=False))


def _tick_labels(dates: pd.DatetimeIndex, count: int) -> dict[int, list[str]]:
    """Return about `count` dates with the lines of their labels: the first in each few hours, days, months or years."""
    hours = dates.astype("datetime64[s]").astype("int64") // 3600
    hours, months = hours - hours[0] // 24 * 24, (dates.year - dates[0].year) * 12 + dates.month - 1
    keys = [*((hours // step, 0) for step in TICK_HOURS), *((months // step, step) for step in TICK_MONTHS)]
    ticks, step = next((dates[~key.duplicated()], step) for key, step in keys if key.nunique() <= count)
    gaps = ticks.diff()[1:]
    ticks = ticks[[*(gaps > 0.6 * gaps.to_series().median()), True]]  # of two that are close, the later begins a month
    is_timed = bool((ticks != ticks.normalize()).any())
    is_monthly = len(ticks) > 1 and not is_timed and bool(ticks.is_month_start.all() or ticks.is_month_end.all())
    labels, before = {}, None
    for time, tick in zip(to_ms(ticks), ticks, strict=True):
        line, below = f"{tick.day} " * (not is_monthly) + MONTHS[tick.month - 1], str(tick.year)
        if is_timed:
            line, below = f"{tick.hour:02}:{tick.minute:02}", f"{line} {below}"
        labels[time] = [below] if step >= 12 else [line, below] if below != before else [line]
        before = below
    return labels


def colour(values: "pd.Series[float]") -> alt.Color:
    """Return colours for values: diverging where signs differ, logarithmic where a few are much larger than the others."""
    low, high = float(values.min()), float(values.max())
    scale = alt.Scale(range="ramp", domain=[low, high] if low < high else [low - 1, high])
    if low < 0 < high:
        scale = alt.Scale(range="diverging", domain=[-max(-low, high), max(-low, high)], domainMid=0, interpolate="rgb")
    elif low > 0 and high > 30 * values.median():
        scale = alt.Scale(type="log", range="ramp")
    labels = themes()["light"]["axisQuantitative"]["labelExpr"].replace("5~g", "3~g")
    legend = alt.Legend(labelExpr=labels, tickCount=3, values=[low] if low == high else alt.Undefined)
    return alt.Color("value:Q", scale=scale, legend=legend)
