"""Text on pictures: metric names with their units, and names made safe to show."""

from typing import Any

from kayrros_ext._arguments import describe
from kayrros_ext._results.units import split_unit
from kayrros_ext._text import printable, shorten
from kayrros_ext.errors import UsageError

MAX_NAME_LENGTH = 44


def axis_label(metric: str, max_length: int | None = None) -> str:
    """Return the label of an axis, such as "stored volume [bbl]". A long name is shortened, its unit is kept."""
    name, unit = split_unit(printable(metric))
    suffix = f" [{unit}]" if unit else ""
    return f"{name if max_length is None else shorten(name, max(max_length - len(suffix), 8))}{suffix}"


def invalid_choice(argument: str, value: object, choices: list[Any]) -> UsageError:
    """Return the error for a value that is not one of the choices."""
    return UsageError(f"{argument} is {describe(value)}.", hint=f"Use one of {', '.join(map(repr, choices))}.")
