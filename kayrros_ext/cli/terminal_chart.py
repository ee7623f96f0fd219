"""A chart over time as text for a terminal."""

import math
import re
from typing import TYPE_CHECKING, Any

from kayrros_ext._text import format_day, format_short, printable, shorten
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext import Results
    from kayrros_ext._results.query import Names
    from kayrros_ext.plots.data import ChartData

# Of the 256 terminal colours, six that are legible on black and on white; and markers for charts without colour.
COLOURS, MARKERS = (33, 172, 35, 170, 37, 137), "•xo+#*"
# plotext sets a background and axis colours; all escape sequences except COLOURS and resets are removed.
PLOTEXT_STYLES = re.compile(rf"\x1b\[(?!0m|38;5;(?:{'|'.join(map(str, COLOURS))})m)[\d;]*m")


def terminal_chart(
    results: "Results",
    metric: "Names | None" = None,
    assets: "Names | int | None" = None,
    *,
    by: str = "asset",
    width: int = 80,
    height: int = 20,
    colour: bool = True,
) -> str:
    """Draw a metric over time as lines of text, for at most 6 assets, and 1 in 10 lines, the default.

    Raises:
        UsageError: there is nothing to draw, the terminal is too small, or there are too many assets.
        MissingExtraError: plotext is not installed; the extra `plots` installs it.
    """
    require_size(width, height)
    from kayrros_ext.plots.data import read

    most = min(len(COLOURS), height - 9)  # a line each in the legend, below a plot of at least four lines and its frame
    data = read(results, metric, assets, by=by, limit=most)
    names, label = [*data.assets], data.labels[0]
    if len(data.labels) > 1:
        hint = "Draw one metric at a time, or write a picture to a file."
        raise UsageError(f"A terminal has room for one metric, not {len(data.labels)}.", hint=hint)
    if len(names) > most:
        raise UsageError(
            f"{len(names)} assets are too many for a terminal, which has room for {most}.",
            hint="Pass fewer assets, or write a picture to a file.",
            hint_cli="Select assets with --asset, or write a picture with --output.",
        )
    title = f"{label}, {data.period}. {' '.join(data.notes)}".strip()
    heading = [shorten(text, width) for text in (printable(results.dataset_name or ""), title) if text]
    signs = [f"\x1b[38;5;{code}m━━\x1b[0m " for code in COLOURS] if colour else [f"{mark * 2} " for mark in MARKERS]
    legend = [sign + shorten(name, width - 4) for sign, name in zip(signs, names, strict=False)]
    chart = _draw(data, width, height - len(names) - len(heading), colour=colour)
    return "\n".join([*heading, *(line.rstrip() for line in chart.split("\n")), *legend])


def require_size(width: int, height: int) -> None:
    """Check that a terminal has room for a chart. Raises UsageError if it is too small."""
    if width < 40 or height < 10:
        raise UsageError(
            f"{width} columns and {height} lines are too small for a chart.",
            hint="Pass at least 40 columns and 10 lines, or write a picture to a file.",
            hint_cli="Enlarge the terminal to 40 columns and 12 lines, or write a picture with --output.",
        )


def _draw(data: "ChartData", width: int, height: int, *, colour: bool) -> str:
    from kayrros_ext._results.convert import import_optional
    from kayrros_ext.plots.data import thin, to_ms

    plotext: Any = import_optional("plotext", extra="plots")
    # A letter of braille has two dots side by side, and a line four points in a dot at most.
    points, times = thin(data.points, (width - 10) / 2), to_ms(data.dates)
    step, margin = max(-(-len(times) // max(2, (width - 10) // 16)), 1), 86_400_000 * (len(times) == 1)
    values = nice_ticks(float(points["value"].min()), float(points["value"].max()), max(2, min(6, height // 3)))
    figure = plotext.figure
    figure.clear()
    for (name, _), line in points.groupby(["asset", "part"], sort=False):
        number = [*data.assets].index(name)
        marker = plotext.marker("braille" if colour else MARKERS[number], COLOURS[number])
        signal = figure.signal(to_ms(line["date"]), line["value"].tolist(), marker=marker)
        figure.draw(signal.lines() if len(line) > 1 else signal)
    figure.ruler("x").lim(times[0] - margin, times[-1] + margin)
    figure.ruler("x").ticks(times[::step], [*map(format_day, data.dates[::step])])
    figure.ruler("y").lim(values[0], values[-1])
    figure.ruler("y").ticks(values, [*map(format_short, values)])
    figure.plot_size(width, height)
    text: str = figure.build().string(colorless=not colour)
    return PLOTEXT_STYLES.sub("", text).rstrip("\n")


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers, the first not above `low` and the last not below `high`."""
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
    raw = high / count - low / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]
