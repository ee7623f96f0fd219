"""HTML views of results and metadata for notebooks: no script, and colours that fit a light and a dark page."""

import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from kayrros_ext._results.arrays import without_time_zone

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_ext._results.model import Results
    from kayrros_openapi.models import DatasetMetadata

MAX_ROWS, MAX_METRICS = 5, 20
COLUMNS = ["asset_name", "asset_id", "value_date", "metric", "value"]
# Colours are those of the page, and lines are half transparent, so that both show on light and on dark.
_TABLE = "border-collapse:collapse;margin:.4em 0;text-align:left"
_CELL = "padding:.15em .8em .15em 0;border-bottom:1px solid #8884;text-align:{};vertical-align:top"


def results_html(results: "Results") -> str:
    """Return the size of the results, each metric with its range and dates, the gaps, and the first rows."""
    table = without_time_zone(results.table)
    summary = [f"{table.num_rows:,} rows", f"{results.assets.num_rows:,} assets"]
    if results.processing_id:
        summary.append(f"processing {results.processing_id}")
    if results.without_metrics.num_rows:
        summary.append(f"{results.without_metrics.num_rows:,} dates without metrics")
    parts = [f"<div><b>Results</b>: {html.escape(', '.join(summary))}</div>"]
    if results.gaps:
        gaps = "".join(f"<li>{html.escape(str(gap))}</li>" for gap in results.gaps[:MAX_ROWS])
        more = f"<li>and {len(results.gaps) - MAX_ROWS:,} more</li>" if len(results.gaps) > MAX_ROWS else ""
        parts.append(f"<div><b>Unavailable</b>:<ul>{gaps}{more}</ul></div>")
    if table.num_rows:
        names = pc.unique(table["metric"].cast("string"))
        heads = ["metric", "rows", "minimum", "maximum", "first date", "last date"]
        parts.append(_table(heads, [_metric(table, names.slice(n, 1)) for n in range(min(len(names), MAX_METRICS))]))
        if len(names) > MAX_METRICS:
            parts.append(f"<div>… and {len(names) - MAX_METRICS:,} more metrics</div>")
        rows = table.select(COLUMNS).slice(0, MAX_ROWS).to_pylist()
        parts.append(_table(COLUMNS, [list(row.values()) for row in rows]))
        parts.append(
            f"<div>The first {len(rows)} of {table.num_rows:,} rows, {len(COLUMNS)} of {table.num_columns} columns</div>"
        )
    return f"<div>{''.join(parts)}</div>"


def metadata_html(metadata: "DatasetMetadata") -> str:
    """Return every field of the metadata, epoch milliseconds as dates."""
    fields = [
        [name, _date(value) if name in {"start_date", "stop_date"} and isinstance(value, int) else value]
        for name, value in metadata.to_dict().items()
    ]
    return f"<div><b>DatasetMetadata</b>{_table([], fields)}</div>"


def _metric(table: "pa.Table", name: "pa.Array") -> list[Any]:
    # Not by group_by, which imports pandas.
    rows = table.filter(pc.is_in(table["metric"].cast("string"), value_set=name))
    values, dates = pc.min_max(rows["value"]).as_py(), pc.min_max(rows["value_date"]).as_py()
    count = len(rows["value"]) - rows["value"].null_count
    return [name[0].as_py(), count, values["min"], values["max"], dates["min"], dates["max"]]


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    rows = list(rows)
    sides = ["right" if rows and _is_number(rows[0][place]) else "left" for place in range(len(heads))]
    top = "".join(
        f'<th style="{_CELL.format(side)}">{html.escape(head)}</th>' for head, side in zip(heads, sides, strict=True)
    )
    # Without heads a row is a name and its value, so numbers are not lined up.
    lines = "".join(f"<tr>{''.join(_cell(value, in_column=bool(heads)) for value in row)}</tr>" for row in rows)
    return f'<table style="{_TABLE}">{f"<thead><tr>{top}</tr></thead>" if heads else ""}<tbody>{lines}</tbody></table>'


def _cell(value: object, *, in_column: bool) -> str:
    side = "right" if in_column and _is_number(value) else "left"
    return f'<td style="{_CELL.format(side)}">{html.escape(_text(value))}</td>'


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: object) -> str:
    if value is None:
        return "—"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}" if value.time() == datetime.min.time() else f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:,.6g}"
    return f"{value:,}" if _is_number(value) else str(value)


def _date(milliseconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return str(milliseconds)
