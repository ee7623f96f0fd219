"""Merge results that came in several time windows, each row once.

Rows stay in Arrow. Grouping makes pyarrow import pandas, which takes less time than a second request.
"""

from collections.abc import Iterable, Sequence

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.reader import read_results, sort_rows
from kayrros_ext._results.schema import ASSET_FIELDS, ASSETS, LABEL, STRINGS, int64s, strings
from kayrros_ext._results.windows import DAY_MS, Window

# Rows with the same values in these columns are the same row.
KEYS = ("asset_id", "value_date", "metric")
# Rows with the same values in these columns describe the same asset: all columns that can be grouped by.
_DESCRIPTION = [field.name for field in ASSET_FIELDS if field.type != STRINGS]
# No row comes this long before the window that it belongs to.
_MAX_OVERLAP_MS = 2 * DAY_MS


def merge(parts: Sequence[Results], gaps: tuple[Gap, ...] = ()) -> Results:
    """Return one Results of several of a dataset that share no row, ordered by asset, date and metric, with more gaps."""
    parts = parts or [read_results(b'{"assets": []}')]
    processing_ids, source_ids = (
        tuple(dict.fromkeys(value for part in parts for value in getattr(part, name)))
        for name in ("processing_ids", "source_ids")
    )
    return sort_rows(
        attrs.evolve(
            parts[0],
            table=pa.concat_tables([part.table for part in parts]),
            assets=merge_assets(pa.concat_tables([part.assets for part in parts])),
            without_metrics=pa.concat_tables([part.without_metrics for part in parts]),
            processing_ids=processing_ids,
            source_ids=source_ids,
            unknown_fields=tuple(sorted({name for part in parts for name in part.unknown_fields})),
            gaps=(*(gap for part in parts for gap in part.gaps), *gaps),
            requests=sum(part.requests for part in parts),
            non_finite=sum(part.non_finite for part in parts),
        )
    )


class Deduplicator:
    """Drops rows that came with an earlier window, because a server may round ranges to days."""

    def __init__(self) -> None:
        self._earlier: list[tuple[Window, Results]] = []

    def deduplicate(self, window: Window, part: Results, *, is_first: bool) -> Results:
        """Return the part of a window without rows that came before. Windows come in their order.

        Values without a date are left to the first window of each asset, because a server may send them with each.
        """
        self._earlier = [
            (other, rows)
            for other, rows in self._earlier
            if other.batch == window.batch and other.stop_ms > window.start_ms - _MAX_OVERLAP_MS
        ]
        tables = {}
        for name in ("table", "without_metrics"):
            table = getattr(part, name)
            if table["value_date"].null_count and not is_first:
                table = table.filter(table["value_date"].is_valid())
            for other, rows in self._earlier:
                if not (other.assets and window.assets and set(other.assets).isdisjoint(window.assets)):
                    table = _drop_repeated(table, getattr(rows, name))
            tables[name] = table
        if any(table.num_rows < getattr(part, name).num_rows for name, table in tables.items()):
            part = attrs.evolve(part, **tables, assets=recount_dates(part.assets, tables.values()))
        self._earlier.append((window, part))
        return part


def _drop_repeated(table: pa.Table, earlier: pa.Table) -> pa.Table:
    """Return the rows that are not among the earlier ones."""
    first, last = pc.min(table["value_date"]), pc.max(earlier["value_date"])
    if not (first.is_valid and last.is_valid and pc.less_equal(first, last).as_py()):
        return table
    keys = [name for name in KEYS if name in table.column_names]
    near = earlier.filter(pc.greater_equal(earlier["value_date"], first))
    groups = _group(pa.concat_tables([near.select(keys), table.select(keys)]), [("place", "min"), ("place", "list")])
    repeated = groups.filter(pc.less(groups["place_min"], near.num_rows))["place_list"].combine_chunks().flatten()
    places = pc.add(pc.indices_nonzero(pa.nulls(table.num_rows).is_null()), near.num_rows)
    return table.filter(pc.invert(pc.is_in(places, value_set=repeated)))


def merge_assets(assets: pa.Table) -> pa.Table:
    """Return one row of each asset, with the sum of its dates. The same id with another version or name is another asset."""
    # The rows of an asset have the same codes in each column. Not by group_by, which imports pandas.
    columns = (assets[name].cast(pa.string()).combine_chunks() for name in _DESCRIPTION) if assets.num_rows else ()
    codes = [column.dictionary_encode(null_encoding="encode").indices.cast(pa.string()) for column in columns]
    if not codes:
        return assets
    keys = pc.binary_join_element_wise(*codes, *strings([","])).dictionary_encode()
    # In the order of assets, the sum up to the last row of each. Its difference to the one before is the sum of an asset.
    totals = pc.cumulative_sum(assets["date_count"].take(pc.sort_indices(keys.indices)).combine_chunks())
    ends = pc.subtract(pc.cumulative_sum(keys.indices.value_counts().field("counts")), int64s([1])[0])
    sums = totals.take(ends)
    unique = assets.unify_dictionaries().take(pc.index_in(keys.dictionary, keys.cast(pa.string())))
    return _set_date_count(unique, pa.chunked_array([pc.coalesce(pc.pairwise_diff(sums), sums)]))


def recount_dates(assets: pa.Table, tables: Iterable[pa.Table]) -> pa.Table:
    """Return the assets with the number of their dates in the tables; assets that share an id keep their count."""
    dates = _group(pa.concat_tables([table.select(["asset_id", "value_date"]) for table in tables]), [])
    counts = dates["asset_id"].combine_chunks().value_counts()
    ids = assets["asset_id"].cast(pa.string()).combine_chunks()
    date_count = pc.fill_null(counts.field("counts").take(pc.index_in(ids, counts.field("values"))), 0)
    occurrences = ids.value_counts()
    unique = occurrences.field("values").filter(pc.equal(occurrences.field("counts"), 1))
    return _set_date_count(assets, pc.if_else(pc.is_in(ids, unique), date_count, assets["date_count"]))


def _set_date_count(assets: pa.Table, date_count: pa.ChunkedArray) -> pa.Table:
    return assets.set_column(assets.schema.get_field_index("date_count"), ASSETS.field("date_count"), date_count)


def _group(table: pa.Table, aggregations: list[tuple[str, str]]) -> pa.Table:
    """Group rows by the columns of a table, in order, and aggregate `place`, the number of the row."""
    # Labels become strings, which can be grouped by across dictionaries.
    rows = table.cast(pa.schema([f.with_type(pa.string()) if f.type == LABEL else f for f in table.schema]))
    rows = rows.append_column("place", pc.indices_nonzero(pa.nulls(table.num_rows).is_null()))
    return rows.group_by(table.column_names, use_threads=False).aggregate(aggregations)
