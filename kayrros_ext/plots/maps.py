"""Assets at their centroids, on a map that needs no download."""

from typing import Any, Literal, get_args

import attrs
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kayrros_ext.errors import UsageError
from kayrros_ext.plots.figures import LETTER, Point, Thousands, begin, dress, frame
from kayrros_ext.plots.land import Points, about, around, within
from kayrros_ext.plots.series import Selection, Series
from kayrros_ext.plots.sheets import LEAST, Sheet, narrowing, pole_of, sheet_for
from kayrros_ext.plots.themes import Theme
from kayrros_ext.plots.words import label, refuse, short, unit

Statistic = Literal["latest", "mean"]
# Inches of the scale of colours, across.
THICK = 0.13
# Points of a coast in an inch: more are not seen, and make a file large.
GRAIN = 130
# Points of area of the smallest and the largest mark.
SMALLEST, LARGEST = 22.0, 170.0


@attrs.frozen(eq=False)
class Place:
    """An asset on the map.

    Attributes:
        name: of the asset.
        x, y: longitude and latitude.
        value: what colours it; NaN where there is none.
        when: epoch milliseconds of the value, None of a mean.
    """

    name: str
    x: float
    y: float
    value: float
    when: int | None


def draw(
    chosen: Selection,
    theme: Theme,
    *,
    statistic: Statistic = "latest",
    title: str | None = None,
    size: tuple[float, float] | None = None,
) -> tuple[Figure, list[Point]]:
    """The figure, and what is said of its points.

    Raises:
        UsageError: no asset has a centroid, or the statistic is none of those there are.
    """
    if statistic not in get_args(Statistic):
        raise refuse("statistic", statistic, list(get_args(Statistic)))
    places = [_place(one, statistic) for one in chosen.series if one.place]
    if not places:
        raise UsageError("No asset has a centroid, and so none has a place on a map. Leave out map=True.")
    # The large ones below the small ones.
    places.sort(key=lambda place: (not np.isnan(place.value), -abs(place.value)))
    x, y = (np.array([getattr(place, axis) for place in places]) for axis in "xy")
    pole = pole_of(x, y)
    sheet = sheet_for(x, y, pole, size)
    figure = begin(sheet.size, theme)
    axes = figure.subplots()
    axes.set_anchor("E" if sheet.is_wide else "S")  # next to the scale of colours
    at = _polar(axes, pole, x, y, theme, width=sheet.map[0]) if pole else _flat(axes, sheet, x, y, theme)
    values = np.array([place.value for place in places])
    there = np.isfinite(values)
    _marks(axes, at, values, metric=chosen.metric, sheet=sheet, theme=theme)
    keys = [] if there.all() else [(_hollow(theme), "no value")]
    words = label(chosen.metric)
    what = f"{words[:1].upper()}{words[1:]}, {'latest value' if statistic == 'latest' else 'mean'} of each asset"
    notes = _notes(chosen, len(places))
    frame(
        figure, theme, title=title or what, notes=notes, keys=keys, least=sheet.map[1] + (0.4 if sheet.is_wide else 1.1)
    )
    points = [
        Point(0, place.name, [float(px)], [float(py)], [(place.when, place.value)])
        for place, (px, py) in zip(places, at, strict=True)
    ]
    return figure, points


def _place(one: Series, statistic: Statistic) -> Place:
    x, y = one.place or (np.nan, np.nan)
    there = np.flatnonzero(np.isfinite(one.values))
    if not len(there):
        return Place(one.name, x, y, np.nan, None)
    if statistic == "latest":
        when = int(one.dates[there[-1]].astype("datetime64[ms]").astype(int))
        return Place(one.name, x, y, float(one.values[there[-1]]), when)
    return Place(one.name, x, y, float(np.sum(one.values[there] / len(there))), None)


def _flat(axes: Axes, sheet: Sheet, x: Points, y: Points, theme: Theme) -> Points:
    """Longitude across and latitude up, true in the middle of the map."""
    west, south, east, north = extent = sheet.extent
    dress(axes, theme)
    axes.set_facecolor(theme.sea)
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(theme.coast)
    if outline := within(extent, (east - west) / sheet.map[0] / GRAIN):
        axes.add_patch(_ground(outline, theme))
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(1 / narrowing(south, north))
    most = max(2, min(int(sheet.map[0] / 0.75), 8))
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=_steps(east - west)))
    axes.yaxis.set_major_locator(MaxNLocator(min(most, 6), steps=_steps(north - south)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda degrees, _: _degrees((degrees + 180) % 360 - 180, "E", "W")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda degrees, _: _degrees(degrees, "N", "S")))
    return np.column_stack([west + np.mod(x - west, 360.0), y])


def _steps(degrees: float) -> list[float]:
    """Of a grid: parts of 360 where much of it is there."""
    return [1, 1.5, 3, 6, 10] if degrees > 60 else [1, 2, 5, 10]


def _polar(axes: Axes, pole: int, x: Points, y: Points, theme: Theme, *, width: float) -> Points:
    """Around a pole, true along the meridians."""
    reach = max(float(90 - (y * pole).min()) * 1.2, LEAST)
    axes.set_facecolor(theme.sea)
    axes.set_aspect("equal")
    axes.add_patch(_ground(around(pole, 2 * reach / width / GRAIN), theme))
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(theme.coast)
    circle = np.linspace(-180, 180, 181)
    for radius in MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, reach)[1:]:
        latitude = np.full_like(circle, (90 - radius) * pole)
        axes.plot(*about(pole, circle, latitude).T, color=theme.coast, alpha=0.5, linewidth=0.7, zorder=1.5)
        if radius < reach:
            at = about(pole, np.array([45.0]), np.array([(90 - radius) * pole]))[0]
            axes.annotate(_degrees((90 - radius) * pole, "N", "S"), at, size=8, color=theme.muted, zorder=1.6)
    for longitude in range(-180, 180, 45):
        line = about(pole, np.full(2, float(longitude)), np.array([90.0, 0.0]) * pole)
        axes.plot(*line.T, color=theme.coast, alpha=0.5, linewidth=0.7, zorder=1.5)
        edge = line[1] / np.abs(line[1]).max() * reach * 0.93
        axes.annotate(
            _degrees(longitude, "E", "W"), edge, size=8, color=theme.muted, ha="center", va="center", zorder=1.6
        )
    return about(pole, x, y)


def _ground(outline: Outline, theme: Theme) -> PathPatch:
    return PathPatch(outline, facecolor=theme.land, edgecolor=theme.coast, linewidth=0.6, zorder=0.5)


def _marks(axes: Axes, at: Points, values: Points, *, metric: str, sheet: Sheet, theme: Theme) -> None:
    there = np.isfinite(values)
    empty: dict[str, Any] = {"facecolors": "none", "edgecolors": theme.muted, "linewidths": 1.0, "zorder": 3}
    axes.scatter(at[~there, 0], at[~there, 1], s=SMALLEST, **empty)
    if not there.any():
        return
    low, high = float(values[there].min()), float(values[there].max())
    norm = Normalize(low, high) if high > low else Normalize(low - 1, high + 1)
    # Both ends of the colour map would vanish on one of the papers.
    colours = LinearSegmentedColormap.from_list("kayrros", colormaps["viridis"](np.linspace(0.12, 0.97, 64)))
    largest = np.abs(values[there]).max() or 1.0
    sizes = SMALLEST + (LARGEST - SMALLEST) * np.abs(values[there]) / largest
    edge: dict[str, Any] = {"edgecolors": theme.muted, "linewidths": 0.5, "alpha": 0.9, "zorder": 4}
    axes.scatter(at[there, 0], at[there, 1], s=sizes, c=colours(norm(values[there])), **edge)
    _scale(
        axes, ScalarMappable(norm, colours), metric=metric, sheet=sheet, theme=theme, only=low if low == high else None
    )


def _scale(axes: Axes, colours: ScalarMappable, *, metric: str, sheet: Sheet, theme: Theme, only: float | None) -> None:
    """What the colours mean."""
    length, beside = sheet.map[::-1] if sheet.is_wide else sheet.map
    bar = axes.figure.colorbar(
        colours,
        ax=axes,
        location="right" if sheet.is_wide else "bottom",
        shrink=sheet.scale,
        aspect=length * 0.9 / THICK,
        fraction=THICK / beside,  # of the map: by itself, it takes room for several
        pad=0.02,
        format=Thousands(),
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=8, length=3)
    bar.long_axis.get_offset_text().set(color=theme.muted, size=8)
    bar.locator = MaxNLocator(max(2, min(int(length / (0.6 if sheet.is_wide else 0.9)), 7)), steps=[1, 2, 2.5, 5, 10])
    if only is not None:
        bar.set_ticks([only])
    bar.set_label(label(metric, max(int(length / LETTER), 20)), size=9, color=theme.ink, parse_math=False)


def _hollow(theme: Theme) -> Line2D | Patch:
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=5, markerfacecolor="none", markeredgecolor=theme.muted
    )


def _degrees(degrees: float, above: str, below: str) -> str:
    size = round(abs(degrees), 4)
    return f"{size:g}°{'' if size in {0, 180} else above if degrees > 0 else below}"


def _notes(chosen: Selection, placed: int) -> str:
    notes = []
    if chosen.is_cut:
        notes.append(f"{len(chosen.series)} of {chosen.total:,} assets: the largest by mean absolute value")
    if missing := len(chosen.series) - placed:
        notes.append(f"{missing:,} of {len(chosen.series):,} assets have no centroid, and no place here")
    notes.append("colour and size: the value")
    if unit(chosen.metric)[1]:
        notes.append(f"the unit is read off the metric's name, {short(chosen.metric, 60)}")
    notes.append("coast: Natural Earth")
    text = "; ".join(notes)
    return text[:1].upper() + text[1:]
