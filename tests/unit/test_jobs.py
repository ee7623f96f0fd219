"""Typical jobs of an analyst in pandas, polars and DuckDB work at the first try.

Each job is written as its documentation shows it, without a cast and without a word about time zones, and has a result
that is checked. `make test` runs them with the newest libraries, and `make test-oldest` with the oldest supported ones.
"""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import openpyxl
import pandas as pd
import polars as pl
import pytest

from kayrros_ext import Results

DATES = ["2024-01-02", "2024-01-16", "2024-02-06"]
VOLUMES: dict[str, list[float | None]] = {"A1": [100, 110, 120], "A2": [200, None, 220], "B1": [50, 60, 70]}
TERMINALS = {"A": "North", "B": "East"}


def tanks(*names: str) -> Results:
    """Return three tanks, two of them at one terminal, on three dates with two metrics; one value is null."""
    assets = [
        {
            "asset_id": f"tank-{name.lower()}",
            "asset_name": f"Tank {name}",
            "asset_version": 1,
            "asset_categories": ["crude_oil", "tank"],
            "asset_centroid_latitude": 1.5,
            "asset_centroid_longitude": 2.5,
            "parent_asset_id": f"terminal-{name[0].lower()}",
            "parent_asset_name": TERMINALS[name[0]],
            "results": [
                {
                    "value_date": day,
                    "metrics": [
                        {"name": "stored_volume_bbl", "value": volume},
                        {"name": "fill_level_pct", "value": volume and volume / 10},
                    ],
                }
                for day, volume in zip(DATES, VOLUMES[name], strict=True)
            ],
        }
        for name in names or VOLUMES
    ]
    return Results.from_json(json.dumps({"assets": assets}).encode())


RESULTS = tanks()
JOBS: list[Any] = []


def job(source: Callable[[Results], Any], expected: Any) -> Callable[[Callable[..., Any]], None]:
    """Declare a job: a function of `source(results)`, a folder with `owners.csv` and `prices.csv`, and its result."""

    def declare(function: Callable[..., Any]) -> None:
        JOBS.append(pytest.param(source, function, expected, id=function.__name__))

    return declare


def pandas(expected: Any) -> Callable[[Callable[..., Any]], None]:
    return job(Results.to_pandas, expected)


def polars(expected: Any) -> Callable[[Callable[..., Any]], None]:
    return job(Results.to_polars, expected)


def duck(expected: Any) -> Callable[[Callable[..., Any]], None]:
    return job(lambda results: results, expected)


@pandas({"Tank A1": 110.0, "Tank A2": 210.0, "Tank B1": 60.0})
def pandas_groupby(frame: pd.DataFrame, _: Path) -> Any:
    """Has no row for a combination that does not occur."""
    return frame[frame["metric"] == "stored_volume_bbl"].groupby("asset_name")["value"].mean().to_dict()


@pandas(6)
def pandas_groupby_of_several_columns(frame: pd.DataFrame, _: Path) -> Any:
    return len(frame.groupby(["asset_id", "asset_name", "parent_asset_name", "metric"])["value"].mean())


@pandas({"East": (180.0, 1), "North": (750.0, 2)})
def pandas_groupby_observed(frame: pd.DataFrame, _: Path) -> Any:
    volumes = frame[frame["metric"] == "stored_volume_bbl"]
    sums = volumes.groupby("parent_asset_name", observed=True).agg(
        total=("value", "sum"), tanks=("asset_id", "nunique")
    )
    return {row.Index: (row.total, row.tanks) for row in sums.itertuples()}


@pandas(3)
def pandas_drop_duplicates(frame: pd.DataFrame, _: Path) -> Any:
    return len(frame.drop(columns=["value_date", "metric", "unit", "value"]).drop_duplicates())


@pandas("North / Tank A1: crude_oil;tank")
def pandas_string_concatenation(frame: pd.DataFrame, _: Path) -> Any:
    label = frame["parent_asset_name"] + " / " + frame["asset_name"] + ": " + frame["asset_categories"]
    return label.iloc[0]


@pandas({"Acme": 12, "Globex": 6})
def pandas_merge_with_csv(frame: pd.DataFrame, folder: Path) -> Any:
    owners = pd.read_csv(folder / "owners.csv")
    merged = frame.merge(owners, left_on="parent_asset_name", right_on="terminal", how="left")
    return merged["owner"].value_counts().to_dict()


@pandas({75.0: 6})
def pandas_merge_with_csv_by_date(frame: pd.DataFrame, folder: Path) -> Any:
    """Dates that read_csv parses have no time zone either."""
    prices = pd.read_csv(folder / "prices.csv", parse_dates=["date"])
    return frame.merge(prices, left_on="value_date", right_on="date")["price"].value_counts().to_dict()


@pandas([[50.0, 300.0], [60.0, 110.0], [70.0, 340.0]])
def pandas_pivot_table(frame: pd.DataFrame, _: Path) -> Any:
    volumes = frame[frame["metric"] == "stored_volume_bbl"]
    table = volumes.pivot_table(values="value", index="value_date", columns="parent_asset_name", aggfunc="sum")
    return table.to_numpy().tolist()


@pandas([105.0, 120.0])
def pandas_resample_by_month(frame: pd.DataFrame, _: Path) -> Any:
    tank = frame[(frame["asset_name"] == "Tank A1") & (frame["metric"] == "stored_volume_bbl")]
    return tank.set_index("value_date")["value"].resample("MS").mean().tolist()


@pandas([100.0, 105.0, 115.0])
def pandas_rolling(frame: pd.DataFrame, _: Path) -> Any:
    tank = frame[(frame["asset_name"] == "Tank A1") & (frame["metric"] == "stored_volume_bbl")]
    return tank.set_index("value_date")["value"].rolling("25D").mean().tolist()


@pandas(("Tank A2", 220.0))
def pandas_sort_values(frame: pd.DataFrame, _: Path) -> Any:
    row = frame.sort_values(["metric", "value"], ascending=[False, False]).iloc[0]
    return row["asset_name"], row["value"]


@pandas({"fill_level_pct": 9, "stored_volume_bbl": 9})
def pandas_value_counts(frame: pd.DataFrame, _: Path) -> Any:
    return frame["metric"].value_counts().to_dict()


@pandas(["TANK A1", "TANK A2"])
def pandas_str_methods(frame: pd.DataFrame, _: Path) -> Any:
    chosen = frame[frame["asset_name"].str.startswith("Tank A") & frame["asset_categories"].str.contains("crude")]
    return chosen["asset_name"].str.upper().unique().tolist()


@pandas(12)
def pandas_isin(frame: pd.DataFrame, _: Path) -> Any:
    return int(frame["asset_id"].isin(["tank-a1", "tank-b1"]).sum())


@pandas((0.0, "none"))
def pandas_fillna(frame: pd.DataFrame, _: Path) -> Any:
    return frame["value"].fillna(0).min(), frame["parent_asset_version"].astype(object).fillna("none").iloc[0]


@pandas("no owner")
def pandas_fillna_with_a_new_text(frame: pd.DataFrame, folder: Path) -> Any:
    names = frame["parent_asset_name"].where(frame["parent_asset_name"] != "East")
    return names.fillna("no owner").iloc[-1]


@pandas(["large", "small"])
def pandas_numpy_where(frame: pd.DataFrame, _: Path) -> Any:
    return np.unique(np.where(frame["parent_asset_name"] == "North", "large", "small")).tolist()


@pandas((18, "2024-01-02", 100.0))
def pandas_to_csv(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_csv(folder / "x.csv", index=False)
    again = pd.read_csv(folder / "x.csv").sort_values(
        ["metric", "asset_id", "value_date"], ascending=[False, True, True]
    )
    return len(again), again["value_date"].iloc[0], again["value"].iloc[0]


@pandas((datetime(2024, 1, 2), "crude_oil;tank", 19))
def pandas_to_excel(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_excel(folder / "x.xlsx", index=False)
    sheet = openpyxl.load_workbook(folder / "x.xlsx").active
    row = dict(zip(*list(sheet.iter_rows(values_only=True))[:2], strict=True))
    return row["value_date"], row["asset_categories"], sheet.max_row


@job(lambda results: results.to_pandas(wide="stored_volume_bbl"), [datetime(2024, 1, 2), 100, 200, 50])
def wide_to_excel(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_excel(folder / "x.xlsx")
    return [cell.value for cell in openpyxl.load_workbook(folder / "x.xlsx").active[2]]


@job(lambda results: results.to_pandas(wide="stored_volume_bbl"), {"Tank A1": 120.0, "Tank A2": 220.0, "Tank B1": 70.0})
def wide_last_value_of_a_month(frame: pd.DataFrame, _: Path) -> Any:
    return frame.resample("MS").last().loc["2024-02"].iloc[0].to_dict()


@job(lambda results: results.to_pandas(wide="stored_volume_bbl"), [20.0, 10.0])
def wide_difference_and_selection_of_dates(frame: pd.DataFrame, _: Path) -> Any:
    return [frame["Tank A1"].diff(2).iloc[-1], frame.loc["2024-01", "Tank B1"].diff().iloc[-1]]


@job(lambda results: results.to_pandas(wide="stored_volume_bbl", by="parent"), ([300.0, 110.0, 340.0], [2, 1, 2]))
def totals_to_csv(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_csv(folder / "x.csv")
    again = pd.read_csv(folder / "x.csv", header=[0, 1], index_col=0, parse_dates=True)
    return again["stored_volume_bbl"]["North"].tolist(), again["stored_volume_bbl_asset_count"]["North"].tolist()


@pandas([("2024-01-02 00:00:00", "Tank A1", "crude_oil;tank", 100.0)])
def pandas_to_sql(frame: pd.DataFrame, folder: Path) -> Any:
    with contextlib.closing(sqlite3.connect(folder / "x.db")) as connection:
        frame.to_sql("tanks", connection, index=False)
        return connection.execute(
            "SELECT value_date, asset_name, asset_categories, value FROM tanks WHERE value = 100"
        ).fetchall()


@pandas({"value_date": "2024-01-02T00:00:00.000", "value": 100.0})
def pandas_to_json(frame: pd.DataFrame, folder: Path) -> Any:
    frame[frame["value"] == 100][["value_date", "value"]].to_json(
        folder / "x.json", orient="records", date_format="iso"
    )
    (row,) = json.loads((folder / "x.json").read_text())
    return row | {"value_date": row["value_date"].removesuffix("Z")[:23]}


@pandas(None)
def pandas_parquet_round_trip(frame: pd.DataFrame, folder: Path) -> Any:
    frame.to_parquet(folder / "x.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "x.parquet"), frame)


@pandas((24, ["Tank A1", "Tank A2", "Tank B1"]))
def pandas_concat_of_two_datasets(frame: pd.DataFrame, _: Path) -> Any:
    both = pd.concat([frame, tanks("B1").to_pandas()], keys=["first", "second"], names=["dataset", None]).reset_index(
        "dataset"
    )
    assert both.dtypes[frame.columns].equals(frame.dtypes)
    return len(both), sorted(both["asset_name"].unique())


@pandas({"asset_centroid_latitude", "asset_centroid_longitude"})
def pandas_melt(frame: pd.DataFrame, _: Path) -> Any:
    axes = ["asset_centroid_latitude", "asset_centroid_longitude"]
    return set(frame.melt(id_vars=["asset_id"], value_vars=axes, value_name="degrees")["variable"])


@pandas((16.0, 3, 220.0))
def pandas_describe(frame: pd.DataFrame, _: Path) -> Any:
    summary = frame.describe(include="all")
    return summary["value"]["count"], summary["asset_name"]["unique"], summary["value"]["max"]


@pandas((3, 2, 1, 3))
def pandas_nunique(frame: pd.DataFrame, _: Path) -> Any:
    return tuple(frame.nunique()[["asset_name", "metric", "asset_categories", "value_date"]])


@pandas(["Tank A2"])
def pandas_query(frame: pd.DataFrame, _: Path) -> Any:
    limit = 150  # noqa: F841 (the query reads it)
    rows = frame.query("metric == 'stored_volume_bbl' and value > @limit and value_date >= '2024-02-01'")
    return rows["asset_name"].tolist()


@pandas(22.0)
def pandas_eval(frame: pd.DataFrame, _: Path) -> Any:
    """In pandas 2, eval takes no nullable integers, such as asset_version."""
    return frame.eval("tenth = value / 10")["tenth"].max()


@pandas(["Tank A1 2024-01", "Tank A1 2024-02"])
def pandas_assign(frame: pd.DataFrame, _: Path) -> Any:
    labelled = frame.assign(month=lambda f: f["asset_name"] + " " + f["value_date"].dt.strftime("%Y-%m"))
    return labelled["month"].unique().tolist()[:2]


@pandas(6)
def pandas_comparison_with_a_datetime(frame: pd.DataFrame, _: Path) -> Any:
    return int((frame["value_date"] > datetime(2024, 1, 31)).sum())


@pandas([75.0, 75.0, 80.0])
def pandas_merge_asof(frame: pd.DataFrame, folder: Path) -> Any:
    """`as_unit` is for pandas 2, which parses dates to nanoseconds."""
    prices = pd.read_csv(folder / "prices.csv", parse_dates=["date"])
    prices["date"] = prices["date"].dt.as_unit("us")
    tank = frame[(frame["asset_name"] == "Tank A1") & (frame["metric"] == "stored_volume_bbl")]
    return pd.merge_asof(tank, prices, left_on="value_date", right_on="date")["price"].tolist()


@pandas([[3, 3], [6, 6]])
def pandas_crosstab(frame: pd.DataFrame, _: Path) -> Any:
    return pd.crosstab(frame["parent_asset_name"], frame["metric"]).to_numpy().tolist()


@pandas([0.0, 0.1, 0.2])
def pandas_transform(frame: pd.DataFrame, _: Path) -> Any:
    first = frame.groupby(["asset_name", "metric"])["value"].transform("first")
    return ((frame["value"] - first) / first)[frame["asset_name"] == "Tank A1"].round(3).unique().tolist()


@job(lambda results: results.to_pandas(categories=True), {"Tank A1": 3, "Tank A2": 3, "Tank B1": 3})
def categories_groupby_observed(frame: pd.DataFrame, _: Path) -> Any:
    return frame[frame["metric"] == "fill_level_pct"].groupby("asset_name", observed=True).size().to_dict()


@polars({"Tank A1": 110.0, "Tank A2": 210.0, "Tank B1": 60.0})
def polars_group_by(frame: pl.DataFrame, _: Path) -> Any:
    means = frame.filter(pl.col("metric") == "stored_volume_bbl").group_by("asset_name").agg(pl.col("value").mean())
    return dict(means.iter_rows())


@polars({"North": "Acme", "East": "Globex"})
def polars_join_with_csv(frame: pl.DataFrame, folder: Path) -> Any:
    owners = pl.read_csv(folder / "owners.csv")
    joined = frame.join(owners, left_on="parent_asset_name", right_on="terminal")
    return dict(joined.select("parent_asset_name", "owner").unique().iter_rows())


@polars([(datetime(2024, 1, 2), 100.0, 200.0, 50.0)])
def polars_pivot(frame: pl.DataFrame, _: Path) -> Any:
    volumes = frame.filter(pl.col("metric") == "stored_volume_bbl")
    return volumes.pivot(on="asset_name", index="value_date", values="value").head(1).rows()


@polars([75.0, 75.0, 80.0])
def polars_join_asof(frame: pl.DataFrame, folder: Path) -> Any:
    prices = pl.read_csv(folder / "prices.csv").with_columns(pl.col("date").str.to_datetime("%Y-%m-%d"))
    tank = frame.filter((pl.col("asset_name") == "Tank A1") & (pl.col("metric") == "stored_volume_bbl"))
    return tank.sort("value_date").join_asof(prices, left_on="value_date", right_on="date")["price"].to_list()


@polars((18, "crude_oil;tank"))
def polars_write_csv(frame: pl.DataFrame, folder: Path) -> Any:
    frame.write_csv(folder / "x.csv")
    again = pl.read_csv(folder / "x.csv", try_parse_dates=True)
    assert again["value_date"].to_list() == frame["value_date"].to_list()
    return again.height, again["asset_categories"][0]


@polars((datetime(2024, 1, 2), 19))
def polars_write_excel(frame: pl.DataFrame, folder: Path) -> Any:
    frame.write_excel(folder / "x.xlsx")
    sheet = openpyxl.load_workbook(folder / "x.xlsx").active
    row = dict(zip(*list(sheet.iter_rows(values_only=True))[:2], strict=True))
    return row["value_date"], sheet.max_row


@polars(True)
def polars_parquet_round_trip(frame: pl.DataFrame, folder: Path) -> Any:
    frame.write_parquet(folder / "x.parquet")
    return pl.read_parquet(folder / "x.parquet").equals(frame)


@polars("North / Tank A1")
def polars_string_concatenation(frame: pl.DataFrame, _: Path) -> Any:
    return frame.with_columns(label=pl.col("parent_asset_name") + " / " + pl.col("asset_name"))["label"][0]


@polars([105.0, 120.0])
def polars_months(frame: pl.DataFrame, _: Path) -> Any:
    tank = frame.filter((pl.col("asset_name") == "Tank A1") & (pl.col("metric") == "stored_volume_bbl"))
    return tank.group_by_dynamic("value_date", every="1mo").agg(pl.col("value").mean())["value"].to_list()


@polars(6)
def polars_comparison_with_a_datetime(frame: pl.DataFrame, _: Path) -> Any:
    return frame.filter(pl.col("value_date") > datetime(2024, 1, 31)).height


@polars(["crude_oil", "tank"])
def polars_categories_as_a_list(frame: pl.DataFrame, _: Path) -> Any:
    return frame["asset_categories"].str.split(";")[0].to_list()


@polars((24, 3))
def polars_concat_of_two_datasets(frame: pl.DataFrame, _: Path) -> Any:
    both = pl.concat([frame, tanks("B1").to_polars()])
    return both.height, both["asset_name"].n_unique()


@duck([("East", 60.0), ("North", 150.0)])
def duckdb_group_by(results: Results, _: Path) -> Any:
    return duckdb.execute("""
        select parent_asset_name, avg(value) from results where metric = 'stored_volume_bbl' group by all order by all
    """).fetchall()


@duck([(100.0, 200.0, 50.0), (110.0, None, 60.0), (120.0, 220.0, 70.0)])
def duckdb_pivot(results: Results, _: Path) -> Any:
    return duckdb.execute("""
        select "Tank A1", "Tank A2", "Tank B1" from (
            pivot (select value_date, asset_name, value from results where metric = 'stored_volume_bbl')
            on asset_name using first(value) order by value_date
        )
    """).fetchall()


@duck([("Acme", 750.0), ("Globex", 180.0)])
def duckdb_join_with_a_frame(results: Results, folder: Path) -> Any:
    frame, owners = results.to_pandas(), pd.read_csv(folder / "owners.csv")  # noqa: F841 (the query reads them)
    return duckdb.execute("""
        select owner, sum(value) from frame join owners on parent_asset_name = terminal
        where metric = 'stored_volume_bbl' group by all order by all
    """).fetchall()


@duck([(date(2024, 1, 2), "Tank A1", 100.0)])
def duckdb_dates_of_a_frame(results: Results, _: Path) -> Any:
    """A date is the same day in every time zone of the machine."""
    frame = results.to_pandas()
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'America/New_York'")
        connection.register("frame", frame)
        return connection.sql("select value_date::date, asset_name, value from frame where value = 100").fetchall()


@duck((18, 3))
def duckdb_copy_to_csv(results: Results, folder: Path) -> Any:
    columns = "value_date, asset_name, metric, value"
    duckdb.execute(f"copy (select {columns} from results) to '{folder / 'x.csv'}' (header)")  # noqa: S608
    again = pd.read_csv(folder / "x.csv")
    return len(again), again["value_date"].nunique()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files of the analyst's own."""
    (tmp_path / "owners.csv").write_text("terminal,owner\nNorth,Acme\nEast,Globex\n")
    (tmp_path / "prices.csv").write_text("date,price\n2024-01-02,75\n2024-02-01,80\n")
    return tmp_path


@pytest.mark.parametrize(("source", "function", "expected"), JOBS)
def test_job_works_at_the_first_try(
    source: Callable[[Results], Any], function: Callable[[Any, Path], Any], expected: Any, folder: Path
) -> None:
    """It raises nothing, warns of nothing, and its result is right."""
    assert function(source(RESULTS), folder) == expected
