"""The kinds of charts. Each says what is shown; Vega-Lite computes and draws it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from kayrros_ext._text import cell_width, plural
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.data import (
    BREAK_FACTOR,
    ChartData,
    Rows,
    format_date,
    format_short,
    format_value,
    to_ms,
    to_points,
)
from kayrros_ext.plots.frame import (
    DAY,
    LETTER,
    Drawing,
    Size,
    colour,
    dodge,
    facet,
    fit_names,
    inline,
    x_dates,
    y_values,
)

if TYPE_CHECKING:
    import pandas as pd

# One chart holds this many lines that are told apart; more have a chart each.
MAX_LINES, MAX_PANELS = 6, 200
# The width of the title of a small chart, in pixels.
TITLE = 175
# What a cell of a heatmap may cover, with its code in NumPy and its longest length in days.
CELLS = {
    "day": ("D", 1),
    "week": ("W", 7),
    "month": ("M", 31),
    "year": ("Y", 366),
    "decade": ("10Y", 3660),
    "century": ("100Y", 36600),
}
# Years of the range that a season is compared with.
YEARS = 5
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


def line(
    data: Sequence[ChartData], size: Size, *, gaps: Rows, split: bool | None, moves: bool, labelled: bool
) -> Drawing:
    """Draw values over time: a line for each asset, in a chart for each metric or, if `split`, for each asset.

    With `moves`, it answers the pointer. `labelled` says whether the lines have their names.
    """
    count = len({name for one in data for name in one.frame})
    split = len(data) == 1 < count and (count > MAX_LINES if split is None else split)
    _check_count(count, split=split)
    room = size.inner * (0.78 if size.is_narrow else 0.24)
    names = fit_names((name for one in data for name in one.frame), min(room, TITLE) if split else room)
    points = {one.label: [{**row, "asset": names[row["asset"]]} for row in one.lines(size.inner)] for one in data}
    labels = {} if split or size.is_narrow or not labelled else _labels(data, names, size)
    rows = {label: several + labels.get(label, []) for label, several in points.items()}
    if split:
        rows = {name: [row for row in points[data[0].label] if row["asset"] == name] for name in names.values()}
    key = alt.Legend(orient="top", title=None, columns=1 if size.is_narrow else 3)
    has_key = labelled and not labels and not split
    by_asset = alt.Color(
        field="asset", type="nominal", scale=alt.Scale(domain=[*names.values()]), legend=key if has_key else None
    )
    dates = [date for one in data for date in to_ms(one.frame.index)]
    room = 190 if split else size.inner
    bands = _bands(gaps, 50 * (max(dates) - min(dates)) / room)
    layers = _lines(x_dates(data, room, zooms=moves), alt.Undefined if split else by_asset, rows, bands, moves=moves)
    notes = _notes(data)
    if any(_is_unobserved(*pair, gaps) for several in points.values() for pair in pairwise(several)):
        notes.insert(0, "A line breaks where an asset was not observed.")
    right = _width(names) if labels else 12
    chart = facet(layers, rows, size, columns=0 if split else 1, is_shared=split, right=right)
    subtitle = f"{data[0].label}, {_period(data)}" if len(data) == 1 else _period(data)
    return Drawing(chart, subtitle, notes, () if split else [*names.values()])


def seasonal(data: Sequence[ChartData], size: Size) -> Drawing:
    """Draw the last year of each asset against the range and the mean of the five years before."""
    dates = data[0].frame.index
    year, step = dates[-1].year, max(one.step for one in data)
    before = sorted({*dates.year[(dates.year < year) & (dates.year >= year - YEARS)]})
    if not before:
        raise UsageError(
            f"There is no year before {year} to compare it with.", hint="Get more years, or draw kind='line'."
        )
    unit: Any = "utcdayofyear" if step < 2 * DAY else "utcweek" if step < 11 * DAY else "utcmonth"
    panels = _panels(data, step)
    axis = alt.Axis(title=None, format="%b", tickCount={"interval": "month", "step": 1 if len(panels) == 1 else 4})
    x = alt.X(field="date", type="temporal", timeUnit=unit, axis=axis, scale=alt.Scale(type="utc"))
    base = alt.Chart().encode(x=x)
    years = base.transform_filter(f"utcyear(datum.date) >= {year - YEARS} && utcyear(datum.date) < {year}")
    low = y_values(aggregate="min").scale(zero=False)
    current = base.transform_filter(f"utcyear(datum.date) === {year}").encode(y=y_values(aggregate="mean"))
    tooltip = [alt.Tooltip(field="value", type="quantitative", aggregate="mean", format=",.6~r", title=str(year))]
    layers = [
        years.mark_area(style="band").encode(y=low, y2=alt.Y2(field="value", aggregate="max")),
        years.mark_line(style="mean").encode(y=y_values(aggregate="mean")),
        current.mark_line().encode(detail=alt.Detail(field="part", type="nominal")),
        current.mark_point(style="dot").encode(tooltip=tooltip),
    ]
    period = f"{before[0]} to {before[-1]}" if len(before) > 1 else f"{before[0]}"
    notes = [f"The range covers {plural(len(before), 'year')}, not {YEARS}."] if len(before) < YEARS else []
    first = to_ms(dates[dates.year == year])[0]
    if any(
        row["part"] != last["part"] and row["date"] > first for rows in panels.values() for last, row in pairwise(rows)
    ):
        notes.append(f"The line breaks where {year} has no value.")
    subtitle = f"{data[0].label}, {year} (line) against the range and the mean (dashed) of {period}"
    return Drawing(facet(layers, panels, size), subtitle, [*_notes(data), *notes])


def change(data: Sequence[ChartData], size: Size, *, statistic: str, gaps: Rows) -> Drawing:
    """Draw the difference to the previous date of each asset, or to the last one of the week before."""
    step = max(data[0].step, 7 * DAY) if statistic == "week" else data[0].step
    rows: dict[str, Rows] = {}
    skipped = 0
    for panel, column in _columns(data).items():
        values = column.groupby(column.index.to_period("W")).tail(1) if statistic == "week" else column
        differences, since = values.diff(), values.index.to_series().diff()
        skipped += int((since > step * BREAK_FACTOR).sum())
        differences = differences[since <= step * BREAK_FACTOR]
        rows[panel] = [
            {"date": date, "value": value} for date, value in zip(to_ms(differences.index), differences, strict=True)
        ]
    if not any(rows.values()):
        raise UsageError(
            "There is nothing to draw, because no asset has values on two successive dates.", hint="Draw kind='latest'."
        )
    room = size.inner / (1 if len(rows) == 1 else 4)
    count = (data[0].frame.index[-1] - data[0].frame.index[0]) / step + 1
    x, y = x_dates(data, room, margin=True), y_values(zero=True)
    # The first two colours of the theme.
    sign = alt.Color(field="sign", type="nominal", scale=alt.Scale(domain=["fall", "rise"]), legend=None)
    bars = alt.Chart().transform_calculate(when=_WHEN, sign="datum.value < 0 ? 'fall' : 'rise'")
    bars = bars.encode(x=x, y=y, color=sign, tooltip=_tooltip("when", value="Change"))
    bars = bars.mark_bar(width=max(room / count * 0.7, 1))
    bands = _bands(gaps, 50 * (data[0].frame.index[-1] - data[0].frame.index[0]).total_seconds() * 1000 / room)
    notes = [f"{plural(skipped, 'change')} over a break in the data left out."] if skipped else []
    return Drawing(
        facet([*bands.values(), bars], rows, size),
        f"{data[0].label}, change to the previous {statistic}, {_period(data)}",
        [*_notes(data), *notes],
    )


def heatmap(data: ChartData, size: Size, *, gaps: Rows) -> Drawing:
    """Draw the values of many assets by date as colours, the largest asset first."""
    names = fit_names(data.frame, size.inner * (0.42 if size.is_narrow else 0.3))
    dates, left = data.frame.index, _width(names)
    days, most = (dates[-1] - dates[0]) / DAY, (size.inner - left) / 2
    unit, (code, length) = next(
        (unit for unit in CELLS.items() if unit[1][1] * DAY >= data.step * 0.9 and days / unit[1][1] < most),
        [*CELLS.items()][-1],
    )
    shift = np.timedelta64(4 * (unit == "week"), "D")  # a week of NumPy begins on a Thursday
    cells = (dates.to_numpy() - shift).astype(f"datetime64[{code}]").astype("int64")
    numbers = np.arange(cells[0], cells[-1] + 2)
    every = numbers.astype(f"datetime64[{code}]").astype("datetime64[D]") + shift
    ends = every.astype("datetime64[ms]").astype("int64").tolist()
    means = data.frame.groupby(cells).mean().reindex(numbers[:-1])
    when = dates.to_series().groupby(cells).first().reindex(numbers[:-1])
    rows = [
        {"asset": names[name], "date": start, "stop": stop, "value": value, "when": format_date(date)}
        for name, values in means.items()
        for (start, stop), value, date in zip(pairwise(ends), values, when, strict=True)
        if value == value  # noqa: PLR0124 - not NaN
    ]
    x = alt.X(
        field="date",
        type="temporal",
        axis=x_dates([data], size.inner - left)["axis"],
        scale=alt.Scale(type="utc", nice=False),
    )
    chart = alt.Chart(inline(rows)).mark_rect().encode(x=x, x2=alt.X2(field="stop"), y=_y_names(names, left))
    chart = chart.encode(
        color=colour([row["value"] for row in rows]), tooltip=_tooltip("when", "asset", value=data.label)
    )
    notes = [f"A cell is the mean of a {unit}."] if data.step < length * DAY * 0.9 else []
    is_blank = means.isna().any(axis=1)
    blank = [cell for cell, is_so in zip(pairwise(ends), is_blank, strict=True) if is_so]
    if any(not any(gap["date"] < stop and gap["stop"] > start for gap in gaps) for start, stop in blank):
        notes.append("Blank: not observed.")
    height = max(len(names) * max(15, min(28, 280 // len(names))), 60)
    layers = [*_bands(gaps, 50 * (ends[-1] - ends[0]) / (size.inner - left)).values(), chart]
    return Drawing(
        alt.layer(*layers), f"{data.label}, {data.period}", [*_notes([data]), *notes], left=left, height=height
    )


def latest(data: ChartData, size: Size, *, statistic: str) -> Drawing:
    """Draw the latest value of each asset as a bar, the largest first, with a mark at the value before; or its mean."""
    names = fit_names(data.frame, size.inner * (0.42 if size.is_narrow else 0.35))
    rows: Rows = []
    for name, column in data.frame.items():
        values = column.dropna()
        row = {"asset": names[name], "value": values.mean(), "when": data.period}
        if statistic == "latest":
            row |= {"value": values.iloc[-1], "when": format_date(values.index[-1])}
            row |= {"before": values.iloc[-2], "previous": format_value(values.iloc[-2])} if len(values) > 1 else {}
        rows.append(row)
    rows = [{**row, "short": format_short(row["value"])} for row in sorted(rows, key=lambda row: -row["value"])]
    left, last = _width(names), data.frame.index[-1]
    y = _y_names([row["asset"] for row in rows], left)
    x = alt.X(field="value", type="quantitative", axis=y_values()["axis"], scale=alt.Scale(zero=True))
    base = alt.Chart(inline(rows)).encode(y=y, tooltip=_tooltip("when", "asset", "previous", value=data.label))
    layers = [
        base.mark_bar(height=alt.RelativeBandSize(band=0.7)).encode(x=x),
        base.mark_tick(style="before")
        .encode(x=alt.X(field="before", type="quantitative"))
        .transform_filter("isValid(datum.before)"),
        base.mark_text(style="label", dx=6, clip=False).encode(x=alt.value("width"), text="short:N"),
    ]
    notes, subtitle = _notes([data]), f"{data.label}, mean, {data.period}"
    if statistic == "latest":
        subtitle = f"{data.label}, latest value, {format_date(last)}; the line marks the value before"
        older = sum(row["when"] != format_date(last) for row in rows)
        notes += [f"The latest value of {plural(older, 'asset')} is older."] if older else []
    return Drawing(alt.layer(*layers), subtitle, notes, left=left, height=max(len(rows) * 24, 50))


def _lines(
    x: alt.X, by_asset: Any, rows: dict[str, Rows], bands: dict[str, alt.Chart], *, moves: bool
) -> list[alt.Chart]:
    """Return lines with their isolated values and names, if there are rows of them, and what answers the pointer."""
    fields = {field for several in rows.values() for row in several for field in row}
    opacity = alt.when(_HIDDEN).then(alt.value(0.08)).when(_FADED).then(alt.value(0.3)).otherwise(alt.value(1))
    base = alt.Chart().encode(x=x, y=y_values(), color=by_asset, **({"opacity": opacity} if moves else {}))
    layers: dict[str, alt.Chart] = {}
    if moves:
        is_crowded = any(len({row["asset"] for row in several}) > 1 for several in rows.values())
        at_cursor = alt.when(_AT_CURSOR).then(alt.value(1)).otherwise(alt.value(0))
        points = alt.Chart().transform_filter("isValid(datum.value)").encode(x=x, opacity=at_cursor)
        targets = points.transform_calculate(when=_WHEN, text="format(datum.value, ',.6~r')")
        targets = targets.transform_joinaggregate(all="values(asset)", groupby=["panel", "date"])
        targets = targets.mark_point(style="dot", size=70, clip=True).encode(
            y=y_values(), color=by_asset, tooltip=alt.value(alt.ExprRef(_VALUES))
        )
        nearest: Any = {"fields": ["date", "asset"]} if is_crowded else {"encodings": ["x"], "fields": ["asset"]}
        hover = alt.selection_point("hover", nearest=True, on="mouseover", clear="mouseout", **nearest)
        keys = [alt.param("at_date", value=None), alt.param("only", value=None)]
        # First, because Altair moves all selections of small charts to their first layer.
        layers["targets"] = targets.add_params(hover, alt.selection_interval("zoom", bind="scales", encodings=["x"]))
        layers["rule"] = points.mark_rule(style="cursor", clip=True).add_params(*keys)
    layers |= bands
    layers["lines"] = base.mark_line(clip=True).transform_filter("isValid(datum.date)")
    if "alone" in fields:
        layers["dots"] = base.mark_point(style="dot", clip=True).transform_filter("datum.alone")
    if "label" in fields:
        names = base.mark_text(style="label", dx=8, clip=False).transform_filter("isValid(datum.label)")
        layers["names"] = names.encode(x=alt.value("width"), y=y_values("label"), text="asset:N")
    if moves:
        name = [*layers][-1]
        isolated = (
            alt.selection_point("isolated", fields=["asset"]) if name == "names" else alt.param("isolated", value={})
        )
        layers[name] = layers[name].add_params(isolated)
    # Altair finds the layers of parameters by name.
    return [layer.properties(name=name) for name, layer in layers.items()]


def _labels(data: Sequence[ChartData], names: dict[str, str], size: Size) -> dict[str, Rows]:
    """Return where the names at the ends of the lines stand, by metric; none if they lack room."""
    labels: dict[str, Rows] = {}
    for one in data:
        ends = {names[name]: values.dropna().iloc[-1] for name, values in one.frame.items()}
        low, high = float(one.frame.min(axis=None)), float(one.frame.max(axis=None))
        pixels = ((size.height or 470) - 170) / len(data)
        if (places := dodge(ends, 16 * ((high - low) or 1) / pixels, (low, high))) is None:
            return {}
        labels[one.label] = [{"asset": name, "label": place} for name, place in places.items()]
    return labels


def _is_unobserved(row: dict[str, Any], following: dict[str, Any], gaps: Rows) -> bool:
    """Return whether a line breaks before a row, and no failed request explains it."""
    return row["value"] is None and not any(
        gap["date"] < following["date"] and gap["stop"] > row["date"] for gap in gaps
    )


def _bands(gaps: Rows, least: float) -> dict[str, alt.Chart]:
    """Return bands over the parts that could not be fetched; with a name, if they are longer than `least` milliseconds."""
    if not gaps:
        return {}
    band = alt.Chart(inline(gaps)).encode(x=alt.X(field="date", type="temporal", scale=alt.Scale(type="utc")))
    text = band.mark_text(style="note", dx=4, dy=4, clip=True, text="no data").encode(y=alt.value(0))
    text = text.transform_filter(f"datum.stop - datum.date > {least}")
    return {"bands": band.mark_rect(style="unavailable", clip=True).encode(x2=alt.X2(field="stop")), "gaps": text}


def _panels(data: Sequence[ChartData], step: "pd.Timedelta") -> dict[str, Rows]:
    """Return the points of each small chart, with the number of the part of the line that they belong to."""
    panels: dict[str, Rows] = {}
    for name, values in _columns(data).items():
        parts = (values.index.diff() > step * BREAK_FACTOR).cumsum().tolist()
        points = zip(to_points(values), parts, strict=True)
        panels[name] = [{"date": date, "value": value, "part": part} for (date, value), part in points]
    return panels


def _columns(data: Sequence[ChartData]) -> "dict[str, pd.Series[float]]":
    """Return the values of each small chart by its title."""
    columns = {
        f"{one.label}: {name}" if len(data) > 1 else name: values.dropna()
        for one in data
        for name, values in one.frame.items()
    }
    _check_count(len(columns), split=True)
    return {short: columns[title] for title, short in fit_names(columns, TITLE).items()}


def _check_count(count: int, *, split: bool) -> None:
    limit, things, hint = (
        (MAX_PANELS, "charts", "kind='heatmap'") if split else (MAX_LINES, "lines in a chart", "facet=True")
    )
    if count > limit:
        raise UsageError(f"{count} assets are too many for {limit} {things}.", hint=f"Pass fewer assets, or {hint}.")


def _notes(data: Sequence[ChartData]) -> list[str]:
    return [*dict.fromkeys(note for one in data for note in one.notes)]


def _period(data: Sequence[ChartData]) -> str:
    return max((one.period for one in data), key=len) if len({one.period for one in data}) > 1 else data[0].period


def _width(names: dict[str, str]) -> float:
    return max(map(cell_width, names.values())) * 12 * LETTER + 10


def _y_names(names: Iterable[str], left: float) -> alt.Y:
    axis = alt.Axis(title=None, ticks=False, domain=False, labelLimit=0, minExtent=left, maxExtent=left)
    return alt.Y(field="asset", type="nominal", sort=[*names], axis=axis)


def _tooltip(*texts: str, **numbers: str) -> list[alt.Tooltip]:
    titles = {"when": "Date", "asset": "Asset", "previous": "Before"}
    shown = [alt.Tooltip(field=name, type="nominal", title=titles[name]) for name in texts]
    return shown + [
        alt.Tooltip(field=name, type="quantitative", format=",.6~r", title=title) for name, title in numbers.items()
    ]
