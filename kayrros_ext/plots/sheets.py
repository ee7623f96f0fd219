"""Which part of the world a map shows, and how it shares its picture with the scale of colours."""

import attrs
import numpy as np

from kayrros_ext.plots.land import Extent, Points

SIZE = (9.0, 5.6)
# Inches: below this width, the scale of colours is under the map instead of beside it.
NARROW = 6.0
# Degrees of latitude that a map shows at least: nearer, there is seldom a coast to tell where one is.
LEAST = 12.0
# From here on towards the pole, assets all around it are drawn around it.
POLAR = 60.0


@attrs.frozen(eq=False)
class Sheet:
    """How a map and its scale of colours share a picture.

    Attributes:
        size: of the picture, in inches.
        map: width and height of the map, in inches.
        extent: of a map that is not around a pole.
        is_wide: the scale is beside the map, not under it.
        scale: the length of the scale, as a part of what it could take.
    """

    size: tuple[float, float]
    map: tuple[float, float]
    extent: Extent
    is_wide: bool
    scale: float


def sheet_for(x: Points, y: Points, pole: int, size: tuple[float, float] | None) -> Sheet:
    """As large a map as the size allows; without one, as large a picture as the map wants."""
    width, height = size or SIZE
    is_wide = width > NARROW
    across, up = width - (1.9 if is_wide else 1), max(height - (1.3 if is_wide else 2), 1.5)
    extent = extent_of(x, y, across / up)
    ratio = 1.0 if pole else 1 / narrowing(extent[1], extent[3]) * (extent[3] - extent[1]) / (extent[2] - extent[0])
    wide = min(across, up / ratio)
    scale = 0.9 * (wide * ratio / up if is_wide else wide / across)
    if size is None:
        width, height, scale = width - across + wide, height - up + wide * ratio, 0.9
    return Sheet((width, height), (wide, wide * ratio), extent, is_wide, scale)


def pole_of(x: Points, y: Points) -> int:
    """1 or -1 where the assets lie around a pole, or next to it; else 0."""
    for pole in (1, -1):
        if (y * pole).min() > 84 or ((y * pole).min() > POLAR and 360 - _widest_gap(x)[0] > 120):
            return pole
    return 0


def _widest_gap(x: Points) -> tuple[float, float]:
    """The widest part of the circle without assets, and the longitude where it ends."""
    ordered = np.unique(np.mod(x, 360.0))
    gaps = np.diff(ordered, prepend=ordered[-1] - 360)
    place = int(gaps.argmax())
    return float(gaps[place]), float(ordered[place])


def extent_of(x: Points, y: Points, shape: float) -> Extent:
    """A part of the world with all assets in it, padded, so many times as wide as high on the ground.

    It starts where the circle of longitudes has no assets for longest, so that it may reach beyond 180. Where that is more
    than three quarters of the circle, it is the world as it is used to be drawn.
    """
    gap, west = _widest_gap(x)
    width, south, north = 360 - gap, float(y.min()), float(y.max())
    if width > 180:
        west, width = -180.0, 360.0
    narrow = narrowing(south, north)
    high = max((north - south) * 1.25, LEAST)
    wide = max(min(width * 1.2, 360.0), high * shape / narrow if width < 360 else 0.0)
    wide = min(wide, 360.0)
    high = max(high, min(wide * narrow / shape, 170.0))
    middle = west + width / 2
    middle -= 360 * round(middle / 360)
    low = min(max((south + north) / 2 - high / 2, -90.0), max(90.0 - high, -90.0))
    return (middle - wide / 2, low, middle + wide / 2, min(low + high, 90.0))


def narrowing(south: float, north: float) -> float:
    """What a degree of longitude is of one of latitude, in the middle between two parallels."""
    return float(max(np.cos(np.radians(min(abs(south + north) / 2, 80))), 0.15))
