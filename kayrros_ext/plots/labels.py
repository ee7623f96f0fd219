"""Text on pictures: metric names with their units, and names made safe to show."""

import itertools
import unicodedata

from kayrros_ext._results.units import split_unit
from kayrros_ext._text import printable
from kayrros_ext.errors import UsageError

MAX_NAME_LENGTH = 44


def axis_label(metric: str, max_length: int | None = None) -> str:
    """Return the label of an axis, such as "stored volume [bbl]". A long name is shortened, its unit is kept."""
    name, unit = split_unit(printable(metric))
    suffix = f" [{unit}]" if unit else ""
    return f"{name if max_length is None else shorten(name, max(max_length - len(suffix), 8))}{suffix}"


def shorten(name: str, max_width: int = MAX_NAME_LENGTH) -> str:
    """Truncate a name in its middle, because names often differ at the end."""
    if cell_width(name) <= max_width:
        return name
    head = (max_width - 1) * 2 // 3
    return f"{_cut(name, head).rstrip()}…{_cut(name[::-1], max_width - 1 - head)[::-1].lstrip()}"


def cell_width(text: str) -> int:
    """Return the width of text in columns of a terminal: 2 for a Chinese letter, 0 for an accent of its own."""
    if text.isascii():
        return len(text)
    kinds = ((unicodedata.east_asian_width(char) in "WF", unicodedata.category(char) in {"Mn", "Me"}) for char in text)
    return sum(0 if is_combining else 1 + is_wide for is_wide, is_combining in kinds)


def _cut(text: str, width: int) -> str:
    widths = itertools.accumulate(map(cell_width, text))
    return "".join(char for char, total in zip(text, widths, strict=True) if total <= width)


def invalid_choice(argument: str, value: object, choices: list[str]) -> UsageError:
    """Return the error for a value that is not one of the choices."""
    return UsageError(f"{argument} is {value!r}.", hint=f"Use one of {', '.join(map(repr, choices))}.")
