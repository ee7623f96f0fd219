"""The land of the maps: Natural Earth, 1:50m, simplified. scripts/coastline.py says where it is from and makes it."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.path import Path as Outline
from matplotlib.transforms import Bbox

Points = npt.NDArray[np.floating[Any]]
# West, south, east, north. Longitudes count on beyond 180, where an extent lies across the antimeridian.
Extent = tuple[float, float, float, float]


@functools.cache
def rings() -> list[Points]:
    """Lines of longitude and latitude around land, in degrees; around a lake, the other way about.

    Each ends where it began, and that of Antarctica a turn from there.
    """
    with np.load(Path(__file__).with_name("coastline.npz")) as file:
        steps, lengths, grain = file["steps"], file["lengths"], float(file["grain"])
    starts = np.cumsum(lengths)[:-1]
    return [np.cumsum(ring, axis=1, dtype=np.int64).T * grain for ring in np.split(steps, starts, axis=1)]


def within(extent: Extent, grain: float) -> Outline | None:
    """The land of an extent, as one outline, clipped a little outside of it; None where there is none.

    Args:
        extent: of the map.
        grain: degrees below which two points are one: what is not seen need not be in a file.
    """
    west, south, east, north = extent
    margin = max(east - west, north - south) * 0.02
    box = Bbox([[west - margin, south - margin], [east + margin, north + margin]])
    found = []
    for line in rings():
        turn = line[-1] - line[0]
        if abs(turn[0]) > 180:  # around the world: three turns, and back along the pole
            corners = np.array([line[-1] + turn, line[0] - turn])
            corners[:, 1] = np.copysign(90, line[0, 1])
            found.append(_clip(np.vstack([line - turn, line, line + turn, corners]), box, grain))
            continue
        for shift in ((-360, 0), (0, 0), (360, 0)):
            ring = line + shift
            (left, low), (right, high) = ring.min(axis=0), ring.max(axis=0)
            if left <= box.x1 and right >= box.x0 and low <= box.y1 and high >= box.y0:
                found.append(_clip(ring, box, grain))
    found = [outline for outline in found if np.size(outline.vertices)]
    return Outline.make_compound_path(*found) if found else None


def around(pole: int, grain: float) -> Outline:
    """The land of half of the world, as it lies around a pole: see `about`."""
    found = [about(pole, *ring.T) for ring in rings() if (ring[:, 1] * pole).max() > 0]
    return Outline.make_compound_path(*(_closed(thin(ring, grain)) for ring in found if len(thin(ring, grain)) > 3))


def about(pole: int, x: Points, y: Points) -> Points:
    """Longitudes and latitudes around a pole, in degrees from it; what lies behind the equator lies on it."""
    angle, radius = np.radians(x), 90 - np.maximum(y * pole, 0)
    # Greenwich points down around the North Pole and up around the South Pole, as is usual.
    return np.column_stack([radius * np.sin(angle), -pole * radius * np.cos(angle)])


def thin(ring: Points, grain: float) -> Points:
    """Without points that fall into the place of the one before them."""
    places = np.round(ring / grain)
    thinned: Points = ring[np.append(True, np.any(np.diff(places, axis=0) != 0, axis=1))]
    return thinned


def _clip(ring: Points, box: Bbox, grain: float) -> Outline:
    thinned = thin(ring, grain)
    if len(thinned) < 4:
        return Outline(np.empty((0, 2)))
    return _closed(thinned).clip_to_bbox(box, inside=True)


def _closed(ring: Points) -> Outline:
    return Outline(np.vstack([ring, ring[:1]]), closed=True)
