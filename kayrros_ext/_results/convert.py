"""Convert the results table for geopandas and GIS, and into a wide table."""

import importlib
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.model import Results
from kayrros_ext._results.reader import rank_values, sort_table
from kayrros_ext._results.schema import LABEL, int64s, strings
from kayrros_ext._text import list_names
from kayrros_ext.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import geopandas as gpd

# Rows of a slice, whose text certainly fits one array.
_SLICE = 2**20
# How a point begins in WKB: the byte order of this machine, and 1, the type of a point.
_POINT = chr(sys.byteorder == "little") + (1).to_bytes(4, sys.byteorder).decode()


def join_categories(table: pa.Table) -> pa.Table:
    """Return the table with each list of categories as one label, such as "crude_oil;floating_roof_tank".

    pandas makes numpy arrays of lists, which to_json, to_sql and drop_duplicates reject.
    """
    place = table.schema.get_field_index("asset_categories")
    batches = table.select([place]).to_batches(max_chunksize=_SLICE)
    labels = [_join(batch.column(0)).dictionary_encode() for batch in batches]
    return table.set_column(place, "asset_categories", pa.chunked_array(labels, LABEL))


def _join(lists: pa.ListArray) -> pa.StringArray:
    """Return the items of each list as one text, an item that is null as an empty one; null where the list is null."""
    first, last = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    items = pc.coalesce(lists.values.slice(first, last - first), strings([""])[0])
    offsets = pc.subtract(lists.offsets, lists.offsets[0])
    return pc.binary_join(pa.ListArray.from_arrays(offsets, items, mask=lists.is_null()), *strings([";"]))


def to_geopandas(results: Results) -> "gpd.GeoDataFrame":
    """Convert as Results.to_geopandas does."""
    geopandas = import_optional("geopandas", extra="geo")
    shapely = importlib.import_module("shapely")  # comes with geopandas
    encoded = centroids(results.table).dictionary_encode(null_encoding="encode")
    geometry = shapely.from_wkb(encoded.dictionary.to_pylist())[encoded.indices.to_numpy()]
    frame: gpd.GeoDataFrame = geopandas.GeoDataFrame(results.to_pandas(), geometry=geometry, crs="EPSG:4326")
    return frame


def centroids(table: pa.Table) -> pa.Array:
    """Return a point in WKB for each row, x the longitude and y the latitude; null where one of them is null."""
    axes = (table[f"asset_centroid_{axis}"].combine_chunks() for axis in ("longitude", "latitude"))
    x, y = (axis.view(pa.binary(8)).cast(pa.binary()) for axis in axes)
    prefix, separator = strings([_POINT, ""]).cast(pa.binary())
    return pc.binary_join_element_wise(prefix, x, y, separator)


def to_wide(table: pa.Table, metric: str) -> pa.Table:
    """Convert as Results.to_wide does."""
    names = table["metric"].cast(pa.string())
    choice = strings([metric] if isinstance(metric, str) else [])
    rows = table.select(["asset_id", "value_date", "value"]).filter(pc.is_in(names, choice))
    if not rows.num_rows:
        metrics = list_names(names.unique().drop_null().to_pylist(), near=str(metric))
        raise UsageError(f"No row has the metric {metric!r}.", hint=f"Available metrics: {metrics}.")
    if incomplete := max(rows["asset_id"].null_count, rows["value_date"].null_count):
        raise UsageError(
            f"{incomplete} rows of {metric!r} have no asset_id or no date, and so no place in a wide table.",
            hint="Drop rows of `table` first.",
        )
    ids, dates, values = (column.combine_chunks() for column in rows.columns)
    ids = ids.cast(pa.string())
    row_dates, column_ids = dates.unique().sort(), ids.unique().sort()
    height = len(row_dates)
    # Cells are numbered column by column.
    column, row = pc.index_in(ids, column_ids).cast(pa.int64()), pc.index_in(dates, row_dates)
    cells = pc.add(pc.multiply(column, int64s([height])[0]), row)
    if pc.count_distinct(cells).as_py() < len(cells):
        cell, count = Counter(cells.to_pylist()).most_common(1)[0]
        raise UsageError(
            f"Asset {column_ids[cell // height].as_py()!r} has {count} values of {metric!r} on "
            f"{row_dates[cell % height].as_py().isoformat()}, and a wide table has room for one.",
            hint="Drop rows of `table` first.",
        )
    grid = values.take(pc.index_in(int64s(range(height * len(column_ids))), cells))
    columns = [grid.slice(start, height) for start in range(0, len(grid), height)]
    fields = [pa.field(name, values.type, metadata={"metric": metric}) for name in column_ids.to_pylist()]
    return pa.table([row_dates, *columns], schema=pa.schema([table.schema.field("value_date"), *fields]))


def latest_rows(table: pa.Table) -> pa.Table:
    """Select as Results.latest does."""
    rows = table.filter(pc.and_(table["value"].is_valid(), table["value_date"].is_valid()))
    rows = sort_table(rows, ("asset_id", "metric", "value_date"))
    if not rows.num_rows:
        return rows
    (asset, _), (metric, count) = (rank_values(rows[name]) for name in ("asset_id", "metric"))
    # A rank is at most `count`. Without a Python number (see schema.py).
    groups = pc.add(pc.add(pc.multiply(asset, count), asset), metric)
    ends = pc.cumulative_sum(groups.value_counts().field("counts"))
    return rows.take(pc.subtract(ends, int64s([1])[0]))


def import_optional(name: str, *, extra: str) -> Any:
    """Import a module of a package that an extra installs. MissingExtraError names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"This needs {name}, which can't be imported ({error}).",
            hint=f'Install the extra: pip install "kayrros-ext[{extra}]".',
            extra=extra,
        ) from error
