"""Write tables to a text file, part by part: CSV, JSON, NDJSON or GeoJSON.

The columns that describe an asset repeat on many rows, as dates and metrics do, so Python renders each distinct value once.
Arrow renders the numbers, and joins the columns. So a row needs no Python object.
"""

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import IO, Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.model import Results
from kayrros_ext._results.schema import int64s, strings

# Rows rendered at a time.
BATCH = 2**14

# The other columns describe the asset.
_ROW_COLUMNS = ["value_date", "metric", "unit", "value"]


@attrs.frozen
class Dialect:
    """How rows are rendered: the asset and the cells of a row, and the text around them."""

    render_head: Callable[[Sequence[str]], str]
    render_asset: Callable[[dict[str, Any]], str]
    render_cell: Callable[[Any], str]
    # The text before each of the row columns, and at the end of a row.
    separators: tuple[str, str, str, str, str]
    between_rows: str = ""
    render_date: Callable[[str], str] = lambda text: f"{text[:10]}T{text[11:]}Z"
    render_tail: Callable[[Mapping[str, str]], str] = lambda _: ""


class TextWriter:
    """Writes text in UTF-8, optionally compressed with gzip."""

    def __init__(self, file: IO[bytes], dialect: Dialect, schema: pa.Schema, *, compress: bool = False) -> None:
        self._file, self._dialect = file, dialect
        # zlib with a gzip header, because a GzipFile that is abandoned still writes its end.
        self._gzip = zlib.compressobj(wbits=31) if compress else None
        self._is_first = True
        self._put(dialect.render_head([*_asset_columns(schema), *_ROW_COLUMNS]).encode())

    def write(self, part: Results) -> None:
        """Write the rows of a part."""
        for batch in part.table.to_batches(max_chunksize=BATCH):
            if batch.num_rows:
                text = _render(batch, self._dialect)
                self._put(text[len(self._dialect.between_rows) :] if self._is_first else text)
                self._is_first = False

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the end of the file, with metadata where the format has a place for it."""
        self._put(self._dialect.render_tail(metadata).encode())
        if self._gzip:
            self._file.write(self._gzip.flush())

    def abandon(self) -> None:
        """Write no more."""

    def _put(self, text: bytes | memoryview) -> None:
        self._file.write(self._gzip.compress(text) if self._gzip else text)


def _asset_columns(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in _ROW_COLUMNS]


def _render(batch: pa.RecordBatch, dialect: Dialect) -> memoryview:
    assets = batch.select(_asset_columns(batch.schema))
    ids = assets.column("asset_id").indices
    encoded = ids.dictionary_encode(null_encoding="encode")
    # A row of each asset, and for each row the number of its asset.
    samples, numbers = assets.take(pc.index_in(encoded.dictionary, ids)), encoded.indices
    if not samples.take(numbers).equals(assets):  # the rows of one id differ, so each row is rendered
        samples, numbers = assets, int64s(range(assets.num_rows))
    date, metric, unit, value = (batch.column(name) for name in _ROW_COLUMNS)
    # The shortest text that reads back as the same double, and as a double: 1.0 instead of 1.
    number = value.cast(pa.string())
    decimal = pc.binary_join_element_wise(number, *strings([".0", ""]))
    number = pc.if_else(pc.match_substring_regex(number, "[.e]"), number, decimal)
    render = dialect.render_cell
    *separators, end, null, empty = strings([*dialect.separators, render(None), ""])
    cells = (
        # Without its zone, which is UTC, because Arrow needs a database of time zones to print one. Its form is always the
        # same, such as 2024-01-31T00:00:00.000000Z, so that readers infer it from the first rows; but not in EXCEL_CSV.
        _render_distinct(date.cast(pa.timestamp("us")), lambda text: render(text and dialect.render_date(text))),
        _render_distinct(metric.cast(pa.string()), render),
        _render_distinct(unit.cast(pa.string()), render),
        pc.coalesce(number, null),
    )
    heads = strings(dialect.between_rows + dialect.render_asset(asset) for asset in samples.to_pylist()).take(numbers)
    rows = pc.binary_join_element_wise(heads, *chain(*zip(separators, cells, strict=True)), end, empty)
    # The rows lie one after the other in memory, as they do in the file.
    return memoryview(rows.buffers()[2])[: pc.sum(pc.binary_length(rows)).as_py()]


def _render_distinct(column: pa.Array, cell: Callable[[str | None], str]) -> pa.Array:
    """Render the text of each distinct value once."""
    encoded = column.dictionary_encode(null_encoding="encode")
    return strings(map(cell, encoded.dictionary.cast(pa.string()).to_pylist())).take(encoded.indices)


def _short_date(text: str) -> str:
    """Return the text of a date as people write it: 2024-01-31, or with a time unless that is midnight."""
    return text.removesuffix(".000000").removesuffix(" 00:00:00")


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
    lambda columns: ",".join(map(_csv, columns)) + "\n",
    lambda asset: ",".join(map(_csv, asset.values())),
    _csv,
    (",", ",", ",", ",", "\n"),
)
NDJSON = Dialect(
    lambda _: "",
    lambda asset: _json(asset)[:-1],
    _json,
    (',"value_date":', ',"metric":', ',"unit":', ',"value":', "}\n"),
)
# Excel needs the byte order mark to read UTF-8, and takes dates in this form for dates.
EXCEL_CSV = attrs.evolve(CSV, render_head=lambda columns: f"\ufeff{CSV.render_head(columns)}", render_date=_short_date)
# An array with an object on each line.
JSON = attrs.evolve(
    NDJSON,
    render_head=lambda _: "[\n",
    separators=(*NDJSON.separators[:-1], "}"),
    between_rows=",\n",
    render_tail=lambda _: "\n]\n",
)
GEOJSON = attrs.evolve(
    JSON,
    render_head=lambda _: '{"type":"FeatureCollection","features":[\n',
    render_asset=_feature,
    separators=(*NDJSON.separators[:-1], "}}"),
    render_tail=lambda metadata: f'\n],"metadata":{_json(dict(metadata))}}}\n',
)
DIALECTS = {"CSV": CSV, "JSON": JSON, "NDJSON": NDJSON, "GeoJSON": GEOJSON}
