"""The layout of a map: which part of the world it shows, and how map and colorbar share the picture."""

import attrs
import numpy as np

from kayrros_ext.plots.coastline import Extent, Points

DEFAULT_SIZE = (9.0, 5.6)
# Inches. The colorbar of a narrower picture goes below the map instead of to its right.
MIN_WIDTH_WITH_SIDE_COLORBAR = 6.0
# Degrees. A map shows at least this much latitude, because closer in there is rarely a coast for orientation.
MIN_LATITUDE_SPAN = 12.0
# Degrees of latitude. Assets that surround a pole from here on are drawn in a polar projection.
POLAR_LATITUDE = 60.0


@attrs.frozen(eq=False)
class MapLayout:
    """How a map and its colorbar share a picture.

    Attributes:
        size: of the picture, in inches.
        map_size: width and height of the map, in inches.
        extent: of a map that is not polar.
        has_side_colorbar: whether the colorbar is to the right of the map, not below it.
        colorbar_shrink: length of the colorbar as a fraction of the axes.
    """

    size: tuple[float, float]
    map_size: tuple[float, float]
    extent: Extent
    has_side_colorbar: bool
    colorbar_shrink: float


def layout_map(x: Points, y: Points, pole: int, size: tuple[float, float] | None) -> MapLayout:
    """Fit the largest map into a picture of this size; without a size, shrink the picture to the map."""
    width, height = size or DEFAULT_SIZE
    side = width > MIN_WIDTH_WITH_SIDE_COLORBAR
    max_width, max_height = width - (1.9 if side else 1), max(height - (1.3 if side else 2), 1.5)
    extent = map_extent(x, y, max_width / max_height)
    west, south, east, north = extent
    ratio = 1.0 if pole else 1 / longitude_scale(south, north) * (north - south) / (east - west)
    map_width = min(max_width, max_height / ratio)
    shrink = 0.9 * (map_width * ratio / max_height if side else map_width / max_width)
    if size is None:
        width, height, shrink = width - max_width + map_width, height - max_height + map_width * ratio, 0.9
    return MapLayout((width, height), (map_width, map_width * ratio), extent, side, shrink)


def surrounded_pole(x: Points, y: Points) -> int:
    """Return 1 or -1 if the assets lie around a pole or next to it, else 0."""
    for pole in (1, -1):
        if (y * pole).min() > 84 or ((y * pole).min() > POLAR_LATITUDE and 360 - _widest_gap(x)[0] > 120):
            return pole
    return 0


def _widest_gap(x: Points) -> tuple[float, float]:
    """Return the widest range of longitudes without assets, and the longitude where it ends."""
    longitudes = np.unique(np.mod(x, 360.0))
    gaps = np.diff(longitudes, prepend=longitudes[-1] - 360)
    index = int(gaps.argmax())
    return float(gaps[index]), float(longitudes[index])


def map_extent(x: Points, y: Points, aspect: float) -> Extent:
    """Return a padded extent that holds all assets and is `aspect` times as wide as high on the ground.

    The extent starts after the widest range of longitudes without assets, so it may cross the antimeridian. If the
    assets span more than half of the world, it is the whole world from -180 to 180.
    """
    gap, west = _widest_gap(x)
    width, south, north = 360 - gap, float(y.min()), float(y.max())
    if width > 180:
        west, width = -180.0, 360.0
    scale = longitude_scale(south, north)
    padded_height = max((north - south) * 1.25, MIN_LATITUDE_SPAN)
    padded_width = max(min(width * 1.2, 360.0), padded_height * aspect / scale if width < 360 else 0.0)
    padded_width = min(padded_width, 360.0)
    padded_height = max(padded_height, min(padded_width * scale / aspect, 170.0))
    centre = west + width / 2
    centre -= 360 * round(centre / 360)
    bottom = min(max((south + north) / 2 - padded_height / 2, -90.0), max(90.0 - padded_height, -90.0))
    return (centre - padded_width / 2, bottom, centre + padded_width / 2, min(bottom + padded_height, 90.0))


def longitude_scale(south: float, north: float) -> float:
    """Return the length of a degree of longitude relative to one of latitude, midway between two parallels."""
    return float(max(np.cos(np.radians(min(abs(south + north) / 2, 80))), 0.15))
