"""Pictures: what is drawn is what there is, gaps are gaps, and a file needs nothing but itself."""

import itertools
import json
import logging
import re
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.dates import date2num, num2date
from matplotlib.figure import Figure

from kayrros_ext import ExportError, Gap, MissingExtraError, Results, UsageError
from kayrros_ext._results import html as notebook
from kayrros_ext.plots import land, plot, terminal_chart
from kayrros_ext.plots.figures import Picture
from kayrros_ext.plots.series import select
from kayrros_ext.plots.sheets import extent_of
from kayrros_ext.plots.themes import DARK, LIGHT, Theme
from kayrros_ext.plots.words import clean, label, short
from kayrros_ext.testing import Platform

FLOATS = npt.NDArray[np.float64]
EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
FIRST = date(2024, 1, 1)


def results_of(
    assets: dict[str, list[float | None] | dict[int, float | None]],
    *,
    metric: str = "emission_rate_t_h",
    every: int = 1,
    places: list[tuple[float, float]] | None = None,
) -> Results:
    """Values by asset, as a list or by number of the date; places are longitude and latitude."""
    answer: list[dict[str, Any]] = []
    for number, (name, values) in enumerate(assets.items()):
        place = places[number] if places else (number, 50)
        dated = values.items() if isinstance(values, dict) else enumerate(values)
        results = [
            {"value_date": str(FIRST + timedelta(days=day * every)), "metrics": [{"name": metric, "value": value}]}
            for day, value in dated
        ]
        asset: dict[str, Any] = {"asset_id": f"id{number}", "asset_name": name, "results": results}
        if place:
            asset |= {"asset_centroid_longitude": place[0], "asset_centroid_latitude": place[1]}
        answer.append(asset)
    return Results.from_json(json.dumps({"assets": answer}).encode())


def generated(**options: Any) -> Results:
    platform = Platform()
    with platform.connect() as kayrros:
        return kayrros.results(platform.generate(**{"seed": 1, **options}).id)


def runs(figure: Figure, line: int = 0) -> list[int]:
    """How many values each unbroken part of a line has."""
    values = np.asarray(figure.axes[0].lines[line].get_ydata(), float)
    return [len(list(group)) for there, group in itertools.groupby(values, np.isfinite) if there]


def words(figure: Figure) -> str:
    return "\n".join(
        text.get_text() for text in [*figure.texts, *(t for box in figure.legends for t in box.get_texts())]
    )


# Over time.


def test_the_six_largest_are_drawn_and_the_picture_says_so() -> None:
    """Without assets: the largest by mean absolute value, so that what is far below zero is large too."""
    results = results_of({f"asset {size}": [float(size), -float(size)] for size in range(8)})
    figure = results.plot()
    assert [f"asset {size}" for size in (7, 6, 5, 4, 3, 2)] == [
        text.get_text() for text in figure.legends[0].get_texts()
    ]
    assert "6 of 8 assets: the largest by mean absolute value" in words(figure)
    assert 6 == len(figure.axes[0].lines)


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (6, 1), (7, 7), (13, 13)])
def test_more_than_six_assets_get_a_chart_each(count: int, panels: int) -> None:
    """Small multiples, with the same axes, and each under its name."""
    figure = generated(assets=count, dates=5).plot(assets="all")
    seen = [axes for axes in figure.axes if axes.get_visible()]
    assert panels == len(seen)
    assert 1 == len({axes.get_ylim() for axes in seen})
    if panels > 1:
        assert panels == len({axes.get_title(loc="left") for axes in seen})


@pytest.mark.parametrize("place", [True, False])
@pytest.mark.parametrize("size", [(2, 2), (4.6, 4.4)])
def test_words_and_charts_have_room_at_every_size(size: tuple[float, float], place: bool) -> None:
    """A small picture grows in height: no text lies on another or runs off the paper, and the axes stay to be read."""
    name = "The long official name of the terminal in the north of the bay, number "
    results = results_of(
        {name + str(i): [1.0, i] for i in range(6)}, metric="a_metric_with_a_name_too_long_for_an_axis_bbl"
    )
    figure = results.plot(size=size, map=place)
    paper = figure.bbox
    boxes = [text.get_window_extent() for text in [*figure.texts, *figure.legends] if text.get_visible()]
    for box in [*boxes, *(axes.yaxis.label.get_window_extent() for axes in figure.axes)]:
        assert paper.x0 <= box.x0 <= box.x1 <= paper.x1
        assert paper.y0 <= box.y0 <= box.y1 <= paper.y1
    axes = figure.axes[0].get_window_extent()
    assert axes.height > 0.3 * figure.dpi
    assert not [box for box in boxes if box.width and box.y0 < axes.y1 and box.y1 > axes.y0]


@pytest.mark.parametrize(("days", "count"), [(20, 1), (45, 7), (200, 1), (420, 7), (700, 7)])
def test_dates_are_readable_over_any_range(days: int, count: int) -> None:
    """A few of them, wherever the range ends, and matplotlib has nothing to warn of."""
    results = results_of({str(number): {0: 1.0, days: 2.0} for number in range(count)})
    figure = results.plot(assets="all", size=(8, 4))
    first, last = figure.axes[0].get_xlim()
    ticks = [tick for tick in figure.axes[0].get_xticks() if first <= tick <= last]
    assert 2 <= len(ticks) <= 9


@pytest.mark.parametrize("ends", [(date.min, FIRST), (FIRST, date.max), (date.min, date.max), (date.max, date.max)])
def test_the_ends_of_the_calendar_are_dates(ends: tuple[date, date]) -> None:
    """Some write 9999 for never, and matplotlib knows no margin beyond."""
    axes = results_of({"a": {(day - FIRST).days: 1.0 for day in ends}}).plot().axes[0]
    first, last = axes.get_xlim()
    assert first <= date2num(ends[0]) <= date2num(ends[1]) <= last


def test_one_date_is_told_in_full() -> None:
    """In a picture and in a terminal: it has no others to be read by."""
    results = results_of({"a": [5.0], "b": [7.0]})
    assert ["2024-01-01"] == [text.get_text() for text in results.plot().axes[0].get_xticklabels()]
    chart = terminal_chart(results, colour=False)
    assert ["2024-01-01"] == re.findall(r"[\d-]+", chart.split("\n")[-3])


def test_a_hundred_charts_are_the_most() -> None:
    """And the error says what else there is."""
    results = results_of({f"a{number}": [1.0] for number in range(101)})
    with pytest.raises(UsageError, match=r"101 assets are too many.*has room for 100.*draw a map"):
        results.plot(assets="all")


def test_assets_are_named_by_id_or_by_name() -> None:
    """Those and no others; two of one name are told apart by their ids."""
    results = results_of({"North": [1.0], "South": [2.0], "East": [3.0]})
    assert ["North", "East"] == [one.name for one in select(results, None, ["id2", "North"], None).series]
    assert ["East", "South"] == [one.name for one in select(results, None, 2, None).series]
    body = {"assets": [{"asset_id": i, "asset_name": "T", "results": [{"value_date": "2024-01-01", "metrics": [
        {"name": "m", "value": 1}]}]} for i in ("a", "b")]}  # fmt: skip
    assert ["T (a)", "T (b)"] == [
        one.name for one in select(Results.from_json(json.dumps(body).encode()), None, None, None).series
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metric": "volume"}, r"No row has the metric 'volume'. There are: 'emission_rate_t_h'\."),
        ({"assets": ["West"]}, r"is of the asset 'West'. There are: 'North', 'South'\."),
        ({"assets": []}, r"assets is \[\]"),
        ({"assets": 0}, "assets is 0"),
        ({"assets": True}, "assets is True"),
        ({"theme": "blue"}, "theme is 'blue'. Give one of 'auto', 'light', 'dark'"),
        ({"statistic": "median", "map": True}, "statistic is 'median'. Give one of 'latest', 'mean'"),
        ({"size": (0, 5)}, "size is .0, 5.. Give width and height in inches"),
        ({"path": "chart.pdf"}, "ending says no format. Give it one of these: .png, .svg, .html"),
        ({"path": "."}, "ending says no format"),
    ],
)
def test_what_can_not_be_drawn_is_refused(options: dict[str, Any], said: str) -> None:
    """In words that name what there is."""
    with pytest.raises(UsageError, match=said):
        results_of({"North": [1.0], "South": [2.0]}).plot(**options)


@pytest.mark.parametrize("draw", [plot, terminal_chart])
def test_results_without_rows_are_refused(draw: Any) -> None:
    """There is no empty picture to be taken for one of no emissions."""
    with pytest.raises(UsageError, match="nothing to draw"):
        draw(Results.from_json(b"{}"))


def test_a_line_breaks_where_dates_are_missing() -> None:
    """One date missing of a weekly series is enough; a null is no value, and not zero."""
    days = [0, 1, 2, 4, 5, 6, 7, 9]
    figure = results_of({"a": {**dict.fromkeys(days, 1.0), 5: None}}, every=7).plot()
    assert [3, 1, 2, 1] == runs(figure)
    assert "the usual step is 7 days" in words(figure)


def test_a_month_is_a_step_whatever_its_length() -> None:
    """Steps of 28 to 31 days are no gaps."""
    months = {(date(2023 + month // 12, month % 12 + 1, 1) - FIRST).days: 1.0 for month in range(24)}
    assert [24] == runs(results_of({"a": {**months}}).plot())


def test_what_could_not_be_had_is_a_break_and_shaded() -> None:
    """`Results.gaps`, of all assets or of some, also where the dates around it are as far apart as usual."""
    results = results_of({"a": [1.0] * 10, "b": [2.0] * 10}, every=10)
    start, stop = (datetime(2024, 2, day, tzinfo=UTC) for day in (1, 5))
    figure = attrs.evolve(results, gaps=(Gap(start, stop, ("id0",)),)).plot(assets=["a", "b"])
    assert ([4, 6], [10]) == (runs(figure, 0), runs(figure, 1))
    [span] = figure.axes[0].patches
    box = span.get_extents().transformed(figure.axes[0].transData.inverted())
    assert [start.date(), stop.date()] == [num2date(x).date() for x in (box.x0, box.x1)]
    assert "could not be had" in words(figure)


def test_a_value_alone_is_seen() -> None:
    """Between two breaks there is no line: it has a mark."""
    figure = results_of({"a": {**dict.fromkeys(range(100), 1.0), 50: None, 52: None}}).plot()
    [line] = figure.axes[0].lines
    assert [51] == line.get_markevery()
    assert line.get_marker() not in {"", "None"}


@pytest.mark.parametrize(
    ("metric", "axis"),
    [
        ("stored_volume_bbl", "stored volume [bbl]"),
        ("fill_level_pct", "fill level [%]"),
        ("emission_rate_kg_per_h", "emission rate [kg/h]"),
        ("emission_rate_uncertainty_kg_per_h", "emission rate uncertainty [kg/h]"),
        ("emission_rate_t_h", "emission rate [t/h]"),
        ("hot_surface_m2", "hot surface [m²]"),
        ("flow_bpd", "flow [bbl/d]"),
        ("flow_bbl_per_d", "flow [bbl/d]"),
        ("hot_surface", "hot surface"),
        ("bbl", "bbl"),
        ("Methane Flux", "Methane Flux"),
        ("length_m", "length m"),
        ("", ""),
    ],
)
def test_the_unit_is_what_the_end_of_the_name_says(metric: str, axis: str) -> None:
    """And nothing where it says nothing, or two things."""
    assert axis == label(metric)


def test_the_axes_say_what_they_are() -> None:
    """The metric with its unit, dates that are readable, and where the unit is from."""
    figure = generated(assets=2, dates=60).plot(metric="stored_volume_bbl")
    [axes] = figure.axes
    assert "stored volume [bbl]" == axes.get_ylabel()
    dates = [tick.get_text() for tick in axes.get_xticklabels()]
    assert "2025" in dates
    assert 4 <= len(dates) <= 10
    assert any("," in tick.get_text() for tick in axes.get_yticklabels())
    assert "read off the metric's name, stored_volume_bbl" in words(figure)


@pytest.mark.parametrize("count", [1, 6, 7])
@pytest.mark.parametrize("size", [(4, 3), (10, 5.2)])
def test_nothing_lies_over_the_data(count: int, size: tuple[float, float]) -> None:
    """Neither legend nor words reach into the axes, nor out of the picture."""
    names: dict[str, Any] = {
        f"An asset with a long name, at a terminal with one, {n}": [1.0, 2.0] for n in range(count)
    }
    figure = results_of(names).plot(size=size, assets="all")
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    over = [*figure.texts, *figure.legends]
    for thing in over:
        box = thing.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= width
        assert box.y0 >= 0
        assert box.y1 <= height
        if thing is not getattr(figure, "_supylabel", None):
            assert not any(box.overlaps(axes.get_window_extent()) for axes in figure.axes)


@pytest.mark.parametrize("values", [[5.0], [0.0, 0.0], [1e290, -1e290], [1e-12, 2e-12], [None]])
@pytest.mark.parametrize("place", [True, False])
def test_any_number_is_drawn(tmp_path: Path, values: list[float | None], place: bool) -> None:
    """One date, no spread, huge, tiny, none."""
    results_of({"a": values, "b": [1.0]}).plot(tmp_path / "a.png", map=place)


def test_a_number_too_large_is_refused() -> None:
    """What matplotlib would drown in warnings."""
    with pytest.raises(UsageError, match="values beyond 1e\\+300"):
        results_of({"a": [1.7e308, -1.7e308]}).plot()


def simulated(colour: str, vision: list[list[float]]) -> FLOATS:
    """A colour as L*a*b*, seen with a vision of Machado, Oliveira and Fernandes (2009), severity 1."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.array(vision) @ np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(linear, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


VISIONS: dict[str, list[list[float]]] = {
    "usual": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_are_told_apart_with_any_colour_vision(theme: Theme, vision: str) -> None:
    """Lines from each other, and from the paper: 2.3 is the least difference that is seen; it is nine times that."""
    seen = [simulated(colour, VISIONS[vision]) for colour in (*theme.lines, theme.paper)]
    assert min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(seen, 2)) > 20


def test_no_two_colours_of_a_theme_are_the_same() -> None:
    """A page replaces them by name."""
    for theme in (LIGHT, DARK):
        assert len(theme.by_role()) == len(set(theme.by_role().values()))


# Maps.


def test_a_map_has_every_asset_at_its_centroid() -> None:
    """Coloured by its latest value; one without a value is hollow, one without a centroid is counted."""
    places: Any = [(-96.7, 35.9), (56.4, 25.2), (4.1, 52.0), None]
    results = results_of({"a": [1.0, 9.0], "b": [2.0], "c": [None], "d": [1.0]}, places=places)
    figure = results.plot(map=True)
    hollow, full = figure.axes[0].collections
    assert [[4.1, 52.0]] == np.asarray(hollow.get_offsets()).round(1).tolist()
    assert {(-96.7, 35.9), (56.4, 25.2)} == {tuple(at) for at in np.asarray(full.get_offsets()).round(1).tolist()}
    assert "1 of 4 assets have no centroid" in words(figure)
    assert "no value" in words(figure)
    assert (2.0, 9.0) == tuple(figure.axes[1].get_ylim())
    assert (2.0, 5.0) == tuple(results.plot(map=True, statistic="mean").axes[1].get_ylim())


def test_a_map_without_centroids_is_refused() -> None:
    """There is no place for anything."""
    with pytest.raises(UsageError, match="No asset has a centroid"):
        results_of({"a": [1.0]}, places=[None]).plot(map=True)  # type: ignore[list-item]


@pytest.mark.parametrize(
    "places",
    [
        [(4.1, 52.0)],
        [(178.0, -17.0), (-178.0, -18.0)],
        [(-179.9, 66.0)],
        [(0.0, 0.0), (120.0, 10.0), (-120.0, -10.0)],
        [(10.0, 80.0), (12.0, 79.0)],
        [(10.0, -82.0)],
        [(540.0, 10.0)],
    ],
)
def test_the_extent_holds_all_assets_with_room_around(places: list[tuple[float, float]]) -> None:
    """Across the antimeridian too, and never the wrong way around the world."""
    x, y = np.array(places).T
    west, south, east, north = extent_of(x, y, shape=1.5)
    assert all(0 <= (one - west) % 360 <= east - west for one in x)
    assert south <= y.min() <= y.max() <= north
    assert 12 <= north - south <= 180
    assert east - west <= 360
    if np.ptp(np.mod(x, 360)) < 20:
        assert east - west < 120


@pytest.mark.parametrize("pole", [1, -1])
def test_assets_around_a_pole_are_drawn_around_it(pole: int) -> None:
    """In a circle, each in its direction, instead of along the edge of a map."""
    figure = results_of(
        {"a": [1.0], "b": [2.0], "c": [3.0]}, places=[(0.0, 75.0 * pole), (90.0, 75.0 * pole), (180.0, 75.0 * pole)]
    ).plot(map=True)
    at = np.asarray(figure.axes[0].collections[-1].get_offsets()).round(6)
    assert {(0.0, -15.0 * pole), (15.0, 0.0), (0.0, 15.0 * pole)} == {(x + 0.0, y + 0.0) for x, y in at.tolist()}


@pytest.mark.parametrize(
    ("x", "y", "is_land"),
    [
        (-103.4, 31.8, True),
        (0.0, 0.0, False),
        (100.0, 60.0, True),
        (-179.0, 68.0, True),  # Chukotka, beyond the antimeridian
        (181.0, 68.0, True),  # the same place
        (51.0, 42.0, False),  # the Caspian Sea
        (0.0, -80.0, True),
        (178.0, -38.3, True),
        (175.0, -55.0, False),
    ],
)
def test_the_coast_is_where_it_is(x: float, y: float, is_land: bool) -> None:
    """Land is land, with its lakes, on either side of the antimeridian and around the South Pole."""
    outline = land.within((x - 20, max(y - 15, -90), x + 20, min(y + 15, 90)), 0.02)
    inside = outline is not None and sum(part.contains_point((x, y)) for part in _parts(outline))
    assert is_land == bool(inside and inside % 2)


def _parts(outline: Any) -> list[Any]:
    path = type(outline)
    return [path(polygon) for polygon in outline.to_polygons()]


def test_the_coast_is_small() -> None:
    """It ships with the package."""
    assert (Path(land.__file__).parent / "coastline.npz").stat().st_size < 100_000


# Files.


@pytest.mark.parametrize(
    ("ending", "begins"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("html", b"<!doctype html>")]
)
@pytest.mark.parametrize("place", [True, False])
def test_a_file_is_what_its_ending_says(tmp_path: Path, ending: str, begins: bytes, place: bool) -> None:
    """In a directory that is made, whole, and the same bytes for the same data."""
    results = generated(assets=8, dates=20)
    paths = [tmp_path / "new" / f"{name}.{ending}" for name in "ab"]
    for path in paths:
        results.plot(path, map=place)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(begins)
    assert first == second
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    if ending == "svg":
        assert "{http://www.w3.org/2000/svg}svg" == ET.fromstring(first).tag  # noqa: S314 - our own


def test_a_file_that_can_not_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    """With the path, and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=r"a\.png could not be written") as caught:
        results_of({"a": [1.0]}).plot(tmp_path / "file" / "a.png")
    assert tmp_path / "file" / "a.png" == caught.value.path
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UsageError, match="is a directory"):
        results_of({"a": [1.0]}).plot(tmp_path / "b.png")


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and data.strip():
            self.scripts.append(data)


@pytest.mark.parametrize("place", [True, False])
def test_a_page_loads_nothing(tmp_path: Path, place: bool) -> None:
    """No address is fetched, and its policy forbids it."""
    generated(assets=3, dates=5).plot(tmp_path / "a.html", map=place)
    text = (tmp_path / "a.html").read_text("utf-8")
    page = Page(text)
    for _, given in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (given.get(name) or "#").startswith(("#", "data:")), given
    assert not re.search(r"(?:url\(|@import|src=|fetch|import)\s*[\"']?\s*(?:https?:)?//", text)
    assert "default-src 'none'" in str(page.tags)
    # Names of XML, which nobody loads, are all the addresses there are.
    assert {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"} >= set(re.findall(r"https?://[^\"' ]+", text))


@pytest.mark.parametrize("place", [True, False])
def test_a_page_knows_each_value(tmp_path: Path, place: bool) -> None:
    """Asset, date and value, each at its point inside the axes; the unit beside them."""
    results_of({"a": [1.0, 2.5], "b": [3.0, None]}).plot(tmp_path / "a.html", map=place)
    data = json.loads(Page((tmp_path / "a.html").read_text("utf-8")).scripts[0])
    first = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
    expected = {"a": [(first, 1.0), (first + 86_400_000, 2.5)], "b": [(first, 3.0)]}
    assert (expected if not place else {name: said[-1:] for name, said in expected.items()}) == {
        line["name"]: list(zip(line["when"], line["value"], strict=True)) for line in data["lines"]
    }
    assert "t/h" == data["unit"]
    assert 2 == len(data["pictures"])  # the other for narrow screens
    for picture in data["pictures"]:
        left, top, right, bottom = picture["axes"][0]
        for line, at in zip(data["lines"], picture["places"], strict=True):
            assert len(line["value"]) == len(at["x"])
            assert all(left <= x <= right and top <= y <= bottom for x, y in zip(at["x"], at["y"], strict=True))


@pytest.mark.parametrize("place", [True, False])
def test_a_name_is_never_markup(tmp_path: Path, place: bool) -> None:
    """In a page: no script but our own two, no picture, no handler."""
    results = results_of({EVIL: [1.0, 2.0], "$x_": [2.0], "a{{DATA}}": [2.0]}, metric=EVIL)
    results.plot(tmp_path / "a.html", map=place, title=EVIL)
    page = Page((tmp_path / "a.html").read_text("utf-8"))
    assert 2 == len([tag for tag, _ in page.tags if tag == "script"])
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [given for _, given in page.tags if any(name.startswith("on") for name in given)]
    assert {EVIL, "$x_", "a{{DATA}}"} == {line["name"] for line in json.loads(page.scripts[0])["lines"]}
    results.plot(tmp_path / "a.svg", map=place, title=EVIL)
    tree = ET.fromstring((tmp_path / "a.svg").read_bytes())  # noqa: S314 - our own
    assert not [one for one in tree.iter() if one.tag.endswith(("script", "}img"))]


@pytest.mark.parametrize(("theme", "schemes"), [("auto", ["light", "dark"]), ("light", ["light"]), ("dark", ["dark"])])
def test_a_page_is_light_or_dark(tmp_path: Path, theme: Any, schemes: list[str]) -> None:
    """As its reader's system is, unless asked; its colours stand under their names alone."""
    results_of({"a": [1.0, 2.0]}).plot(tmp_path / "a.html", theme=theme)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert schemes == re.findall(r"color-scheme:(\w+);", text)
    assert ("prefers-color-scheme:dark" in text) == (theme == "auto")
    svg = text[text.index("<svg") : text.index("</svg>")]
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}
    assert "var(--line0)" in svg


def test_letters_that_no_font_has_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and where the picture has boxes: SVG and HTML take the fonts of their reader."""
    results = results_of({"\U00013080": [1.0], "b": [1.0]})  # a hieroglyph
    with caplog.at_level(logging.WARNING):
        results.plot(tmp_path / "a.svg")
        assert not caplog.messages
        results.plot(tmp_path / "a.png")
    assert "1 of the letters" in caplog.messages[0]
    assert 1 == len(caplog.messages)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a b"),
        ("\x1b[31mred\x07", "[31mred"),
        ("\u202egnp", "gnp"),
        (" Tank  1 ", "Tank 1"),
        ("東京湾", "東京湾"),
    ],
)
def test_a_name_is_one_line_that_steers_nothing(name: str, shown: str) -> None:
    """What turns a terminal or the direction of writing is left out."""
    assert shown == clean(name)
    assert "\x1b[31" not in terminal_chart(results_of({name or "-": [1.0, 2.0]}), colour=False)


def test_a_long_name_is_cut_in_the_middle() -> None:
    """Its end is often what tells it from others."""
    assert "Tank of th…ber 12" == short("Tank of the terminal, number 12", 17)
    assert 17 == len(short("x" * 80, 17))


# Without a file.


def test_a_notebook_shows_the_figure() -> None:
    """By itself, also where pyplot was never imported."""
    figure = results_of({"a": [1.0, 2.0]}).plot()
    assert isinstance(figure, Picture)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_the_users_own_settings_of_matplotlib_stay(tmp_path: Path) -> None:
    """And change nothing of ours."""
    import matplotlib as mpl

    results = results_of({"a": [1.0, 2.0]})
    results.plot(tmp_path / "a.svg")
    with mpl.rc_context({"font.size": 40, "axes.facecolor": "red"}):
        results.plot(tmp_path / "b.svg")
        assert 40 == mpl.rcParams["font.size"]
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("width", "height"), [(40, 12), (80, 20), (140, 40)])
def test_a_chart_fits_the_terminal(width: int, height: int, colour: bool) -> None:
    """With its metric on top and its assets below; without colour there is no escape sequence."""
    text = terminal_chart(generated(assets=9, dates=40), width=width, height=height, colour=colour)
    plain = re.sub(r"\x1b\[[\d;]*m", "", text).split("\n")
    assert max(map(len, plain)) <= width
    assert len(plain) <= max(height, 12)
    assert plain[0].startswith("Fill level [%]; 6 of 9 assets"[: width - 15])
    assert colour == ("\x1b" in text)
    assert 6 == sum("Tank" in line for line in plain)


def test_a_chart_in_a_terminal_has_gaps() -> None:
    """No line over what is missing."""
    whole, broken = (
        terminal_chart(results_of({"a": dict.fromkeys(days, 1.0)}), colour=False)
        for days in (range(100), [*range(40), *range(60, 100)])
    )
    most = max(whole.split("\n"), key=lambda line: line.count("•"))
    least = max(broken.split("\n"), key=lambda line: line.count("•"))
    assert most.count("•") * 0.9 > least.count("•") > most.count("•") * 0.7


def test_a_terminal_has_room_for_six() -> None:
    """More can't be told apart."""
    with pytest.raises(UsageError, match=r"7 assets are too many for a terminal"):
        terminal_chart(generated(assets=7), assets="all")


@pytest.mark.parametrize(
    ("missing", "draw"), [("matplotlib", plot), ("matplotlib", terminal_chart), ("plotext", terminal_chart)]
)
def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch, missing: str, draw: Any) -> None:
    """Instead of somebody else's ImportError."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "kayrros-ext[plots]"')) as caught:
        draw(results_of({"a": [1.0]}))
    assert "plots" == caught.value.extra


# Views in notebooks.


def test_results_have_a_view() -> None:
    """How much, each metric with range and dates, the first rows, and what is missing."""
    results = generated(assets=3, dates=4)
    start = datetime(2024, 2, 1, tzinfo=UTC)
    view = attrs.evolve(results, gaps=(Gap(start, start),))._repr_html_()
    for part in ("24 rows", "3 assets", "fill_level_pct", "stored_volume_bbl", "2024-01-02", "Tank 000000, Cushing"):
        assert part in view
    assert "Could not be had" in view
    assert "The first 5 of 24 rows" in view
    assert "0 rows" in Results.from_json(b"{}")._repr_html_()


def test_a_view_holds_no_markup_of_others() -> None:
    """Names of assets and metrics, and texts of metadata."""
    platform = Platform()
    dataset = platform.generate(name=EVIL)
    with platform.connect() as kayrros:
        metadata = notebook.metadata_html(kayrros.metadata(dataset.id))
    for view in (results_of({EVIL: [1.0]}, metric=EVIL)._repr_html_(), metadata):
        assert not {"script", "img"} & {tag for tag, _ in Page(view).tags}
        assert "&lt;script&gt;" in view


def test_metadata_have_a_view_once_they_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython shows them by ours, from the first call on; the generated class is left as it is."""
    from IPython.core.formatters import DisplayFormatter

    platform = Platform()
    dataset = platform.generate()
    shell = SimpleNamespace(display_formatter=DisplayFormatter())
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    with platform.connect() as kayrros:
        metadata = kayrros.metadata(dataset.id)
    shown, _ = shell.display_formatter.format(metadata)
    assert "Crude oil storage" in shown["text/html"]
    assert re.search(r"start_date</td><td[^>]*>2024-01-02<", shown["text/html"])
    assert not hasattr(type(metadata), "_repr_html_")
