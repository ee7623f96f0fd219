"""The data of a chart: a metric of results as a frame of dates by assets."""

import functools
import math
from typing import TYPE_CHECKING, Any

import attrs
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.query import Names, parse_names
from kayrros_ext._results.schema import metric_units, strings
from kayrros_ext._results.selection import find_assets, find_metric
from kayrros_ext._results.units import is_additive, split_unit
from kayrros_ext._text import distinct, plural, printable
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kayrros_ext import Results

# A line breaks where two dates are further apart than this many median steps.
BREAK_FACTOR, DAY_MS = 1.5, 86_400_000
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale
Rows = list[dict[str, Any]]


@attrs.frozen(eq=False)
class ChartData:
    """A metric with its unit, a column for each asset, and a sentence for all that is left out.

    `step` is the median time between two dates of an asset.
    """

    label: str
    frame: pd.DataFrame
    step: pd.Timedelta
    notes: list[str]

    @property
    def period(self) -> str:
        """The first and the last date, such as "2 Jan to 6 Feb 2024"."""
        first, last = format_date(self.frame.index[0]), format_date(self.frame.index[-1])
        return first if first == last else f"{first.removesuffix(f' {self.frame.index[-1].year}')} to {last}"

    @property
    def facts(self) -> list[str]:
        """A sentence for each asset, for those who do not see the chart."""
        facts = []
        for name, values in self.series():
            dates = {"lowest": values.idxmin(), "highest": values.idxmax(), "last": values.index[-1]}
            texts = (f"{word} {format_value(values[date])} on {format_date(date)}" for word, date in dates.items())
            facts.append(f"{self.label}, {name}: {plural(len(values), 'value')}, {', '.join(texts)}.")
        return facts

    def series(self) -> "Iterator[tuple[str, pd.Series[float]]]":
        """Yield the values of each asset."""
        return ((name, column.dropna()) for name, column in self.frame.items())

    def when(self, statistic: str) -> str:
        """Return the period of a mean, or the last date."""
        return self.period if statistic == "mean" else format_date(self.frame.index[-1])

    def summary(self, statistic: str) -> Rows:
        """Return the mean or latest value of each asset, its date, and the value before it."""
        rows: Rows = []
        for name, values in self.series():
            row = {"asset": name, "value": values.mean(), "when": self.period}
            if statistic == "latest":
                row |= {"value": values.iloc[-1], "when": format_date(values.index[-1])}
                row |= {"before": values.iloc[-2], "previous": format_value(values.iloc[-2])} if len(values) > 1 else {}
            rows.append(row)
        return rows

    def rows(self, width: float = math.inf) -> Rows:
        """Return the points of each line with the number of their unbroken part. At most four of a line share a pixel."""
        rows: Rows = []
        for name, values in self.series():
            parts = pd.Series((values.index.diff() > self.step * BREAK_FACTOR).cumsum(), values.index)
            if len(values) > 4 * width:
                pixels = values.groupby([pd.cut(to_ms(values.index), int(width), labels=False), parts.to_numpy()])
                kept = [*pixels.idxmin(), *pixels.idxmax(), *pixels.head(1).index, *pixels.tail(1).index]
                parts = parts[parts.index.isin(kept)]
            points = zip(to_ms(parts.index), values[parts.index], parts.tolist(), strict=True)
            rows += [{"asset": name, "date": date, "value": value, "part": part} for date, value, part in points]
        return rows


def read_metrics(
    results: "Results", metric: Names | None, assets: "Names | int | None", *, by: str, limit: int | None
) -> list[ChartData]:
    """Select the data of a chart, by metric. All have the dates of all, and the assets of the first. Raises UsageError."""
    available = [*metric_units(results.table)]
    if not available:
        raise UsageError("There is nothing to draw, because the results have no row with a metric.")
    names = available[:1] if metric is None else parse_names("metric", metric)
    first, *others = dict.fromkeys(find_metric(name, results.table) for name in names)
    data = [_read(results, first, assets, by=by, limit=limit)]
    for name in others:
        one = _read(results, name, "all" if isinstance(assets, int) else assets, by=by, limit=None)
        data.append(attrs.evolve(one, frame=one.frame[[asset for asset in data[0].frame if asset in one.frame]]))
    dates = functools.reduce(pd.Index.union, (one.frame.index for one in data))
    return [attrs.evolve(one, frame=one.frame.reindex(dates)) for one in data]


def _read(results: "Results", metric: str, assets: "Names | int | None", *, by: str, limit: int | None) -> ChartData:
    rows = results.table.filter(pc.equal(results.table["metric"].cast(pa.string()), strings([metric])[0]))
    count = None
    if type(assets) is int and assets > 0:
        limit = assets
    elif assets is not None:
        limit = None
        if assets != "all":
            ids = find_assets(parse_names("assets", assets), results.assets)  # type: ignore[arg-type]
            rows, count = rows.filter(pc.is_in(rows["asset_id"].cast(pa.string()), value_set=strings(ids))), len(ids)
    dated = rows.filter(rows["value_date"].is_valid())
    if not dated["value"].drop_null():
        raise UsageError(f"There is nothing to draw, because no row of {metric!r:.80} has a date and a value.")
    frame, is_partial = _to_frame(attrs.evolve(results, table=dated), metric, by)
    total, frame = count or len(frame.columns), frame.dropna(axis=1, how="all").dropna(how="all")
    notes = [f"{plural(count, 'value')} without a date left out."] if (count := len(rows) - len(dated)) else []
    if by == "asset" and (count := total - len(frame.columns)):
        notes.append(f"{plural(count, 'asset')} without a value left out.")
    notes += ["A sum is over the assets with a value on the date, and some have none."] if is_partial else []
    frame = frame[frame.abs().mean().nlargest(len(frame.columns)).index]
    if limit and limit < len(frame.columns):
        largest = f"{limit} largest" if limit > 1 else "largest"
        notes.append(f"Shown: the {largest} of {plural(len(frame.columns), 'asset')}, by mean absolute value.")
        frame = frame[frame.columns[:limit]]
    steps = pd.concat([frame[name].dropna().index.to_series().diff() for name in frame])
    step = pd.Timedelta(days=1) if steps.isna().all() else steps.quantile(interpolation="lower")
    name, unit = split_unit(printable(metric))
    return ChartData(f"{name[:1].upper()}{name[1:]}{f', {unit}' * bool(unit)}", frame, step, notes)


def _to_frame(results: "Results", metric: str, by: str) -> tuple[pd.DataFrame, bool]:
    """Return a column for each asset, parent or the total; and whether a sum lacks an asset that another one has."""
    frame = results.to_pandas(wide=metric, by="parent" if by == "parent" else None)
    counts = frame.notna().astype(int)
    if by == "parent":
        frame, counts = frame[metric], frame[f"{metric}_asset_count"]
    elif by == "total":
        if not is_additive(metric):
            text = f"Values of {metric!r:.80} can't be added up over assets, judging by its name."
            raise UsageError(text, hint="Draw a volume or a rate, or omit by=.")
        name = f"Total of {plural(len(frame.columns), 'asset')}"
        frame, counts = frame.sum(axis=1, min_count=1).to_frame(name), frame.count(axis=1).to_frame()
    is_partial = by != "asset" and bool((counts[counts > 0].min() < counts.max()).any())
    return frame.rename(columns=distinct(map(str, frame.columns))), is_partial


def to_gaps(results: "Results", data: ChartData) -> tuple[Rows, list[str]]:
    """Return the parts within the chart that could not be fetched, as rows, and a sentence that names them."""
    first, last = data.frame.index[[0, -1]].tz_localize("UTC")
    gaps = [gap for gap in results.gaps if not gap.is_outside and gap.start < last and gap.stop > first]
    ends = [pd.DatetimeIndex([max(gap.start, first), min(gap.stop, last)]).tz_localize(None) for gap in gaps]
    texts = list(dict.fromkeys(" to ".join(map(format_date, dates.normalize())) for dates in ends))
    rows = [dict(zip(("date", "stop"), to_ms(dates), strict=True)) for dates in ends]
    return rows, [
        f"No data: the request for {', '.join(texts[:3])}{' and more' * (len(texts) > 3)} failed."
    ] if gaps else []


def to_ms(dates: pd.DatetimeIndex) -> list[int]:
    """Return milliseconds since 1970."""
    return [*dates.astype("datetime64[ms]").astype("int64")]


def format_date(date: pd.Timestamp) -> str:
    """Return a date, with its time unless it is midnight: "8 Jan 2024", "8 Jan 2024 14:30"."""
    clock = f" {date.hour:02}:{date.minute:02}" * (date != date.normalize())
    return f"{date.day} {MONTHS[date.month - 1]} {date.year}{clock}"


def format_value(value: float) -> str:
    """Return a number with the digits before the point, and six in all: "1,012,830", "64.1138"."""
    return f"{value:,.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:,.6g}"


def format_short(value: float) -> str:
    """Return a number with three digits: "1.24 M", "0.0312"."""
    value = float(f"{value:.3g}")
    suffixes = ((1e12, " tn"), (1e9, " bn"), (1e6, " M"), (1e3, " k"), (0, ""))
    size, suffix = next((size, suffix) for size, suffix in suffixes if abs(value) >= size)
    return f"{value / (size or 1):,.3g}{suffix}".replace("-", "\N{MINUS SIGN}")
