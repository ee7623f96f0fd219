"""Assets are selected by id or name, metrics by name; what does not exist is an error with near matches."""

import json
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from kayrros_ext import GapError, Kayrros, Results, UsageError
from kayrros_ext._results.selection import read_assets, to_assets
from kayrros_ext.testing import Dataset, Platform, Request

DAY = {"2024-01-02": {"level": 1.5, "volume": 3.0}}
NAMES = {"t1": "North", "t2": "South", "t3": "Ost", "t4": "Ost"}


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def dataset(platform: Platform) -> Dataset:
    """Two of the four tanks share a name."""
    payload = platform.add(dict.fromkeys(NAMES, DAY)).payload()
    for asset in payload["assets"]:
        asset |= {"asset_name": NAMES[asset["asset_id"]], "parent_asset_name": "Cushing", "asset_categories": ["tank"]}
    return platform.add(payload, metadata={"name": "Tanks"})


@pytest.fixture
def kayrros(platform: Platform) -> Iterator[Kayrros]:
    with platform.connect() as kayrros:
        yield kayrros


def results_requests(platform: Platform) -> list[Request]:
    return [request for request in platform.requests if request.operation == "getDatasetResults"]


def ids(results: Any) -> list[str]:
    return results.assets["asset_id"].to_pylist()  # type: ignore[no-any-return]


def test_assets_are_objects_that_results_takes(kayrros: Kayrros, dataset: Dataset) -> None:
    """A list of them is a DataFrame at once, and each has the fields of Results.assets."""
    assets = kayrros.assets(dataset)
    first = assets[0]
    assert (first.id, first.name, first.parent_name, first.categories, first.date_count) == (
        *("t1", "North", "Cushing", ["tank"], 1),
    )
    assert repr(first).startswith("Asset(id='t1', name='North', ")
    assert ids(kayrros.results(dataset, assets=assets[1:3])) == ["t2", "t3"]
    assert ids(kayrros.results(dataset, assets=first)) == ["t1"]
    assert pd.DataFrame(assets)["name"].tolist() == list(NAMES.values()) == pl.DataFrame(assets)["name"].to_list()


def test_assets_of_a_large_dataset_are_read_in_parts(platform: Platform, kayrros: Kayrros) -> None:
    """The number of dates is that of all parts."""
    dataset = platform.generate(assets=3, dates=40, metrics=["m"])
    platform.max_rows = 30
    assert [asset.date_count for asset in kayrros.assets(dataset)] == [40] * 3


@pytest.mark.parametrize("values", [["South", "t1"], ["SOUTH", "North"], ["t1", "t2", "south"]])
def test_assets_are_ids_or_names(values: list[str], kayrros: Kayrros, dataset: Dataset, tmp_path: Path) -> None:
    """Case of a name does not matter, and neither does the order."""
    assert ids(kayrros.results(dataset, assets=values)) == ["t1", "t2"]
    assert [ids(part) for part in kayrros.iter_results(dataset, assets=values)] == [["t1", "t2"]]
    path = kayrros.export(dataset, tmp_path / "x.parquet", assets=values)
    assert set(pq.read_table(path)["asset_id"].to_pylist()) == {"t1", "t2"}


def test_ids_and_names_take_one_small_request(platform: Platform, kayrros: Kayrros, dataset: Dataset) -> None:
    """It asks for no data. Once the assets are remembered, neither takes one."""
    for values, requests in ((["t1"], 2), (["North"], 2), (["north", "South"], 1), (["t2"], 1)):
        platform.requests.clear()
        kayrros.results(dataset, assets=values, start="2024")
        *lookups, last = results_requests(platform)
        assert len(lookups) + 1 == requests, values
        assert all(request.json["time_range"]["stop_date"] <= 3_600_000 for request in lookups)
        assert set(last.json["mo_ids"]) <= set(NAMES)


@pytest.mark.parametrize("call", ["assets", "results"])
def test_assets_that_were_seen_need_no_request(
    call: str, platform: Platform, kayrros: Kayrros, dataset: Dataset
) -> None:
    """All results of a dataset name its assets, as `assets` does."""
    getattr(kayrros, call)(dataset)
    platform.requests.clear()
    assert ids(kayrros.results(dataset, assets=["South"])) == ["t2"]
    assert len(results_requests(platform)) == 1


def test_thousands_of_assets_are_checked_at_once(platform: Platform, kayrros: Kayrros) -> None:
    """One response names all assets. A request has at most 500 ids."""
    dataset = platform.generate(assets=1200, dates=1, metrics=["m"])
    every = [f"tank-{number:06d}" for number in range(1200)]
    assert kayrros.results(dataset, assets=every).assets.num_rows == 1200
    requests = results_requests(platform)
    assert sorted(len(request.json.get("mo_ids", ())) for request in requests) == [0, 200, 500, 500]
    with pytest.raises(UsageError, match=r"no asset 'tank-x', 'tank-y'\. Available names: .*'Tank"):
        kayrros.results(dataset, assets=["tank-x", *every, "tank-y"])


def test_an_unknown_asset_is_an_error_with_near_names(kayrros: Kayrros, dataset: Dataset, tmp_path: Path) -> None:
    """No file is written, and the message stays short."""
    for call in (
        lambda value: kayrros.results(dataset, assets=[value]),
        lambda value: list(kayrros.iter_results(dataset, assets=["t1", value])),
        lambda value: kayrros.export(dataset, tmp_path / "x.csv", assets=["t1", value]),
    ):
        with pytest.raises(UsageError, match="The dataset has no asset 'Nroth'.*'North'"):
            call("Nroth")
        with pytest.raises(UsageError, match="no asset") as caught:
            call("x" * 1000)
        assert len(str(caught.value)) < 300
    assert not list(tmp_path.iterdir())


def test_unknown_assets_are_all_named(kayrros: Kayrros, dataset: Dataset) -> None:
    """The hint has names, the nearest first, and the command line a command as well."""
    with pytest.raises(UsageError) as caught:
        kayrros.results(dataset, assets=["t1", "suth", *map(str, range(30))])
    assert caught.value.args[0].startswith("The dataset has no asset 'suth', '0', '1'")
    assert caught.value.args[0].endswith("'18', and 11 more are unknown.")
    assert caught.value.hint == "Available names: 'South', 'Ost', 'North'."
    assert str(caught.value.hint_cli).endswith("'North'. `kayrros assets DATASET` lists them.")


def test_names_are_compared_as_they_are_shown(platform: Platform, kayrros: Kayrros) -> None:
    """Blanks, line ends and case do not matter. An asset that is the same letter by letter wins; all metrics alike come."""
    days = {"2024-01-02": {"Fill\n level": 1.0, "volume": 2.0, "Volume": 3.0}}
    payload = platform.add({"t1": days, "t2": days, "t3": days}).payload()
    for asset, name in zip(payload["assets"], ("Tank \t 1", "TANK 1", "Tank\x1b 2"), strict=True):
        asset["asset_name"] = name
    dataset = platform.add(payload)
    assert ids(kayrros.results(dataset, assets=["TANK 1", "tank 2"])) == ["t2", "t3"]
    with pytest.raises(UsageError, match="2 assets have the name 'tank 1'"):
        kayrros.results(dataset, assets="tank 1")
    both = ["Volume", "volume"]
    for metric, names in (("fill  level", ["Fill\n level"]), ("volume", both), ("VOLUME", both)):
        metrics = kayrros.results(dataset, metric=metric).table["metric"].to_pylist()
        assert sorted(set(metrics)) == names


def test_metrics_of_windows_are_compared_alike(platform: Platform, kayrros: Kayrros) -> None:
    """Which rows come does not depend on the names in earlier windows."""
    days = {f"2024-01-{day:02}": {"Volume" if day < 5 else "volume": 1.0} for day in range(1, 9)}
    dataset = platform.add({"t1": days})
    whole = kayrros.results(dataset, metric="volume")
    platform.max_rows = 3
    assert len(whole) == len(kayrros.results(dataset, metric="volume")) == 8


def test_a_metric_of_no_rows_is_a_warning(kayrros: Kayrros, dataset: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    """It may exist, because nothing tells which metrics a dataset has."""
    assert len(kayrros.results(dataset, metric="nope", stop="2000")) == 0
    assert caplog.messages == ["No row has the metric 'nope'; there are no rows."]


def test_assets_of_windows_are_ordered_by_id(platform: Platform) -> None:
    """An asset that begins earlier does not come first."""
    parts = [Results.from_json(json.dumps(platform.add({key: DAY}).payload()).encode()) for key in ("b", "c", "a", "b")]
    assert [(asset.id, asset.date_count) for asset in to_assets(read_assets(parts))] == [("a", 1), ("b", 2), ("c", 1)]


def test_a_name_of_several_assets_is_an_error(kayrros: Kayrros, dataset: Dataset) -> None:
    """The message has their ids."""
    with pytest.raises(UsageError, match=r"2 assets have the name 'ost': t3, t4\. Pass the id"):
        kayrros.results(dataset, assets=["ost"])


@pytest.mark.parametrize("count", [None, 5])
def test_where_the_number_of_assets_differs_all_results_are_read(
    count: int | None, platform: Platform, kayrros: Kayrros, dataset: Dataset
) -> None:
    """Because a response without data may not name all assets. Ids that it names need no more."""
    dataset.metadata["asset_count"] = count
    assert ids(kayrros.results(dataset, assets=["t2"])) == ["t2"]
    assert [bool(request.body) for request in results_requests(platform)] == [True, True]
    assert ids(kayrros.results(dataset, assets=["South"])) == ["t2"]
    assert [bool(request.body) for request in results_requests(platform)][2:] == [True, False, True]
    with pytest.raises(UsageError, match="no asset 'nope'"):
        kayrros.results(dataset, assets=["nope"])


class SparseTransport(httpx.BaseTransport):
    """The platform, as if its responses named only assets with data."""

    def __init__(self, platform: Platform) -> None:
        self._transport = platform.transport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        response.read()
        if "/processingresult/" not in request.url.path or response.status_code != 200:
            return response
        body = response.json()
        return httpx.Response(200, json={**body, "assets": [asset for asset in body["assets"] if asset["results"]]})


@pytest.mark.parametrize("value", ["t2", "South"])
def test_assets_without_data_need_not_be_named(value: str, platform: Platform, dataset: Dataset) -> None:
    """An asset that has no data in the range exists all the same: all results show that, once."""
    with platform.connect(transport=SparseTransport(platform)) as kayrros:
        assert ids(kayrros.results(dataset, assets=[value])) == ["t2"]
        assert len(results_requests(platform)) == 3
        assert kayrros.results(dataset, assets=["North"], start="2030").table.num_rows == 0
        with pytest.raises(UsageError, match="no asset 'nope'"):
            kayrros.results(dataset, assets=["nope"], start="2030")


def test_an_incomplete_list_of_assets_is_not_kept(platform: Platform, kayrros: Kayrros) -> None:
    """Which assets there are is unknown while a part of all results is missing: an error, also with on_gap="warn"."""
    dataset = platform.generate(assets=3, dates=8, metrics=["m"])
    dataset.metadata["asset_count"], first_ms = 5, dataset.metadata["start_date"]

    def includes_first_date(request: Request) -> bool:
        time_range = request.json["time_range"] if request.body else None
        return time_range is not None and time_range["start_date"] <= first_ms <= time_range["stop_date"]

    platform.max_rows, reports = 6, list[Any]()
    platform.fail_when(includes_first_date, 500, operation="getDatasetResults")
    with pytest.raises(GapError, match="unavailable"):
        kayrros.results(dataset, assets=["Tank 1"], on_gap="warn", progress=reports.append)
    assert reports == []
    assert kayrros._assets == {}


@pytest.mark.parametrize("status", [500, 504])
def test_a_list_that_fails_says_nothing_about_an_id(
    status: int, platform: Platform, kayrros: Kayrros, dataset: Dataset
) -> None:
    """All results do, and an unknown id is still an error."""
    platform.fail_next(status, operation="getDatasetResults")
    assert ids(kayrros.results(dataset, assets=["t1"])) == ["t1"]
    platform.fail_next(status, operation="getDatasetResults")
    with pytest.raises(UsageError, match="no asset 'nope'"):
        kayrros.results(dataset, assets=["nope"])


def test_a_long_list_of_assets_is_read_in_bounded_memory(
    platform: Platform, kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is for responses with data, so that not all of these are read."""
    monkeypatch.setattr("kayrros_ext._results.fetch.STREAM_MAX_BYTES", 10_000)
    dataset = platform.generate(assets=100, dates=1)
    next(kayrros.iter_results(dataset, assets=["tank-000007"]))
    assert all(request.body for request in results_requests(platform))


@pytest.mark.parametrize("metric", ["level", ["level"], ("level", "level"), pd.Series(["level"])])
def test_metrics_are_filtered(metric: Any, kayrros: Kayrros, dataset: Dataset, tmp_path: Path) -> None:
    """One name or several, in all three calls; a file records them."""
    results = kayrros.results(dataset, metric=metric)
    assert set(results.table["metric"].to_pylist()) == {"level"}
    assert results.assets.num_rows == 4
    [part] = kayrros.iter_results(dataset, metric=metric)
    assert part.table.equals(results.table)
    path = kayrros.export(dataset, tmp_path / "x.parquet", metric=metric)
    assert pq.read_table(path).num_rows == results.table.num_rows == 4
    assert pq.read_metadata(path).metadata[b"metrics"] == b"level"


def test_an_unknown_metric_is_an_error(kayrros: Kayrros, dataset: Dataset, platform: Platform, tmp_path: Path) -> None:
    """It comes after the data, and lists the metrics. Without any row there is nothing to tell it by."""
    for call in (
        lambda **options: kayrros.results(dataset, **options),
        lambda **options: list(kayrros.iter_results(dataset, **options)),
        lambda **options: kayrros.export(dataset, tmp_path / "x.csv", **options),
    ):
        with pytest.raises(UsageError, match=r"No row has the metric 'levle'\. Available metrics: 'level', 'volume'\."):
            call(metric=["level", "levle"])
    assert not list(tmp_path.iterdir())
    assert kayrros.results(dataset, metric="levle", start="2030").table.num_rows == 0


@pytest.mark.parametrize("metric", [5, b"level", [], [5], [""], {"level": 1}, pd.DataFrame({"metric": ["level"]})])
def test_a_metric_that_is_no_name_is_refused(
    metric: Any, kayrros: Kayrros, dataset: Dataset, platform: Platform
) -> None:
    """Nothing is sent."""
    with pytest.raises(UsageError, match="metric "):
        kayrros.iter_results(dataset, metric=metric)
    assert not platform.requests


@pytest.mark.parametrize(
    ("call", "argument", "near"),
    [
        ("results", "end", "stop"),
        ("results", "metrics", "metric"),
        ("results", "asset", "assets"),
        ("results", "from_", "start"),
        ("results", "start_date", "start"),
        ("results", "ongap", "on_gap"),
        ("iter_results", "end_date", "stop"),
        ("export", "until", "stop"),
        ("download", "folder", "directory"),
        ("download", "overwrit", "overwrite"),
        ("metadata", "id", "dataset"),
        ("assets", "progres", "progress"),
        ("export_many", "end", "stop"),
        ("export_many", "folder", "directory"),
    ],
)
def test_an_unknown_argument_names_the_nearest(
    call: str, argument: str, near: str, kayrros: Kayrros, dataset: Dataset, platform: Platform
) -> None:
    """The error comes at once, and nothing is sent. The options of a fetch are those of `results`."""
    arguments = [dataset, "x.csv"] if "export" in call else [dataset]
    with pytest.raises(UsageError) as caught:
        getattr(kayrros, call)(*arguments, **{argument: "x"})
    assert str(caught.value) == f"There is no argument {argument!r}. Did you mean {near}?"
    assert not platform.requests


def test_an_unknown_argument_of_a_plot(kayrros: Kayrros, dataset: Dataset) -> None:
    """The message names the nearest, or all."""
    results: Any = kayrros.results(dataset)
    with pytest.raises(UsageError, match=r"There is no argument 'metrics'\. Did you mean metric\?"):
        results.plot(metrics="level")
    with pytest.raises(UsageError, match=r"Arguments: path, kind, metric, .*, width, height\."):
        results.plot(figsize=(4, 3))


@pytest.mark.parametrize("argument", ["user", "username", "login", "pasword", "passwd"])
def test_an_unknown_argument_of_a_client_shows_no_password(argument: str) -> None:
    """A traceback with locals shows neither the password nor what was passed under a wrong name."""
    near = "email" if argument in {"user", "username", "login"} else "password"
    values = {argument: "planted-" + "name", "password": "planted-" + "secret"}
    make: Callable[..., Kayrros] = Kayrros
    with pytest.raises(UsageError) as caught:
        make(**values)
    assert str(caught.value) == f"There is no argument {argument!r}. Did you mean {near}?"
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    ours = [frame.locals or {} for frame in frames if "/kayrros_ext/" in frame.filename]
    assert ours
    assert not any("planted" in value for variables in ours for value in variables.values())


def test_an_argument_of_another_call_is_no_typing_error(kayrros: Kayrros, tmp_path: Path) -> None:
    """`with_dataset` is not `datasets`: the error lists the arguments."""
    options: dict[str, Any] = {"with_dataset": True}
    with pytest.raises(UsageError, match=r"no argument 'with_dataset'\. Arguments: datasets, directory, format, "):
        kayrros.export_many([], tmp_path, **options)


def test_an_argument_like_no_other_lists_them() -> None:
    """The hint has all names."""
    make: Callable[..., Kayrros] = Kayrros
    with pytest.raises(UsageError, match="Arguments: email, password, token,"):
        make(xyzzy=1)


def test_an_asset_is_json(kayrros: Kayrros, dataset: Dataset) -> None:
    """Its fields are plain values."""
    assert json.loads(json.dumps(kayrros.assets(dataset)[0]._asdict()))["id"] == "t1"
