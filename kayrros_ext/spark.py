"""Results as a DataFrame of Spark 4, read in parallel by its executors.

`import pyspark` is the library, and this module is `kayrros_ext.spark`.

Spark runs as many partitions at a time as it has cores, and a data source has no other means to bound its requests than the
number of partitions. So there are at most `maxConcurrency`. A partition is one dataset and one period where these are no
more, else every n-th of them, read one after the other, with one request at a time.

Periods are half-open, in UTC. A server may count the ends of a range in or out, or filter in a time zone of its own. So a
request asks for more than its period, and rows of other periods are dropped: no row comes with two partitions.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext import Kayrros
from kayrros_ext._arguments import nearest, parse_uuid
from kayrros_ext._results.convert import import_optional
from kayrros_ext._results.fetch import MAX_SHIFT_MS
from kayrros_ext._results.query import EPOCH, MAX_MS, MIN_MS, parse_filter, parse_instant, parse_names
from kayrros_ext._results.schema import DOUBLE, INTEGER, LABEL, RESULTS, STRINGS, VALUE_DATE, add_dataset
from kayrros_ext._text import fold
from kayrros_ext.errors import GapError, UsageError

__all__ = ["KayrrosDataSource"]

_spark: Any = import_optional("pyspark.sql.datasource", extra="spark")

# The type of a column in SQL, and in the batches that Spark accepts for it. TIMESTAMP would depend on the session.
_TYPES = {
    LABEL: ("STRING", pa.string()),
    INTEGER: ("BIGINT", INTEGER),
    DOUBLE: ("DOUBLE", DOUBLE),
    STRINGS: ("ARRAY<STRING>", pa.list_(pa.field("element", pa.string()))),
    VALUE_DATE.type: ("TIMESTAMP_LTZ", VALUE_DATE.type),
}
_SQL_SCHEMA = ", ".join(["dataset_id STRING NOT NULL", *(f"{field.name} {_TYPES[field.type][0]}" for field in RESULTS)])
_SCHEMA = pa.schema(
    [pa.field("dataset_id", pa.string(), nullable=False), *((field.name, _TYPES[field.type][1]) for field in RESULTS)]
)
# Rows of a batch, as many as Spark puts into one of its own by default.
_BATCH_ROWS = 10_000
_OPTIONS = ("datasets", "start", "stop", "freq", "metric", "assets", "maxConcurrency", "onGap")
_SECRETS = re.compile("pass|pwd|secret|token|key|user|mail|login|auth|credential")
# In epoch microseconds: the first moment, and the first one after the last. An open end is an infinity.
_Period = tuple[float, float]
_MICROSECOND, _NEVER = timedelta(microseconds=1), math.inf
# The period that a filter allows, relative to its value.
_BOUNDS: dict[Any, _Period] = {
    _spark.EqualTo: (0, 1),
    _spark.EqualNullSafe: (0, 1),
    _spark.GreaterThan: (1, _NEVER),
    _spark.GreaterThanOrEqual: (0, _NEVER),
    _spark.LessThan: (-_NEVER, 0),
    _spark.LessThanOrEqual: (-_NEVER, 1),
    _spark.In: (0, 1),  # of the lowest and the highest value
}


class KayrrosDataSource(_spark.DataSource):  # type: ignore[misc]  # pyspark is not installed where types are checked
    """Results of datasets as a DataFrame: a row per dataset, asset, date and metric.

    Columns are dataset_id and those of `Results.table`. Timestamps are instants, whatever the time zone of the session.
    Comparisons of dataset_id, asset_id, metric (=, IN) and value_date (also <, <=, >, >=, BETWEEN) with constants are pushed
    down once `spark.sql.python.filterPushdown.enabled` is true: datasets and periods without a match are not requested, nor
    are other assets. The API can't filter metrics, so the executor drops the others.

    Executors find credentials as any process does: in their environment, or in the config file.

    Example:
        >>> spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
        >>> spark.dataSource.register(KayrrosDataSource)
        >>> options = {"datasets": "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4", "start": "2024-01"}
        >>> frame = spark.read.format("kayrros").options(**options).load()
        >>> frame.where("metric = 'fill_level_pct' and value_date >= '2024-02-01'").count()

    Options, all of them text, names in any case:
        datasets: ids, separated by commas.
        start: first date or moment, as for `Kayrros.results`; by default from 1970. A filter on value_date narrows it.
        stop: last date or moment, likewise; by default all there is.
        freq: length of a period, a frequency of pandas; by default "MS", a calendar month. Without a start, by option or
            filter, a dataset is one period. Rows without a date come with the first period, if the API sends any.
        metric: names, separated by commas; by default all. Case and blanks do not matter.
        assets: ids, separated by commas; by default all.
        maxConcurrency: most requests at a time, over the whole cluster, of one read of the DataFrame; by default 8.
        onGap: "raise" fails a partition if a part of its results is unavailable; "warn" leaves the part out, and names it
            in the log of the executor.

    Raises:
        UsageError: in `load`, an option is missing, unknown or wrong, or may hold a secret. Nothing was sent.
        KayrrosError: in a task, as `Kayrros.iter_results`. Spark retries the task, and shows the error of the last attempt.
    """

    @classmethod
    def name(cls) -> str:
        """Return the name for `spark.read.format`."""
        return "kayrros"

    def schema(self) -> str:
        """Return the columns and their types, in SQL. It checks the options, because `load` calls it."""
        _Reader(self.options).partitions()
        return _SQL_SCHEMA

    def reader(self, schema: object) -> "_Reader":  # noqa: ARG002 - it is the one of `schema`, and Spark compares the batches
        """Return the reader for one plan."""
        return _Reader(self.options)


class _PushFilters:
    """The method pushFilters of a reader.

    Spark refuses a reader that has this method where pushdown is off, which is the default, although it applies all filters
    then. It takes this object for the inherited method, because of `__func__`.
    """

    __func__ = staticmethod(_spark.DataSourceReader.pushFilters)

    def __init__(self, push: Any) -> None:
        self._push = push

    def __call__(self, filters: Iterable[Any]) -> list[Any]:
        return [each for each in filters if not self._push(each)]


class _Reader(_spark.DataSourceReader):  # type: ignore[misc]
    """The datasets and dates to read. Spark pickles it for the executors, so it holds no secret."""

    def __init__(self, options: Mapping[str, str]) -> None:
        _check_names(options)
        names = {
            name: [part.strip() for part in options[name].split(",") if part.strip()]
            for name in ("datasets", "metric", "assets")
            if name in options
        }
        self._datasets = _parse_datasets(names.get("datasets", []))
        self._metrics = {*map(fold, parse_names("metric", names["metric"]))} if "metric" in names else None
        assets = {*parse_names("assets", names["assets"])} if "assets" in names else None
        # Values of the text columns that filters allow; None for any.
        self._allowed: dict[str, set[str] | None] = {"dataset_id": None, "asset_id": assets, "metric": None}
        start, stop = options.get("start"), options.get("stop")
        parse_filter(start, stop, None)  # refuses a stop before the start
        self._first = -_NEVER if start is None else parse_instant("start", start) * 1000
        # The whole last millisecond, because the API counts in these.
        self._stop = _NEVER if stop is None else (parse_instant("stop", stop, is_stop=True) + 1) * 1000
        self._with_undated = True  # until a filter on dates excludes them
        self._freq = options.get("freq", "MS")
        self._on_gap = options.get("onGap", "raise").lower()
        if self._on_gap not in {"raise", "warn"}:
            raise UsageError(f"onGap is {self._on_gap!r:.80}.", hint='Pass "raise" or "warn".')
        limit = options.get("maxConcurrency", "8")
        self._max_concurrency = int(limit) if re.fullmatch("[0-9]{1,9}", limit) else 0
        if not self._max_concurrency:
            raise UsageError(f"maxConcurrency is {limit!r:.80}.", hint="Pass a number from 1, such as 8.")

    @property
    def pushFilters(self) -> _PushFilters:  # noqa: N802 - the name in Spark
        """Narrow what is read, and return the filters that Spark has to apply."""
        return _PushFilters(self._push)

    def _push(self, condition: Any) -> bool:
        """Narrow what is read by a filter. False: Spark has to apply it, too."""
        kind, column = type(condition), ".".join(getattr(condition, "attribute", ()))
        value: Any = getattr(condition, "value", None)
        values = [each for each in (value if kind is _spark.In else [value]) if each is not None]
        if column == "value_date" and kind in _BOUNDS and values:
            first, stop = _BOUNDS[kind]
            moments = [(each - EPOCH) // _MICROSECOND for each in values]
            self._with_undated = False
            self._first, self._stop = max(self._first, min(moments) + first), min(self._stop, max(moments) + stop)
            return kind is not _spark.In
        if column in self._allowed and (
            kind is _spark.In or (kind in {_spark.EqualTo, _spark.EqualNullSafe} and values)
        ):
            allowed = self._allowed[column]
            self._allowed[column] = {*values} if allowed is None else allowed & {*values}
            return True
        return False

    def partitions(self) -> list[Any]:
        """Return the partitions: at most `maxConcurrency`, at least one."""
        periods = self._periods()
        count = max(1, min(self._max_concurrency, len(self._ids()) * len(periods)))
        return [_spark.InputPartition((index, count, periods)) for index in range(count)]

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition, batch by batch, with one request at a time."""
        index, count, periods = partition.value
        splits = [*itertools.islice(itertools.product(self._ids(), periods), index, None, count)]
        assets = self._allowed["asset_id"]
        # No asset has an empty id (see openapi.yaml).
        options: Any = {} if assets is None else {"assets": sorted(assets - {""})}
        if not splits or options == {"assets": []}:
            return
        options |= {"on_gap": self._on_gap, "progress": False}
        with Kayrros(concurrency=1) as kayrros:
            for dataset, period in splits:
                if assets is not None:
                    # No request to look them up, because an asset of another dataset is no error here.
                    ids = pa.array(options["assets"], pa.string())
                    kayrros._assets[UUID(dataset)] = pa.table({"asset_id": ids, "asset_name": ids})
                ends = zip(period, (-MAX_SHIFT_MS, MAX_SHIFT_MS), strict=True)
                start, stop = (None if math.isinf(us) else _datetime(us, margin) for us, margin in ends)
                try:
                    for part in kayrros.iter_results(dataset, start=start, stop=stop, **options):
                        rows = self._select(
                            part.table, period, with_undated=period == periods[0] and self._with_undated
                        )
                        table = add_dataset(rows, dataset, None)
                        for batch in table.drop_columns(["dataset_name"]).to_batches(max_chunksize=_BATCH_ROWS):
                            yield batch.cast(_SCHEMA)
                except GapError as error:
                    if "on_gap" in error.hint:
                        error.hint = 'Set the option onGap to "warn" to get the rest.'
                    raise

    def _ids(self) -> list[str]:
        allowed = self._allowed["dataset_id"]
        return [dataset for dataset in self._datasets if allowed is None or dataset in allowed]

    def _periods(self) -> list[_Period]:
        """Return the periods from the first moment to the last. The last period has no end if `stop` has none."""
        import pandas as pd

        now = datetime.now(UTC)
        ends = (now if math.isinf(us) else _datetime(us) for us in (self._first, self._stop))
        try:
            cuts = pd.date_range(*ends, freq=self._freq, normalize=True, unit="us").asi8.tolist()
        except (ValueError, ArithmeticError) as error:
            hint = 'Pass a frequency of pandas, such as "MS" for calendar months, "W", "QS" or "YS".'
            raise UsageError(f"freq is {self._freq!r:.80}.", hint=hint) from error
        if self._first >= self._stop:
            return []
        cuts = [us for us in cuts if self._first < us < self._stop] if self._first > -_NEVER else []
        return [*itertools.pairwise([self._first, *cuts, self._stop])]

    def _select(self, table: pa.Table, period: _Period, *, with_undated: bool) -> pa.Table:
        """Return the rows of a period that the filters allow."""
        dates = table["value_date"].cast(pa.int64())
        first, last = (
            pa.scalar(int(min(max(us, -(2**63)), 2**63 - 1)), pa.int64()) for us in (period[0], period[1] - 1)
        )
        inside = pc.and_(pc.greater_equal(dates, first), pc.less_equal(dates, last))
        table = table.filter(pc.fill_null(inside, with_undated))
        allowed = {column: names for column, names in self._allowed.items() if column in table.column_names}
        if self._metrics is not None:
            metrics = table["metric"].cast(pa.string()).unique().drop_null().to_pylist()
            chosen = {name for name in metrics if fold(name) in self._metrics}
            allowed["metric"] = chosen if allowed["metric"] is None else chosen & allowed["metric"]
        for column, names in allowed.items():
            if names is not None:
                values = pa.array(sorted(names), pa.string())
                table = table.filter(pc.is_in(table[column].cast(pa.string()), value_set=values))
        return table


def _check_names(options: Mapping[str, str]) -> None:
    """Raise UsageError for an option that there is not. Its value is not in the message, because it may be a secret."""
    for name in options:
        if name.lower() in map(str.lower, _OPTIONS):
            continue
        near = nearest(name.replace("_", ""), _OPTIONS)
        hint = f"Did you mean {near}?" if near else f"Options: {', '.join(_OPTIONS)}."
        if _SECRETS.search(name.lower()) and not near:
            hint = "Spark shows options. Set KAYRROS_EMAIL and KAYRROS_PASSWORD, or KAYRROS_TOKEN, for the executors."
        raise UsageError(f"There is no option {name!r:.80}.", hint=hint)


def _parse_datasets(names: list[str]) -> list[str]:
    ids = [parse_uuid(name) for name in names]
    wrong = next((name for name, key in zip(names, ids, strict=True) if key is None), None)
    if wrong is not None or not ids:
        text = "There is no option datasets." if wrong is None else f"datasets contains {wrong!r:.80}, which is no id."
        raise UsageError(text, hint="Pass ids, separated by commas; `kayrros datasets` lists them.")
    return list(dict.fromkeys(map(str, ids)))


def _datetime(moment_us: float, margin_ms: int = 0) -> datetime:
    return EPOCH + min(max(int(moment_us) + margin_ms * 1000, MIN_MS * 1000), MAX_MS * 1000) * _MICROSECOND
