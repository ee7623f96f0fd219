"""Maps show the assets where they are, with what is around them."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kayrros_ext import Results, UsageError
from kayrros_ext.plots import maps

Centroid = tuple[float, float] | None


def results_of(centroids: dict[str, Centroid], values: list[float] | None = None) -> Results:
    """An asset at each centroid, longitude and latitude."""
    assets: list[dict[str, Any]] = []
    for number, (name, centroid) in enumerate(centroids.items()):
        value = values[number] if values else number + 1.0
        results = [{"value_date": "2024-01-01", "metrics": [{"name": "rate_t_h", "value": value}]}]
        assets.append({"asset_id": f"id{number}", "asset_name": name, "results": results})
        if centroid:
            assets[-1] |= {"asset_centroid_longitude": centroid[0], "asset_centroid_latitude": centroid[1]}
    return Results.from_json(json.dumps({"assets": assets}).encode())


def spec_of(centroids: dict[str, Centroid], values: list[float] | None = None, **options: Any) -> dict[str, Any]:
    spec: dict[str, Any] = results_of(centroids, values).plot(kind="map", **options).to_dict()
    return spec


def texts(spec: dict[str, Any], style: str) -> list[dict[str, Any]]:
    """The rows of the labels, or of the towns."""
    [layer] = [layer for layer in spec["layer"] if layer["mark"].get("style") == style]
    rows: list[dict[str, Any]] = spec["datasets"][layer["data"]["name"]]
    return rows


def kilometres_wide(spec: dict[str, Any]) -> float:
    """The width of a regional map."""
    pixels = float(spec["projection"]["scale"]["expr"].split(" * ")[1])
    return float(spec["width"] - 28) / pixels * 6371


AROUND_THE_POLE: dict[str, Centroid] = {"a": (0, 80), "b": (90, 80), "c": (180, 80), "d": (-90, 80)}


@pytest.mark.parametrize(
    ("centroids", "kind", "centre"),
    [
        ({"a": (4.1, 52.0)}, "azimuthalEqualArea", (4.1, 52.0)),
        ({"a": (179.0, -17.0), "b": (-179.0, -17.0)}, "azimuthalEqualArea", (180.0, -17.0)),
        (AROUND_THE_POLE, "azimuthalEqualArea", (None, 90.0)),
        ({name: (x, -y) for name, (x, y) in AROUND_THE_POLE.items()}, "azimuthalEqualArea", (None, -90.0)),  # type: ignore[misc]
        ({"a": (0.0, 0.0), "b": (120.0, 10.0), "c": (-120.0, -10.0)}, "equalEarth", (None, None)),
    ],
)
def test_projection_has_no_seam_between_the_assets(
    centroids: dict[str, Centroid], kind: str, centre: tuple[float | None, float | None]
) -> None:
    """It is centred on them: across the antimeridian, and over a pole. The world is Equal Earth."""
    projection = spec_of(centroids)["projection"]
    assert projection["type"] == kind
    for angle, expected, turn in zip(projection["rotate"], centre, (360, 360), strict=False):
        assert (
            expected is None
            or (-angle - expected) % turn == pytest.approx(0, abs=0.2)
            or abs((-angle - expected) % turn - turn) == pytest.approx(0, abs=0.2)
        )


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize(
    "centroids",
    [
        {"a": (4.1, 52.0), "b": (4.3, 51.9)},
        {"a": (178.0, -17.0), "b": (-178.0, -18.0)},
        {"a": (-100.0, 30.0), "b": (-60.0, 60.0), "c": (-110.0, 10.0)},
        AROUND_THE_POLE,
    ],
)
def test_all_assets_lie_on_the_map(centroids: dict[str, Centroid], width: int) -> None:
    """With room for their symbols."""
    *_, project = maps._projection(*np.transpose([centroid for centroid in centroids.values() if centroid]))
    spec = spec_of(centroids, width=width)
    half = kilometres_wide(spec) / 2 / 6371
    assert all(abs(project(*centroid)[0]) < half for centroid in centroids.values() if centroid)


def test_map_is_never_smaller_than_two_kilometres() -> None:
    """One tank, or tanks next to each other."""
    assert kilometres_wide(spec_of({"a": (4.1, 52.0)})) == pytest.approx(2, rel=0.3)
    assert 2 < kilometres_wide(spec_of({"a": (4.1, 52.0), "b": (4.13, 52.0)})) < 6


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1.0, 2.0, 3.0], {"range": "ramp", "domain": [1.0, 3.0]}),
        ([1.0, 2.0, 3.0, 900.0], {"range": "ramp", "type": "log"}),
        ([-1.0, 2.0, 3.0], {"range": "diverging", "domain": [-3.0, 3.0], "domainMid": 0}),
        ([5.0, 5.0], {"range": "ramp", "domain": [4.0, 5.0]}),
    ],
)
def test_colours_suit_the_values(values: list[float], scale: dict[str, Any]) -> None:
    """Logarithmic if a few are much larger, diverging if signs differ."""
    spec = spec_of({f"a{number}": (number / 10, 50.0) for number in range(len(values))}, values)
    [symbols] = [layer for layer in spec["layer"] if layer["mark"].get("style") == "place"]
    assert symbols["encoding"]["color"]["scale"].items() >= scale.items()
    assert symbols["encoding"]["color"]["legend"]


def test_assets_that_touch_are_counted() -> None:
    """Until the reader enlarges the map, which separates them."""
    spec = spec_of({"a": (4.0, 52.0), "b": (4.0001, 52.0), "c": (5.0, 52.0)})
    assert {(row["text"], row["until"]) for row in texts(spec, "label")} == {("2 assets", 4), ("c, 3", 1000)}


def test_labels_do_not_overlap() -> None:
    """Nor run off the map: one without room is left out."""
    places = [(60.0 + 140 * (number % 4), 40.0 + 14 * (number // 4)) for number in range(12)]
    rows = [{"asset": f"Site {x:.0f}-{y:.0f}", "value": 1.0, "longitude": x, "latitude": y} for x, y in places]
    layers = maps._labels(pd.DataFrame(rows), lambda *spot: spot, (600, 300), [])
    boxes = [(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    texts = [row for layer in layers[::-1] for row in layer.to_dict()["datasets"].popitem()[1]]
    assert sum(row["text"].startswith("Site") for row in texts) > 3
    for row in texts:
        start, width = row["longitude"] + row["dx"], 7 * len(row["text"])
        left = start if row["align"] == "left" else start - width
        assert left >= 0
        assert left + width <= 600
        box = (left, row["latitude"] - 8, left + width, row["latitude"] + 8)
        for other in boxes:
            assert box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
        boxes.append(box)


def test_more_than_fifteen_symbols_have_no_names() -> None:
    """They would hide the map. The tooltip has them."""
    spec = spec_of({f"a{number}": (number, 50.0 + number % 3) for number in range(20)})
    assert texts(spec, "label") == []


def test_names_that_look_equal_are_two_assets() -> None:
    """Each has its own place."""
    spec = spec_of({"Foo\tbar": (4.0, 52.0), "Foo bar": (5.0, 52.0), "Bar": (6.0, 52.0)})
    places = {row["asset"]: row["longitude"] for row in spec["datasets"].values() for row in row if "asset" in row}
    assert places == {"Foo bar (2)": 4.0, "Foo bar": 5.0, "Bar": 6.0}
    assert "without a centroid" not in json.dumps(spec)


def test_notes_say_how_wide_a_map_is_and_whose_colour_a_shared_symbol_has() -> None:
    """Around a few tanks, there may be no coast and no town."""
    near = json.dumps(spec_of({"a": (-96.76, 35.94), "b": (-96.76001, 35.94), "c": (-96.75, 35.95)}))
    assert "Of assets whose symbols touch, the colour is that of the largest." in near
    assert re.search(r"The map is [\d.]+ km wide\.", near)
    far = json.dumps(spec_of({"a": (0.0, 0.0), "b": (120.0, 10.0), "c": (-120.0, -10.0)}))
    assert "touch" not in far
    assert "km wide" not in far


def test_towns_are_those_of_the_region() -> None:
    """The largest that have room."""
    names = [row["text"].removeprefix("· ") for row in texts(spec_of({"a": (4.1, 52.0), "b": (6.0, 51.0)}), "town")]
    assert "Rotterdam" in names
    assert 3 <= len(names) <= 9


def test_dot_of_a_town_is_at_the_town() -> None:
    """Also where its name stands at the left."""
    towns = texts(spec_of({"a": (0.0, 0.0), "b": (120.0, 10.0), "c": (-120.0, -10.0)}), "town")
    assert {row["align"] for row in towns} == {"left", "right"}
    assert all(row["text"].endswith("·") == (row["align"] == "right") for row in towns)


def test_assets_without_a_centroid_are_counted() -> None:
    """In a note; a map of none is refused."""
    spec = spec_of({"a": (4.0, 52.0), "b": None})
    assert "1 asset without a centroid left out." in json.dumps(spec)
    with pytest.raises(UsageError, match="No asset has a centroid"):
        spec_of({"a": None})
    with pytest.raises(UsageError, match="by is 'total'"):
        spec_of({"a": (4.0, 52.0)}, by="total")


def test_equal_earth_is_that_of_the_renderer() -> None:
    """Known values of the projection, so that labels stand where the renderer puts the assets."""
    *_, project = maps._projection(np.array([0.0, 120.0, -120.0]), np.zeros(3))
    east, north = project(179.9999, 0.0)
    assert (east, north) == pytest.approx((2.7066, 0.0), abs=1e-3)
    assert project(0.0, 90.0)[1] == pytest.approx(1.3173, abs=1e-3)
    assert math.isclose(project(-90.0, 30.0)[0], -project(90.0, 30.0)[0], rel_tol=1e-6)


def test_files_of_the_background_are_small() -> None:
    """They ship with the package."""
    folder = Path(maps.__file__).parent
    assert (
        sum((folder / name).stat().st_size for name in ("world.json.gz", "region.json.gz", "towns.json.gz")) < 500_000
    )
