"""The table of results in the forms of other libraries, and in a wide one."""

import importlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.geometry import centroids
from kayrros_ext.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd
    import polars as pl

# Of metrics, in an error.
MOST_NAMED = 20


def to_pandas(table: pa.Table) -> "pd.DataFrame":
    """As Results.to_pandas says."""
    pandas = bring("pandas", extra="pandas")
    # Without the nullable type, a null makes doubles of all integers of a column, and those beyond 2**53 others.
    types = {pa.int64(): pandas.Int64Dtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=types.get)
    return frame


def to_polars(table: pa.Table) -> "pl.DataFrame":
    """As Results.to_polars says."""
    polars = bring("polars", extra="polars")
    frame: pl.DataFrame = polars.from_arrow(table)
    return frame


def to_geopandas(table: pa.Table) -> "gpd.GeoDataFrame":
    """As Results.to_geopandas says."""
    geopandas = bring("geopandas", extra="geo")
    shapely = importlib.import_module("shapely")  # comes with geopandas
    encoded = centroids(table).dictionary_encode(null_encoding="encode")
    points = shapely.from_wkb(encoded.dictionary.to_pylist())
    geometry = points[encoded.indices.to_numpy()]
    frame: gpd.GeoDataFrame = geopandas.GeoDataFrame(to_pandas(table), geometry=geometry, crs="EPSG:4326")
    return frame


def to_wide(table: pa.Table, metric: str) -> pa.Table:
    """As Results.to_wide says."""
    rows = _rows_of(table, metric)
    dates, ids, values = (rows[name].combine_chunks() for name in ("value_date", "asset_id", "value"))
    down, across = dates.unique().sort(), ids.unique().sort()
    # Each row has a cell of its own; cells are numbered column by column.
    column, line = pc.index_in(ids, across).cast(pa.int64()), pc.index_in(dates, down)
    cells = pc.add(pc.multiply(column, len(down)), line)
    grid = values.take(pc.index_in(pa.array(range(len(down) * len(across)), pa.int64()), cells))
    columns = [grid.slice(start, len(down)) for start in range(0, len(grid), len(down))]
    fields = [pa.field(name, values.type, metadata={"metric": metric}) for name in across.to_pylist()]
    return pa.table([down, *columns], schema=pa.schema([table.schema.field("value_date"), *fields]))


def _rows_of(table: pa.Table, metric: str) -> pa.Table:
    """asset_id, value_date and value of a metric: no row without the first two, and no two rows that share them."""
    wanted = metric if isinstance(metric, str) else None  # no row is equal to null
    rows = table.select(["asset_id", "value_date", "value"]).filter(pc.equal(table["metric"].cast(pa.string()), wanted))
    rows = rows.set_column(0, "asset_id", rows["asset_id"].cast(pa.string()))
    if not rows.num_rows:
        names = sorted(name for name in pc.unique(table["metric"].cast(pa.string())).to_pylist() if name is not None)
        more = ", …" * (len(names) > MOST_NAMED)
        raise UsageError(
            f"No row has the metric {metric!r}. There are: {', '.join(map(repr, names[:MOST_NAMED])) or 'none'}{more}."
        )
    if nameless := max(rows["asset_id"].null_count, rows["value_date"].null_count):
        raise UsageError(f"{nameless} rows of {metric!r} have no asset_id or no date, and so no place in a wide table.")
    keys = rows.group_by(["asset_id", "value_date"]).aggregate([([], "count_all")])
    if twice := keys.filter(pc.greater(keys["count_all"], 1)).slice(0, 1).to_pylist():
        raise UsageError(
            f"Asset {twice[0]['asset_id']!r} has {twice[0]['count_all']} values of {metric!r} on "
            f"{twice[0]['value_date'].isoformat()}, and a wide table has a place for one. Drop rows of `table` first."
        )
    return rows


def bring(name: str, *, extra: str) -> Any:
    """A module of a package that an extra brings.

    Raises:
        MissingExtraError: it can't be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"This needs {name}, which can't be imported ({error}). Install the extra that brings it: "
            f'pip install "kayrros-ext[{extra}]".',
            extra=extra,
        ) from error
