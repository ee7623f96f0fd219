"""The columns of the results tables, with their types and units, and conversions that do not import pandas.

No other module declares a column. pyarrow imports pandas, where it is installed, in `pa.array` and `pa.scalar`, for a Python
value as an argument of `pyarrow.compute`, for `as_py` and `to_pylist` of dates with a time zone, in `empty_table` and in
`group_by`. That takes longer than reading a small response.
"""

import functools
from array import array
from collections.abc import Iterable
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.units import unit_of

# Names and ids repeat on every row, so each is stored once.
LABEL = pa.dictionary(pa.int32(), pa.string())
INTEGER, DOUBLE, STRINGS = pa.int64(), pa.float64(), pa.list_(pa.string())


def _field(name: str, kind: pa.DataType, unit: str | None = None) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


# Types are from the API reference. Units: square metres are in the name, degrees are assumed.
ASSET_FIELDS = [
    _field("asset_id", LABEL),
    _field("asset_name", LABEL),
    _field("asset_version", INTEGER),
    _field("asset_categories", STRINGS),
    _field("asset_centroid_latitude", DOUBLE, "degree_north"),
    _field("asset_centroid_longitude", DOUBLE, "degree_east"),
    _field("asset_surface_area_m2", DOUBLE, "m2"),
    _field("parent_asset_id", LABEL),
    _field("parent_asset_name", LABEL),
    _field("parent_asset_version", INTEGER),
]
VALUE_DATE = _field("value_date", pa.timestamp("us", tz="UTC"), "us since 1970-01-01T00:00:00Z")

# A row per asset, date and metric. The API gives no units of metrics: `unit` is derived from the metric's name (assumed).
_value = _field("value", DOUBLE, "that of the metric")
RESULTS = pa.schema([*ASSET_FIELDS, VALUE_DATE, _field("metric", LABEL), _field("unit", LABEL), _value])
# With with_dataset=True.
WITH_DATASET = pa.schema([_field("dataset_id", LABEL), _field("dataset_name", LABEL), *RESULTS])
# A row per asset. date_count counts its dates, with metrics or without.
ASSETS = pa.schema([*ASSET_FIELDS, _field("date_count", INTEGER)])
# A row per asset and date that has no metric.
WITHOUT_METRICS = pa.schema([ASSET_FIELDS[0], VALUE_DATE])


def int64s(values: Iterable[int]) -> pa.Int64Array:
    """Return the values as an Arrow array. `int64s([5])[0]` is a scalar."""
    data = array("q", values)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


def strings(values: Iterable[str]) -> pa.StringArray:
    """Return the values as an Arrow array. `strings([text])[0]` is a scalar."""
    encoded = [value.encode() for value in values]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


@functools.lru_cache(8)  # batches and windows have the same metrics
def unit_labels(metrics: tuple[str, ...]) -> pa.DictionaryArray:
    """Return the unit of each metric, null where its name has none."""
    units = [unit_of(metric) or "" for metric in metrics]
    labels = strings(dict.fromkeys(filter(None, units)))
    return pa.DictionaryArray.from_arrays(pc.index_in(strings(units), value_set=labels), labels)


def metric_units(table: pa.Table) -> dict[str, str | None]:
    """Return the unit of each metric of a results table, in the order of its rows."""
    if not table.num_rows:
        return {}  # because unify_dictionaries would import pandas
    return {metric: unit_of(metric) for metric in table["metric"].unify_dictionaries().unique().drop_null().to_pylist()}


def value_years(table: pa.Table) -> list[int]:
    """Return the years of the first and the last value of a results table; none if no value has a date."""
    ends = pc.min_max(table["value_date"].cast(pa.timestamp("us"))).as_py()
    return [date.year for date in ends.values() if date]


def add_dataset(table: pa.Table, dataset_id: str, dataset_name: str | None) -> pa.Table:
    """Return a results table with the columns of WITH_DATASET."""
    rows = table.num_rows
    zeros = pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(bytes(4 * rows))])
    columns = [
        pa.nulls(rows, LABEL) if value is None else pa.DictionaryArray.from_arrays(zeros, strings([value]))
        for value in (dataset_id, dataset_name)
    ]
    return pa.table([*columns, *table.columns], schema=WITH_DATASET)


def without_time_zone(table: pa.Table) -> pa.Table:
    """Return the table with value_date in UTC without a time zone, for `to_pylist`."""
    place = table.schema.get_field_index("value_date")
    return table.set_column(place, "value_date", table.column(place).cast(pa.timestamp("us")))
