"""Export to a file: another library reads each format back, and a file is complete or absent."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import duckdb
import geopandas as gpd
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kayrros_ext import ExportError, Results, UsageError
from kayrros_ext._export import SUFFIXES, parse_target, write
from kayrros_ext._export import parquet as export_parquet

DATASET = UUID("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
ASSET: dict[str, Any] = {
    "asset_id": "t1",
    "asset_name": 'Réserve "Nord", 1',
    "asset_version": 2**53 + 1,
    "asset_categories": ["crude", "tank; floating"],
    "asset_centroid_latitude": 1.5,
    "asset_centroid_longitude": -2.25,
    "asset_surface_area_m2": 0.1,
    "parent_asset_id": "p",
    "parent_asset_name": "",
    "parent_asset_version": 3,
}
DAY = datetime(2024, 1, 1, tzinfo=UTC)


def results(*assets: dict[str, Any]) -> Results:
    return Results.from_json(json.dumps({"assets": assets}).encode())


def dated(days: int, **metrics: Any) -> dict[str, Any]:
    named = [{"name": name, "value": value} for name, value in metrics.items()]
    return {"value_date": (DAY + timedelta(days, microseconds=days)).isoformat(), "metrics": named}


# An asset with all fields and one with hardly any; metrics that only one part has.
PARTS = (
    results(
        {**ASSET, "results": [dated(0, volume=1, level=0.1 + 0.2), dated(1, volume=None)]},
        {"asset_id": "t2", "results": [dated(0, volume=-1e-300)]},
    ),
    results(
        {**ASSET, "asset_id": "t0", "results": [dated(2, height=1e300)]}, {**ASSET, "results": [dated(3, volume=7)]}
    ),
)
ROWS = [row for part in PARTS for row in part.table.to_pylist()]


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_text(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "value_date": iso(row["value_date"])} for row in rows]


def units_of(field: pa.Field) -> dict[bytes, bytes] | None:
    """Return the metadata of a field without the number that Parquet adds."""
    return {key: value for key, value in (field.metadata or {}).items() if key != b"PARQUET:field_id"} or None


def exported(folder: Path, suffix: str, *parts: Results, **metadata: str) -> Path:
    path = parse_target(folder / f"results{suffix}")
    described = [attrs.evolve(part, dataset_id=DATASET, query=metadata, requests=1) for part in parts]
    assert sum(part.table.num_rows for part in parts) == write(path, iter(described))
    assert [path] == list(folder.iterdir())
    return path


def test_parquet_has_all_values_types_and_units(tmp_path: Path) -> None:
    """Pyarrow reads back schema, units and values. The metadata holds dataset and request."""
    path = exported(tmp_path, ".parquet", *PARTS, start="2024-01-01")
    table = pq.read_table(path)
    assert table.to_pylist() == ROWS
    assert PARTS[0].table.schema.equals(table.schema)
    assert [field.metadata for field in PARTS[0].table.schema] == [units_of(field) for field in table.schema]
    kept = {key.decode(): value.decode() for key, value in pq.read_metadata(path).metadata.items()}
    assert (str(DATASET), "2024-01-01", "2") == (kept["dataset_id"], kept["start"], kept["requests"])
    assert json.loads(kept["column_units"])["asset_surface_area_m2"] == "m2"


def test_other_libraries_read_parquet(tmp_path: Path) -> None:
    """DuckDB and polars read the same values."""
    path = str(exported(tmp_path, ".parquet", *PARTS))
    moments = "epoch_us(value_date)"
    query = f"SELECT asset_id, asset_version, asset_categories, {moments}, metric, value FROM '{path}'"  # noqa: S608
    names = ("asset_id", "asset_version", "asset_categories", "value_date", "metric", "value")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [{**row, "value_date": (row["value_date"] - epoch) // timedelta(microseconds=1)} for row in ROWS]
    assert [tuple(row[name] for name in names) for row in expected] == duckdb.connect().execute(query).fetchall()
    assert pl.read_parquet(path).to_dicts() == ROWS


def test_row_groups_have_one_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts are joined, a large one is split, and the order of rows stays."""
    monkeypatch.setattr(export_parquet, "ROW_GROUP", 10)
    parts = [
        results(*({"asset_id": f"a{part + n}", "results": [dated(n, volume=n)]} for n in range(size)))
        for part, size in enumerate((1, 2, 3, 35, 0, 1, 8, 5))
    ]
    path = exported(tmp_path, ".parquet", *parts)
    metadata = pq.read_metadata(path)
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [10, 10, 10, 10, 10, 5]
    assert [row for part in parts for row in part.table.to_pylist()] == pq.read_table(path).to_pylist()


def test_labels_are_stored_once_per_row_group(tmp_path: Path) -> None:
    """Parts with different labels may share the group. The column is compressed."""
    metrics = [{"name": "v", "value": n} for n in range(50)]
    dates = [{"value_date": "2024-01-01", "metrics": metrics}]
    parts = [
        results(*({"asset_name": f"{part}, tank number {n}", "results": dates} for n in range(100)))
        for part in ("north", "south")
    ]
    metadata = pq.read_metadata(exported(tmp_path, ".parquet", *parts))
    assert metadata.num_row_groups == 1
    column = metadata.row_group(0).column(1)
    assert (column.path_in_schema, column.compression) == ("asset_name", "ZSTD")
    text = sum(len(name) for part in parts for name in part.table["asset_name"].to_pylist())
    assert column.total_uncompressed_size < 0.2 * text


@pytest.mark.parametrize("suffix", [".geoparquet", ".geo.parquet"])
def test_geopandas_reads_geoparquet(tmp_path: Path, suffix: str) -> None:
    """Points are at the centroids in EPSG:4326, or None. The metadata of GeoParquet 1.1 has their bounds."""
    path = exported(tmp_path, suffix, *PARTS)
    frame = gpd.read_parquet(path)
    assert frame.crs == "EPSG:4326"
    expected = [None if row["asset_centroid_latitude"] is None else (-2.25, 1.5) for row in ROWS]
    assert None in expected
    assert expected == [point and (point.x, point.y) for point in frame.geometry]
    assert [row["value"] for row in ROWS] == frame["value"].astype(object).where(frame["value"].notna(), None).to_list()
    metadata = pq.read_metadata(path).metadata
    geo = json.loads(metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert (
        column["encoding"],
        column["geometry_types"],
        column["bbox"],
    ) == ("WKB", ["Point"], [-2.25, 1.5, -2.25, 1.5])
    assert str(DATASET).encode() == metadata[b"dataset_id"]
    assert metadata[b"requests"] == b"2"


def test_other_libraries_read_csv(tmp_path: Path) -> None:
    """polars, pandas and DuckDB read the columns, the dates and each value to the last digit."""
    path = exported(tmp_path, ".csv", *PARTS)
    values, dates = [row["value"] for row in ROWS], [row["value_date"] for row in ROWS]
    frame = pl.read_csv(path, try_parse_dates=True)
    assert values == frame["value"].to_list()
    assert dates == [date.replace(tzinfo=UTC) for date in frame["value_date"].to_list()]
    exact = {} if pd.__version__ >= "3" else {"float_precision": "round_trip"}  # pandas 2 is off by a digit
    panda = pd.read_csv(path, parse_dates=["value_date"], **exact)
    assert list(ROWS[0]) == list(panda.columns)
    assert [pd.Timestamp(date) for date in dates] == list(panda["value_date"])
    assert values == [None if pd.isna(value) else value for value in panda["value"]]
    query = "SELECT asset_name, value, asset_categories::JSON->>0 FROM read_csv(?)"
    expected = [(row["asset_name"], row["value"], (row["asset_categories"] or [None])[0]) for row in ROWS]
    assert expected == duckdb.connect().execute(query, [str(path)]).fetchall()


def test_csv_distinguishes_null_from_an_empty_string(tmp_path: Path) -> None:
    """Null is an empty cell, an empty string is two quotes, and categories are a JSON array."""
    path = exported(tmp_path, ".csv", results({**ASSET, "parent_asset_id": None, "results": [dated(0, volume=1)]}))
    line = path.read_text("utf-8").splitlines()[1]
    assert line == (
        't1,"Réserve ""Nord"", 1",9007199254740993,"[""crude"",""tank; floating""]",1.5,-2.25,0.1,,"",3,'
        "2024-01-01T00:00:00.000000Z,volume,,1.0"
    )


def test_json_is_one_array(tmp_path: Path) -> None:
    """It has an object per row, and is empty without rows."""
    assert as_text(ROWS) == json.loads(exported(tmp_path, ".json", *PARTS).read_text("utf-8"))
    assert json.loads(exported(tmp_path, ".json", results()).read_text("utf-8")) == []


@pytest.mark.parametrize("suffix", [".ndjson", ".jsonl", ".JSONL"])
def test_ndjson_has_an_object_per_line(tmp_path: Path, suffix: str) -> None:
    """json, polars and DuckDB read the rows of the table, with every column on every line."""
    path = exported(tmp_path, suffix, *PARTS)
    lines = path.read_text("utf-8").split("\n")
    assert as_text(ROWS) == [json.loads(line) for line in lines[:-1]]
    assert lines[-1] == ""
    assert as_text(ROWS) == pl.read_ndjson(path).to_dicts()
    query = "SELECT asset_name, asset_version, value, asset_categories FROM read_json(?, format='newline_delimited')"
    names = ("asset_name", "asset_version", "value", "asset_categories")
    assert [tuple(row[name] for name in names) for row in ROWS] == duckdb.connect().execute(
        query, [str(path)]
    ).fetchall()


def test_geojson_has_a_feature_per_row(tmp_path: Path) -> None:
    """A feature has all columns, and its longitude first or null without a centroid. `metadata` has the dataset."""
    path = exported(tmp_path, ".geojson", *PARTS)
    read = json.loads(path.read_text("utf-8"))
    assert read["type"] == "FeatureCollection"
    assert read["metadata"].items() >= {"dataset_id": str(DATASET), "requests": "2"}.items()
    assert as_text(ROWS) == [feature["properties"] for feature in read["features"]]
    point = {"type": "Point", "coordinates": [-2.25, 1.5]}
    geometries = [None if row["asset_centroid_latitude"] is None else point for row in ROWS]
    assert geometries == [feature["geometry"] for feature in read["features"]]
    assert {"Feature"} == {feature["type"] for feature in read["features"]}
    frame = gpd.read_file(path)
    assert frame.crs == "EPSG:4326"
    assert [row["asset_id"] for row in ROWS] == list(frame["asset_id"])
    assert [(-2.25, 1.5) if geometry else None for geometry in geometries] == [
        point and (point.x, point.y) for point in frame.geometry
    ]


@pytest.mark.parametrize("suffix", [".csv", ".ndjson", ".jsonl", ".geojson"])
def test_text_can_be_compressed(tmp_path: Path, suffix: str) -> None:
    """A name that ends in .gz holds the same text, compressed with gzip."""
    plain = exported(tmp_path, suffix, *PARTS).read_bytes()
    (tmp_path / f"results{suffix}").unlink()
    assert plain == gzip.decompress(exported(tmp_path, f"{suffix}.gz", *PARTS).read_bytes())


@pytest.mark.parametrize("parts", [(), (results(), results(ASSET))], ids=["no parts", "no rows"])
def test_file_without_rows_is_complete(tmp_path: Path, parts: tuple[Results, ...]) -> None:
    """Each format can be empty. The columns are there if the format has a place for them."""
    for number, suffix in enumerate(SUFFIXES):
        (folder := tmp_path / str(number)).mkdir()
        exported(folder, suffix, *parts)
    files = {"".join(path.suffixes): path for path in tmp_path.glob("*/*")}
    assert len(gpd.read_parquet(files[".geoparquet"])) == 0
    assert results().table.schema.equals(pq.read_schema(files[".parquet"]))
    assert ",".join(ROWS[0]) + "\n" == files[".csv"].read_text("utf-8")
    assert files[".ndjson"].read_text("utf-8") == ""
    assert json.loads(files[".geojson"].read_text("utf-8"))["features"] == []


def test_asset_columns_may_change_within_one_id(tmp_path: Path) -> None:
    """Rows with the same id, or without one, keep their own values in the other columns."""
    renamed = [{**ASSET, "asset_name": f"name {n // 2}", "results": [dated(n, volume=n)]} for n in range(6)]
    nameless = [{"parent_asset_id": str(n // 2), "results": [dated(n, volume=n)]} for n in range(6)]
    part = results(*renamed, {**ASSET, "asset_categories": None, "results": [dated(9, volume=9)]}, *nameless)
    path = exported(tmp_path, ".ndjson", part)
    assert as_text(part.table.to_pylist()) == [json.loads(line) for line in path.read_text("utf-8").splitlines()]


texts = st.none() | st.text() | st.text("\"',;\\\r\n\t\0\x7f\u2028\ufeffé😀[]{}")
numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
assets = st.fixed_dictionaries(
    {
        "asset_id": texts,
        "asset_name": texts,
        "asset_version": st.none() | st.integers(-(2**63), 2**63 - 1),
        "asset_categories": st.none() | st.lists(texts, max_size=3),
        "asset_centroid_latitude": numbers,
        "asset_centroid_longitude": numbers,
        "asset_surface_area_m2": numbers,
        "parent_asset_id": texts,
        "parent_asset_name": texts,
        "parent_asset_version": st.none() | st.integers(-(2**63), 2**63 - 1),
        "results": st.lists(
            st.fixed_dictionaries(
                {
                    "value_date": st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
                    "metrics": st.lists(st.fixed_dictionaries({"name": texts, "value": numbers}), max_size=3),
                }
            ),
            max_size=3,
        ),
    }
)


@settings(max_examples=60)
@given(parts=st.lists(st.lists(assets, max_size=3), max_size=3))
@example(parts=[[{"results": [{"metrics": [{"name": "m", "value": value} for value in (5e-324, -0.0, 1e21, 1e15)]}]}]])
def test_text_is_exact(tmp_path_factory: pytest.TempPathFactory, parts: list[Any]) -> None:
    """The json and csv modules read back any string and any number unchanged."""
    folder = tmp_path_factory.mktemp("export")
    made = [results(*part) for part in parts]
    rows = as_text([row for part in made for row in part.table.to_pylist()])
    for suffix in (".csv", ".ndjson", ".geojson"):
        write(folder / f"results{suffix}", made)
    lines = (folder / "results.ndjson").read_bytes().split(b"\n")[:-1]
    # repr tells -0.0 from 0.0, and 1 from 1.0.
    assert repr(rows) == repr([json.loads(line) for line in lines])
    features = json.loads((folder / "results.geojson").read_bytes())["features"]
    assert repr(rows) == repr([feature["properties"] for feature in features])
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        header, *cells = csv.reader(file)
    assert list(ROWS[0]) == header
    read = [[as_number(name, cell) for name, cell in zip(header, row, strict=True)] for row in cells]
    assert repr([[as_cell(value) for value in row.values()] for row in rows]) == repr(read)


def as_number(name: str, cell: str) -> str | float:
    return float(cell) if cell and pa.float64() == results().table.schema.field(name).type else cell


def as_cell(value: Any) -> Any:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value if isinstance(value, float) else "" if value is None else str(value)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionResetError, MemoryError])
def test_error_half_way_leaves_the_old_file(tmp_path: Path, suffix: str, error: type[BaseException]) -> None:
    """The error is raised unchanged, no other file is left, and the source of the parts is closed."""
    path = tmp_path / f"results{suffix}"
    path.write_bytes(b"before")
    closed = []

    def parts() -> Iterator[Results]:
        try:
            yield from PARTS
            raise error
        finally:
            closed.append(True)

    with pytest.raises(error):
        write(path, parts())
    assert path.read_bytes() == b"before"
    assert [path] == list(tmp_path.iterdir())
    assert closed


@pytest.mark.parametrize("suffix", [".parquet", ".ndjson"])
def test_part_that_cannot_be_written_is_an_error(tmp_path: Path, suffix: str) -> None:
    """The last part is no exception. No file is left, and the source of the parts is closed."""
    broken = Results(PARTS[0].table.drop_columns(["metric"]), PARTS[0].assets, PARTS[0].without_metrics, (), ())
    for source in ([broken], [broken, *PARTS]):
        closed: list[bool] = []

        def parts(source: list[Results] = source, closed: list[bool] = closed) -> Iterator[Results]:
            try:
                yield from source
            finally:
                closed.append(True)

        making = parts()
        with pytest.raises((KeyError, ValueError), match="metric|schema"):
            write(tmp_path / f"results{suffix}", making)
        assert closed
        assert list(tmp_path.iterdir()) == []


def test_existing_file_is_replaced_and_folders_are_made(tmp_path: Path) -> None:
    """A second export to the same path replaces the first."""
    path = tmp_path / "a" / "b" / "results.csv"
    for part in PARTS:
        assert part.table.num_rows == write(path, [part])
    assert PARTS[1].table.num_rows == len(path.read_text("utf-8").splitlines()) - 1


def test_impossible_folder_is_an_export_error(tmp_path: Path) -> None:
    """The error names the path, and no part was taken."""
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "results.csv"
    parts = iter(PARTS)
    with pytest.raises(ExportError, match="could not be written") as caught:
        write(path, parts)
    assert path == caught.value.path
    assert PARTS[0] is next(parts)


PRELUDE = """
import json, random, resource, sys
from pathlib import Path
from uuid import uuid4
from kayrros_ext import ExportError, Results
from kayrros_ext._export import write

def part():
    metrics = [{"name": "v", "value": random.random()} for _ in range(5000)]
    results = [{"value_date": "2024-01-01", "metrics": metrics}]
    return Results.from_json(json.dumps({"assets": [{"asset_id": "t", "results": results}]}).encode())
"""


def run(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PRELUDE + code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_full_disk_is_an_export_error(tmp_path: Path) -> None:
    """The error names the path, and no file is left. A limit on the size of files stands in for the disk."""
    code = """
sys.dont_write_bytecode = True  # Python would leave truncated .pyc files
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
for path in sys.argv[1:]:
    try:
        write(Path(path), [part(), part()])
    except ExportError as error:
        assert str(error.path) == path
        print(error)
"""
    suffixes = (".parquet", ".geoparquet", ".csv", ".ndjson.gz", ".geojson")
    paths = {tmp_path / f"results{suffix}" for suffix in suffixes}
    for path in paths:
        path.write_bytes(b"before")
    process = run(code, *map(str, sorted(paths)))
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    for path, line in zip(sorted(paths), out.splitlines(), strict=True):
        assert str(path) in line
        assert "File too large" in line
        assert path.read_bytes() == b"before"
    assert paths == set(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_export_leaves_the_old_file(tmp_path: Path) -> None:
    """Its own bytes are not under the name."""
    code = """
def parts():
    for _ in range(3):
        yield part()
    print("half-way", flush=True)
    sys.stdin.read()

write(Path(sys.argv[1]), parts())
"""
    path = tmp_path / "results.csv"
    path.write_bytes(b"before")
    process = run(code, str(path))
    assert process.stdout
    assert process.stdout.readline() == "half-way\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("results.xls", r"results.xls\b.*\.parquet, .*\.csv, .*\.geojson"),
        ("results", "has no known suffix"),
        (".csv", "has no known suffix"),
        ("csv", "has no known suffix"),
        ("parquet.gz", "has no known suffix"),
        ("results.parquet.gz", "has no known suffix"),
        ("a\0.csv", "not a path"),
        ("", "empty"),
        (None, "not a path"),
        (3, "not a path"),
    ],
)
def test_path_without_a_format_is_refused(path: Any, message: str) -> None:
    """The error lists the suffixes."""
    with pytest.raises(UsageError, match=message):
        parse_target(path)


def test_directory_is_refused(tmp_path: Path) -> None:
    """A directory whose name has a suffix is refused too."""
    (tmp_path / "results.parquet").mkdir()
    with pytest.raises(UsageError, match="not a file"):
        parse_target(tmp_path / "results.parquet")


def test_symlink_is_written_through(tmp_path: Path) -> None:
    """Its target is replaced once the new file is complete. An error keeps the target, and no other file is left."""
    (target := tmp_path / "real" / "a.csv").parent.mkdir()
    target.write_bytes(b"before")
    (link := tmp_path / "link.csv").symlink_to("real/a.csv")

    def broken() -> Iterator[Results]:
        yield PARTS[0]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        write(parse_target(link), broken())
    assert target.read_bytes() == b"before"
    write(parse_target(link), PARTS)
    assert link.is_symlink()
    assert target.read_bytes().startswith(b"asset_id,")
    assert list(target.parent.iterdir()) == [target]
    assert set(tmp_path.iterdir()) == {link, target.parent}


def test_parse_target_does_not_load_pyarrow() -> None:
    """A wrong path is refused at once."""
    use = "from kayrros_ext._export import parse_target; parse_target('a.csv')"
    code = f"import sys; {use}; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
