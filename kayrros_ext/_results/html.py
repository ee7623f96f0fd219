"""What notebooks show of results and metadata: HTML that needs no script, in the colours of the page around it."""

import html
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_openapi.models import DatasetMetadata

ROWS, METRICS = 5, 20
SHOWN = ("asset_name", "asset_id", "value_date", "metric", "value")
# What the page around it says of ink goes for both; half-clear lines are seen on light and dark.
_TABLE = "border-collapse:collapse;margin:.4em 0;text-align:left"
_CELL = "padding:.15em .8em .15em 0;border-bottom:1px solid #8884;text-align:{};vertical-align:top"


class _Source(Protocol):
    """What is read of kayrros_ext.Results."""

    @property
    def table(self) -> "pa.Table": ...

    @property
    def assets(self) -> "pa.Table": ...

    @property
    def without_metrics(self) -> "pa.Table": ...

    @property
    def gaps(self) -> Sequence[object]: ...

    @property
    def processing_id(self) -> str | None: ...


def results_html(results: _Source) -> str:
    """How much there is, each metric with its range and dates, what is missing, and the first rows."""
    table = results.table
    facts = [f"{table.num_rows:,} rows", f"{results.assets.num_rows:,} assets"]
    if results.processing_id:
        facts.append(f"processing {results.processing_id}")
    if results.without_metrics.num_rows:
        facts.append(f"{results.without_metrics.num_rows:,} dates without metrics")
    parts = [f"<div><b>Results</b>: {html.escape(', '.join(facts))}</div>"]
    if results.gaps:
        listed = "".join(f"<li>{html.escape(str(gap))}</li>" for gap in results.gaps[:ROWS])
        more = f"<li>and {len(results.gaps) - ROWS:,} more</li>" if len(results.gaps) > ROWS else ""
        parts.append(f"<div><b>Could not be had</b>:<ul>{listed}{more}</ul></div>")
    if table.num_rows:
        metrics = _metrics(table)
        heads = ["metric", "rows", "least", "largest", "first date", "last date"]
        parts.append(_table(heads, metrics[:METRICS]))
        if len(metrics) > METRICS:
            parts.append(f"<div>… and {len(metrics) - METRICS:,} metrics more</div>")
        rows = table.select(list(SHOWN)).slice(0, ROWS).to_pylist()
        parts += [_table(list(SHOWN), [list(row.values()) for row in rows]), f"<div>{_rest(table)}</div>"]
    return f"<div>{''.join(parts)}</div>"


def metadata_html(metadata: "DatasetMetadata") -> str:
    """Every field that the answer has, dates as dates."""
    fields: list[list[Any]] = []
    for name, value in metadata.to_dict().items():
        is_date = name in {"start_date", "stop_date"} and isinstance(value, int)
        fields.append([name, _date(value) if is_date else value])
    return f"<div><b>DatasetMetadata</b>{_table([], fields)}</div>"


def show_metadata_in_notebooks() -> None:
    """Have IPython, where it runs, show metadata by `metadata_html`: the generated class is left as it is."""
    if shell := sys.modules.get("IPython") and sys.modules["IPython"].get_ipython():
        load_ipython_extension(shell)


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext kayrros_ext._results.html` calls; `Kayrros.metadata` does so by itself."""
    formatter = shell.display_formatter.formatters["text/html"]
    formatter.for_type_by_name("kayrros_openapi.models.dataset_metadata", "DatasetMetadata", metadata_html)


def _metrics(table: "pa.Table") -> list[list[Any]]:
    by_metric = table.group_by("metric", use_threads=False).aggregate(
        [("value", "count"), ("value", "min"), ("value", "max"), ("value_date", "min"), ("value_date", "max")]
    )
    columns = ["metric", "value_count", "value_min", "value_max", "value_date_min", "value_date_max"]
    return [list(row.values()) for row in by_metric.select(columns).to_pylist()]


def _rest(table: "pa.Table") -> str:
    shown = min(ROWS, table.num_rows)
    return f"The first {shown} of {table.num_rows:,} rows, {len(SHOWN)} of {table.num_columns} columns"


def _table(heads: list[str], rows: Iterable[list[Any]]) -> str:
    rows = list(rows)
    sides = ["right" if rows and _is_number(rows[0][place]) else "left" for place in range(len(heads))]
    top = "".join(
        f'<th style="{_CELL.format(side)}">{html.escape(head)}</th>' for head, side in zip(heads, sides, strict=True)
    )
    # Without heads, a row is a name and its value: no column to line numbers up in.
    lines = "".join(f"<tr>{''.join(_cell(value, in_column=bool(heads)) for value in row)}</tr>" for row in rows)
    return f'<table style="{_TABLE}">{f"<thead><tr>{top}</tr></thead>" if heads else ""}<tbody>{lines}</tbody></table>'


def _cell(value: Any, *, in_column: bool) -> str:
    side = "right" if in_column and _is_number(value) else "left"
    return f'<td style="{_CELL.format(side)}">{html.escape(_text(value))}</td>'


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
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
