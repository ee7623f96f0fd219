"""Tables to a file of text, part by part: CSV, JSON, NDJSON or GeoJSON.

What describes an asset stands on many rows, one after the other: it is made text once, by the standard library. What
changes with each row is made text by Arrow. So a row costs no Python object, as long as the rows of an asset are together.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.schema import RESULTS

# Rows that are made text at a time.
BATCH = 2**14

_PER_ROW = ["value_date", "metric", "value"]
_OF_ASSET = [name for name in RESULTS.names if name not in _PER_ROW]


@attrs.frozen
class Dialect:
    """How rows become text."""

    head: str
    # The beginning of each row, from the columns that describe its asset.
    asset: Callable[[dict[str, Any]], str]
    # One value of another column.
    cell: Callable[[Any], str]
    # What stands before value_date, before metric, before value, and at the end of a row.
    around: tuple[str, str, str, str]
    # What parts two rows, where it is not their ends.
    between: str = ""
    # What ends the file.
    tail: Callable[[Mapping[str, str]], str] = lambda _: ""


class TextSink:
    """A file of text in the making, in UTF-8, compressed with gzip if wanted."""

    def __init__(self, file: IO[bytes], dialect: Dialect, *, compress: bool = False) -> None:
        self._file, self._dialect = file, dialect
        # zlib itself, with a gzip header: a GzipFile that is abandoned writes its end all the same.
        self._gzip = zlib.compressobj(wbits=31) if compress else None
        self._put(dialect.head.encode())
        self._first = True

    def write(self, table: pa.Table) -> None:
        """Write the rows of a table."""
        for batch in table.to_batches(max_chunksize=BATCH):
            if batch.num_rows:
                text = _text(batch, self._dialect)
                self._put(text[len(self._dialect.between.encode()) :] if self._first else text)
                self._first = False

    def end(self, facts: Mapping[str, str]) -> None:
        """Write the end, with `facts` where the format has a place for them."""
        self._put(self._dialect.tail(facts).encode())
        if self._gzip:
            self._file.write(self._gzip.flush())

    def abandon(self) -> None:
        """Write no more."""

    def _put(self, text: bytes | memoryview) -> None:
        self._file.write(self._gzip.compress(text) if self._gzip else text)


def _text(batch: pa.RecordBatch, dialect: Dialect) -> memoryview:
    firsts, run = _runs(batch.select(_OF_ASSET))
    before_date, before_metric, before_value, end = dialect.around
    rows = pc.binary_join_element_wise(
        pa.array([dialect.between + dialect.asset(asset) for asset in firsts.to_pylist()], pa.string()).take(run),
        before_date,
        _spread(_iso(batch.column("value_date")), dialect.cell),
        before_metric,
        _spread(batch.column("metric").cast(pa.string()), dialect.cell),
        before_value,
        _numbers(batch.column("value")).fill_null(dialect.cell(None)),
        end,
        "",
    )
    # One after the other in memory, as they are to stand in the file.
    return memoryview(rows.buffers()[2])[: pc.sum(pc.binary_length(rows)).as_py()]


def _runs(assets: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Array]:
    """Rows of which each begins a run of rows that are alike; and for each row, the number of its run."""
    ids = assets.column("asset_id").indices
    changes = pc.fill_null(pc.not_equal(ids[1:], ids[:-1]), True)  # noqa: FBT003 - a value of the column
    begins = pa.concat_arrays([pa.array([True]), changes])
    firsts = assets.take(pc.indices_nonzero(begins))
    run = pc.subtract(pc.cumulative_sum(begins.cast(pa.int32())), 1)
    if firsts.take(run).equals(assets):
        return firsts, run
    # The id is not all: another column changes while it stays. Then each row is a run.
    return assets, pa.array(range(assets.num_rows), pa.int32())


def _spread(column: pa.Array, cell: Callable[[Any], str]) -> pa.Array:
    """The text of each value, made once for those that are equal."""
    encoded = column.dictionary_encode(null_encoding="encode")
    return pa.array([cell(value) for value in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)


def _iso(moments: pa.Array) -> pa.Array:
    """2024-01-31T00:00:00.000000Z: always of this form, so that a reader who looks at the first few knows all."""
    # Without its zone, which is UTC: to print one, Arrow would want a database of zones.
    encoded = moments.cast(pa.timestamp("us")).dictionary_encode()
    text = pc.binary_replace_slice(encoded.dictionary.cast(pa.string()), 10, 11, "T")
    return pc.binary_join_element_wise(text, "Z", "").take(encoded.indices)


def _numbers(values: pa.Array) -> pa.Array:
    """The shortest text that reads back as the same double, and as a double: 1.0, not 1."""
    text = values.cast(pa.string())
    has_point = pc.match_substring_regex(text, "[.e]")
    return pc.if_else(has_point, text, pc.binary_join_element_wise(text, ".0", ""))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _csv(value: Any) -> str:
    """A cell, quoted where it has to be; an empty string is quoted, and null is nothing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return _csv(_json(value)) if isinstance(value, list) else repr(value)
    return '"' + value.replace('"', '""') + '"' if not value or any(mark in value for mark in '",\r\n') else value


def _feature(asset: dict[str, Any]) -> str:
    """The beginning of a GeoJSON feature, its properties still open."""
    point = [asset["asset_centroid_longitude"], asset["asset_centroid_latitude"]]
    geometry = None if None in point else {"type": "Point", "coordinates": point}
    return f'{{"type":"Feature","geometry":{_json(geometry)},"properties":{_json(asset)[:-1]}'


CSV = Dialect(
    head=",".join(RESULTS.names) + "\n",
    asset=lambda asset: ",".join(map(_csv, asset.values())),
    cell=_csv,
    around=(",", ",", ",", "\n"),
)
NDJSON = Dialect(
    head="",
    asset=lambda asset: _json(asset)[:-1],
    cell=_json,
    around=(',"value_date":', ',"metric":', ',"value":', "}\n"),
)
# An array of objects, one a line.
JSON = Dialect(
    head="[\n",
    asset=NDJSON.asset,
    cell=_json,
    around=(*NDJSON.around[:3], "}"),
    between=",\n",
    tail=lambda _: "\n]\n",
)
GEOJSON = Dialect(
    head='{"type":"FeatureCollection","features":[\n',
    asset=_feature,
    cell=_json,
    around=(',"value_date":', ',"metric":', ',"value":', "}}"),
    between=",\n",
    tail=lambda facts: f'\n],"metadata":{_json(dict(facts))}}}\n',
)
