"""Values over time: lines in one chart, or a small chart for each asset."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kayrros_ext._results.units import unit_of
from kayrros_ext._text import plural, shorten
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.figures import (
    LETTER_WIDTH,
    MIN_HEIGHT,
    HoverData,
    ThousandsFormatter,
    add_title_and_legend,
    join_notes,
    new_figure,
    set_text,
    style_axes,
)
from kayrros_ext.plots.labels import axis_label
from kayrros_ext.plots.series import MAX_LINES, MAX_PANELS, ChartData, Series
from kayrros_ext.plots.themes import Theme

DEFAULT_SIZE = (10.0, 5.2)
# Inches.
PANEL_HEIGHT, MIN_PANEL_WIDTH = 1.35, 1.6
MARKERS = ("o", "s", "^", "D", "v", "P")
# A longer line has no marks on its dates, because they would merge into a band.
MAX_MARKED_DATES = 60
# matplotlib adds margins to larger values, and overflows.
MAX_VALUE = 1e300


def draw(
    data: ChartData, theme: Theme, *, title: str | None = None, size: tuple[float, float] | None = None
) -> tuple[Figure, list[HoverData]]:
    """Draw values over time; return the figure and its hover data.

    Raises:
        UsageError: there are too many assets for one picture, or values that can't be drawn.
    """
    series = data.series
    _check(data)
    has_panels = len(series) > MAX_LINES
    width, height = size or DEFAULT_SIZE
    columns = _panel_columns(len(series), width) if has_panels else 1
    rows = -(-len(series) // columns) if has_panels else 1
    min_height = (MIN_PANEL_WIDTH * 0.75 if size else PANEL_HEIGHT) * rows if has_panels else MIN_HEIGHT
    figure = new_figure((width, height), theme)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    hover = []
    for index, one in enumerate(series):
        axes, colour = (panels[index], 0) if has_panels else (panels[0], index)
        _draw_line(axes, data, one, theme, colour)
        hover.append(_hover_data(one, index if has_panels else 0, colour))
        if has_panels:
            name = shorten(one.label, int((width - 0.5) / columns / 0.085))
            set_text(axes.set_title("", size=8, loc="left", pad=3), name, theme.ink)
    for index, axes in enumerate(panels):
        shown = series[index : index + 1] if has_panels else series
        axes.set_visible(bool(shown))
        panel_size = (width / columns, max(height - 1, min_height) / rows)
        _style_dates_and_values(axes, panel_size, is_panel=has_panels, theme=theme)
        if has_panels and index + columns < len(series):
            axes.tick_params(labelbottom=False)
            axes.xaxis.get_offset_text().set_visible(False)
        for start, stop in data.gap_spans(*shown):
            axes.axvspan(date2num(start), date2num(stop), color=theme.gap, zorder=0.5)
    _set_date_range(panels[0], data)
    y_label = axis_label(data.metric, int(max(height - 1.2, min_height) / LETTER_WIDTH))
    figure.supylabel(y_label if has_panels else "", size=9, color=theme.ink, parse_math=False)
    if not has_panels:
        panels[0].set_ylabel(y_label, size=9, color=theme.ink, parse_math=False)
    add_title_and_legend(
        figure,
        theme,
        title=title or _default_title(data),
        notes=_notes(data),
        keys=_legend_keys(data, theme),
        min_height=min_height,
    )
    return figure, hover


def _check(data: ChartData) -> None:
    if len(data.series) > MAX_PANELS:
        raise UsageError(
            f"{len(data.series)} assets are too many for one picture, which has room for {MAX_PANELS}.",
            hint="Pass ids or names as assets, a number to draw that many of the largest, or map=True.",
            hint_cli="Select assets with --asset, or draw a map with --map.",
        )
    if any(np.nanmax(np.abs(one.values), initial=0) > MAX_VALUE for one in data.series):
        raise UsageError(f"{data.metric!r} has values beyond {MAX_VALUE:g}, which can't be drawn.")


def _panel_columns(count: int, width: float) -> int:
    """Return the number of columns that leaves the fewest places empty."""
    candidates = [columns for columns in (5, 4, 3) if columns * MIN_PANEL_WIDTH <= width] or [2]
    return min(candidates, key=lambda columns: -count % columns)


def _draw_line(axes: Axes, data: ChartData, series: Series, theme: Theme, colour: int) -> None:
    dates, values = data.with_breaks(series)
    valid = np.isfinite(values)
    # A value between two breaks has no line, so it gets a mark.
    isolated = valid & ~np.append(valid[1:], False) & ~np.append(False, valid[:-1])
    mark_all = len(series.dates) <= MAX_MARKED_DATES
    axes.plot(
        dates,
        values,
        color=theme.lines[colour],
        linewidth=1.4,
        marker=MARKERS[colour],
        markersize=3.5 if len(series.dates) > 2 else 6,
        markeredgewidth=0,
        markevery=None if mark_all else np.flatnonzero(isolated).tolist(),
        solid_joinstyle="round",
        zorder=3 - colour / 10,
    )


def _hover_data(series: Series, axes: int, colour: int) -> HoverData:
    valid = np.isfinite(series.values)
    values, dates = series.values[valid].tolist(), series.dates[valid]
    dates_ms = dates.astype("datetime64[ms]").astype(int).tolist()
    return HoverData(axes, series.label, date2num(dates).tolist(), values, dates_ms, values, colour)


def _style_dates_and_values(axes: Axes, size: tuple[float, float], *, is_panel: bool, theme: Theme) -> None:
    """Style the axes, with as many ticks as fit a size in inches."""
    style_axes(axes, theme)
    # AutoDateLocator finds n of at most 2 n + 1 ticks for any range; for months, its largest step is half a year.
    min_ticks = max(1, min(int(size[0] / (0.5 if is_panel else 0.7)) // 2, 2 if is_panel else 4))
    dates = AutoDateLocator(minticks=min_ticks, maxticks=2 * min_ticks + 1)
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    axes.xaxis.get_offset_text().set(color=theme.muted, size=8)
    max_ticks = max(2, min(int(size[1] / 0.35), 4 if is_panel else 7))
    axes.yaxis.set_major_locator(MaxNLocator(max_ticks, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(ThousandsFormatter())
    axes.yaxis.get_offset_text().set(color=theme.muted, size=8)
    if is_panel:
        axes.tick_params(labelsize=7)
        axes.xaxis.get_offset_text().set(size=7)


def _set_date_range(axes: Axes, data: ChartData) -> None:
    """Show all dates and all gaps, with a margin."""
    dates = np.concatenate([one.dates for one in data.series])
    first, last = date2num(dates.min()), date2num(dates.max())
    for start, stop in data.gap_spans(*data.series):
        first, last = min(first, date2num(start)), max(last, date2num(stop))
    if first == last:  # a concise label needs a second date for context
        text = str(dates.min().astype("datetime64[m]")).replace("T00:00", "").replace("T", " ")
        axes.set_xticks([first], [text])
    margin = (last - first) * 0.02 or 3
    lower, upper = (date2num(np.datetime64(day)) for day in ("0001-01-01", "9999-12-31"))  # matplotlib's limits
    axes.set_xlim(max(first - margin, lower), min(last + margin, max(last, upper)))


def _legend_keys(data: ChartData, theme: Theme) -> list[tuple[Line2D | Patch, str]]:
    keys: list[tuple[Line2D | Patch, str]] = []
    if 1 < len(data.series) <= MAX_LINES:
        for marker, colour, one in zip(MARKERS, theme.lines, data.series, strict=False):
            line = Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=2, markeredgewidth=0)
            keys.append((line, one.label))
    if any(True for _ in data.gap_spans(*data.series)):
        keys.append((Patch(color=theme.gap), "unavailable"))
    return keys


def _default_title(data: ChartData) -> str:
    label = axis_label(data.metric)
    if len(data.series) == 1:
        return f"{label.capitalize()} of {data.series[0].label}"
    return label[:1].upper() + label[1:]


def _notes(data: ChartData) -> str:
    notes = []
    if data.is_truncated:
        notes.append(f"{len(data.series)} of {data.total_assets:,} assets: the largest by mean absolute value")
    if data.median_step and any(np.isnan(data.with_breaks(one)[1]).any() for one in data.series):
        days = data.median_step.total_seconds() / 86400
        step = "one day" if days == 1 else f"{days:g} days"
        notes.append(f"lines break where values are missing; the median step is {step}")
    if data.undated_rows:
        notes.append(f"{plural(data.undated_rows, 'row')} without a date")
    if unit_of(data.metric):
        notes.append(f"unit derived from the metric name, {shorten(data.metric, 60)}")
    return join_notes(notes)
