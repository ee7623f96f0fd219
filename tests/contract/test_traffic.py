"""The client's own traffic, both ways, by somebody else's validator: every request it sends, every response it gets."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from openapi_core import Config, OpenAPI

from kayrros_client.api.datasets import get_dataset_results
from kayrros_ext import AccessDeniedError, Kayrros, KayrrosError, LoginError, NotFoundError
from kayrros_ext.inputs import parse_dataset_id
from kayrros_ext.testing import Fault, Platform
from kayrros_ext.testing.operations import OPERATIONS
from tests.contract.traffic import Recording, Traffic
from tests.server import DATASET

# openapi-core holds bytes to be no string; the file of the fake is text.
CONFIG = Config(extra_media_type_deserializers={"*/*": lambda body, **_: body.decode()})
SPEC = OpenAPI.from_file_path(str(Path(__file__).parents[2] / "openapi.yaml"), config=CONFIG)
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def platform() -> Platform:
    """A fake with the examples, and a dataset that is not shared."""
    fake = Platform()
    fake.add_examples()
    fake.generate(seed=5, id=UNKNOWN.replace("0", "1"), shared_with=[])
    return fake


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def kayrros(platform: Platform, traffic: Traffic) -> Iterator[Kayrros]:
    with platform.connect(transport=Recording(platform.transport(), traffic)) as client:
        yield client


def use(kayrros: Kayrros, platform: Platform, directory: Path) -> None:
    """Everything that a user does, and each thing that the API says no to."""
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


def test_what_is_sent_and_what_comes_is_the_contract(
    kayrros: Kayrros, platform: Platform, traffic: Traffic, tmp_path: Path
) -> None:
    """No violation either way, over every operation and 200, 401, 403 and 404."""
    use(kayrros, platform, tmp_path)
    with pytest.raises(LoginError), platform.connect(email="e", password="wrong") as stranger:
        stranger.metadata(DATASET)
    assert [] == traffic.violations(SPEC)
    assert {200, 401, 403, 404} == {response.status_code for _, response in traffic.exchanges}
    assert {known.name for known in OPERATIONS} == {request.operation for request in platform.requests}


def test_asyncio_calls_are_the_contract(platform: Platform, traffic: Traffic) -> None:
    """The generated client, logged in, in a task."""

    async def main() -> None:
        async with platform.connect(transport=Recording(platform.transport(), traffic)) as kayrros:
            answer = await get_dataset_results.asyncio(parse_dataset_id(DATASET), client=kayrros.client)
            assert answer is not None

    asyncio.run(main())
    # The generated call names a content type for the body that it leaves out; nothing else.
    assert [] == traffic.violations(SPEC)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.body(b'{"asset_count": "6"}'), "'6' is not of type 'integer'"),
        (Fault.body(b'{"id": "abc"}'), "'abc' is not a 'uuid'"),
        (Fault.html(200), "text/html"),
        (Fault.status(418), "418"),
    ],
)
def test_a_planted_violation_is_caught(
    fault: Fault, words: str, platform: Platform, kayrros: Kayrros, traffic: Traffic
) -> None:
    """A response of another type, format, content type or status."""
    platform.fail_next(fault, operation="getDatasetMetadata")
    with contextlib.suppress(KayrrosError):
        kayrros.metadata(DATASET)
    [found] = traffic.violations(SPEC)
    assert found.startswith("response of GET")
    assert words in found


def test_a_planted_request_is_caught(platform: Platform, kayrros: Kayrros, traffic: Traffic) -> None:
    """A body that the spec does not allow, and a request without the token."""
    http = kayrros.client.get_httpx_client()
    http.post(f"/v1/processingresult/dataset/{DATASET}", json={"moo_ids": []})
    http.get(f"/v1/collection/dataset/summary/{DATASET}", auth=None)
    first, *others = traffic.violations(SPEC)
    assert "moo_ids" in first
    assert any(found.startswith("request of GET") and "ecurity" in found for found in others)
