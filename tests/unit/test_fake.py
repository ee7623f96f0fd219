"""The platform fake: it keeps what it is given, and answers as the spec says."""

import itertools
import json
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
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
from kayrros_ext._inputs import parse_dataset_id
from kayrros_ext.testing import Platform, StaticFile
from kayrros_ext.testing.checks import Window
from kayrros_ext.testing.messages import Request
from kayrros_openapi.api.datasets import get_dataset_results
from tests.support.server import DATASET, LOGIN

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
VALUES: Any = {name: {day: {"m": float(place)} for place, day in enumerate(DAYS)} for name in ("a", "b", "ü")}


def ask(platform: Platform, method: str, path: str, **kwargs: Any) -> httpx.Response:
    """A request with a token, to the data host."""
    headers = {"Authorization": f"Bearer {platform.give_token()}", **kwargs.pop("headers", {})}
    with httpx.Client(transport=platform.transport(), base_url=BASE_URL) as client:
        return client.request(method, path, headers=headers, **kwargs)


def log_in(platform: Platform, **body: str) -> httpx.Response:
    with httpx.Client(transport=platform.transport(), base_url=AUTH_URL) as client:
        return client.post(LOGIN, json=body)


def test_a_login_gives_a_token_that_opens() -> None:
    """Counted, noted with its status, and more than a token in the answer."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        kayrros.metadata(dataset.id)
        kayrros.metadata(dataset.id)
    assert 1 == platform.logins
    assert ["login", "getDatasetMetadata", "getDatasetMetadata"] == [seen.operation for seen in platform.requests]
    assert [200, 200, 200] == [seen.status for seen in platform.requests]
    assert {"email": platform.account.email, "password": platform.account.password} == platform.requests[0].json
    assert platform.requests[1].token
    assert len(log_in(platform, email=platform.account.email, password=platform.account.password).json()) > 1


def test_wrong_credentials_get_a_401() -> None:
    """A wrong password, an unknown account; neither counts as a login."""
    platform = Platform()
    platform.add_account("second@example.com", "other")
    for email, password in [("second@example.com", "wrong"), ("nobody@example.com", "other")]:
        with platform.connect(email=email, password=password) as kayrros, pytest.raises(LoginError) as caught:
            kayrros.metadata(DATASET)
        assert (401, "WRONG_CREDENTIALS") == (caught.value.status, caught.value.code)
    assert 0 == platform.logins
    assert 200 == log_in(platform, email="second@example.com", password="other").status_code


def test_an_unknown_token_gets_a_401() -> None:
    """So does none, or one of another fake."""
    platform = Platform()
    dataset = platform.generate()
    for token in ("made-up", Platform().give_token()):
        with platform.connect(token=token) as kayrros, pytest.raises(UnauthorizedError):
            kayrros.metadata(dataset.id)
    assert (
        401
        == ask(
            platform, "GET", f"/v1/collection/dataset/summary/{dataset.id}", headers={"Authorization": ""}
        ).status_code
    )
    with platform.connect(token=platform.give_token()) as kayrros:
        assert kayrros.metadata(dataset.id)


def test_tokens_expire_by_the_clock_and_on_command() -> None:
    """The clock is a parameter; a token is good until its lifetime is over."""
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
        assert 4 == platform.logins


def test_an_expired_token_may_get_a_403() -> None:
    """Which of the two is unknown: a setting. An unknown token stays a 401."""
    platform = Platform()
    platform.expired_status = 403
    token = platform.give_token()
    platform.expire_tokens()
    path = f"/v1/collection/dataset/summary/{DATASET}"
    for sent, status in [(token, 403), ("unknown", 401)]:
        assert status == ask(platform, "GET", path, headers={"Authorization": f"Bearer {sent}"}).status_code


@pytest.mark.parametrize(
    ("inclusive", "dates"),
    [("both", DAYS), ("left", DAYS[:2]), ("right", DAYS[1:]), ("neither", DAYS[1:2])],
)
@pytest.mark.parametrize("generated", [True, False])
def test_filters_filter(inclusive: Any, dates: list[str], generated: bool) -> None:
    """By asset and by date; whether the ends belong to a range is a setting. Unknown assets are passed over."""
    platform = Platform(inclusive=inclusive)
    if generated:
        every = [date.fromisoformat(day) for day in DAYS]
        dataset = platform.generate(assets=4, dates=[date(2023, 12, 31), *every, date(2024, 1, 4)], metrics=["m"])
    else:
        dataset = platform.add(VALUES)
    ids = [asset["asset_id"] for asset in dataset.payload()["assets"]]
    with platform.connect() as kayrros:
        found = kayrros.results(dataset.id, assets=[ids[2], "nobody", ids[0]], start=DAYS[0], stop=DAYS[-1])
        assert [ids[0], ids[2]] == found.assets["asset_id"].to_pylist()
        assert {day.isoformat() for day in map(date.fromisoformat, dates)} == {
            moment.date().isoformat() for moment in found.table["value_date"].to_pylist()
        }
        nothing = kayrros.results(dataset.id, start="2030-01-01")
        assert (0, len(ids)) == (nothing.table.num_rows, nothing.assets.num_rows)


def test_a_filter_changes_what_is_sent_and_no_value() -> None:
    """Each window of generated results is a part of the whole, also beyond the length of a block and of a series."""
    source = Platform().generate(seed=5, assets=3, dates=9000, every=timedelta(hours=6)).source
    assert source

    def rows(window: Window) -> list[tuple[str, str, Any]]:
        answer = json.loads(b"".join(source.body(window)))  # type: ignore[arg-type]
        return [(a["asset_id"], r["value_date"], r["metrics"]) for a in answer["assets"] for r in a["results"]]

    whole = rows(Window())
    assert 27_000 == len(whole)
    assert sorted({day for _, day, _ in whole}) == [day for _, day, _ in whole[:9000]]
    step = 6 * 3600 * 1_000_000
    begin = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp()) * 1_000_000
    for first, last in [(0, 0), (4095, 4096), (4000, 8999), (8190, 8192), (17, 16)]:
        window = Window(mo_ids=frozenset({"tank-000001"}), start_us=begin + first * step, stop_us=begin + last * step)
        assert whole[9000 + first : 9000 + last + 1] == rows(window)
        assert source.rows(window) == 2 * max(0, last - first + 1)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """And the same id; another seed gives others. Values lie where they are believable."""
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
    assert 40 < len(seen)
    assert 50 == len({asset["asset_id"] for asset in first.payload()["assets"]})


def test_a_large_dataset_costs_no_memory() -> None:
    """50 million rows are there at once, and a window of them is made without an object for each row."""
    dataset = Platform().generate(assets=5000, dates=5000, every=timedelta(days=1))
    assert 50_000_000 == dataset.row_count
    source, wanted = dataset.source, frozenset(f"tank-{index:06d}" for index in range(100))
    assert source
    chunks: Any = source.body(Window(mo_ids=wanted))
    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in chunks)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 60_000_000
    assert peak < 30_000_000  # the series that all assets share, and a chunk


def test_metrics_are_named_or_counted() -> None:
    """Those of the profile, some of them, others, or a number of them."""
    platform = Platform()

    def names(**settings: Any) -> list[str]:
        [asset] = platform.generate(assets=1, dates=1, **settings).payload()["assets"]
        return [metric["name"] for metric in asset["results"][0]["metrics"]]

    assert ["stored_volume_bbl", "fill_level_pct"] == names()
    assert ["emission_rate_kg_per_h", "x"] == names(profile="methane-hotspots", metrics=["emission_rate_kg_per_h", "x"])
    assert ["metric_01", "metric_02", "metric_03"] == names(metrics=3)


@pytest.mark.parametrize(
    "wrong", [{"assets": 0}, {"dates": 0}, {"dates": []}, {"metrics": []}, {"profile": "x"}, {"id": "x"}]
)
def test_what_can_not_be_generated_is_refused(wrong: Any) -> None:
    """With a word on what to give."""
    with pytest.raises(UsageError, match="Give"):
        Platform().generate(**wrong)


def test_a_wrong_setting_is_refused() -> None:
    """As soon as it is known."""
    with pytest.raises(UsageError, match="both, left, right, neither"):
        Platform(inclusive="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Give one of login"):
        Platform().fail_next(503, operation="getResults")


def test_metadata_is_found_from_the_results() -> None:
    """Unless it is given; fields that the spec does not list are sent too."""
    platform = Platform()
    dataset = platform.add(VALUES, id=DATASET, name="Mine", metadata={"asset_count": 7, "colour": "red"})
    with platform.connect() as kayrros:
        metadata = kayrros.metadata(DATASET)
    assert (DATASET, UUID(DATASET), "Mine", 7) == (dataset.id, metadata.id, metadata.name, metadata.asset_count)
    assert (1704067200000, 1704240000000) == (metadata.start_date, metadata.stop_date)
    assert {"colour": "red"} == metadata.additional_properties


def test_results_are_sent_as_they_were_put_in() -> None:
    """Undocumented fields, nulls and odd dates included."""
    platform = Platform()
    payload = {
        "assets": [{"asset_id": None, "results": [{"value_date": "soon", "metrics": None, "extra_props": {}}]}, {}],
        "more": 1,
    }
    dataset = platform.add(payload)
    path = f"/v1/processingresult/dataset/{dataset.id}"
    assert payload == ask(platform, "POST", path).json()
    ranged = ask(platform, "POST", path, json={"time_range": {"start_date": 0, "stop_date": 10**14}})
    assert [{"asset_id": None, "results": []}, {}] == ranged.json()["assets"]


def test_what_is_not_there_or_not_shared() -> None:
    """404, and 403 until it is shared with this account; metadata, results and file alike."""
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
def test_a_filter_is_what_the_spec_allows(body: Any, status: int) -> None:
    """And nothing else."""
    platform = Platform()
    dataset = platform.add(VALUES)
    given = {} if body is None else {"json": body}
    assert status == ask(platform, "POST", f"/v1/processingresult/dataset/{dataset.id}", **given).status_code


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"{", "application/json"), (b"\xff", "application/json"), (b"[" * 90_000, "application/json"), (b"{}", "text/plain"),
     (b'{"time_range": {"start_date": NaN, "stop_date": 0}}', "application/json")],
)  # fmt: skip
def test_a_body_that_is_not_json_gets_a_400(content: bytes, kind: str) -> None:
    """Whatever it is instead."""
    platform = Platform()
    path = f"/v1/processingresult/dataset/{platform.generate().id}"
    assert 400 == ask(platform, "POST", path, content=content, headers={"Content-Type": kind}).status_code
    with httpx.Client(transport=platform.transport(), base_url=AUTH_URL) as client:
        assert 400 == client.post(LOGIN, content=content, headers={"Content-Type": kind}).status_code


def test_a_content_type_without_a_body_is_no_filter() -> None:
    """The generated client sends one."""
    platform = Platform()
    path = f"/v1/processingresult/dataset/{platform.generate().id}"
    assert 200 == ask(platform, "POST", path, headers={"Content-Type": "application/json"}).status_code


@pytest.mark.parametrize("body", [{}, {"email": "e"}, {"email": "", "password": "p"}, {"email": "e", "password": 1}])
def test_a_login_is_what_the_spec_allows(body: dict[str, Any]) -> None:
    """Two strings that are not empty, and nothing else."""
    assert 400 == log_in(Platform(), **body).status_code
    assert 400 == log_in(Platform(), email="e", password="p", code="1").status_code


def test_an_id_that_is_no_uuid_gets_a_400() -> None:
    """In capitals it is one."""
    platform = Platform()
    dataset = platform.generate()
    for name in ("x", dataset.id.replace("-", ""), "%7B" + dataset.id + "%7D"):
        assert 400 == ask(platform, "GET", f"/v1/collection/dataset/summary/{name}").status_code
    assert 200 == ask(platform, "GET", f"/v1/collection/dataset/summary/{dataset.id.upper()}").status_code


def test_methods_and_paths() -> None:
    """A wrong method on a known path is a 405 that says which are right; an unknown path is a 404."""
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
        assert 405 == client.get(LOGIN).status_code
        assert 404 == client.get(f"/v1/collection/dataset/summary/{DATASET}").status_code


def test_more_rows_than_the_gateway_waits_for_are_a_504() -> None:
    """HTML, as gateways have it; a filter that asks for less gets its answer."""
    platform = Platform(max_rows=24)
    dataset = platform.generate(assets=3, dates=12)
    with platform.connect(retries=0) as kayrros:
        with pytest.raises(APIError, match="answer is too large") as caught:
            get_dataset_results.sync(parse_dataset_id(dataset.id), client=kayrros.client)
        assert 504 == caught.value.status
        assert "504 Gateway Time-out" in str(caught.value.excerpt)
        assert 24 == kayrros.results(dataset.id, assets=["tank-000002"]).table.num_rows
        platform.max_rows = None
        assert 72 == kayrros.results(dataset.id).table.num_rows


@pytest.mark.parametrize("size", [0, 1, 3_000_007])
def test_a_file_of_any_size_arrives(size: int, tmp_path: Any) -> None:
    """Under its name; made-up bytes are the same again, and no two megabytes of them are alike."""
    platform = Platform()
    file = StaticFile(size, "Öl tanks.csv", "text/csv")
    dataset = platform.add(file=file)
    with platform.connect() as kayrros:
        path = kayrros.download(dataset.id, tmp_path)
    assert "Öl tanks.csv" == path.name
    content = path.read_bytes()
    assert size == len(content)
    assert b"".join(StaticFile(size).chunks()) == content
    assert content[:100] != content[2**20 : 2**20 + 100] or size < 2
    answer = ask(platform, "GET", f"/v1/collection/dataset/download/{dataset.id}", headers={"Range": "bytes=0-0"})
    assert (200, "text/csv") == (answer.status_code, answer.headers["content-type"])
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
def test_a_file_may_honour_ranges(headers: dict[str, str], status: int, part: str) -> None:
    """RFC 9110: one range; If-Range with another tag gets the whole."""
    platform = Platform()
    file = StaticFile(b"abcdefghij", ranges=True)
    path = f"/v1/collection/dataset/download/{platform.add(file=file).id}"
    sent = {name: file.etag if value == "ETAG" else value for name, value in headers.items()}
    answer = ask(platform, "GET", path, headers=sent)
    assert (status, part, file.etag) == (answer.status_code, answer.text, answer.headers["etag"])
    if status == 206:
        start = "abcdefghij".index(part)
        assert f"bytes {start}-{start + len(part) - 1}/10" == answer.headers["content-range"]


def test_what_a_dataset_does_not_have_is_a_404() -> None:
    """A file alone has no results, and results alone no file."""
    platform = Platform()
    static, plain = platform.add(file=b"x"), platform.generate()
    with platform.connect() as kayrros:
        with pytest.raises(NotFoundError, match="static"):
            kayrros.results(static.id)
        with pytest.raises(NotFoundError, match="not static"):
            kayrros.download(plain.id)


def test_collections_list_their_datasets() -> None:
    """Ids and names; those that the account may not see are left out."""
    platform = Platform()
    seen, hidden = platform.generate(name="Seen"), platform.add(VALUES, shared_with=[])
    collection = platform.add_collection("Tanks", [seen, hidden.id], id="c-1")
    assert [{"id": "c-1", "name": "Tanks"}] == ask(platform, "GET", "/v1/processing/collection/list").json()
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
        assert status == ask(platform, "POST", path, **sent).status_code


def test_a_request_shows_no_password() -> None:
    """Its repr, which pytest prints."""
    platform = Platform()
    log_in(platform, email=platform.account.email, password=platform.account.password)
    assert platform.account.password not in repr((platform.requests, platform.accounts))


def test_a_query_does_not_change_where_a_request_goes() -> None:
    """It is noted with the path."""
    platform = Platform()
    dataset = platform.generate()
    assert 200 == ask(platform, "GET", f"/v1/collection/dataset/summary/{dataset.id}?x=1").status_code
    assert platform.requests[-1].path.endswith("?x=1")


def test_a_client_goes_to_the_fake_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own variables, and a proxy that isn't there."""
    for name in ("KAYRROS_BASE_URL", "KAYRROS_AUTH_URL", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("KAYRROS_TOKEN", "real")
    platform = Platform()
    with platform.connect() as kayrros:
        assert kayrros.metadata(platform.generate().id)
    assert all("real" != request.token for request in platform.requests)


def test_requests_are_told_apart_by_their_scheme() -> None:
    """Only a bearer token is a token."""
    assert None is Request("GET", None, "/", {"authorization": "Basic abc"}, b"").token
    assert "abc" == Request("GET", None, "/", {"authorization": "bearer abc"}, b"").token


def test_two_fakes_know_nothing_of_each_other() -> None:
    """No state is shared."""
    one, other = Platform(), Platform()
    dataset = one.generate()
    with other.connect() as kayrros, pytest.raises(NotFoundError):
        kayrros.metadata(dataset.id)
    assert isinstance(kayrros, Kayrros)
    assert not one.requests
