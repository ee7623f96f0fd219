"""Read the JSON of a results response into Arrow tables.

msgspec splits the body into its assets without decoding them. pyarrow's JSON reader turns each batch of assets into columns,
several batches at a time, without a Python object per value. It is more tolerant than the contract in some places and
stricter in others, so a batch that it rejects, or that looks odd, is decoded strictly by msgspec. That either names the
place of an error or gives the same assets in the one form that the columnar reader accepts.
"""

import codecs
import contextlib
import functools
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from kayrros_ext._results.arrays import empty_table
from kayrros_ext._results.model import Results, list_names
from kayrros_ext._results.schema import (
    ASSET_FIELDS,
    ASSETS,
    DOUBLE,
    INTEGER,
    LABEL,
    RESULTS,
    STRINGS,
    VALUE_DATE,
    WITHOUT_METRICS,
)
from kayrros_ext.errors import ContractError

# Bytes of assets that a thread reads at a time. A batch needs several times its size in memory, so it should be small
# compared with the tables; and its steps in Python take a millisecond, so it should not be too small.
MIN_BATCH_BYTES, MAX_BATCH_BYTES = 500_000, 4_000_000
BATCHES_PER_THREAD = 16
# Undeclared fields are parsed, too, which costs memory on every row and a stack as deep as they are nested. So a hostile
# response must not add many: these are the bytes of JSON that hold a sample of each, and the levels of nesting.
MAX_SAMPLE_BYTES, MAX_SAMPLE_DEPTH = 1000, 8
# Rows whose lists certainly fit one array.
ROWS_PER_TAKE = 2**20

# The kinds of object in a response, as unknown fields are named, and the fields without which a table makes no sense.
ANSWER, ASSET, RESULT, METRIC = "", "assets[].", "assets[].results[].", "assets[].results[].metrics[]."
REQUIRED = {
    ANSWER: ("assets",),
    ASSET: ("asset_id", "results"),
    RESULT: ("value_date", "metrics"),
    METRIC: ("name", "value"),
}

# pyarrow's own pool keeps some MB for each thread, which is much compared with a small response.
_POOL = pa.system_memory_pool()
# datetime accepts any separator and any digits, ISO 8601 only these.
_DATE = re.compile(r"[0-9W-]+([T ][0-9:.,Z+-]+)?", re.ASCII)
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])")
# The dates that datetime can hold, in microseconds since 1970.
_FIRST_DATE, _LAST_DATE = -62_135_596_800_000_000, 253_402_300_799_999_999

_Tables = tuple[pa.Table, pa.Table, pa.Table]


class _Answer(msgspec.Struct):
    assets: list[msgspec.Raw] | None = None
    processing_id: str | None = None
    source_id: str | None = None


class _DeclaredAnswer(_Answer, forbid_unknown_fields=True):
    pass


class _Integer(int):
    """An integer of 64 bits. JSON may write it as 3.0."""


class _Date(str):
    """An ISO 8601 date, converted to UTC."""

    __slots__ = ()


class _Metric(msgspec.Struct):
    name: str | None = None
    value: float | None = None


class _Result(msgspec.Struct):
    value_date: _Date | None = None
    metrics: list[_Metric] | None = None


_TYPES: dict[pa.DataType, Any] = {LABEL: str, INTEGER: _Integer, DOUBLE: float, STRINGS: list[str | None]}
_members = [(field.name, _TYPES[field.type] | None, None) for field in ASSET_FIELDS]
_Asset = msgspec.defstruct("_Asset", [*_members, ("results", list[_Result] | None, None)])

# The same for pyarrow.
_METRICS = pa.list_(pa.struct({"name": pa.string(), "value": DOUBLE}))
_RESULTS = pa.list_(pa.struct({"value_date": pa.string(), "metrics": _METRICS}))
_columns = [(field.name, pa.string() if field.type == LABEL else field.type) for field in ASSET_FIELDS]
_COLUMNS = pa.schema([*_columns, ("results", _RESULTS)])


def read_results(body: bytes, *, batch_bytes: int | None = None) -> Results:
    """Read the body of a results response. Rows keep the order of the response.

    A declared field may be missing or null, and undeclared fields are named in `unknown_fields`.

    Args:
        body: JSON in UTF-8.
        batch_bytes: how many bytes of assets a thread reads at a time. By default it depends on the size of the body.

    Raises:
        ContractError: the response does not match the contract. The error names the place.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    reader = _Reader()
    try:
        _check_utf8(body)
        answer = reader.split(body)
    except msgspec.ValidationError as error:
        raise _contract_error(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if _LONE_SURROGATE.search(body):  # msgspec calls it the end of the body
            reason = "a string with half of a surrogate pair"
        raise ContractError(f"the results are not JSON ({reason})", operation="getDatasetResults") from None
    default = min(max(len(body) // (BATCHES_PER_THREAD * pa.cpu_count()), MIN_BATCH_BYTES), MAX_BATCH_BYTES)
    parts = reader.read(answer.assets or [], batch_bytes or default)
    reader.check_renamed(body)
    table, assets, without_metrics = (
        _concatenate(schema, [part[number] for part in parts])
        for number, schema in enumerate((RESULTS, ASSETS, WITHOUT_METRICS))
    )
    unknown = sorted(kind + name for kind, names in reader.unknown.items() for name in names)
    return Results(table, assets, without_metrics, answer.processing_id, answer.source_id, tuple(unknown))


def sort_rows(results: Results) -> Results:
    """Return the results with the rows of each table ordered by asset, date and metric, nulls last."""
    return attrs.evolve(
        results,
        table=sort_table(results.table),
        assets=sort_table(results.assets),
        without_metrics=sort_table(results.without_metrics),
    )


def sort_table(table: pa.Table) -> pa.Table:
    """Return the rows ordered by those of asset_id, value_date and metric that the table has, nulls last."""
    table = table.unify_dictionaries()
    if table.num_rows < 2:
        return table
    ranks = [_ranks(table[name]) for name in ("asset_id", "value_date", "metric") if name in table.column_names]
    key, _ = ranks[0]
    for rank, count in ranks[1:]:
        # key * (count + 1) + rank, without a Python number (see arrays.py): a rank is at most `count`.
        key = pc.add(pc.add(pc.multiply(key, count), key), rank)
    if pc.all(pc.less_equal(key[:-1], key[1:])).as_py():
        return table
    order = pc.array_sort_indices(key)
    try:
        return table.take(order).combine_chunks()
    except pa.ArrowInvalid:
        return take_in_slices(table, order)


def take_in_slices(table: pa.Table, order: pa.Array) -> pa.Table:
    """Return rows in an order, where a column of lists holds more text than one array can (2 GiB)."""
    large = pa.large_list(pa.large_string())
    schema = pa.schema([(field.name, large if pa.types.is_list(field.type) else field.type) for field in table.schema])
    source = table.cast(schema).combine_chunks()
    slices = (order.slice(start, ROWS_PER_TAKE) for start in range(0, len(order), ROWS_PER_TAKE))
    return pa.concat_tables([source.take(rows).cast(table.schema) for rows in slices])


def _ranks(column: pa.ChunkedArray) -> tuple[pa.Int64Array, pa.Int64Scalar]:
    """Return the rank of each value among the distinct ones, and their number, which is the rank of null."""
    encoded = (column if pa.types.is_dictionary(column.type) else column.dictionary_encode()).combine_chunks()
    ranks = pc.array_sort_indices(pc.array_sort_indices(encoded.dictionary)).cast(pa.int64())
    count = pc.count(encoded.dictionary)
    return pc.coalesce(ranks.take(encoded.indices), count), count


class _Irregular(Exception):  # noqa: N818 - not an error: these assets are read in another way
    """The columnar reader rejects these assets, or can't be trusted with them."""


class _Reader:
    """Reads one response.

    Attributes:
        unknown: the undeclared fields, by the kind of object that has them, with a sample of their values.
        schema: columns of an asset, with the undeclared fields learned so far. Their values are parsed and dropped.
    """

    def __init__(self) -> None:
        self.unknown: dict[str, dict[str, Any]] = {kind: {} for kind in REQUIRED}
        self.schema = _COLUMNS
        self._lock = threading.Lock()

    def split(self, body: bytes) -> _Answer:
        """Return the response with its assets as slices of valid JSON."""
        try:
            return _declared_answers.decode(body)
        except msgspec.ValidationError:  # an undeclared field, or a real error, which the next line raises again
            answer = _answers.decode(body)
        names = msgspec.json.decode(body, type=dict[str, msgspec.Raw]).keys() - _FIELDS[ANSWER]
        self.unknown[ANSWER] = dict.fromkeys(names)
        return answer

    def read(self, assets: list[msgspec.Raw], batch_bytes: int) -> list[_Tables]:
        """Return the tables of the assets, batch by batch in the order of the response."""
        batches = list(_batches(assets, batch_bytes))
        if len(batches) <= 1:
            return [self._read_batch(*batch) for batch in batches]
        with ThreadPoolExecutor(pa.cpu_count()) as pool:
            return list(pool.map(self._read_batch, *zip(*batches, strict=True)))

    def check_renamed(self, body: bytes) -> None:
        """Raise ContractError where no object has a required field, but some have a field that may be its new name."""
        for kind, names in self.unknown.items():
            for required in REQUIRED[kind]:
                if names and not re.search(rb'"%b"\s*:' % required.encode(), body):
                    raise ContractError(
                        f"the results lack `{kind}{required}`, which the API may have renamed to one of these undeclared "
                        f"fields: {list_names(names)}",
                        operation="getDatasetResults",
                        where=kind + required,
                    )

    def _read_batch(self, start: int, assets: list[msgspec.Raw]) -> _Tables:
        schema = self.schema
        with contextlib.suppress(_Irregular):
            return _read_columns(assets, schema)
        # The first asset is likely to show the undeclared fields of all.
        regular = [self._decode(start, assets[0])]
        self._learn()
        if self.schema is not schema:
            with contextlib.suppress(_Irregular):
                return _read_columns(assets, self.schema)
        regular += [self._decode(number, asset) for number, asset in enumerate(assets[1:], start + 1)]
        self._learn()
        return _read_columns(regular, _COLUMNS)

    def _decode(self, number: int, asset: msgspec.Raw) -> bytes:
        """Check every declared field of an asset, note the undeclared ones, and return it in a form that is regular."""
        try:
            decoded = _assets.decode(asset)
            # As float, because Python limits the digits of an int; the strict decoding has passed, so NaN can't occur.
            members = json.loads(bytes(asset), parse_int=float)
        except msgspec.ValidationError as error:
            raise _contract_error(error, f"assets[{number}]") from None
        except RecursionError as error:
            raise ContractError(f"the results are nested too deeply ({error})", operation="getDatasetResults") from None
        with self._lock:
            self._note_unknown(ASSET, members)
            for result in members.get("results") or ():
                self._note_unknown(RESULT, result)
                for metric in result.get("metrics") or ():
                    self._note_unknown(METRIC, metric)
        return _encoder.encode(decoded)

    def _note_unknown(self, kind: str, members: dict[str, Any]) -> None:
        for name in members.keys() - _FIELDS[kind]:
            self.unknown[kind][name] = _sample(members[name], self.unknown[kind].get(name))

    def _learn(self) -> None:
        """Add the undeclared fields to the schema, so that the assets that have them are regular."""
        with self._lock, contextlib.suppress(pa.ArrowException):
            results = [{**self.unknown[RESULT], "metrics": [self.unknown[METRIC]]}]
            sample = msgspec.json.encode({**self.unknown[ASSET], "results": results})
            if len(sample) <= MAX_SAMPLE_BYTES:
                schema = _parse([sample], _COLUMNS, "infer").schema
                self.schema = self.schema if schema == self.schema else schema


def _sample(value: object, other: Any, depth: int = MAX_SAMPLE_DEPTH) -> Any:
    """Return a small value of the same type, with the nested fields of another sample."""
    if isinstance(value, dict) and depth:
        fields = other if isinstance(other, dict) else {}
        return fields | {name: _sample(inner, fields.get(name), depth - 1) for name, inner in value.items()}
    if isinstance(value, list) and depth:
        other = other[0] if isinstance(other, list) and other else None
        return [functools.reduce(lambda sample, item: _sample(item, sample, depth - 1), value, other)]
    if isinstance(value, str):
        return ""
    return other if value is None or isinstance(value, dict | list) else value


def _read_columns(assets: list[Any], schema: pa.Schema) -> _Tables:
    """Return the tables of assets, each the bytes of valid JSON.

    Raises:
        _Irregular: they do not match the contract, or are too odd to be sure.
    """
    # pyarrow ends the process when a line is null.
    if any(memoryview(asset)[0] != ord("{") for asset in assets):
        raise _Irregular
    try:
        parsed = _parse(assets, schema, "error")
        return _tables({name: parsed[name].combine_chunks() for name in _COLUMNS.names})
    except (pa.ArrowException, OverflowError) as error:
        raise _Irregular from error


def _parse(assets: list[Any], schema: pa.Schema, unexpected: str) -> pa.Table:
    text = b"\n".join([*assets, b""])
    # The whole text is one block, so that an asset may hold line breaks.
    read_options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    parse_options = pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior=unexpected)
    return pyarrow.json.read_json(pa.BufferReader(text), read_options, parse_options, memory_pool=_POOL)


def _tables(columns: dict[str, pa.Array]) -> _Tables:
    result_lists = columns["results"]
    results = _items(result_lists)
    metric_lists = results.field("metrics")
    metrics = _items(metric_lists)
    asset_of_result = pc.list_parent_indices(result_lists)
    result_of_metric = pc.list_parent_indices(metric_lists)
    dates = _parse_dates(results.field("value_date"))
    assets = [_typed(columns[field.name], field.type) for field in ASSET_FIELDS]
    rows = [_take(column, asset_of_result.take(result_of_metric)) for column in assets]
    metric, value = _typed(metrics.field("name"), LABEL), _typed(metrics.field("value"), DOUBLE)
    is_bare = pc.invert(_lengths(metric_lists).cast(pa.bool_()))
    return (
        pa.table([*rows, _take(dates, result_of_metric), metric, value], schema=RESULTS),
        pa.table([*assets, _lengths(result_lists)], schema=ASSETS),
        pa.table([_take(assets[0], asset_of_result.filter(is_bare)), dates.filter(is_bare)], schema=WITHOUT_METRICS),
    )


def _items(lists: pa.ListArray) -> pa.StructArray:
    objects = lists.flatten()
    if objects.null_count:
        raise _Irregular
    return objects


def _lengths(lists: pa.ListArray) -> pa.Int64Array:
    """Return the length of each list; that of null is 0."""
    return pc.subtract(lists.offsets[1:], lists.offsets[:-1]).cast(pa.int64())


def _typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    # pyarrow turns a number that is too large for a double into infinity.
    if kind == DOUBLE and not pc.all(pc.is_finite(column), min_count=0).as_py():
        raise _Irregular
    return column.dictionary_encode() if kind == LABEL else column


def _take(column: pa.Array, indices: pa.Array) -> pa.Array:
    if isinstance(column, pa.DictionaryArray):  # to take its numbers is quicker than to take its strings
        return pa.DictionaryArray.from_arrays(_take(column.indices, indices), column.dictionary)
    return pc.take(column, indices, memory_pool=_POOL)


def _parse_dates(texts: pa.StringArray) -> pa.TimestampArray:
    """Return dates in UTC, if all have a time zone or none has one, and pyarrow reads their form."""
    for kind in (VALUE_DATE.type, pa.timestamp("us")):
        try:
            moments = texts.cast(kind).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        ends = pc.min_max(moments).as_py()
        if moments.null_count == len(moments) or _FIRST_DATE <= ends["min"] <= ends["max"] <= _LAST_DATE:
            return moments.cast(VALUE_DATE.type)
    raise _Irregular


# Dates repeat from asset to asset. Where they do not, they must not fill the memory.
@functools.lru_cache(1 << 16)
def _parse_date(text: str) -> _Date:
    """Return a date in UTC. One without a time zone is taken as UTC (assumed).

    Raises:
        ValueError, OverflowError: it is not an ISO 8601 date of the years 1 to 9999.
    """
    if not _DATE.fullmatch(text):
        raise ValueError
    date = datetime.fromisoformat(text)
    return _Date((date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)).isoformat())


def _decode_value(kind: type, value: Any) -> _Integer | _Date:
    if kind is _Date:
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return _parse_date(value)
        raise ValueError(f"Expected an ISO 8601 date, got {value!r:.80}")
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and value == int(value)
        and -(2**63) <= value < 2**63
    ):
        return _Integer(value)
    raise ValueError(f"Expected an integer of 64 bits, got {value!r:.80}")


def _encode_value(value: Any) -> int | str:
    return int(value) if isinstance(value, _Integer) else str(value)


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError where the body is not UTF-8, because neither parser checks the text that it skips."""
    if not body.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(
            0, len(body), 1 << 20
        ):  # in slices, because a str may need four times the memory of the body
            decoder.decode(body[start : start + (1 << 20)])
        decoder.decode(b"", final=True)


def _contract_error(error: msgspec.ValidationError, root: str = "") -> ContractError:
    problem, path, _ = re.split(r" - at `\$([^`]*)`$", str(error)) if "`$" in str(error) else (str(error), "", "")
    where = (root + path).lstrip(".") or "the answer"
    return ContractError(
        f"the results do not match the contract at `{where}`: {problem[0].lower()}{problem[1:]}",
        operation="getDatasetResults",
        where=where,
    )


def _batches(assets: list[msgspec.Raw], batch_bytes: int) -> Iterator[tuple[int, list[msgspec.Raw]]]:
    """Yield groups of assets of about that size, each with the index of its first."""
    start, size = 0, 0
    for index, asset in enumerate(assets, 1):
        size += len(memoryview(asset))
        if size >= batch_bytes or index == len(assets):
            yield start, assets[start:index]
            start, size = index, 0


def _concatenate(schema: pa.Schema, tables: list[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables(tables).unify_dictionaries() if tables else empty_table(schema)


_FIELDS = {
    ANSWER: _Answer.__struct_fields__,
    ASSET: _Asset.__struct_fields__,
    RESULT: _Result.__struct_fields__,
    METRIC: _Metric.__struct_fields__,
}
_declared_answers, _answers = msgspec.json.Decoder(_DeclaredAnswer), msgspec.json.Decoder(_Answer)
_assets = msgspec.json.Decoder(_Asset, dec_hook=_decode_value)
_encoder = msgspec.json.Encoder(enc_hook=_encode_value)
