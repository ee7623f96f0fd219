"""Assets on a map of land, borders and towns, which scripts/world.py makes."""

import gzip
import json
import math
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any

import altair as alt
import pyarrow as pa

from kayrros_ext._text import cell_width, plural, printable
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.data import ChartData, Rows, format_short
from kayrros_ext.plots.frame import Drawing, View, colour, fit_names, inline, tooltip

EARTH_KM = 6371.0
# A map is never smaller. One of assets that are further apart than this, in radians from their middle, shows the world.
MIN_KM, MAX_RADIUS = 2.0, 0.9
# More symbols have no names. Symbols that are nearer than this in pixels are one, until the reader enlarges the map.
MAX_NAMES, TOUCHING, ENLARGED = 15, 12, 4
Point = tuple[float, float]


def draw_map(data: ChartData, assets: pa.Table, view: View, *, statistic: str) -> Drawing:
    """Draw the latest or mean value of each asset at its centroid, and what is around them.

    A region has an azimuthal equal-area projection around the middle of its assets, so that it has no seam at the
    antimeridian or a pole; the world has the Equal Earth projection. The parameters `map_zoom` (at least 1), `map_x` and
    `map_y` (pixels) enlarge and move the map.
    """
    rows = [*_rows(data, assets, statistic)]
    if not rows:
        raise UsageError("No asset has a centroid, so a map would be empty.", hint="Choose another kind of chart.")
    centre, is_world, project = _projection([(row["longitude"], row["latitude"]) for row in rows])
    x, y = zip(*(project(row["longitude"], row["latitude"]) for row in rows), strict=True)
    half_x, half_y = (max(*map(abs, side), MIN_KM / 2 / EARTH_KM) for side in (x, y))
    width, height = view.inner, (view.height or 0) - 150
    if height < 100:
        height = round(width * (0.49 if is_world else min(max(half_y / half_x, 0.5), 0.9)))
    pixels = width / 5.41 if is_world else min((width / 2 - 70) / half_x, (height / 2 - 40) / half_y)

    def place(row: dict[str, Any]) -> Point:
        east, north = project(row["longitude"], row["latitude"])
        return width / 2 + east * pixels, height / 2 - north * pixels

    land: Any = {"name": "land", "format": {"type": "topojson", "feature": "countries"}}
    symbols = alt.Chart(inline(sorted(rows, key=lambda row: abs(row["value"]))))
    symbols = symbols.mark_circle(style="place", size=150 if len(rows) <= MAX_NAMES else 70, opacity=0.9, clip=True)
    symbols = symbols.encode(colour([row["value"] for row in rows]), tooltip=tooltip("asset", "when", value="Value"))
    at = {"longitude": "longitude:Q", "latitude": "latitude:Q"}
    layers = [layer.encode(**at) for layer in (symbols, *_labels(rows, place, (width, height)))]
    projection = alt.Projection(
        type="equalEarth" if is_world else "azimuthalEqualArea",
        rotate=[-centre[0], 0 if is_world else -centre[1], 0],
        scale=alt.ExprRef(f"map_zoom * {pixels:.6g} * min(width / {width}, height / {height})"),
        translate=alt.ExprRef("[map_zoom * width / 2 + map_x, map_zoom * height / 2 + map_y]"),
        clipExtent=alt.ExprRef("[[0, 0], [width, height]]"),
    )
    sea = alt.Chart(inline([{}])).mark_rect(style="sea").encode(x=alt.value(0), y=alt.value(0))
    sea = sea.encode(x2=alt.value("width"), y2=alt.value("height"))
    chart = alt.layer(sea, alt.Chart(land).mark_geoshape(style="land"), *layers)
    chart = chart.properties(
        projection=projection, datasets={"land": _read("world.json.gz" if is_world else "region.json.gz")}
    )
    chart = chart.add_params(*(alt.param(f"map_{name}", value=int(name == "zoom")) for name in ("zoom", "x", "y")))
    count = len(data.frame.columns) - len(rows)
    notes = [f"{plural(count, 'asset')} without a centroid left out."] if count else []
    notes.append(f"Coast and borders: Natural Earth, accurate to about {30 if is_world else 2} km. Towns: GeoNames.")
    subtitle = f"{data.label}, {statistic} value, {data.when(statistic)}"
    return Drawing(chart, subtitle, [*data.notes, *notes], left=0, height=height)


def _rows(data: ChartData, assets: pa.Table, statistic: str) -> Iterator[dict[str, Any]]:
    columns = ("asset_id", "asset_name", "asset_centroid_longitude", "asset_centroid_latitude")
    places: dict[str, Point] = {}
    for *names, longitude, latitude in zip(*(assets[column].to_pylist() for column in columns), strict=True):
        if longitude is not None and latitude is not None and abs(latitude) <= 90:
            places |= dict.fromkeys((printable(name) for name in names if name), (longitude, latitude))
    for row in data.summary(statistic):
        if row["asset"] in places:
            yield {**row, "longitude": places[row["asset"]][0], "latitude": places[row["asset"]][1]}


def _projection(points: Sequence[Point]) -> tuple[Point, bool, Callable[[float, float], Point]]:
    """Return the centre, whether the map shows the world, and the projection, in radians east and north."""
    angles = [(math.radians(x), math.radians(y)) for x, y in points]
    a, b = (math.fsum(math.cos(y) * turn(x) for x, y in angles) for turn in (math.cos, math.sin))
    c = math.fsum(math.sin(y) for _, y in angles)
    centre = math.degrees(math.atan2(b, a)), math.degrees(math.atan2(c, math.hypot(a, b)))
    sine, cosine = math.sin(math.radians(centre[1])), math.cos(math.radians(centre[1]))

    def region(longitude: float, latitude: float) -> Point:
        x, y = math.radians(longitude - centre[0]), math.radians(latitude)
        up = 1 + sine * math.sin(y) + cosine * math.cos(y) * math.cos(x)
        factor = math.sqrt(2 / max(up, 1e-9))
        return factor * math.cos(y) * math.sin(x), factor * (cosine * math.sin(y) - sine * math.cos(y) * math.cos(x))

    def world(longitude: float, latitude: float) -> Point:  # Equal Earth: Šavrič, Patterson and Jenny 2018
        x = math.radians((longitude - centre[0] + 180) % 360 - 180)
        t = math.asin(math.sqrt(3) / 2 * math.sin(math.radians(latitude)))
        slope = 1.340264 - 3 * 0.081106 * t**2 + t**6 * (7 * 0.000893 + 9 * 0.003796 * t**2)
        north = t * (1.340264 - 0.081106 * t**2 + t**6 * (0.000893 + 0.003796 * t**2))
        return 2 / math.sqrt(3) * x * math.cos(t) / slope, north

    is_world = max(math.hypot(*region(*point)) for point in points) > MAX_RADIUS
    return centre, is_world, world if is_world else region


def _labels(rows: Rows, place: Callable[[dict[str, Any]], Point], size: Point) -> list[alt.Chart]:
    """Return the names of towns and of symbols, where they have room. Symbols that touch share their number.

    In a map that the reader enlarges, the number disappears, because the symbols come apart.
    """
    groups: dict[Point, Rows] = {}
    for row in rows:
        x, y = place(row)
        near = (spot for spot in groups if math.hypot(spot[0] - x, spot[1] - y) < TOUCHING)
        groups.setdefault(next(near, (x, y)), []).append(row)
    names, boxes = fit_names((row["asset"] for row in rows), 185), [(x - 7, y - 7, x + 7, y + 7) for x, y in groups]
    labels: Rows = []
    for spot, (row, *others) in groups.items() if len(groups) <= MAX_NAMES else []:
        text = f"{1 + len(others)} assets" if others else f"{names[row['asset']]}, {format_short(row['value'])}"
        if side := _find_side(text, spot, boxes, size, gap=11):
            labels.append({**row, **side, "until": ENLARGED if others else 1000})
    towns: Rows = []
    for name, longitude, latitude in json.loads(_read("towns.json.gz")):
        town = {"longitude": longitude, "latitude": latitude, "until": 1000}
        if len(towns) < size[0] / 90 and (side := _find_side(f"· {name}", place(town), boxes, size, gap=-2, sides=1)):
            towns.append({**town, **side})
    options: Any = {name: alt.ExprRef(f"datum.{name}") for name in ("align", "dx")}
    return [
        alt.Chart(inline(texts)).transform_filter("map_zoom < datum.until")
        .mark_text(style=style, baseline="middle", clip=True, **options).encode(text="text:N")
        for style, texts in {"town": towns, "label": labels}.items()
    ]  # fmt: skip


def _find_side(
    text: str, spot: Point, boxes: list[tuple[float, float, float, float]], size: Point, *, gap: float, sides: int = 2
) -> dict[str, Any] | None:
    """Return the side of a spot on which a text has room, and add its box to the boxes; None without room."""
    width = cell_width(text) * 7.0
    for align, dx, left in (("left", gap, spot[0] + gap), ("right", -gap, spot[0] - gap - width))[:sides]:
        x, y, right, below = left, spot[1] - 8, left + width, spot[1] + 8
        is_inside = x >= 0 and y >= 0 and right <= size[0] and below <= size[1]
        if is_inside and not any(x < box[2] and box[0] < right and y < box[3] and box[1] < below for box in boxes):
            boxes.append((x, y, right, below))
            return {"text": text, "align": align, "dx": dx}
    return None


def _read(name: str) -> str:
    return gzip.decompress(resources.files(__package__).joinpath(name).read_bytes()).decode()
