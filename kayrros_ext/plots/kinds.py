"""The kinds of charts. Each says what is shown; Vega-Lite computes and draws it."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import altair as alt
import pandas as pd

from kayrros_ext._text import plural
from kayrros_ext.errors import UsageError
from kayrros_ext.plots import frame
from kayrros_ext.plots.data import BREAK_FACTOR, DAY_MS, ChartData, Rows, format_short, to_ms
from kayrros_ext.plots.frame import Drawing, View, fit_names, inline, names_width, tooltip, x_dates, y_values

# One chart holds this many lines that are told apart; more have a chart each, whose title is so wide in pixels.
MAX_LINES, MAX_PANELS, TITLE = 6, 200, 175
# What a cell of a heatmap may cover, with its code in NumPy and its longest length in days.
CELLS = {"day": ("D", 1), "week": ("W", 7), "month": ("M", 31), "year": ("Y", 366), "decade": ("10Y", 3653)}
CELLS |= {"century": ("100Y", 36525)}
# Years of the range that a season is compared with.
YEARS = 5
DAY = pd.Timedelta(days=1)
_WHEN = "utcFormat(datum.date, utchours(datum.date) || utcminutes(datum.date) ? '%-d %b %Y %H:%M' : '%-d %b %Y')"
# What the reader points at: with the pointer, or with the keys of an HTML page, which sets `at_date` and `only`. A click on
# a name isolates its line.
_AT_CURSOR = "at_date === null ? hover.date && +hover.date[0] === +datum.date : at_date === +datum.date"
_HIDDEN = "only === null ? isolated.asset && indexof(isolated.asset, datum.asset) < 0 : only !== datum.asset"
_FADED = "hover.asset && hover.asset[0] !== datum.asset"
# The values of all lines. The pointer is over a cell around a point, whose datum is the point, whose datum is the row.
_VALUES = """{'Date': (datum.datum || datum).when,
'Asset': join(pluck((datum.datum || datum).all, 'asset'), '\\n'),
'Value': join(pluck((datum.datum || datum).all, 'text'), '\\n')}"""


def line(data: Sequence[ChartData], view: View, gaps: Rows, *, split: bool | None) -> Drawing:
    """Draw values over time: a line for each asset, in a chart for each metric or, if `split`, for each asset."""
    first, *others = data
    count = len(first.frame.columns)
    split = not others and count > 1 and (count > MAX_LINES if split is None else split)
    if count > MAX_LINES and not split:
        hint = "Pass fewer assets, or facet=True."
        raise UsageError(f"{count} assets are too many for {MAX_LINES} lines in a chart.", hint=hint)
    room = view.inner * (0.78 if view.is_narrow else 0.24)
    names = fit_names(first.frame, min(room, TITLE) if split else room)
    points = {one.label: [{**row, "asset": names[row["asset"]]} for row in one.rows(view.inner)] for one in data}
    labels = {} if split or view.is_narrow or not view.labelled else _labels(data, names, view)
    panels = {label: rows + labels.get(label, []) for label, rows in points.items()}
    panels = _split(panels[first.label]) if split else panels
    legend = alt.Legend(columns=1 if view.is_narrow else 3) if view.labelled and not labels else None
    by_asset = alt.Color(field="asset", type="nominal", scale=alt.Scale(domain=[*names.values()]), legend=legend)
    x = x_dates(first, 190 if split else view.inner, zooms=view.moves)
    layers = _lines(x, alt.Undefined if split else by_asset, panels, gaps, moves=view.moves, labelled=bool(labels))
    notes = [*dict.fromkeys(note for one in data for note in one.notes)]
    if any(_is_unobserved(*pair, gaps) for rows in points.values() for pair in pairwise(rows)):
        notes.insert(0, "A line breaks where an asset was not observed.")
    right = names_width(names.values()) if labels else 12
    chart = frame.facet(layers, panels, view, by_metric=bool(others), right=right)
    subtitle = first.period if others else f"{first.label}, {first.period}"
    return Drawing(chart, subtitle, notes, () if split else [*names.values()])


def seasonal(data: ChartData, view: View) -> Drawing:
    """Draw the last year of each asset against the range and the mean of the five years before."""
    dates, year = data.frame.index, data.frame.index[-1].year
    before = sorted({*dates.year[(dates.year < year) & (dates.year >= year - YEARS)]})
    if not before:
        hint = "Get more years, or draw kind='line'."
        raise UsageError(f"There is no year before {year} to compare it with.", hint=hint)
    panels = _split(data.rows())
    unit: Any = "utcdayofyear" if data.step < 2 * DAY else "utcweek" if data.step < 11 * DAY else "utcmonth"
    axis = alt.Axis(format="%b", tickCount={"interval": "month", "step": 1 if len(panels) == 1 else 4})
    base = alt.Chart().encode(x=alt.X("date:T", timeUnit=unit, axis=axis, scale=alt.Scale(type="utc")))
    years = base.transform_filter(f"utcyear(datum.date) >= {year - YEARS} && utcyear(datum.date) < {year}")
    current = base.transform_filter(f"utcyear(datum.date) === {year}").encode(y=y_values(aggregate="mean"))
    shown = alt.Tooltip(field="value", type="quantitative", aggregate="mean", format=",.6~r", title=str(year))
    layers = [
        years.mark_area(style="band").encode(y=y_values(aggregate="min"), y2=alt.Y2(field="value", aggregate="max")),
        years.mark_line(style="mean").encode(y=y_values(aggregate="mean")),
        current.mark_line().encode(detail="part:N"),
        current.mark_point(style="dot").encode(tooltip=shown),
    ]
    notes = [f"The range covers {plural(len(before), 'year')}, not {YEARS}."] if len(before) < YEARS else []
    start = to_ms(dates[dates.year == year])[0]
    if any(
        row["part"] != last["part"] and row["date"] > start for rows in panels.values() for last, row in pairwise(rows)
    ):
        notes.append(f"The line breaks where {year} has no value.")
    period = " to ".join(map(str, dict.fromkeys([before[0], before[-1]])))
    subtitle = f"{data.label}, {year} (line) against the range and the mean (dashed) of {period}"
    return Drawing(frame.facet(layers, panels, view), subtitle, [*data.notes, *notes])


def change(data: ChartData, view: View, gaps: Rows, *, statistic: str) -> Drawing:
    """Draw the difference to the previous date of each asset, or to the last one of the week before."""
    rows: Rows = []
    step, skipped = max(data.step, 7 * DAY) if statistic == "week" else data.step, 0
    for name, values in data.series():
        last = values.groupby(values.index.to_period("W")).tail(1) if statistic == "week" else values
        is_near = last.index.diff() <= step * BREAK_FACTOR
        skipped += len(last) - 1 - int(is_near.sum())
        points = zip(to_ms(last.index[is_near]), last.diff()[is_near], strict=True)
        rows += [{"asset": name, "date": date, "value": value} for date, value in points]
    if not rows:
        text = "There is nothing to draw, because no asset has values on two successive dates."
        raise UsageError(text, hint="Draw kind='latest'.")
    panels = _split(rows)
    room = view.inner / (1 if len(panels) == 1 else 4)
    count = (data.frame.index[-1] - data.frame.index[0]) / step + 1
    # The first two colours of the theme.
    sign = alt.Color(field="sign", type="nominal", scale=alt.Scale(domain=["fall", "rise"]), legend=None)
    bars = alt.Chart().transform_calculate(when=_WHEN, sign="datum.value < 0 ? 'fall' : 'rise'")
    bars = bars.mark_bar(width=max(room / count * 0.7, 1)).encode(x=x_dates(data, room, margin=True), color=sign)
    bars = bars.encode(y=y_values(zero=True), tooltip=tooltip("when", value="Change"))
    notes = [f"{plural(skipped, 'change')} over a break in the data left out."] if skipped else []
    subtitle = f"{data.label}, change to the previous {statistic}, {data.period}"
    return Drawing(frame.facet([*_bands(gaps), bars], panels, view), subtitle, [*data.notes, *notes])


def heatmap(data: ChartData, view: View, gaps: Rows) -> Drawing:
    """Draw the values of many assets by date as colours, the largest asset first."""
    names, dates = fit_names(data.frame, view.inner * (0.42 if view.is_narrow else 0.3)), data.frame.index
    left = names_width(names.values())
    days, room = (dates[-1] - dates[0]) / DAY, view.inner - left
    units = (
        unit for unit, (_, length) in CELLS.items() if length * DAY >= data.step * 0.9 and days / length < room / 2
    )
    code, length = CELLS[unit := next(units, "century")]
    # A cell begins at its first date, and ends where the next one begins, unless this lies beyond its length.
    cells = pd.Index(dates.to_numpy().astype(f"datetime64[{code}]").astype("int64"))
    means, starts, span = data.frame.groupby(cells).mean(), to_ms(dates[~cells.duplicated()]), length * DAY_MS
    stops = [min(start + span, following) for start, following in pairwise([*starts, starts[-1] + span])]
    ends = [*zip(starts, stops, strict=True)]
    rows = [
        {"asset": names[name], "date": start, "stop": stop, "value": value}
        for name, values in means.items()
        for (start, stop), value in zip(ends, values, strict=True)
        if value == value  # noqa: PLR0124 - not NaN
    ]
    x = alt.X("date:T", axis=x_dates(data, room)["axis"], scale=alt.Scale(type="utc", nice=False))
    chart = alt.Chart(inline(rows)).transform_calculate(when=_WHEN).mark_rect()
    chart = chart.encode(x=x, x2=alt.X2(field="stop"), y=frame.y_names(names.values(), left))
    chart = chart.encode(
        color=frame.colour([row["value"] for row in rows]), tooltip=tooltip("when", "asset", value=data.label)
    )
    notes = [f"A cell is the mean of a {unit}."] if data.step < length * DAY * 0.9 else []
    blank = [end for end, is_blank in zip(ends, means.isna().any(axis=1), strict=True) if is_blank]
    blank += [(stop, start) for stop, start in zip(stops, starts[1:], strict=False) if stop < start]
    if any(not any(gap["date"] < stop and gap["stop"] > start for gap in gaps) for start, stop in blank):
        notes.append("Blank: not observed.")
    height = max(len(names) * max(15, min(28, 280 // len(names))), 60)
    chart = alt.layer(*_bands(gaps), chart)
    return Drawing(chart, f"{data.label}, {data.period}", [*data.notes, *notes], left=left, height=height)


def latest(data: ChartData, view: View, *, statistic: str) -> Drawing:
    """Draw the latest value of each asset as a bar, the largest first, with a mark at the value before; or its mean."""
    names = fit_names(data.frame, view.inner * (0.42 if view.is_narrow else 0.35))
    rows = [
        {**row, "asset": names[row["asset"]], "short": format_short(row["value"])} for row in data.summary(statistic)
    ]
    rows.sort(key=lambda row: -row["value"])
    left = names_width(names.values())
    y = frame.y_names([row["asset"] for row in rows], left)
    base = alt.Chart(inline(rows)).encode(y=y, tooltip=tooltip("when", "asset", "previous", value=data.label))
    before = base.transform_filter("isValid(datum.before)").mark_tick(style="before")
    chart = alt.layer(
        base.mark_bar(height=alt.RelativeBandSize(band=0.7)).encode(x=alt.X("value:Q", scale=alt.Scale(zero=True))),
        before.encode(x="before:Q"),
        base.mark_text(style="label", dx=6, clip=False).encode(x=alt.value("width"), text="short:N"),
    )
    last = data.when(statistic)
    older = sum(row["when"] != last for row in rows)
    notes = [*data.notes, *([f"The latest value of {plural(older, 'asset')} is older."] if older else [])]
    subtitle = f"{data.label}, {statistic} value, {last}{'; the line marks the value before' * (statistic == 'latest')}"
    return Drawing(chart, subtitle, notes, left=left, height=max(len(rows) * 24, 50))


def _lines(
    x: alt.X, by_asset: Any, panels: dict[str, Rows], gaps: Rows, *, moves: bool, labelled: bool
) -> list[alt.Chart]:
    """Return lines with their isolated values and names, and what answers the pointer."""
    opacity = alt.when(_HIDDEN).then(alt.value(0.08)).when(_FADED).then(alt.value(0.3)).otherwise(alt.value(1))
    base = alt.Chart().encode(x=x, y=y_values(), color=by_asset, **({"opacity": opacity} if moves else {}))
    values = base.transform_filter("isValid(datum.value)")
    layers: dict[str, alt.Chart] = {}
    if moves:
        points = values.encode(opacity=alt.when(_AT_CURSOR).then(alt.value(1)).otherwise(alt.value(0)))
        targets = points.transform_calculate(when=_WHEN, text="format(datum.value, ',.6~r')")
        targets = targets.transform_joinaggregate(all="values(asset)", groupby=["panel", "date"])
        targets = targets.mark_point(style="dot", size=70, clip=True).encode(tooltip=alt.value(alt.ExprRef(_VALUES)))
        is_crowded = any(len({row["asset"] for row in rows}) > 1 for rows in panels.values())
        nearest: Any = {"fields": ["date", "asset"]} if is_crowded else {"encodings": ["x"], "fields": ["asset"]}
        hover = alt.selection_point("hover", nearest=True, on="mouseover", clear="mouseout", **nearest)
        keys = [alt.param("at_date", value=None), alt.param("only", value=None)]
        # First, because Altair moves all selections of small charts to their first layer.
        layers["targets"] = targets.add_params(hover, alt.selection_interval("zoom", bind="scales", encodings=["x"]))
        rule = points.encode(y=alt.Undefined, color=alt.Undefined)
        layers["rule"] = rule.mark_rule(style="cursor", clip=True).add_params(*keys)
    layers |= zip(["bands"], _bands(gaps), strict=False)  # if there are gaps
    layers["lines"] = values.mark_line(clip=True).encode(detail="part:N")
    parts = Counter(
        (panel, row["asset"], row["part"]) for panel, rows in panels.items() for row in rows if "part" in row
    )
    if 1 in parts.values():
        alone = values.transform_joinaggregate(count="count()", groupby=["panel", "asset", "part"])
        layers["dots"] = alone.transform_filter("datum.count === 1").mark_point(style="dot", clip=True)
    isolated: Any = alt.param("isolated", value={})
    if labelled:
        names = base.transform_filter("isValid(datum.label)").mark_text(style="label", dx=8, clip=False)
        layers["names"] = names.encode(x=alt.value("width"), y=y_values("label"), text="asset:N")
        isolated = alt.selection_point("isolated", fields=["asset"])
    if moves:
        name, last = layers.popitem()
        layers[name] = last.add_params(isolated)
    # Altair finds the layers of parameters by name.
    return [layer.properties(name=name) for name, layer in layers.items()]


def _labels(data: Sequence[ChartData], names: dict[str, str], view: View) -> dict[str, Rows]:
    """Return where the names at the ends of the lines stand, by metric; none if they lack room."""
    labels: dict[str, Rows] = {}
    for one in data:
        ends = {names[name]: values.iloc[-1] for name, values in one.series()}
        low, high = float(one.frame.min(axis=None)), float(one.frame.max(axis=None))
        pixels = ((view.height or 470) - 170) / len(data)
        if (places := frame.dodge(ends, 16 * ((high - low) or 1) / pixels, (low, high))) is None:
            return {}
        labels[one.label] = [{"asset": name, "label": place} for name, place in places.items()]
    return labels


def _is_unobserved(row: dict[str, Any], following: dict[str, Any], gaps: Rows) -> bool:
    """Return whether a line breaks after a row, and no failed request explains it."""
    is_break = row["asset"] == following["asset"] and row["part"] != following["part"]
    return is_break and not any(gap["date"] < following["date"] and gap["stop"] > row["date"] for gap in gaps)


def _bands(gaps: Rows) -> list[alt.Chart]:
    """Return a layer of bands over the parts that could not be fetched, if there are any."""
    band = alt.Chart(inline(gaps)).mark_rect(style="unavailable", clip=True)
    return [band.encode(x=alt.X("date:T", scale=alt.Scale(type="utc")), x2=alt.X2(field="stop"))] if gaps else []


def _split(rows: Rows) -> dict[str, Rows]:
    """Return the rows of each asset, for a small chart each."""
    panels = {name: [*several] for name, several in groupby(rows, key=itemgetter("asset"))}
    if len(panels) > MAX_PANELS:
        hint = "Pass fewer assets, or kind='heatmap'."
        raise UsageError(f"{len(panels)} assets are too many for {MAX_PANELS} charts.", hint=hint)
    titles = fit_names(panels, TITLE)
    return {titles[name]: several for name, several in panels.items()}
