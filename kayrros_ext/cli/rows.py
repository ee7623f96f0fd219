"""Results to stdout, part by part."""

import itertools
import sys
from typing import TYPE_CHECKING, Any

from kayrros_ext._export.text import CSV, JSON, NDJSON, Dialect, TextSink
from kayrros_ext.cli.output import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kayrros_ext import Results

_DIALECTS: dict[str, Dialect] = {"csv": CSV, "json": JSON, "ndjson": NDJSON}
# What differs from row to row; what describes an asset stands in the other formats.
_COLUMNS = ("asset_id", "asset_name", "value_date", "metric", "value")
_BATCH = 1000


def write_text(parts: "Iterator[Results]", form: str) -> None:
    """Write CSV, JSON or NDJSON, all columns."""
    sys.stdout.flush()
    # No head before there are rows, so that what fails until then writes nothing: a metric that no row has, say.
    rows = (part for part in parts if part.table.num_rows)
    first = next(rows, None)
    sink = TextSink(sys.stdout.buffer, _DIALECTS[form])
    for part in itertools.chain([first] if first else [], rows):
        sink.write(part.table)
        sys.stdout.buffer.flush()
    sink.end({})
    sys.stdout.buffer.flush()


def write_table(parts: "Iterator[Results]") -> None:
    """Write the columns that differ from row to row, as wide as the first thousand rows want them."""
    table, empty = Table(*_COLUMNS, right=["value"], whole=["value_date", "metric", "value"], spare="asset_name"), True
    for part in parts:
        for batch in part.table.select(list(_COLUMNS)).to_batches(max_chunksize=_BATCH):
            if batch.num_rows:
                table.write([_cells(row) for row in batch.to_pylist()])
                empty = False
    if empty:
        table.write([])


def _cells(row: dict[str, Any]) -> list[object]:
    date, value = row["value_date"], row["value"]
    day = None if date is None else f"{date:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")
    return [row["asset_id"], row["asset_name"], day, row["metric"], None if value is None else _number(value)]


def _number(value: float) -> str:
    """Six digits, as a person would write them."""
    return f"{value:,.1f}" if 1e6 <= abs(value) < 1e15 else f"{value:.6g}"
