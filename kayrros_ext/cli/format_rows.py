"""Rows of results on stdout, part by part."""

import itertools
import sys
from typing import TYPE_CHECKING, Any

from kayrros_ext._export.text import CSV, EXCEL_CSV, JSON, NDJSON, Dialect, TextWriter
from kayrros_ext._results.schema import without_time_zone
from kayrros_ext.cli.output import Table, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from _typeshed import ReadableBuffer

    from kayrros_ext import Results

_DIALECTS: dict[str, Dialect] = {"csv": CSV, "excel-csv": EXCEL_CSV, "json": JSON, "ndjson": NDJSON}
# The columns that differ from row to row. The other formats have those that describe the asset, too.
_COLUMNS = ("asset_id", "asset_name", "value_date", "metric", "value")
_BATCH_ROWS = 1000


class _Terminal:
    """A file for bytes that shows their text."""

    def write(self, data: "ReadableBuffer") -> None:
        write_text(str(data, "utf-8"))


def write_rows(parts: "Iterator[Results]", file_format: str, schema: "pa.Schema") -> None:
    """Write all columns as CSV, JSON or NDJSON, or a table of those that differ from row to row."""
    if file_format == "table":
        _write_table(parts)
        return
    sys.stdout.flush()
    # No header before the first row, so that an early failure, such as an unknown metric, writes nothing.
    parts = (part for part in parts if part.table.num_rows)
    first = next(parts, None)
    file: Any = _Terminal() if sys.stdout.isatty() else sys.stdout.buffer
    writer = TextWriter(file, _DIALECTS[file_format], schema)
    for part in itertools.chain([first] if first else [], parts):
        writer.write(part)
        sys.stdout.flush()
    writer.close({})


def _write_table(parts: "Iterator[Results]") -> None:
    """Write a table that is as wide as its first thousand rows need."""
    table = Table(*_COLUMNS, right=["value"], keep=["value_date", "metric", "value"], drop="asset_name")
    is_empty = True
    for part in parts:
        for batch in without_time_zone(part.table.select(list(_COLUMNS))).to_batches(max_chunksize=_BATCH_ROWS):
            if batch.num_rows:
                table.write([_format_row(row) for row in batch.to_pylist()])
                is_empty = False
    if is_empty:
        table.write([])


def _format_row(row: dict[str, Any]) -> list[object]:
    date, value = row["value_date"], row["value"]
    day = None if date is None else f"{date:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")
    return [row["asset_id"], row["asset_name"], day, row["metric"], None if value is None else _format_number(value)]


def _format_number(value: float) -> str:
    """Format a number with six digits, without an exponent where that is readable."""
    return f"{value:,.1f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
