"""From an answer to tables: every metric, nothing lost in silence, and a clear error for what is not the contract."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kayrros_ext import ContractError, Results

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
COLUMNS = [*ASSET, "value_date", "metric", "value"]


def answer(*assets: Any, **top: Any) -> bytes:
    return json.dumps({"assets": list(assets), **top}).encode()


def dated(value_date: Any, **metrics: Any) -> dict[str, Any]:
    return {"value_date": value_date, "metrics": [{"name": name, "value": value} for name, value in metrics.items()]}


def test_the_schema_is_the_declared_one() -> None:
    """Names, types and units do not depend on what happened to arrive."""
    empty, full = (
        Results.from_json(b"{}").table,
        Results.from_json(answer({**ASSET, "results": [dated("2024-01-01", v=1)]})),
    )
    assert COLUMNS == empty.schema.names
    assert empty.schema.equals(full.table.schema, check_metadata=True)
    units = {field.name: field.metadata[b"unit"].decode() for field in empty.schema if field.metadata}
    assert "m2" == units["asset_surface_area_m2"]
    assert "degree_north" == units["asset_centroid_latitude"]
    assert pa.timestamp("us", tz="UTC") == empty.schema.field("value_date").type


def test_a_row_per_asset_date_and_metric() -> None:
    """Every metric of a date is read, with all that is known of the asset beside it."""
    results = Results.from_json(
        answer({**ASSET, "results": [dated("2024-01-01", volume=1, level=0.1), dated("2024-01-02", volume=2)]})
    )
    day = datetime(2024, 1, 1, tzinfo=UTC)
    assert {**ASSET, "value_date": day, "metric": "volume", "value": 1.0} == results.table.to_pylist()[0]
    assert [("volume", 1.0), ("level", 0.1), ("volume", 2.0)] == [
        (row["metric"], row["value"]) for row in results.table.to_pylist()
    ]
    assert 3 == results.table.num_rows


def test_an_asset_without_results_is_in_assets() -> None:
    """It has no row in the table, and is not lost."""
    results = Results.from_json(answer({**ASSET, "results": []}, {"asset_id": "t2"}, {**ASSET, "results": None}))
    assert 0 == results.table.num_rows
    assert ["t1", "t2", "t1"] == results.assets["asset_id"].to_pylist()
    assert [0, 0, 0] == results.assets["date_count"].to_pylist()


def test_a_date_without_metrics_is_not_lost() -> None:
    """It has no row in the table, but one in without_metrics."""
    bare = [dated("2024-01-01"), {"value_date": "2024-01-02"}, {"value_date": "2024-01-03", "metrics": None}]
    results = Results.from_json(answer({**ASSET, "results": [*bare, dated("2024-01-04", v=1)]}))
    assert 1 == results.table.num_rows
    assert [1, 2, 3] == [row["value_date"].day for row in results.without_metrics.to_pylist()]
    assert [4] == results.assets["date_count"].to_pylist()


def test_any_field_may_be_missing_or_null() -> None:
    """Reading is tolerant where the reference is silent."""
    nothing: dict[str, Any] = {"results": [{"metrics": [{}]}]}
    nulls = {**dict.fromkeys(ASSET), "results": [{"value_date": None, "metrics": [{"name": None, "value": None}]}]}
    results = Results.from_json(answer(nothing, nulls, processing_id=None))
    assert [dict.fromkeys(COLUMNS)] * 2 == results.table.to_pylist()
    assert results.processing_id is None
    assert results.source_id is None
    assert 0 == Results.from_json(b'{"assets": null}').assets.num_rows


def test_the_ids_of_the_answer_are_kept() -> None:
    """processing_id and source_id."""
    results = Results.from_json(answer(processing_id="p", source_id="s"))
    assert ("p", "s") == (results.processing_id, results.source_id)


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
def test_a_date_in_any_iso_form(text: str, moment: datetime) -> None:
    """ISO 8601 with or without a time, a zone, dashes; without a zone it is UTC."""
    results = Results.from_json(answer({"results": [dated(text, v=1)]}))
    assert [moment] == results.table["value_date"].to_pylist()


@pytest.mark.parametrize(
    ("asset", "where", "words"),
    [
        ({"results": [dated("01/02/2024", v=1)]}, "assets[0].results[0].value_date", "'01/02/2024'.*ISO 8601"),
        ({"results": [dated("2024-01-01x00:00", v=1)]}, "assets[0].results[0].value_date", "ISO 8601"),
        ({"results": [dated("9999-12-31T23:59:59-10:00", v=1)]}, "assets[0].results[0].value_date", "ISO 8601"),
        ({"asset_version": 2**63}, "assets[0].asset_version", "an integer of 64 bits"),
        ({"asset_name": "\ud800"}, "assets[0].asset_name", "a string of Unicode"),
        ({"results": [dated(1704067200000, v=1)]}, "assets[0].results[0].value_date", "a string"),
        ({"results": [dated("2024-01-01", v="1")]}, "assets[0].results[0].metrics[0].value", "'1'.*a number"),
        ({"results": [dated("2024-01-01", v=True)]}, "assets[0].results[0].metrics[0].value", "a number"),
        ({"results": [dated("2024-01-01", v=10**400)]}, "assets[0].results[0].metrics[0].value", "a number"),
        ({"results": {}}, "assets[0].results", "an array"),
        ({"results": [None]}, "assets[0].results[0]", "an object"),
        ({"results": [{"metrics": ["a"]}]}, "assets[0].results[0].metrics[0]", "an object"),
        ({"asset_version": 1.5}, "assets[0].asset_version", "an integer"),
        ({"asset_id": 5}, "assets[0].asset_id", "a string"),
        ({"asset_categories": "crude"}, "assets[0].asset_categories", "an array"),
        ({"asset_categories": [1]}, "assets[0].asset_categories[0]", "a string"),
        ({"asset_centroid_latitude": "1"}, "assets[0].asset_centroid_latitude", "a number"),
        ("t1", "assets[0]", "an object"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(asset: Any, where: str, words: str) -> None:
    """The error names the place, the value and what the contract says."""
    with pytest.raises(ContractError, match=words) as caught:
        Results.from_json(answer(asset))
    assert where == caught.value.where
    assert where in str(caught.value)


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
        b'{"assets": [{"asset_surface_area_m2": NaN}]}',
        b'{"assets": [{"asset_surface_area_m2": 1e999}]}',
        b'{"assets": [{"asset_version": 9223372036854775808}]}',
        b'{"assets": [{"asset_id": "\\ud800"}]}',
        b'{"assets": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_not_the_contract_is_an_error_of_ours(body: bytes) -> None:
    """Never a partial table, never somebody else's exception."""
    with pytest.raises(ContractError):
        Results.from_json(body)


def test_a_whole_number_with_a_point_is_an_integer() -> None:
    """3.0 is one in JSON."""
    assert [3] == Results.from_json(b'{"assets": [{"asset_version": 3.0}]}').assets["asset_version"].to_pylist()


def test_many_unknown_fields_make_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Names are the server's, and a log line is ours: some of them, escaped."""
    names = [f"line\n{number}" for number in range(1000)]
    with caplog.at_level(logging.WARNING):
        results = Results.from_json(json.dumps(dict.fromkeys(names)).encode())
    assert sorted(names) == list(results.unknown_fields)
    [message] = [record.getMessage() for record in caplog.records]
    assert "1000 fields" in message
    assert "\n" not in message
    assert len(message) < 1000


def test_unknown_fields_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning names each kind of field, however many objects have it."""
    result = {**dated("2024-01-01", v=1), "extra_props": {"a": 1}}
    asset = {**ASSET, "colour": "red", "results": [result, result]}
    metric = {"metrics": [{"name": "m", "value": 1, "unit": "bbl"}]}
    with caplog.at_level(logging.WARNING):
        results = Results.from_json(answer(asset, asset, {"results": [metric]}, version=2))
    fields = ("version", "assets[].colour", "assets[].results[].extra_props", "assets[].results[].metrics[].unit")
    assert set(fields) == set(results.unknown_fields)
    [record] = caplog.records
    assert all(field in record.getMessage() for field in fields)
    assert 5 == results.table.num_rows


def test_no_warning_where_all_is_held(caplog: pytest.LogCaptureFixture) -> None:
    """The contract's own fields are not worth a word."""
    Results.from_json(answer({**ASSET, "results": [dated("2024-01-01", v=1)]}, processing_id="p", source_id="s"))
    assert not caplog.records


def test_others_take_results_as_they_are() -> None:
    """polars, pandas, DuckDB and pyarrow read the Arrow stream with dates, names and values whole."""
    results = Results.from_json(answer({**ASSET, "results": [dated("2024-01-01", volume=1.5, level=2)]}))
    assert 3.5 == pl.DataFrame(results)["value"].sum()
    frame = pd.DataFrame.from_arrow(results)
    assert ["volume", "level"] == list(frame["metric"])
    assert pd.Timestamp("2024-01-01", tz="UTC") == frame["value_date"][0]
    query = "SELECT asset_name, sum(value) FROM results GROUP BY 1"
    assert [("Tank 1", 3.5)] == duckdb.connect().execute(query).fetchall()
    assert pa.table(results).equals(results.table)
    assert pa.schema(results).equals(results.table.schema)


def test_the_repr_says_how_much_there_is() -> None:
    """Rows, assets and the processing, not the data."""
    assert "<Results: 0 rows, 1 assets, processing p>" == repr(Results.from_json(answer(ASSET, processing_id="p")))
