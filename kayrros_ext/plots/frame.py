"""The frame of a published chart: texts, axes and colours. A theme is a Vega-Lite config, whose styles the marks name.

Under normal vision, protanopia, deuteranopia and tritanopia, two colours of `themes.json`, or one and the background, are at
least 20 apart in CIELAB; their contrast with the background is at least 3.9. Light and dark have the same six hues.
"""

import json
import textwrap
from collections.abc import Iterable, Sequence
from importlib import resources
from os.path import commonprefix  # of any strings
from typing import Any

import altair as alt
import attrs
import pandas as pd

from kayrros_ext._text import cell_width, distinct
from kayrros_ext.plots.data import MONTHS, ChartData, Rows, to_ms

# Pixels: padding of a picture, space between charts, axis of values; and the width of a letter of one pixel, on average.
PADDING, SPACING, AXIS, LETTER = 14, 20, 46, 0.55
DAY, DAY_MS = pd.Timedelta(days=1), 86_400_000


@attrs.frozen
class Size:
    """The size of a whole picture in pixels; without a height, it is as high as it needs."""

    width: int
    height: int | None = None

    @property
    def inner(self) -> int:
        """The width without padding."""
        return self.width - 2 * PADDING

    @property
    def is_narrow(self) -> bool:
        """Whether names stand above the lines, because at their right they would leave them no room."""
        return self.width < 520


@attrs.frozen(eq=False)
class Drawing:
    """A chart without its frame; what its subtitle says; a sentence for all that is left out; the lines with a colour each.

    `left` is the width of what stands at the left of the plot, in pixels, and `height` that of the plot.
    """

    chart: Any
    subtitle: str
    notes: Sequence[str]
    names: Sequence[str] = ()
    left: float = AXIS
    height: float = 300

    def sized(self, size: Size) -> Any:
        """Return a single chart so wide and high with all its texts. Small charts have their size already."""
        if not isinstance(self.chart, alt.LayerChart):
            return self.chart
        fit = alt.AutoSizeParams(type="fit" if size.height else "fit-x", contains="padding")
        return self.chart.properties(width=size.width, height=size.height or self.height, autosize=fit)

    def framed(self, texts: dict[str, str], size: Size, theme: str) -> Any:
        """Return the chart with title, subtitle, footer and colours. All begin at the left of the picture."""
        chart = self.sized(size)
        lines = [line for text in [*self.notes, texts["source"]] for line in wrap(text, size.inner / 11)]
        mark: dict[str, Any] = {"style": "note", "text": lines, "dx": -self.left, "clip": False}
        if isinstance(chart, alt.LayerChart):  # below the labels of its axis
            chart += alt.Chart(inline([{}])).mark_text(**mark, dy=46).encode(x=alt.value(0), y=alt.value("height"))
        else:
            footer = alt.Chart(inline([{}])).mark_text(**mark).encode(x=alt.value(0), y=alt.value(0))
            chart = alt.vconcat(chart, footer.properties(width=size.inner - self.left, height=15 * len(lines)))
        title, subtitle = wrap(texts["title"], size.inner / 18), wrap(texts["subtitle"], size.inner / 13)
        heading = alt.TitleParams(text=title, subtitle=subtitle, dx=-self.left)
        description = f"{texts['title']}. {texts['subtitle']}"
        return chart.properties(title=heading, description=description, config=themes()[theme])


def themes() -> dict[str, dict[str, Any]]:
    """Return the configs of the themes "light" and "dark"."""
    themes: dict[str, dict[str, Any]] = json.loads(
        resources.files(__package__).joinpath("themes.json").read_text("utf-8")
    )
    return themes


def inline(rows: Rows) -> dict[str, Rows]:
    """Return rows as data of a chart; as a dict, because Altair would validate each value."""
    return {"values": rows}


def facet(
    layers: Sequence[Any],
    data: dict[str, Rows],
    size: "Size",
    *,
    columns: int = 0,
    is_shared: bool = False,
    right: float = 12,
) -> Any:
    """Return the layers as a chart, or as a small chart for each key of the data, side by side in columns.

    They share one axis of values if `is_shared`. `right` is the width of what stands at their right, in pixels.
    """
    rows = [{"panel": panel, **row} for panel, several in data.items() for row in several]
    chart = alt.layer(*layers, data=inline(rows))
    if len(data) == 1:
        return chart
    columns = columns or min(len(data), max(size.inner // 220, 1), 6)
    room = size.inner - (AXIS if is_shared else AXIS * columns) - SPACING * (columns - 1) - right
    width, height = room / columns, max(room / columns / 2, 90) if columns > 1 else 180
    if size.height:
        height = max((size.height - 150) / -(-len(data) // columns) - 40, 40)
    header = alt.Header(title=None, labelLimit=width)
    by = alt.Facet(field="panel", type="nominal", sort=[*data], header=header)
    spacing = alt.RowColnumber(row=2 * SPACING, column=SPACING + (0 if is_shared else AXIS))
    charts = chart.properties(width=width, height=height).facet(
        facet=by, columns=columns, spacing=spacing, bounds="flush"
    )
    return charts if is_shared else charts.resolve_scale(y="independent")


def wrap(text: str, ems: float) -> list[str]:
    """Return text in lines of a width in ems."""
    is_wide = cell_width(text) / max(len(text), 1)  # 2 for Chinese
    return textwrap.wrap(text, max(int(ems / LETTER / is_wide), 8)) or [""]


def fit_names(names: Iterable[str], pixels: float) -> dict[str, str]:
    """Return each name as it fits a width. What all begin with goes first, so that what tells them apart stays."""
    names = list(dict.fromkeys(names))
    limit = max(int(pixels / 12 / LETTER), 6)
    start = commonprefix(names).rfind(" ") + 1 if len(names) > 1 and max(map(cell_width, names)) > limit else 0  # noqa: RUF071 - of letters
    if start and max(cell_width(name) for name in names) - start > limit:
        start = max(len(commonprefix(names)) - 3, start)  # noqa: RUF071
    short = {
        name: name[start:] if cell_width(name[start:]) <= limit or not start else name[start:][: limit - 1] + "…"
        for name in names
    }
    return (
        short
        if len({*short.values()}) == len(names) and max(map(cell_width, short.values())) <= limit
        else distinct(names, limit)
    )


def number_expr(digits: int) -> str:
    """Return the Vega expression of a number: 950, 1.2 k, 1.2 M."""
    suffixes = {"1e12": " tn", "1e9": " bn", "1e6": " M", "1e3": " k"}
    cases = (
        f"abs(datum.value) >= {by} ? format(datum.value / {by}, ',.{digits}~g') + '{text}' : "
        for by, text in suffixes.items()
    )
    return f"{''.join(cases)}format(datum.value, '.{digits}~g')"


def y_values(field: str = "value", *, zero: bool = False, aggregate: Any = alt.Undefined) -> alt.Y:
    """Return the axis of values."""
    axis = alt.Axis(labelExpr=number_expr(5), title=None, tickCount=5, minExtent=AXIS, maxExtent=AXIS)
    return alt.Y(field=field, type="quantitative", aggregate=aggregate, axis=axis, scale=alt.Scale(zero=zero))


def x_dates(data: Sequence[ChartData], width: float, *, margin: bool = False, zooms: bool = False) -> alt.X:
    """Return the axis of dates in UTC. Ticks of weekly and monthly data lie on their dates, until the reader zooms in."""
    dates = data[0].frame.index.union([date for one in data for date in one.frame.index]).as_unit("us")
    step, count = max(one.step for one in data), max(int(width / 66), 2)
    is_daily = bool((dates == dates.normalize()).all())
    [first, *_, last] = [*to_ms(dates), *to_ms(dates[-1:])]
    days = (last - first) / DAY_MS
    gap = int(step.total_seconds() * 500) if margin or not days else 0
    labels = _labels_on(dates, count) if is_daily and (step >= 5 * DAY or days <= count) else {}
    value = "datum.value"
    is_moment = f"utchours({value}) || utcminutes({value})"
    if is_daily or days > count:
        # Vega's ticks are days, Sundays, or firsts of months; it omits every other label that lacks room.
        tick = next((length for length, most in ((1, 1.4), (2, 3.7), (7, 14.5)) if days / count < most), 1)
        least = tick if width * tick > 41 * days else 2 * tick
        year = f"utcmonth({value}) === 0 && utcdate({value}) <= {least} && utcyear({value}) > {dates[0].year}"
        below = f"datum.index === 0 || {year} ? utcFormat({value}, '%Y') : ''"
        day = "'%-d %b'" if days <= 120 else f"utcdate({value}) === 1 ? '%b' : '%-d %b'"
        text = f"{is_moment} ? '{'' if is_daily else '%H:%M'}' : {day}"
        text = f"[utcFormat({value}, {text}), {below}]"
        text = (
            f"{days:.0f} > 900 && utcmonth({value}) === 0 && utcdate({value}) === 1 ? utcFormat({value}, '%Y') : {text}"
        )
    else:
        text = (
            f"[utcFormat({value}, '%H:%M'), datum.index === 0 || !({is_moment}) ? utcFormat({value}, '%-d %b %Y') : '']"
        )
    text = "".join(f"time({value}) === {time} ? {lines} : " for time, lines in labels.items()) + text
    # An expression, because Vega's interpreter, which a page uses, does not read the numbers of a list as dates.
    ticks: Any = alt.ExprRef(f"{'zoom.date ? null : ' * zooms}{[*labels]}")
    axis = alt.Axis(
        labelExpr=text, title=None, labelFlush=False, tickCount=count, tickMinStep=DAY_MS if is_daily else alt.Undefined
    )
    if labels:
        axis.values, axis.labelOverlap = ticks, False
    domain = [alt.ExprRef(str(first - gap)), alt.ExprRef(str(last + gap))]
    return alt.X(field="date", type="temporal", axis=axis, scale=alt.Scale(type="utc", domain=domain, nice=False))


def _labels_on(dates: pd.DatetimeIndex, count: int) -> dict[int, list[str]]:
    """Return about `count` of the dates with the lines of their labels: every few, or the first of some months or years."""
    ticks, months = dates[:: -(-len(dates) // count)], 1
    if len(dates) > 4 * count:
        for months in (1, 2, 3, 6, 12, *(12 * factor * 10**power for power in range(4) for factor in (2, 5, 10))):
            ticks = dates.to_series().groupby(((dates.year - dates[0].year) * 12 + dates.month - 1) // months).min()
            if len(ticks) <= count:
                break
        ticks = ticks[1:] if len(ticks) > 2 and ticks.iloc[1] - ticks.iloc[0] < 20 * months * DAY else ticks
        ticks = pd.DatetimeIndex(ticks)
    if months >= 12:
        return {time: [str(tick.year)] for time, tick in zip(to_ms(ticks), ticks, strict=True)}
    is_monthly = (dates.is_month_start | dates.is_month_end).all() and len(dates) > 1
    lines = [[f"{tick.day} " * (not is_monthly) + MONTHS[tick.month - 1], str(tick.year)] for tick in ticks]
    years = [None, *(tick.year for tick in ticks)]
    return {
        time: text[: 1 + (tick.year != year)]
        for time, tick, text, year in zip(to_ms(ticks), ticks, lines, years, strict=False)
    }


def colour(values: Sequence[float]) -> alt.Color:
    """Return colours for values: diverging where signs differ, logarithmic where a few are much larger than the others."""
    low, high = min(values), max(values)
    scale = alt.Scale(range="ramp", domain=[low, high] if low < high else [low - 1, high])
    if low < 0 < high:
        scale = alt.Scale(range="diverging", domain=[-max(-low, high), max(-low, high)], domainMid=0, interpolate="rgb")
    elif low > 0 and high > 30 * sorted(values)[len(values) // 2]:
        scale = alt.Scale(type="log", range="ramp")
    legend = alt.Legend(
        title=None, orient="top", gradientLength=160, gradientThickness=8, labelExpr=number_expr(3), tickCount=3
    )
    if low == high:
        legend.values = [low]
    return alt.Color(field="value", type="quantitative", scale=scale, legend=legend)


def dodge(places: dict[str, float], spacing: float, room: tuple[float, float]) -> dict[str, float] | None:
    """Return the places of labels, moved so that they are never closer than the spacing; None without room."""
    low, high = room
    if len(places) == 1:
        return places
    if len(places) * spacing > high - low:
        return None
    moved = sorted((place, name) for name, place in places.items())
    for _ in range(200):
        for index in range(1, len(moved)):
            overlap = max(spacing - (moved[index][0] - moved[index - 1][0]), 0) / 2
            moved[index - 1 : index + 1] = [
                (moved[index - 1][0] - overlap, moved[index - 1][1]),
                (moved[index][0] + overlap, moved[index][1]),
            ]
        ends = [(low + spacing * index, high - spacing * (len(moved) - 1 - index)) for index in range(len(moved))]
        moved = [(min(max(place, least), most), name) for (place, name), (least, most) in zip(moved, ends, strict=True)]
    return {name: place for place, name in moved}
