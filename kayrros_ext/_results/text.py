"""A view of results: their dataset, each metric with its range, and the first and last rows; as text of 80 columns."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from kayrros_ext._results.schema import metric_units, without_time_zone
from kayrros_ext._text import cell_width, distinct, format_date, plural, printable, shorten

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_ext._results.model import Results

WIDTH = 80
MAX_METRICS, EDGE_ROWS, MAX_ROWS = 12, 5, 20
MIN_WIDTH = 8
# Significant digits of the largest number of a column.
DIGITS = 6
# Columns that are left out, in this order, before names are truncated, assets first. A date or a number never is.
_OPTIONAL = ["values", "last date", "first date", "unit"]
_NAMES = ["asset_name", "metric"]
NUMBERS = {"values", "minimum", "maximum", "value"}
Table = tuple[list[str], list[list[Any]]]  # heads, and rows of integers, datetimes, text and None


def results_text(results: "Results") -> str:
    """Return several lines, without a line end."""
    title, *facts = describe_results(results)
    lines = [shorten(title, WIDTH)]
    for fact in facts:
        lines += textwrap.wrap(fact, WIDTH, subsequent_indent="  ")
    for table in results_tables(results):
        lines += ["", *format_table(*table)]
    return "\n".join(lines)


def describe_results(results: "Results") -> list[str]:
    """Return lines: the dataset; the period of the values, and the number of rows and others; each gap."""
    name = printable(results.dataset_name or "") or results.dataset_id
    ends = pc.min_max(without_time_zone(results.table)["value_date"]).as_py().values()
    period = " to ".join(dict.fromkeys(f"{date:%Y-%m-%d}" for date in ends if date))
    shown, total = map(_count_ids, (results.table, results.assets))
    of = f"{shown:,} of " if 0 < shown < total else ""
    facts = [period, plural(len(results), "row"), of + plural(results.assets.num_rows, "asset")]
    if count := results.without_metrics.num_rows:
        facts.append(plural(count, "date") + " without metrics")
    if count := results.non_finite:
        facts.append(f"{count:,} NaN or infinite, read as null")
    gaps = [f"Unavailable: {gap}" for gap in results.gaps[:EDGE_ROWS]]
    if len(results.gaps) > EDGE_ROWS:
        gaps.append(f"… and {plural(len(results.gaps) - EDGE_ROWS, 'more gap')}")
    return [f"Results of {name}" if name else "Results", ", ".join(filter(None, facts)), *gaps]


def results_tables(results: "Results") -> list[Table]:
    """Return a table with a row of each metric, and one of the first and last rows; none without rows.

    Two metrics have two names, also where they differ in characters that are not shown.
    """
    columns = ["value_date", "asset_name", "metric", "value"]
    table = without_time_zone(results.table.select([*columns, "asset_id", "unit"]))
    if not (count := table.num_rows):
        return []
    edges = [table] if count <= MAX_ROWS else [table.slice(0, EDGE_ROWS), table.slice(count - EDGE_ROWS)]
    rows = [row for edge in edges for row in edge.to_pylist()]
    numbers = align_numbers([(row["metric"], row["value"]) for row in rows])
    labels = distinct(sorted(metric_units(table)))
    cells = [
        [row["value_date"], row["asset_name"] or row["asset_id"], labels.get(row["metric"] or ""), number]
        for row, number in zip(rows, numbers, strict=True)
    ]
    if len(edges) > 1:
        cells.insert(EDGE_ROWS, ["…", None, None, None])
    return [_metrics(table, labels), (columns, cells)]


def _count_ids(table: "pa.Table") -> int:
    return len(table["asset_id"].unify_dictionaries().unique()) if table.num_rows else 0


def _metrics(table: "pa.Table", shown: dict[str, str]) -> Table:
    """Return a row of each metric, ordered by name: unit, number of values, their range, and the first and last day."""
    metric = table["metric"].unify_dictionaries().combine_chunks()
    codes, labels = metric.indices.unique(), metric.dictionary.to_pylist()
    names = [None if code is None else labels[code] for code in codes.to_pylist()]
    order = sorted(range(len(names)), key=lambda place: (names[place] is None, names[place]))
    rows = []
    for place in order[:MAX_METRICS]:
        one = table.filter(pc.is_in(metric.indices, value_set=codes.slice(place, 1)))
        values, dates = (pc.min_max(one[name]).as_py().values() for name in ("value", "value_date"))
        ends = [format_number(value, decimals(values)) for value in values]
        days = [date and f"{date:%Y-%m-%d}" for date in dates]
        rows.append(
            [shown.get(names[place] or ""), one["unit"][0].as_py(), len(one) - one["value"].null_count, *ends, *days]
        )
    if more := len(names[MAX_METRICS:]):
        rows.append([f"… and {plural(more, 'more metric')}", *[None] * 6])
    return ["metric", "unit", "values", "minimum", "maximum", "first date", "last date"], rows


def align_numbers(
    values: Sequence[tuple[str | None, float | None]], places: dict[str | None, int] | None = None
) -> list[str]:
    """Return numbers with the decimal places of their metric, and their decimal points in one column.

    Args:
        values: metrics and numbers.
        places: decimal places of metrics, of earlier rows of the same table; those of new metrics are added.
    """
    places = {} if places is None else places
    numbers: dict[str | None, list[float | None]] = {}
    for name, value in values:
        numbers.setdefault(name, []).append(value)
    places |= {name: decimals(numbers[name]) for name in numbers if name not in places}
    texts = [format_number(value, places[name]) for name, value in values]
    tails = [len(text) - text.index(".") if "." in text else 0 for text in texts]
    widest = max([*tails, *(count + 1 for count in places.values() if count)], default=0)
    return [text + " " * (widest - tail) for text, tail in zip(texts, tails, strict=True)]


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
    is_plain = not value or (round(value, places) and abs(value) < 1e15)
    return f"{value:,.{places}f}" if is_plain else f"{value:.{DIGITS}g}"


def format_table(heads: list[str], rows: list[list[Any]]) -> list[str]:
    """Return the lines of a table of at most WIDTH columns: some are left out, then names truncated, and kept distinct."""
    columns = {head: [head, *map(format_cell, column)] for head, *column in zip(heads, *rows, strict=True)}
    widths = {head: max(map(cell_width, column)) for head, column in columns.items()}

    def excess() -> int:
        return sum(widths.values()) + 2 * (len(widths) - 1) - WIDTH

    for head in _OPTIONAL:
        if excess() > 0 and head in widths:
            del widths[head], columns[head]
    for head in [head for head in _NAMES if head in widths]:
        if (more := excess()) > 0:
            widths[head] = min(widths[head], max(widths[head] - more, MIN_WIDTH))
            labels = distinct(columns[head], widths[head])
            columns[head] = [labels[cell] for cell in columns[head]]
    padded = [[_pad(cell, widths[head], right=head in NUMBERS) for cell in columns[head]] for head in widths]
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


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
