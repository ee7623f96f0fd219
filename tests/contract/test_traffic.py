"""The recorder of tests/support/recording.py sees all traffic, and reports what breaks the contract."""

import asyncio
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from kayrros_ext import AccessDeniedError, APIError, Kayrros, LoginError, NotFoundError
from kayrros_ext._config.settings import BASE_URL
from kayrros_ext.testing import Fault, Platform
from kayrros_ext.testing.http import Request
from kayrros_ext.testing.operations import OPERATIONS
from kayrros_openapi.api.datasets import get_dataset_results
from tests.support.recording import Traffic
from tests.support.server import DATASET

ROOT = Path(__file__).parents[2]
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def platform() -> Platform:
    """A fake with the examples, and a dataset that is not shared."""
    fake = Platform()
    fake.add_examples()
    fake.generate(seed=5, id=UNKNOWN.replace("0", "1"), shared_with=[])
    return fake


def use(kayrros: Kayrros, platform: Platform, directory: Path) -> None:
    """Do everything that a user does, and cause each refusal of the API."""
    for collection in kayrros.collections():
        kayrros.datasets(str(collection.id))
    for dataset in platform.datasets.values():
        if dataset.shared_with is None:
            kayrros.metadata(dataset.id)
            kayrros.results(dataset.id)
    kayrros.results(DATASET, start="2024-01-05", stop="2024-02-01", assets=["tank-cushing-tk-101"])
    kayrros.results(DATASET, start="2024-01-05")
    kayrros.download(DATASET, directory)
    with pytest.raises(NotFoundError):
        kayrros.metadata(UNKNOWN)
    with pytest.raises(AccessDeniedError):
        kayrros.results(UNKNOWN.replace("0", "1"))
    platform.expire_tokens()
    kayrros.metadata(DATASET)
    with pytest.raises(LoginError), platform.connect(email="e", password="wrong") as stranger:
        stranger.metadata(DATASET)


def test_all_that_a_user_does_is_recorded(platform: Platform, traffic: Traffic, tmp_path: Path) -> None:
    """Each request to the fake is recorded with its status and the whole response, in process and on loopback."""
    with platform.connect() as kayrros:
        use(kayrros, platform, tmp_path)
    assert {exchange.status for exchange in traffic.exchanges} == {200, 401, 403, 404}
    assert {request.operation for request in platform.requests} == {operation.id for operation in OPERATIONS}
    with platform.serve() as url, platform.connect(base_url=url) as kayrros:
        use(kayrros, platform, tmp_path)
    assert [exchange.status for exchange in traffic.exchanges] == [request.status for request in platform.requests]
    assert all(exchange.by_fake and exchange.is_ours and not exchange.fault for exchange in traffic.exchanges)
    assert all(exchange.body for exchange in traffic.exchanges)


def test_calls_in_tasks_are_recorded(platform: Platform, traffic: Traffic) -> None:
    """They are calls of the generated client, in process and on loopback."""

    async def main(**where: str) -> None:
        async with platform.connect(**where) as kayrros:
            assert await get_dataset_results.asyncio(UUID(DATASET), client=kayrros.client)

    asyncio.run(main())
    with platform.serve() as url:
        asyncio.run(main(base_url=url))
    assert [exchange.status for exchange in traffic.exchanges] == [200] * 4
    assert all(exchange.body for exchange in traffic.exchanges)


def test_the_fault_of_an_exchange_is_its_own(platform: Platform, traffic: Traffic) -> None:
    """Among many concurrent requests, no intact response counts as a spoiled one."""
    platform.fail_when(lambda request: request.headers.get("x-fail") == "1", Fault.html(503))

    async def main(url: str) -> None:
        headers = {"Authorization": f"Bearer {platform.give_token()}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
            path = f"/v1/collection/dataset/summary/{DATASET}"
            await asyncio.gather(*(http.get(path, headers={"X-Fail": str(index % 2)}) for index in range(40)))

    with platform.serve() as url:
        asyncio.run(main(url))
    assert len(traffic.exchanges) == 40
    for exchange in traffic.exchanges:
        fails = exchange.request.headers["x-fail"] == "1"
        assert (exchange.fault, exchange.status) == (("HTML with status 503", 503) if fails else (None, 200))


def test_a_late_answer_to_another_test_changes_no_exchange(platform: Platform, traffic: Traffic) -> None:
    """A thread of the test before may still wait for it."""
    path = f"/v1/collection/dataset/summary/{DATASET}"
    late = httpx.Request("GET", BASE_URL + path)
    with Traffic()._exchange(platform.transport(), late):
        platform.fail_next(503)
        with platform.connect(retries=0, token=platform.give_token()) as kayrros, pytest.raises(APIError):
            kayrros.metadata(DATASET)
        platform.handle(Request("GET", late.url.host, path, dict(late.headers), b""))
    assert [exchange.fault for exchange in traffic.exchanges] == ["status 503", None]


# A test file for a run of its own with the plugin of the suite. Each test named `bad` must fail with its docstring.
PLANTED = """
import contextlib
import asyncio
import http.client
import httpx
import pytest
from kayrros_openapi.api.datasets import get_dataset_metadata
from kayrros_ext import Kayrros, KayrrosError
from kayrros_ext._config.settings import USER_AGENT
from kayrros_ext.testing import Fault, Platform
from tests.support.server import DATASET, METADATA, RESULTS

@pytest.fixture(params=["inside", "served"])
def platform(request):
    platform = Platform()
    platform.add_examples()
    with contextlib.ExitStack() as stack:
        where = {"base_url": stack.enter_context(platform.serve())} if request.param == "served" else {}
        platform.kayrros = stack.enter_context(platform.connect(**where))
        yield platform

def ask(platform):
    with contextlib.suppress(KayrrosError):
        platform.kayrros.metadata(DATASET)

def test_good(platform):
    ask(platform)

@pytest.mark.parametrize("fault", [Fault.status(418), Fault.html(200), Fault.body(b"{"), Fault.cut(), Fault.dropped()])
def test_good_fault(platform, fault):
    platform.fail_next(fault, operation="getDatasetMetadata")
    ask(platform)

def test_good_junk_of_a_test(platform):
    httpx.Client(transport=platform.transport()).post("https://platform.api.kayrros.com" + RESULTS, json=[])

def test_bad_type(platform):
    "response of GET: [6] is not of type 'integer'"
    platform.datasets[DATASET].metadata["asset_count"] = [6]
    ask(platform)

def test_bad_range(platform):
    "response of GET: 9223372036854775808 is not a 'int64'"
    platform.datasets[DATASET].metadata["start_date"] = 2**63
    ask(platform)

def test_bad_format(platform):
    "request of GET: 'abc' is not a 'uuid'"
    with contextlib.suppress(KayrrosError):
        platform.kayrros.client.get_httpx_client().get(METADATA.replace(DATASET, "abc"))

def test_bad_after_a_fault(platform):
    "response of GET: [6] is not of type 'integer'"
    platform.datasets[DATASET].metadata["asset_count"] = [6]
    platform.fail_next(503, operation="getDatasetMetadata")
    ask(platform)
    ask(platform)

def test_bad_status(platform):
    "response of GET: status: 418"
    ask(platform)
    platform.expired_status = 418
    platform.expire_tokens()
    with contextlib.suppress(KayrrosError):
        ask(platform)

def test_bad_in_a_task(platform):
    "response of GET: [6] is not of type 'integer'"
    platform.datasets[DATASET].metadata["asset_count"] = [6]

    async def main():
        async with platform.connect() as kayrros:
            with contextlib.suppress(KayrrosError):
                await get_dataset_metadata.asyncio(UUID(DATASET), client=kayrros.client)

    asyncio.run(main())

def test_bad_answer_to_a_test(platform):
    "response of GET: [6] is not of type 'integer'"
    platform.datasets[DATASET].metadata["asset_count"] = [6]
    headers = {"Authorization": f"Bearer {platform.give_token()}"}
    httpx.Client(transport=platform.transport()).get("https://platform.api.kayrros.com" + METADATA, headers=headers)

def from_another_process(platform, path, **headers):
    "Send a request without httpx, as another process would: only the fake records it."
    with platform.serve() as url:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        connection.request("GET", path, headers={"Authorization": f"Bearer {platform.give_token()}", **headers})
        connection.getresponse().read()
        connection.close()

def test_bad_answer_to_another_process():
    "response of GET: [6] is not of type 'integer'"
    platform = Platform()
    platform.add_examples()
    platform.datasets[DATASET].metadata["asset_count"] = [6]
    from_another_process(platform, METADATA)

def test_bad_request_of_another_process():
    "request of GET: not found"
    from_another_process(Platform(), "/v1/other", **{"User-Agent": USER_AGENT})

def test_good_junk_of_another_process():
    from_another_process(Platform(), "/v1/other")

def test_bad_request(platform):
    "request of POST: moo_ids"
    with contextlib.suppress(KayrrosError):
        platform.kayrros.client.get_httpx_client().post(RESULTS, json={"moo_ids": []})

def test_bad_request_without_token(platform):
    "request of GET: ecurity"
    with contextlib.suppress(KayrrosError):
        platform.kayrros.client.get_httpx_client().get(METADATA, auth=None)

def test_bad_path(platform):
    "request of GET: not found"
    with contextlib.suppress(KayrrosError):
        platform.kayrros.client.get_httpx_client().get("/v1/other")

def test_bad_host():
    "request of GET: not found"
    platform = Platform()
    with Kayrros(token="a-token", base_url="https://auth.kayrros.com", transport=platform.transport()) as kayrros:
        with contextlib.suppress(KayrrosError):
            kayrros.client.get_httpx_client().get(METADATA)

@pytest.fixture
def at_the_end(platform):
    yield
    ask(platform)

def test_late_bad_in_a_fixture(platform, at_the_end):
    "response of GET: [6] is not of type 'integer'"
    platform.datasets[DATASET].metadata["asset_count"] = [6]

@pytest.mark.off_contract("the file is of another kind")
def test_good_marked(platform):
    platform.datasets[DATASET].metadata["asset_count"] = [6]
    ask(platform)

@pytest.mark.off_contract("nothing is wrong here")
def test_bad_mark(platform):
    "take the mark off_contract away"
    ask(platform)

@pytest.mark.off_contract("why")
def test_bad_reason(platform):
    "says why, in words"
"""


def test_each_planted_violation_is_reported(tmp_path: Path) -> None:
    """A violation by either side fails its test; an injected fault or an invalid request of a test does not."""
    (tmp_path / "test_planted.py").write_text(PLANTED)
    plugins = ("tests.support.recording", "no:cacheprovider", "no:schemathesis")
    options = ["-q", "-rA", "-W", "error", *(option for plugin in plugins for option in ("-p", plugin))]
    command = [sys.executable, "-m", "pytest", *options, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    outcomes = Counter(re.findall(r"^([A-Z]+) \S*::test_(good|bad|late)", done.stdout, re.MULTILINE))
    assert set(outcomes) == {("PASSED", "good"), ("FAILED", "bad"), ("PASSED", "late"), ("ERROR", "late")}, done.stdout
    assert [outcomes["PASSED", "good"], outcomes["FAILED", "bad"]] == [17, 27]
    sections = dict(
        re.findall(r"^_+ (?:ERROR at teardown of )?(test_\w+)\S* _+$(.*?)(?=^_|^=)", done.stdout, re.M | re.S)
    )
    for name, text in re.findall(r"def (test_\w+)\(.*\):\n    \"(.*)\"", PLANTED):
        for part in text.split(": "):
            assert part in sections[name], (name, part, sections[name])
