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
from kayrros_ext.plots.data import ChartData, Rows, format_date, format_short
from kayrros_ext.plots.frame import Drawing, Size, colour, fit_names, inline

EARTH_KM = 6371.0
# A map is never smaller. One of assets that are further apart than this, in radians from their middle, shows the world.
MIN_KM, MAX_RADIUS = 2.0, 0.9
# More symbols have no names. Symbols that are nearer than this in pixels are one, until the reader enlarges the map.
MAX_NAMES, TOUCHING = 15, 12
ENLARGED = 4
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def draw_map(data: ChartData, assets: pa.Table, size: Size, *, statistic: str) -> Drawing:
    """Draw the latest or mean value of each asset at its centroid, and what is around them.

    A region has an azimuthal equal-area projection around the middle of its assets, so that it has no seam at the
    antimeridian or a pole; the world has the Equal Earth projection. The parameters `map_zoom` (at least 1), `map_x` and
    `map_y` (pixels) enlarge and move the map.
    """
    rows = [*_rows(data, assets, statistic)]
    if not rows:
        raise UsageError("No asset has a centroid, so a map would be empty.", hint="Choose another kind of chart.")
    centre, project = _projection([(row["longitude"], row["latitude"]) for row in rows])
    x, y = zip(*(project(row["longitude"], row["latitude"]) for row in rows), strict=True)
    is_world = centre[1] is None
    half_x, half_y = (max(*map(abs, side), MIN_KM / 2 / EARTH_KM) for side in (x, y))
    width, height = size.inner, (size.height or 0) - 150
    if height < 100:
        height = round(width * (0.49 if is_world else min(max(half_y / half_x, 0.5), 0.9)))
    pixels = width / 5.41 if is_world else min((width / 2 - 70) / half_x, (height / 2 - 40) / half_y)
    places = [(width / 2 + east * pixels, height / 2 - north * pixels) for east, north in zip(x, y, strict=True)]
    texts, labels = _labels(rows, places, (width, height))
    texts += _towns(project, pixels, labels, (width, height))
    chart = alt.layer(
        alt.Chart(inline([{}]))
        .mark_rect(style="sea")
        .encode(x=alt.value(0), y=alt.value(0), x2=alt.value("width"), y2=alt.value("height")),
        alt.Chart({"name": "land", "format": {"type": "topojson", "feature": "countries"}}).mark_geoshape(style="land"),
        _symbols(rows),
        *(_texts([row for row in texts if row["style"] == style], style) for style in ("town", "label")),
    )
    scale = f"map_zoom * {pixels:.6g} * min(width / {width}, height / {height})"
    projection = alt.Projection(
        type="equalEarth" if is_world else "azimuthalEqualArea",
        rotate=[-centre[0], -(centre[1] or 0), 0],
        scale=alt.ExprRef(scale),
        translate=alt.ExprRef("[map_zoom * width / 2 + map_x, map_zoom * height / 2 + map_y]"),
        clipExtent=alt.ExprRef("[[0, 0], [width, height]]"),
    )
    chart = chart.properties(
        projection=projection, datasets={"land": _read("world.json.gz" if is_world else "region.json.gz")}
    )
    chart = chart.add_params(
        *(alt.param(f"map_{name}", value=value) for name, value in (("zoom", 1), ("x", 0), ("y", 0)))
    )
    notes = (
        [f"{plural(count, 'asset')} without a centroid left out."]
        if (count := len(data.frame.columns) - len(rows))
        else []
    )
    notes.append(f"Coast and borders: Natural Earth, accurate to about {30 if is_world else 2} km. Towns: GeoNames.")
    period = data.period if statistic == "mean" else format_date(data.frame.index[-1])
    return Drawing(chart, f"{data.label}, {statistic} value, {period}", [*data.notes, *notes], left=0, height=height)


def _rows(data: ChartData, assets: pa.Table, statistic: str) -> Iterator[dict[str, Any]]:
    columns = ("asset_id", "asset_name", "asset_centroid_longitude", "asset_centroid_latitude")
    by_name: dict[str, Point] = {}
    for *names, longitude, latitude in zip(*(assets[column].to_pylist() for column in columns), strict=True):
        if longitude is not None and latitude is not None and abs(latitude) <= 90:
            by_name |= dict.fromkeys((printable(name) for name in names if name), (longitude, latitude))
    for name, column in data.frame.items():
        if name in by_name:
            values = column.dropna()
            value, when = (
                (values.mean(), data.period)
                if statistic == "mean"
                else (values.iloc[-1], format_date(values.index[-1]))
            )
            longitude, latitude = by_name[name]
            yield {"asset": name, "value": value, "when": when, "longitude": longitude, "latitude": latitude}


def _projection(points: Sequence[Point]) -> tuple[tuple[float, float | None], Callable[[float, float], Point]]:
    """Return the centre, without a latitude if the map shows the world; and the projection, in radians east and north."""
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
        x, t = math.radians((longitude - centre[0] + 180) % 360 - 180), math.radians(latitude)
        t = math.asin(math.sqrt(3) / 2 * math.sin(t))
        slope = 1.340264 - 3 * 0.081106 * t**2 + t**6 * (7 * 0.000893 + 9 * 0.003796 * t**2)
        north = t * (1.340264 - 0.081106 * t**2 + t**6 * (0.000893 + 0.003796 * t**2))
        return 2 / math.sqrt(3) * x * math.cos(t) / slope, north

    if max(math.hypot(*region(*point)) for point in points) > MAX_RADIUS:
        return (centre[0], None), world
    return centre, region


def _symbols(rows: Rows) -> alt.Chart:
    titles = {"asset": "Asset", "value": "Value", "when": "Date"}
    tooltip = [
        alt.Tooltip(
            field=name,
            type="quantitative" if name == "value" else "nominal",
            format=",.6~r" if name == "value" else "",
            title=title,
        )
        for name, title in titles.items()
    ]
    symbols: alt.Chart = alt.Chart(inline(sorted(rows, key=lambda row: abs(row["value"]))))
    symbols = symbols.mark_circle(style="place", size=150 if len(rows) <= MAX_NAMES else 70, opacity=0.9, clip=True)
    return symbols.encode(
        longitude="longitude:Q", latitude="latitude:Q", color=colour([row["value"] for row in rows]), tooltip=tooltip
    )


def _texts(rows: Rows, style: str) -> alt.Chart:
    visible = "datum.from <= map_zoom && map_zoom < datum.to"
    options: Any = {name: alt.ExprRef(f"datum.{name}") for name in ("align", "dx", "dy")}
    texts: alt.Chart = (
        alt.Chart(inline(rows))
        .transform_filter(visible)
        .mark_text(style=style, baseline="middle", clip=True, **options)
    )
    return texts.encode(longitude="longitude:Q", latitude="latitude:Q", text="text:N")


def _labels(rows: Rows, places: Sequence[Point], size: tuple[float, float]) -> tuple[Rows, list[Box]]:
    """Return labels next to the symbols, a name and value or the number of those that touch; and the boxes of both."""
    groups: list[list[int]] = []
    for index, (x, y) in enumerate(places):
        near = (group for group in groups if math.hypot(x - places[group[0]][0], y - places[group[0]][1]) < TOUCHING)
        group = next(near, None)
        if group is None:
            groups.append([index])
        else:
            group.append(index)
    boxes: list[Box] = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    labels: Rows = []
    names = fit_names((row["asset"] for row in rows), 185)
    for first, *others in groups if len(groups) <= MAX_NAMES else []:
        text = (
            f"{1 + len(others)} assets"
            if others
            else f"{names[rows[first]['asset']]}, {format_short(rows[first]['value'])}"
        )
        if label := _place(text, places[first], boxes, size, gap=11):
            labels.append({**rows[first], **label, "style": "label", "to": ENLARGED if others else 10**9})
        if others:
            several = (
                {**rows[index], "text": names[rows[index]["asset"]], "align": "left", "dx": 11, "dy": 0}
                for index in (first, *others)
            )
            labels += [{**row, "style": "label", "from": ENLARGED, "to": 10**9} for row in several]
    return labels, boxes


def _towns(
    project: Callable[[float, float], Point], pixels: float, boxes: list[Box], size: tuple[float, float]
) -> Rows:
    """Return labels of the largest towns that have room, and some of those around them for a map that is enlarged."""
    labels: Rows = []
    for name, longitude, latitude in json.loads(_read("towns.json.gz")):
        east, north = project(longitude, latitude)
        place = size[0] / 2 + east * pixels, size[1] / 2 - north * pixels
        if len(labels) < size[0] / 90 and (label := _place(f"· {name}", place, boxes, size, gap=-2, sides=1)):
            at = {"longitude": longitude, "latitude": latitude}
            labels.append({**label, **at, "style": "town", "to": 10**9})
    return labels


def _place(
    text: str, place: Point, boxes: list[Box], size: tuple[float, float], *, gap: float, sides: int = 4
) -> dict[str, Any] | None:
    """Return where a text has room next to a place, and add its box to the boxes; None without room."""
    (x, y), width = place, cell_width(text) * 7.0
    for align, dx, dy, left in (
        ("left", gap, 0, x + gap),
        ("right", -gap, 0, x - gap - width),
        ("center", 0, -gap - 7, x - width / 2),
        ("center", 0, gap + 7, x - width / 2),
    )[:sides]:
        box = (left, y + dy - 8, left + width, y + dy + 8)
        is_inside = box[0] >= 0 and box[1] >= 0 and box[2] <= size[0] and box[3] <= size[1]
        if is_inside and not any(
            box[0] < right and left_ < box[2] and box[1] < bottom and top < box[3]
            for left_, top, right, bottom in boxes
        ):
            boxes.append(box)
            return {"text": text, "align": align, "dx": dx, "dy": dy, "from": 0}
    return None


def _read(name: str) -> str:
    return gzip.decompress(resources.files(__package__).joinpath(name).read_bytes()).decode()
