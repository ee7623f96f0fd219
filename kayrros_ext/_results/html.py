"""HTML views of results and metadata for notebooks: no script, and colours that fit a light and a dark page."""

import html
from typing import TYPE_CHECKING, Any

from kayrros_ext._results.metadata import readable_fields
from kayrros_ext._results.text import NUMBERS, describe_results, format_cell, results_tables
from kayrros_ext._text import printable

if TYPE_CHECKING:
    from kayrros_ext._results.metadata import Metadata
    from kayrros_ext._results.model import Results

# Colours are those of the page, and lines are half transparent, so that both show on light and on dark.
_TABLE = "border-collapse:collapse;margin:.4em 0;text-align:left"
_CELL = "padding:.15em .8em .15em 0;border-bottom:1px solid #8884;text-align:{};vertical-align:top"


def results_html(results: "Results") -> str:
    """Return what `results_text` does, with the attribution and the ids of the processing."""
    title, *lines = describe_results(results)
    lines += [results.attribution, *(f"Processing {key}" for key in results.processing_ids)]
    tables = (_table(*table) for table in results_tables(results))
    return f"<div><b>{_text(title)}</b>{''.join(f'<div>{_text(line)}</div>' for line in lines)}{''.join(tables)}</div>"


def metadata_html(metadata: "Metadata") -> str:
    """Return every field of the metadata by the name of its attribute, dates as dates."""
    return f"<div><b>Metadata</b>{_table([], [[*field] for field in readable_fields(metadata).items()])}</div>"


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    sides = ["right" if head in NUMBERS else "left" for head in heads] or ["left"] * 2
    top = f"<thead>{_row('th', heads, sides)}</thead>" if heads else ""
    return f'<table style="{_TABLE}">{top}<tbody>{"".join(_row("td", row, sides) for row in rows)}</tbody></table>'


def _row(tag: str, values: list[Any], sides: list[str]) -> str:
    cells = (
        f'<{tag} style="{_CELL.format(side)}">{_text(value)}</{tag}>' for value, side in zip(values, sides, strict=True)
    )
    return f"<tr>{''.join(cells)}</tr>"


def _text(value: object) -> str:
    return "—" if value is None else html.escape(printable(format_cell(value)))
