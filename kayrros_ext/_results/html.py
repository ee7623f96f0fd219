"""HTML views of results and metadata for notebooks: no script, and colours that fit a light and a dark page."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kayrros_ext._results.metadata import readable_fields
from kayrros_ext._results.schema import without_time_zone
from kayrros_ext._results.text import SUMMARY, align_numbers, facts, format_cell, metric_summaries, plural
from kayrros_ext._text import printable

if TYPE_CHECKING:
    from kayrros_ext._results.metadata import Metadata
    from kayrros_ext._results.model import Results

MAX_ROWS, MAX_METRICS = 5, 20
COLUMNS = ["asset_name", "asset_id", "value_date", "metric", "unit", "value"]
# Colours are those of the page, and lines are half transparent, so that both show on light and on dark.
_TABLE = "border-collapse:collapse;margin:.4em 0;text-align:left"
_CELL = "padding:.15em .8em .15em 0;border-bottom:1px solid #8884;text-align:{};vertical-align:top"


def results_html(results: "Results") -> str:
    """Return dataset, period and size of the results, each metric with its range and dates, gaps, and the first rows."""
    name = results.dataset_name or results.dataset_id
    summary = [*facts(results), *(f"processing {key}" for key in results.processing_ids)]
    title = f"<b>Results{f' of {_text(str(name))}' if name else ''}</b>: {_text(', '.join(summary))}"
    parts = [f"<div>{title}</div>", f"<div>{_text(results.attribution)}</div>"]
    if results.gaps:
        gaps = "".join(f"<li>{_text(str(gap))}</li>" for gap in results.gaps[:MAX_ROWS])
        more = f"<li>and {len(results.gaps) - MAX_ROWS:,} more</li>" if len(results.gaps) > MAX_ROWS else ""
        parts.append(f"<div><b>Unavailable</b>:<ul>{gaps}{more}</ul></div>")
    table = without_time_zone(results.table)
    if table.num_rows:
        summaries, others = metric_summaries(table, MAX_METRICS)
        parts.append(_table(SUMMARY, summaries, right=SUMMARY[2:5]))
        if others:
            parts.append(f"<div>… and {plural(others, 'more metric')}</div>")
        rows = [list(row.values()) for row in table.select(COLUMNS).slice(0, MAX_ROWS).to_pylist()]
        numbers = align_numbers([(row[3], row[-1]) for row in rows])
        parts.append(_table(COLUMNS, [[*row[:-1], n] for row, n in zip(rows, numbers, strict=True)], right=["value"]))
        size = f"{len(rows)} of {plural(table.num_rows, 'row')}, {len(COLUMNS)} of {table.num_columns} columns"
        parts.append(f"<div>The first {size}</div>")
    return f"<div>{''.join(parts)}</div>"


def metadata_html(metadata: "Metadata") -> str:
    """Return every field of the metadata by the name of its attribute, dates as dates."""
    return f"<div><b>Metadata</b>{_table([], [[*field] for field in readable_fields(metadata).items()])}</div>"


def _table(heads: list[str], rows: list[list[Any]], right: Sequence[str] = ()) -> str:
    sides = ["right" if head in right else "left" for head in heads] or ["left"] * 2
    top = f"<thead>{_row('th', heads, sides)}</thead>" if heads else ""
    return f'<table style="{_TABLE}">{top}<tbody>{"".join(_row("td", row, sides) for row in rows)}</tbody></table>'


def _row(tag: str, values: list[Any], sides: list[str]) -> str:
    cells = (
        f'<{tag} style="{_CELL.format(side)}">{_text(value)}</{tag}>' for value, side in zip(values, sides, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: object) -> str:
    return "—" if value is None else html.escape(printable(format_cell(value)))
