"""Results converted for pandas, polars and geopandas, and into a wide table."""

import contextlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kayrros_ext import Results, UsageError
from kayrros_ext._export import SUFFIXES
from kayrros_ext._results.units import is_additive

TANK: dict[str, Any] = {
    "asset_id": "t1",
    "asset_version": 2**53 + 1,
    "asset_categories": ["crude"],
    "asset_centroid_latitude": 1.5,
    "asset_centroid_longitude": -2,
}
DAY, NEXT = (datetime(2024, 1, day, tzinfo=UTC) for day in (1, 2))


def results(*assets: dict[str, Any]) -> Results:
    return Results.from_json(json.dumps({"assets": assets}).encode())


def dated(date: Any, **metrics: Any) -> dict[str, Any]:
    return {"value_date": date, "metrics": [{"name": name, "value": value} for name, value in metrics.items()]}


def concatenate(*parts: Results) -> Results:
    """Return one Results of parts whose dictionaries differ."""
    table = pa.concat_tables([part.table for part in parts])
    return Results(table, parts[0].assets, parts[0].without_metrics, (), ())


FIRST = results({**TANK, "results": [dated("2024-01-01", volume=1, level=0.5), dated("2024-01-02", volume=None)]})
SECOND = results({"asset_id": "t0", "results": [dated("2024-01-02", volume=3)]})
BOTH = concatenate(FIRST, SECOND)


def test_pandas_has_text_dates_and_exact_integers() -> None:
    """Text has the default type of pandas, dates no zone, and an integer beyond 2**53 is exact next to a null."""
    frame = BOTH.to_pandas()
    assert list(frame["asset_id"]) == ["t1", "t1", "t1", "t0"]
    assert all(frame[name].dtype == pd.Series(["text"]).dtype for name in ("asset_id", "asset_name", "metric"))
    assert str(frame["value_date"].dtype) == "datetime64[us]"
    assert [day.replace(tzinfo=None) for day in (DAY, DAY, NEXT, NEXT)] == list(frame["value_date"])
    assert str(frame["asset_version"].dtype) == "Int64"
    assert frame["asset_version"].to_list()[:3] == [2**53 + 1] * 3
    assert frame["asset_version"][3] is pd.NA
    assert frame.groupby("asset_id")["value"].sum().to_dict() == {"t0": 3.0, "t1": 1.5}


def test_pandas_has_categories_on_request() -> None:
    """Each text column is categorical, with the same values, and takes a fraction of the memory."""
    assets = [
        {**TANK, "asset_id": f"tank-{n}", "results": [dated(f"2024-01-{d + 1:02}", v=1) for d in range(30)]}
        for n in range(9)
    ]
    plain, frame = results(*assets).to_pandas(), results(*assets).to_pandas(categories=True)
    names = ["asset_id", "asset_name", "asset_categories", "parent_asset_id", "metric"]
    assert all(isinstance(frame[name].dtype, pd.CategoricalDtype) for name in names)
    assert all(list(frame[name].dropna()) == list(plain[name].dropna()) for name in names)
    assert frame[names].memory_usage(deep=True).sum() < 0.5 * plain[names].memory_usage(deep=True).sum()
    assert frame["value_date"].equals(plain["value_date"])


CATEGORIES = [["crude_oil", "floating_roof_tank"], [], None, ["é", None, 'a "b"'], ["crude_oil"]]
TEXTS = ["crude_oil;floating_roof_tank", "", None, 'é;;a "b"', "crude_oil"]


def categorized(lists: list[Any]) -> Results:
    """Return a row of a tank with all columns for each list of categories."""
    rest = {"asset_name": "T", "asset_surface_area_m2": 1, "parent_asset_id": "p", "parent_asset_name": "P"}
    rest |= {"parent_asset_version": 1, "results": [dated("2024-01-01", v_pct=1)]}
    return results(*({**TANK, **rest, "asset_id": f"t{n}", "asset_categories": c} for n, c in enumerate(lists)))


@pytest.mark.parametrize("start", [0, 1, 2, 4, 5])
def test_categories_are_one_text_in_pandas(start: int) -> None:
    """They are joined by ";". Null stays null, also in a slice and across batches."""
    whole = concatenate(categorized(CATEGORIES), categorized(CATEGORIES[::-1]))
    part = Results(whole.table.slice(start), whole.assets, whole.without_metrics, (), ())
    cells = part.to_pandas()["asset_categories"]
    assert [None if pd.isna(cell) else cell for cell in cells] == [*TEXTS, *TEXTS[::-1]][start:]


WRITERS: dict[str, Callable[[Any, Path], object]] = {
    "json": lambda frame, path: frame.to_json(path, date_format="iso"),
    "csv": lambda frame, path: frame.to_csv(path),
    "html": lambda frame, path: frame.to_html(path),
    "pickle": lambda frame, path: frame.to_pickle(path),
    "feather": lambda frame, path: frame.to_feather(path),
    "drop_duplicates": lambda frame, _: frame.drop_duplicates(),
    "nunique": lambda frame, _: frame.nunique(),
    "groupby": lambda frame, _: frame.groupby("asset_categories", observed=True).sum(numeric_only=True),
    "pivot": lambda frame, _: frame.pivot_table("value", "value_date", "asset_categories", observed=True),
    "merge": lambda frame, _: frame.merge(frame, on="asset_categories"),
    "explode": lambda frame, _: frame.explode("asset_categories"),
    "equality": lambda frame, _: frame["asset_categories"] == frame["asset_categories"],
}


@pytest.mark.parametrize("name", list(WRITERS))
@pytest.mark.parametrize("convert", [Results.to_pandas, Results.to_geopandas])
def test_every_writer_understands_the_cells(convert: Callable[[Results], Any], name: str, tmp_path: Path) -> None:
    """No cell is an array, a list or a dict. GeoDataFrame.to_json can't write any date without default=str."""
    frame = convert(categorized(CATEGORIES))
    if name == "json" and "geometry" in frame:
        frame.to_file(tmp_path / "x.gpkg")
        frame.to_json(default=str)
        return
    WRITERS[name](frame, tmp_path / "file")


def test_frames_survive_a_database_and_a_file(tmp_path: Path) -> None:
    """SQLite and GeoJSON hold the text, and Parquet the same frame."""
    made = categorized(CATEGORIES[:3])
    frame = made.to_pandas()
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        frame.to_sql("rows", database)
        cells = database.execute("SELECT asset_categories FROM rows").fetchall()
    assert [cell for (cell,) in cells] == TEXTS[:3]
    frame.to_parquet(tmp_path / "frame.parquet")
    pd.testing.assert_frame_equal(frame, pd.read_parquet(tmp_path / "frame.parquet"))
    made.to_geopandas().to_file(tmp_path / "frame.geojson")
    features = json.loads((tmp_path / "frame.geojson").read_text())["features"]
    assert [feature["properties"]["asset_categories"] for feature in features] == TEXTS[:3]


def test_polars_has_the_rows_of_the_table() -> None:
    """The frame has every value, with labels and categories as String and dates without a zone."""
    frame = BOTH.to_polars()
    rows = BOTH.table.to_pylist()
    for row in rows:
        row["value_date"] = row["value_date"].replace(tzinfo=None)
        row["asset_categories"] = row["asset_categories"] and ";".join(row["asset_categories"])
    assert rows == frame.to_dicts()
    assert pl.Datetime("us") == frame.schema["value_date"]
    assert {pl.String} == {frame.schema[name] for name in ("asset_id", "asset_name", "asset_categories", "metric")}


def test_geopandas_has_points_at_the_centroids() -> None:
    """Each row has a point in EPSG:4326 with the longitude as x, or None if the asset has no centroid."""
    frame = BOTH.to_geopandas()
    assert frame.crs == "EPSG:4326"
    assert [point and (point.x, point.y) for point in frame.geometry] == [(-2.0, 1.5)] * 3 + [None]
    assert list(BOTH.to_pandas().columns) == list(frame.columns)[:-1]
    near = gpd.GeoDataFrame(geometry=gpd.points_from_xy([-2], [1.5], crs="EPSG:4326")).sjoin(frame)
    assert list(near["asset_id"]) == ["t1"] * 3


@pytest.mark.parametrize("axis", ["latitude", "longitude"])
def test_half_a_centroid_has_no_point(axis: str) -> None:
    """A point needs both coordinates. The other one stays in its column."""
    frame = results({**TANK, f"asset_centroid_{axis}": None, "results": [dated("2024-01-01", v=1)]}).to_geopandas()
    assert list(frame.geometry) == [None]


def test_sliced_table_has_its_own_points() -> None:
    """A slice shares the buffers of the whole table."""
    assets = [{**TANK, "asset_centroid_latitude": n, "results": [dated("2024-01-01", v=1)]} for n in range(5)]
    whole = results(*assets)
    part = Results(whole.table.slice(2, 2), whole.assets, whole.without_metrics, (), ())
    assert [point.y for point in part.to_geopandas().geometry] == [2.0, 3.0]


def test_empty_results_convert() -> None:
    """An empty table is an empty frame with all columns."""
    empty = results()
    assert empty.table.schema.names == list(empty.to_pandas().columns) == empty.to_polars().columns
    assert [*empty.table.schema.names, "geometry"] == list(empty.to_geopandas().columns)


BLOCK = """
import sys
from pathlib import Path

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from kayrros_ext import MissingExtraError, Results
from kayrros_ext._export import SUFFIXES, write

body = b'{"assets": [{"results": [{"value_date": "2024-01-01", "metrics": [{"name": "v", "value": 1}]}], "asset_id": "a"}]}'
results = Results.from_json(body)
"""


def without(modules: str, code: str, *arguments: str) -> str:
    """Return the output of code in a process where some modules can't be imported."""
    command = [sys.executable, "-W", "error", "-c", BLOCK + code, modules, *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run.stdout


@pytest.mark.parametrize(
    ("missing", "methods"),
    [("pandas polars geopandas", ["to_pandas", "to_polars", "to_geopandas"]), ("shapely", ["to_geopandas"])],
)
def test_missing_extra_is_named(missing: str, methods: list[str]) -> None:
    """The error names the package, the extra, and the command that installs it without an index that has kayrros-ext."""
    output = without(
        missing,
        f"""
for method in {methods}:
    try:
        getattr(results, method)()
    except MissingExtraError as error:
        print(error.extra, error)
""",
    )
    packages = {"to_pandas": "pandas>=2.2", "to_polars": "polars>=1.5", "to_geopandas": "geopandas>=1.1"}
    extras = {"to_pandas": "pandas", "to_polars": "polars", "to_geopandas": "geo"}
    for line, method, module in zip(output.splitlines(), methods, missing.split(), strict=True):
        assert line.startswith(f"{extras[method]} ")
        assert line.endswith(f'Install the packages of the extra `{extras[method]}`: pip install "{packages[method]}"')
        assert module in line


def test_export_needs_no_extra(tmp_path: Path) -> None:
    """Every format is written without any of them."""
    code = """
for suffix in SUFFIXES:
    write(Path(sys.argv[2]) / f"results{suffix}", [results])
"""
    assert without("pandas polars geopandas shapely pyproj numpy", code, str(tmp_path)) == ""
    assert len(SUFFIXES) == len(list(tmp_path.iterdir()))


def test_wide_has_a_row_per_date_and_a_column_per_asset() -> None:
    """Both are sorted. A cell is null if an asset has no value on a date. Other metrics are left out."""
    wide = concatenate(
        results({"asset_id": "b", "results": [dated("2024-01-02", v=2), dated("2024-01-01", v=1, w=9)]}),
        results({"asset_id": "a", "results": [dated("2024-01-02", v=None), dated("2024-01-03", v=0.5)]}),
        results({"asset_id": "c", "results": [dated("2024-01-04", w=9)]}),
    ).to_pandas(wide="v")
    assert [date.day for date in wide.index] == [1, 2, 3]
    assert wide.astype(object).where(wide.notna(), None).to_dict("list") == {
        "a": [None, None, 0.5],
        "b": [1.0, 2.0, None],
    }
    assert all(wide.dtypes == "float64")


# pandas 2 compares text only up to a NUL.
grids = st.dictionaries(
    st.tuples(
        st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=3), st.integers(1, 28), st.sampled_from("vw")
    ),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    min_size=1,
)


@settings(deadline=None)
@given(grids)
def test_wide_holds_each_value_in_its_place(grid: dict[tuple[str, int, str], float | None]) -> None:
    """It agrees with a slow and obvious conversion."""
    made = results(
        *({"asset_id": id_, "results": [dated(f"2024-01-{day:02}", **{m: v})]} for (id_, day, m), v in grid.items())
    )
    for metric in {metric for _, _, metric in grid}:
        ids = sorted({id_ for id_, _, name in grid if name == metric})
        days = sorted({day for _, day, name in grid if name == metric})
        expected = [[grid.get((id_, day, metric)) for day in days] for id_ in ids]
        wide = made.to_pandas(wide=metric)
        assert ids == list(wide.columns)
        assert repr(expected) == repr([[None if pd.isna(cell) else cell for cell in wide[id_].tolist()] for id_ in ids])
        assert days == [date.day for date in wide.index]


# Two tanks of one terminal, and a tank without a parent. On the second day, one tank has no value.
TERMINAL = {"parent_asset_id": "p", "parent_asset_name": "Terminal"}
TANKS = (
    {
        "asset_id": "a",
        "asset_name": "Tank 1",
        **TERMINAL,
        "results": [dated("2024-01-01", vol_bbl=1, level_pct=5, rate=1)],
    },
    {
        "asset_id": "b",
        "asset_name": "Tank 2",
        **TERMINAL,
        "results": [dated("2024-01-02", vol_bbl=3, level_pct=6), dated("2024-01-01", vol_bbl=2)],
    },
    {"asset_id": "c", "asset_name": "Tank 3", "results": [dated("2024-01-02", vol_bbl=4, level_pct=None)]},
)
DAYS = pd.DatetimeIndex(["2024-01-01", "2024-01-02"], name="value_date").as_unit("us")


def test_wide_frame_has_dates_down_and_names_across() -> None:
    """A metric gives a DataFrame whose index and columns have names."""
    expected = pd.DataFrame({"Tank 1": [1, None], "Tank 2": [2.0, 3.0], "Tank 3": [None, 4]}, index=DAYS)
    pd.testing.assert_frame_equal(results(*TANKS).to_pandas(wide="vol_bbl"), expected.rename_axis(columns="asset"))


def test_wide_frame_of_several_metrics_has_two_levels() -> None:
    """The levels are metric and asset, in the order of the list. A list of one metric has them, too."""
    frame = results(*TANKS).to_pandas(wide=["vol_bbl", "rate"])
    assert list(frame.columns) == [
        ("vol_bbl", "Tank 1"),
        ("vol_bbl", "Tank 2"),
        ("vol_bbl", "Tank 3"),
        ("rate", "Tank 1"),
    ]
    assert list(frame.columns.names) == ["metric", "asset"]
    assert frame.index.equals(DAYS)
    assert frame["vol_bbl"].equals(results(*TANKS).to_pandas(wide="vol_bbl"))
    assert list(results(*TANKS).to_pandas(wide=["rate"]).columns) == [("rate", "Tank 1")]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["North", "South"], ["North", "South"]),
        (["North", "North", "South"], ["id0", "id1", "South"]),
        ([None, "", "South"], ["id0", "id1", "South"]),
        (["id1", "South"], ["id0", "South"]),
    ],
)
def test_wide_has_ids_where_names_are_ambiguous(names: list[str | None], labels: list[str]) -> None:
    """A name that is missing, or that is also the name or id of another asset, is replaced by the id."""
    made = results(
        *(
            {"asset_id": f"id{n}", "asset_name": name, "results": [dated(DAY.isoformat(), v=n)]}
            for n, name in enumerate(names)
        )
    )
    assert set(made.to_pandas(wide="v").columns) == set(labels)


def test_by_parent_adds_assets_and_counts_them() -> None:
    """A total has the values that exist, and its count is their number. An asset without a parent stands for itself."""
    frame = results(*TANKS).to_pandas(wide="vol_bbl", by="parent")
    assert list(frame.columns.names) == ["metric", "parent"]
    assert frame.index.equals(DAYS)
    assert frame["vol_bbl"].to_dict("list") == {
        "Tank 3": [pytest.approx(float("nan"), nan_ok=True), 4],
        "Terminal": [3, 3],
    }
    assert frame["vol_bbl_asset_count"].to_dict("list") == {"Tank 3": [0, 1], "Terminal": [2, 1]}


def test_total_of_nulls_is_null() -> None:
    """It is not zero, which would be a measurement."""
    made = results({"asset_id": "a", **TERMINAL, "results": [dated("2024-01-01", vol_bbl=None)]})
    frame = made.to_pandas(wide=["vol_bbl"], by="parent")
    assert frame.isna().to_numpy().tolist() == [[True, False]]
    assert frame["vol_bbl_asset_count"].to_dict("list") == {"Terminal": [0]}


def test_totals_use_the_parent_of_their_date() -> None:
    """A tank that moves to another terminal counts there from then on."""
    first, second = dated("2024-01-01", vol_bbl=1), dated("2024-01-02", vol_bbl=2)
    moved = [
        {"asset_id": "a", "parent_asset_id": parent, "results": [day]} for parent, day in (("p", first), ("q", second))
    ]
    counts = results(*moved).to_pandas(wide="vol_bbl", by="parent")["vol_bbl_asset_count"]
    assert counts.to_dict("list") == {"p": [1, 0], "q": [0, 1]}


def test_parent_with_values_of_its_own_is_an_error() -> None:
    """Its total would count its assets twice."""
    terminal = {"asset_id": "p", "asset_name": "Terminal", "results": [dated("2024-01-01", vol_bbl=3, capacity_bbl=9)]}
    with pytest.raises(UsageError, match=r"Some parents have values of 'vol_bbl' themselves \(p\).*assets="):
        results(*TANKS, terminal).to_pandas(wide="vol_bbl", by="parent")
    assert results(*TANKS, terminal).to_pandas(wide="capacity_bbl", by="parent").size == 2


@pytest.mark.parametrize("metric", ["level_pct", "rate"])
def test_only_additive_metrics_have_totals(metric: str) -> None:
    """A percentage, and a metric whose name has no unit, are refused, and the error names those that add up."""
    with pytest.raises(
        UsageError, match=rf"{metric}' can't be added up.*Additive metrics: vol_bbl\. For others, group"
    ):
        results(*TANKS).to_pandas(wide=["vol_bbl", metric], by="parent")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "parent"}, "^by='parent' needs wide=\\. Pass"),
        ({"by": "country", "wide": "vol_bbl"}, "by is 'country'"),
        ({"wide": []}, "wide is empty"),
        ({"wide": "vol_bl"}, "No row has the metric 'vol_bl'. Available metrics: 'vol_bbl', "),
        ({"wide": ["vol_bbl", "no"]}, "No row has the metric 'no'"),
        ({"wide": True}, "No row has the metric True"),
    ],
)
def test_impossible_wide_frame_is_an_error(options: dict[str, Any], message: str) -> None:
    """The error says what to pass instead."""
    with pytest.raises(UsageError, match=message):
        results(*TANKS).to_pandas(**options)


@pytest.mark.parametrize("metric", ["volumes", True, 5])
def test_unknown_metric_is_an_error(metric: Any) -> None:
    """The error names the metrics of the table."""
    with pytest.raises(UsageError, match=f"{metric!r}. Available metrics: 'volume', 'level'"):
        BOTH.to_pandas(wide=metric)
    with pytest.raises(UsageError, match="Available metrics: none"):
        results().to_pandas(wide="volume")


def test_two_values_for_one_cell_are_an_error() -> None:
    """The error names the asset, the metric and the date."""
    twice = concatenate(FIRST, FIRST)
    with pytest.raises(UsageError, match="'t1' has several values of 'level' on 2024-01-01T00:00:00"):
        twice.to_pandas(wide="level")


@pytest.mark.parametrize(
    "asset", [{"results": [dated("2024-01-01", v=1)]}, {"asset_id": "a", "results": [dated(None, v=1)]}]
)
def test_row_without_asset_or_date_is_an_error(asset: dict[str, Any]) -> None:
    """It is not dropped silently."""
    with pytest.raises(UsageError, match="1 rows of 'v' have no asset_id or no date"):
        results(asset).to_pandas(wide="v")


def test_labels_are_the_same_for_all_metrics() -> None:
    """Two assets share a name, and only one of them has the second metric."""
    first, second = ({"asset_id": id_, "asset_name": "North"} for id_ in "ab")
    made = results(
        {**first, "results": [dated("2024-01-01", v=1, w=2)]}, {**second, "results": [dated("2024-01-01", v=1)]}
    )
    assert list(made.to_pandas(wide=["v", "w"]).columns) == [("v", "a"), ("v", "b"), ("w", "a")]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("stored_volume_bbl", True),
        ("emission_rate_kg_per_h", True),
        ("crude_intake_kbpd", True),
        ("hot_surface_m2", True),
        ("fill_level_pct", False),
        ("methane_ppb", False),
        ("temperature_k", False),
        ("yield_t_per_km2", False),
        ("price_usd", False),
        ("price_usd_per_bbl", False),
        ("emission_rate_uncertainty_kg_per_h", False),
        ("mean_volume_bbl", False),
        ("ship_count", False),
        ("speed_km_per_h", False),
        ("utilisation_hours_per_day", False),
        ("rate_usd_per_day", False),
        ("avg_volume_bbl", False),
        ("p90_volume_bbl", False),
        ("volume_quantile_bbl", False),
    ],
)
def test_name_of_a_metric_says_whether_it_adds_up(metric: str, expected: bool) -> None:
    """Amounts and amounts per time do; shares, densities, money, statistics and unknown units do not."""
    assert is_additive(metric) is expected


def test_dates_of_several_metrics_are_in_order() -> None:
    """Also where the second metric has the earlier dates."""
    made = results(
        {"asset_id": "a", "results": [dated("2024-01-02", v=1), dated("2024-01-01", w=2), dated("2024-01-03", w=2)]}
    )
    assert [date.day for date in made.to_pandas(wide=["v", "w"]).index] == [1, 2, 3]
