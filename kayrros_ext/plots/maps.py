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
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, MaxNLocator

from kayrros_ext._results.units import unit_of
from kayrros_ext._text import plural, shorten
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.coastline import Points, land_within, polar_land, project_polar
from kayrros_ext.plots.figures import (
    LETTER_WIDTH,
    HoverData,
    ThousandsFormatter,
    add_title_and_legend,
    join_notes,
    new_figure,
    style_axes,
)
from kayrros_ext.plots.labels import axis_label, invalid_choice
from kayrros_ext.plots.map_layout import MIN_LATITUDE_SPAN, MapLayout, layout_map, longitude_scale, surrounded_pole
from kayrros_ext.plots.series import ChartData, Series
from kayrros_ext.plots.themes import Theme

Statistic = Literal["latest", "mean"]
# Inches.
COLORBAR_WIDTH = 0.13
# Points of a coast per inch. More make a file large, and nobody sees them.
SIMPLIFY_STEPS = 130
# Square points.
MIN_MARKER_SIZE, MAX_MARKER_SIZE = 22.0, 170.0


@attrs.frozen(eq=False)
class MapPoint:
    """An asset on the map.

    Attributes:
        name: of the asset.
        x, y: longitude and latitude.
        value: the value that colours it, or NaN.
        date_ms: epoch milliseconds of the value; None for a mean.
    """

    name: str
    x: float
    y: float
    value: float
    date_ms: int | None


def draw(
    data: ChartData,
    theme: Theme,
    *,
    statistic: Statistic = "latest",
    title: str | None = None,
    size: tuple[float, float] | None = None,
) -> tuple[Figure, list[HoverData]]:
    """Draw assets on a map; return the figure and its hover data.

    Raises:
        UsageError: no asset has a centroid, or the statistic does not exist.
    """
    if statistic not in get_args(Statistic):
        raise invalid_choice("statistic", statistic, list(get_args(Statistic)))
    points = [_map_point(one, *one.centroid, statistic) for one in data.series if one.centroid]
    if not points:
        raise UsageError(
            "No asset has a centroid, so a map would be empty.", hint="Omit map=True.", hint_cli="Omit --map."
        )
    # Draw large markers first, so that small ones stay visible.
    points.sort(key=lambda point: (not np.isnan(point.value), -abs(point.value)))
    x, y, values = (np.array([getattr(point, name) for point in points]) for name in ("x", "y", "value"))
    pole = surrounded_pole(x, y)
    layout = layout_map(x, y, pole, size)
    figure = new_figure(layout.size, theme)
    axes = figure.subplots()
    axes.set_anchor("E" if layout.has_side_colorbar else "S")  # next to the colorbar
    if pole:
        positions = _draw_polar(axes, pole, x, y, theme=theme, width=layout.map_size[0])
    else:
        positions = _draw_flat(axes, layout, x, y, theme)
    _draw_markers(axes, positions, values, theme)
    if np.isfinite(values).any():
        _draw_colorbar(axes, values, metric=data.metric, layout=layout, theme=theme)
    label = axis_label(data.metric)
    add_title_and_legend(
        figure,
        theme,
        title=title
        or f"{label[:1].upper()}{label[1:]}, {'latest' if statistic == 'latest' else 'mean'} value per asset",
        notes=_notes(data, len(points)),
        keys=[(_hollow_marker(theme), "no value")] if np.isnan(values).any() else [],
        min_height=layout.map_size[1] + (0.4 if layout.has_side_colorbar else 1.1),
    )
    hover = [
        HoverData(0, point.name, [float(px)], [float(py)], [point.date_ms], [point.value])
        for point, (px, py) in zip(points, positions, strict=True)
    ]
    return figure, hover


def _map_point(series: Series, x: float, y: float, statistic: Statistic) -> MapPoint:
    valid = np.flatnonzero(np.isfinite(series.values))
    if not len(valid):
        return MapPoint(series.label, x, y, np.nan, None)
    if statistic == "latest":
        date_ms = int(series.dates[valid[-1]].astype("datetime64[ms]").astype(int))
        return MapPoint(series.label, x, y, float(series.values[valid[-1]]), date_ms)
    return MapPoint(series.label, x, y, float(np.sum(series.values[valid] / len(valid))), None)


def _draw_flat(axes: Axes, layout: MapLayout, x: Points, y: Points, theme: Theme) -> Points:
    """Draw an equirectangular map, true to scale in its middle; return the positions of the assets."""
    west, south, east, north = layout.extent
    style_axes(axes, theme)
    axes.set_facecolor(theme.sea)
    axes.spines[["top", "right"]].set_visible(True)
    axes.spines[:].set_color(theme.coast)
    if outline := land_within(layout.extent, (east - west) / layout.map_size[0] / SIMPLIFY_STEPS):
        axes.add_patch(_land_patch(outline, theme))
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(1 / longitude_scale(south, north))
    max_ticks = max(2, min(int(layout.map_size[0] / 0.75), 8))
    axes.xaxis.set_major_locator(MaxNLocator(max_ticks, steps=_grid_steps(east - west)))
    axes.yaxis.set_major_locator(MaxNLocator(min(max_ticks, 6), steps=_grid_steps(north - south)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees((value + 180) % 360 - 180, "E", "W")))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _degrees(value, "N", "S")))
    return np.column_stack([west + np.mod(x - west, 360.0), y])


def _grid_steps(degrees: float) -> list[float]:
    """Return steps of a grid; those of a large map divide 360."""
    return [1, 1.5, 3, 6, 10] if degrees > 60 else [1, 2, 5, 10]


def _draw_polar(axes: Axes, pole: int, x: Points, y: Points, *, theme: Theme, width: float) -> Points:
    """Draw a map around a pole, true to scale along the meridians; return the positions of the assets."""
    radius = max(float(90 - (y * pole).min()) * 1.2, MIN_LATITUDE_SPAN)
    axes.set_facecolor(theme.sea)
    axes.set_aspect("equal")
    axes.add_patch(_land_patch(polar_land(pole, 2 * radius / width / SIMPLIFY_STEPS), theme))
    axes.set_xlim(-radius, radius)
    axes.set_ylim(-radius, radius)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color(theme.coast)
    line_style: dict[str, Any] = {"color": theme.coast, "alpha": 0.5, "linewidth": 0.7, "zorder": 1.5}
    label_style: dict[str, Any] = {"size": 8, "color": theme.muted, "zorder": 1.6}
    longitudes = np.linspace(-180, 180, 181)
    for distance in MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, radius)[1:]:
        latitude = (90 - distance) * pole
        axes.plot(*project_polar(pole, longitudes, np.full_like(longitudes, latitude)).T, **line_style)
        if distance < radius:
            [position] = project_polar(pole, np.array([45.0]), np.array([latitude]))
            axes.annotate(_degrees(latitude, "N", "S"), position, **label_style)
    for longitude in range(-180, 180, 45):
        meridian = project_polar(pole, np.full(2, float(longitude)), np.array([90.0, 0.0]) * pole)
        axes.plot(*meridian.T, **line_style)
        edge = meridian[1] / np.abs(meridian[1]).max() * radius * 0.93
        axes.annotate(_degrees(longitude, "E", "W"), edge, ha="center", va="center", **label_style)
    return project_polar(pole, x, y)


def _land_patch(outline: Outline, theme: Theme) -> PathPatch:
    return PathPatch(outline, facecolor=theme.land, edgecolor=theme.coast, linewidth=0.6, zorder=0.5)


def _colour_scale(values: Points) -> ScalarMappable:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    norm = Normalize(low, high) if high > low else Normalize(low - 1, high + 1)
    # Without its ends, which are invisible on a light or a dark background.
    colours = colormaps["viridis"](np.linspace(0.12, 0.97, 64))
    return ScalarMappable(norm, LinearSegmentedColormap.from_list("kayrros", colours))


def _draw_markers(axes: Axes, positions: Points, values: Points, theme: Theme) -> None:
    valid = np.isfinite(values)
    x, y = positions[~valid].T
    axes.scatter(x, y, s=MIN_MARKER_SIZE, facecolors="none", edgecolors=theme.muted, linewidths=1.0, zorder=3)
    if not valid.any():
        return
    x, y = positions[valid].T
    magnitudes = np.abs(values[valid]) / (np.abs(values[valid]).max() or 1.0)
    sizes = MIN_MARKER_SIZE + (MAX_MARKER_SIZE - MIN_MARKER_SIZE) * magnitudes
    colours = _colour_scale(values).to_rgba(values[valid])
    axes.scatter(x, y, s=sizes, c=colours, edgecolors=theme.muted, linewidths=0.5, alpha=0.9, zorder=4)


def _draw_colorbar(axes: Axes, values: Points, *, metric: str, layout: MapLayout, theme: Theme) -> None:
    side = layout.has_side_colorbar
    length, across = layout.map_size[::-1] if side else layout.map_size
    colorbar = axes.figure.colorbar(
        _colour_scale(values),
        ax=axes,
        location="right" if side else "bottom",
        shrink=layout.colorbar_shrink,
        aspect=length * 0.9 / COLORBAR_WIDTH,
        fraction=COLORBAR_WIDTH / across,  # matplotlib's default takes several times the room
        pad=0.02,
        format=ThousandsFormatter(),
    )
    colorbar.outline.set_visible(False)
    colorbar.ax.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=8, length=3)
    colorbar.long_axis.get_offset_text().set(color=theme.muted, size=8)
    max_ticks = max(2, min(int(length / (0.6 if side else 0.9)), 7))
    colorbar.locator = MaxNLocator(max_ticks, steps=[1, 2, 2.5, 5, 10])
    if np.nanmin(values) == np.nanmax(values):
        colorbar.set_ticks([float(np.nanmin(values))])
    label = axis_label(metric, max(int(length / LETTER_WIDTH), 20))
    colorbar.set_label(label, size=9, color=theme.ink, parse_math=False)


def _hollow_marker(theme: Theme) -> Line2D:
    return Line2D(
        [], [], linestyle="none", marker="o", markersize=5, markerfacecolor="none", markeredgecolor=theme.muted
    )


def _degrees(degrees: float, positive: str, negative: str) -> str:
    size = round(abs(degrees), 4)
    return f"{size:g}°{'' if size in {0, 180} else positive if degrees > 0 else negative}"


def _notes(data: ChartData, drawn: int) -> str:
    notes = []
    if data.is_truncated:
        notes.append(f"{len(data.series)} of {data.total_assets:,} assets: the largest by mean absolute value")
    if missing := len(data.series) - drawn:
        notes.append(f"{missing:,} of {plural(len(data.series), 'asset')} not shown, for lack of a centroid")
    notes.append("colour and size show the value")
    if unit_of(data.metric):
        notes.append(f"unit derived from the metric name, {shorten(data.metric, 60)}")
    notes.append("coast: Natural Earth")
    return join_notes(notes)
