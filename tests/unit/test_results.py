"""Results know their dataset, select rows, and show and export themselves."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import numpy as np
import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kayrros_ext import Gap, GapError, Kayrros, Metadata, Results, TransportError, UsageError
from kayrros_ext._export import SUFFIXES
from kayrros_ext._results.merge import merge
from kayrros_ext._results.text import WIDTH, align_numbers
from kayrros_ext._text import cell_width
from kayrros_ext.testing import Fault, Platform
from kayrros_openapi.models import DatasetMetadata
from kayrros_openapi.types import UNSET

NOTICE = "Contains modified Copernicus Sentinel data"
MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


def asset(key: str | None, name: str | None, **dates: dict[str | None, Any]) -> dict[str, Any]:
    """Return an asset with the metrics of each date, such as d2024_01_02."""
    results = [
        {"value_date": date[1:].replace("_", "-"), "metrics": [{"name": n, "value": v} for n, v in metrics.items()]}
        for date, metrics in dates.items()
    ]
    return {"asset_id": key, "asset_name": name, "results": results}


def read(*assets: dict[str, Any]) -> Results:
    return Results.from_json(json.dumps({"assets": assets}).encode())


def operations(platform: Platform) -> list[str | None]:
    return [request.operation for request in platform.requests if request.operation != "login"]


@pytest.fixture
def platform() -> Platform:
    platform = Platform()
    dataset = platform.generate(seed=1, assets=2, dates=6, name="Tanks")
    platform.add_collection("Oil storage", [dataset], id="oil")
    return platform


@pytest.fixture
def dataset(platform: Platform) -> UUID:
    return UUID(next(iter(platform.datasets)))


def test_unit_follows_from_the_metric() -> None:
    """Each row has it, null where the name says nothing, however the response was read, and after a merge."""
    rows = {"a_bbl": 1, "b": 2, None: 3, "c_kg_per_h": 4}
    expected = ["bbl", None, None, "kg/h"]
    regular, odd = read(asset("t", "T", d2024_01_02=rows)), read({**asset("u", "U", d20240102=rows), "x": [{}]})
    merged = merge([regular, odd])
    assert regular.table["unit"].to_pylist() == odd.table["unit"].to_pylist() == expected
    assert sorted(merged.table["unit"].to_pylist(), key=str) == sorted(expected * 2, key=str)
    assert merged.units == {"a_bbl": "bbl", "b": None, "c_kg_per_h": "kg/h"}
    assert read().units == {}
    # Categoricals of pandas and polars reject repeated categories.
    twice = read(asset("t", "T", d2024_01_02={"a_bbl": 1, "b_bbl": 2}))
    assert list(twice.to_pandas()["unit"]) == pl.DataFrame(twice)["unit"].to_list() == ["bbl", "bbl"]


def test_results_know_their_dataset(platform: Platform, dataset: UUID) -> None:
    """Name and metadata are there once the client has seen them, and results never request them."""
    with platform.connect() as kayrros:
        before = datetime.now(UTC)
        results = kayrros.results(dataset)
        assert (results.dataset_id, results.dataset_name, results.metadata) == (dataset, None, None)
        assert results.retrieved_at
        assert before <= results.retrieved_at <= datetime.now(UTC)
        assert results.query == {}
        assert operations(platform) == ["getDatasetResults"]
        kayrros.datasets()
        assert kayrros.results(dataset, start="2024-01-05").dataset_name == "Tanks"
        metadata = kayrros.metadata(dataset)
        results = kayrros.results(dataset, start="2024-01-05", stop="2024-02")
        assert results.metadata is metadata
        assert results.query == {"start": "2024-01-05T00:00:00+00:00", "stop": "2024-02-29T23:59:59.999000+00:00"}
        assert kayrros.results(dataset, start="2024-01-05").query == {"start": "2024-01-05T00:00:00+00:00"}
    with platform.connect() as other:
        assert other.results("Tanks").dataset_name == "Tanks"
    from_file = read()
    assert (from_file.dataset_id, from_file.retrieved_at) == (None, None)


def test_results_in_windows_know_their_dataset(platform: Platform, dataset: UUID) -> None:
    """Their metadata are those that were fetched for the windows, also in an error without a single part."""
    platform.max_rows = 12
    with platform.connect(retries=0) as kayrros:
        results = kayrros.results(dataset)
        assert (results.dataset_name, results.dataset_id, len(results)) == ("Tanks", dataset, 24)
        assert {part.dataset_name for part in kayrros.iter_results(dataset)} == {"Tanks"}
        platform.max_rows = 1
        with pytest.raises(GapError) as caught:
            kayrros.results(dataset)
    assert caught.value.results is not None
    assert caught.value.results.dataset_id == dataset


@pytest.mark.parametrize(
    ("text", "expected"),
    [("© Kayrros", "© Kayrros"), (" ", None), (None, None), (UNSET, None)],
)
def test_attribution_is_that_of_the_metadata(text: Any, expected: str | None) -> None:
    """Without one, it is the notice of Copernicus, with the years of the first and the last value."""
    results = read(asset("t", "T", d2022_01_02={"m": 1}, d2024_01_02={"m": 1}))
    results = attrs.evolve(results, metadata=Metadata(attribution_text=text))
    assert results.attribution == (expected or f"{NOTICE} 2022-2024, processed by Kayrros")
    if not expected:
        assert results.head(1).attribution == f"{NOTICE} 2022, processed by Kayrros"
        assert results.head(0).attribution == f"{NOTICE}, processed by Kayrros"


def test_metadata_have_dates() -> None:
    """`start` and `stop` are datetimes in UTC, None where the API sends no date."""
    metadata = Metadata(start_date=1_704_067_200_000, stop_date=None)
    assert (metadata.start, metadata.stop, metadata.start_date) == (MOMENT, None, 1_704_067_200_000)
    assert (Metadata().start, Metadata(stop_date=10**18).stop) == (None, None)
    metadata = Metadata.from_dict({"name": "Tanks\x1b", "start_date": 1_704_067_200_000, "stop_date": None, "new": 1})
    text = "Metadata(name='Tanks\\x1b', start=2024-01-01 00:00:00+00:00, stop_date=None, new=1)"
    assert repr(metadata) == text


def test_selections_are_results(platform: Platform, dataset: UUID) -> None:
    """`head` and `latest` keep all attributes. `len` is the number of rows."""
    with platform.connect() as kayrros:
        results = kayrros.results(dataset)
    for selected, rows in (
        (results.head(), 5),
        (results.head(2), 2),
        (results.head(np.int64(9)), 9),
        (results.head(99), 24),
        (results.latest(), 4),
    ):
        assert len(selected) == selected.table.num_rows == rows
        names = [field.name for field in attrs.fields(Results) if field.name != "table"]
        assert [getattr(selected, name) for name in names] == [getattr(results, name) for name in names]
    for n in (-1, "3", 1.5, True, np.int64(-1)):
        with pytest.raises(UsageError, match="n is"):
            results.head(n)  # type: ignore[arg-type]


def test_latest_is_the_last_value() -> None:
    """It is that of each asset and metric which is not null, in any order of the rows, ordered by asset and metric."""
    results = read(
        asset("b", "B", d2024_01_03={"y": 5, "x": None}, d2024_01_02={"x": 4, "y": 9}),
        asset("a", "A", d2024_01_03={"x": 1}, d2024_01_05={"x": None}, d2024_01_04={"x": 2, None: 3}),
        asset(None, "N", d2024_01_01={"x": 7}),
    )
    rows = results.latest().table.select(["asset_id", "metric", "value"]).to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("a", "x", 2.0),
        ("a", None, 3.0),
        ("b", "x", 4.0),
        ("b", "y", 5.0),
        (None, "x", 7.0),
    ]
    assert len(read().latest()) == 0


def exported(kayrros: Kayrros, dataset: UUID, path: Path) -> dict[str, str]:
    kayrros.export(dataset, path, start="2024-01-05", stop="2024-02")
    return {name.decode(): text.decode() for name, text in pq.read_metadata(path).metadata.items()}


def test_files_record_the_facts(platform: Platform, dataset: UUID, tmp_path: Path) -> None:
    """Each format with metadata has the same, from one request or several, and from results in memory."""
    with platform.connect() as kayrros:
        one = exported(kayrros, dataset, tmp_path / "a.parquet")
        assert operations(platform) == ["getDatasetMetadata", "getDatasetResults"]
        platform.max_rows = 8
        facts = exported(kayrros, dataset, tmp_path / "b.parquet")
        results = kayrros.results(dataset, start="2024-01-05", stop="2024-02")
    assert facts["dataset_id"] == str(dataset)
    assert (facts["dataset_name"], facts["client"], facts["gaps"]) == ("Tanks", "kayrros-ext 0.1.0", "")
    assert (facts["start"], facts["stop"]) == ("2024-01-05T00:00:00+00:00", "2024-02-29T23:59:59.999000+00:00")
    assert json.loads(facts["units"]) == {"fill_level_pct": "%", "stored_volume_bbl": "bbl"}
    assert json.loads(facts["column_units"])["asset_surface_area_m2"] == "m2"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", facts["retrieved_at"])
    for name in ("attribution", "dataset_name"):
        assert one[name] == facts[name] == {"attribution": f"{NOTICE} 2024", "dataset_name": "Tanks"}[name]
    assert int(facts["requests"]) > int(one["requests"]) == 1
    assert facts["processing_id"] == results.processing_id
    results.export(tmp_path / "c.parquet")
    results.export(tmp_path / "c.geojson")
    results.export(tmp_path / "c.xlsx")
    parquet = {name.decode(): text.decode() for name, text in pq.read_metadata(tmp_path / "c.parquet").metadata.items()}
    geojson = json.loads((tmp_path / "c.geojson").read_text("utf-8"))["metadata"]
    excel = dict(openpyxl.load_workbook(tmp_path / "c.xlsx")["about"].iter_rows(min_row=2, values_only=True))
    del parquet["ARROW:schema"]
    assert parquet == geojson
    assert (excel["dataset name"], excel["client"], excel["gaps"]) == ("Tanks", "kayrros-ext 0.1.0", "none")
    assert facts.items() - parquet.items() <= {
        (name, facts[name]) for name in ("requests", "retrieved_at", "ARROW:schema")
    }
    table = pq.read_table(tmp_path / "c.parquet")
    assert table.equals(results.table)
    assert {name.decode(): text.decode() for name, text in table.schema.metadata.items()} == parquet
    assert len(pa.concat_tables([table, pq.read_table(tmp_path / "b.parquet")])) == 2 * len(table)
    assert pl.read_parquet(tmp_path / "c.parquet").height == len(table)


def test_export_fetches_the_metadata_first(platform: Platform, dataset: UUID, tmp_path: Path) -> None:
    """Once per client. Where it fails, the file has the notice of Copernicus, but an unreachable host fails at once."""
    with platform.connect() as kayrros:
        for name in ("a.csv", "b.csv"):
            kayrros.export(dataset, tmp_path / name)
        assert operations(platform) == ["getDatasetMetadata", *["getDatasetResults"] * 2]
    for fault in (Fault.status(500), Fault.status(403), Fault.dropped()):
        platform.fail_next(fault, operation="getDatasetMetadata")
        with platform.connect(retries=0) as kayrros:
            facts = exported(kayrros, dataset, tmp_path / "c.parquet")
        assert facts["attribution"] == f"{NOTICE} 2024, processed by Kayrros"
        assert "dataset_name" not in facts
    nobody = Kayrros(base_url="http://127.0.0.1:1", token="a-token")
    with nobody as kayrros, pytest.raises(TransportError, match="Nothing listens") as caught:
        kayrros.export(dataset, tmp_path / "d.parquet")
    assert (caught.value.operation, caught.value.attempts) == ("getDatasetMetadata", 1)
    assert not (tmp_path / "d.parquet").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_may_have_the_dataset_in_front(suffix: str, platform: Platform, dataset: UUID, tmp_path: Path) -> None:
    """with_dataset=True adds id and name to each row of each format, and results in memory write them too."""
    path = tmp_path / f"tanks{suffix}"
    with platform.connect() as kayrros:
        kayrros.export(dataset, path, with_dataset=True)
        first = path.read_bytes()
        assert operations(platform) == ["getDatasetMetadata", "getDatasetResults"]
        results = kayrros.results(dataset, with_dataset=True)
        assert operations(platform)[2:] == ["getDatasetResults"]
    assert set(zip(*(results.table[name].to_pylist() for name in results.table.column_names[:2]), strict=True)) == {
        (str(dataset), "Tanks")
    }
    results.export(path)
    if suffix == ".csv":
        assert first == path.read_bytes()
        frame = pl.read_csv(path)
        assert frame.columns == results.table.column_names
        assert set(frame["dataset_name"]) == {"Tanks"}
    if suffix == ".xlsx":
        row = list(openpyxl.load_workbook(path)["values"].iter_rows(values_only=True))[1]
        assert row[:2] == (str(dataset), "Tanks")
    if "parquet" in suffix:
        assert pq.read_table(path).select(results.table.column_names).equals(results.table)


def test_results_with_their_dataset_convert(platform: Platform, dataset: UUID) -> None:
    """Every conversion accepts the additional columns, also in windows, where a gap leaves a part without rows."""
    platform.max_rows = 8
    with platform.connect(retries=0) as kayrros:
        results = kayrros.results(dataset, with_dataset=True)
        parts = list(kayrros.iter_results(dataset, with_dataset=True))
        platform.max_rows = 1
        empty = kayrros.results(dataset, with_dataset=True, on_gap="warn")
    assert len(results) == sum(map(len, parts)) == 24
    assert empty.table.schema.equals(results.table.schema)
    assert list(results.to_pandas().columns[:2]) == results.to_polars().columns[:2] == ["dataset_id", "dataset_name"]
    assert list(results.to_geopandas()["dataset_name"].unique()) == ["Tanks"]
    assert results.to_pandas(wide="fill_level_pct").shape == (6, 2)
    assert len(results.latest()) == 4
    assert "Tanks" in results._repr_html_()


def test_metadata_of_an_unnamed_dataset(platform: Platform) -> None:
    """Where the metadata have no name either, the column is null."""
    dataset = platform.add({"t": {"2024-01-01": {"m": 1.0}}}, metadata={"name": None})
    with platform.connect() as kayrros:
        table = kayrros.results(dataset.id, with_dataset=True).table
    assert table["dataset_name"].to_pylist() == [None]
    assert not hasattr(DatasetMetadata(), "start")


LONG = "A long name of a metric that goes on and on and on_bbl"
VIEWS = {
    "Chinese": read(asset("t1", "东京储油罐" * 9, d2024_01_02={"level_pct": 1.5, "体积_bbl": 2e6})),
    "Arabic": read(asset("t1", "خزان النفط" * 9, d2024_01_02={"level_pct": 1.5})),
    "emoji": read(asset("t1", "🛢️👩🏽‍🚀 tank" * 9, d2024_01_02={"🛢" * 50: 1.5})),
    "control": read(asset("t\x1b[2J", "T\x1b[31m\n\u202e\x9b\tx", d2024_01_02={"a\nb\x07": 1.5})),
    "many": read(asset("t", "T", d2024_01_02={f"m{n:03}_kg_per_h": n * 1.1 for n in range(200)})),
    "empty": read(),
    "huge": read(
        asset("t", LONG, d2024_01_02={LONG: -123456789012345.6, "a": 1e-9, None: 1.7e308}),
        asset("u", LONG, d2024_01_03={LONG: 999999999999999, "a": -3e-12, "n": None}),
    ),
    "gaps": attrs.evolve(
        read(asset("t", None, d2024_01_02={"m": 1})), gaps=(Gap(MOMENT, MOMENT, ("a",) * 1234, None, True),) * 7
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_text_fits_80_columns(name: str) -> None:
    """Whatever a server sends, no line is wider, and none controls a terminal."""
    results = attrs.evolve(VIEWS[name], dataset_name="🛢 东京储油罐 \x1b[31m" * 20, non_finite=3)
    lines = repr(results).split("\n")
    assert lines[0].startswith("Results of 🛢 东京储油罐")
    assert lines == str(results).splitlines()
    assert max(map(cell_width, lines)) <= WIDTH
    assert all(line.isprintable() for line in lines)


def test_two_metrics_never_look_the_same() -> None:
    """Columns are dropped before a name is truncated. Names that would be alike have a number, in every table and view."""
    long = [
        f"{'concentration_of_the_plume' * 2}_{side}_of_the_river_{'x' * 40}_kg_per_h" for side in ("north", "south")
    ]
    alike = ["level\n pct", "level pct"]
    for names, shown in ((long, 2), (alike, 4)):
        results = read(asset("t1", "Tank with a long name", d2024_01_02=dict.fromkeys(names, 123456.5)))
        heads, first, second = repr(results).splitlines()[3:6]
        assert first.partition("123")[0] != second.partition("123")[0]
        rows = [line[20:] for line in repr(results).splitlines()[-2:]]
        assert len(set(rows)) == 2
        assert len(re.findall(r"\(2\)", repr(results))) == 2
        assert results._repr_html_().count("(2)") == shown - 2
        assert heads.split()[0] == "metric"
    medium = "stored_volume_in_floating_roof_tanks_in_use_bbl"
    results = read(asset("t1", "Tank with a long name", d2024_01_02={medium: 123456.5}))
    assert repr(results).splitlines()[3].split() == ["metric", "unit", "minimum", "maximum"]
    assert repr(results).count(medium) == 2


def test_text_shows_what_results_are() -> None:
    """It has the dataset, the period, each metric with unit and range, and the rows."""
    rows: dict[str, Any] = {
        f"d2024_01_{day:02}": {"level_pct": day / 8, "volume_bbl": day * 1e5} for day in range(1, 12)
    }
    results = read(asset("t1", "Tank 1", **rows), asset("t2", None, d2023_12_31={"level_pct": None}))
    assert repr(attrs.evolve(results, dataset_name="Tanks", non_finite=1)) == (
        """\
Results of Tanks
2023-12-31 to 2024-01-11, 23 rows, 2 assets, 1 NaN or infinite, read as null

metric      unit  values  minimum    maximum  first date  last date
level_pct   %         11    0.125      1.375  2023-12-31  2024-01-11
volume_bbl  bbl       11  100,000  1,100,000  2024-01-01  2024-01-11

value_date  asset_name  metric              value
2024-01-01  Tank 1      level_pct           0.125
2024-01-01  Tank 1      volume_bbl    100,000
2024-01-02  Tank 1      level_pct           0.250
2024-01-02  Tank 1      volume_bbl    200,000
2024-01-03  Tank 1      level_pct           0.375
…
2024-01-10  Tank 1      level_pct           1.250
2024-01-10  Tank 1      volume_bbl  1,000,000
2024-01-11  Tank 1      level_pct           1.375
2024-01-11  Tank 1      volume_bbl  1,100,000
2023-12-31  t2          level_pct"""
    )
    assert "2024-01-01 to 2024-01-02, 3 rows, 1 of 2 assets" in repr(results.head(3))
    assert "…" not in repr(results.head(20))
    assert "2 rows, 1 of 2 assets" in repr(results.latest())
    assert repr(attrs.evolve(read(), dataset_id=UUID(int=1))) == f"Results of {UUID(int=1)}\n0 rows, 0 assets"
    assert "1 row, 1 asset" in repr(VIEWS["gaps"])
    assert "… and 2 more gaps" in repr(VIEWS["gaps"])
    assert "… and 188 more metrics" in repr(VIEWS["many"])
    assert "-123,456,789,012,346" in repr(VIEWS["huge"])


def test_numbers_of_a_metric_have_one_form() -> None:
    """Six digits of the largest, no zeros at the end of all, decimal points in one column, and no small number is 0."""
    numbers = [("a", 1.5), ("a", 20.25), ("b", 1e6), ("c", 3 * 1.1), ("a", None), ("d", 1e9), ("d", 1e-5), ("e", 0.0)]
    assert [text.rstrip() for text in align_numbers(numbers)] == [
        "1.50",
        "20.25",
        "1,000,000",
        "3.3",
        "",
        "1,000,000,000",
        "1e-05",
        "0",
    ]
    points = {len(text) - text.index(".") for text in align_numbers(numbers) if "." in text}
    assert points == {3}


def test_html_shows_the_same_facts(platform: Platform, dataset: UUID) -> None:
    """Dataset, period, units and attribution."""
    with platform.connect() as kayrros:
        kayrros.metadata(dataset)
        results = kayrros.results(dataset)
    view = results._repr_html_()
    for text in ("Results of Tanks", "2024-01-02 to 2024-02-06", f"{NOTICE} 2024", ">bbl<", "24 rows, 2 assets"):
        assert text in view
