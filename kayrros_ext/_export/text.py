"""Write tables to a text file, part by part: CSV, JSON, NDJSON or GeoJSON.

The columns that describe an asset repeat on many rows in sequence, so Python renders them once per sequence. Arrow renders
the columns that change with each row. So a row needs no Python object, as long as the rows of an asset are together.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.schema import RESULTS, int64s, strings

# Rows rendered at a time.
BATCH = 2**14

_ROW_COLUMNS = ["value_date", "metric", "value"]
_ASSET_COLUMNS = [name for name in RESULTS.names if name not in _ROW_COLUMNS]


@attrs.frozen
class Dialect:
    """How rows are rendered.

    Attributes:
        head: the beginning of the file.
        asset: renders the beginning of a row, from the columns that describe its asset.
        cell: renders one value of another column.
        separators: the text before value_date, before metric, before value, and at the end of a row.
        between: the text between two rows.
        tail: renders the end of the file, from its metadata.
    """

    head: str
    asset: Callable[[dict[str, Any]], str]
    cell: Callable[[Any], str]
    separators: tuple[str, str, str, str]
    between: str = ""
    tail: Callable[[Mapping[str, str]], str] = lambda _: ""


class TextWriter:
    """Writes text in UTF-8, optionally compressed with gzip."""

    def __init__(self, file: IO[bytes], dialect: Dialect, *, compress: bool = False) -> None:
        self._file, self._dialect = file, dialect
        # zlib with a gzip header, because a GzipFile that is abandoned still writes its end.
        self._gzip = zlib.compressobj(wbits=31) if compress else None
        self._is_first = True
        self._put(dialect.head.encode())

    def write(self, table: pa.Table) -> None:
        """Write the rows of a table."""
        for batch in table.to_batches(max_chunksize=BATCH):
            if batch.num_rows:
                text = _render(batch, self._dialect)
                self._put(text[len(self._dialect.between.encode()) :] if self._is_first else text)
                self._is_first = False

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the end of the file, with metadata where the format has a place for it."""
        self._put(self._dialect.tail(metadata).encode())
        if self._gzip:
            self._file.write(self._gzip.flush())

    def abandon(self) -> None:
        """Write no more."""

    def _put(self, text: bytes | memoryview) -> None:
        self._file.write(self._gzip.compress(text) if self._gzip else text)


def _render(batch: pa.RecordBatch, dialect: Dialect) -> memoryview:
    assets, run = _runs(batch.select(_ASSET_COLUMNS))
    *separators, null, empty = strings([*dialect.separators, dialect.cell(None), ""])
    rows = pc.binary_join_element_wise(
        strings(dialect.between + dialect.asset(asset) for asset in assets.to_pylist()).take(run),
        separators[0],
        _render_distinct(_iso(batch.column("value_date")), dialect.cell),
        separators[1],
        _render_distinct(batch.column("metric").cast(pa.string()), dialect.cell),
        separators[2],
        pc.coalesce(_numbers(batch.column("value")), null),
        separators[3],
        empty,
    )
    # The rows lie one after the other in memory, as they do in the file.
    return memoryview(rows.buffers()[2])[: pc.sum(pc.binary_length(rows)).as_py()]


def _runs(assets: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Array]:
    """Return one row of each run of equal rows, and for each row the number of its run."""
    count = assets.num_rows
    ends = pc.run_end_encode(assets.column("asset_id").indices).run_ends
    samples = assets.take(int64s(end - 1 for end in ends.to_pylist()))
    numbers = pa.run_end_encoded(pa.int32(), pa.int64())
    run = pc.run_end_decode(pa.Array.from_buffers(numbers, count, [None], children=[ends, int64s(range(len(ends)))]))
    if samples.take(run).equals(assets):
        return samples, run
    # Another column changes within a run of one id, so each row is rendered.
    return assets, int64s(range(count))


def _render_distinct(column: pa.Array, cell: Callable[[Any], str]) -> pa.Array:
    """Render each distinct value once."""
    encoded = column.dictionary_encode(null_encoding="encode")
    return strings(map(cell, encoded.dictionary.to_pylist())).take(encoded.indices)


def _iso(moments: pa.Array) -> pa.Array:
    """Return dates as 2024-01-31T00:00:00.000000Z: always the same form, so that readers infer it from the first rows."""
    # Without its zone, which is UTC, because Arrow needs a database of time zones to print one.
    encoded = moments.cast(pa.timestamp("us")).dictionary_encode()
    text = pc.binary_replace_slice(encoded.dictionary.cast(pa.string()), 10, 11, "T")
    return pc.binary_join_element_wise(text, *strings(["Z", ""])).take(encoded.indices)


def _numbers(values: pa.Array) -> pa.Array:
    """Return the shortest text that reads back as the same double, and as a double: 1.0 instead of 1."""
    text = values.cast(pa.string())
    has_point = pc.match_substring_regex(text, "[.e]")
    return pc.if_else(has_point, text, pc.binary_join_element_wise(text, *strings([".0", ""])))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _csv(value: object) -> str:
    """Return a cell, quoted where necessary. An empty string is quoted, and null is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return _csv(_json(value)) if isinstance(value, list) else repr(value)
    return '"' + value.replace('"', '""') + '"' if not value or any(mark in value for mark in '",\r\n') else value


def _feature(asset: dict[str, Any]) -> str:
    """Return the beginning of a GeoJSON feature, with its properties still open."""
    point = [asset["asset_centroid_longitude"], asset["asset_centroid_latitude"]]
    geometry = None if None in point else {"type": "Point", "coordinates": point}
    return f'{{"type":"Feature","geometry":{_json(geometry)},"properties":{_json(asset)[:-1]}'


CSV = Dialect(
    head=",".join(RESULTS.names) + "\n",
    asset=lambda asset: ",".join(map(_csv, asset.values())),
    cell=_csv,
    separators=(",", ",", ",", "\n"),
)
NDJSON = Dialect(
    head="",
    asset=lambda asset: _json(asset)[:-1],
    cell=_json,
    separators=(',"value_date":', ',"metric":', ',"value":', "}\n"),
)
# An array with an object on each line.
JSON = attrs.evolve(NDJSON, head="[\n", separators=(*NDJSON.separators[:3], "}"), between=",\n", tail=lambda _: "\n]\n")
GEOJSON = Dialect(
    head='{"type":"FeatureCollection","features":[\n',
    asset=_feature,
    cell=_json,
    separators=(*NDJSON.separators[:3], "}}"),
    between=",\n",
    tail=lambda metadata: f'\n],"metadata":{_json(dict(metadata))}}}\n',
)
DIALECTS = {"CSV": CSV, "JSON": JSON, "NDJSON": NDJSON, "GeoJSON": GEOJSON}
