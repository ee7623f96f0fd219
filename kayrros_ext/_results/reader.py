"""Read the JSON of a results response into Arrow tables.

msgspec splits the body into its assets without decoding them. pyarrow's JSON reader turns each batch of assets into columns,
without a Python object per value. A batch that it rejects, or where it may be more tolerant than the contract, is decoded
strictly by msgspec, which either names the place of an error or gives the same assets in a form that pyarrow accepts.
"""

import codecs
import collections
import contextlib
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import attrs
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from kayrros_ext._results import schema
from kayrros_ext._results.model import Results
from kayrros_ext._text import list_names
from kayrros_ext.errors import ContractError

# Bytes of assets that a thread reads at a time. A batch needs several times its size in memory, so it should be small
# compared with the tables; and its steps in Python take a millisecond, so it should not be too small.
MIN_BATCH_BYTES, MAX_BATCH_BYTES = 500_000, 4_000_000
BATCHES_PER_THREAD = 16
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
# Rather an error than one page that is taken for all results.
PAGING_FIELDS = {"next", "next_page", "nextPage", "next_token", "nextToken", "cursor", "has_more", "hasMore"}

# pyarrow's own pool keeps some MB for each thread, which is much compared with a small response.
_POOL = pa.system_memory_pool()
# datetime accepts any separator and any digits, ISO 8601 only these.
_DATE = re.compile(r"[0-9W-]+([Tt ][0-9:.,Zz+-]+)?", re.ASCII)
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])")
_LIST_OF_OBJECTS = re.compile(rb"\[\s*\{")
# A string, which may lack its end, or a literal that Python and Java write for a double that JSON lacks. A string that has
# begun always matches, so that no body takes long. Possessive quantifiers are faulty in Python 3.11.2.
_STRING_OR_NON_FINITE = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|NaN|-?Infinity', re.DOTALL)
# A number in place of such a literal, which fits only where a number belongs.
_NON_FINITE = b"-1.2345678901234567e-301 "  # ends in a blank, so that no digit of damage joins it
_NON_FINITE_VALUE = float(_NON_FINITE)
_NON_FINITE_TEXTS = {"NaN", "Infinity", "-Infinity"}  # of Jackson
# The dates that datetime can hold, in microseconds since 1970.
_FIRST_DATE, _LAST_DATE = -62_135_596_800_000_000, 253_402_300_799_999_999

_Tables = tuple[pa.Table, pa.Table, pa.Table]


class _Answer(msgspec.Struct):
    assets: list[msgspec.Raw] | None = None
    processing_id: str | None = None
    source_id: str | None = None


class _DeclaredAnswer(_Answer, forbid_unknown_fields=True):
    pass


# An asset as it is checked: members by name, a list of one kind, or what an error says is expected.
TEXT, DATE, DOUBLE, INTEGER = "a text", "an ISO 8601 date", "a number of 64 bits", "an integer of 64 bits"
_KINDS: Any = {schema.LABEL: TEXT, schema.STRINGS: [TEXT], schema.DOUBLE: DOUBLE, schema.INTEGER: INTEGER}
_CONTRACT = {field.name: _KINDS[field.type] for field in schema.ASSET_FIELDS}
_CONTRACT["results"] = [{"value_date": DATE, "metrics": [{"name": TEXT, "value": DOUBLE}]}]

# The same for pyarrow, where a date is text.
_METRICS = pa.list_(pa.struct({"name": pa.string(), "value": schema.DOUBLE}))
_RESULTS = pa.list_(pa.struct({"value_date": pa.string(), "metrics": _METRICS}))
_columns = [(field.name, pa.string() if field.type == schema.LABEL else field.type) for field in schema.ASSET_FIELDS]
_COLUMNS = pa.schema([*_columns, ("results", _RESULTS)])
_DECLARED = REQUIRED | {ANSWER: _Answer.__struct_fields__, ASSET: tuple(_COLUMNS.names)}


def read_results(body: bytes, *, strict: bool = False, batch_bytes: int | None = None) -> Results:
    """Read the body of a results response, in the order of the response. A declared field may be missing or null.

    NaN or an infinity, also as a string, in place of a number is null, and counted; with `strict`, it is an error. A thread
    reads `batch_bytes` of assets at a time. By default, that depends on the size of the body.
    """
    body = body.removeprefix(codecs.BOM_UTF8)
    reader = _BatchReader(strict=strict)
    names = reader.names
    try:
        if not body.isascii():  # neither parser checks the text that it skips
            # In slices, because a str may need four times the memory of the body.
            slices = (body[start : start + 2**20] for start in range(0, len(body), 2**20))
            collections.deque(codecs.iterdecode(slices, "utf-8"), maxlen=0)
        try:
            answer = _split(body, names[ANSWER])
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            body = _STRING_OR_NON_FINITE.sub(lambda it: it[0] if it[0].startswith(b'"') else _NON_FINITE, body)
            reader.is_finite = False
            answer = _split(body, names[ANSWER])
        assets, threads = answer.assets or [], pa.cpu_count()
        size = batch_bytes or min(max(len(body) // (BATCHES_PER_THREAD * threads), MIN_BATCH_BYTES), MAX_BATCH_BYTES)
        ends = itertools.accumulate(len(memoryview(asset)) for asset in assets)
        numbered = zip(ends, enumerate(assets), strict=True)
        groups = itertools.groupby(numbered, lambda item: item[0] // size)
        batches = [[asset for _, asset in group] for _, group in groups]
        with ThreadPoolExecutor(threads) as pool:
            read: Iterator[_Tables] = map(reader.read, batches)
            # To start a thread takes longer than to read a small response, and is impossible once the main thread has ended.
            with contextlib.suppress(RuntimeError):
                read = pool.map(reader.read, batches) if len(batches) > 1 else read
            parts = list(read)
    except msgspec.ValidationError as error:
        raise _contract_error(error) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        if _LONE_SURROGATE.search(body):  # msgspec calls it the end of the body
            reason = "a string with half of a surrogate pair"
        raise ContractError(f"the results are not JSON ({reason})", operation="getDatasetResults") from None
    unknown = {kind: names[kind].difference(fields) for kind, fields in _DECLARED.items()}
    _check_renamed(assets, names, unknown)
    if pages := PAGING_FIELDS.intersection(unknown[ANSWER]):
        problem = f"the results have the undeclared field `{pages.pop()}`, so they may be one page of several"
        raise ContractError(problem, operation="getDatasetResults")
    # Without an asset, there is no part.
    empty = (pa.Table.from_batches([], columns) for columns in (schema.RESULTS, schema.ASSETS, schema.WITHOUT_METRICS))
    tables = zip(empty, *parts, strict=True)
    table, by_asset, without_metrics = (pa.concat_tables(parts).unify_dictionaries() for parts in tables)
    unknown_fields = tuple(sorted(kind + name for kind in unknown for name in unknown[kind]))
    processing, source = (() if name is None else (name,) for name in (answer.processing_id, answer.source_id))
    return Results(table, by_asset, without_metrics, processing, source, unknown_fields, non_finite=len(reader.nulls))


def sort_rows(results: Results) -> Results:
    """Return the results with the rows of each table ordered by asset, date and metric, nulls last."""
    tables = {name: sort_table(getattr(results, name)) for name in ("table", "assets", "without_metrics")}
    return attrs.evolve(results, **tables)


def sort_table(table: pa.Table, by: Sequence[str] = ("asset_id", "value_date", "metric")) -> pa.Table:
    """Return the rows ordered by those of some columns that the table has, nulls last."""
    table = table.unify_dictionaries()
    if table.num_rows < 2:
        return table
    ranks = [rank_values(table[name]) for name in by if name in table.column_names]
    key, _ = ranks[0]
    for rank, count in ranks[1:]:
        # key * (count + 1) + rank, without a Python number (see schema.py): a rank is at most `count`.
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
    types = [(field.name, large if pa.types.is_list(field.type) else field.type) for field in table.schema]
    source = table.cast(pa.schema(types)).combine_chunks()
    slices = (order.slice(start, ROWS_PER_TAKE) for start in range(0, len(order), ROWS_PER_TAKE))
    return pa.concat_tables([source.take(rows).cast(table.schema) for rows in slices])


def rank_values(column: pa.ChunkedArray) -> tuple[pa.Int64Array, pa.Int64Scalar]:
    """Return the rank of each value among the distinct ones, and their number, which is the rank of null."""
    encoded = (column if pa.types.is_dictionary(column.type) else column.dictionary_encode()).combine_chunks()
    ranks = pc.array_sort_indices(pc.array_sort_indices(encoded.dictionary)).cast(pa.int64())
    count = pc.count(encoded.dictionary)
    return pc.coalesce(ranks.take(encoded.indices), count), count


def _check_renamed(assets: list[msgspec.Raw], names: dict[str, set[str]], unknown: dict[str, set[str]]) -> None:
    """Raise ContractError where no object has a required field, but some have a field that may be its new name."""
    for kind, required in ((kind, required) for kind, fields in REQUIRED.items() for required in fields):
        candidates = unknown[kind]
        if not candidates or required in names[kind]:
            continue
        objects = [members for other, members in _objects(assets) if other == kind]
        if any(required in members for members in objects):
            continue
        if required in {"results", "metrics"}:  # a server may leave out a list that is empty
            candidates = {name for o in objects for name in candidates & o.keys() if _LIST_OF_OBJECTS.match(o[name])}
        if candidates:
            raise ContractError(
                f"the results lack `{kind}{required}`, which the API may have renamed to one of these undeclared "
                f"fields: {list_names(candidates)}",
                operation="getDatasetResults",
                where=kind + required,
            )


def _objects(assets: list[msgspec.Raw]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of assets, each with its kind and with its members as JSON."""
    for asset in assets:
        members = _object.decode(asset)
        yield ASSET, members
        for result in _list.decode(members.get("results", b"null")) or ():
            yield RESULT, result
            for metric in _list.decode(result.get("metrics", b"null")) or ():
                yield METRIC, metric


def _split(body: bytes, names: set[str]) -> _Answer:
    """Split a body into its assets, and note the names of its fields where some are undeclared."""
    try:
        return _declared_answer.decode(body)
    except msgspec.ValidationError:  # an undeclared field, or a real error, which the next line raises again
        answer = _answer.decode(body)
        names.update(_object.decode(body))
        return answer


class _BatchReader:
    """Reads batches of assets, in several threads at a time.

    Attributes:
        is_finite: whether the body has no literal in place of a number.
        names: the names of fields by the kind of object, noted where an object has an undeclared one.
        nulls: what was in place of numbers and is read as null.
    """

    def __init__(self, *, strict: bool) -> None:
        self.is_finite, self.nulls = True, list[object]()
        self.names: dict[str, set[str]] = {kind: set() for kind in REQUIRED}
        self._strict = strict

    def read(self, batch: list[tuple[int, msgspec.Raw]]) -> _Tables:
        """Return the tables of numbered assets."""
        assets = [asset for _, asset in batch]
        is_finite = self.is_finite or not any(_NON_FINITE in bytes(memoryview(asset)) for asset in assets)
        with contextlib.suppress(*_IRREGULAR):
            if is_finite:
                return _read_columns(assets, "error")
        with contextlib.suppress(*_IRREGULAR):
            for kind, members in _objects(assets):
                self.names[kind].update(members)
            if is_finite:
                return _read_columns(assets, "ignore")
        return _read_columns([self.decode(number, asset) for number, asset in batch], "error")

    def decode(self, number: int, asset: msgspec.Raw) -> bytes:
        """Check every declared field of an asset, and return these in a form that is regular."""
        return msgspec.json.encode(self._check(asset, _CONTRACT, f"assets[{number}]"))

    def _check(self, json: msgspec.Raw, kind: Any, where: str) -> Any:
        """Return what JSON of a kind stands for, without undeclared members; or raise ContractError."""
        try:
            if isinstance(kind, dict):
                members = _object.decode(json)
                return {
                    name: self._check(members[name], kind[name], f"{where}.{name}") for name in kind if name in members
                }
            if isinstance(kind, list):
                items = _array.decode(json)
                return items and [self._check(item, kind[0], f"{where}[{n}]") for n, item in enumerate(items)]
            if kind == TEXT:
                return _text.decode(json)
            value = _any.decode(json)
            return value if value is None else self._check_scalar(value, kind)
        except msgspec.ValidationError as error:
            raise _contract_error(error, where) from None

    def _check_scalar(self, value: Any, kind: str) -> float | str | None:
        """Return a number, or a date; None for a number that is not finite, unless the reader is strict."""
        is_finite = value != _NON_FINITE_VALUE
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            if kind == DATE:
                return _parse_date(value)
            is_finite = is_finite and not (isinstance(value, str) and value in _NON_FINITE_TEXTS)
            if not (is_finite or self._strict):
                self.nulls.append(value)
                return None
            if is_finite and isinstance(value, int | float) and not isinstance(value, bool):
                if kind == DOUBLE:
                    return float(value)
                if value == int(value) and -(2**63) <= value < 2**63:
                    return int(value)
        got = repr(value)[:80] if is_finite else "NaN or an infinity"
        raise msgspec.ValidationError(f"Expected {kind}, got {got}")


def _read_columns(assets: list[Any], undeclared: str) -> _Tables:
    """Return the tables of assets in JSON, or raise one of _IRREGULAR where they may not match the contract."""
    if any(memoryview(asset)[0] != ord("{") for asset in assets):
        raise pa.ArrowInvalid("not an object")  # pyarrow ends the process when a line is null
    text = b"\n".join([*assets, b""])
    # The whole text is one block, so that an asset may hold line breaks.
    read_options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    parse_options = pyarrow.json.ParseOptions(explicit_schema=_COLUMNS, unexpected_field_behavior=undeclared)
    parsed = pyarrow.json.read_json(pa.BufferReader(text), read_options, parse_options, memory_pool=_POOL)
    result_lists = parsed["results"].combine_chunks()
    results = result_lists.flatten()
    metric_lists = results.field("metrics")
    metrics = metric_lists.flatten()
    assets = [parsed[field.name].combine_chunks() for field in schema.ASSET_FIELDS]
    metric, value = metrics.field("name").dictionary_encode(), metrics.field("value")
    unit = _take(schema.unit_labels(tuple(metric.dictionary.to_pylist())), metric.indices)
    doubles = [value, *(column for column in assets if column.type == schema.DOUBLE)]
    # pyarrow turns a number that is too large for a double into infinity.
    are_finite = all(pc.all(pc.is_finite(column), min_count=0).as_py() for column in doubles)
    if results.null_count or metrics.null_count or not are_finite:
        raise pa.ArrowInvalid("an object is null, or a number is too large")
    assets = [column.dictionary_encode() if column.type == pa.string() else column for column in assets]
    dates = _parse_dates(results.field("value_date"))
    asset_of_result = pc.list_parent_indices(result_lists)
    result_of_metric = pc.list_parent_indices(metric_lists)
    asset_columns = [_take(column, asset_of_result.take(result_of_metric)) for column in assets]
    is_bare = pc.invert(_lengths(metric_lists).cast(pa.bool_()))
    bare = [_take(assets[0], asset_of_result.filter(is_bare)), dates.filter(is_bare)]
    return (
        pa.table([*asset_columns, _take(dates, result_of_metric), metric, unit, value], schema=schema.RESULTS),
        pa.table([*assets, _lengths(result_lists)], schema=schema.ASSETS),
        pa.table(bare, schema=schema.WITHOUT_METRICS),
    )


def _lengths(lists: pa.ListArray) -> pa.Int64Array:
    """Return the length of each list; that of null is 0."""
    return pc.subtract(lists.offsets[1:], lists.offsets[:-1]).cast(pa.int64())


def _take(column: pa.Array, indices: pa.Array) -> pa.Array:
    if isinstance(column, pa.DictionaryArray):  # to take its numbers is quicker than to take its strings
        return pa.DictionaryArray.from_arrays(_take(column.indices, indices), column.dictionary)
    return pc.take(column, indices, memory_pool=_POOL)


def _parse_dates(texts: pa.StringArray) -> pa.TimestampArray:
    """Return dates in UTC, if all have a time zone or none has one, and pyarrow reads their form."""
    for kind in (schema.VALUE_DATE.type, pa.timestamp("us")):
        try:
            moments = texts.cast(kind).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        ends = pc.min_max(moments).as_py()
        if moments.null_count == len(moments) or _FIRST_DATE <= ends["min"] <= ends["max"] <= _LAST_DATE:
            return moments.cast(schema.VALUE_DATE.type)
    raise pa.ArrowInvalid("not one form of dates")


# Dates repeat from asset to asset. Where they do not, they must not fill the memory.
@functools.lru_cache(1 << 16)
def _parse_date(text: str) -> str:
    """Return an ISO 8601 date of the years 1 to 9999 in UTC. One without a time zone is taken as UTC (assumed)."""
    if not _DATE.fullmatch(text):
        raise ValueError
    date = datetime.fromisoformat(text.upper())
    return (date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)).isoformat()


def _contract_error(error: msgspec.ValidationError, root: str = "") -> ContractError:
    problem, *path = re.split(r" - at `\$([^`]*)`$", str(error))
    where = "".join([root, *path]).lstrip(".")
    place = f" at `{where}`" if where else ""
    text = f"the results do not match the contract{place}: {problem[0].lower()}{problem[1:]}"
    return ContractError(text, operation="getDatasetResults", where=where or None)


_IRREGULAR = (pa.ArrowException, OverflowError, msgspec.ValidationError)
_declared_answer, _answer = msgspec.json.Decoder(_DeclaredAnswer), msgspec.json.Decoder(_Answer)
_object, _array = msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(list[msgspec.Raw] | None)
_list, _text = msgspec.json.Decoder(list[dict[str, msgspec.Raw]] | None), msgspec.json.Decoder(str | None)
_any = msgspec.json.Decoder()
