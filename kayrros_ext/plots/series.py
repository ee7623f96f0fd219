"""What is drawn of results: one metric, of the assets asked for, as series of numbers with their breaks."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext.errors import UsageError
from kayrros_ext.plots.words import clean, some

Numbers = npt.NDArray[np.float64]
Moments = npt.NDArray[np.datetime64]

# As many lines as one chart shows apart; more assets get a panel each, and there is room for so many.
MOST_LINES, MOST_PANELS = 6, 100
# Two dates are further apart than usual from so many usual steps on.
BREAK = 1.5


class Gap(Protocol):
    """A part of a dataset that could not be had, as of kayrros_ext.Results."""

    @property
    def start(self) -> datetime: ...  # noqa: D102 - as its name says

    @property
    def stop(self) -> datetime: ...  # noqa: D102

    @property
    def assets(self) -> tuple[str, ...] | None: ...  # noqa: D102


class Source(Protocol):
    """What is read of kayrros_ext.Results."""

    @property
    def table(self) -> pa.Table: ...  # noqa: D102

    @property
    def gaps(self) -> tuple[Gap, ...]: ...  # noqa: D102


@attrs.frozen(eq=False)
class Series:
    """The values of one metric of one asset, by date.

    Attributes:
        asset_id: None for the rows that have none.
        asset_name: as the API gives it.
        name: to be shown: that of the asset, with its id where another asset has that name too, in one line.
        dates: in order, microseconds, UTC.
        values: NaN where a row has none.
        place: longitude and latitude of the centroid; None where the asset has none.
    """

    asset_id: str | None
    asset_name: str | None
    name: str
    dates: Moments
    values: Numbers
    place: tuple[float, float] | None

    def is_called(self, name: str) -> bool:
        """Whether this is its id or its name."""
        return name in {self.asset_id, self.asset_name}

    @property
    def size(self) -> float:
        """The mean of the absolute values; 0 where there are none."""
        there = self.values[np.isfinite(self.values)]
        # Divided first: a sum of large values leaves the range of doubles.
        return float(np.sum(np.abs(there) / len(there))) if len(there) else 0.0


@attrs.frozen(eq=False)
class Selection:
    """What is drawn.

    Attributes:
        metric: its name.
        series: in the order of the table where assets are named, else the largest first.
        total: how many assets have the metric.
        is_cut: whether the largest alone were taken.
        left_out: rows of the metric without a date.
        step: the usual one between two dates of an asset; None where no asset has two dates.
        gaps: what could not be had.
    """

    metric: str
    series: tuple[Series, ...]
    total: int
    is_cut: bool
    left_out: int
    step: timedelta | None
    gaps: tuple[Gap, ...]

    def lines(self, series: Series) -> tuple[Moments, Numbers]:
        """Dates and values, with a NaN wherever dates are missing, so that no line is drawn there."""
        dates, values = series.dates, series.values
        holes = np.zeros(max(len(dates) - 1, 0), bool)
        if self.step:
            holes |= np.diff(dates) > np.timedelta64(self.step) * BREAK
        for start, stop in self.spans(series):
            holes |= (dates[:-1] < stop) & (dates[1:] > start)
        [places] = np.nonzero(holes)
        return np.insert(dates, places + 1, dates[places]), np.insert(values, places + 1, np.nan)

    def spans(self, *series: Series) -> Iterator[tuple[np.datetime64, np.datetime64]]:
        """Start and stop of the gaps of any of these series."""
        for gap in self.gaps:
            if gap.assets is None or {one.asset_id for one in series} & set(gap.assets):
                yield moment(gap.start), moment(gap.stop)


def moment(when: datetime) -> np.datetime64:
    """As dates are kept here: without a zone, which is UTC."""
    return np.datetime64(when.replace(tzinfo=None), "us")


def select(results: Source, metric: str | None, assets: "Iterable[str] | int | None", default: int | None) -> Selection:
    """Read a metric of assets.

    Args:
        results: where from.
        metric: its name; the first of the table unless given.
        assets: ids or names; a number for so many of the largest; "all".
        default: as `assets`, where that is None.

    Raises:
        UsageError: there are no rows, none has the metric, or none is of an asset that is asked for.
    """
    names = results.table["metric"].cast(pa.string())
    metric = metric if metric is not None else next(iter(pc.unique(names.drop_null()).to_pylist()), None)
    if metric is None:
        raise UsageError("There is nothing to draw: the results have no row with a metric.")
    rows = results.table.filter(pc.equal(names, metric))
    if not rows.num_rows:
        raise UsageError(
            f"No row has the metric {metric!r}. There are: {some(pc.unique(names.drop_null()).to_pylist())}."
        )
    dated = rows.filter(rows["value_date"].is_valid())
    if not dated.num_rows:
        raise UsageError(f"No row of {metric!r} has a date, and so there is nothing to draw.")
    every = list(_series(dated))
    chosen = _choose(every, default if assets is None else assets, metric)
    return Selection(
        metric=metric,
        series=tuple(chosen),
        total=len(every),
        is_cut=len(chosen) < len(every) and (assets is None or isinstance(assets, int)),
        left_out=rows.num_rows - dated.num_rows,
        step=_usual_step(every),
        gaps=results.gaps,
    )


def _series(rows: pa.Table) -> Iterator[Series]:
    ids = rows["asset_id"].cast(pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
    codes = ids.indices.to_numpy()
    dates = rows["value_date"].to_numpy().astype("datetime64[us]")
    values = rows["value"].to_numpy().astype(np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    order = np.lexsort((dates, codes))
    starts = np.searchsorted(codes[order], np.arange(len(ids.dictionary) + 1))
    columns = ["asset_name", "asset_centroid_longitude", "asset_centroid_latitude"]
    facts = rows.select(columns).take(pa.array(order[starts[:-1]])).to_pylist()
    seen = Counter(fact["asset_name"] for fact in facts)
    for code, (asset_id, fact) in enumerate(zip(ids.dictionary.to_pylist(), facts, strict=True)):
        mine = order[starts[code] : starts[code + 1]]
        name, (x, y) = fact["asset_name"] or asset_id or "no name", (fact[column] for column in columns[1:])
        if asset_id and asset_id != name and seen[fact["asset_name"]] > 1:
            name = f"{name} ({asset_id})"
        place = None if x is None or y is None or abs(y) > 90 else (x, y)
        yield Series(asset_id, fact["asset_name"], clean(name), dates[mine], values[mine], place)


def _choose(every: list[Series], assets: "Iterable[str] | int | None", metric: str) -> list[Series]:
    if assets is None or assets == "all":
        return every
    if isinstance(assets, int) and not isinstance(assets, bool) and assets > 0:
        return sorted(every, key=lambda one: -one.size)[:assets]
    wanted = [assets] if isinstance(assets, str) else list(assets) if isinstance(assets, Iterable) else []
    if not wanted or not all(isinstance(one, str) for one in wanted):
        raise UsageError(
            f"assets is {assets!r}. Give ids or names of assets, a number for so many of the largest, or 'all'."
        )
    if unknown := [name for name in wanted if not any(one.is_called(name) for one in every)]:
        names = sorted({one.asset_name or one.asset_id or "" for one in every})
        raise UsageError(f"No row of {metric!r} is of the asset {unknown[0]!r}. There are: {some(names)}.")
    return [one for one in every if any(one.is_called(name) for name in wanted)]


def _usual_step(every: list[Series]) -> timedelta | None:
    """The median of the steps between dates of one asset, over all of them: they come from one processing."""
    steps = np.concatenate([np.diff(np.unique(one.dates)) for one in every])
    return None if not len(steps) else timedelta(microseconds=int(np.median(steps.astype(np.int64))))
