"""Pictures show the data as they are, leave gaps open, and each file is self-contained."""

import itertools
import json
import logging
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.dates import date2num, num2date
from matplotlib.figure import Figure
from matplotlib.path import Path as Outline

from kayrros_ext import ExportError, Gap, MissingExtraError, Results, UsageError
from kayrros_ext._text import cell_width, printable, shorten
from kayrros_ext.plots import coastline, plot, terminal_chart
from kayrros_ext.plots.figures import NotebookFigure
from kayrros_ext.plots.labels import axis_label
from kayrros_ext.plots.map_layout import map_extent
from kayrros_ext.plots.series import chart_data
from kayrros_ext.plots.themes import DARK, LIGHT, Theme
from kayrros_ext.testing import Platform

FLOATS = npt.NDArray[np.float64]
EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
FIRST = date(2024, 1, 1)


def results_of(
    assets: dict[str, list[float | None] | dict[int, float | None]],
    *,
    metric: str = "emission_rate_t_h",
    step_days: int = 1,
    centroids: list[tuple[float, float] | None] | None = None,
) -> Results:
    """Values by asset, as a list or by index of the date; centroids are longitude and latitude."""
    body: list[dict[str, Any]] = []
    for number, (name, values) in enumerate(assets.items()):
        centroid = centroids[number] if centroids else (number, 50)
        dated = values.items() if isinstance(values, dict) else enumerate(values)
        results = [
            {"value_date": str(FIRST + timedelta(days=day * step_days)), "metrics": [{"name": metric, "value": value}]}
            for day, value in dated
        ]
        asset: dict[str, Any] = {"asset_id": f"id{number}", "asset_name": name, "results": results}
        if centroid:
            asset |= {"asset_centroid_longitude": centroid[0], "asset_centroid_latitude": centroid[1]}
        body.append(asset)
    return Results.from_json(json.dumps({"assets": body}).encode())


def generated(**options: Any) -> Results:
    platform = Platform()
    with platform.connect() as kayrros:
        return kayrros.results(platform.generate(**{"seed": 1, **options}).id)


def run_lengths(figure: Figure, line: int = 0) -> list[int]:
    """The number of values in each unbroken part of a line."""
    values = np.asarray(figure.axes[0].lines[line].get_ydata(), float)
    return [len(list(group)) for valid, group in itertools.groupby(values, np.isfinite) if valid]


def texts(figure: Figure) -> str:
    return "\n".join(
        text.get_text() for text in [*figure.texts, *(t for box in figure.legends for t in box.get_texts())]
    )


# Over time.


def test_six_largest_assets_are_the_default() -> None:
    """The mean absolute value decides, so that large negative values count. A note says so."""
    results = results_of({f"asset {size}": [float(size), -float(size)] for size in range(8)})
    figure = results.plot()
    assert [f"asset {size}" for size in (7, 6, 5, 4, 3, 2)] == [
        text.get_text() for text in figure.legends[0].get_texts()
    ]
    assert "6 of 8 assets: the largest by mean absolute value" in texts(figure)
    assert len(figure.axes[0].lines) == 6


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (6, 1), (7, 7), (13, 13)])
def test_more_than_six_assets_get_small_charts(count: int, panels: int) -> None:
    """All have the same axes, and each its asset as title."""
    figure = generated(assets=count, dates=5).plot(assets="all")
    visible = [axes for axes in figure.axes if axes.get_visible()]
    assert len(visible) == panels
    assert len({axes.get_ylim() for axes in visible}) == 1
    if panels > 1:
        assert len({axes.get_title(loc="left") for axes in visible}) == panels


@pytest.mark.parametrize("as_map", [True, False])
@pytest.mark.parametrize("size", [(2, 2), (4.6, 4.4)])
def test_small_pictures_grow_to_fit_their_texts(size: tuple[float, float], as_map: bool) -> None:
    """No text overlaps another or runs off the picture, and the axes stay legible."""
    name = "The long official name of the terminal in the north of the bay, number "
    results = results_of(
        {name + str(i): [1.0, i] for i in range(6)}, metric="a_metric_with_a_name_too_long_for_an_axis_bbl"
    )
    figure = results.plot(size=size, map=as_map)
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
    """Two to nine ticks for any range, and no warning of matplotlib."""
    results = results_of({str(number): {0: 1.0, days: 2.0} for number in range(count)})
    figure = results.plot(assets="all", size=(8, 4))
    first, last = figure.axes[0].get_xlim()
    ticks = [tick for tick in figure.axes[0].get_xticks() if first <= tick <= last]
    assert 2 <= len(ticks) <= 9


@pytest.mark.parametrize("ends", [(date.min, FIRST), (FIRST, date.max), (date.min, date.max), (date.max, date.max)])
def test_first_and_last_date_of_the_calendar_can_be_drawn(ends: tuple[date, date]) -> None:
    """Some datasets use 9999 for "never", and matplotlib accepts no margin beyond it."""
    axes = results_of({"a": {(day - FIRST).days: 1.0 for day in ends}}).plot().axes[0]
    first, last = axes.get_xlim()
    assert first <= date2num(ends[0]) <= date2num(ends[1]) <= last


def test_single_date_has_a_full_label() -> None:
    """The picture and the terminal chart show it."""
    results = results_of({"a": [5.0], "b": [7.0]})
    assert [text.get_text() for text in results.plot().axes[0].get_xticklabels()] == ["2024-01-01"]
    chart = terminal_chart(results, colour=False)
    assert re.findall(r"[\d-]+", chart.split("\n")[-3]) == ["2024-01-01"]


def test_more_than_a_hundred_charts_are_refused() -> None:
    """The hint names the alternatives."""
    results = results_of({f"a{number}": [1.0] for number in range(101)})
    with pytest.raises(UsageError, match=r"101 assets are too many.*has room for 100.*or map=True"):
        results.plot(assets="all")


def test_assets_are_selected_by_id_or_name() -> None:
    """Labels of assets that share a name include their ids."""
    results = results_of({"North": [1.0], "South": [2.0], "East": [3.0]})
    assert [one.label for one in chart_data(results, None, ["id2", "North"], None).series] == ["North", "East"]
    assert [one.label for one in chart_data(results, None, 2, None).series] == ["East", "South"]
    body = {"assets": [{"asset_id": i, "asset_name": "T", "results": [{"value_date": "2024-01-01", "metrics": [
        {"name": "m", "value": 1}]}]} for i in ("a", "b")]}  # fmt: skip
    assert [one.label for one in chart_data(Results.from_json(json.dumps(body).encode()), None, None, None).series] == [
        "T (a)",
        "T (b)",
    ]
    with pytest.raises(UsageError, match="2 assets have the name 'T': a, b. Pass the id of one of them."):
        Results.from_json(json.dumps(body).encode()).plot(assets="T")
    assert [one.label for one in chart_data(results, ["emission_rate_t_h"], "id0", None).series] == ["North"]


def test_names_are_compared_as_in_a_request() -> None:
    """Case and blanks of assets and metrics do not matter. A metric that is the same letter by letter wins."""
    body: dict[str, Any] = {"assets": [{"asset_id": i, "asset_name": f"Tank  {i}", "results": [
        {"value_date": "2024-01-01", "metrics": [{"name": name, "value": 1} for name in names]}]}
        for i, names in (("A", ("Fill  level", "rate", "Rate")), ("B", ("rate",)))]}  # fmt: skip
    results = Results.from_json(json.dumps(body).encode())
    data = chart_data(results, "FILL level", "tank a", None)
    assert (data.metric, [one.asset_id for one in data.series]) == ("Fill level", ["A"])
    assert len(chart_data(results, "rate", None, None).series) == 2
    assert list(results.to_pandas(wide="fill level")) == ["Tank  A"]
    assert list(results.to_pandas(wide=["fill level", "Rate"])) == [("Fill  level", "Tank  A"), ("Rate", "Tank  A")]
    for refused in (lambda: chart_data(results, "RATE", None, None), lambda: results.to_pandas(wide="RATE")):
        with pytest.raises(UsageError, match=r"2 metrics have the name 'RATE': 'Rate', 'rate'\. Pass one of them"):
            refused()
    with pytest.raises(UsageError, match=r"No row of 'Rate' belongs to the asset 'B'\. Available assets: 'Tank A'\."):
        chart_data(results, "Rate", "tank b", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "volume"}, r"No row has the metric 'volume'. Available metrics: 'emission_rate_t_h'\."),
        ({"assets": ["West"]}, r"has no asset 'West'. Available names: 'South', 'North'\."),
        ({"assets": []}, "assets is empty"),
        ({"assets": 0}, "assets is 0"),
        ({"assets": True}, "assets is True"),
        ({"assets": {"North": 1}}, "assets is a dict"),
        ({"assets": "x" * 500}, "has no asset 'x{1,80}\\."),
        ({"metric": ["a", "b"]}, "metric has 2 names. Draw one metric at a time"),
        ({"metric": 5}, "metric is 5"),
        ({"metric": []}, "metric is empty"),
        ({"title": 5}, "title is 5"),
        ({"map": "yes"}, "map is 'yes'. Use one of True, False"),
        ({"size": 5}, "size is 5. Pass width and height"),
        ({"size": ("a", "b")}, "size is .'a', 'b'.. Pass width and height"),
        ({"theme": "blue"}, "theme is 'blue'. Use one of 'auto', 'light', 'dark'"),
        ({"statistic": "median", "map": True}, "statistic is 'median'. Use one of 'latest', 'mean'"),
        ({"size": (0, 5)}, "size is .0, 5.. Pass width and height in inches"),
        (
            {"path": "chart.pdf"},
            "'chart.pdf' does not end in the suffix of a picture format. Use one of .png, .svg, .html",
        ),
        ({"path": "."}, "not a file"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    """The hint lists the valid values."""
    with pytest.raises(UsageError, match=message):
        results_of({"North": [1.0], "South": [2.0]}).plot(**options)


@pytest.mark.parametrize("draw", [plot, terminal_chart])
def test_results_without_rows_are_refused(draw: Any) -> None:
    """An empty picture could be mistaken for zero emissions."""
    with pytest.raises(UsageError, match="nothing to draw"):
        draw(Results.from_json(b"{}"))


def test_line_breaks_at_missing_dates_and_nulls() -> None:
    """A single missing date of a weekly series is enough."""
    days = [0, 1, 2, 4, 5, 6, 7, 9]
    figure = results_of({"a": {**dict.fromkeys(days, 1.0), 5: None}}, step_days=7).plot()
    assert run_lengths(figure) == [3, 1, 2, 1]
    assert "the median step is 7 days" in texts(figure)


def test_monthly_series_has_no_breaks() -> None:
    """Although its steps vary from 28 to 31 days."""
    months = {(date(2023 + month // 12, month % 12 + 1, 1) - FIRST).days: 1.0 for month in range(24)}
    assert run_lengths(results_of({"a": {**months}}).plot()) == [24]


def test_gaps_of_results_break_lines_and_are_shaded() -> None:
    """A gap breaks the lines of its assets only, even between two dates at the median step."""
    results = results_of({"a": [1.0] * 10, "b": [2.0] * 10}, step_days=10)
    start, stop = (datetime(2024, 2, day, tzinfo=UTC) for day in (1, 5))
    figure = attrs.evolve(results, gaps=(Gap(start, stop, ("id0",)),)).plot(assets=["a", "b"])
    assert (run_lengths(figure, 0), run_lengths(figure, 1)) == ([4, 6], [10])
    [span] = figure.axes[0].patches
    box = span.get_extents().transformed(figure.axes[0].transData.inverted())
    assert [num2date(x).date() for x in (box.x0, box.x1)] == [start.date(), stop.date()]
    assert "unavailable" in texts(figure)


def test_isolated_value_has_a_mark() -> None:
    """Between two breaks no line would show it."""
    figure = results_of({"a": {**dict.fromkeys(range(100), 1.0), 50: None, 52: None}}).plot()
    [line] = figure.axes[0].lines
    assert line.get_markevery() == [51]
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
def test_unit_is_derived_from_the_metric_name(metric: str, axis: str) -> None:
    """Unknown and ambiguous suffixes give no unit."""
    assert axis == axis_label(metric)


def test_axes_are_labelled() -> None:
    """Labels show metric, unit and readable dates. A note gives the source of the unit."""
    figure = generated(assets=2, dates=60).plot(metric="stored_volume_bbl")
    [axes] = figure.axes
    assert axes.get_ylabel() == "stored volume [bbl]"
    dates = [tick.get_text() for tick in axes.get_xticklabels()]
    assert "2025" in dates
    assert 4 <= len(dates) <= 10
    assert any("," in tick.get_text() for tick in axes.get_yticklabels())
    assert "Unit derived from the metric name, stored_volume_bbl" in texts(figure)


@pytest.mark.parametrize("count", [1, 6, 7])
@pytest.mark.parametrize("size", [(4, 3), (10, 5.2)])
def test_nothing_covers_the_data(count: int, size: tuple[float, float]) -> None:
    """Legend and texts stay outside of the axes and inside the picture."""
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
@pytest.mark.parametrize("as_map", [True, False])
def test_any_number_is_drawn(tmp_path: Path, values: list[float | None], as_map: bool) -> None:
    """One date, equal values, huge, tiny, none."""
    results_of({"a": values, "b": [1.0]}).plot(tmp_path / "a.png", map=as_map)


def test_values_beyond_1e300_are_refused() -> None:
    """Because matplotlib would overflow."""
    with pytest.raises(UsageError, match="values beyond 1e\\+300"):
        results_of({"a": [1.7e308, -1.7e308]}).plot()


def simulated(colour: str, vision: list[list[float]]) -> FLOATS:
    """A colour in L*a*b* as seen with a colour vision deficiency (Machado, Oliveira and Fernandes 2009, severity 1)."""
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
    """Lines and background differ by 20, nine times the smallest visible difference of 2.3."""
    colours = [simulated(colour, VISIONS[vision]) for colour in (*theme.lines, theme.paper)]
    assert min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(colours, 2)) > 20


def test_colours_of_a_theme_are_distinct() -> None:
    """A page replaces them by role."""
    for theme in (LIGHT, DARK):
        assert len(theme.by_role()) == len(set(theme.by_role().values()))


# Maps.


def test_map_shows_each_asset_at_its_centroid() -> None:
    """Coloured by value, hollow without a value; a note counts the assets without a centroid."""
    centroids = [(-96.7, 35.9), (56.4, 25.2), (4.1, 52.0), None]
    results = results_of({"a": [1.0, 9.0], "b": [2.0], "c": [None], "d": [1.0]}, centroids=centroids)
    figure = results.plot(map=True)
    hollow, full = figure.axes[0].collections
    assert np.asarray(hollow.get_offsets()).round(1).tolist() == [[4.1, 52.0]]
    assert {tuple(at) for at in np.asarray(full.get_offsets()).round(1).tolist()} == {(-96.7, 35.9), (56.4, 25.2)}
    assert "1 of 4 assets not shown, for lack of a centroid" in texts(figure)
    assert "no value" in texts(figure)
    assert tuple(figure.axes[1].get_ylim()) == (2.0, 9.0)
    assert tuple(results.plot(map=True, statistic="mean").axes[1].get_ylim()) == (2.0, 5.0)


def test_map_without_centroids_is_refused() -> None:
    """It would be empty."""
    with pytest.raises(UsageError, match="No asset has a centroid"):
        results_of({"a": [1.0]}, centroids=[None]).plot(map=True)


@pytest.mark.parametrize(
    "centroids",
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
def test_map_extent_contains_all_assets(centroids: list[tuple[float, float]]) -> None:
    """It may cross the antimeridian, and never goes the long way around the world."""
    x, y = np.array(centroids).T
    west, south, east, north = map_extent(x, y, aspect=1.5)
    assert all(0 <= (one - west) % 360 <= east - west for one in x)
    assert south <= y.min() <= y.max() <= north
    assert 12 <= north - south <= 180
    assert east - west <= 360
    if np.ptp(np.mod(x, 360)) < 20:
        assert east - west < 120


@pytest.mark.parametrize("pole", [1, -1])
def test_assets_around_a_pole_are_drawn_around_it(pole: int) -> None:
    """The map has a polar projection, and the assets do not line up along its edge."""
    figure = results_of(
        {"a": [1.0], "b": [2.0], "c": [3.0]}, centroids=[(0.0, 75.0 * pole), (90.0, 75.0 * pole), (180.0, 75.0 * pole)]
    ).plot(map=True)
    at = np.asarray(figure.axes[0].collections[-1].get_offsets()).round(6)
    assert {(x + 0.0, y + 0.0) for x, y in at.tolist()} == {(0.0, -15.0 * pole), (15.0, 0.0), (0.0, 15.0 * pole)}


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
def test_coast_separates_land_from_sea(x: float, y: float, is_land: bool) -> None:
    """It does so on both sides of the antimeridian, around the South Pole, and for inland seas."""
    outline = coastline.land_within((x - 20, max(y - 15, -90), x + 20, min(y + 15, 90)), 0.02)
    polygons = [Outline(polygon) for polygon in outline.to_polygons()] if outline else []
    assert is_land == bool(sum(polygon.contains_point((x, y)) for polygon in polygons) % 2)


def test_coastline_file_is_small() -> None:
    """Below 100 kB, because it ships with the package."""
    assert (Path(coastline.__file__).parent / "coastline.npz").stat().st_size < 100_000


# Files.


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG\r\n"), ("svg", b"<?xml"), ("html", b"<!doctype html>")]
)
@pytest.mark.parametrize("as_map", [True, False])
def test_suffix_selects_the_format(tmp_path: Path, suffix: str, magic: bytes, as_map: bool) -> None:
    """The directory is created, no temporary file stays, and the same data give the same bytes."""
    results = generated(assets=8, dates=20)
    paths = [tmp_path / "new" / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        results.plot(path, map=as_map)
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    if suffix == "svg":
        assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own


def test_unwritable_file_is_an_export_error(tmp_path: Path) -> None:
    """The error has the path. A directory is a UsageError."""
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match=r"a\.png could not be written") as caught:
        results_of({"a": [1.0]}).plot(tmp_path / "file" / "a.png")
    assert tmp_path / "file" / "a.png" == caught.value.path
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        results_of({"a": [1.0]}).plot(tmp_path / "b.png")


def test_picture_is_written_through_a_symlink(tmp_path: Path) -> None:
    """The link stays."""
    (link := tmp_path / "a.svg").symlink_to("b.svg")
    results_of({"a": [1.0]}).plot(link)
    assert link.is_symlink()
    assert (tmp_path / "b.svg").read_bytes().startswith(b"<?xml")


class Page(HTMLParser):
    """The tags and scripts of a page."""

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


@pytest.mark.parametrize("as_map", [True, False])
def test_page_is_self_contained(tmp_path: Path, as_map: bool) -> None:
    """It refers to no address, and its content security policy forbids any."""
    generated(assets=3, dates=5).plot(tmp_path / "a.html", map=as_map)
    text = (tmp_path / "a.html").read_text("utf-8")
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), attributes
    assert not re.search(r"(?:url\(|@import|src=|fetch|import)\s*[\"']?\s*(?:https?:)?//", text)
    assert "default-src 'none'" in str(page.tags)
    # XML namespaces are never loaded.
    assert {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"} >= set(re.findall(r"https?://[^\"' ]+", text))


@pytest.mark.parametrize("as_map", [True, False])
def test_page_holds_each_value(tmp_path: Path, as_map: bool) -> None:
    """A value has asset, date and unit, and its point is inside the axes."""
    results_of({"a": [1.0, 2.5], "b": [3.0, None]}).plot(tmp_path / "a.html", map=as_map)
    data = json.loads(Page((tmp_path / "a.html").read_text("utf-8")).scripts[0])
    first = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
    expected = {"a": [(first, 1.0), (first + 86_400_000, 2.5)], "b": [(first, 3.0)]}
    assert (expected if not as_map else {name: values[-1:] for name, values in expected.items()}) == {
        line["name"]: list(zip(line["dates"], line["values"], strict=True)) for line in data["lines"]
    }
    assert data["unit"] == "t/h"
    assert len(data["pictures"]) == 2  # the second is for narrow screens
    for picture in data["pictures"]:
        left, top, right, bottom = picture["axes"][0]
        for line, points in zip(data["lines"], picture["points"], strict=True):
            assert len(line["values"]) == len(points["x"])
            assert all(left <= x <= right and top <= y <= bottom for x, y in zip(points["x"], points["y"], strict=True))


@pytest.mark.parametrize("as_map", [True, False])
def test_names_are_never_markup(tmp_path: Path, as_map: bool) -> None:
    """A page has our two scripts and no others, no image, and no event handler."""
    results = results_of({EVIL: [1.0, 2.0], "$x_": [2.0], "a{{DATA}}": [2.0]}, metric=EVIL)
    results.plot(tmp_path / "a.html", map=as_map, title=EVIL)
    page = Page((tmp_path / "a.html").read_text("utf-8"))
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    assert {line["name"] for line in json.loads(page.scripts[0])["lines"]} == {EVIL, "$x_", "a{{DATA}}"}
    results.plot(tmp_path / "a.svg", map=as_map, title=EVIL)
    tree = ET.fromstring((tmp_path / "a.svg").read_bytes())  # noqa: S314 - our own
    assert not [one for one in tree.iter() if one.tag.endswith(("script", "}img"))]


@pytest.mark.parametrize(("theme", "schemes"), [("auto", ["light", "dark"]), ("light", ["light"]), ("dark", ["dark"])])
def test_page_follows_the_theme(tmp_path: Path, theme: Any, schemes: list[str]) -> None:
    """Or the reader's system; the SVG refers to colours by role only."""
    results_of({"a": [1.0, 2.0]}).plot(tmp_path / "a.html", theme=theme)
    text = (tmp_path / "a.html").read_text("utf-8")
    assert schemes == re.findall(r"color-scheme:(\w+);", text)
    assert ("prefers-color-scheme:dark" in text) == (theme == "auto")
    svg = text[text.index("<svg") : text.index("</svg>")]
    assert set(re.findall(r"#[0-9a-f]{6}\b", svg)) <= {"#000000"}
    assert "var(--line0)" in svg


def test_missing_glyphs_are_logged_once_for_png(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only for PNG, because SVG and HTML use the fonts of their reader."""
    results = results_of({"\U00013080": [1.0], "b": [1.0]})  # a hieroglyph
    with caplog.at_level(logging.WARNING):
        results.plot(tmp_path / "a.svg")
        assert not caplog.messages
        results.plot(tmp_path / "a.png")
    assert "1 of the letters" in caplog.messages[0]
    assert len(caplog.messages) == 1


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
def test_names_lose_control_characters(name: str, shown: str) -> None:
    """Including those that change the direction of writing."""
    assert shown == printable(name)
    assert "\x1b[31" not in terminal_chart(results_of({name or "-": [1.0, 2.0]}), colour=False)


def test_long_name_is_truncated_in_its_middle() -> None:
    """Because names often differ at the end."""
    assert shorten("Tank of the terminal, number 12", 17) == "Tank of th…ber 12"
    assert len(shorten("x" * 80, 17)) == 17


# Without a file.


def test_notebook_shows_the_figure() -> None:
    """It does so even if pyplot is not imported."""
    figure = results_of({"a": [1.0, 2.0]}).plot()
    assert isinstance(figure, NotebookFigure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_matplotlib_settings_of_the_user_stay_and_have_no_effect(tmp_path: Path) -> None:
    """The same data give the same picture."""
    import matplotlib as mpl

    results = results_of({"a": [1.0, 2.0]})
    results.plot(tmp_path / "a.svg")
    with mpl.rc_context({"font.size": 40, "axes.facecolor": "red"}):
        results.plot(tmp_path / "b.svg")
        assert mpl.rcParams["font.size"] == 40
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("width", "height"), [(40, 10), (40, 12), (80, 20), (140, 40)])
def test_a_chart_fits_the_terminal(width: int, height: int, colour: bool) -> None:
    """The metric is above, and the assets that have room are below. Without colour, there are no escape sequences."""
    text = terminal_chart(generated(assets=9, dates=40), width=width, height=height, colour=colour)
    plain = re.sub(r"\x1b\[[\d;]*m", "", text).split("\n")
    assert max(map(len, plain)) <= width
    assert len(plain) <= height
    count = {10: 2, 12: 4}.get(height, 6)
    assert plain[0].startswith(f"Fill level [%]; {count} of 9 assets"[: width - 15])
    assert colour == ("\x1b" in text)
    assert sum("Tank" in line for line in plain) == count
    assert sum("│" in line or "┤" in line for line in plain) >= 4


@pytest.mark.parametrize(("width", "height"), [(39, 24), (80, 9)])
def test_terminal_without_room_for_a_chart_is_an_error(width: int, height: int) -> None:
    """The error says how much room a chart needs."""
    with pytest.raises(UsageError, match="at least 40 columns and 10 lines"):
        terminal_chart(generated(assets=1, dates=4), width=width, height=height)
    with pytest.raises(UsageError, match="room for 2"):
        terminal_chart(generated(assets=3, dates=4), assets="all", width=40, height=10)


@pytest.mark.parametrize("name", ["東京湾の石油タンク" * 9, "e\u0301" * 90, "Tank " * 40])
def test_chart_of_wide_letters_fits_the_terminal(name: str) -> None:
    """A Chinese letter takes two columns, an accent of its own takes no column."""
    text = terminal_chart(results_of({name: [1.0, 2.0]}, metric=name), width=40, height=12, colour=False)
    assert max(map(cell_width, text.split("\n"))) <= 40


def test_control_characters_reach_no_text_of_a_picture(tmp_path: Path) -> None:
    """Neither from the title, nor from names of the server. The SVG is valid XML."""
    evil = "a\x1b[31m\x00\u202eb\u2028c"
    for as_map in (False, True):
        drawn = results_of({evil: [1.0, 2.0], "b": [2.0, 3.0]}, metric=f"{evil}_bbl")
        for title in (evil, None):
            drawn.plot(tmp_path / "x.svg", title=title, map=as_map)
            ET.parse(tmp_path / "x.svg")  # noqa: S314 - our own file
            drawn.plot(tmp_path / "x.html", title=title, map=as_map)
            for file in tmp_path.iterdir():
                assert not {"\x1b", "\x00", "\u202e", "\u2028"} & set(file.read_text("utf-8"))


def test_terminal_chart_breaks_lines_at_gaps() -> None:
    """No line is drawn across missing dates."""
    complete, broken = (
        terminal_chart(results_of({"a": dict.fromkeys(days, 1.0)}), colour=False)
        for days in (range(100), [*range(40), *range(60, 100)])
    )
    most = max(complete.split("\n"), key=lambda line: line.count("•"))
    least = max(broken.split("\n"), key=lambda line: line.count("•"))
    assert most.count("•") * 0.9 > least.count("•") > most.count("•") * 0.7


def test_terminal_chart_has_room_for_six_assets() -> None:
    """More lines can't be told apart."""
    with pytest.raises(UsageError, match=r"7 assets are too many for a terminal"):
        terminal_chart(generated(assets=7), assets="all")


@pytest.mark.parametrize(
    ("missing", "draw"), [("matplotlib", plot), ("matplotlib", terminal_chart), ("plotext", terminal_chart)]
)
def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str, draw: Any) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "kayrros-ext[plots]"')) as caught:
        draw(results_of({"a": [1.0]}))
    assert caught.value.extra == "plots"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_system_without_a_writable_directory_is_an_error_with_advice() -> None:
    """A container with a read-only root has none, and matplotlib can't be imported there."""
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # so that no directory is usable for temporary files
from kayrros_ext import ConfigurationError
from kayrros_ext.plots import require
try:
    require("matplotlib")
except ConfigurationError as error:
    print(error.hint)
"""
    command = [sys.executable, "-c", script]
    environment = {**os.environ, "MPLCONFIGDIR": "/dev/null/matplotlib"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "Set MPLCONFIGDIR to a directory that you may write to.\n"
