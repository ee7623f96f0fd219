"""Charts show the data as they are, say what they leave out, and each file is self-contained."""

import base64
import hashlib
import html
import itertools
import json
import re
import struct
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import altair as alt
import attrs
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import vl_convert
from altair.utils import schemapi

from kayrros_ext import ExportError, Gap, MissingExtraError, Results, UsageError
from kayrros_ext._text import cell_width, format_short, shorten
from kayrros_ext.cli.terminal_chart import terminal_chart
from kayrros_ext.plots import Kind
from kayrros_ext.plots.data import read, thin
from kayrros_ext.plots.frame import fit_names, themes
from kayrros_ext.testing import Platform

# A chart is validated where a test reads its specification. Validating each part of it too takes longer than drawing.
schemapi.disable_debug_mode()
EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'
FIRST = date(2024, 1, 1)
OVER_TIME: list[Any] = [kind for kind in get_args(Kind) if kind != "map"]
Values = list[Any] | dict[Any, Any]


def results_of(
    assets: dict[str, Values], *, metric: str | tuple[str, ...] = "stored_volume_bbl", step: int = 1, parents: str = ""
) -> Results:
    """Values by asset, as a list, by day after 2024-01-01, or by date. Each metric is ten times the one before."""
    body: list[dict[str, Any]] = []
    metrics = (metric,) if isinstance(metric, str) else metric
    for number, (name, values) in enumerate(assets.items()):
        asset: dict[str, Any] = {"asset_id": f"id{number}", "asset_name": name, "results": []}
        if parents:
            asset |= {"parent_asset_id": parents[number], "parent_asset_name": f"Terminal {parents[number]}"}
        for day, value in values.items() if isinstance(values, dict) else enumerate(values):
            when = day if isinstance(day, str) else str(FIRST + timedelta(days=day * step))
            several = [
                {"name": one, "value": None if value is None else value * 10**power}
                for power, one in enumerate(metrics)
            ]
            asset["results"].append({"value_date": when, "metrics": several})
        body.append(asset)
    return Results.from_json(json.dumps({"assets": body}).encode())


def generated(**options: Any) -> Results:
    platform = Platform()
    with platform.connect() as kayrros:
        dataset = platform.generate(**{"seed": 1, **options}).id
        kayrros.metadata(dataset)
        return kayrros.results(dataset)


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Each object within a specification."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from parts(child)


def rows(chart: Any) -> list[dict[str, Any]]:
    """The rows of the data, and those of breaks, whose value is null."""
    several = itertools.chain(*chart.to_dict()["datasets"].values())
    return [row for row in several if "value" in row]


def lines(chart: Any) -> dict[str, list[int]]:
    """The number of values in each unbroken part of each line."""
    parts: dict[str, list[int]] = {}
    for (name, _), part in itertools.groupby(rows(chart), key=lambda row: (row["asset"], row["part"])):
        parts.setdefault(name, []).append(len([*part]))
    return parts


def svg(chart: Any) -> str:
    return vl_convert.vegalite_to_svg(chart.to_dict(validate=False))


def texts(chart: Any, start: str = "<svg", stop: str = "</svg>") -> list[str]:
    """The texts of a picture, with " / " between the lines of one, or those between two marks of its SVG."""
    part = svg(chart).partition(start)[2].partition(stop)[0]
    found = re.findall(r"<text[^>]*>(.*?)</text>", part, re.DOTALL)
    return [html.unescape(re.sub(r"(<[^>]+>)+", " / ", text).strip(" /")) for text in found]


def words(chart: Any) -> str:
    """All texts of a picture in one."""
    return "\n".join(texts(chart))


def dates(chart: Any) -> list[str]:
    """The labels of the axis of dates."""
    return texts(chart, "X-axis", "Y-axis")


# What is drawn.


def test_six_largest_assets_are_the_default() -> None:
    """The mean absolute value decides, so that large negative values count. A note says so."""
    chart = results_of({f"asset {size}": [float(size), -float(size)] for size in range(8)}).plot()
    assert [*lines(chart)] == [f"asset {size}" for size in (7, 6, 5, 4, 3, 2)]
    assert "Shown: the 6 largest of 8 assets, by mean absolute value." in words(chart)


@pytest.mark.parametrize(
    ("count", "facet", "panels"), [(1, None, 0), (6, None, 0), (7, None, 7), (13, None, 13), (3, True, 3), (1, True, 0)]
)
def test_more_than_six_assets_get_small_charts(count: int, facet: bool | None, panels: int) -> None:
    """They share the axes, and each has its asset as title. `facet` asks for them, or refuses them."""
    names = [f"Tank {number:02}" for number in range(count)]
    chart = results_of({name: [1.0, 2.0] for name in names}).plot(assets="all", facet=facet)
    facets = [part for part in parts(chart.to_dict()) if "facet" in part]
    assert len(facets) == bool(panels)
    if panels:
        assert sorted(facets[0]["facet"]["sort"]) == names
        assert "resolve" not in facets[0]
        assert set(names) <= set(texts(chart))


def test_too_many_charts_or_lines_are_refused() -> None:
    """The hint names the alternative."""
    results = results_of({f"a{number}": [1.0] for number in range(201)})
    with pytest.raises(UsageError, match=r"201 assets are too many for 200 charts.*kind='heatmap'"):
        results.plot(assets="all")
    with pytest.raises(UsageError, match=r"7 assets are too many for 6 lines in a chart.*facet=True"):
        results.plot(assets=7, facet=False)


def test_assets_are_selected_by_id_or_name() -> None:
    """Or by rank. Case and blanks do not matter. Assets that share a name are labelled with their ids."""
    results = results_of({"North": [1.0], "South": [2.0], "East": [3.0]})
    assert {*lines(results.plot(assets=["id2", " north"]))} == {"North", "East"}
    assert [*lines(results.plot(assets=2))] == ["East", "South"]
    assert [*lines(results.plot(metric=["STORED_volume_bbl"], assets="id0"))] == ["North"]
    asset = {"asset_name": "T", "results": [{"value_date": "2024-01-01", "metrics": [{"name": "m", "value": 1}]}]}
    same = {"assets": [{**asset, "asset_id": number} for number in ("a", "b")]}
    assert {*lines(Results.from_json(json.dumps(same).encode()).plot())} == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "volume"}, r"No row has the metric 'volume'. Available metrics: 'stored_volume_bbl'\."),
        ({"assets": ["West"]}, r"has no asset 'West'. Available names: 'South', 'North'\."),
        ({"assets": []}, "assets is empty"),
        ({"assets": 0}, "assets is 0"),
        ({"assets": True}, "assets is True"),
        ({"assets": {"North": 1}}, "assets is a dict"),
        ({"assets": "x" * 500}, "has no asset 'x{1,80}\\."),
        ({"metric": 5}, "metric is 5"),
        ({"metric": []}, "metric is empty"),
        ({"title": 5}, "title is 5. Pass a string"),
        ({"subtitle": ["a"]}, "subtitle is a list. Pass a string|subtitle is .'a'.. Pass a string"),
        ({"kind": "pie"}, "kind is 'pie'. Use one of 'line', 'seasonal', 'change', 'heatmap', 'latest', 'map'"),
        ({"by": "country"}, "by is 'country'. Use one of 'asset', 'parent', 'total'"),
        ({"by": "total", "kind": "map"}, "by is 'total'. Omit by for this kind"),
        ({"facet": "yes"}, "facet is 'yes'. Use one of None, True, False"),
        ({"theme": "blue"}, "theme is 'blue'. Use one of 'auto', 'light', 'dark'"),
        ({"statistic": "mean"}, "statistic is 'mean'. Omit statistic for this kind"),
        ({"statistic": "week", "kind": "latest"}, "statistic is 'week'. Use one of None, 'latest', 'mean'"),
        ({"width": 50}, "width is 50. Pass a number of pixels, 200 to 5000"),
        ({"width": 5.5}, "width is 5.5. Pass a number of pixels"),
        ({"width": True}, "width is True. Pass a number of pixels"),
        ({"height": 5001}, "height is 5001. Pass a number of pixels, 220 to 5000"),
        ({"size": (10, 5)}, "no argument 'size'"),
        (
            {"path": "chart.gif"},
            "'chart.gif' does not end in the suffix of a picture format. Use one of .png, .svg, .pdf",
        ),
        ({"path": "."}, "not a file"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any], message: str) -> None:
    """The hint lists the valid values."""
    with pytest.raises(UsageError, match=message):
        results_of({"North": [1.0], "South": [2.0]}).plot(**options)


def test_results_without_rows_are_refused() -> None:
    """An empty picture could be mistaken for zero emissions."""
    for results in (Results.from_json(b"{}"), results_of({"a": [None]})):
        for draw in (terminal_chart, lambda one: one.plot()):
            with pytest.raises(UsageError, match="nothing to draw"):
                draw(results)


# Breaks and gaps.


def test_line_breaks_at_missing_dates_and_nulls() -> None:
    """A single missing date of a weekly series is enough. A value between two breaks has a dot."""
    days = [0, 1, 2, 4, 5, 6, 7, 9]
    chart = results_of({"a": {**dict.fromkeys(days, 1.0), 5: None}}, step=7).plot()
    assert lines(chart) == {"a": [3, 1, 2, 1]}
    assert len(re.findall('aria-roledescription="point"', svg(chart).partition("role-mark dots")[2])) == 2
    assert "A line breaks where an asset was not observed." in words(chart)


def test_monthly_series_has_no_breaks() -> None:
    """Although its steps vary from 28 to 31 days."""
    months = {str(date(2023 + month // 12, month % 12 + 1, 1)): 1.0 for month in range(24)}
    chart = results_of({"a": months}).plot()
    assert lines(chart) == {"a": [24]}
    assert "not observed" not in words(chart)


def test_each_line_has_its_own_cadence() -> None:
    """A weekly line among daily ones is not full of breaks, and its changes are drawn."""
    results = results_of({"daily": dict.fromkeys(range(29), 1.0), "weekly": dict.fromkeys(range(0, 29, 7), 2.0)})
    assert lines(results.plot()) == {"weekly": [5], "daily": [29]}
    changes = results.plot(kind="change")
    assert [row["asset"] for row in rows(changes)].count("weekly") == 4
    assert "left out" not in words(changes)


@pytest.mark.parametrize("facet", [False, True])
def test_failed_requests_are_shaded_and_named(facet: bool) -> None:
    """A break that one explains is not called "not observed", and another one is."""
    days = [day for day in range(60) if not 20 <= day < 32]
    gap = Gap(datetime(2024, 1, 21, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC))
    results = attrs.evolve(results_of({"a": dict.fromkeys(days, 1.0), "b": dict.fromkeys(days, 2.0)}), gaps=(gap,))
    chart = results.plot(facet=facet)
    note = words(chart)
    assert "No data: the request for 21 Jan 2024 to 2 Feb 2024 failed." in note
    assert "not observed" not in note
    [band] = [row for several in chart.to_dict()["datasets"].values() for row in several if "stop" in row]
    assert [band["date"], band["stop"]] == [int(at.timestamp() * 1000) for at in (gap.start, gap.stop)]
    both = attrs.evolve(results_of({"a": dict.fromkeys([*days, 65], 1.0)}), gaps=(gap,)).plot()
    assert "A line breaks where an asset was not observed." in words(both)


@pytest.mark.parametrize("kind", ["change", "heatmap"])
def test_other_kinds_over_time_shade_failed_requests(kind: Any) -> None:
    """The heatmap calls a blank "not observed" only where no failed request explains it."""
    days = [day for day in range(60) if not 20 <= day < 32]
    gap = Gap(datetime(2024, 1, 21, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC))
    results = attrs.evolve(results_of({"a": dict.fromkeys(days, 1.0)}), gaps=(gap,))
    chart = results.plot(kind=kind)
    assert "No data: the request for 21 Jan 2024 to 2 Feb 2024 failed." in words(chart)
    assert "not observed" not in words(chart)
    assert [
        row["date"]
        for several in chart.to_dict()["datasets"].values()
        for row in several
        if row.keys() == {"date", "stop"}
    ]
    if kind == "heatmap":
        assert "Blank: not observed." in words(attrs.evolve(results, gaps=()).plot(kind=kind))


def test_failed_requests_before_and_after_the_data_are_named() -> None:
    """A chart that ends early says so, unless the request was for other assets."""
    gap = Gap(datetime(2024, 1, 4, tzinfo=UTC), datetime(2024, 2, 2, tzinfo=UTC), ("id1",))
    results = attrs.evolve(results_of({"a": [1.0, 2.0, 3.0], "b": [2.0]}), gaps=(gap,))
    assert "No data: the request for 4 Jan 2024 to 2 Feb 2024 failed." in words(results.plot())
    assert "No data" not in words(results.plot(assets="a"))


# Axes.


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ({7 * week: 1.0 for week in range(5)}, ["1 Jan / 2024", "8 Jan", "15 Jan", "22 Jan", "29 Jan"]),
        ({-7: 1.0, 0: 2.0, 7: 3.0}, ["25 Dec / 2023", "1 Jan / 2024", "8 Jan"]),
        ([1.0, 2.0], ["1 Jan / 2024", "2 Jan"]),
        ([1.0, 2.0, 3.0], ["1 Jan / 2024", "2 Jan", "3 Jan"]),
        ([1.0], ["1 Jan / 2024"]),
        (
            {str(date(2023 + month // 12, month % 12 + 1, 1)): 1.0 for month in range(18)},
            ["Jan / 2023", "Mar", "May", "Jul", "Sep", "Nov", "Jan / 2024", "Mar", "May"],
        ),
        (
            {f"2024-01-01T{hour:02}:00:00Z": 1.0 for hour in range(24)},
            ["00:00 / 1 Jan 2024", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"],
        ),
        ({30 * month: 1.0 for month in range(480)}, ["2024", "2029", "2034", "2039", "2044", "2049", "2054", "2059"]),
        (dict.fromkeys(range(900), 1.0), ["Jan / 2024", "Apr", "Jul", "Oct", "Jan / 2025", "Apr", "Jul", "Oct"]),
        ({"0001-01-01": 1.0, "2024-01-01": 2.0}, ["Jan / 1", "Jan / 2024"]),
        ({"2024-01-01": 1.0, "9999-12-31": 2.0}, ["1 Jan / 2024", "31 Dec / 9999"]),
        ({"9999-12-31": 1.0}, ["31 Dec / 9999"]),
    ],
)
def test_ticks_of_dates(values: Values, labels: list[str]) -> None:
    """Those of weekly and monthly data are on their dates. The year is below the first and each January."""
    assert dates(results_of({"a": values}).plot())[: len(labels)] == labels


@pytest.mark.parametrize(
    ("days", "width"), [(2, 400), (9, 1600), (20, 800), (45, 400), (200, 1600), (700, 400), (3000, 800), (14_600, 400)]
)
def test_dates_are_readable_over_any_range(days: int, width: int) -> None:
    """At least two ticks, none closer than 40 pixels, and never two with the same words or hours of the day."""
    shown = results_of({"a": {0: 1.0, **dict.fromkeys(range(1, days, max(days // 300, 1)), 1.0), days: 2.0}}).plot(
        width=width
    )
    labels = dates(shown)
    assert 2 <= len(labels) <= width / 40
    assert not [label for label in labels if ":" in label]


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("stored_volume_bbl", "Stored volume, bbl"),
        ("fill_level_pct", "Fill level, %"),
        ("emission_rate_kg_per_h", "Emission rate, kg/h"),
        ("hot_surface_m2", "Hot surface, m²"),
        ("flow_bpd", "Flow, bbl/d"),
        ("bbl", "Bbl"),
        ("Methane Flux", "Methane Flux"),
        ("length_m", "Length m"),
    ],
)
def test_unit_is_derived_from_the_metric_name(metric: str, label: str) -> None:
    """Unknown and ambiguous suffixes give no unit."""
    assert read(results_of({"a": [1.0, 2.0]}, metric=metric), None, None, limit=6).labels == [label]


def test_subtitle_has_metric_unit_and_period() -> None:
    """The title is that of the user here."""
    chart = results_of({"a": [1.0, 2.0]}, metric="fill_level_pct").plot(title="Tanks")
    assert chart.to_dict()["title"]["subtitle"] == ["Fill level, %, 1 Jan to 2 Jan 2024"]


def test_texts_of_a_chart() -> None:
    """Title: the dataset. Below: metric, unit and period. Footer: source and attribution. No label of an axis."""
    chart = generated(assets=2, dates=60, name="Tanks of Cushing").plot(metric="stored_volume_bbl")
    spec = chart.to_dict()
    assert spec["title"]["text"] == ["Tanks of Cushing"]
    assert spec["title"]["subtitle"][0].startswith("Stored volume, bbl, ")
    assert "Source: Kayrros. Contains modified Copernicus Sentinel data" in words(chart)
    assert spec["description"].startswith("Tanks of Cushing. Stored volume, bbl, ")
    assert all(
        part["title"] is None for part in parts(spec) if "axis" in part and isinstance(part.get("title", 0), str)
    )
    own = generated(assets=2, dates=6).plot(title="Mine", subtitle="What I see").to_dict()["title"]
    assert (own["text"], own["subtitle"]) == (["Mine"], ["What I see"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1_240_000, "1.24 M"),
        (950, "950"),
        (-1500, "\N{MINUS SIGN}1.5 k"),
        (2.5e9, "2.5 bn"),
        (0.03125, "0.0312"),
        (0, "0"),
        (999_999, "1 M"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    """Three digits and a letter."""
    assert format_short(value) == text


def test_numbers_of_the_axis_are_short() -> None:
    """They have the same letters."""
    axis = texts(results_of({"a": [0.0, 1.2e6]}).plot(), "Y-axis")
    assert {"1.2 M", "200 k", "0"} <= set(axis)


# Names.


def test_names_stand_at_the_ends_of_lines() -> None:
    """In the colour of the line, at least 15 pixels apart, and in a legend where they have no room."""
    close = results_of({f"Tank {number}": [50.0 - 10 * number, 1.0 + number / 100] for number in range(6)}).plot()
    places = [float(y) for y in re.findall(r"translate\([\d.]+,\s*([\d.]+)\)[^>]*>Tank \d", svg(close))]
    assert len(places) == 6
    assert min(np.diff(sorted(places))) >= 15
    assert not [part for part in parts(close.to_dict()) if part.get("field") == "asset" and part.get("legend")]
    equal = results_of({"a": [5.0, 5.0], "b": [5.0, 5.0]}).plot()
    assert [part for part in parts(equal.to_dict()) if part.get("field") == "asset" and part.get("legend")]


@pytest.mark.parametrize("height", [220, 250, 600])
@pytest.mark.parametrize("count", [1, 4])
def test_names_do_not_touch_in_a_chart_of_any_height(height: int, count: int) -> None:
    """They stand in the legend of a low one, also if there are charts of several metrics."""
    metrics = ("a_bbl", "b_bbl", "c_bbl", "d_bbl", "e_bbl")[:: 1 if height == 600 else 5]
    values: dict[str, Values] = {f"Tank {number}": [1.0, 2.0 + number / 9] for number in range(count)}
    picture = svg(results_of(values, metric=metrics).plot(metric=metrics, height=height))
    assert {f"Tank {number}" for number in range(count)} == set(re.findall(r">(Tank \d)<", picture))
    for names in re.findall(r"role-mark [^>]*names.*?</g>", picture, re.DOTALL):
        places = sorted(float(y) for y in re.findall(r"translate\([\d.]+,\s*([-\d.]+)\)[^>]*>Tank \d", names))
        assert min([15, *np.diff(places)]) >= 12


@pytest.mark.parametrize("kind", ["line", "change", "heatmap", "latest"])
def test_names_of_columns_are_names_of_assets(kind: Any) -> None:
    """An asset can have the name of a column of the chart's own table."""
    names = ["value", "date", "panel", "asset", "part", "index"]
    chart = results_of({name: [1.0, 2.0] for name in names}).plot(kind=kind)
    assert {row["asset"] for row in rows(chart)} == set(names)


LONG = [f"Terminal of the northern bay {'x' * 30} number {number} {'y' * 60}" for number in range(6)]


@pytest.mark.slow
@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("options", [{}, {"facet": True}, {"kind": "change"}, {"kind": "heatmap"}, {"kind": "latest"}])
def test_long_names_are_told_apart(options: dict[str, Any], width: int) -> None:
    """They differ in the middle. None is wider than the picture, which is as wide as asked."""
    chart = results_of({name: [1.0 + len(name), 2.0, number] for number, name in enumerate(LONG)}).plot(
        width=width, **options
    )
    shown = {name for name in texts(chart) if re.search(r"\d …|\d y+|number", name)}
    assert len(shown) == 6
    picture = svg(chart)
    assert float(re.search(r'<svg[^>]* width="([\d.]+)"', picture)[1]) == pytest.approx(width, abs=12)  # type: ignore[index]


def test_names_of_any_length_differ() -> None:
    """Also if they are equal when truncated, or in what they end with."""
    for names in (
        LONG,
        ["x" * 200, "x" * 201, "x" * 200 + "y"],
        ["a b", "a  b"],
        ["東京湾の石油タンク" * 5, "東京湾の石油タンク" * 6],
    ):
        short = fit_names(names, 120)
        assert len({*short.values()}) == len(names)
        assert max(map(cell_width, short.values())) <= 18


def simulated(colour: str, vision: list[list[float]]) -> npt.NDArray[np.float64]:
    """A colour in L*a*b* as seen with a colour vision deficiency (Machado, Oliveira and Fernandes 2009, severity 1)."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(np.array(vision) @ linear(colour), 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def linear(colour: str) -> npt.NDArray[np.float64]:
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


VISIONS: dict[str, list[list[float]]] = {
    "usual": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_are_told_apart_with_any_colour_vision(theme: str, vision: str) -> None:
    """Lines and background differ by 20, nine times the smallest visible difference of 2.3. Names in them are legible."""
    paper, lines = themes()[theme]["background"], themes()[theme]["range"]["category"]
    colours = [simulated(colour, VISIONS[vision]) for colour in (*lines, paper)]
    assert min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(colours, 2)) > 20
    pairs = (sorted((luminance(paper), luminance(colour))) for colour in lines)
    assert min((high + 0.05) / (low + 0.05) for low, high in pairs) >= 3.9


def test_series_keep_their_hue_in_the_dark() -> None:
    """Within a degree of OKLab's hue, and the marks of other kinds too."""
    to_lms = [
        [0.41222147, 0.53633254, 0.05144599],
        [0.2119035, 0.6806995, 0.10739696],
        [0.08830246, 0.28171884, 0.6299787],
    ]
    to_ab = [[1.9779985, -2.42859221, 0.45059371], [0.02590404, 0.78277177, -0.80867577]]
    hues = {
        name: [
            np.degrees(np.arctan2(*(np.array(to_ab) @ np.cbrt(np.array(to_lms) @ linear(one)))[::-1]))
            for one in colours
        ]
        for name, theme in themes().items()
        for colours in [[*theme["range"]["category"], theme["mark"]["color"]]]
    }
    assert np.allclose(hues["light"], hues["dark"], atol=1)


# Kinds.


def test_seasonal_chart_shows_the_range_and_mean_of_five_years() -> None:
    """As pandas computes them by week; years before are left out, and fewer than five are noted."""
    days = pd.date_range("2017-01-02", "2024-06-24", freq="7D")
    rng = np.random.default_rng(1)
    values = pd.Series(rng.normal(100, 10, len(days)), days)
    chart = results_of({"a": {str(day.date()): value for day, value in values.items()}}).plot(kind="seasonal")
    assert "2024 (line) against the range and the mean (dashed) of 2019 to 2023" in words(chart)
    before = values[(days.year >= 2019) & (days.year < 2024)]
    weeks = before.groupby(before.index.strftime("%U"))
    path = re.search(r'aria-roledescription="area mark"[^>]*d="([^"]+)"', svg(chart))
    assert path
    points = [*map(float, re.findall(r"-?[\d.]+", path[1]))]
    ys = np.array(points[1::2])
    low, high = weeks.min(), weeks.max()
    half = len(ys) // 2
    assert half == len(weeks)
    scale = np.polyfit(ys[:half], low, 1)
    assert np.allclose(np.polyval(scale, ys[:half]), low, atol=0.1)
    assert np.allclose(np.polyval(scale, ys[half:][::-1]), high, atol=0.1)
    mean = re.search(r'<path[^>]*d="M([^"]+)"[^>]*stroke-dasharray', svg(chart))
    assert mean
    assert np.allclose(np.polyval(scale, np.array(re.findall(r",([\d.]+)", mean[1]), float)), weeks.mean(), atol=0.1)
    two = results_of({"a": {str(day.date()): 1.0 for day in days[-90:]}}).plot(kind="seasonal")
    assert "The range covers 2 years, not 5." in words(two)
    with pytest.raises(UsageError, match=r"no year before 2024 to compare it with.*kind='line'"):
        results_of({"a": [1.0, 2.0]}).plot(kind="seasonal")


def test_change_is_the_difference_to_the_previous_date_or_week() -> None:
    """A change over a break is left out, and counted."""
    values: Values = {0: 1.0, 1: 3.0, 2: 2.0, 7: 9.0, 8: 7.0, 14: 10.0}
    days = results_of({"a": values}).plot(kind="change")
    assert [row["value"] for row in rows(days)] == [2.0, -1.0, -2.0]
    assert "2 changes over a break in the data left out." in words(days)
    assert "Change to the previous date, 1 Jan to 15 Jan 2024" in words(days)
    weeks = results_of({"a": values}).plot(kind="change", statistic="week")
    assert [row["value"] for row in rows(weeks)] == [5.0, 3.0]
    assert rows(weeks)[0]["date"] == int(datetime(2024, 1, 9, tzinfo=UTC).timestamp() * 1000)
    ends = results_of({"a": {0: 1.0, 13: 4.0}}).plot(kind="change", statistic="week")  # a Monday, and the second Sunday
    assert [row["value"] for row in rows(ends)] == [3.0]
    with pytest.raises(UsageError, match="no asset has values on two successive dates"):
        results_of({"a": [1.0]}).plot(kind="change")


def test_change_names_its_only_asset_and_counts_those_without_one() -> None:
    """An asset of one value has no change."""
    shown = words(results_of({"a": [1.0, 2.0], "b": [3.0]}).plot(kind="change"))
    assert "2024. a" in shown
    assert "1 asset without a change left out." in shown


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_bars_of_changes_fill_their_chart(width: int, count: int) -> None:
    """They neither touch nor are they hairlines, in charts of any width; and no value is lost."""
    values: dict[str, Values] = {f"a{number}": [float(day % 7) for day in range(53)] for number in range(count)}
    chart = results_of(values, step=7).plot(kind="change", width=width)
    assert len(rows(chart)) == 52 * count
    [bar] = {part["width"] for part in parts(chart.to_dict()) if part.get("type") == "bar"}
    step = bar / 0.7
    [plot] = [part["spec"]["width"] for part in parts(chart.to_dict()) if "spec" in part] or [width - 86]
    assert plot / 56 < step < plot / 50


def test_change_says_that_the_last_week_is_not_over() -> None:
    """Its bar would look like a fall."""
    note = "The last week is not over: its data end on"
    assert f"{note} 17 Jan 2024." in words(results_of({"a": [1.0] * 17}).plot(kind="change", statistic="week"))
    assert note not in words(results_of({"a": [1.0] * 21}).plot(kind="change", statistic="week"))  # a Sunday
    assert note not in words(results_of({"a": [1.0] * 3}, step=7).plot(kind="change", statistic="week"))


def test_latest_shows_those_of_the_largest_latest_value() -> None:
    """A ranking has its first place."""
    values: dict[str, Values] = {f"a{number}": [50.0] * 9 for number in range(30)}
    results = results_of({**values, "grown": [1.0] * 8 + [400.0]})
    assert rows(results.plot(kind="latest"))[0]["asset"] == "grown"
    assert "Shown: the 30 largest of 31 assets, by latest absolute value." in words(results.plot(kind="latest"))
    assert "grown" not in words(results.plot(kind="latest", statistic="mean"))


@pytest.mark.parametrize(("kind", "least"), [("latest", 410), ("heatmap", 410), ("line", 260)])
def test_height_without_room_is_refused(kind: Any, least: int) -> None:
    """The error says how much is needed."""
    count = 6 if kind == "line" else 20
    results = results_of({f"Tank number {number}": [1.0, 2.0] for number in range(count)})
    with pytest.raises(UsageError, match=f"height is {least - 1}, which is too small.*Pass {least} or more"):
        results.plot(kind=kind, height=least - 1, width=400)
    results.plot(kind=kind, height=least, width=400)


def test_small_charts_have_one_metric() -> None:
    """The hint leads to a chart."""
    results = results_of({f"a{number}": [1.0, 2.0] for number in range(7)}, metric=("a_bbl", "b_bbl"))
    with pytest.raises(UsageError, match="too many for 6 lines.*Pass fewer assets, or one metric"):
        results.plot(metric=["a_bbl", "b_bbl"], assets="all")
    with pytest.raises(UsageError, match="one metric.*Draw one metric at a time"):
        results.plot(metric=["a_bbl", "b_bbl"], facet=True)


def test_heatmap_shows_many_assets() -> None:
    """The 100 largest, as means where cells would be too narrow. Blank is not observed."""
    results = results_of({f"a{number}": [float(number), 1.0] for number in range(101)})
    chart = results.plot(kind="heatmap")
    assert len({row["asset"] for row in rows(chart)}) == 100
    assert "Shown: the 100 largest of 101 assets" in words(chart)
    long = results_of({"a": [1.0] * 900, "b": {0: 2.0, 800: 2.0}}).plot(kind="heatmap")
    assert "A cell is the mean of a week." in words(long)
    assert "mark-rect role-mark layer_0_marks" in svg(long)
    hours = {f"2024-01-01T{hour:02}:00:00Z": float(hour) for hour in range(24)}
    assert len(rows(results_of({"a": hours}).plot(kind="heatmap"))) == 24
    halves = {f"2024-01-01T{hour:02}:{minute}:00Z": 1.0 for hour in range(3) for minute in ("00", "30")}
    assert "A cell is the mean of an hour." in words(results_of({"a": halves}).plot(kind="heatmap"))
    weekly = rows(results_of({"a": [1.0, 2.0]}, step=7).plot(kind="heatmap"))
    assert [date.fromtimestamp(row["start"] / 1000).weekday() for row in weekly] == [0, 0]
    monthly = rows(results_of({"a": {"2024-01-31": 1.0, "2024-02-29": 2.0}}).plot(kind="heatmap"))
    assert monthly[0]["date"] == int(datetime(2024, 1, 31, tzinfo=UTC).timestamp() * 1000)
    assert not re.search(r'rect mark" d="M[^"h]*h0v', svg(long))
    assert "Blank: not observed." in words(long)
    diverging = results_of({"a": [-5.0, 2.0]}).plot(kind="heatmap").to_dict()
    assert [part["domain"] for part in parts(diverging) if part.get("range") == "diverging"] == [[-5.0, 5.0]]


def test_latest_values_are_sorted_bars() -> None:
    """With a mark at the value before, and a note if one is older. The mean has no mark."""
    results = results_of({"a": [1.0, 5.0], "b": [9.0, 7.0], "c": [2.0]})
    chart = results.plot(kind="latest")
    shown = [(row["asset"], row["value"], row.get("before")) for row in rows(chart)]
    assert shown == [("b", 7.0, 9.0), ("a", 5.0, 1.0), ("c", 2.0, None)]
    assert "The latest value of 1 asset is older." in words(chart)
    means = results.plot(kind="latest", statistic="mean")
    assert [(row["asset"], row["value"], row.get("before")) for row in rows(means)] == [
        ("b", 8.0, None), ("a", 3.0, None), ("c", 2.0, None)
    ]  # fmt: skip


def test_sums_by_parent_and_in_total() -> None:
    """A note says that a sum lacks an asset. Percentages don't add up."""
    results = results_of({"a": [1.0, 2.0], "b": [10.0, 20.0], "c": [100.0]}, parents="NNS")
    total = results.plot(by="total")
    assert [(row["asset"], row["value"]) for row in rows(total)] == [
        ("Total of 3 assets", 111.0),
        ("Total of 3 assets", 22.0),
    ]
    assert "A sum is over the assets with a value on the date, and some have none." in words(total)
    assert "Total of 1 asset" in words(results_of({"a": [1.0], "b": [None]}).plot(by="total"))
    assert "previous date, 1 Jan to 2 Jan 2024. Total of 3 assets" in words(results.plot(by="total", kind="change"))
    parent = results.plot(by="parent")
    assert {row["asset"]: row["value"] for row in rows(parent)} == {"Terminal N": 22.0, "Terminal S": 100.0}
    assert "A sum is" not in words(parent)
    with pytest.raises(UsageError, match="can't be added up over assets, judging by its name"):
        results_of({"a": [1.0], "b": [2.0]}, metric="fill_level_pct").plot(by="total")


def test_several_metrics_have_a_chart_each() -> None:
    """Lines of the same assets, each metric with its own axis of values and all with the same dates."""
    metrics = ("stored_volume_bbl", "fill_level_pct")
    results = results_of({"a": [1.0, 2.0], "b": [3.0, 4.0]}, metric=metrics)
    chart = results.plot(metric=metrics, assets=1)
    assert {"Stored volume, bbl", "Fill level, %"} <= set(texts(chart))
    assert {row["asset"] for row in rows(chart)} == {"b"}
    resolved = [part["resolve"] for part in parts(chart.to_dict()) if "resolve" in part]
    assert resolved == [{"scale": {"y": "independent"}}]


def test_several_metrics_keep_their_own_assets_and_steps() -> None:
    """An asset of one metric alone is shown, weekly values are a line next to daily ones, and equal labels differ."""
    several = [("a", "x_bbl", 1, 30), ("b", "y_bbl", 7, 5), ("c", "X_bbl", 1, 30)]
    body = [
        {"asset_id": name, "results": [
            {"value_date": str(FIRST + timedelta(days=day * step)), "metrics": [{"name": metric, "value": 1.0}]}
            for day in range(count)
        ]}
        for name, metric, step, count in several
    ]  # fmt: skip
    results = Results.from_json(json.dumps({"assets": body}).encode())
    chart = results.plot(metric=["x_bbl", "y_bbl"])
    assert lines(chart) == {"a": [30], "b": [5]}
    assert "not observed" not in words(chart)
    assert {"x_bbl", "X_bbl"} <= set(texts(results.plot(metric=["x_bbl", "X_bbl"])))
    assert "Y, bbl has no value of these assets." in words(results.plot(metric=["x_bbl", "y_bbl"], assets=1))
    total = results.plot(metric=["x_bbl", "y_bbl"], by="total")
    assert {row["panel"] for row in rows(total)} == {"X, bbl", "Y, bbl"}


@pytest.mark.parametrize("kind", [kind for kind in get_args(Kind) if kind != "line"])
def test_other_kinds_show_one_metric(kind: Any) -> None:
    """The error says so, instead of dropping one."""
    metrics = ("stored_volume_bbl", "fill_level_pct")
    with pytest.raises(UsageError, match=f"The kind '{kind}' shows one metric, not 2. Draw one metric at a time"):
        results_of({"a": [1.0, 2.0]}, metric=metrics).plot(kind=kind, metric=metrics)


def test_chart_can_be_changed() -> None:
    """It is an Altair chart."""
    for chart in (
        results_of({"a": [1.0, 2.0]}).plot(),
        results_of({"a": [1.0, 2.0], "b": [2.0, 3.0]}).plot(facet=True),
    ):
        changed = chart.properties(title="Mine")
        assert "Mine" in texts(changed)
    line = results_of({"a": [1.0, 2.0]}).plot()
    assert isinstance(line, alt.LayerChart)
    rule = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color="#ff0000").encode(y=alt.datum(1.5))
    assert "#ff0000" in svg(line + rule)
    bars = results_of({"a": [1.0, 2.0]}).plot(kind="latest")
    assert svg(bars.interactive())


# Files.


@pytest.mark.parametrize(
    ("suffix", "magic", "count"),
    [
        ("png", b"\x89PNG", 8),
        ("svg", b"<svg", 2),
        ("pdf", b"%PDF", 2),
        ("html", b"<!doctype html>", 2),
        ("html", b"<!doctype html>", 8),
    ],
)
def test_suffix_selects_the_format(tmp_path: Path, suffix: str, magic: bytes, count: int) -> None:
    """The directory is created, no temporary file stays, and the same data give the same bytes."""
    results = generated(assets=count, dates=20)
    paths = [tmp_path / "new" / f"{name}.{suffix}" for name in "ab"]
    for path in paths:
        results.plot(path, assets="all")
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(magic)
    assert first == second or suffix in {"pdf", "svg"}  # they hold a time, or numbers of clips
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    if suffix == "svg":
        assert ET.fromstring(first).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - our own


def test_unwritable_file_is_an_export_error(tmp_path: Path) -> None:
    """The error has the path. A directory is a UsageError, and an existing file stays if drawing fails."""
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(ExportError, match=r"a\.png could not be written") as caught:
        results_of({"a": [1.0]}).plot(tmp_path / "file" / "a.png")
    assert tmp_path / "file" / "a.png" == caught.value.path
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        results_of({"a": [1.0]}).plot(tmp_path / "b.png")
    (link := tmp_path / "a.svg").symlink_to("b.svg")
    results_of({"a": [1.0]}).plot(link)
    assert link.is_symlink()
    assert (tmp_path / "b.svg").read_bytes().startswith(b"<svg")


WIDE: list[tuple[dict[str, Any], int]] = [({"kind": kind}, 800) for kind in OVER_TIME]
WIDE += [
    (options, width)
    for options in ({}, {"facet": True}, {"metric": ["stored_volume_bbl", "fill_level_pct"]})
    for width in (400, 1600)
]


@pytest.mark.slow
@pytest.mark.parametrize(("options", "width"), WIDE)
def test_picture_is_as_wide_as_asked(tmp_path: Path, options: dict[str, Any], width: int) -> None:
    """Two pixels of a PNG for each of the width, and of the height if it is given."""
    weeks = {7 * week: float(week % 9) for week in range(80)}
    results = results_of({f"Tank {n}": weeks for n in range(3)}, metric=("stored_volume_bbl", "fill_level_pct"))
    results.plot(tmp_path / "a.png", width=width, height=500, **options)
    size = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])  # of the header of a PNG
    is_small = "facet" in options or "metric" in options or options.get("kind") in {"seasonal", "change"}
    assert size[0] / 2 == pytest.approx(width, abs=4 if is_small else 0)
    assert size[1] / 2 == pytest.approx(500, abs=60 if is_small else 0)


NASTY: dict[str, dict[str, Values]] = {
    "one point": {"a": [5.0]},
    "all equal": {"a": [5.0] * 4, "b": [5.0] * 4},
    "all zero": {"a": [0.0] * 4},
    "negative": {"a": [-1.0, -5.0, -3.0]},
    "tiny and huge": {"a": [1e-9, 2e-9, 0.0], "b": [1e13, 1e290, -1e290]},
    "skewed": {"a": [float(np.exp(number % 17)) for number in range(300)]},
    "many": {f"asset {number}": [float(number), 1.0] for number in range(60)},
    "long": {"a": {day: float(day % 7) for day in range(0, 10_000, 9)}},
    "names": {
        name: [1.0, 2.0, 3.0]
        for name in (*LONG[:2], "خزان", "東京湾", "🛢️", "<b>$x^2$</b>", "a\x1b[31m\0\u202eb\u2028c")
    },
    "tiny": {"a": [5e-324, 0.0, 5e-324]},
    "gaps": {"a": {0: 1.0, 1: None, 2: 3.0, 9: 1.0, 10: 2.0}, "b": [None, None]},
    "first and last date": {"a": {"0001-01-01": 1.0, "0001-01-02": 1.0, "9999-12-30": 1.0, "9999-12-31": 2.0}},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", OVER_TIME)
@pytest.mark.parametrize("data", NASTY)
def test_nasty_data_is_drawn(data: str, kind: Any) -> None:
    """Or refused with a reason. No text has a control character, and no number is lost on the way to the picture."""
    results = results_of(NASTY[data])
    reasons = {"seasonal": "There is no year before", "change": "no asset has values on two successive dates"}
    if (kind == "seasonal" and data not in {"long"}) or (kind, data) == ("change", "one point"):
        with pytest.raises(UsageError, match=reasons[kind]):
            results.plot(kind=kind)
        return
    chart = results.plot(kind=kind, assets="all" if data == "many" else None)
    picture = svg(chart)
    ET.fromstring(picture)  # noqa: S314 - our own
    assert not {"\x1b", "\x00", "\u202e", "\u2028"} & set(picture)
    assert "NaN" not in picture
    assert "Infinity" not in picture


def test_long_lines_keep_their_extremes() -> None:
    """At most four points of a line share a pixel: the first, the last, the lowest and the highest."""
    values = {day: float(np.sin(day / 50)) for day in range(10_000)} | {5000: 99.0, 7000: -99.0}
    shown = [row["value"] for row in rows(results_of({"a": values}).plot())]
    assert len(shown) <= 4 * 800
    assert (max(shown), min(shown), shown[0], shown[-1]) == (99.0, -99.0, values[0], values[9999])
    changes = [row["value"] for row in rows(results_of({"a": values}).plot(kind="change"))]
    assert len(changes) <= 4 * 800
    assert (max(changes), min(changes)) == (values[7001] + 99.0, -99.0 - values[6999])


def test_text_falls_back_to_a_generic_font() -> None:
    """It is never a serif, whichever fonts a reader has."""
    families = set(re.findall(r'font-family="([^"]+)"', svg(generated(assets=8, dates=9).plot(assets="all"))))
    assert families
    assert all(family.endswith(", sans-serif") for family in families)


# Pages.


class Page(HTMLParser):
    """The tags and the scripts of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.is_open = False
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.contents.setdefault(tag, []).append("")
        self.is_open = True

    def handle_data(self, data: str) -> None:
        if self.is_open:
            self.contents[self.lasttag][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.is_open = False


@pytest.mark.parametrize("kind", OVER_TIME)
def test_page_is_self_contained(tmp_path: Path, kind: Any) -> None:
    """It refers to no address. Its policy allows the styles and scripts in it, by their hashes, and nothing else."""
    generated(assets=3, dates=120).plot(tmp_path / "a.html", kind=kind)
    page = Page(tmp_path / "a.html")
    assert not [attributes for _, attributes in page.tags if {"src", "href", "action", "data"} & set(attributes)]
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    _, *scripts = page.contents["script"]
    hashes = {
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (*scripts, *page.contents["style"])
    }
    assert hashes == set(re.findall("'sha256-([^']+)'", policy))


@pytest.mark.parametrize("kind", OVER_TIME)
def test_page_shows_its_notes_once(tmp_path: Path, kind: Any) -> None:
    """In its footer, and not in the drawing too."""
    chart = generated(assets=3, dates=120).plot(tmp_path / "a.html", kind=kind)
    data = json.loads(Page(tmp_path / "a.html").contents["script"][0])
    assert not [part for part in parts({**data, "config": None}) if part.get("style") == "note"]
    assert "Source: Kayrros" in words(chart)


def test_names_are_never_markup(tmp_path: Path) -> None:
    """A page has our three scripts and no others, no image, and no event handler; its title is the chart's."""
    results = results_of({EVIL: [1.0, 2.0], "$x_": [2.0], "a@@script@@": [2.0]}, metric=EVIL)
    results.plot(tmp_path / "a.html", title=f"{EVIL} @@page@@")
    page = Page(tmp_path / "a.html")
    tags = [tag for tag, _ in page.tags]
    assert (tags.count("script"), tags.count("img")) == (3, 0)
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    data = json.loads(page.contents["script"][0])
    assert {*data["wide"]["names"]} == {shorten(EVIL, 28), "$x_", "a@@script@@"}
    assert page.contents["title"] == page.contents["h1"] == [f"{EVIL} @@page@@"]
    tree = ET.fromstring(svg(results.plot(title=EVIL)))  # noqa: S314 - our own
    assert not [one for one in tree.iter() if one.tag.endswith(("script", "img", "foreignObject"))]


def test_notebooks_show_charts_without_network() -> None:
    """The output of a cell has its scripts in it, and an id of its own. A renderer that the user has chosen stays."""
    with alt.renderers.enable("default"):
        chart: Any = results_of({EVIL: [1.0, 2.0]}).plot()
        outputs: list[str] = [chart._repr_mimebundle_()["text/html"] for _ in range(2)]
    assert len({re.findall('<div id="([^"]+)"', output)[0] for output in outputs}) == 2
    for output in outputs:
        assert "https://cdn." not in output
        assert EVIL not in output
    with alt.renderers.enable("svg"):
        assert "image/svg+xml" in chart._repr_mimebundle_()


def test_page_has_a_text_alternative(tmp_path: Path) -> None:
    """A sentence for each asset says what the chart shows."""
    results_of({"North": {0: 1.0, 1: 1_234_567.0, 4: 2.0}, "South": [3.0]}).plot(tmp_path / "a.html")
    page = Page(tmp_path / "a.html")
    assert page.contents["li"] == [
        "Stored volume, bbl, North: 3 values, lowest 1 on 1 Jan 2024, highest 1.23 M on 2 Jan 2024, "
        "last 2 on 5 Jan 2024.",
        "Stored volume, bbl, South: 1 value, lowest 3 on 1 Jan 2024, highest 3 on 1 Jan 2024, last 3 on 1 Jan 2024.",
    ]
    described = [attributes["aria-describedby"] for _, attributes in page.tags if "aria-describedby" in attributes]
    assert described == [attributes["id"] for _, attributes in page.tags if attributes.get("class") == "unseen"]


def test_long_name_is_truncated_in_its_middle() -> None:
    """Because names often differ at the end."""
    assert shorten("Tank of the terminal, number 12", 17) == "Tank of th…ber 12"
    assert len(shorten("x" * 80, 17)) == 17


# In a terminal.


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("width", "height"), [(40, 10), (40, 12), (80, 20), (140, 40)])
def test_a_chart_fits_the_terminal(width: int, height: int, colour: bool) -> None:
    """The dataset and the metric are above, the assets that have room below. Without colour, it has no escape sequences."""
    results = generated(assets=9, dates=40, name="Tanks of Cushing")
    text = terminal_chart(results, width=width, height=height, colour=colour, metric="stored_volume_bbl")
    plain = re.sub(r"\x1b\[[\d;]*m", "", text).split("\n")
    assert max(map(len, plain)) <= width
    assert len(plain) <= height
    count = {10: 1, 12: 3}.get(height, 6)
    assert plain[0] == "Tanks of Cushing"
    assert plain[1].startswith("Stored volume, bbl")
    assert colour == ("\x1b" in text)
    assert sum("Tank " in line for line in plain) == count
    assert sum("│" in line or "┤" in line for line in plain) >= 4
    assert re.search(r"\d (k|M)[ ┤]", "\n".join(plain))


@pytest.mark.parametrize(("width", "height"), [(39, 24), (80, 9)])
def test_terminal_without_room_for_a_chart_is_an_error(width: int, height: int) -> None:
    """The error says how much room a chart needs."""
    with pytest.raises(UsageError, match="at least 40 columns and 10 lines"):
        terminal_chart(generated(assets=1, dates=4), width=width, height=height)
    with pytest.raises(UsageError, match="7 assets are too many for a terminal"):
        terminal_chart(generated(assets=7), assets="all")
    with pytest.raises(UsageError, match="room for one metric, not 2"):
        terminal_chart(generated(), metric=["stored_volume_bbl", "fill_level_pct"])


@pytest.mark.parametrize("name", ["東京湾の石油タンク" * 9, "e\u0301" * 90, "Tank " * 40])
def test_chart_of_wide_letters_fits_the_terminal(name: str) -> None:
    """A Chinese letter takes two columns, an accent of its own takes no column."""
    text = terminal_chart(results_of({name: [1.0, 2.0]}, metric=name), width=40, height=12, colour=False)
    assert max(map(cell_width, text.split("\n"))) <= 40


def test_terminal_chart_breaks_lines_at_gaps() -> None:
    """No line is drawn across missing dates."""
    complete, broken = (
        terminal_chart(results_of({"a": dict.fromkeys(days, 1.0)}), colour=False)
        for days in (range(100), [*range(40), *range(60, 100)])
    )
    most, least = (max(text.split("\n"), key=lambda line: line.count("•")).count("•") for text in (complete, broken))
    assert most * 0.9 > least > most * 0.7


@pytest.mark.parametrize("values", [[5e-324], [0.0, 5e-324], [-1e300, 1e300], [1e300, 1e300]])
def test_terminal_chart_draws_tiny_and_huge_values(values: list[float]) -> None:
    """Also the smallest number there is."""
    assert "Stored volume, bbl" in terminal_chart(results_of({"a": values}), colour=False)


def test_terminal_chart_draws_fewer_points_than_it_has_dots() -> None:
    """Its extremes stay."""
    values = {day: float(day % 10) for day in range(5000)} | {2500: 500.0}
    data = read(results_of({"a": values}), None, None, limit=6)
    assert len(thin(data.points, 35)) <= 4 * 35
    assert terminal_chart(results_of({"a": values}), colour=False).count("500") == 1


@pytest.mark.parametrize("missing", ["altair", "vl_convert", "pandas", "plotext"])
def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    draw: Any = terminal_chart if missing == "plotext" else Results.plot
    with pytest.raises(
        MissingExtraError,
        match=r'pip install "altair>=6" "pandas>=2.2" .*"vl-convert-python>=1.9"',
    ) as caught:
        draw(results_of({"a": [1.0]}))
    assert caught.value.extra == "plots"
