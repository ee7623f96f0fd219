"""A chart over time as text for a terminal."""

import math
import re
import threading
from itertools import groupby

import plotext

from kayrros_ext._text import shorten
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.data import ChartData, format_date, format_short, to_ms

# Of the 256 terminal colours, six that are legible on black and on white; and markers for charts without colour.
COLOURS = (33, 172, 35, 170, 37, 137)
MARKERS = "•xo+#*"
# plotext sets a background and axis colours; all escape sequences except COLOURS and resets are removed.
PLOTEXT_STYLES = re.compile(rf"\x1b\[(?!0m|38;5;(?:{'|'.join(map(str, COLOURS))})m)[\d;]*m")
# plotext has one global figure.
_lock = threading.Lock()


def draw(data: ChartData, width: int, height: int, *, title: str, colour: bool) -> str:
    """Return the chart below a title, followed by a line for each asset. UsageError if there are too many assets."""
    if len(data.frame.columns) > max_lines(height):
        raise UsageError(
            f"{len(data.frame.columns)} assets are too many for a terminal, which has room for {max_lines(height)}.",
            hint="Pass fewer assets, or write a picture to a file.",
            hint_cli="Select assets with --asset, or write a picture with --output.",
        )
    index = data.frame.index
    times = to_ms(index)
    first, last = (times[0], times[-1]) if len(times) > 1 else (times[0] - 86_400_000, times[0] + 86_400_000)
    step = max(-(-len(times) // max(2, (width - 10) // 16)), 1)
    values = nice_ticks(float(data.frame.min(axis=None)), float(data.frame.max(axis=None)), max(2, min(6, height // 4)))
    heading = [title] * bool(title) + [f"{data.label}, {data.period}. {' '.join(data.notes)}".strip()]
    with _lock:
        figure = plotext.figure
        figure.clear()
        # A letter of braille has two dots side by side, and a line four points in a dot at most.
        rows = {
            name: [*several] for name, several in groupby(data.lines((width - 10) / 2), key=lambda row: row["asset"])
        }
        for number, points in enumerate(rows.values()):
            marker = plotext.marker("braille" if colour else MARKERS[number], COLOURS[number])
            for is_break, several in groupby(points, key=lambda row: row["value"] is None):
                x, y = zip(*((row["date"], row["value"]) for row in several), strict=True)
                if not is_break:
                    signal = figure.signal(x, y, marker=marker)
                    figure.draw(signal.lines() if len(x) > 1 else signal)
        figure.ruler("x").lim(first, last)
        figure.ruler("x").ticks(times[::step], [*map(format_date, index[::step])])
        figure.ruler("y").lim(values[0], values[-1])
        figure.ruler("y").ticks(values, [*map(format_short, values)])
        figure.plot_size(width, height - len(rows) - len(heading))
        text = figure.build().string(colorless=not colour)
        figure.clear()
    chart = [line.rstrip() for line in PLOTEXT_STYLES.sub("", text).rstrip("\n").split("\n")]
    keys = [
        f"\x1b[38;5;{code}m━━\x1b[0m " if colour else f"{mark * 2} "
        for code, mark in zip(COLOURS, MARKERS, strict=True)
    ]
    legend = [key + shorten(name, width - 4) for key, name in zip(keys, rows, strict=False)]
    return "\n".join([*(shorten(line, width) for line in heading), *chart, *legend])


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers, the first not above `low` and the last not below `high`."""
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    raw = high / count - low / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def max_lines(height: int) -> int:
    """Return how many assets have a line each in the legend, below a plot of at least four lines and its frame."""
    return min(len(COLOURS), height - 9)
