"""The platform fake: it holds its state, and responds as the spec says."""

import itertools
import json
import math
import statistics
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import attrs
import httpx
import pyarrow as pa
import pytest

from kayrros_ext import (
    AccessDeniedError,
    APIError,
    Kayrros,
    LoginError,
    NotFoundError,
    UnauthorizedError,
    UsageError,
)
from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext.testing import Fault, Platform, StaticFile
from kayrros_ext.testing.datasets import EVERYTHING, ResultsFilter
from kayrros_ext.testing.http import Request
from kayrros_openapi.api.datasets import get_dataset_results
from tests.support.server import DATASET, LOGIN

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
RECURSIVE: dict[str, Any] = {}
RECURSIVE["extra"] = RECURSIVE
VALUES: Any = {name: {day: {"m": float(place)} for place, day in enumerate(DAYS)} for name in ("a", "b", "ü")}


def ask(platform: Platform, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """A request with a token, to the data host."""
    headers = {"Authorization": f"Bearer {platform.give_token()}", **kwargs.pop("headers", {})}
    with httpx.Client(transport=platform.transport(), base_url=BASE_URL) as client:
        return client.request(method, path, headers=headers, **kwargs)


def log_in(platform: Platform, **body: str) -> httpx.Response:
    with httpx.Client(transport=platform.transport(), base_url=AUTH_URL) as client:
        return client.post(LOGIN, json=body)


def test_login_issues_a_token() -> None:
    """A login is counted, recorded with its status, and its response holds more than the token."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        kayrros.metadata(dataset.id)
        kayrros.metadata(dataset.id)
    assert platform.logins == 1
    assert [seen.operation for seen in platform.requests] == ["login", "getDatasetMetadata", "getDatasetMetadata"]
    assert [seen.status for seen in platform.requests] == [200, 200, 200]
    assert {"email": platform.account.email, "password": platform.account.password} == platform.requests[0].json
    assert platform.requests[1].token
    assert len(log_in(platform, email=platform.account.email, password=platform.account.password).json()) > 1


def test_wrong_credentials_get_a_401() -> None:
    """A wrong password or an unknown account gets a 401, and counts as no login."""
    platform = Platform()
    platform.add_account("second@example.com", "other")
    for email, password in [("second@example.com", "wrong"), ("nobody@example.com", "other")]:
        with platform.connect(email=email, password=password) as kayrros, pytest.raises(LoginError) as caught:
            kayrros.metadata(DATASET)
        assert (caught.value.status, caught.value.code) == (401, "WRONG_CREDENTIALS")
    assert platform.logins == 0
    assert log_in(platform, email="second@example.com", password="other").status_code == 200


def test_unknown_token_gets_a_401() -> None:
    """A made-up token, a token of another fake, or no token gets a 401."""
    platform = Platform()
    dataset = platform.generate()
    for token in ("made-up", Platform().give_token()):
        with platform.connect(token=token) as kayrros, pytest.raises(UnauthorizedError):
            kayrros.metadata(dataset.id)
    assert (
        ask(platform, "GET", f"/v1/collection/dataset/summary/{dataset.id}", headers={"Authorization": ""}).status_code
        == 401
    )
    with platform.connect(token=platform.give_token()) as kayrros:
        assert kayrros.metadata(dataset.id)


def test_tokens_expire_by_clock_and_on_command() -> None:
    """A token expires when its lifetime is over by the fake's clock, or with expire_tokens()."""
    now = 100.0
    platform = Platform(token_lifetime_s=60, clock=lambda: now)
    dataset = platform.generate()
    with platform.connect() as kayrros:
        for moment, logins in [(100.0, 1), (159.9, 1), (160.0, 2), (219.9, 2), (220.0, 3)]:
            now = moment
            kayrros.metadata(dataset.id)
            assert logins == platform.logins
        platform.expire_tokens()
        kayrros.metadata(dataset.id)
        assert platform.logins == 4


def test_expired_token_can_get_a_403() -> None:
    """expired_status sets the status of an expired token; an unknown token stays a 401."""
    platform = Platform()
    platform.expired_status = 403
    token = platform.give_token()
    platform.expire_tokens()
    path = f"/v1/collection/dataset/summary/{DATASET}"
    for sent, status in [(token, 403), ("unknown", 401)]:
        assert ask(platform, "GET", path, headers={"Authorization": f"Bearer {sent}"}).status_code == status


@pytest.mark.parametrize(
    ("inclusive", "dates"),
    [("both", DAYS), ("left", DAYS[:2]), ("right", DAYS[1:]), ("neither", DAYS[1:2])],
)
@pytest.mark.parametrize("generated", [True, False])
def test_results_are_filtered(inclusive: Any, dates: list[str], generated: bool) -> None:
    """Results are filtered by asset and date; `inclusive` decides about the ends."""
    platform = Platform(inclusive=inclusive)
    if generated:
        every = [date.fromisoformat(day) for day in DAYS]
        dataset = platform.generate(assets=4, dates=[date(2023, 12, 31), *every, date(2024, 1, 4)], metrics=["m"])
    else:
        dataset = platform.add(VALUES)
    ids = [asset["asset_id"] for asset in dataset.payload()["assets"]]
    with platform.connect() as kayrros:
        results = kayrros.results(dataset.id, assets=[ids[2], ids[0]], start=DAYS[0], stop=f"{DAYS[-1]}T00:00")
        assert [ids[0], ids[2]] == results.assets["asset_id"].to_pylist()
        assert {day.isoformat() for day in map(date.fromisoformat, dates)} == {
            moment.date().isoformat() for moment in results.table["value_date"].to_pylist()
        }
        nothing = kayrros.results(dataset.id, start="2030-01-01")
        assert (0, len(ids)) == (nothing.table.num_rows, nothing.assets.num_rows)


def test_filter_changes_no_value() -> None:
    """Filtered results are a part of all results, also beyond the length of a series."""
    source = Platform().generate(seed=5, assets=3, dates=9000, every=timedelta(hours=6)).source
    assert source

    def rows(only: ResultsFilter) -> list[tuple[str, str, Any]]:
        payload = json.loads(b"".join(source.body(only)))
        return [(a["asset_id"], r["value_date"], r["metrics"]) for a in payload["assets"] for r in a["results"]]

    whole = rows(EVERYTHING)
    assert len(whole) == 27_000
    assert [day for _, day, _ in whole[:9000]] == sorted({day for _, day, _ in whole})
    step = 6 * 3600 * 1_000_000
    begin = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
    for first, last in [(0, 0), (1022, 1025), (4000, 8999), (8190, 8192), (17, 16)]:
        only = ResultsFilter(frozenset({"tank-000001"}), (begin + first * step, begin + last * step))
        assert rows(only) == whole[9000 + first : 9000 + last + 1]
        assert source.rows(only) == 2 * max(0, last - first + 1)


def test_same_seed_gives_same_bytes() -> None:
    """The same seed gives the same bytes and id, another seed other ones; values are believable."""
    first, again, other = (Platform().generate(seed=seed, assets=50, dates=100) for seed in (1, 1, 2))
    assert (first.id, first.payload()) == (again.id, again.payload())
    assert first.id != other.id
    assert first.payload()["assets"][0]["results"] != other.payload()["assets"][0]["results"]
    places = [{asset["asset_centroid_longitude"] for asset in one.payload()["assets"]} for one in (first, other)]
    assert len(places[0] & places[1]) < 5
    seen = set()
    for asset in first.payload()["assets"]:
        levels = [result["metrics"][1]["value"] for result in asset["results"]]
        assert all(5 <= level <= 95 for level in levels)
        assert max(abs(a - b) for a, b in itertools.pairwise(levels)) < 25
        seen.add(tuple(levels))
    assert len(seen) > 40
    assert len({asset["asset_id"] for asset in first.payload()["assets"]}) == 50


def test_large_dataset_costs_no_memory() -> None:
    """A dataset of 50 million rows takes no time to generate, and sending part of it little memory."""
    dataset = Platform().generate(assets=5000, dates=5000, every=timedelta(days=1))
    assert dataset.row_count == 50_000_000
    assert dataset.source
    chunks = dataset.source.body(ResultsFilter(frozenset(f"tank-{index:06d}" for index in range(100))))
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in chunks)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 60_000_000
    assert peak < 30_000_000  # the series that all assets share, and a chunk


def test_metrics_by_name_or_number() -> None:
    """Metrics are those of the template, named ones, or a number of them."""
    platform = Platform()

    def names(**settings: Any) -> list[str]:
        [asset] = platform.generate(assets=1, dates=1, **settings).payload()["assets"]
        return [metric["name"] for metric in asset["results"][0]["metrics"]]

    assert names() == ["stored_volume_bbl", "fill_level_pct"]
    assert names(template="methane-hotspots", metrics=["emission_rate_kg_per_h", "x"]) == [
        "emission_rate_kg_per_h",
        "x",
    ]
    assert names(metrics=3) == ["metric_01", "metric_02", "metric_03"]


def test_assets_are_independent_series() -> None:
    """Assets hardly correlate, also when one is shifted in time, and each has a level of its own."""
    dataset = Platform().generate(seed=3, assets=12, dates=800, every=timedelta(days=1), metrics=["fill_level_pct"])
    series = [[one["metrics"][0]["value"] for one in asset["results"]] for asset in dataset.payload()["assets"]]
    for one, other in itertools.combinations(series, 2):
        shifts = [statistics.correlation(one[shift:], other[: len(other) - shift]) for shift in (0, 1, 30, 365)]
        assert max(map(abs, shifts)) < 0.45
    means = sorted(statistics.mean(values) for values in series)
    assert means[-1] - means[0] > 15
    assert all(5 <= value <= 95 for values in series for value in values)
    # Neighbours are alike, as in a tank that is filled and emptied, but no value is just the one before.
    assert all(0.5 < statistics.correlation(values[1:], values[:-1]) < 0.95 for values in series)


def test_more_assets_and_dates_change_no_value() -> None:
    """The values of an asset do not depend on how many assets and dates there are."""
    few, many = (Platform().generate(assets=count, dates=200 * count).payload()["assets"] for count in (2, 9))
    for one, other in zip(few, many, strict=False):
        assert other["results"][:400] == one["results"]


def test_metrics_that_belong_together_agree() -> None:
    """A volume is the fill level of a tank times its size; metrics that are not known are independent."""
    first, *_ = Platform().generate(assets=1, dates=300).payload()["assets"]
    volumes, levels = ([one["metrics"][place]["value"] for one in first["results"]] for place in (0, 1))
    assert statistics.correlation(volumes, levels) > 0.999
    first, *_ = Platform().generate(assets=1, dates=300, metrics=2).payload()["assets"]
    one, other = ([one["metrics"][place]["value"] for one in first["results"]] for place in (0, 1))
    assert abs(statistics.correlation(one, other)) < 0.4


def test_another_name_gives_another_dataset() -> None:
    """Two datasets that differ in their name alone are two."""
    platform = Platform()
    names = [platform.generate(name=name).id for name in ("A", "B", "A")]
    assert names[0] == names[2]
    assert len(platform.datasets) == 2


SAME_MOMENT: list[Any] = [
    date(2024, 1, 31),
    datetime(2024, 1, 31),
    datetime(2024, 1, 31, 1, tzinfo=timezone(timedelta(hours=1))),
    "2024-01-31",
    " 2024-01-31T00:00:00Z ",
    1706659200000,
]


@pytest.mark.parametrize("moment", SAME_MOMENT)
def test_dates_are_taken_as_results_takes_them(moment: Any) -> None:
    """A date, a datetime, an ISO 8601 string and epoch milliseconds mean the same everywhere in the fake."""
    platform = Platform()
    by_start, by_list = platform.generate(dates=1, start=moment), platform.generate(dates=[moment])
    added = platform.add({"a": {moment: {"m": 1}}}, metadata={"stop_date": moment})
    with platform.connect() as kayrros:
        for dataset in (by_start, by_list, added):
            table = kayrros.results(dataset.id, start=moment, stop="2024-01-31T12:00").table
            assert set(table["value_date"].to_pylist()) == {datetime(2024, 1, 31, tzinfo=UTC)}
            metadata = kayrros.metadata(dataset.id)
            assert metadata.start_date == metadata.stop_date == 1706659200000


def test_microseconds_are_kept() -> None:
    """A datetime is taken to the microsecond."""
    moment = datetime(2024, 1, 31, 1, 2, 3, 456789, tzinfo=UTC)
    platform = Platform()
    for dataset in (platform.generate(dates=1, start=moment), platform.add({"a": {moment: {"m": 1}}})):
        assert dataset.payload()["assets"][0]["results"][0]["value_date"] == "2024-01-31T01:02:03.456789Z"


class Refused(NamedTuple):
    """A call with arguments that can't be, and what its error says."""

    call: Callable[[Platform], object]
    message: str


def add(results: Any, **options: Any) -> Callable[[Platform], object]:
    return lambda platform: platform.add(results, **options)


def generate(**options: Any) -> Callable[[Platform], object]:
    return lambda platform: platform.generate(**options)


def fail(fault: Any, **options: Any) -> Callable[[Platform], object]:
    return lambda platform: platform.fail_next(fault, **options)


def change(name: str, value: Any) -> Callable[[Platform], object]:
    return lambda platform: setattr(platform, name, value)


def point(value: Any, day: Any = "2024-01-01") -> Callable[[Platform], object]:
    return add({"tank": {day: {"m": value}}})


VALUES_HINT = r'Pass values, such as \{"tank-1"'
REFUSED = {
    "every is a number": Refused(generate(every=1), r"timedelta\(days=1\)"),
    "every is 0": Refused(generate(every=timedelta(0)), r"timedelta\(days=1\)"),
    "every with a list of dates": Refused(generate(dates=["2024-01-01"], every=timedelta(1)), "Omit them"),
    "start is no date": Refused(generate(start="soon"), "ISO 8601"),
    "start is NaN": Refused(generate(start=math.nan), "not a date"),
    "start is True": Refused(generate(start=True), "not a date"),
    "start is in microseconds": Refused(generate(start=1706659200000000), "milliseconds"),
    "start with the offset is in the year 10000": Refused(
        generate(start=datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))), "year 10000"
    ),
    "dates end in the year 10000": Refused(generate(dates=10**9), "year 10000"),
    "no dates": Refused(generate(dates=0), "list of different dates"),
    "an empty list of dates": Refused(generate(dates=[]), "at least one date"),
    "dates is a date": Refused(generate(dates=date(2024, 1, 1)), r'\["2024-01-02", "2024-01-09"\]'),
    "dates is a text": Refused(generate(dates="2024-01-01"), r'\["2024-01-02", "2024-01-09"\]'),
    "dates is a float": Refused(generate(dates=12.0), r'\["2024-01-02", "2024-01-09"\]'),
    "a date twice": Refused(generate(dates=["2024-01-01", date(2024, 1, 1)]), "different dates"),
    "no assets": Refused(generate(assets=0), "1 or more"),
    "assets is True": Refused(generate(assets=True), "1 or more"),
    "assets is a list": Refused(generate(assets=["tank-1"]), "1 or more"),
    "metrics is a text": Refused(generate(metrics="fill"), r'\["fill_level_pct"\]'),
    "a metric twice": Refused(generate(metrics=["a", "a"]), r'\["fill_level_pct"\]'),
    "no metrics": Refused(generate(metrics=[]), "at least one date and one metric"),
    "seed is a text": Refused(generate(seed="1"), "a whole number"),
    "template is unknown": Refused(generate(template="tanks"), "crude-tanks, methane-hotspots"),
    "template is a list": Refused(generate(template=[]), "crude-tanks, methane-hotspots"),
    "id is no UUID": Refused(generate(id="tanks"), "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"),
    "id is empty": Refused(add(None, id=""), "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"),
    "name is a number": Refused(add(None, name=1), "a text"),
    "file is a path": Refused(add(None, file=Path("tanks.csv")), r'StaticFile\(b"a,b", "tanks.csv"\)'),
    "file has a negative size": Refused(lambda _: StaticFile(-1), "how many"),
    "shared with a number": Refused(add(None, shared_with=1), r'\["analyst@example.com"\]'),
    "metadata is a list": Refused(add(None, metadata=[1]), "My tanks"),
    "metadata of a wrong type": Refused(add(None, metadata={"asset_count": ["3"]}), r"int.*asset_count.*My tanks"),
    "metadata with a date that can't be": Refused(add(None, metadata={"start_date": "soon"}), "ISO 8601.*My tanks"),
    "results is a list": Refused(add([1]), VALUES_HINT),
    "results is a text": Refused(add("tank"), VALUES_HINT),
    "results is a table": Refused(add(pa.table({"a": [1]})), VALUES_HINT),
    "results is a data frame": Refused(add(pa.table({"a": [1]}).to_pandas()), VALUES_HINT),
    "results is a dataset": Refused(lambda platform: platform.add(platform.generate()), VALUES_HINT),  # type: ignore[arg-type]
    "results with a typo": Refused(add({"asset": [{"asset_id": "a"}]}), VALUES_HINT),
    "results with a typo further down": Refused(
        add({"assets": [{"asset_id": "a", "result": [{"value_date": "2024-01-01"}]}]}), "renamed.*result"
    ),
    "results without dates": Refused(add({"tank": {"m": 1}}), VALUES_HINT),
    "results without metrics": Refused(add({"tank": {"2024-01-01": 1}}), VALUES_HINT),
    "results that hold themselves": Refused(add({"assets": [RECURSIVE]}), VALUES_HINT),
    "a value is a list": Refused(point([61.5]), r"float.*array.*assets\[0\].*value"),
    "a value is NaN": Refused(point(math.nan), VALUES_HINT),
    "a value is infinite": Refused(point(-math.inf), VALUES_HINT),
    "a value is True": Refused(point(True), r"float.*bool"),
    "a value is too large": Refused(point(10**400), "out of range"),
    "a day that does not exist": Refused(point(1, "2024-02-30"), "2024-02-30.*ISO 8601"),
    "a date that is no date": Refused(point(1, None), "not a date"),
    "a value_date that is no date": Refused(
        add({"assets": [{"asset_id": "a", "results": [{"value_date": "soon", "metrics": []}]}]}), "value_date.*soon"
    ),
    "the fault is a text": Refused(fail("503"), r"a status such as 503, or a Fault"),
    "the fault is a float": Refused(fail(503.0), r"a status such as 503, or a Fault"),
    "the fault is True": Refused(fail(True), "300 to 599"),
    "no such status": Refused(fail(999), "300 to 599"),
    "no error status": Refused(fail(200), "Fault.body"),
    "times is 0": Refused(fail(503, times=0), "1 or more"),
    "times is negative": Refused(fail(503, times=-1), "1 or more"),
    "skip is a text": Refused(fail(503, skip="1"), "0 or more"),
    "no such operation": Refused(fail(503, operation="getResults"), "getDatasetResults"),
    "arguments in the wrong order": Refused(lambda platform: platform.fail_when(503, bool), "a Fault such as"),  # type: ignore[arg-type]
    "no probability": Refused(lambda platform: platform.fail_at_random(503, probability=2, seed=1), "0 to 1"),
    "Retry-After is NaN": Refused(lambda _: Fault.status(429, retry_after=math.nan), "HTTP date"),  # type: ignore[arg-type]
    "Retry-After with a line end": Refused(lambda _: Fault.status(429, retry_after="1\r\nX: y"), "HTTP date"),
    "the body is a text": Refused(lambda _: Fault.body("{}"), "bytes"),  # type: ignore[arg-type]
    "negative bytes": Refused(lambda _: Fault.cut(-1), "0 or more"),
    "a late response is NaN": Refused(lambda _: Fault.late(math.nan), "seconds"),
    "empty chunks": Refused(lambda _: Fault.slow(pause_s=1, chunk_bytes=0), "1 or more"),
    "max_rows is 0": Refused(change("max_rows", 0), "1 or more"),
    "latency is negative": Refused(change("latency_s", -1), "0 or more"),
    "latency is NaN": Refused(change("latency_s", math.nan), "0 or more"),
    "tokens that never live": Refused(change("token_lifetime_s", 0), "more than 0"),
    "no request in a second": Refused(change("max_requests_per_second", 0), "1 or more"),
    "inclusive is unknown": Refused(change("inclusive", "all"), "both, left, right, neither"),
    "an expired token gets a 400": Refused(change("expired_status", 400), "401, 403"),
    "the clock is a time": Refused(change("clock", 5.0), "a function"),
    "no such port": Refused(lambda platform: platform.serve(port=70_000), "0 for a free one"),
    "the port is a text": Refused(lambda platform: platform.serve(port="80"), "0 for a free one"),  # type: ignore[arg-type]
    "no password": Refused(lambda platform: platform.add_account("a@example.com", ""), "not empty"),
    "a token of nobody": Refused(lambda platform: platform.give_token("b@example.com"), "analyst@example.com"),
    "datasets is a dataset": Refused(
        lambda platform: platform.add_collection("Tanks", platform.generate()),  # type: ignore[arg-type]
        r"\[dataset\]",
    ),
    "a dataset that does not exist": Refused(lambda platform: platform.add_collection("Tanks", [DATASET]), "exist"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_argument_is_refused_at_once(name: str) -> None:
    """A wrong argument raises UsageError at the call, which shows what to pass, and changes nothing."""
    platform = Platform()
    settings = {field.name: getattr(platform, field.name) for field in attrs.fields(Platform) if field.init}
    with pytest.raises(UsageError, match=REFUSED[name].message):
        REFUSED[name].call(platform)
    assert settings == {field: getattr(platform, field) for field in settings}
    assert not platform.faults
    assert not platform.collections


def test_added_results_do_not_change_with_the_argument() -> None:
    """What was checked is what is sent."""
    values: Any = {"a": {"2024-01-01": {"m": 1.0}}}
    payload: Any = {"assets": [{"asset_id": "b", "results": []}]}
    datasets = [Platform().add(values), Platform().add(payload)]
    before = [dataset.payload() for dataset in datasets]
    values["a"]["2024-01-01"]["m"] = math.nan
    payload["assets"] = [{"asset_id": 5}]
    assert before == [dataset.payload() for dataset in datasets]


def test_metadata_of_another_dataset_may_be_added() -> None:
    """The id of the metadata is that of the dataset, unless `id` is another, which wins."""
    platform = Platform()
    dataset = platform.generate(name="Mine")
    assert platform.add(dataset.payload(), metadata=dataset.metadata).id == dataset.id
    assert platform.add(dataset.payload(), metadata=dataset.metadata, id=DATASET).metadata["id"] == DATASET


def test_metadata_follows_from_results() -> None:
    """Metadata follows from the results unless passed; undocumented fields are sent too."""
    platform = Platform()
    dataset = platform.add(VALUES, id=DATASET, name="Mine", metadata={"asset_count": 7, "colour": "red"})
    with platform.connect() as kayrros:
        metadata = kayrros.metadata(DATASET)
    assert (DATASET, UUID(DATASET), "Mine", 7) == (dataset.id, metadata.id, metadata.name, metadata.asset_count)
    assert (metadata.start_date, metadata.stop_date) == (1704067200000, 1704240000000)
    assert metadata.additional_properties == {"colour": "red"}


def test_added_results_are_sent_unchanged() -> None:
    """Undocumented fields and nulls are sent as they were added."""
    platform = Platform()
    payload = {
        "assets": [{"asset_id": None, "results": [{"value_date": None, "metrics": None, "extra_props": {}}]}, {}],
        "more": 1,
    }
    dataset = platform.add(payload)
    path = f"/v1/processingresult/dataset/{dataset.id}"
    assert payload == ask(platform, "POST", path).json()
    ranged = ask(platform, "POST", path, json={"time_range": {"start_date": 0, "stop_date": 10**14}})
    assert ranged.json()["assets"] == [{"asset_id": None, "results": []}, {}]


def test_missing_or_unshared_dataset() -> None:
    """A missing dataset is a 404 and an unshared one a 403, for metadata, results and file."""
    platform = Platform()
    hidden = platform.generate(file=b"x", shared_with=["boss@example.com"])
    with platform.connect() as kayrros:
        for call in (kayrros.metadata, kayrros.results, kayrros.download):
            with pytest.raises(NotFoundError):
                call(DATASET)
            with pytest.raises(AccessDeniedError):
                call(hidden.id)
        hidden.shared_with = frozenset({platform.account.email})
        assert kayrros.metadata(hidden.id)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (None, 200),
        ({}, 200),
        ({"mo_ids": ["a"]}, 200),
        ({"mo_ids": []}, 400),
        ({"mo_ids": [""]}, 400),
        ({"mo_ids": [1]}, 400),
        ({"mo_ids": "a"}, 400),
        ({"mo_ids": None}, 400),
        ({"time_range": {"start_date": 0, "stop_date": 0}}, 200),
        ({"time_range": {"start_date": 5, "stop_date": 0}}, 200),
        ({"time_range": {"start_date": 0.0, "stop_date": 1}}, 200),
        ({"time_range": {"start_date": 0}}, 400),
        ({"time_range": {"start_date": 0, "stop_date": 0.5}}, 400),
        ({"time_range": {"start_date": 0, "stop_date": True}}, 400),
        ({"time_range": {"start_date": 0, "stop_date": "0"}}, 400),
        ({"time_range": {"start_date": 0, "stop_date": 2**63}}, 400),
        ({"time_range": {"start_date": 0, "stop_date": 0, "step": 1}}, 400),
        ({"time_range": None}, 400),
        ({"asset_ids": ["a"]}, 400),
        ([], 400),
        ("a", 400),
        (0, 400),
    ],
)
def test_filter_is_validated(body: Any, status: int) -> None:
    """A filter that openapi.yaml does not allow gets a 400."""
    platform = Platform()
    dataset = platform.add(VALUES)
    kwargs = {} if body is None else {"json": body}
    assert ask(platform, "POST", f"/v1/processingresult/dataset/{dataset.id}", **kwargs).status_code == status


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"{", "application/json"), (b"\xff", "application/json"), (b"[" * 90_000, "application/json"), (b"{}", "text/plain"),
     (b'{"time_range": {"start_date": NaN, "stop_date": 0}}', "application/json")],
)  # fmt: skip
def test_malformed_json_gets_a_400(content: bytes, kind: str) -> None:
    """A body that is not JSON gets a 400, from results and login."""
    platform = Platform()
    path = f"/v1/processingresult/dataset/{platform.generate().id}"
    assert ask(platform, "POST", path, content=content, headers={"Content-Type": kind}).status_code == 400
    with httpx.Client(transport=platform.transport(), base_url=AUTH_URL) as client:
        assert client.post(LOGIN, content=content, headers={"Content-Type": kind}).status_code == 400


def test_empty_body_with_content_type_is_no_filter() -> None:
    """A Content-Type without a body, which the generated client sends, is no filter."""
    platform = Platform()
    path = f"/v1/processingresult/dataset/{platform.generate().id}"
    assert ask(platform, "POST", path, headers={"Content-Type": "application/json"}).status_code == 200


@pytest.mark.parametrize("body", [{}, {"email": "e"}, {"email": "", "password": "p"}, {"email": "e", "password": 1}])
def test_login_is_validated(body: dict[str, Any]) -> None:
    """A login is two strings that are not empty, and nothing else."""
    assert log_in(Platform(), **body).status_code == 400
    assert log_in(Platform(), email="e", password="p", code="1").status_code == 400


def test_invalid_dataset_id_gets_a_400() -> None:
    """An id that is not a UUID gets a 400; capitals are valid."""
    platform = Platform()
    dataset = platform.generate()
    for name in ("x", dataset.id.replace("-", ""), "%7B" + dataset.id + "%7D"):
        assert ask(platform, "GET", f"/v1/collection/dataset/summary/{name}").status_code == 400
    assert ask(platform, "GET", f"/v1/collection/dataset/summary/{dataset.id.upper()}").status_code == 200


def test_unknown_paths_and_methods() -> None:
    """A wrong method is a 405 that lists the right ones; an unknown path, or one of the other host, is a 404."""
    platform = Platform()
    for method, path, status, allowed in [
        ("POST", f"/v1/collection/dataset/summary/{DATASET}", 405, "GET"),
        ("DELETE", f"/v1/processingresult/dataset/{DATASET}", 405, "POST"),
        ("GET", "/v1/collection/dataset/summary/", 404, None),
        ("GET", "/v2/collection", 404, None),
        ("POST", LOGIN, 404, None),  # the login is on a host of its own
    ]:
        answer = ask(platform, method, path)
        assert (status, allowed) == (answer.status_code, answer.headers.get("allow"))
    with httpx.Client(transport=platform.transport(), base_url=AUTH_URL) as client:
        assert client.get(LOGIN).status_code == 405
        assert client.get(f"/v1/collection/dataset/summary/{DATASET}").status_code == 404


def test_more_than_max_rows_is_a_504() -> None:
    """More rows than max_rows get the HTML 504 of a gateway; a narrower filter gets results."""
    platform = Platform(max_rows=24)
    dataset = platform.generate(assets=3, dates=12)
    with platform.connect(retries=0) as kayrros:
        with pytest.raises(APIError, match="too large") as caught:
            get_dataset_results.sync(UUID(dataset.id), client=kayrros.client)
        assert caught.value.status == 504
        assert "504 Gateway Time-out" in str(caught.value.excerpt)
        assert kayrros.results(dataset.id, assets=["tank-000002"]).table.num_rows == 24
        platform.max_rows = None
        assert kayrros.results(dataset.id).table.num_rows == 72


@pytest.mark.parametrize("size", [0, 1, 3_000_007])
def test_file_of_any_size_arrives(size: int, tmp_path: Any) -> None:
    """A generated file arrives under its name, with the same bytes each time, that do not repeat each megabyte."""
    platform = Platform()
    file = StaticFile(size, "Öl tanks.csv", "text/csv")
    dataset = platform.add(file=file)
    with platform.connect() as kayrros:
        path = kayrros.download(dataset.id, tmp_path).path
    assert path.name == "Öl tanks.csv"
    content = path.read_bytes()
    assert size == len(content)
    assert b"".join(StaticFile(size).chunks()) == content
    assert content[:100] != content[2**20 : 2**20 + 100] or size < 2
    answer = ask(platform, "GET", f"/v1/collection/dataset/download/{dataset.id}", headers={"Range": "bytes=0-0"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv")
    assert "etag" not in answer.headers


RANGES = pytest.mark.off_contract("the contract knows no ranges, and whether the API does is unknown")


@pytest.mark.parametrize(
    ("headers", "status", "part"),
    [
        pytest.param({"Range": "bytes=2-4"}, 206, "cde", marks=RANGES),
        pytest.param({"Range": "bytes=7-"}, 206, "hij", marks=RANGES),
        pytest.param({"Range": "bytes=7-99"}, 206, "hij", marks=RANGES),
        pytest.param({"Range": "bytes=-2"}, 206, "ij", marks=RANGES),
        pytest.param({"Range": "bytes=-99"}, 206, "abcdefghij", marks=RANGES),
        pytest.param({"Range": "bytes=10-"}, 416, "", marks=RANGES),
        pytest.param({"Range": "bytes=-0"}, 416, "", marks=RANGES),
        ({"Range": "bytes=4-2"}, 200, "abcdefghij"),
        ({"Range": "bytes=0-1,3-4"}, 200, "abcdefghij"),
        ({"Range": "lines=1-2"}, 200, "abcdefghij"),
        ({"Range": "bytes=2-4", "If-Range": '"other"'}, 200, "abcdefghij"),
        pytest.param({"Range": "bytes=2-4", "If-Range": "ETAG"}, 206, "cde", marks=RANGES),
        ({}, 200, "abcdefghij"),
    ],
)
def test_file_can_honour_ranges(headers: dict[str, str], status: int, part: str) -> None:
    """RFC 9110: one range is honoured; If-Range with another tag gets the whole file."""
    platform = Platform()
    file = StaticFile(b"abcdefghij", ranges=True)
    path = f"/v1/collection/dataset/download/{platform.add(file=file).id}"
    sent = {name: file.etag if value == "ETAG" else value for name, value in headers.items()}
    answer = ask(platform, "GET", path, headers=sent)
    assert (status, part, file.etag) == (answer.status_code, answer.text, answer.headers["etag"])
    if status == 206:
        start = "abcdefghij".index(part)
        assert f"bytes {start}-{start + len(part) - 1}/10" == answer.headers["content-range"]


def test_missing_results_or_file_is_a_404() -> None:
    """A dataset without results, or without a file, gets a 404 for it."""
    platform = Platform()
    static, plain = platform.add(file=b"x"), platform.generate()
    with platform.connect() as kayrros:
        with pytest.raises(NotFoundError, match="static"):
            kayrros.results(static.id)
        with pytest.raises(NotFoundError, match="not static"):
            kayrros.download(plain.id)


def test_collections_list_visible_datasets() -> None:
    """A collection lists ids and names of the datasets that the account may see."""
    platform = Platform()
    seen, hidden = platform.generate(name="Seen"), platform.add(VALUES, shared_with=[])
    collection = platform.add_collection("Tanks", [seen, hidden.id], id="c-1")
    assert ask(platform, "GET", "/v1/processing/collection/list").json() == [{"id": "c-1", "name": "Tanks"}]
    path = "/v1/processing/collection/datasets"
    assert [{"id": seen.id, "name": "Seen"}] == ask(
        platform, "POST", path, data={"collection_id": collection.id}
    ).json()
    wrong: list[tuple[dict[str, Any], int]] = [
        ({"data": {"collection_id": "c-2"}}, 404),
        ({"data": {"collection": "c-1"}}, 400),
        ({"data": {"collection_id": ""}}, 400),
        ({"data": {"collection_id": ["c-1", "c-1"]}}, 400),
        ({"json": {"collection_id": "c-1"}}, 400),
        ({}, 400),
        ({"data": {"collection_id": "c-1"}, "headers": {"Authorization": "Bearer x"}}, 401),
    ]
    for sent, status in wrong:
        assert ask(platform, "POST", path, **sent).status_code == status


def test_repr_shows_no_password() -> None:
    """The repr of requests and accounts, which pytest prints, holds no password."""
    platform = Platform()
    log_in(platform, email=platform.account.email, password=platform.account.password)
    assert platform.account.password not in repr((platform.requests, platform.accounts))


def test_query_does_not_change_the_operation() -> None:
    """A query is ignored, and recorded with the path."""
    platform = Platform()
    dataset = platform.generate()
    assert ask(platform, "GET", f"/v1/collection/dataset/summary/{dataset.id}?x=1").status_code == 200
    assert platform.requests[-1].path.endswith("?x=1")


def test_environment_does_not_redirect_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """connect() ignores the developer's KAYRROS variables and proxies."""
    for name in ("KAYRROS_BASE_URL", "KAYRROS_AUTH_URL", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("KAYRROS_TOKEN", "real")
    platform = Platform()
    with platform.connect() as kayrros:
        assert kayrros.metadata(platform.generate().id)
    assert all(request.token != "real" for request in platform.requests)


def test_only_bearer_tokens_are_tokens() -> None:
    """Request.token is the token of the Bearer scheme."""
    assert Request("GET", None, "/", {"authorization": "Basic abc"}, b"").token is None
    assert Request("GET", None, "/", {"authorization": "bearer abc"}, b"").token == "abc"


def test_fakes_share_no_state() -> None:
    """Two fakes share neither datasets nor requests."""
    one, other = Platform(), Platform()
    dataset = one.generate()
    with other.connect() as kayrros, pytest.raises(NotFoundError):
        kayrros.metadata(dataset.id)
    assert isinstance(kayrros, Kayrros)
    assert not one.requests
