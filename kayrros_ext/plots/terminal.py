"""A chart over time as text for a terminal."""

import re
import threading
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import plotext
from matplotlib.ticker import MaxNLocator

from kayrros_ext._text import shorten
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.labels import axis_label
from kayrros_ext.plots.series import MAX_LINES, ChartData, Dates, Floats

# Of the 256 terminal colours, six that are legible on black and on white.
COLOURS = (33, 172, 35, 170, 37, 137)
# Without colour, these markers tell the lines apart.
MARKERS = ("•", "x", "o", "+", "#", "*")
# plotext sets a background and axis colours; all escape sequences except COLOURS and resets are removed.
PLOTEXT_STYLES = re.compile(rf"\x1b\[(?!0m|38;5;(?:{'|'.join(map(str, COLOURS))})m)[\d;]*m")
DAY_S = 86400
# Lines of the frame, the dates and at least four of the plot itself.
MIN_PLOT_HEIGHT = 7
# plotext has one global figure.
_lock = threading.Lock()


def draw(data: ChartData, width: int, height: int, *, colour: bool) -> str:
    """Return the chart, followed by a line for each asset.

    Raises:
        UsageError: there are too many assets to tell their lines apart, or no values.
    """
    if len(data.series) > max_series(height):
        raise UsageError(
            f"{len(data.series)} assets are too many for a terminal, which has room for {max_series(height)}.",
            hint="Pass fewer assets, or write a picture to a file.",
            hint_cli="Select assets with --asset, or write a picture with --output.",
        )
    values = np.concatenate([one.values[np.isfinite(one.values)] for one in data.series])
    if not len(values):
        raise UsageError(f"There is nothing to draw, because no row of {data.metric!r} has a value.")
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    with _lock:
        figure = plotext.figure
        figure.clear()
        for index, one in enumerate(data.series):
            marker = plotext.marker("braille" if colour else MARKERS[index], COLOURS[index])
            for x, y in _runs(*data.with_breaks(one)):
                signal = figure.signal(x, y, marker=marker)
                figure.draw(signal.lines() if len(x) > 1 else signal)
        _set_date_axis(figure, np.concatenate([one.dates for one in data.series]), width)
        _set_value_axis(figure, low, high, height)
        figure.plot_size(width, height - len(data.series) - 1)
        text = figure.build().string(colorless=not colour)
        figure.clear()
    label = axis_label(data.metric)
    title = label[:1].upper() + label[1:]
    if data.is_truncated:
        title += f"; {len(data.series)} of {data.total_assets:,} assets, the largest"
    chart = [line.rstrip() for line in PLOTEXT_STYLES.sub("", text).rstrip("\n").split("\n")]
    legend = [
        (f"\x1b[38;5;{COLOURS[index]}m━━\x1b[0m " if colour else f"{MARKERS[index] * 2} ")
        + shorten(one.label, width - 4)
        for index, one in enumerate(data.series)
    ]
    return "\n".join([shorten(title, width), *chart, *legend])


def max_series(height: int) -> int:
    """Return how many assets have a line each in the plot and in the legend, at a height in lines."""
    return min(MAX_LINES, height - 1 - MIN_PLOT_HEIGHT)


def _set_date_axis(figure: Any, dates: Dates, width: int) -> None:
    seconds = dates.astype("datetime64[s]").astype(int)
    first, last = int(seconds.min()), int(seconds.max())
    count = max(2, min(8, (width - 14) // 14))
    if first == last:
        ticks, date_format = [float(first)], "%Y-%m-%d %H:%M" if first % DAY_S else "%Y-%m-%d"
        first, last = first - DAY_S, last + DAY_S
    else:
        ticks = np.linspace(first, last, count).tolist()
        # Within a few days, dates without a time would repeat.
        date_format = "%Y-%m-%d" if last - first >= count * DAY_S else "%m-%d %H:%M"
    figure.ruler("x").lim(first, last)
    figure.ruler("x").ticks(ticks, [f"{datetime.fromtimestamp(tick, UTC):{date_format}}" for tick in ticks])


def _set_value_axis(figure: Any, low: float, high: float, height: int) -> None:
    locator = MaxNLocator(max(2, min(6, height // 4)))
    ticks = [tick for tick in locator.tick_values(low, high) if low <= tick <= high]
    figure.ruler("y").lim(low, high)
    figure.ruler("y").ticks(ticks, [f"{tick:,.6g}" if abs(tick) < 1e9 else f"{tick:.3g}" for tick in ticks])


def _runs(dates: Dates, values: Floats) -> list[tuple[list[int], list[float]]]:
    """Split a line at its breaks."""
    seconds = dates.astype("datetime64[s]").astype(int)
    edges = [-1, *np.flatnonzero(~np.isfinite(values)).tolist(), len(values)]
    slices = [slice(before + 1, after) for before, after in pairwise(edges) if after - before > 1]
    return [(seconds[part].tolist(), values[part].tolist()) for part in slices]
