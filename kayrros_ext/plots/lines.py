"""The values of a metric over time: lines in one chart, or a small chart for each asset."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from kayrros_ext.errors import UsageError
from kayrros_ext.plots.figures import LEAST, LETTER, Point, Thousands, begin, dress, frame, write
from kayrros_ext.plots.series import MOST_LINES, MOST_PANELS, Selection, Series
from kayrros_ext.plots.themes import Theme
from kayrros_ext.plots.words import label, short, unit

SIZE = (10.0, 5.2)
# Inches, of one chart of many: its height, and its width at least.
PANEL_HEIGHT, NARROWEST = 1.35, 1.6
MARKERS = ("o", "s", "^", "D", "v", "P")
# Up to so many dates each has a mark of its own; beyond that they would be a band.
MOST_MARKS = 60
# The furthest that a value may be from 0: matplotlib adds margins, which must still be numbers.
FURTHEST = 1e300


def draw(
    chosen: Selection, theme: Theme, *, title: str | None = None, size: tuple[float, float] | None = None
) -> tuple[Figure, list[Point]]:
    """The figure, and what is said of its points.

    Raises:
        UsageError: there are more assets than a picture has room for, or values that can't be drawn.
    """
    series = chosen.series
    if len(series) > MOST_PANELS:
        raise UsageError(
            f"{len(series)} assets are too many for one picture, which has room for {MOST_PANELS}. Give ids or names as "
            "assets, a number for so many of the largest, or draw a map."
        )
    if any(np.nanmax(np.abs(one.values), initial=0) > FURTHEST for one in series):
        raise UsageError(f"{chosen.metric!r} has values beyond {FURTHEST:g}, which can't be drawn.")
    many = len(series) > MOST_LINES
    width, height = size or SIZE
    room = [columns for columns in (5, 4, 3) if columns * NARROWEST <= width] or [2]
    columns = min(room, key=lambda columns: -len(series) % columns) if many else 1
    rows = -(-len(series) // columns) if many else 1
    least = (NARROWEST * 0.75 if size else PANEL_HEIGHT) * rows if many else LEAST
    figure = begin((width, height), theme)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    points = []
    for number, one in enumerate(series):
        axes, colour = (panels[number], 0) if many else (panels[0], number)
        _line(axes, chosen, one, theme, colour)
        points.append(_points(one, number if many else 0, colour))
        if many:
            write(
                axes.set_title("", size=8, loc="left", pad=3),
                short(one.name, int((width - 0.5) / columns / 0.085)),
                theme.ink,
            )
    for number, axes in enumerate(panels):
        mine = series[number : number + 1] if many else series
        axes.set_visible(bool(mine))
        _dates_and_values(axes, (width / columns, max(height - 1, least) / rows), many=many, theme=theme)
        if many and number + columns < len(series):
            axes.tick_params(labelbottom=False)
            axes.xaxis.get_offset_text().set_visible(False)
        for start, stop in chosen.spans(*mine):
            axes.axvspan(date2num(start), date2num(stop), color=theme.gap, zorder=0.5)
    _limit(panels[0], chosen)
    keys: list[tuple[Line2D | Patch, str]] = (
        [] if many or len(series) == 1 else [(_key(theme, number), one.name) for number, one in enumerate(series)]
    )
    if any(True for _ in chosen.spans(*series)):
        keys.append((Patch(color=theme.gap), "could not be had"))
    words, beside = label(chosen.metric), label(chosen.metric, int(max(height - 1.2, least) / LETTER))
    figure.supylabel("" if not many else beside, size=9, color=theme.ink, parse_math=False)
    if not many:
        panels[0].set_ylabel(beside, size=9, color=theme.ink, parse_math=False)
    named = f"{words.capitalize()} of {series[0].name}" if len(series) == 1 else words[:1].upper() + words[1:]
    frame(figure, theme, title=title or named, notes=_notes(chosen), keys=keys, least=least)
    return figure, points


def _line(axes: Axes, chosen: Selection, one: Series, theme: Theme, colour: int) -> None:
    dates, values = chosen.lines(one)
    there = np.isfinite(values)
    # With nothing on either side, no line shows that a value is there.
    alone = there & ~np.append(there[1:], False) & ~np.append(False, there[:-1])
    few = len(one.dates) <= MOST_MARKS
    axes.plot(
        dates,
        values,
        color=theme.lines[colour],
        linewidth=1.4,
        marker=MARKERS[colour],
        markersize=3.5 if len(one.dates) > 2 else 6,
        markeredgewidth=0,
        markevery=None if few else np.flatnonzero(alone).tolist(),
        solid_joinstyle="round",
        zorder=3 - colour / 10,
    )


def _points(one: Series, axes: int, colour: int) -> Point:
    there = np.isfinite(one.values)
    values, moments = one.values[there].tolist(), one.dates[there]
    said = list(zip(moments.astype("datetime64[ms]").astype(int).tolist(), values, strict=True))
    return Point(axes, one.name, date2num(moments).tolist(), values, said, colour)


def _dates_and_values(axes: Axes, size: tuple[float, float], *, many: bool, theme: Theme) -> None:
    """As many of both as so many inches have room for."""
    dress(axes, theme)
    # Of 2 n + 1 ticks at most, n can be had of any range: of months, the largest step is half a year.
    fewest = max(1, min(int(size[0] / (0.5 if many else 0.7)) // 2, 2 if many else 4))
    dates = AutoDateLocator(minticks=fewest, maxticks=2 * fewest + 1)
    axes.xaxis.set_major_locator(dates)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(dates))
    axes.xaxis.get_offset_text().set(color=theme.muted, size=8)
    axes.yaxis.set_major_locator(
        MaxNLocator(max(2, min(int(size[1] / 0.35), 4 if many else 7)), steps=[1, 2, 2.5, 5, 10])
    )
    axes.yaxis.set_major_formatter(Thousands())
    axes.yaxis.get_offset_text().set(color=theme.muted, size=8)
    if many:
        axes.tick_params(labelsize=7)
        axes.xaxis.get_offset_text().set(size=7)


def _limit(axes: Axes, chosen: Selection) -> None:
    """From the first date to the last, and what could not be had as far as it lies between or near."""
    dates = np.concatenate([one.dates for one in chosen.series])
    first, last = date2num(dates.min()), date2num(dates.max())
    for start, stop in chosen.spans(*chosen.series):
        first, last = min(first, date2num(start)), max(last, date2num(stop))
    if first == last:  # one date is told in full: there is nothing to tell it from
        text = str(dates.min().astype("datetime64[m]")).replace("T00:00", "").replace("T", " ")
        axes.set_xticks([first], [text])
    margin = (last - first) * 0.02 or 3
    ends = [date2num(np.datetime64(day)) for day in ("0001-01-01", "9999-12-31")]  # matplotlib knows no others
    axes.set_xlim(max(first - margin, ends[0]), min(last + margin, max(last, ends[1])))


def _key(theme: Theme, number: int) -> Line2D:
    return Line2D(
        [], [], color=theme.lines[number], marker=MARKERS[number], markersize=4, linewidth=2, markeredgewidth=0
    )


def _notes(chosen: Selection) -> str:
    count = len(chosen.series)
    notes = []
    if chosen.is_cut:
        notes.append(f"{count} of {chosen.total:,} assets: the largest by mean absolute value")
    if chosen.step and any(np.isnan(chosen.lines(one)[1]).any() for one in chosen.series):
        days = chosen.step.total_seconds() / 86400
        step = f"{days:g} days" if days != 1 else "day"
        notes.append(f"a line breaks where values are missing; the usual step is {step if days != 1 else 'a day'}")
    if chosen.left_out:
        notes.append(f"{chosen.left_out:,} rows have no date")
    if unit(chosen.metric)[1]:
        notes.append(f"the unit is read off the metric's name, {short(chosen.metric, 60)}")
    text = "; ".join(notes)
    return text[:1].upper() + text[1:]
