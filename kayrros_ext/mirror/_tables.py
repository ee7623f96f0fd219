"""Compare rows of the schema RESULTS with earlier ones, and undo changes. The keys of rows are unique within a mirror."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.merge import KEYS
from kayrros_ext._results.query import EPOCH, MILLISECOND
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import ASSET_FIELDS, DOUBLE, INTEGER, LABEL, RESULTS, int64s, strings, unit_labels

_DATE = RESULTS.field("value_date").type
_TYPES = {"kind": LABEL, "old": DOUBLE, "new": DOUBLE, "seen_at": _DATE, "processing_id": LABEL}
_TYPES |= {"asset_version": INTEGER, "old_asset_version": INTEGER}
CHANGES = pa.schema([*(RESULTS.field(name) for name in KEYS), *_TYPES.items()])  # a row per change
ASSETS = pa.schema(ASSET_FIELDS)
NO_MONTH = "__HIVE_DEFAULT_PARTITION__"  # the name that Hive has for the partition of rows without a value, here a date
START_MS, STOP_MS = -(2**52), 2**52  # beyond all dates, in epoch milliseconds


class Comparison(NamedTuple):
    """How new rows differ from the earlier ones of their month."""

    rows: pa.Table | None  # the new ones, each key once, and the missing ones, in order; None if all is as before
    changes: pa.Table  # those added and changed, without seen_at and processing_id
    missing: pa.Table  # the earlier rows that are not among the new ones, as changes of the kind "gone"
    unchanged: int  # number of rows with the value that they had
    repeated: int  # number of new rows that were dropped, because another has the same key


def compare(old: pa.Table, new: pa.Table) -> Comparison:
    """Compare the new rows of a month with the earlier ones. Both are in order."""
    first, last = _places_of_keys(old, new)
    is_old, is_new, places = pc.less(first, len(old)), pc.greater_equal(last, len(old)), pc.subtract(last, len(old))
    added, missing = new.take(places.filter(pc.invert(is_old))), old.take(first.filter(pc.invert(is_new)))
    before, after = old.take(first.filter(pc.and_(is_old, is_new))), new.take(places.filter(pc.and_(is_old, is_new)))
    is_same_null = pc.and_(before["value"].is_null(), after["value"].is_null())
    is_equal = pc.or_kleene(is_same_null, pc.equal(before["value"], after["value"]))
    is_changed = pc.invert(pc.coalesce(is_equal, is_same_null))
    old_rows, new_rows = before.filter(is_changed), after.filter(is_changed)
    changes = [_make_changes("added", added, new=added), _make_changes("changed", new_rows, old=old_rows, new=new_rows)]
    rows = sort_table(pa.concat_tables([added, after, missing]))
    return Comparison(
        None if is_same(rows, old) else rows,
        pa.concat_tables(changes),
        _make_changes("gone", missing, old=missing),
        unchanged=len(after) - len(new_rows),
        repeated=len(new) - len(added) - len(after),
    )


def _make_changes(kind: str, rows: pa.Table, *, old: pa.Table | None = None, new: pa.Table | None = None) -> pa.Table:
    columns = {field.name: pa.nulls(rows.num_rows, field.type) for field in CHANGES}
    columns |= {name: rows[name] for name in (*KEYS, "asset_version")} | {"kind": constant(kind, rows.num_rows)}
    columns |= {} if old is None else {"old": old["value"], "old_asset_version": old["asset_version"]}
    columns |= {} if new is None else {"new": new["value"]}
    return pa.table(columns).cast(CHANGES)


def stamp(changes: pa.Table, seen_ms: int, processing_id: str | None) -> pa.Table:
    """Return changes with the moment at which they were seen, in order."""
    seen_at = pa.repeat(pa.scalar(seen_ms * 1000, _DATE), len(changes))
    for name, column in {"seen_at": seen_at, "processing_id": constant(processing_id, len(changes))}.items():
        changes = changes.set_column(CHANGES.get_field_index(name), CHANGES.field(name), column)
    return sort_table(changes)


def undo(rows: pa.Table, later: pa.Table, assets: pa.Table) -> pa.Table:
    """Return rows as they were before later changes, which are in order of time."""
    first = later.take(_places_of_keys(later)[0])  # the first change of each key
    restored = _describe(first, assets, "added", "old", "old_asset_version")
    return sort_table(pa.concat_tables([without(rows, first), restored]))


def replay(changes: pa.Table, assets: pa.Table) -> pa.Table:
    """Return the rows that changes, in order of time, have left."""
    last = changes.take(_places_of_keys(changes)[1])
    return sort_table(_describe(last, assets, "gone", "new", "asset_version"))


def without(rows: pa.Table, others: pa.Table) -> pa.Table:
    """Return the rows whose keys others do not have, in order."""
    first, _ = _places_of_keys(others, rows)
    places = pc.subtract(first.filter(pc.greater_equal(first, others.num_rows)), others.num_rows)
    return rows.take(places.take(pc.array_sort_indices(places)))


def _describe(changes: pa.Table, assets: pa.Table, kind: str, value: str, version: str) -> pa.Table:
    """Return the rows of changes that are not of a kind, with the columns that describe their assets."""
    keys = changes.filter(pc.not_equal(changes["kind"].cast(pa.string()), strings([kind])[0]))
    ids = (rows["asset_id"].cast(pa.string()).combine_chunks() for rows in (keys, assets))
    described = assets.take(pc.index_in(*ids))
    metrics = keys["metric"].cast(pa.string()).combine_chunks().dictionary_encode()
    units = unit_labels(tuple(metrics.dictionary.to_pylist())).take(metrics.indices)
    columns = {name: described[name] for name in ASSETS.names} | {name: keys[name] for name in KEYS}
    return pa.table(columns | {"asset_version": keys[version], "unit": units, "value": keys[value]}).cast(RESULTS)


def _places_of_keys(*tables: pa.Table) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Return the first and the last place of each key in tables that follow each other."""
    rows = pa.concat_tables([table.select(KEYS) for table in tables])
    rows = rows.cast(pa.schema([f.with_type(pa.string()) if f.type == LABEL else f for f in rows.schema]))
    rows = rows.append_column("place", pc.indices_nonzero(pa.nulls(rows.num_rows).is_null()).cast(pa.int64()))
    groups = rows.group_by([*KEYS], use_threads=False).aggregate([("place", "min"), ("place", "max")])
    return groups["place_min"], groups["place_max"]


def split_months(table: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each month, such as 2024-01; those without a date under NO_MONTH."""
    dates = table["value_date"].cast(pa.timestamp("us")).combine_chunks()
    numbers = pc.add(pc.multiply(pc.year(dates), int64s([12])[0]), pc.month(dates))
    rows, start, months = table, 0, {}
    if numbers.null_count or len(pc.unique(numbers)) > 1:
        order = pc.array_sort_indices(numbers)  # which is stable, with nulls last
        rows, numbers = table.take(order), numbers.take(order)
    counts = numbers.value_counts()
    for number, size in zip(*(counts.field(name).to_pylist() for name in ("values", "counts")), strict=True):
        month = NO_MONTH if number is None else f"{(number - 1) // 12:04d}-{(number - 1) % 12 + 1:02d}"
        months[month] = rows.slice(start, size)
        start += size
    return months


def month_range(month: str) -> tuple[int, int]:
    """Return the first moment of a month and of the next one, in epoch milliseconds; beyond all dates for NO_MONTH."""
    if month == NO_MONTH:
        return STOP_MS, 2 * STOP_MS
    year, number = int(month[:4]), int(month[5:])
    first = datetime(year, number, 1, tzinfo=UTC)
    end = datetime.max.replace(tzinfo=UTC)
    stop = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC) if year < 9999 else end
    return (first - EPOCH) // MILLISECOND, (stop - EPOCH) // MILLISECOND


def in_range(dates: pa.ChunkedArray, start_ms: int, stop_ms: int, *, null: bool = False) -> pa.ChunkedArray:
    """Return whether each date is in a range with both ends; `null` for a missing one."""
    numbers, (first, last) = dates.cast(pa.int64()), int64s([start_ms * 1000, stop_ms * 1000 + 999])
    return pc.fill_null(pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last)), null)


def constant(value: str | None, rows: int) -> pa.Array:
    """Return a column of labels with one value."""
    return pa.repeat(pa.scalar(value, pa.string()), rows).dictionary_encode()


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """Return the rows of all tables, in the columns of a schema."""
    return pa.concat_tables([schema.empty_table(), *(table.select(schema.names).cast(schema) for table in tables)])


def is_same(first: pa.Table, second: pa.Table) -> bool:
    """Return whether two tables have the same values in the same order."""
    both, count = pa.concat_tables([first, second]).unify_dictionaries(), first.num_rows
    return count == second.num_rows and bool(both.slice(0, count).equals(both.slice(count)))
