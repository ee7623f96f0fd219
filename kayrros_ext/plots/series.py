"""The data of a chart: one metric of results as a series for each asset, with breaks where data are missing."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.query import Names, parse_names
from kayrros_ext._results.selection import find_assets, find_metric
from kayrros_ext._text import list_names, printable
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext import Gap, Results

Floats = npt.NDArray[np.float64]
Dates = npt.NDArray[np.datetime64]

# One chart holds this many lines that are still told apart; more assets get a panel each, up to MAX_PANELS.
MAX_LINES, MAX_PANELS = 6, 100
# A line breaks where two dates are further apart than this many median steps.
BREAK_FACTOR = 1.5


@attrs.frozen(eq=False)
class Series:
    """The values of one metric of one asset, by date.

    Attributes:
        asset_id: None for rows without an asset id.
        asset_name: as the API gives it.
        label: the name to show, in one line; it includes the id where several assets share a name.
        dates: in order, microseconds, UTC.
        values: NaN where a row has no value.
        centroid: longitude and latitude, None where the asset has none.
    """

    asset_id: str | None
    asset_name: str | None
    label: str
    dates: Dates
    values: Floats
    centroid: tuple[float, float] | None

    @property
    def mean_magnitude(self) -> float:
        """The mean of the absolute values; 0 without values."""
        values = self.values[np.isfinite(self.values)]
        # Divide first, because a sum of large values overflows.
        return float(np.sum(np.abs(values) / len(values))) if len(values) else 0.0


@attrs.frozen(eq=False)
class ChartData:
    """The data of one chart.

    Attributes:
        metric: name of the metric, in one line.
        series: in the order of the table where assets are named, else the largest first.
        total_assets: number of assets that have the metric.
        is_truncated: whether only the largest assets are included.
        undated_rows: number of rows of the metric without a date.
        median_step: median time between two dates of an asset; None if no asset has two dates.
        gaps: unavailable parts of the results.
    """

    metric: str
    series: tuple[Series, ...]
    total_assets: int
    is_truncated: bool
    undated_rows: int
    median_step: timedelta | None
    gaps: "tuple[Gap, ...]"

    def with_breaks(self, series: Series) -> tuple[Dates, Floats]:
        """Return dates and values with a NaN wherever dates are missing, so that no line is drawn there."""
        dates, values = series.dates, series.values
        breaks = np.zeros(max(len(dates) - 1, 0), bool)
        if self.median_step:
            breaks |= np.diff(dates) > np.timedelta64(self.median_step) * BREAK_FACTOR
        for start, stop in self.gap_spans(series):
            breaks |= (dates[:-1] < stop) & (dates[1:] > start)
        [indices] = np.nonzero(breaks)
        return np.insert(dates, indices + 1, dates[indices]), np.insert(values, indices + 1, np.nan)

    def gap_spans(self, *series: Series) -> Iterator[tuple[np.datetime64, np.datetime64]]:
        """Yield start and stop of each gap that affects any of these series."""
        for gap in self.gaps:
            if gap.assets is None or {one.asset_id for one in series} & set(gap.assets):
                yield _datetime64(gap.start), _datetime64(gap.stop)


def chart_data(
    results: "Results", metric: "Names | None", assets: "Names | int | None", max_assets: int | None
) -> ChartData:
    """Select the data of a chart from results.

    Args:
        results: the source.
        metric: its name, or a list of it; None for the first of the table.
        assets: ids or names; a number for that many of the largest; "all".
        max_assets: the number to use if `assets` is None; None for all.

    Raises:
        UsageError: there are no rows, no row has the metric, or an asset has no row.
    """
    metrics = [] if metric is None else parse_names("metric", metric)
    if len(metrics) > 1:
        raise UsageError(f"metric has {len(metrics)} names.", hint="Draw one metric at a time.")
    names = results.table["metric"].cast(pa.string())
    first = next(iter(pc.unique(names.drop_null()).to_pylist()), None)
    if first is None:
        raise UsageError("There is nothing to draw, because the results have no row with a metric.")
    metric = find_metric(metrics[0], results.table) if metrics else str(first)
    rows = results.table.filter(pc.equal(names, metric))
    dated = rows.filter(rows["value_date"].is_valid())
    if not dated.num_rows:
        raise UsageError(f"There is nothing to draw, because no row of {metric!r} has a date.")
    series = list(_split_by_asset(dated))
    selected = _select(series, max_assets if assets is None else assets, metric, results.assets)
    return ChartData(
        metric=printable(metric),
        series=tuple(selected),
        total_assets=len(series),
        is_truncated=len(selected) < len(series) and (assets is None or isinstance(assets, int)),
        undated_rows=rows.num_rows - dated.num_rows,
        median_step=_median_step(series),
        gaps=tuple(gap for gap in results.gaps if not gap.is_outside),  # which would reach from 1970 to 2100
    )


def _datetime64(instant: datetime) -> np.datetime64:
    """Convert a UTC datetime to the type of Series.dates, which has no time zone."""
    return np.datetime64(instant.replace(tzinfo=None), "us")


def _split_by_asset(rows: pa.Table) -> Iterator[Series]:
    ids = rows["asset_id"].cast(pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
    codes = ids.indices.to_numpy()
    dates = rows["value_date"].to_numpy().astype("datetime64[us]")
    values = rows["value"].to_numpy().astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    order = np.lexsort((dates, codes))
    starts = np.searchsorted(codes[order], np.arange(len(ids.dictionary) + 1))
    columns = ["asset_name", "asset_centroid_longitude", "asset_centroid_latitude"]
    assets = rows.select(columns).take(pa.array(order[starts[:-1]])).to_pylist()
    name_counts = Counter(asset["asset_name"] for asset in assets)
    for code, (asset_id, asset) in enumerate(zip(ids.dictionary.to_pylist(), assets, strict=True)):
        indices = order[starts[code] : starts[code + 1]]
        label, (x, y) = asset["asset_name"] or asset_id or "no name", (asset[column] for column in columns[1:])
        if asset_id and asset_id != label and name_counts[asset["asset_name"]] > 1:
            label = f"{label} ({asset_id})"
        centroid = None if x is None or y is None or abs(y) > 90 else (x, y)
        yield Series(asset_id, asset["asset_name"], printable(label), dates[indices], values[indices], centroid)


def _select(series: list[Series], assets: "Names | int | None", metric: str, table: pa.Table) -> list[Series]:
    if assets is None or assets == "all":
        return series
    if isinstance(assets, int) and not isinstance(assets, bool) and assets > 0:
        return sorted(series, key=lambda one: -one.mean_magnitude)[:assets]
    names = parse_names("assets", assets)  # type: ignore[arg-type]  # it refuses 0 and True
    ids, drawable = find_assets(names, table), {one.asset_id for one in series}
    if missing := [key for key in ids if key not in drawable]:
        available = list_names((one.asset_name or one.asset_id or "" for one in series), near=missing[0])
        raise UsageError(
            f"No row of {metric!r:.80} belongs to the asset {missing[0]!r:.80}.", hint=f"Available assets: {available}."
        )
    return [one for one in series if one.asset_id in ids]


def _median_step(series: list[Series]) -> timedelta | None:
    """Return the median step over all assets, because one processing run produces their dates together."""
    steps = np.concatenate([np.diff(np.unique(one.dates)) for one in series])
    return None if not len(steps) else timedelta(microseconds=int(np.median(steps.astype(np.int64))))
