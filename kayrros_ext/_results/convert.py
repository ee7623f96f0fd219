"""Convert the results table for pandas, polars, geopandas and GIS, and into a wide table."""

import importlib
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.arrays import int64s, strings
from kayrros_ext._results.model import list_names
from kayrros_ext.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd
    import polars as pl

# How a point begins in WKB: the byte order of this machine, and 1, the type of a point.
_POINT = chr(sys.byteorder == "little") + (1).to_bytes(4, sys.byteorder).decode()


def to_pandas(table: pa.Table) -> "pd.DataFrame":
    """Convert as Results.to_pandas says."""
    pandas = import_optional("pandas", extra="pandas")
    # Without the nullable type, one null turns a column of integers into doubles, which are inexact beyond 2**53.
    types = {pa.int64(): pandas.Int64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame


def to_polars(table: pa.Table) -> "pl.DataFrame":
    """Convert as Results.to_polars says."""
    polars = import_optional("polars", extra="polars")
    frame: pl.DataFrame = polars.from_arrow(table)
    return frame


def to_geopandas(table: pa.Table) -> "gpd.GeoDataFrame":
    """Convert as Results.to_geopandas says."""
    geopandas = import_optional("geopandas", extra="geo")
    shapely = importlib.import_module("shapely")  # comes with geopandas
    encoded = centroids(table).dictionary_encode(null_encoding="encode")
    points = shapely.from_wkb(encoded.dictionary.to_pylist())
    geometry = points[encoded.indices.to_numpy()]
    frame: gpd.GeoDataFrame = geopandas.GeoDataFrame(to_pandas(table), geometry=geometry, crs="EPSG:4326")
    return frame


def centroids(table: pa.Table) -> pa.Array:
    """Return a point in WKB for each row, x the longitude and y the latitude; null where one of them is null."""
    x, y = (
        table[f"asset_centroid_{axis}"].combine_chunks().view(pa.binary(8)).cast(pa.binary())
        for axis in ("longitude", "latitude")
    )
    prefix, separator = strings([_POINT, ""]).cast(pa.binary())
    return pc.binary_join_element_wise(prefix, x, y, separator)


def to_wide(table: pa.Table, metric: str) -> pa.Table:
    """Convert as Results.to_wide says."""
    rows = _rows_of(table, metric)
    dates, ids, values = (rows[name].combine_chunks() for name in ("value_date", "asset_id", "value"))
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


def _rows_of(table: pa.Table, metric: str) -> pa.Table:
    """Return asset_id, value_date and value of a metric.

    Raises:
        UsageError: no row has the metric, or one has no asset_id or no date.
    """
    names = table["metric"].cast(pa.string())
    choice = strings([metric] if isinstance(metric, str) else [])
    rows = table.select(["asset_id", "value_date", "value"]).filter(pc.is_in(names, choice))
    rows = rows.set_column(0, "asset_id", rows["asset_id"].cast(pa.string()))
    if not rows.num_rows:
        metrics = list_names(name for name in names.unique().to_pylist() if name is not None)
        raise UsageError(f"No row has the metric {metric!r}. Metrics: {metrics or 'none'}.")
    if incomplete := max(rows["asset_id"].null_count, rows["value_date"].null_count):
        raise UsageError(
            f"{incomplete} rows of {metric!r} have no asset_id or no date, and so no place in a wide table.",
            hint="Drop rows of `table` first.",
        )
    return rows


def import_optional(name: str, *, extra: str) -> Any:
    """Import a module of a package that an extra installs.

    Raises:
        MissingExtraError: it can't be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"This needs {name}, which can't be imported ({error}).",
            hint=f'Install the extra: pip install "kayrros-ext[{extra}]".',
            extra=extra,
        ) from error
