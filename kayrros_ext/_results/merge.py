"""Parts of one dataset's results into one: in order, each row once. Arrow all the way, no Python object for a row."""

import functools
from collections.abc import Sequence

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.model import Results
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import ASSET_FIELDS, ASSETS, LABEL, STRINGS
from kayrros_ext._results.windows import Window

# What makes a row of a table the same as another.
TABLES = ("table", "without_metrics")
KEYS = ("asset_id", "value_date", "metric")
# What makes a row of `assets` the same as another: all that a group can be made by.
_DESCRIBED = [(field.name, field.type) for field in ASSET_FIELDS if field.type != STRINGS]
# A server that rounds a range to whole days sends what lies a day beyond it.
DAY_US = 86_400_000_000


def merged(parts: Sequence[Results]) -> Results:
    """One Results of several that hold no row twice; its tables in the order of asset, date and metric."""
    table = sort_table(pa.concat_tables([part.table for part in parts]))
    bare = sort_table(pa.concat_tables([part.without_metrics for part in parts]))
    assets = pa.concat_tables([part.assets for part in parts])
    if len(parts) > 1:
        assets = _counted(_first_of_each(assets), table, bare)
    return Results(
        table=table,
        assets=sort_table(assets),
        without_metrics=bare,
        processing_id=next((part.processing_id for part in parts if part.processing_id is not None), None),
        source_id=next((part.source_id for part in parts if part.source_id is not None), None),
        unknown_fields=tuple(sorted({name for part in parts for name in part.unknown_fields})),
        gaps=tuple(gap for part in parts for gap in part.gaps),
        requests=sum(part.requests for part in parts),
    )


def _first_of_each(assets: pa.Table) -> pa.Table:
    """One row of each asset, its dates added up. The same id with another version or name is another asset."""
    columns = {name: assets[name].cast(pa.string()) if kind == LABEL else assets[name] for name, kind in _DESCRIBED}
    rows = pa.table({**columns, "row": pa.array(range(assets.num_rows), pa.int64()), "dates": assets["date_count"]})
    groups = rows.group_by([*columns], use_threads=False).aggregate([("row", "min"), ("dates", "sum")])
    return _with_dates(assets.unify_dictionaries().take(groups["row_min"].combine_chunks()), groups["dates_sum"])


def _counted(assets: pa.Table, table: pa.Table, bare: pa.Table) -> pa.Table:
    """The assets with the number of their dates: a date at a boundary was in two answers, and is one.

    Where several share an id, or have none, the dates of each can't be told apart: they stay as they were added up.
    """
    dates = pa.concat_tables([rows.select(["asset_id", "value_date"]) for rows in (table, bare)])
    dates = dates.set_column(0, "asset_id", dates["asset_id"].cast(pa.string()))
    counts = (
        dates.group_by(["asset_id", "value_date"]).aggregate([]).group_by("asset_id").aggregate([([], "count_all")])
    )
    ids = assets["asset_id"].cast(pa.string()).combine_chunks()
    place = pc.index_in(ids, counts["asset_id"].combine_chunks())
    found = pc.fill_null(counts["count_all"].take(place), 0)
    known = ids.value_counts()
    is_alone = pc.is_in(ids, known.field("values").filter(pc.equal(known.field("counts"), 1)))
    return _with_dates(assets, pc.if_else(is_alone, found, assets["date_count"]))


def _with_dates(assets: pa.Table, counts: pa.ChunkedArray) -> pa.Table:
    return assets.set_column(assets.schema.get_field_index("date_count"), ASSETS.field("date_count"), counts)


class Repeats:
    """Takes out what came before: rows that two windows share.

    A row may be in two answers where it lies on the boundary of their windows, or near it: the server may round a range to
    whole days, or hold a date to be in another zone. So what came from up to a day before the end of a window is
    remembered until the windows are past it.
    """

    def __init__(self) -> None:
        self._tails: list[_Tail] = []

    def without(self, part: Results, window: Window) -> Results:
        """A part without the rows that came before; windows come in order of time, and from the start again."""
        start_us, stop_us = window.start_ms * 1000, window.stop_ms * 1000
        self._tails = [tail for tail in self._tails if tail.start_us <= start_us <= tail.last_us + DAY_US]
        near = [tail for tail in self._tails if tail.may_share(window)]
        kept = {name: getattr(part, name) for name in TABLES}
        self._tails.append(_Tail.of(kept, window, start_us, stop_us))
        for name, table in kept.items():
            kept[name] = functools.reduce(_without, (tail.rows[name] for tail in near), table)
        return attrs.evolve(part, **kept)


@attrs.frozen
class _Tail:
    """The last rows of a window: their keys, and where it lies."""

    rows: dict[str, pa.Table]
    start_us: int
    last_us: int
    assets: frozenset[str] | None

    @classmethod
    def of(cls, tables: dict[str, pa.Table], window: Window, start_us: int, stop_us: int) -> "_Tail":
        rows = {}
        last_us = stop_us
        for name, table in tables.items():
            dates = table["value_date"].cast(pa.int64())
            near = table.filter(_or_null(pc.greater_equal(dates, stop_us - DAY_US)))
            rows[name] = near.select([key for key in KEYS if key in near.column_names])
            last_us = max(last_us, pc.max(dates).as_py() or stop_us)
        return cls(rows, start_us, last_us, frozenset(window.assets) if window.assets else None)

    def may_share(self, window: Window) -> bool:
        return self.assets is None or window.assets is None or not self.assets.isdisjoint(window.assets)


def _without(table: pa.Table, before: pa.Table) -> pa.Table:
    """The rows whose keys are not among those from before. Where the two don't overlap in time, nothing is compared."""
    last, first = pc.max(before["value_date"]), pc.min(table["value_date"])
    if not before.num_rows or not table.num_rows:
        return table
    shared = _or_null(pc.less_equal(table["value_date"], last))
    there = _or_null(pc.greater_equal(before["value_date"], first))
    if not pc.any(shared).as_py():
        return table
    seen = set(_keys(before.filter(there)))
    places = pc.indices_nonzero(shared).to_pylist()
    repeated = [
        place
        for place, key in zip(places, _keys(table.filter(shared).select(before.column_names)), strict=True)
        if key in seen
    ]
    if not repeated:
        return table
    mask = pc.is_in(pa.array(range(table.num_rows), pa.int64()), pa.array(repeated, pa.int64()))
    return table.filter(pc.invert(mask))


def _or_null(mask: pa.ChunkedArray) -> pa.ChunkedArray:
    """True also where there is no date to tell."""
    return pc.fill_null(mask, fill_value=True)


def _keys(table: pa.Table) -> list[tuple[object, ...]]:
    """A tuple for each row; dates as numbers, which are quicker."""
    columns = (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in table.columns)
    return list(zip(*(column.to_pylist() for column in columns), strict=True))
