"""The land on the maps: Natural Earth, 1:50m, simplified. scripts/coastline.py names its source and generates it."""

import functools
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.path import Path as Outline
from matplotlib.transforms import Bbox

Points = npt.NDArray[np.floating[Any]]
# West, south, east, north. East exceeds 180 where an extent crosses the antimeridian.
Extent = tuple[float, float, float, float]


@functools.cache
def load_rings() -> list[Points]:
    """Load the closed lines of longitude and latitude around land, in degrees; lakes run in the opposite direction.

    Only the ring of Antarctica doesn't close: it ends 360 degrees from where it starts.
    """
    with resources.files(__package__).joinpath("coastline.npz").open("rb") as data, np.load(data) as file:
        steps, lengths, unit = file["steps"], file["lengths"], float(file["grain"])
    starts = np.cumsum(lengths)[:-1]
    return [np.cumsum(ring, axis=1, dtype=np.int64).T * unit for ring in np.split(steps, starts, axis=1)]


def land_within(extent: Extent, tolerance: float) -> Outline | None:
    """Return the land in an extent as one outline, clipped slightly outside of it; None if there is only sea.

    Args:
        extent: of the map.
        tolerance: degrees; points closer than this are merged, because nobody sees them and they make files large.
    """
    west, south, east, north = extent
    margin = max(east - west, north - south) * 0.02
    box = Bbox([[west - margin, south - margin], [east + margin, north + margin]])
    outlines = []
    for line in load_rings():
        turn = line[-1] - line[0]
        if abs(turn[0]) > 180:  # Antarctica: three times around the world, and back along the pole
            corners = np.array([line[-1] + turn, line[0] - turn])
            corners[:, 1] = np.copysign(90, line[0, 1])
            outlines.append(_clip(np.vstack([line - turn, line, line + turn, corners]), box, tolerance))
            continue
        for shift in ((-360, 0), (0, 0), (360, 0)):
            ring = line + shift
            (left, low), (right, high) = ring.min(axis=0), ring.max(axis=0)
            if left <= box.x1 and right >= box.x0 and low <= box.y1 and high >= box.y0:
                outlines.append(_clip(ring, box, tolerance))
    outlines = [outline for outline in outlines if np.size(outline.vertices)]
    return Outline.make_compound_path(*outlines) if outlines else None


def polar_land(pole: int, tolerance: float) -> Outline:
    """Return the land of one hemisphere in the projection of `project_polar`."""
    rings = (project_polar(pole, *ring.T) for ring in load_rings() if (ring[:, 1] * pole).max() > 0)
    simplified = (simplify(ring, tolerance) for ring in rings)
    return Outline.make_compound_path(*(_closed(ring) for ring in simplified if len(ring) > 3))


def project_polar(pole: int, x: Points, y: Points) -> Points:
    """Project longitudes and latitudes around a pole, in degrees from it. Points beyond the equator move onto it."""
    angle, radius = np.radians(x), 90 - np.maximum(y * pole, 0)
    # By convention, Greenwich points down around the North Pole and up around the South Pole.
    return np.column_stack([radius * np.sin(angle), -pole * radius * np.cos(angle)])


def simplify(ring: Points, tolerance: float) -> Points:
    """Drop points that round to the same position as the point before them."""
    cells = np.round(ring / tolerance)
    simplified: Points = ring[np.append(True, np.any(np.diff(cells, axis=0) != 0, axis=1))]
    return simplified


def _clip(ring: Points, box: Bbox, tolerance: float) -> Outline:
    simplified = simplify(ring, tolerance)
    if len(simplified) < 4:
        return Outline(np.empty((0, 2)))
    return _closed(simplified).clip_to_bbox(box, inside=True)


def _closed(ring: Points) -> Outline:
    return Outline(np.vstack([ring, ring[:1]]), closed=True)
