"""Assets on a map of land, borders and towns, which scripts/world.py makes."""

import gzip
import json
import math
from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from kayrros_ext._text import cell_width, format_day, format_short, plural
from kayrros_ext.errors import UsageError
from kayrros_ext.plots.data import ChartData
from kayrros_ext.plots.frame import ASSET, DATE, ONE_ROW, TEXTS, Drawing, colour, fit_names, inline, number, single

if TYPE_CHECKING:
    from kayrros_ext.plots import Options

EARTH_KM = 6371.0
# A map is never smaller. One of assets that are further apart than this, in radians from their middle, shows the world.
MIN_KM, MAX_RADIUS = 2.0, 0.9
# More symbols have no names. Symbols that are nearer than this in pixels are one, until the reader enlarges the map.
MAX_NAMES, TOUCHING, ENLARGED = 15, 12, 4
Projection = Callable[..., tuple[Any, Any]]


def draw_map(data: ChartData, assets: pa.Table, options: "Options") -> Drawing:
    """Draw the latest or mean value of each asset at its centroid, and what is around them.

    A region has an azimuthal equal-area projection around the middle of its assets, so that it has no seam at the
    antimeridian or a pole; the world has the Equal Earth projection. The parameters `map_zoom` (at least 1), `map_x` and
    `map_y` (pixels) enlarge and move the map.
    """
    columns = ("asset_id", "asset_name", "asset_centroid_longitude", "asset_centroid_latitude")
    centroids = {
        name: (longitude, latitude)
        for *names, longitude, latitude in zip(*(assets[column].to_pylist() for column in columns), strict=True)
        for name in names
        if name and longitude is not None and latitude is not None and abs(latitude) <= 90
    }
    centroids = {shown: centroids[name] for shown, name in data.assets.items() if name in centroids}
    places = pd.DataFrame.from_dict(centroids, orient="index", columns=["longitude", "latitude"])
    rows = data.summary(options.statistic).join(places, on="asset", how="inner")
    if rows.empty:
        raise UsageError("No asset has a centroid, so a map would be empty.", hint="Choose another kind of chart.")
    centre, is_world, project = _projection(rows["longitude"], rows["latitude"])
    east, north = project(rows["longitude"], rows["latitude"])
    half_x, half_y = (max(side.abs().max(), MIN_KM / 2 / EARTH_KM) for side in (east, north))
    width, height = options.inner, (options.height or 0) - TEXTS
    if height < 100:
        height = round(width * (0.49 if is_world else min(max(half_y / half_x, 0.5), 0.9)))
    pixels = width / 5.41 if is_world else min((width / 2 - 70) / half_x, (height / 2 - 40) / half_y)

    def place(longitude: Any, latitude: Any) -> tuple[Any, Any]:
        east, north = project(longitude, latitude)
        return width / 2 + east * pixels, height / 2 - north * pixels

    land: Any = {"name": "land", "format": {"type": "topojson", "feature": "countries"}}
    symbols = alt.Chart(inline(rows.sort_values("value", key=abs)))
    symbols = symbols.mark_circle(style="place", size=150 if len(rows) <= MAX_NAMES else 70, opacity=0.9, clip=True)
    symbols = symbols.encode(colour(rows["value"]), tooltip=[ASSET, DATE, number("value", "Value")])
    projection = alt.Projection(
        type="equalEarth" if is_world else "azimuthalEqualArea",
        rotate=[-centre[0], 0 if is_world else -centre[1], 0],
        scale=alt.ExprRef(f"map_zoom * {pixels:.6g} * min(width / {width}, height / {height})"),
        translate=alt.ExprRef("[map_zoom * width / 2 + map_x, map_zoom * height / 2 + map_y]"),
        clipExtent=alt.ExprRef("[[0, 0], [width, height]]"),
    )
    sea = alt.Chart(ONE_ROW).mark_rect(style="sea").encode(x=alt.value(0), y=alt.value(0))
    sea = sea.encode(x2=alt.value("width"), y2=alt.value("height"))
    count = len(data.assets) - len(rows)
    notes = [f"{plural(count, 'asset')} without a centroid left out."] if count else []
    layers = [
        layer.encode(longitude="longitude:Q", latitude="latitude:Q")
        for layer in (symbols, *_labels(rows, place, (width, height), notes))
    ]
    background = [sea, alt.Chart(land).mark_geoshape(style="land")]
    data_of_land = {"land": _read("world.json.gz" if is_world else "region.json.gz")}
    chart = single([*background, *layers], options, height, projection=projection, datasets=data_of_land)
    chart = chart.add_params(*(alt.param(f"map_{name}", value=int(name == "zoom")) for name in ("zoom", "x", "y")))
    notes += [f"The map is {format_short(width / pixels * EARTH_KM)} km wide."] * (not is_world)
    notes.append(f"Coast and borders: Natural Earth, accurate to about {30 if is_world else 2} km. Towns: GeoNames.")
    when = data.period if options.statistic == "mean" else format_day(data.dates[-1])
    subtitle = f"{data.labels[0]}, {options.statistic} value, {when}"
    return Drawing(chart, subtitle, [*data.notes, *notes], left=0, below=16)


def _projection(longitude: Any, latitude: Any) -> tuple[tuple[float, float], bool, Projection]:
    """Return the centre of places, whether a map shows the world, and its projection, in radians east and north."""
    x, y = np.radians(longitude), np.radians(latitude)
    a, b, c = np.mean([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)
    east, north = math.atan2(b, a), math.atan2(c, math.hypot(a, b))

    def region(longitude: Any, latitude: Any) -> tuple[Any, Any]:
        x, y = np.radians(longitude) - east, np.radians(latitude)
        up = 1 + math.sin(north) * np.sin(y) + math.cos(north) * np.cos(y) * np.cos(x)
        factor = np.sqrt(2 / np.maximum(up, 1e-9))
        side = math.cos(north) * np.sin(y) - math.sin(north) * np.cos(y) * np.cos(x)
        return factor * np.cos(y) * np.sin(x), factor * side

    def world(longitude: Any, latitude: Any) -> tuple[Any, Any]:  # Equal Earth: Šavrič, Patterson and Jenny 2018
        x = np.radians((longitude - math.degrees(east) + 180) % 360 - 180)
        t = np.arcsin(math.sqrt(3) / 2 * np.sin(np.radians(latitude)))
        slope = 1.340264 - 3 * 0.081106 * t**2 + t**6 * (7 * 0.000893 + 9 * 0.003796 * t**2)
        height = t * (1.340264 - 0.081106 * t**2 + t**6 * (0.000893 + 0.003796 * t**2))
        return 2 / math.sqrt(3) * x * np.cos(t) / slope, height

    is_world = bool(np.hypot(*region(longitude, latitude)).max() > MAX_RADIUS)
    return (math.degrees(east), math.degrees(north)), is_world, world if is_world else region


def _labels(rows: pd.DataFrame, place: Projection, size: tuple[float, float], notes: list[str]) -> list[alt.Chart]:
    """Return the names of towns and of symbols, where they have room. Symbols that touch share their number, and a note.

    In a map that the reader enlarges, the number disappears, because the symbols come apart.
    """
    groups: dict[tuple[float, float], list[dict[str, Any]]] = {}
    for row in rows.to_dict("records"):
        spot = place(row["longitude"], row["latitude"])
        groups.setdefault(next((one for one in groups if math.dist(one, spot) < TOUCHING), spot), []).append(row)
    notes += ["Of assets whose symbols touch, the colour is that of the largest."] * (len(groups) < len(rows))
    names, boxes = fit_names(rows["asset"], 185), [(x - 7, y - 7, x + 7, y + 7) for x, y in groups]
    texts: dict[str, list[dict[str, Any]]] = {"town": [], "label": []}
    for spot, (row, *others) in groups.items() if len(groups) <= MAX_NAMES else []:
        text = f"{1 + len(others)} assets" if others else f"{names[row['asset']]}, {format_short(row['value'])}"
        if side := _find_side(text, spot, boxes, size, gap=11):
            texts["label"].append({**row, **side, "until": ENLARGED if others else 1000})
    for name, longitude, latitude in json.loads(_read("towns.json.gz")):
        if len(texts["town"]) == size[0] // 90:
            break
        if side := _find_side(f"· {name}", place(longitude, latitude), boxes, size, gap=-2):
            side |= {"text": f"{name} ·"} if side["align"] == "right" else {}  # the dot is at the town
            texts["town"].append({"longitude": longitude, "latitude": latitude, "until": 1000, **side})
    options: Any = {name: alt.ExprRef(f"datum.{name}") for name in ("align", "dx")}
    return [
        alt.Chart(inline(pd.DataFrame(rows))).transform_filter("map_zoom < datum.until")
        .mark_text(style=style, baseline="middle", clip=True, **options).encode(text="text:N")
        for style, rows in texts.items()
    ]  # fmt: skip


def _find_side(
    text: str, spot: Any, boxes: list[Any], size: tuple[float, float], *, gap: float
) -> dict[str, Any] | None:
    """Return the side of a spot on which a text has room, and add its box to the boxes; None without room."""
    width, (x, y) = cell_width(text) * 7.0, spot
    for align, dx, left in (("left", gap, x + gap), ("right", -gap, x - gap - width)):
        box = (left, y - 8, left + width, y + 8)
        is_inside = min(box) >= 0 and box[2] <= size[0] and box[3] <= size[1]
        if is_inside and all(box[2] <= a or c <= box[0] or box[3] <= b or d <= box[1] for a, b, c, d in boxes):
            boxes.append(box)
            return {"text": text, "align": align, "dx": dx}
    return None


def _read(name: str) -> str:
    return gzip.decompress(resources.files(__package__).joinpath(name).read_bytes()).decode()
