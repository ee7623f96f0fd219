"""Make kayrros_ext/plots/coastline.npz, the land of the maps: `python -m scripts.coastline land-50m.json`.

The source is Natural Earth, 1:50m land, in the public domain (naturalearthdata.com/about/terms-of-use), as the npm package
world-atlas 2.0.2 (ISC) carries it: `npm pack world-atlas@2.0.2`, then its file land-50m.json, which is TopoJSON. The same
file in gives the same bytes out. It is not run by any target: the land does not move.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]

TARGET = Path(__file__).parent.parent / "kayrros_ext" / "plots" / "coastline.npz"
# In degrees: how far a point may lie off the simplified line, and what a point is rounded to.
TOLERANCE, GRAIN = 0.02, 0.01
# In square degrees, at the equator: islands smaller than this are left out (0.004 is 50 km2).
SMALLEST = 0.004


def main() -> None:
    """Read TopoJSON, simplify it, and write rings of longitude and latitude as differences of small integers."""
    topology = json.loads(Path(sys.argv[1]).read_bytes())
    lines = [simplify(arc) for arc in arcs(topology)]
    rings = [np.round(ring / GRAIN).astype(np.int16) for ring in rings_of(topology, lines) if area(ring) >= SMALLEST]
    steps = [np.diff(ring, axis=0, prepend=np.zeros((1, 2), np.int16)) for ring in rings]
    lengths = np.array([len(ring) for ring in rings], np.int32)
    np.savez_compressed(TARGET, steps=np.concatenate(steps).T.astype(np.int16), lengths=lengths, grain=GRAIN)
    print(f"{TARGET.name}: {len(rings)} rings, {lengths.sum()} points, {TARGET.stat().st_size} bytes")


def arcs(topology: dict[str, Any]) -> list[Points]:
    """The lines that rings are made of, in degrees: TopoJSON keeps them as differences of integers."""
    scale, translate = (np.array(topology["transform"][name]) for name in ("scale", "translate"))
    return [np.cumsum(arc, axis=0) * scale + translate for arc in topology["arcs"]]


def rings_of(topology: dict[str, Any], lines: list[Points]) -> list[Points]:
    """Every ring of every polygon; an arc of number ~n is arc n from its end."""
    [shape] = topology["objects"]["land"]["geometries"]
    found = [
        np.concatenate([lines[number] if number >= 0 else lines[~number][::-1] for number in ring])
        for polygon in shape["arcs"]
        for ring in polygon
    ]
    # Longitudes count on over the antimeridian: the ring of Antarctica ends a turn from where it began.
    return [np.column_stack([np.unwrap(ring[:, 0], period=360), ring[:, 1]]) for ring in found]


def simplify(line: Points) -> Points:
    """Douglas and Peucker: without the points that lie within TOLERANCE of the line through the others."""
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    todo = [(0, len(line) - 1)]
    while todo:
        first, last = todo.pop()
        if last - first < 2:
            continue
        off = distances(line[first + 1 : last], line[first], line[last])
        if off.max() > TOLERANCE:
            middle = first + 1 + int(off.argmax())
            keep[middle] = True
            todo += [(first, middle), (middle, last)]
    return line[keep]


def distances(points: Points, start: Points, stop: Points) -> Points:
    """From each point to the piece of line between two others; degrees of longitude count as they lie on the ground."""
    narrow = np.array([np.cos(np.radians(start[1])), 1.0])
    points, along = (points - start) * narrow, (stop - start) * narrow
    length = float(along @ along)
    share = np.clip(points @ along / length, 0, 1) if length else np.zeros(len(points))
    off: Points = np.hypot(*(points - share[:, None] * along).T)
    return off


def area(ring: Points) -> float:
    """In square degrees of the equator, near enough."""
    x, y = ring[:, 0] * np.cos(np.radians(ring[:, 1].mean())), ring[:, 1]
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


if __name__ == "__main__":
    main()
