"""Convert the results table for pandas, polars, geopandas and GIS, and into a wide table."""

import importlib
import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.model import Results
from kayrros_ext._results.schema import INTEGER, LABEL, STRINGS, VALUE_DATE, int64s, strings
from kayrros_ext._results.units import is_additive
from kayrros_ext._text import list_names
from kayrros_ext.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

# Rows of a slice, whose text certainly fits one array.
_SLICE = 2**20
# How a point begins in WKB: the byte order of this machine, and 1, the type of a point.
_POINT = chr(sys.byteorder == "little") + (1).to_bytes(4, sys.byteorder).decode()


def plain_table(table: pa.Table, *, categories: bool = False) -> pa.Table:
    """Return the table with cells that every function of pandas and polars accepts.

    A list of categories becomes one text, such as "crude_oil;floating_roof_tank". Dates are in UTC without a time zone,
    because Excel and most CSV files with which a frame is joined have none. Labels become text, unless `categories` is true.
    """
    for place, field in enumerate(table.schema):
        if field.type == STRINGS:
            batches = table.select([place]).to_batches(max_chunksize=_SLICE)
            labels = [_join(batch.column(0)).dictionary_encode() for batch in batches]
            table = table.set_column(place, field.with_type(LABEL), pa.chunked_array(labels, LABEL))
    types = {VALUE_DATE.type: pa.timestamp("us"), LABEL: LABEL if categories else pa.large_string()}
    return table.cast(pa.schema([field.with_type(types.get(field.type, field.type)) for field in table.schema]))


def _join(lists: pa.ListArray) -> pa.StringArray:
    """Return the items of each list as one text, an item that is null as an empty one; null where the list is null."""
    first, last = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    items = pc.coalesce(lists.values.slice(first, last - first), strings([""])[0])
    offsets = pc.subtract(lists.offsets, lists.offsets[0])
    return pc.binary_join(pa.ListArray.from_arrays(offsets, items, mask=lists.is_null()), ";")


def to_pandas(table: pa.Table, *, categories: bool = False) -> "pd.DataFrame":
    """Convert a table as Results.to_pandas does."""
    pandas = import_optional("pandas", extra="pandas")
    # Without the nullable type, one null turns a column of integers into doubles, which are inexact beyond 2**53. Text has
    # the default type of pandas, as in a frame of read_csv: `str` in pandas 3, and object, which pyarrow makes, before.
    types, text = {INTEGER: pandas.Int64Dtype()}, pandas.Series([""]).dtype
    if text.name != "object":
        types[pa.large_string()] = text
    frame: pd.DataFrame = plain_table(table, categories=categories).to_pandas(types_mapper=types.get)
    return frame


def to_wide_pandas(results: Results, wide: str | Iterable[str], by: str | None) -> "pd.DataFrame":
    """Convert as Results.to_pandas does with wide=."""
    pandas = import_optional("pandas", extra="pandas")
    frames: dict[str, pd.DataFrame] = {}
    # to_wide refuses a metric of another type.
    for metric in [wide] if isinstance(wide, str) or not isinstance(wide, Iterable) else wide:
        frames[metric] = to_pandas(to_wide(results, metric)).set_index("value_date").rename_axis(columns="asset")
        if by:
            groups = _group_by_parent(results.table, metric)
            frames[metric] = groups.sum(min_count=1).unstack()
            frames[f"{metric}_asset_count"] = groups.count().unstack(fill_value=0).astype("Int64")
    if not frames:
        raise UsageError("wide is empty.", hint="Pass the name of a metric, or a list of them.")
    if isinstance(wide, str) and not by:
        return frames[wide]
    frame: pd.DataFrame = pandas.concat(frames, axis=1, names=["metric", by or "asset"]).sort_index()
    return frame


def _group_by_parent(table: pa.Table, metric: str) -> Any:
    """Return the values of a metric, grouped by date and parent. An asset without a parent stands for itself."""
    metrics = table["metric"].cast(pa.string())
    if not is_additive(metric):
        names = filter(is_additive, pc.unique(metrics).drop_null().to_pylist())
        raise UsageError(
            f"The values of several assets of {metric!r} can't be added up, judging by its name.",
            hint=f"Additive metrics: {list_names(names)}. For others, group to_pandas() by parent_asset_name and choose an "
            "aggregate, such as mean().",
        )
    rows = to_pandas(table.filter(pc.is_in(metrics, strings([metric]))))
    if nested := set(rows["parent_asset_id"].dropna()) & set(rows["asset_id"]):
        raise UsageError(
            f"Some parents have values of {metric!r} themselves ({list_names(nested)}), and a total would count them twice.",
            hint="Request the assets of one level with assets=.",
        )
    owner, has_parent = rows["parent_asset_id"].fillna(rows["asset_id"]), rows["parent_asset_id"].notna()
    names = rows["parent_asset_name"].where(has_parent, rows["asset_name"])
    return rows.groupby(["value_date", owner.map(_labels(owner, names)).rename("parent")])["value"]


def _labels(ids: Iterable[str], names: Iterable[str | None]) -> dict[str, str]:
    """Return the last name of each id, or the id where the name is missing or not unique."""
    latest = dict(zip(ids, names, strict=True))
    taken = Counter(latest.values()) + Counter([*latest, "value_date"])
    return {id_: name if isinstance(name, str) and name and taken[name] == 1 else id_ for id_, name in latest.items()}


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


def to_wide(results: Results, metric: str) -> pa.Table:
    """Convert as Results.to_wide does."""
    table = results.table
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
    labels = _labels(*(results.assets[name].to_pylist() for name in ("asset_id", "asset_name")))
    fields = [
        pa.field(labels.get(id_, id_), values.type, metadata={"metric": metric, "asset_id": id_})
        for id_ in column_ids.to_pylist()
    ]
    return pa.table([row_dates, *columns], schema=pa.schema([table.schema.field("value_date"), *fields]))


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
