"""A chart over time in the letters of a terminal."""

import re
import threading
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import plotext
from matplotlib.ticker import MaxNLocator

from kayrros_ext.errors import UsageError
from kayrros_ext.plots.series import MOST_LINES, Moments, Numbers, Selection, Series
from kayrros_ext.plots.words import label, short

# Numbers of the 256 that terminals have, bright enough on black and dark enough on white.
COLOURS = (33, 172, 35, 170, 37, 137)
# Where there is no colour, letters tell the lines apart.
LETTERS = ("•", "x", "o", "+", "#", "*")
# plotext paints its own paper and axes: the terminal's own are better. What stays are the colours above, and their ends.
FOREIGN = re.compile(rf"\x1b\[(?!0m|38;5;(?:{'|'.join(map(str, COLOURS))})m)[\d;]*m")
DAY = 86400
# plotext draws on one figure, which is the process's.
_lock = threading.Lock()


def draw(chosen: Selection, width: int, height: int, *, colour: bool) -> str:
    """The chart, and a line for each asset below it.

    Raises:
        UsageError: there are more assets than lines that can be told apart, or no value.
    """
    if len(chosen.series) > MOST_LINES:
        raise UsageError(
            f"{len(chosen.series)} assets are too many for a terminal, which has room for {MOST_LINES}. Name some, or write "
            "a picture to a file."
        )
    values = np.concatenate([one.values[np.isfinite(one.values)] for one in chosen.series])
    if not len(values):
        raise UsageError(f"No row of {chosen.metric!r} has a value, and so there is nothing to draw.")
    dates = np.concatenate([one.dates for one in chosen.series]).astype("datetime64[s]").astype(int)
    low, high, first, last = float(values.min()), float(values.max()), int(dates.min()), int(dates.max())
    if low == high:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    only = first if first == last else None
    if only is not None:
        first, last = first - DAY, last + DAY
    names = [_name(number, one, width, colour=colour) for number, one in enumerate(chosen.series)]
    with _lock:
        figure = plotext.figure
        figure.clear()
        for number, one in enumerate(chosen.series):
            marker = plotext.marker("braille" if colour else LETTERS[number], COLOURS[number])
            for x, y in _runs(*chosen.lines(one)):
                signal = figure.signal(x, y, marker=marker)
                figure.draw(signal.lines() if len(x) > 1 else signal)
        _rulers(figure, (first, last), (low, high), width, height, only=only)
        figure.plot_size(width, height - len(names) - 1)
        text = figure.build().string(colorless=not colour)
        figure.clear()
    words = label(chosen.metric)
    words = words[:1].upper() + words[1:]
    if chosen.is_cut:
        words += f"; {len(names)} of {chosen.total:,} assets, the largest"
    chart = [line.rstrip() for line in FOREIGN.sub("", text).rstrip("\n").split("\n")]
    return "\n".join([short(words, width), *chart, *names])


def _name(number: int, one: Series, width: int, *, colour: bool) -> str:
    name = short(one.name, width - 4)
    return f"\x1b[38;5;{COLOURS[number]}m━━\x1b[0m {name}" if colour else f"{LETTERS[number] * 2} {name}"


def _rulers(
    figure: Any, x: tuple[int, int], y: tuple[float, float], width: int, height: int, *, only: int | None
) -> None:
    count = max(2, min(8, (width - 14) // 14))
    days = np.linspace(*x, count).tolist() if only is None else [only]
    # Within a few days, dates alone would repeat.
    form = "%Y-%m-%d" if x[1] - x[0] >= count * DAY else "%m-%d %H:%M"
    if only is not None:
        form = "%Y-%m-%d %H:%M" if only % DAY else "%Y-%m-%d"
    figure.ruler("x").lim(*x)
    figure.ruler("x").ticks(days, [f"{datetime.fromtimestamp(day, UTC):{form}}" for day in days])
    levels = [level for level in MaxNLocator(max(2, min(6, height // 4))).tick_values(*y) if y[0] <= level <= y[1]]
    figure.ruler("y").lim(*y)
    figure.ruler("y").ticks(levels, [f"{level:,.6g}" if abs(level) < 1e9 else f"{level:.3g}" for level in levels])


def _runs(dates: Moments, values: Numbers) -> list[tuple[list[int], list[float]]]:
    """The parts of a line between its breaks."""
    moments = dates.astype("datetime64[s]").astype(int)
    edges = [-1, *np.flatnonzero(~np.isfinite(values)).tolist(), len(values)]
    parts = [slice(before + 1, after) for before, after in pairwise(edges) if after - before > 1]
    return [(moments[part].tolist(), values[part].tolist()) for part in parts]
