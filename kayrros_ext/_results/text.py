"""Results as text of 80 columns: what they are, each metric with its range, and the first and last rows."""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from kayrros_ext._results.schema import strings, without_time_zone
from kayrros_ext._results.units import unit_of
from kayrros_ext._text import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_ext._results.model import Results

WIDTH = 80
MAX_METRICS, EDGE_ROWS, MAX_ROWS = 12, 5, 10
MIN_WIDTH = 8
# Significant digits of the largest number of a column.
DIGITS = 6
COLUMNS = ["value_date", "asset_name", "metric", "value"]
SUMMARY = ["metric", "unit", "values", "minimum", "maximum", "first date", "last date"]
# Columns that may be truncated: a date or a number never is.
_TEXT = ["metric", "asset_name"]


def results_text(results: "Results") -> str:
    """Return several lines, without a line end."""
    table = without_time_zone(results.table.select(COLUMNS))
    count = table.num_rows
    lines = [f"Results: {plural(count, 'row')}, {plural(results.assets.num_rows, 'asset')}"]
    lines += [f"Unavailable: {gap}" for gap in results.gaps[:EDGE_ROWS]]
    if not count:
        return "\n".join(lines)
    summaries = metric_summaries(table)
    lines += ["", *format_table(SUMMARY, summaries[:MAX_METRICS], right=SUMMARY[2:5])]
    if len(summaries) > MAX_METRICS:
        lines.append(f"… and {plural(len(summaries) - MAX_METRICS, 'more metric')}")
    edges = [table] if count <= MAX_ROWS else [table.slice(0, EDGE_ROWS), table.slice(count - EDGE_ROWS)]
    rows = [row for edge in edges for row in edge.to_pylist()]
    cells = [list(row.values()) for row in rows]
    for row, number in zip(cells, align_numbers([(row["metric"], row["value"]) for row in rows]), strict=True):
        row[-1] = number
    body = format_table(COLUMNS, cells, right=["value"])
    return "\n".join([*lines, "", *body[: 1 + EDGE_ROWS], *["…"] * (len(edges) > 1), *body[1 + EDGE_ROWS :]])


def metric_summaries(table: "pa.Table") -> list[list[Any]]:
    """Return a row of each metric: name, unit, number of values, minimum, maximum, first and last date."""
    names = table["metric"].cast("string")
    rows = []
    for name in sorted(name for name in pc.unique(names).to_pylist() if name is not None):
        one = table.select(["value", "value_date"]).filter(pc.is_in(names, value_set=strings([name])))
        values, dates = pc.min_max(one["value"]).as_py(), pc.min_max(one["value_date"]).as_py()
        places = decimals(values.values())
        low, high = (format_number(values[edge], places) for edge in ("min", "max"))
        days = [date and f"{date:%Y-%m-%d}" for date in dates.values()]
        rows.append([name, unit_of(name), len(one) - one["value"].null_count, low, high, *days])
    return rows


def align_numbers(
    values: Sequence[tuple[str | None, float | None]], places: dict[str | None, int] | None = None
) -> list[str]:
    """Return numbers with the decimal places of their metric, and their decimal points in one column.

    Args:
        values: metrics and numbers.
        places: decimal places of metrics, of earlier rows of the same table; those of new metrics are added.
    """
    numbers: dict[str | None, list[float | None]] = {}
    for name, value in values:
        numbers.setdefault(name, []).append(value)
    places = {} if places is None else places
    places |= {name: decimals(numbers[name]) for name in numbers if name not in places}
    widest = max(places.values(), default=0)
    widths = {name: widest - count + (not count and widest > 0) for name, count in places.items()}
    return [format_number(value, places[name]) + " " * widths[name] for name, value in values]


def decimals(values: Iterable[float | None]) -> int:
    """Return the decimal places that show numbers with six digits, and no more than they have."""
    numbers = [abs(value) for value in values if value]
    if not numbers:
        return 0
    limit = min(max(DIGITS - 1 - math.floor(math.log10(max(numbers))), 0), DIGITS)
    return next((places for places in range(limit) if all(round(n, places) == n for n in numbers)), limit)


def format_number(value: float | None, places: int) -> str:
    """Return a number with a fixed number of decimal places; a very large or small one with an exponent."""
    if value is None:
        return ""
    return f"{value:,.{places}f}" if not value or 10.0**-DIGITS <= abs(value) < 1e15 else f"{value:.{DIGITS}g}"


def format_date(value: datetime) -> str:
    """Return a date, with the time unless it is midnight."""
    return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")


def format_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str]) -> list[str]:
    """Return the lines of a table. Names are truncated in the middle where it would be wider than WIDTH."""
    cells = [[*heads], *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(text_width, column)) for column in zip(*cells, strict=True)]
    names = [heads.index(name) for name in _TEXT if name in heads]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths[index] for index in names) > MIN_WIDTH:
        widths[max(names, key=widths.__getitem__)] -= 1
    return [
        "  ".join(_pad(*cell, right=cell[2] in right) for cell in zip(row, widths, heads, strict=True)).rstrip()
        for row in cells
    ]


def text_width(text: str) -> int:
    """Return the number of columns that a text takes in a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(map(bool, map(unicodedata.combining, text)))


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return format_date(value)
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return "".join(char if char.isprintable() else "�" for char in text)


def _pad(text: str, width: int, _: str, *, right: bool) -> str:
    if text_width(text) > width:
        head = tail = ""
        for n in range(len(text)):
            longer = (text[: n // 2 + 1], text[len(text) - (n + 1) // 2 :])
            if text_width("".join(longer)) >= width:
                break
            head, tail = longer
        text = f"{head}…{tail}"
    space = " " * (width - text_width(text))
    return space + text if right else text + space
