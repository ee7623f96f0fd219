"""Assets from bytes to columns, without a Python object per value: pyarrow's JSON reader, then list offsets.

That reader is more tolerant than the contract in some places and stricter in others. So whatever it stumbles over, and
whatever it lets pass and should not, is `Irregular`: to be read value by value, which knows. It also dies of text that is
not JSON (a line that holds `null` ends the process), so it may be given only what another parser took.
"""

from typing import Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from kayrros_ext._results.plain import parse_date
from kayrros_ext._results.schema import (
    ASSET_FIELDS,
    ASSETS,
    DOUBLE,
    LABEL,
    OF_ASSET,
    OF_METRIC,
    OF_RESULT,
    RESULTS,
    VALUE_DATE,
    WITHOUT_METRICS,
    Tables,
)

# Of fields that no table holds, with what is nested in them. More would cost memory for each row of the answer.
MOST_UNKNOWN = 64
# Of levels: what is nested deeper has a type that takes a deep stack to handle.
DEEPEST_UNKNOWN = 8
# For what is large: pyarrow's own holds on to some MB for each thread, which small answers would be measured by.
_POOL = pa.system_memory_pool()
_BRACE = ord("{")
# What Python's dates can hold, in microseconds since 1970.
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999


class Irregular(Exception):  # noqa: N818 - no error: these assets are read in another way
    """These assets are out of the ordinary."""


@attrs.frozen
class Layout:
    """The fields that objects of an answer have beyond the known ones: to be read past, since no table holds them.

    Attributes:
        unknown: their names and types, by the kind of object they are in.
        paths: all their names, with what is nested in them.
    """

    unknown: dict[str, pa.Schema] = attrs.field(
        factory=lambda: dict.fromkeys((OF_ASSET, OF_RESULT, OF_METRIC), pa.schema([]))
    )
    paths: frozenset[tuple[str, ...]] = frozenset()

    def learn(self, found: dict[str, dict[str, list[Any]]]) -> "Layout":
        """A layout that also has the fields that were found; this one, where they are not new, or too many or too deep."""
        paths = set(self.paths)
        try:
            for kind in self.unknown:
                for name, values in found[kind].items():
                    _note(values, (kind, name), paths)
            unknown = {kind: _merged(schema, found[kind]) for kind, schema in self.unknown.items()}
        except (pa.ArrowException, OverflowError, UnicodeError):
            return self
        return self if unknown == self.unknown else Layout(unknown, frozenset(paths))

    @property
    def schema(self) -> pa.Schema:
        """What an asset is."""
        metric = pa.struct([("name", pa.string()), ("value", DOUBLE), *self.unknown[OF_METRIC]])
        result = pa.struct([("value_date", pa.string()), ("metrics", pa.list_(metric)), *self.unknown[OF_RESULT]])
        known = [(field.name, pa.string() if field.type == LABEL else field.type) for field in ASSET_FIELDS]
        return pa.schema([*known, ("results", pa.list_(result)), *self.unknown[OF_ASSET]])


def read_columns(assets: list[Any], layout: Layout) -> Tables:
    """Read assets, each the bytes of JSON in UTF-8 (checked by the caller).

    Raises:
        Irregular: they are not the contract, or too odd to be sure.
    """
    if any(memoryview(asset)[0] != _BRACE for asset in assets):
        raise Irregular
    try:
        return _tables(_parse(assets, layout))
    except (pa.ArrowException, OverflowError) as error:
        raise Irregular from error


def _parse(assets: list[Any], layout: Layout) -> dict[str, pa.Array]:
    text = b"\n".join([*assets, b""])
    # One block, which ends with a line: so assets may hold line breaks.
    read_options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    parse_options = pyarrow.json.ParseOptions(explicit_schema=layout.schema, unexpected_field_behavior="error")
    parsed = pyarrow.json.read_json(pa.BufferReader(text), read_options, parse_options, memory_pool=_POOL)
    return {name: parsed[name].combine_chunks() for name in [*ASSETS.names[:-1], "results"]}


def _tables(columns: dict[str, pa.Array]) -> Tables:
    lists = columns.pop("results")
    results = _items(lists)
    metrics = _items(results.field("metrics"))
    of_result = pc.list_parent_indices(lists)  # its asset
    of_metric = pc.list_parent_indices(results.field("metrics"))  # its result
    dates = _moments(results.field("value_date"))
    of_assets = [_column(columns[field.name], field.type) for field in ASSET_FIELDS]
    of_rows = [_spread(column, of_result.take(of_metric)) for column in of_assets]
    metric = [_column(metrics.field("name"), LABEL), _column(metrics.field("value"), DOUBLE)]
    bare = pc.equal(_lengths(results.field("metrics")), 0)
    return Tables(
        table=pa.table([*of_rows, _spread(dates, of_metric), *metric], schema=RESULTS),
        assets=pa.table([*of_assets, _lengths(lists)], schema=ASSETS),
        without_metrics=pa.table(
            [_spread(of_assets[0], of_result.filter(bare)), dates.filter(bare)], schema=WITHOUT_METRICS
        ),
    )


def _items(lists: pa.ListArray) -> pa.StructArray:
    """The objects of arrays, one after another."""
    objects = lists.flatten()
    if objects.null_count:
        raise Irregular
    return objects


def _lengths(lists: pa.ListArray) -> pa.Int64Array:
    return pc.list_value_length(lists).fill_null(0).cast(pa.int64())


def _column(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind == DOUBLE and not pc.all(pc.is_finite(column), min_count=0).as_py():
        raise Irregular  # of an integer of many digits pyarrow makes infinity
    return column.dictionary_encode() if kind == LABEL else column


def _spread(column: pa.Array, indices: pa.Array) -> pa.Array:
    """The column at indices; of labels, that takes numbers and no string."""
    if isinstance(column, pa.DictionaryArray):
        return pa.DictionaryArray.from_arrays(_spread(column.indices, indices), column.dictionary)
    return pc.take(column, indices, memory_pool=_POOL)


def _moments(texts: pa.StringArray) -> pa.TimestampArray:
    """Dates in UTC, as `plain.parse_date` reads them."""
    for kind in (VALUE_DATE.type, pa.timestamp("us")):  # all with a zone, or all without
        try:
            moments = texts.cast(kind).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        ends = pc.min_max(moments).as_py()
        if moments.null_count == len(moments) or _EARLIEST <= ends["min"] <= ends["max"] <= _LATEST:
            return moments.cast(VALUE_DATE.type)
    each = texts.dictionary_encode()
    parsed = [parse_date(text) for text in each.dictionary.to_pylist()]
    if None in parsed:
        raise Irregular
    return pa.array(parsed, VALUE_DATE.type).take(each.indices)


def _merged(schema: pa.Schema, found: dict[str, list[Any]]) -> pa.Schema:
    more = pa.schema([(name, pa.infer_type(values)) for name, values in found.items()])
    return pa.unify_schemas([schema, more], promote_options="permissive")


def _note(value: object, path: tuple[str, ...], paths: set[tuple[str, ...]]) -> None:
    """Add the paths of a value and of all in it, before any type is made of them."""
    paths.add(path)
    if len(paths) > MOST_UNKNOWN or len(path) > DEEPEST_UNKNOWN:
        raise OverflowError
    if isinstance(value, dict):
        for name, inner in value.items():
            _note(inner, (*path, name), paths)
    elif isinstance(value, list):
        for inner in value:
            _note(inner, (*path, ""), paths)
