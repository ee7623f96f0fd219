"""The data of a chart: metrics of results as points of lines."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.query import Names, parse_names
from kayrros_ext._results.schema import metric_units, strings
from kayrros_ext._results.selection import find_assets, find_metric
from kayrros_ext._results.units import split_unit
from kayrros_ext._text import distinct, format_day, format_short, plural, printable
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext import Results

# A line breaks where two dates are further apart than this many of its median steps.
BREAK_FACTOR = 1.5


@attrs.frozen(eq=False)
class ChartData:
    """The points of lines, and a sentence for all that is left out.

    Points have the columns `panel` (the label of a metric, with its unit), `asset` (the largest first), `date`, `value`,
    `part` (the number of an unbroken part of a line) and `alone` (1 in a part of one point). `assets` has the name or id in
    the results by the name that is shown. The step is the median time between two dates of a line.
    """

    points: pd.DataFrame
    labels: list[str]
    assets: dict[str, str]
    dates: pd.DatetimeIndex
    step: pd.Timedelta
    notes: list[str]
    gaps: list[tuple[pd.Timestamp, pd.Timestamp]]

    @property
    def period(self) -> str:
        """The first and the last date, such as "2 Jan to 6 Feb 2024"."""
        first, last = map(format_day, self.dates[[0, -1]])
        return first if first == last else f"{first.removesuffix(f' {self.dates[-1].year}')} to {last}"

    def facts(self) -> Iterator[str]:
        """Yield a sentence for each line, for those who do not see the chart."""
        for (label, asset), line in self.points.groupby(["panel", "asset"], sort=False):
            values = line.set_index("date")["value"]
            dates = {"lowest": values.idxmin(), "highest": values.idxmax(), "last": values.index[-1]}
            texts = (f"{word} {format_short(values[date])} on {format_day(date)}" for word, date in dates.items())
            yield f"{label}, {asset}: {plural(len(values), 'value')}, {', '.join(texts)}."

    def summary(self, statistic: str | None) -> pd.DataFrame:
        """Return the mean or latest value of each asset, its date, and the value before it."""
        values = self.points.groupby("asset", sort=False)["value"]
        if statistic == "mean":
            return values.mean().reset_index().assign(when=self.period)
        rows = self.points.assign(before=values.shift(), when=self.points["date"].map(format_day))
        return rows.groupby("asset", sort=False).tail(1)[["asset", "value", "before", "when"]]

    def is_unobserved(self, start: pd.Timestamp, stop: pd.Timestamp) -> bool:
        """Return whether no request failed for any time between two dates without a value."""
        return not any(first < stop and last > start for first, last in self.gaps)

    def breaks(self, year: int = 1) -> bool:
        """Return whether a line breaks, since a year, where no failed request explains it."""
        changes = self.points.groupby(["panel", "asset"], sort=False)["part"].diff() > 0
        starts, stops = self.points["date"].shift()[changes], self.points["date"][changes]
        return any(a.year >= year and self.is_unobserved(a, b) for a, b in zip(starts, stops, strict=True))


def read(
    results: "Results", metric: Names | None, assets: "Names | int | None", *, limit: int | None, by: str = "asset",
    statistic: str | None = "mean",
) -> ChartData:  # fmt: skip
    """Select the data of a chart, of each metric; the largest assets by their latest or mean value. Raises UsageError."""
    available = [*metric_units(results.table)]
    if not available:
        raise UsageError("There is nothing to draw, because the results have no row with a metric.")
    ids = None
    if type(assets) is int and assets > 0:
        limit = assets
    elif assets is not None:
        limit = None
        ids = None if assets == "all" else find_assets(parse_names("assets", assets), results.assets)  # type: ignore[arg-type]
    metrics = available[:1] if metric is None else parse_names("metric", metric)
    notes: list[str] = []
    frames = {
        name: _read(results, name, ids, by, notes) for name in (find_metric(one, results.table) for one in metrics)
    }
    labels = [*map(_label, frames)]
    labels = labels if len({*labels}) == len(labels) else [*distinct(frames).values()]
    if by == "total" and len(frames) > 1:  # of different assets
        frames = {name: frame.set_axis(["Total"], axis=1) for name, frame in frames.items()}
    # Of several metrics, the assets of the first, then those that only another one has.
    by_latest = statistic == "latest"
    sizes = (frame.ffill().iloc[-1].abs() if by_latest else frame.abs().mean() for frame in frames.values())
    sizes = (size.dropna().sort_values(ascending=False, kind="stable") for size in sizes)
    columns = pd.concat(sizes).index.drop_duplicates()
    if limit and limit < len(columns):
        largest = f"{limit} largest" if limit > 1 else "largest"
        by_size = f"by {'latest' if by_latest else 'mean'} absolute value"
        notes.append(f"Shown: the {largest} of {plural(len(columns), 'asset')}, {by_size}.")
    shown = distinct(map(str, columns[:limit]))
    # An asset may be named as a column of the points. An index of several levels would not hold dates in the year 1.
    points = pd.concat(
        [
            frame.reindex(columns=[*shown]).set_axis(range(len(shown)), axis=1).rename_axis("date").reset_index()
            .melt("date", var_name="asset").dropna().assign(panel=label)
            for label, frame in zip(labels, frames.values(), strict=True)
        ],
        ignore_index=True,
    )  # fmt: skip
    points["asset"] = points["asset"].map(dict(enumerate(shown.values())))
    points["value"] = points["value"].where(points["value"].abs() > 1e-300, 0.0)  # Vega divides by them
    notes += [f"{label} has no value of these assets." for label in labels if label not in {*points["panel"]}]
    lines = [points["panel"], points["asset"]]
    steps = points.groupby(lines, sort=False)["date"].diff()
    usual = steps.dropna().groupby(lines, sort=False).transform("quantile", interpolation="lower")
    points["part"] = (steps > usual.reindex(steps.index) * BREAK_FACTOR).groupby(lines, sort=False).cumsum()
    points["alone"] = points.groupby([*lines, points["part"]])["value"].transform("size").where(lambda size: size == 1)
    dates = pd.DatetimeIndex(points["date"].sort_values().unique())
    failed = [gap for gap in results.gaps if not gap.is_outside]
    failed = [gap for gap in failed if not (ids and gap.assets and {*ids}.isdisjoint(gap.assets))]
    spans = [tuple(pd.Timestamp(at.replace(tzinfo=None)) for at in (gap.start, gap.stop)) for gap in failed]
    if texts := list(dict.fromkeys(" to ".join(format_day(date.normalize()) for date in span) for span in spans)):
        notes.append(f"No data: the request for {', '.join(texts[:3])}{' and more' * (len(texts) > 3)} failed.")
    gaps = [(max(a, dates[0]), min(b, dates[-1])) for a, b in spans if a < dates[-1] and b > dates[0]]
    step = steps.quantile(interpolation="lower") if steps.any() else pd.Timedelta(days=1)
    names = dict(zip(shown.values(), shown, strict=True))
    return ChartData(points, labels, names, dates, step, [*dict.fromkeys(notes)], gaps)


def _read(results: "Results", metric: str, ids: list[str] | None, by: str, notes: list[str]) -> pd.DataFrame:
    """Return the values of a metric, with a row for each date and a column for each asset. Add to the notes."""
    rows = results.table.filter(pc.equal(results.table["metric"].cast(pa.string()), strings([metric])[0]))
    if ids is not None:
        rows = rows.filter(pc.is_in(rows["asset_id"].cast(pa.string()), value_set=strings(ids)))
    dated = rows.filter(rows["value_date"].is_valid())
    if not dated["value"].drop_null():
        raise UsageError(f"There is nothing to draw, because no row of {metric!r:.80} has a date and a value.")
    notes += [f"{plural(count, 'value')} without a date left out."] if (count := len(rows) - len(dated)) else []
    results = attrs.evolve(results, table=dated)
    if by == "asset":
        frame = results.to_pandas(wide=metric)
        if count := len(ids or frame.columns) - len(frame.columns[frame.notna().any()]):
            notes.append(f"{plural(count, 'asset')} without a value left out.")
    else:
        wide = results.to_pandas(wide=metric, by="parent")
        frame, counts = wide[metric], wide[f"{metric}_asset_count"]
        if by == "total":
            name = f"Total of {plural(len(dated.filter(dated['value'].is_valid())['asset_id'].unique()), 'asset')}"
            frame, counts = frame.sum(axis=1, min_count=1).to_frame(name), counts.sum(axis=1).to_frame(name)
        if (counts[counts > 0].min() < counts.max()).any():
            notes.append("A sum is over the assets with a value on the date, and some have none.")
    return frame


def _label(metric: str) -> str:
    name, unit = split_unit(printable(metric))
    return f"{name[:1].upper()}{name[1:]}{f', {unit}' * bool(unit)}"


def thin(points: pd.DataFrame, width: float) -> pd.DataFrame:
    """Return the points of which at most four of a line share a pixel: the first, last, lowest and highest."""
    if len(points) <= 4 * width:
        return points
    pixels = pd.cut(pd.Series(to_ms(points["date"]), points.index), math.ceil(width), labels=False)
    cells = points.groupby(["panel", "asset", "part", pixels], sort=False)["value"]
    kept = {*cells.idxmin(), *cells.idxmax(), *cells.head(1).index, *cells.tail(1).index}
    return points.loc[sorted(kept)]


def to_ms(dates: Any) -> list[int]:
    """Return milliseconds since 1970."""
    return dates.astype("datetime64[ms]").astype("int64").tolist()  # type: ignore[no-any-return]
