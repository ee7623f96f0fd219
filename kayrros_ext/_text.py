"""Text of a server for people: it can't control a terminal, disguise itself or fill a screen."""

import itertools
import sys
import unicodedata
from collections.abc import Iterable
from datetime import datetime

DOCS_URL = "https://kayrros-ext.example/"  # as in pyproject.toml; a page is DOCS_URL + its name in docs/ + "/"

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # in any locale


def printable(text: str) -> str:
    """Return text in one line, without control, bidirectional and invisible characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def fold(name: str) -> str:
    """Return a name to compare with what a user types: without case, and as `printable` shows it."""
    return printable(name).casefold()


def shorten(name: str, max_width: int) -> str:
    """Truncate a name in its middle, because names often differ at the end."""
    if cell_width(name) <= max_width:
        return name
    head = (max_width - 1) * 2 // 3
    return f"{_cut(name, head).rstrip()}…{_cut(name[::-1], max_width - 1 - head)[::-1].lstrip()}"


def distinct(names: Iterable[str], max_width: int = sys.maxsize) -> dict[str, str]:
    """Return each name as it is shown, in one line and truncated; with a number where it would look like an earlier one."""
    labels: dict[str, str] = {}
    for name in dict.fromkeys(names):
        ends = itertools.chain([""], (f" ({number})" for number in itertools.count(2)))
        shown = (shorten(printable(name), max_width - len(end)) + end for end in ends)
        labels[name] = next(label for label in shown if label not in labels.values())
    return labels


def cell_width(text: str) -> int:
    """Return the width of text in columns of a terminal: 2 for a Chinese letter, 0 for an accent of its own."""
    if text.isascii():
        return len(text)
    kinds = ((unicodedata.east_asian_width(char) in "WF", unicodedata.category(char) in {"Mn", "Me"}) for char in text)
    return sum(0 if is_combining else 1 + is_wide for is_wide, is_combining in kinds)


def _cut(text: str, width: int) -> str:
    widths = itertools.accumulate(map(cell_width, text))
    return "".join(char for char, total in zip(text, widths, strict=True) if total <= width)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return a number of things: "1 row", "2,000 rows"; with a plural that has no s at the end of the noun: "2 matches"."""
    return f"{count:,} {noun if count == 1 else nouns or f'{noun}s'}"


def format_date(value: datetime) -> str:
    """Return a date, with the time unless it is midnight."""
    return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")


def format_day(value: datetime) -> str:
    """Return a date for a reader, with the time unless it is midnight: "8 Jan 2024", "8 Jan 2024 14:30"."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year}{value: %H:%M}".removesuffix(" 00:00")


def format_short(value: float) -> str:
    """Return a number with three digits: "1.24 M", "0.0312"."""
    value = float(f"{value:.3g}")
    suffixes = ((1e12, " tn"), (1e9, " bn"), (1e6, " M"), (1e3, " k"), (0, ""))
    size, suffix = next((size, suffix) for size, suffix in suffixes if abs(value) >= size)
    return f"{value / (size or 1):,.3g}{suffix}".replace("-", "\N{MINUS SIGN}")


def format_size(count: int) -> str:
    """Return a number of bytes: "999 bytes", "15.8 MB", "2 GB"."""
    if count < 1000:
        return plural(count, "byte")
    power = next((power for power in (1, 2, 3) if count < 999.95 * 1000**power), 4)
    return f"{count / 1000**power:,.1f}".removesuffix(".0") + f" {'kMGT'[power - 1]}B"


def list_names(names: Iterable[str], near: str = "") -> str:
    """Return names for a message: the first 20, or quoted the 5 that resemble `near` most. The others are counted."""
    import difflib

    names, limit = sorted({printable(name)[:60] for name in names}), 5 if near else 20
    shown = names[:limit]
    if near:  # comparing more than 10,000 takes seconds
        folded = {name.casefold(): name for name in names[:10_000]}
        shown = [folded[key] for key in difflib.get_close_matches(fold(near)[:60], folded, limit, cutoff=0)]
    more = f" and {len(names) - len(shown):,} more" if len(names) > len(shown) else ""
    return (", ".join(map(repr if near else str, shown)) or "none") + more
