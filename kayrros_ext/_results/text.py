"""Results as text of 80 columns: their dataset, each metric with its range, and the first and last rows."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from kayrros_ext._results.schema import without_time_zone
from kayrros_ext._text import cell_width, printable, shorten

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
_TEXT = ["metric", "unit", "asset_name"]
# Columns that are left out, in this order, where numbers take their room.
_OPTIONAL = ["last date", "first date", "values"]


def results_text(results: "Results") -> str:
    """Return several lines, without a line end."""
    name = printable(results.dataset_name or "") or results.dataset_id
    lines = [shorten(f"Results of {name}" if name else "Results", WIDTH)]
    lines += textwrap.wrap(", ".join(facts(results)), WIDTH)
    for gap in results.gaps[:EDGE_ROWS]:
        lines += textwrap.wrap(f"Unavailable: {gap}", WIDTH, subsequent_indent="  ")
    if len(results.gaps) > EDGE_ROWS:
        lines.append(f"… and {plural(len(results.gaps) - EDGE_ROWS, 'more gap')}")
    table = without_time_zone(results.table.select([*COLUMNS, "asset_id", "unit"]))
    if not (count := table.num_rows):
        return "\n".join(lines)
    summaries, more = metric_summaries(table, MAX_METRICS)
    lines += ["", *format_table(SUMMARY, summaries, right=SUMMARY[2:5])]
    lines += [f"… and {plural(more, 'more metric')}"] if more else []
    edges = [table] if count <= MAX_ROWS else [table.slice(0, EDGE_ROWS), table.slice(count - EDGE_ROWS)]
    rows = [row for edge in edges for row in edge.to_pylist()]
    numbers = align_numbers([(row["metric"], row["value"]) for row in rows])
    cells = [
        [row["value_date"], row["asset_name"] or row["asset_id"], row["metric"], number]
        for row, number in zip(rows, numbers, strict=True)
    ]
    body = format_table(COLUMNS, cells, right=["value"])
    return "\n".join([*lines, "", *body[: 1 + EDGE_ROWS], *["…"] * (len(edges) > 1), *body[1 + EDGE_ROWS :]])


def facts(results: "Results") -> list[str]:
    """Return the period of the values, and the number of rows, assets, dates without metrics and numbers that are none."""
    ends = pc.min_max(without_time_zone(results.table)["value_date"]).as_py().values()
    days = [f"{date:%Y-%m-%d}" for date in ends if date]
    counts = [plural(len(results), "row"), plural(results.assets.num_rows, "asset")]
    if count := results.without_metrics.num_rows:
        counts.append(plural(count, "date") + " without metrics")
    if count := results.non_finite:
        counts.append(f"{count:,} NaN or infinite, read as null")
    return [*([" to ".join(dict.fromkeys(days))] if days else []), *counts]


def metric_summaries(table: "pa.Table", limit: int) -> tuple[list[list[Any]], int]:
    """Return a row of each metric, ordered by name, and the number of those beyond the limit.

    A row has name, unit, number of values, minimum, maximum, and the first and last day. The table has rows, and its dates
    have no time zone.
    """
    metric = table["metric"].unify_dictionaries().combine_chunks()
    labels, codes = metric.dictionary.to_pylist(), metric.indices.unique()
    names = [None if code is None else labels[code] for code in codes.to_pylist()]
    order = sorted(range(len(names)), key=lambda place: (names[place] is None, names[place]))
    rows = []
    for place in order[:limit]:
        one = table.filter(pc.is_in(metric.indices, value_set=codes.slice(place, 1)))
        values, dates = pc.min_max(one["value"]).as_py(), pc.min_max(one["value_date"]).as_py()
        places = decimals(values.values())
        low, high = (format_number(values[edge], places) for edge in ("min", "max"))
        days = [date and f"{date:%Y-%m-%d}" for date in dates.values()]
        rows.append([names[place], one["unit"][0].as_py(), len(one) - one["value"].null_count, low, high, *days])
    return rows, max(len(names) - limit, 0)


def align_numbers(values: Sequence[tuple[str | None, float | None]]) -> list[str]:
    """Return numbers with the decimal places of their metric, and their decimal points in one column."""
    places = {name: decimals(value for other, value in values if other == name) for name, _ in values}
    texts = [format_number(value, places[name]) for name, value in values]
    tails = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    return [text + " " * (max(tails) - tail) for text, tail in zip(texts, tails, strict=True)]


def decimals(values: Iterable[float | None]) -> int:
    """Return the decimal places that show the largest number with six digits, without zeros at the end of all."""
    numbers = [abs(value) for value in values if value and math.isfinite(value)]
    if not numbers:
        return 0
    limit = min(max(DIGITS - 1 - math.floor(math.log10(max(numbers))), 0), DIGITS)
    return next((places for places in range(limit) if all(round(n, places) == round(n, limit) for n in numbers)), limit)


def format_number(value: float | None, places: int) -> str:
    """Return a number with a fixed number of decimal places; one that is very large, or would be zero, with an exponent."""
    if value is None:
        return ""
    return (
        f"{value:,.{places}f}" if not value or (round(value, places) and abs(value) < 1e15) else f"{value:.{DIGITS}g}"
    )


def format_date(value: datetime) -> str:
    """Return a date, with the time unless it is midnight."""
    return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")


def format_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str]) -> list[str]:
    """Return the lines of a table of at most WIDTH columns: names are truncated, then columns that may be left out are."""
    columns = {head: [head, *map(format_cell, column)] for head, *column in zip(heads, *rows, strict=True)}
    widths = {head: max(map(cell_width, column)) for head, column in columns.items()}

    def excess() -> int:
        return sum(widths.values()) + 2 * (len(widths) - 1) - WIDTH

    names = [head for head in _TEXT if head in widths]
    while excess() > 0 and (widest := max(names, key=lambda head: widths[head])) and widths[widest] > MIN_WIDTH:
        widths[widest] -= 1
    for head in _OPTIONAL:
        if excess() > 0 and head in widths:
            del widths[head], columns[head]
    padded = [[_pad(cell, widths[head], right=head in right) for cell in columns[head]] for head in widths]
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


def plural(count: int, noun: str) -> str:
    """Return a number of things: "1 row", "2,000 rows"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def format_cell(value: object) -> str:
    """Return a value as text that can't control a terminal."""
    if isinstance(value, datetime):
        return format_date(value)
    # A number comes as text with spaces after it, which printable would drop.
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text if text.isascii() and text.isprintable() else printable(text)


def _pad(text: str, width: int, *, right: bool) -> str:
    text = shorten(text, width)
    space = " " * (width - cell_width(text))
    return space + text if right else text + space
