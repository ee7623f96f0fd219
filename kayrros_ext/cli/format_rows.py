"""Rows of results on stdout, part by part."""

import itertools
import sys
from typing import TYPE_CHECKING, Any

from kayrros_ext._export.text import CSV, EXCEL_CSV, JSON, NDJSON, Dialect, TextWriter
from kayrros_ext._results.schema import without_time_zone
from kayrros_ext._results.text import align_numbers
from kayrros_ext._text import format_date
from kayrros_ext.cli.output import Table, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from _typeshed import ReadableBuffer

    from kayrros_ext import Results

_DIALECTS: dict[str, Dialect] = {"csv": CSV, "excel-csv": EXCEL_CSV, "json": JSON, "ndjson": NDJSON}
# The columns that differ from row to row. The other formats have those that describe the asset, too.
_FIELDS = ["asset_id", "asset_name", "value_date", "metric", "unit", "value"]
_BATCH_ROWS = 1000


class _Terminal:
    """A file for bytes that shows their text."""

    def write(self, data: "ReadableBuffer") -> None:
        write_text(str(data, "utf-8"))


def write_rows(parts: "Iterator[Results]", file_format: str, schema: "pa.Schema", limit: int | None = None) -> None:
    """Write all columns as CSV, JSON or NDJSON, or a table of those that differ from row to row, up to a number of rows."""
    if file_format == "table":
        _write_table(parts, limit)
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


def _write_table(parts: "Iterator[Results]", limit: int | None) -> None:
    """Write a table that is as wide as its first thousand rows need.

    With a limit, write that many rows and, if there are more, an ellipsis. The parts after those are not requested.
    """
    batches = _batches(parts)
    if limit is not None:
        batches = iter([_first_rows(batches, limit + 1)])
    table, places = None, dict[str | None, int]()
    for rows in batches:
        table = table or _table(rows)
        numbers = align_numbers([(row["metric"], row["value"]) for row in rows], places)
        cells = [_cells(*row) for row in zip(rows, _format_dates(rows), numbers, strict=True)]
        table.write(cells[:limit])
        if limit is not None and len(cells) > limit:
            sys.stdout.write("…\n")
    if table is None:
        _table([]).write([])


def _cells(row: dict[str, Any], date: str, number: str) -> list[str | None]:
    return list({**row, "value_date": date, "value": number}.values())


def _format_dates(rows: list[dict[str, Any]]) -> list[str]:
    """Return the dates of rows, without seconds where all are zero."""
    dates = [row["value_date"] for row in rows]
    zeros = "" if any(date and (date.second or date.microsecond) for date in dates) else ":00"
    return [format_date(date).removesuffix(zeros) if date else "" for date in dates]


def _batches(parts: "Iterator[Results]") -> "Iterator[list[dict[str, Any]]]":
    for part in parts:
        for batch in without_time_zone(part.table.select(_FIELDS)).to_batches(max_chunksize=_BATCH_ROWS):
            if batch.num_rows:
                yield batch.to_pylist()


def _first_rows(batches: "Iterator[list[dict[str, Any]]]", count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for batch in batches:
        rows += batch
        if len(rows) >= count:
            break
    return rows[:count]


def _table(rows: list[dict[str, Any]]) -> Table:
    """Return a table for rows like these. A narrow terminal shows either the names of assets or their ids."""
    names = {str(row["asset_id"]): row["asset_name"] for row in rows}
    is_named = len({*names.values()} - {None, ""}) == len(names)
    is_short = is_named and max(map(len, names.values()), default=0) < max(map(len, names), default=0)
    asset = ["asset_id", "asset_name"] if is_short else ["asset_name", "asset_id"]
    return Table(
        *_FIELDS,
        right=["value"],
        whole=["value_date", "value"],
        narrow=["unit", asset[0], (asset[1],), ("metric",), asset[1], "metric"],
    )
