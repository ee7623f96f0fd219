"""Compare rows with earlier ones, and undo changes. Tables in, tables out.

Rows have the schema RESULTS. Their keys, (asset_id, value_date, metric), are unique within a mirror.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.merge import KEYS
from kayrros_ext._results.query import EPOCH, MILLISECOND
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import (
    ASSET_FIELDS,
    DOUBLE,
    INTEGER,
    LABEL,
    RESULTS,
    VALUE_DATE,
    int64s,
    strings,
    unit_labels,
)

# A row per change. asset_version is that of the row that came or, where it is gone, of the last one; old_asset_version that
# of the row before.
CHANGES = pa.schema(
    [
        *(RESULTS.field(name) for name in KEYS),
        pa.field("kind", LABEL),
        pa.field("old", DOUBLE),
        pa.field("new", DOUBLE),
        pa.field("seen_at", VALUE_DATE.type),
        pa.field("processing_id", LABEL),
        pa.field("asset_version", INTEGER),
        pa.field("old_asset_version", INTEGER),
    ]
)
ASSETS = pa.schema(ASSET_FIELDS)
# The name of the partition of rows without a date, in Hive.
NO_MONTH = "__HIVE_DEFAULT_PARTITION__"


class Comparison(NamedTuple):
    """How new rows differ from the earlier ones of their month.

    Attributes:
        rows: the new rows, each key once, and the earlier rows that are not among them; in order. None if all is as before.
        changes: those added and changed, without seen_at and processing_id.
        missing: the earlier rows that are not among the new ones.
        unchanged: number of rows with the same value as before.
        repeated: number of new rows that were dropped, because another has the same key.
    """

    rows: pa.Table | None
    changes: pa.Table
    missing: pa.Table
    unchanged: int
    repeated: int


def compare(old: pa.Table, new: pa.Table) -> Comparison:
    """Compare the new rows of a month with the earlier ones. Both are in order."""
    if is_same(old, new):
        return Comparison(None, make_changes("added", None, new.slice(0, 0)), old.slice(0, 0), old.num_rows, 0)
    count = old.num_rows
    groups = group_keys([old, new])
    first, last = groups["place_min"], groups["place_max"]
    is_old, is_new = pc.less(first, count), pc.greater_equal(last, count)
    is_both = pc.and_(is_old, is_new)
    before = old.take(first.filter(is_both))
    after = new.take(pc.subtract(last.filter(is_both), count))
    differs = pc.invert(_equal(before["value"], after["value"]))
    added = new.take(pc.subtract(last.filter(pc.invert(is_old)), count))
    missing = old.take(first.filter(pc.invert(is_new)))
    changes = [make_changes("added", None, added), make_changes("changed", before.filter(differs), after.filter(differs))]
    rows = sort_table(pa.concat_tables([added, after, missing]))
    repeated = new.num_rows - added.num_rows - after.num_rows
    unchanged = after.num_rows - changes[1].num_rows
    is_as_before = is_same(rows, old)
    return Comparison(None if is_as_before else rows, pa.concat_tables(changes), missing, unchanged, repeated)


def make_changes(kind: str, old: pa.Table | None, new: pa.Table | None) -> pa.Table:
    """Return the changes from old rows to new ones of the same keys, without seen_at and processing_id."""
    rows = new if new is not None else old
    assert rows is not None  # noqa: S101 - for mypy  # nosec B101
    nulls = {DOUBLE: pa.nulls(rows.num_rows, DOUBLE), INTEGER: pa.nulls(rows.num_rows, INTEGER)}
    columns = [
        *(rows[name] for name in KEYS),
        constant(kind, rows.num_rows),
        nulls[DOUBLE] if old is None else old["value"],
        nulls[DOUBLE] if new is None else new["value"],
        pa.nulls(rows.num_rows, VALUE_DATE.type),
        pa.nulls(rows.num_rows, LABEL),
        rows["asset_version"],
        nulls[INTEGER] if old is None else old["asset_version"],
    ]
    return pa.table(columns, schema=CHANGES)


def stamp(changes: pa.Table, seen_ms: int, processing_id: str | None) -> pa.Table:
    """Return changes with the moment at which they were seen, in order."""
    rows = changes.num_rows
    seen_at = int64s([seen_ms * 1000]).cast(VALUE_DATE.type)
    columns = {"seen_at": _repeat(seen_at, rows), "processing_id": constant(processing_id, rows)}
    for name, column in columns.items():
        changes = changes.set_column(CHANGES.get_field_index(name), CHANGES.field(name), column)
    return sort_table(changes)


def undo(rows: pa.Table, later: pa.Table, assets: pa.Table) -> pa.Table:
    """Return rows as they were before later changes, which are in order of time."""
    if not later.num_rows:
        return rows
    later = later.take(group_keys([later])["place_min"])  # the first change of each key
    groups = group_keys([later, rows])
    is_touched = pc.less(groups["place_min"], later.num_rows)
    untouched = rows.take(pc.subtract(groups["place_min"].filter(pc.invert(is_touched)), later.num_rows))
    existed = later.filter(pc.not_equal(later["kind"].cast(pa.string()), strings(["added"])[0]))
    restored = describe(existed, assets, value="old", version="old_asset_version")
    return sort_table(pa.concat_tables([untouched, restored]))


def replay(changes: pa.Table, assets: pa.Table) -> pa.Table:
    """Return the rows that some changes, in order of time, have left."""
    changes = changes.take(group_keys([changes])["place_max"])
    exist = changes.filter(pc.not_equal(changes["kind"].cast(pa.string()), strings(["gone"])[0]))
    return sort_table(describe(exist, assets, value="new", version="asset_version"))


def without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Return the rows whose keys others do not have."""
    groups = group_keys([others, rows])
    is_other = pc.greater_equal(groups["place_min"], others.num_rows)
    return sort_table(rows.take(pc.subtract(groups["place_min"].filter(is_other), others.num_rows)))


def describe(keys: pa.Table, assets: pa.Table, *, value: str, version: str) -> pa.Table:
    """Return the rows of some keys, with the columns that describe their assets."""
    ids = keys["asset_id"].cast(pa.string()).combine_chunks()
    places = pc.index_in(ids, assets["asset_id"].cast(pa.string()).combine_chunks())
    described = assets.take(places)
    metrics = keys["metric"].cast(pa.string()).combine_chunks().dictionary_encode()
    units = unit_labels(tuple(metrics.dictionary.to_pylist())).take(metrics.indices)
    columns = {name: described[name] for name in ASSETS.names}
    columns |= {"asset_id": keys["asset_id"], "asset_version": keys[version]}
    columns |= {"value_date": keys["value_date"], "metric": keys["metric"], "unit": units, "value": keys[value]}
    return pa.table(columns).cast(RESULTS)


def group_keys(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the first and the last place of each key in tables that follow each other: place_min and place_max."""
    rows = pa.concat_tables([table.select(KEYS) for table in tables])
    rows = rows.cast(pa.schema([f.with_type(pa.string()) if f.type == LABEL else f for f in rows.schema]))
    rows = rows.append_column("place", _places(rows.num_rows))
    return rows.group_by([*KEYS], use_threads=False).aggregate([("place", "min"), ("place", "max")])


def split_months(table: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each month, such as 2024-01; those without a date under NO_MONTH."""
    dates = table["value_date"].cast(pa.timestamp("us")).combine_chunks()
    ends = pc.min_max(dates).as_py()
    if ends["min"] and not dates.null_count and month_of(ends["min"]) == month_of(ends["max"]):
        return {month_of(ends["min"]): table}
    numbers = pc.add(pc.multiply(pc.year(dates), int64s([12])[0]), pc.month(dates))
    order = pc.array_sort_indices(numbers)  # nulls last, and stable
    counts = numbers.take(order).value_counts()
    rows, start, months = table.take(order), 0, {}
    for number, size in zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True):
        month = NO_MONTH if number is None else f"{(number - 1) // 12:04d}-{(number - 1) % 12 + 1:02d}"
        months[month] = rows.slice(start, size)
        start += size
    return months


def month_of(moment: datetime) -> str:
    """Return the month of a moment, such as 2024-01."""
    return f"{moment.year:04d}-{moment.month:02d}"


def month_range(month: str) -> tuple[int, int]:
    """Return the first moment of a month and of the next one, in epoch milliseconds; far in the future for NO_MONTH."""
    if month == NO_MONTH:
        return 2**52, 2**53
    year, number = int(month[:4]), int(month[5:])
    first = datetime(year, number, 1, tzinfo=UTC)
    last = datetime(year, number, 28, 23, 59, 59, 999_999, tzinfo=UTC) if (year, number) == (9999, 12) else None
    stop = last or datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return (first - EPOCH) // MILLISECOND, (stop - EPOCH) // MILLISECOND


def in_range(dates: pa.ChunkedArray, start_ms: int | None, stop_ms: int | None) -> pa.ChunkedArray:
    """Return whether each date is in a range with its ends; null where it is null."""
    number = dates.cast(pa.int64())
    first = pc.greater_equal(number, int64s([-(2**62) if start_ms is None else start_ms * 1000])[0])
    return pc.and_(first, pc.less_equal(number, int64s([2**62 if stop_ms is None else stop_ms * 1000 + 999])[0]))


def constant(value: str | None, rows: int) -> pa.Array:
    """Return a column of labels with one value."""
    return pa.nulls(rows, LABEL) if value is None else pa.DictionaryArray.from_arrays(_zeros(rows), strings([value]))


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Return the rows of all tables, in the types of a schema."""
    return pa.concat_tables([schema.empty_table(), *(table.select(schema.names).cast(schema) for table in tables)])


def _repeat(scalar: pa.Array, rows: int) -> pa.Array:
    return scalar.take(_zeros(rows))


def _zeros(rows: int) -> pa.Array:
    return pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(bytes(4 * rows))])


def _places(rows: int) -> pa.Array:
    return pc.indices_nonzero(pa.nulls(rows).is_null()).cast(pa.int64())


def _equal(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return whether values are equal. Null equals null."""
    both_null = pc.and_(first.is_null(), second.is_null())
    return pc.or_kleene(pc.fill_null(pc.equal(first, second), False), both_null)  # noqa: FBT003 - an argument of Arrow


def is_same(first: pa.Table, second: pa.Table) -> bool:
    """Return whether two tables have the same values in the same order; the fastest columns first."""
    names = sorted(first.column_names, key=lambda name: first.schema.field(name).type == LABEL)
    return first.num_rows == second.num_rows and all(_plain(first[name]).equals(_plain(second[name])) for name in names)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()) if column.type == LABEL else column
