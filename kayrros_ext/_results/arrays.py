"""Conversions between Arrow and Python values that do not import pandas.

pyarrow imports pandas, where it is installed, in `pa.array` and `pa.scalar`, for a Python value as an argument of
`pyarrow.compute`, for `as_py` and `to_pylist` of dates with a time zone, in `empty_table` and in `group_by`. That takes
longer than reading a small response.
"""

from array import array
from collections.abc import Iterable
from itertools import accumulate

import pyarrow as pa


def int64s(values: Iterable[int]) -> pa.Int64Array:
    """Return the values as an Arrow array. `int64s([5])[0]` is a scalar."""
    data = array("q", values)
    return pa.Array.from_buffers(pa.int64(), len(data), [None, pa.py_buffer(data)])


def strings(values: Iterable[str]) -> pa.StringArray:
    """Return the values as an Arrow array. `strings([text])[0]` is a scalar."""
    encoded = [value.encode() for value in values]
    offsets = array("i", accumulate(map(len, encoded), initial=0))
    return pa.StringArray.from_buffers(len(encoded), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def without_time_zone(table: pa.Table) -> pa.Table:
    """Return the table with value_date in UTC without a time zone, for `to_pylist`."""
    place = table.schema.get_field_index("value_date")
    return table.set_column(place, "value_date", table.column(place).cast(pa.timestamp("us")))


def empty_table(schema: pa.Schema) -> pa.Table:
    """Return a table without rows."""
    return pa.table([pa.nulls(0, field.type) for field in schema], schema=schema)
