"""Convert the results table for pandas, polars, geopandas and GIS."""

import importlib
import re
import sys
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.model import Results
from kayrros_ext._results.reader import rank_values, sort_table
from kayrros_ext._results.schema import INTEGER, LABEL, STRINGS, VALUE_DATE, int64s, strings
from kayrros_ext._results.selection import find_metric
from kayrros_ext._results.units import is_additive
from kayrros_ext._text import list_names
from kayrros_ext.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

_OWNERS = ["asset_id", "asset_name", "parent_asset_id", "parent_asset_name"]
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
    return pc.binary_join(pa.ListArray.from_arrays(offsets, items, mask=lists.is_null()), *strings([";"]))


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


def to_wide(results: Results, wide: str | Iterable[str], by: str | None) -> "pd.DataFrame":
    """Convert as Results.to_pandas does with wide=."""
    pandas = import_optional("pandas", extra="pandas")
    labels = _labels(*_owners(to_pandas(results.assets), by))
    frames: dict[str, pd.DataFrame] = {}
    for value in [wide] if isinstance(wide, str) or not isinstance(wide, Iterable) else wide:
        metric = find_metric(value, results.table)
        rows = _values_of(results.table, metric, by)
        ids, _ = _owners(rows, by)
        groups = rows.groupby(["value_date", ids.map(labels).fillna(ids).rename(by or "asset")])["value"]
        frames[metric] = (groups.sum(min_count=1) if by else groups.first()).unstack()
        if by:
            frames[f"{metric}_asset_count"] = groups.count().unstack(fill_value=0).astype("Int64")
    if not frames:
        raise UsageError("wide is empty.", hint="Pass the name of a metric, or a list of them.")
    if isinstance(wide, str) and not by:
        return next(iter(frames.values()))
    frame: pd.DataFrame = pandas.concat(frames, axis=1, sort=True, names=["metric", by or "asset"])
    return frame


def _values_of(table: pa.Table, metric: str, by: str | None) -> "pd.DataFrame":
    """Return the rows of a metric. UsageError if a wide table, or one of totals, can't hold them."""
    names = table["metric"].cast(pa.string())
    choice = pc.equal(names, strings([metric])[0])
    rows = to_pandas(table.select([*_OWNERS, "value_date", "value"]).filter(choice))
    metrics = pc.unique(names).drop_null().to_pylist()
    if by and not is_additive(metric):
        raise UsageError(
            f"Values of {metric!r} can't be added up over assets, judging by its name.",
            hint=f"Additive metrics: {list_names(filter(is_additive, metrics))}. For others, group to_pandas() by "
            "parent_asset_name and choose an aggregate, such as mean().",
            hint_cli="Draw a volume or a rate with --metric, or omit --by.",
        )
    if incomplete := rows[["asset_id", "value_date"]].isna().any(axis=1).sum():
        raise UsageError(
            f"{incomplete} rows of {metric!r} have no asset_id or no date, and so no place in a wide table.",
            hint="Drop rows of to_pandas() and use its pivot_table().",
        )
    repeated = rows[rows.duplicated(["asset_id", "value_date"])]
    if not repeated.empty:
        raise UsageError(
            f"Asset {repeated['asset_id'].iloc[0]!r} has several values of {metric!r} on "
            f"{repeated['value_date'].iloc[0].isoformat()}, and a wide table has room for one.",
            hint="Use pivot_table() of to_pandas(), which aggregates them.",
        )
    if by and (nested := set(rows["parent_asset_id"].dropna().unique()) & set(rows["asset_id"].unique())):
        raise UsageError(
            f"Some parents have values of {metric!r} themselves ({list_names(nested)}), and a total would count them twice.",
            hint="Request the assets of one level with assets=.",
        )
    return rows


def _owners(frame: "pd.DataFrame", by: str | None) -> "tuple[pd.Series[str], pd.Series[str]]":
    """Return id and name of the asset of each row, or with `by` those of its parent where it has one."""
    is_asset = frame["parent_asset_id"].isna() | (by is None)
    ids, names = (frame[f"asset_{key}"].where(is_asset, frame[f"parent_asset_{key}"]) for key in ("id", "name"))
    return ids, names


def _labels(ids: Iterable[str], names: Iterable[str | None]) -> dict[str, str]:
    """Return the last name of each id, or the id where the name is missing or not unique."""
    latest = dict(zip(ids, names, strict=True))
    taken = Counter([*latest.values(), *latest])
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


def latest_rows(table: pa.Table) -> pa.Table:
    """Select as Results.latest does."""
    rows = table.filter(pc.and_(table["value"].is_valid(), table["value_date"].is_valid()))
    rows = sort_table(rows, by=("asset_id", "metric", "value_date"))
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
        text = f"This needs {name}, which can't be imported ({error})."
        hint = f"Install the packages of the extra `{extra}`: {install_command(extra)}"
        raise MissingExtraError(text, hint=hint, extra=extra) from error


def install_command(*extras: str) -> str:
    """Return the command that installs the packages of extras.

    It does not name `kayrros-ext[extra]`: no public index has that name, and whoever registers it there may upload anything.
    """
    from importlib.metadata import distributions  # finds nothing in a zipapp, which has no metadata

    lines = next((it.requires or [] for it in distributions(name="kayrros-ext")), [])
    packages = {
        line.partition(";")[0].strip() for line in lines if re.search(rf"extra == .({'|'.join(extras)})\b", line)
    }
    return " ".join(["pip install", *(f'"{package}"' for package in sorted(packages))])
