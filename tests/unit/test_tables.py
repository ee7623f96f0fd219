"""Tables keep every metric of a response, lose nothing silently, and report a broken contract clearly."""

import json
import logging
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kayrros_ext import ContractError, Results, UsageError

ASSET: dict[str, Any] = {
    "asset_id": "t1",
    "asset_name": "Tank 1",
    "asset_version": 2**53 + 1,
    "asset_categories": ["crude", "tank"],
    "asset_centroid_latitude": 1.5,
    "asset_centroid_longitude": -2,
    "asset_surface_area_m2": 10.25,
    "parent_asset_id": "p",
    "parent_asset_name": "Terminal",
    "parent_asset_version": 3,
}
COLUMNS = [*ASSET, "value_date", "metric", "unit", "value"]


def answer(*assets: Any, **top: Any) -> bytes:
    return json.dumps({"assets": list(assets), **top}).encode()


def dated(value_date: Any, **metrics: Any) -> dict[str, Any]:
    return {"value_date": value_date, "metrics": [{"name": name, "value": value} for name, value in metrics.items()]}


def test_schema_is_fixed() -> None:
    """Names, types and units do not depend on what happened to arrive."""
    empty, full = (
        Results.from_json(b"{}").table,
        Results.from_json(answer({**ASSET, "results": [dated("2024-01-01", v=1)]})),
    )
    assert empty.schema.names == COLUMNS
    assert empty.schema.equals(full.table.schema, check_metadata=True)
    units = {field.name: field.metadata[b"unit"].decode() for field in empty.schema if field.metadata}
    assert units["asset_surface_area_m2"] == "m2"
    assert units["asset_centroid_latitude"] == "degree_north"
    assert pa.timestamp("us", tz="UTC") == empty.schema.field("value_date").type


def test_a_row_per_asset_date_and_metric() -> None:
    """Every metric of a date is read, and each row describes its asset."""
    results = Results.from_json(
        answer({**ASSET, "results": [dated("2024-01-01", volume=1, level=0.1), dated("2024-01-02", volume=2)]})
    )
    day = datetime(2024, 1, 1, tzinfo=UTC)
    row = {**ASSET, "value_date": day, "metric": "volume", "unit": None, "value": 1.0}
    assert row == results.table.to_pylist()[0]
    assert [(row["metric"], row["value"]) for row in results.table.to_pylist()] == [
        ("volume", 1.0),
        ("level", 0.1),
        ("volume", 2.0),
    ]
    assert results.table.num_rows == 3


def test_asset_without_results_is_kept() -> None:
    """It has no row in `table`, but one in `assets`."""
    results = Results.from_json(answer({**ASSET, "results": []}, {"asset_id": "t2"}, {**ASSET, "results": None}))
    assert results.table.num_rows == 0
    assert results.assets["asset_id"].to_pylist() == ["t1", "t2", "t1"]
    assert results.assets["date_count"].to_pylist() == [0, 0, 0]


def test_date_without_metrics_is_kept() -> None:
    """It has no row in `table`, but one in `without_metrics`."""
    bare = [dated("2024-01-01"), {"value_date": "2024-01-02"}, {"value_date": "2024-01-03", "metrics": None}]
    results = Results.from_json(answer({**ASSET, "results": [*bare, dated("2024-01-04", v=1)]}))
    assert results.table.num_rows == 1
    assert [row["value_date"].day for row in results.without_metrics.to_pylist()] == [1, 2, 3]
    assert results.assets["date_count"].to_pylist() == [4]


def test_field_may_be_missing_or_null() -> None:
    """Reading is tolerant where the reference is silent."""
    nothing: dict[str, Any] = {"results": [{"metrics": [{}]}]}
    nulls = {**dict.fromkeys(ASSET), "results": [{"value_date": None, "metrics": [{"name": None, "value": None}]}]}
    results = Results.from_json(answer(nothing, nulls, processing_id=None))
    assert [dict.fromkeys(COLUMNS)] * 2 == results.table.to_pylist()
    assert results.processing_id is None
    assert results.source_id is None
    assert Results.from_json(b'{"assets": null}').assets.num_rows == 0


def test_ids_of_the_response_are_kept() -> None:
    """processing_id and source_id."""
    results = Results.from_json(answer(processing_id="p", source_id="s"))
    assert (results.processing_id, results.source_id) == ("p", "s")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024-01-02T03:04:05Z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05.678+0000", datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)),
        ("2024-01-02T03:04:05+02:00", datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2024-01-02 03:04", datetime(2024, 1, 2, 3, 4, tzinfo=UTC)),
        ("20240102", datetime(2024, 1, 2, tzinfo=UTC)),
    ],
)
def test_date_in_any_iso_form(text: str, moment: datetime) -> None:
    """ISO 8601 with or without a time, a zone, dashes; without a zone it is UTC."""
    results = Results.from_json(answer({"results": [dated(text, v=1)]}))
    assert [moment] == results.table["value_date"].to_pylist()


@pytest.mark.parametrize(
    ("asset", "where", "message"),
    [
        ({"results": [dated("01/02/2024", v=1)]}, "assets[0].results[0].value_date", "ISO 8601 date, got '01/02/2024'"),
        ({"results": [dated("2024-01-01x00:00", v=1)]}, "assets[0].results[0].value_date", "ISO 8601"),
        ({"results": [dated("9999-12-31T23:59:59-10:00", v=1)]}, "assets[0].results[0].value_date", "ISO 8601"),
        ({"results": [dated(" - at `$.x`", v=1)]}, "assets[0].results[0].value_date", "ISO 8601"),
        (
            {"results": [dated(1704067200000, v=1)]},
            "assets[0].results[0].value_date",
            "ISO 8601 date, got 1704067200000",
        ),
        ({"asset_version": 2**63}, "assets[0].asset_version", "an integer of 64 bits, got 9223372036854775808"),
        ({"asset_version": 1.5}, "assets[0].asset_version", "an integer of 64 bits, got 1.5"),
        (
            {"results": [dated("2024-01-01", v="1")]},
            "assets[0].results[0].metrics[0].value",
            "a number of 64 bits, got '1'",
        ),
        ({"results": [dated("2024-01-01", v=True)]}, "assets[0].results[0].metrics[0].value", "got True"),
        ({"results": [dated("2024-01-01", v=10**400)]}, "assets[0].results[0].metrics[0].value", "64 bits, got 10000"),
        ({"results": {}}, "assets[0].results", "`array | null`, got `object`"),
        ({"results": [None]}, "assets[0].results[0]", "`object`, got `null`"),
        ({"results": [{"metrics": ["a"]}]}, "assets[0].results[0].metrics[0]", "`object`, got `str`"),
        ({"asset_id": 5}, "assets[0].asset_id", "`str | null`, got `int`"),
        ({"asset_categories": "crude"}, "assets[0].asset_categories", "`array | null`, got `str`"),
        ({"asset_categories": [1]}, "assets[0].asset_categories[0]", "`str | null`, got `int`"),
        ({"asset_centroid_latitude": "1"}, "assets[0].asset_centroid_latitude", "a number of 64 bits, got '1'"),
        ("t1", "assets[0]", "`object`, got `str`"),
    ],
)
def test_wrong_type_is_named(asset: Any, where: str, message: str) -> None:
    """The error names the place, the type that the contract declares, and what came."""
    with pytest.raises(ContractError, match=re.escape(message)) as caught:
        Results.from_json(answer(asset))
    assert where == caught.value.where
    assert f"`{where}`" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"assets": [',
        b"[]",
        b"null",
        b'"text"',
        b'{"assets": {"t1": {}}}',
        b'{"assets": [{"asset_name": NaN}]}',
        b'{"assets": [{"asset_surface_area_m2": nan}]}',
        b'{"assets": [{"asset_surface_area_m2": "nan"}]}',
        b'{"assets": [{"asset_surface_area_m2": +Infinity}]}',
        b'{"assets": [{"asset_surface_area_m2": 1e999}]}',
        b'{"assets": [{"asset_version": 9223372036854775808}]}',
        b'{"assets": [{"asset_id": "\\ud800"}]}',
        b'{"assets": "\xff"}',
        b"[" * 100_000,
        b'{"assets": [{"extra": ' + b"[" * 100_000,
        b'{"assets": [{"extra": ' + b"[" * 990 + b"]" * 990 + b"}]}",
    ],
)
def test_broken_body_is_a_contract_error(body: bytes) -> None:
    """Never a partial table, never an exception of another library."""
    with pytest.raises(ContractError):
        Results.from_json(body)


def test_lone_surrogate_is_named() -> None:
    """The message of msgspec is that the body was truncated, which would send the user looking for a network error."""
    with pytest.raises(ContractError, match="half of a surrogate pair"):
        Results.from_json(b'{"assets": [{"asset_name": "Tank \\ud83d"}]}')


def test_body_must_be_bytes() -> None:
    """A str is a mistake of the caller."""
    with pytest.raises(UsageError, match="type str"):
        Results.from_json("{}")  # type: ignore[arg-type]


def test_integer_may_have_a_point() -> None:
    """3.0 is an integer in JSON."""
    assert Results.from_json(b'{"assets": [{"asset_version": 3.0}]}').assets["asset_version"].to_pylist() == [3]


def warnings_of(body: bytes, caplog: pytest.LogCaptureFixture) -> list[str]:
    with caplog.at_level(logging.WARNING):
        Results.from_json(body)
    return [record.getMessage() for record in caplog.records]


def test_many_unknown_fields_make_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """The names come from the server, so they are escaped, and some stand for all."""
    names = [f"line\n{number}" for number in range(1000)]
    body = json.dumps({"assets": [], **dict.fromkeys(names)}).encode()
    [message] = warnings_of(body, caplog)
    assert sorted(names) == list(Results.from_json(body).unknown_fields)
    assert "and 980 more" in message
    assert "\n" not in message
    assert len(message) < 1000


def test_unknown_fields_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning names each kind of field, however many objects have it."""
    result = {**dated("2024-01-01", v=1), "extra_props": {"a": 1}}
    asset = {**ASSET, "colour": "red", "results": [result, result]}
    metric = {"metrics": [{"name": "m", "value": 1, "unit": "bbl"}]}
    body = answer(asset, asset, {"results": [metric]}, version="2", processing_id="p", source_id="s")
    [message] = warnings_of(body, caplog)
    fields = ("version", "assets[].colour", "assets[].results[].extra_props", "assets[].results[].metrics[].unit")
    assert all(field in message for field in fields)
    assert "renamed" not in message
    results = Results.from_json(body)
    assert list(results.unknown_fields) == sorted(fields)
    assert results.table.num_rows == 5


@pytest.mark.parametrize("name", ["processing_id", "source_id"])
def test_renamed_id_is_named(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """The ids of the response are no columns, but may get a new name as well."""
    ids = {"processing_id": "p", "source_id": "s", "run": "r", name: None}
    [message] = warnings_of(answer(ASSET, **ids), caplog)
    assert f"No value has come for {name}: the API may have renamed a field." in message


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b'"NaN"', b'"Infinity"', b'"-Infinity"'])
def test_value_that_is_not_finite_is_null(value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """NumPy and Jackson write such. One warning counts them, and nothing else is lost. strict=True names the place."""
    days = [dated(f"2024-01-{day:02}", v=day, text="TEXT") for day in range(1, 10)]
    body = answer({**ASSET, "asset_name": "NaN", "asset_version": "TEXT", "results": days}).replace(b'"TEXT"', value)
    [message] = warnings_of(body, caplog)
    assert message.startswith("10 values of the results are NaN or infinite, and read as null")
    results = Results.from_json(body)
    assert results.non_finite == 10
    assert results.table.num_rows == 18
    assert results.table["value"].null_count == 9
    assert results.assets.select(["asset_name", "asset_version"]).to_pylist() == [
        {"asset_name": "NaN", "asset_version": None}
    ]
    with pytest.raises(ContractError, match="NaN or an infinity") as caught:
        Results.from_json(body, strict=True)
    assert caught.value.where == "assets[0].asset_version"


def test_undeclared_values_may_be_anything(caplog: pytest.LogCaptureFixture) -> None:
    """No table holds them, so that they cost no row and are not counted."""
    [message] = warnings_of(answer({**ASSET, "cloud": float("nan")}, score=float("-inf")), caplog)
    assert "assets[].cloud" in message
    assert "score" in message


@pytest.mark.parametrize("field", ["next", "nextPage", "cursor", "has_more"])
def test_paging_field_is_an_error(field: str) -> None:
    """A response that gains one may be the first page of several, and must not be taken for all results."""
    body = answer({**ASSET, "results": [dated("2024-01-01", v=1)]}, **{field: "2"})
    with pytest.raises(ContractError, match=f"undeclared field `{field}`, so they may be one page"):
        Results.from_json(body)


def test_empty_column_is_named_if_its_objects_have_an_undeclared_field(caplog: pytest.LogCaptureFixture) -> None:
    """Undeclared fields of other objects, such as the observed `extra_props` of results, say nothing of the column."""
    asset = {"asset_id": "t", "results": [{**dated("2024-01-01", v=1), "extra_props": {}}]}
    [message] = warnings_of(answer(asset), caplog)
    assert "renamed" not in message
    caplog.clear()
    [message] = warnings_of(answer({**asset, "asset_label": "Tank"}), caplog)
    assert "asset_name" in message
    assert "renamed" in message


def test_declared_fields_cause_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Whether they have a value or not."""
    body = answer({"asset_id": "t", "results": [dated("2024-01-01", v=1)]}, processing_id="p", source_id="s")
    assert warnings_of(body, caplog) == []


def renamed(body: bytes, old: str, new: str) -> bytes:
    return body.replace(f'"{old}":'.encode(), f'"{new}":'.encode())


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("assets", "items", "assets"),
        ("asset_id", "asset_uid", "assets[].asset_id"),
        ("results", "observations", "assets[].results"),
        ("value_date", "date", "assets[].results[].value_date"),
        ("metrics", "values", "assets[].results[].metrics"),
        ("name", "metric", "assets[].results[].metrics[].name"),
        ("value", "number", "assets[].results[].metrics[].value"),
    ],
)
def test_renamed_required_field_is_an_error(old: str, new: str, where: str) -> None:
    """The error names the old field and the new one, because a table without this field makes no sense."""
    body = answer(*[{**ASSET, "asset_id": f"t{n}", "results": [dated("2024-01-01", v=1)]} for n in range(3)])
    with pytest.raises(
        ContractError, match=rf"lack `{re.escape(where)}`, which the API may have renamed .*: {new}$"
    ) as caught:
        Results.from_json(renamed(body, old, new))
    assert where == caught.value.where


@pytest.mark.parametrize("value", ["red", None, [], ["red"], {"red": []}, [[{}]]])
def test_omitted_empty_list_is_not_renamed(value: Any) -> None:
    """A missing results or metrics key next to an undeclared field is an empty list."""
    without_results = [{"asset_id": f"t{number}", "colour": value} for number in range(3)]
    without_metrics = {"asset_id": "t", "results": [{"value_date": "2024-01-01", "colour": value}]}
    results = Results.from_json(answer(*without_results))
    assert results.assets["date_count"].to_pylist() == [0, 0, 0]
    assert results.unknown_fields == ("assets[].colour",)
    assert Results.from_json(answer(without_metrics)).without_metrics.num_rows == 1


def test_renamed_descriptive_field_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The warning names the empty column and the undeclared field."""
    body = answer(*[{**ASSET, "results": [dated("2024-01-01", v=1)]} for _ in range(3)])
    [message] = warnings_of(renamed(body, "asset_name", "asset_label"), caplog)
    assert "assets[].asset_label" in message
    assert "No value has come for asset_name: the API may have renamed a field." in message


@pytest.mark.parametrize("name", ["data", "items"])
def test_results_inside_of_another_object_are_an_error(name: str) -> None:
    """Required names that occur elsewhere in the response prove nothing."""
    whole = json.loads(answer({**ASSET, "results": [dated("2024-01-01", v=1)]}))
    with pytest.raises(ContractError, match=rf"lack `assets`, .*: {name}$"):
        Results.from_json(json.dumps({name: whole}).encode())
    metric = {"label": "volume", "value": 1, "unit": {"name": "barrel"}}
    result = {"value_date": "2024-01-01", "metrics": [metric]}
    with pytest.raises(ContractError, match=r"lack `assets\[\].results\[\].metrics\[\].name`, .*: label, unit$"):
        Results.from_json(answer({**ASSET, "results": [result]}))


def test_null_is_not_renamed() -> None:
    """A required field that is null everywhere, with an undeclared one next to it, is read."""
    metric = {"name": None, "value": None, "unit": "bbl"}
    asset = {"asset_id": None, "colour": "red", "results": [{"value_date": None, "metrics": [metric], "extra": 1}]}
    assert Results.from_json(answer(asset)).table.num_rows == 1


def test_other_libraries_read_the_arrow_stream() -> None:
    """polars, pandas, DuckDB and pyarrow get the same dates, names and values."""
    results = Results.from_json(answer({**ASSET, "results": [dated("2024-01-01", volume=1.5, level=2)]}))
    assert pl.DataFrame(results)["value"].sum() == 3.5
    frame = pd.DataFrame.from_arrow(results)
    assert list(frame["metric"]) == ["volume", "level"]
    assert pd.Timestamp("2024-01-01", tz="UTC") == frame["value_date"][0]
    query = "SELECT asset_name, sum(value) FROM results GROUP BY 1"
    assert duckdb.connect().execute(query).fetchall() == [("Tank 1", 3.5)]
    assert pa.table(results).equals(results.table)
    assert pa.schema(results).equals(results.table.schema)


USE = """
import sys
from pathlib import Path
from kayrros_ext import Results
from kayrros_ext._export import SUFFIXES, write
from kayrros_ext._results.reader import sort_rows
from kayrros_ext._results.schema import add_dataset

regular = '{"asset_id": "a", "results": [{"value_date": "2024-01-01", "metrics": [{"name": "v", "value": 1}]}]}'
odd = '{"asset_id": "b", "asset_version": 3.0, "colour": "red", "results": [{"value_date": "20240101", "metrics": []}]}'
for asset in (regular, odd):
    results = sort_rows(Results.from_json(f'{{"assets": [{asset}, {asset}]}}'.encode()))
    repr(results), str(results.table), results._repr_html_(), results.units, results.attribution, results.latest().head(1)
    for suffix in SUFFIXES:
        write(Path(sys.argv[1]) / f"results{suffix}", [results, results])
empty = Results.from_json(b"{}")
repr(empty), empty._repr_html_(), empty.units, empty.attribution, empty.latest()
results = Results.from_json(f'{{"assets": [{regular}]}}'.encode())
add_dataset(results.table, "i", "n"), add_dataset(empty.table, "i", None)
print([name for name in ("pandas", "polars", "geopandas", "altair") if name in sys.modules])
results.to_pandas()
"""


def test_pandas_is_not_imported_unless_asked_for(tmp_path: Path) -> None:
    """Reading, printing, selecting and exporting take no pandas, which is slow to import."""
    run = subprocess.run([sys.executable, "-c", USE, str(tmp_path)], capture_output=True, text=True, check=False)
    assert run.stdout == "[]\n", run.stderr
    assert run.returncode == 0
