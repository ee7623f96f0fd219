"""HTML views of results and metadata for notebooks: no script, and colours that fit a light and a dark page."""

import contextlib
import html
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from kayrros_ext._results.schema import without_time_zone
from kayrros_ext._text import plural, printable

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
    summary = f"{plural(table.num_rows, 'row')}, {plural(results.assets.num_rows, 'asset')}"
    summary += f", processing {' and '.join(results.processing_ids)}" if results.processing_ids else ""
    if count := results.without_metrics.num_rows:
        summary += f", {plural(count, 'date')} without metrics"
    parts = [f"<div><b>Results</b>: {html.escape(printable(summary))}</div>"]
    if results.gaps:
        gaps = "".join(f"<li>{html.escape(str(gap))}</li>" for gap in results.gaps[:MAX_ROWS])
        more = f"<li>and {len(results.gaps) - MAX_ROWS:,} more</li>" if len(results.gaps) > MAX_ROWS else ""
        parts.append(f"<div><b>Unavailable</b>:<ul>{gaps}{more}</ul></div>")
    if table.num_rows:
        names = pc.unique(table["metric"].cast("string"))
        heads = ["metric", "rows", "minimum", "maximum", "first date", "last date"]
        parts.append(_table(heads, [_metric(table, names.slice(n, 1)) for n in range(min(len(names), MAX_METRICS))]))
        if len(names) > MAX_METRICS:
            parts.append(f"<div>… and {plural(len(names) - MAX_METRICS, 'more metric')}</div>")
        rows = [list(row.values()) for row in table.select(COLUMNS).slice(0, MAX_ROWS).to_pylist()]
        parts.append(_table(COLUMNS, rows))
        size = f"{len(rows)} of {plural(table.num_rows, 'row')}, {len(COLUMNS)} of {table.num_columns} columns"
        parts.append(f"<div>The first {size}</div>")
    return f"<div>{''.join(parts)}</div>"


def metadata_html(metadata: "DatasetMetadata") -> str:
    """Return every field of the metadata, epoch milliseconds as dates."""
    fields = metadata.to_dict()
    for name in {"start_date", "stop_date"} & fields.keys():
        with contextlib.suppress(TypeError, ValueError, OverflowError, OSError):
            fields[name] = datetime.fromtimestamp(fields[name] / 1000, UTC).replace(hour=0, minute=0, second=0)
    return f"<div><b>DatasetMetadata</b>{_table([], [[name, _text(value)] for name, value in fields.items()])}</div>"


def _metric(table: "pa.Table", name: "pa.Array") -> list[Any]:
    # Not by group_by, which imports pandas.
    rows = table.filter(pc.is_in(table["metric"].cast("string"), value_set=name))
    values, dates = pc.min_max(rows["value"]).as_py(), pc.min_max(rows["value_date"]).as_py()
    count = len(rows["value"]) - rows["value"].null_count
    return [name[0].as_py(), count, values["min"], values["max"], dates["min"], dates["max"]]


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    top = f"<thead>{_row('th', heads, rows[0])}</thead>" if heads else ""
    return f'<table style="{_TABLE}">{top}<tbody>{"".join(_row("td", row, row) for row in rows)}</tbody></table>'


def _row(tag: str, values: list[Any], samples: list[Any]) -> str:
    """Return a row with each value on the right where the sample of its column is a number."""
    sides = ["right" if isinstance(sample, int | float) else "left" for sample in samples]
    heads = (f'<{tag} style="{_CELL.format(side)}">' for side in sides)
    cells = (f"{head}{html.escape(_text(value))}</{tag}>" for head, value in zip(heads, values, strict=True))
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")
    if isinstance(value, float):
        return f"{value:,.0f}" if 1e6 <= abs(value) < 1e15 else f"{value:,.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "—" if value is None else printable(str(value))
