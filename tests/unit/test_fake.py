"""The platform fake: it holds its state, and responds as the spec says."""

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
from kayrros_ext.client import parse_dataset_id
from kayrros_ext.testing import Platform, StaticFile
from kayrros_ext.testing.datasets import EVERYTHING, ResultsFilter
from kayrros_ext.testing.http import Request
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
    """Results are filtered by asset and date; `inclusive` decides about the ends; unknown assets are ignored."""
    platform = Platform(inclusive=inclusive)
    if generated:
        every = [date.fromisoformat(day) for day in DAYS]
        dataset = platform.generate(assets=4, dates=[date(2023, 12, 31), *every, date(2024, 1, 4)], metrics=["m"])
    else:
        dataset = platform.add(VALUES)
    ids = [asset["asset_id"] for asset in dataset.payload()["assets"]]
    with platform.connect() as kayrros:
        results = kayrros.results(
            dataset.id, assets=[ids[2], "nobody", ids[0]], start=DAYS[0], stop=f"{DAYS[-1]}T00:00"
        )
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
    for first, last in [(0, 0), (4095, 4096), (4000, 8999), (8190, 8192), (17, 16)]:
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


@pytest.mark.parametrize(
    "wrong", [{"assets": 0}, {"dates": 0}, {"dates": []}, {"metrics": []}, {"template": "x"}, {"id": "x"}]
)
def test_invalid_dataset_is_a_usage_error(wrong: Any) -> None:
    """Arguments that give no dataset raise UsageError with advice."""
    with pytest.raises(UsageError, match="Pass"):
        Platform().generate(**wrong)


def test_invalid_setting_is_a_usage_error() -> None:
    """An invalid `inclusive` or `operation` raises UsageError at once."""
    with pytest.raises(UsageError, match="both, left, right, neither"):
        Platform(inclusive="all")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Pass one of login"):
        Platform().fail_next(503, operation="getResults")


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
    """Undocumented fields, nulls and malformed dates are sent as they were added."""
    platform = Platform()
    payload = {
        "assets": [{"asset_id": None, "results": [{"value_date": "soon", "metrics": None, "extra_props": {}}]}, {}],
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
            get_dataset_results.sync(parse_dataset_id(dataset.id), client=kayrros.client)
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
