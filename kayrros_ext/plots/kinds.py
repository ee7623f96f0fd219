"""The kinds of charts. Each says what is shown; Vega-Lite computes and draws it."""

from typing import TYPE_CHECKING, Any

import altair as alt
import attrs
import numpy as np
import pandas as pd

from kayrros_ext._text import format_day, format_short, plural, printable
from kayrros_ext.errors import UsageError
from kayrros_ext.plots import frame, maps
from kayrros_ext.plots.data import BREAK_FACTOR, ChartData, thin
from kayrros_ext.plots.frame import ASSET, DATE, Drawing, fit_names, inline, names_width, number, x_dates

if TYPE_CHECKING:
    from kayrros_ext import Results
    from kayrros_ext.plots import Options

# One chart holds this many lines that are told apart; more have a chart each, whose title is so wide in pixels.
MAX_LINES, MAX_PANELS, TITLE = 6, 200, 175
# What a cell of a heatmap may cover, with its code in NumPy and its longest length in days.
CELLS = {"hour": ("h", 1 / 24), "day": ("D", 1), "week": ("W", 7), "month": ("M", 31), "year": ("Y", 366)}
CELLS |= {"decade": ("10Y", 3653), "century": ("100Y", 36525)}
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


def draw(data: ChartData, results: "Results", options: "Options") -> Drawing:
    """Draw a kind, with its texts."""
    if options.kind == "map":
        drawing = maps.draw_map(data, results.assets, options)
    else:
        kinds = {"line": line, "seasonal": seasonal, "change": change, "heatmap": heatmap, "latest": latest}
        drawing = kinds[options.kind](data, options)
    label = " and ".join(data.labels)
    title = printable(options.title or results.dataset_name or label)
    subtitle = printable(options.subtitle or drawing.subtitle)
    if title == label:
        subtitle = (rest := subtitle.removeprefix(f"{title}, "))[:1].upper() + rest[1:]
    notes = [*drawing.notes, f"Source: Kayrros. {printable(results.attribution)}"]
    return attrs.evolve(drawing, title=title, subtitle=subtitle, notes=notes)


def line(data: ChartData, options: "Options") -> Drawing:
    """Draw values over time: a line for each asset, in a chart for each metric or, with `facet`, for each asset."""
    count, stacked = len(data.assets), len(data.labels) > 1
    split = not stacked and count > 1 and (count > MAX_LINES if options.facet is None else options.facet)
    if stacked and options.facet:
        raise UsageError("A chart for each asset shows one metric.", hint="Draw one metric at a time.")
    if count > MAX_LINES and not split:
        text = f"{count} assets are too many for {MAX_LINES} lines in a chart."
        raise UsageError(text, hint=f"Pass fewer assets, or {'one metric' if stacked else 'facet=True'}.")
    points = thin(data.points, options.inner)
    notes = ["A line breaks where an asset was not observed."] * data.breaks() + data.notes
    x = x_dates(data, frame.grid(count if split else 1, options)[1], zooms=options.moves)
    subtitle = data.period if stacked else f"{data.labels[0]}, {data.period}"
    if split:
        points = _split(points)
        return Drawing(frame.facet(_lines(x, alt.Undefined, points, data, options), points, options), subtitle, notes)
    names = fit_names(data.assets, options.inner * (0.78 if options.is_narrow else 0.24))
    points = points.assign(asset=points["asset"].map(names))
    labels = pd.DataFrame() if options.is_narrow else _labels(points, options)
    columns = max(int(options.inner // (names_width(names.values()) + 40)), 1)
    legend = alt.Legend(columns=columns) if options.has_legend and labels.empty else None
    least = 50 + 20 * -(-count // columns) * bool(legend)
    colour = alt.Color("asset:N", scale=alt.Scale(domain=[*names.values()]), legend=legend)
    points, right = pd.concat([points, labels]), 12 if labels.empty else names_width(names.values())
    layers = _lines(x, colour, points, data, options)
    chart = frame.facet(layers, points, options, stacked=stacked, right=right, least=least)
    return Drawing(chart, subtitle, notes, [*names.values()])


def seasonal(data: ChartData, options: "Options") -> Drawing:
    """Draw the last year of each asset against the range and the mean of the five years before."""
    year = data.dates[-1].year
    before = [one for one in data.dates.year.unique() if year - YEARS <= one < year]
    if not before:
        text = f"There is no year before {year} to compare it with."
        raise UsageError(text, hint="Get more years, or draw kind='line'.")
    unit: Any = "utcdayofyear" if data.step < 2 * DAY else "utcweek" if data.step < 11 * DAY else "utcmonth"
    _, room = frame.grid(len(data.assets), options)
    months = next(count for count in (1, 2, 3, 4, 6) if room / 12 * count > 37.5)  # pixels from tick to tick
    axis = alt.Axis(format="%b", tickCount={"interval": "month", "step": months})
    base = alt.Chart().encode(x=alt.X("date:T", timeUnit=unit, axis=axis, scale=alt.Scale(type="utc")))
    low, mean = (alt.Y(f"{name}(value):Q", scale=alt.Scale(zero=False)) for name in ("min", "mean"))
    years = base.transform_filter(f"utcyear(datum.date) >= {year - YEARS} && utcyear(datum.date) < {year}")
    current = base.transform_filter(f"utcyear(datum.date) === {year}").encode(y=mean)
    layers = [
        years.mark_area(style="band").encode(y=low, y2="max(value):Q"),
        years.mark_line(style="mean").encode(y=mean),
        current.mark_line().encode(detail="part:N"),
        current.mark_point(style="dot").encode(tooltip=number("mean(value)", str(year))),
    ]
    notes = [f"The range covers {plural(len(before), 'year')}, not {YEARS}."] if len(before) < YEARS else []
    notes += [f"The line breaks where {year} has no value."] * data.breaks(year)
    period = " to ".join(map(str, dict.fromkeys([before[0], before[-1]])))
    subtitle = f"{data.labels[0]}, {year} (line) against the range and the mean (dashed) of {period}"
    chart = frame.facet(layers, _split(data.points), options)
    return Drawing(chart, f"{subtitle}{_only(data.points)}", [*data.notes, *notes])


def change(data: ChartData, options: "Options") -> Drawing:
    """Draw the difference to the previous date of each asset, or to the last one of the week before."""
    points, step, notes = data.points, data.step, []
    if options.statistic == "week":
        step = max(step, 7 * DAY)
        mondays = points["date"].dt.normalize() - points["date"].dt.day_of_week.to_numpy().astype("timedelta64[D]")
        points = points.assign(begin=mondays).groupby(["asset", "begin"], sort=False).tail(1)
        if data.dates[-1] + data.step < mondays.max() + 7 * DAY:
            notes.append(f"The last week is not over: its data end on {format_day(data.dates[-1])}.")
    lines = points.groupby("asset", sort=False)
    is_near = lines["begin"].diff() <= step * BREAK_FACTOR if options.statistic == "week" else lines["part"].diff() == 0
    rows = points[["panel", "asset", "date", "part"]].assign(value=lines["value"].diff())[is_near]
    if rows.empty:
        text = "There is nothing to draw, because no asset has values on two successive dates."
        raise UsageError(text, hint="Draw kind='latest'.")
    count = rows["asset"].nunique()
    _, room = frame.grid(count, options)
    width = max(room * 0.7 / ((data.dates[-1] - data.dates[0]) / step + 1), 1)
    # The first two colours of the theme.
    sign = alt.Color("sign:N", scale=alt.Scale(domain=["fall", "rise"]), legend=None)
    bars = alt.Chart().transform_calculate(when=_WHEN, sign="datum.value < 0 ? 'fall' : 'rise'").mark_bar(width=width)
    bars = bars.encode(x_dates(data, room, margin=True), sign, y="value:Q", tooltip=[DATE, number("value", "Change")])
    if skipped := len(points) - lines.ngroups - len(rows):
        notes.append(f"{plural(skipped, 'change')} over a break in the data left out.")
    if without := len(data.assets) - count:
        notes.append(f"{plural(without, 'asset')} without a change left out.")
    subtitle = f"{data.labels[0]}, change to the previous {options.statistic}, {data.period}{_only(rows)}"
    chart = frame.facet([*_bands(data), bars], _split(thin(rows, room)), options)
    return Drawing(chart, subtitle, [*data.notes, *notes])


def heatmap(data: ChartData, options: "Options") -> Drawing:
    """Draw the values of many assets by date as colours, the largest asset first."""
    names, dates = fit_names(data.assets, options.inner * (0.42 if options.is_narrow else 0.3)), data.dates
    left = names_width(names.values())
    days, room = np.ptp(dates.to_numpy()) / np.timedelta64(1, "D"), options.inner - left
    units = (unit for unit, (_, size) in CELLS.items() if size * DAY >= data.step * 0.9 and days / size < room / 2)
    code, size = CELLS[unit := next(units, "century")]
    monday = np.timedelta64(4 if unit == "week" else 0, "D")  # a week of NumPy begins on a Thursday
    cells = (dates.to_numpy() - monday).astype(f"datetime64[{code}]")  # pandas has no decades
    first, last = cells[[0, -1]].astype("int64")
    ends = np.arange(first, last + 2).astype(cells.dtype).astype("datetime64[s]") + monday
    starts, stops = pd.DatetimeIndex(ends[:-1]), pd.DatetimeIndex(ends[1:])
    rows = data.points.assign(start=starts[starts.searchsorted(data.points["date"], side="right") - 1])
    rows = rows.groupby(["asset", "start"], sort=False).agg({"value": "mean", "date": "first"}).reset_index()
    x = alt.X("start:T", axis=x_dates(data, room)["axis"], scale=alt.Scale(type="utc", nice=False))
    cells = rows.assign(asset=rows["asset"].map(names), stop=stops[starts.get_indexer(rows["start"])])
    chart = alt.Chart(inline(cells)).transform_calculate(when=_WHEN).mark_rect()
    chart = chart.encode(x, frame.colour(rows["value"]), y=frame.y_names(left), x2="stop:T")
    chart = chart.encode(tooltip=[DATE, ASSET, number("value", data.labels[0])])
    notes = [f"A cell is the mean of a{'n' * (unit == 'hour')} {unit}."] if data.step < size * DAY * 0.9 else []
    blank = rows["start"].value_counts().reindex(starts, fill_value=0) < len(names)
    notes += ["Blank: not observed."] * any(map(data.is_unobserved, starts[blank], stops[blank]))
    height = max(len(names) * max(15, min(28, 280 // len(names))), 60)
    chart = frame.single([*_bands(data), chart], options, height, least=len(names) * 13)
    return Drawing(chart, f"{data.labels[0]}, {data.period}", [*data.notes, *notes], left=left)


def latest(data: ChartData, options: "Options") -> Drawing:
    """Draw the latest value of each asset as a bar, the largest first, with a mark at the value before; or its mean."""
    names = fit_names(data.assets, options.inner * (0.42 if options.is_narrow else 0.35))
    rows = data.summary(options.statistic).sort_values("value", ascending=False, kind="stable")
    rows = rows.assign(asset=rows["asset"].map(names), short=rows["value"].map(format_short))
    left = names_width(names.values())
    base = alt.Chart(inline(rows)).encode(y=frame.y_names(left), tooltip=[DATE, ASSET, number("value", data.labels[0])])
    before = base.transform_filter("isValid(datum.before)").mark_tick(style="before")
    layers = [
        base.mark_bar(height=alt.RelativeBandSize(band=0.7)).encode(x="value:Q"),
        before.encode(x="before:Q", tooltip=[ASSET, number("before", "Before")]),
        base.mark_text(style="label", dx=6, clip=False).encode(x=alt.value("width"), text="short:N"),
    ]
    chart = frame.single(layers, options, max(len(rows) * 24, 50), least=len(rows) * 13)
    if options.statistic == "mean":
        return Drawing(chart, f"{data.labels[0]}, mean value, {data.period}", data.notes, left=left, below=30)
    date = format_day(data.dates[-1])
    older = int((rows["when"] != date).sum())
    notes = [*data.notes, *[f"The latest value of {plural(older, 'asset')} is older."] * bool(older)]
    subtitle = f"{data.labels[0]}, latest value, {date}; the line marks the value before"
    return Drawing(chart, subtitle, notes, left=left, below=30)


def _lines(x: alt.X, colour: Any, rows: pd.DataFrame, data: ChartData, options: "Options") -> list[alt.Chart]:
    """Return lines with their isolated values and names, and what answers the pointer."""
    base = alt.Chart().encode(x=x, y=alt.Y("value:Q", scale=alt.Scale(zero=False)), color=colour)
    if options.moves:
        opacity = alt.when(_HIDDEN).then(alt.value(0.08)).when(_FADED).then(alt.value(0.3)).otherwise(alt.value(1))
        base = base.encode(opacity=opacity)
    values, layers = base.transform_filter("isValid(datum.value)"), {}
    if options.moves:
        points = values.encode(opacity=alt.when(_AT_CURSOR).then(alt.value(1)).otherwise(alt.value(0)))
        targets = points.transform_calculate(when=_WHEN, text="format(datum.value, ',.6~r')")
        targets = targets.transform_joinaggregate(all="values(asset)", groupby=["panel", "date"])
        targets = targets.mark_point(style="dot", size=70, clip=True).encode(tooltip=alt.value(alt.ExprRef(_VALUES)))
        is_crowded = rows.groupby("panel")["asset"].nunique().max() > 1
        nearest: Any = {"fields": ["date", "asset"]} if is_crowded else {"encodings": ["x"], "fields": ["asset"]}
        hover = alt.selection_point("hover", nearest=True, on="mouseover", clear="mouseout", **nearest)
        # First, because Altair moves all selections of small charts to their first layer.
        layers["targets"] = targets.add_params(hover, alt.selection_interval("zoom", bind="scales", encodings=["x"]))
        rule = points.encode(y=alt.Undefined, color=alt.Undefined).mark_rule(style="cursor", clip=True)
        layers["rule"] = rule.add_params(alt.param("at_date", value=None), alt.param("only", value=None))
    layers |= zip(["bands"], _bands(data), strict=False)  # if there are gaps
    layers["lines"] = values.mark_line(clip=options.moves).encode(detail="part:N")
    if rows["alone"].any():
        layers["dots"] = values.transform_filter("datum.alone").mark_point(style="dot", clip=options.moves)
    isolated: Any = alt.param("isolated", value={})
    if "label" in rows:
        names = base.transform_filter("isValid(datum.label)").mark_text(style="label", dx=8, clip=False)
        layers["names"] = names.encode(x=alt.value("width"), y="label:Q", text="asset:N")
        isolated = alt.selection_point("isolated", fields=["asset"])
    if options.moves:
        name, last = layers.popitem()
        layers[name] = last.add_params(isolated)
    # Altair finds the layers of parameters by name.
    return [layer.properties(name=name) for name, layer in layers.items()]


def _labels(points: pd.DataFrame, options: "Options") -> pd.DataFrame:
    """Return where the names at the ends of the lines stand; none if they lack room."""
    panels = points.groupby("panel", sort=False)
    low, usual = (40, 180) if panels.ngroups > 1 else (15, 300)  # about, and as `facet` makes them
    pixels = max((options.height - frame.TEXTS) / panels.ngroups - 40, low) if options.height else usual
    labels = []
    for panel, rows in panels:
        ends, low, high = rows.groupby("asset")["value"].last().sort_values(), rows["value"].min(), rows["value"].max()
        steps = np.arange(len(ends)) * 16 * ((high - low) or 1) / pixels
        if len(ends) > 1 and len(ends) * steps[1] > high - low:
            return pd.DataFrame()
        # Each is at least a step above the one below it, and leaves room for those above it.
        places = np.minimum(np.maximum.accumulate(ends - steps) + steps, high - steps[::-1])
        labels.append(places.reset_index(name="label").assign(panel=panel))
    return pd.concat(labels)


def _bands(data: ChartData) -> list[alt.Chart]:
    """Return a layer of bands over the parts that could not be fetched, if there are any."""
    rows = inline(pd.DataFrame(data.gaps, columns=["date", "stop"]))
    band = alt.Chart(rows).mark_rect(style="unavailable", clip=True)
    return [band.encode(x=alt.X("date:T", scale=alt.Scale(type="utc")), x2="stop:T")] if data.gaps else []


def _only(rows: pd.DataFrame) -> str:
    """Return the end of a subtitle, which names the asset of a chart without small charts."""
    return f". {rows['asset'].iloc[0]}" if rows["asset"].nunique() == 1 else ""


def _split(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with a panel for each asset."""
    titles = fit_names(rows["asset"], TITLE)
    if len(titles) > MAX_PANELS:
        hint = "Pass fewer assets, or kind='heatmap'."
        raise UsageError(f"{len(titles)} assets are too many for {MAX_PANELS} charts.", hint=hint)
    return rows.assign(panel=rows["asset"].map(titles))
