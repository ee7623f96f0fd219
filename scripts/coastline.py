"""Write kayrros_ext/plots/coastline.npz, the coastline of the maps: `python -m scripts.coastline land-50m.json`.

The source is Natural Earth, 1:50m land, in the public domain (naturalearthdata.com/about/terms-of-use), as the npm package
world-atlas 2.0.2 (ISC) carries it: `npm pack world-atlas@2.0.2`, then its file land-50m.json, which is TopoJSON. The output
is reproducible. No target runs this, because coastlines do not change.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

TARGET = Path(__file__).parent.parent / "kayrros_ext" / "plots" / "coastline.npz"
# In degrees: the largest distance of a point from the simplified line, and the precision of a coordinate.
TOLERANCE, PRECISION = 0.02, 0.01
# In square degrees at the equator: smaller islands are left out (0.004 is 50 km2).
MIN_AREA = 0.004


def main() -> None:
    """Read TopoJSON, simplify it, and write rings of longitude and latitude as differences of small integers."""
    topology = json.loads(Path(sys.argv[1]).read_bytes())
    lines = [simplify(arc) for arc in arcs(topology)]
    rings = [
        np.round(ring / PRECISION).astype(np.int16) for ring in rings_of(topology, lines) if area(ring) >= MIN_AREA
    ]
    steps = [np.diff(ring, axis=0, prepend=np.zeros((1, 2), np.int16)) for ring in rings]
    lengths = np.array([len(ring) for ring in rings], np.int32)
    np.savez_compressed(TARGET, steps=np.concatenate(steps).T.astype(np.int16), lengths=lengths, grain=PRECISION)
    print(f"{TARGET.name}: {len(rings)} rings, {lengths.sum()} points, {TARGET.stat().st_size} bytes")


def arcs(topology: dict[str, Any]) -> list[Points]:
    """Return the lines of which rings consist, in degrees; TopoJSON stores differences of integers."""
    scale, translate = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    return [np.cumsum(arc, axis=0) * scale + translate for arc in topology["arcs"]]


def rings_of(topology: dict[str, Any], lines: list[Points]) -> list[Points]:
    """Return every ring of every polygon; arc ~n is arc n reversed."""
    [shape] = topology["objects"]["land"]["geometries"]
    rings = [
        np.concatenate([lines[number] if number >= 0 else lines[~number][::-1] for number in ring])
        for polygon in shape["arcs"]
        for ring in polygon
    ]
    # Longitudes continue beyond the antimeridian, so the ring of Antarctica ends 360 degrees from its start.
    return [np.column_stack([np.unwrap(ring[:, 0], period=360), ring[:, 1]]) for ring in rings]


def simplify(line: Points) -> Points:
    """Simplify a line with the algorithm of Douglas and Peucker, within TOLERANCE."""
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    pending = [(0, len(line) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        off = distances(line[first + 1 : last], line[first], line[last])
        if off.max() > TOLERANCE:
            middle = first + 1 + int(off.argmax())
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return line[keep]


def distances(points: Points, start: Points, stop: Points) -> Points:
    """Return the distance of each point from a line segment, with degrees of longitude scaled to the latitude."""
    scale = np.array([np.cos(np.radians(start[1])), 1.0])
    points, along = (points - start) * scale, (stop - start) * scale
    length = float(along @ along)
    share = np.clip(points @ along / length, 0, 1) if length else np.zeros(len(points))
    off: Points = np.hypot(*(points - share[:, None] * along).T)
    return off


def area(ring: Points) -> float:
    """Return the approximate area of a ring in square degrees at the equator."""
    x, y = ring[:, 0] * np.cos(np.radians(ring[:, 1].mean())), ring[:, 1]
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


if __name__ == "__main__":
    main()
