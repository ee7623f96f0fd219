"""The platform fake is held to openapi.yaml: each answer against its schema, and its examples against the spec's."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from kayrros_ext.settings import AUTH_URL, BASE_URL
from kayrros_ext.testing import Fault, Platform
from kayrros_ext.testing.examples import EMISSIONS
from kayrros_ext.testing.operations import OPERATIONS
from tests.contract.reference import SCHEMAS
from tests.contract.test_spec import METHODS, SPEC, named, operations, resolve
from tests.server import DATASET, DOWNLOAD, LOGIN, METADATA, RESULTS

IDS = {name: example["id"] for name, example in named("getDatasetMetadata").items()}
[FILTER] = operations()["getDatasetResults"]["requestBody"]["content"]["application/json"]["examples"].values()
[LOGIN_BODY] = operations()["login"]["requestBody"]["content"]["application/json"]["examples"].values()
MISSING = "00000000-0000-4000-8000-000000000000"


def violations(operation: str, response: httpx.Response) -> list[str]:
    """What an answer has that the spec does not allow: a status, a type of content, a value."""
    declared = operations()[operation]["responses"].get(str(response.status_code))
    if declared is None:
        return [f"status {response.status_code} is not documented"]
    kind = response.headers.get("content-type", "").partition(";")[0]
    content = resolve(declared)["content"]
    if kind not in content and "*/*" not in content:
        return [f"content type {kind} is not documented"]
    schema = content.get(kind, content.get("*/*"))["schema"]
    value = response.text if schema.get("format") == "binary" else json.loads(response.content)
    validator = jsonschema.Draft202012Validator(
        {**schema, "components": SPEC["components"]}, format_checker=jsonschema.FormatChecker()
    )
    return [error.message for error in validator.iter_errors(value)]


@pytest.fixture
def platform() -> Platform:
    found = Platform()
    found.add_examples()
    found.generate(assets=30, dates=20, metrics=3)
    found.add({"a": {"2024-01-01": {"m": 1.5}}}, id=MISSING.replace("0000-4", "0001-4"), shared_with=[])
    return found


@pytest.fixture(params=["in process", "loopback"])
def send(request: pytest.FixtureRequest, platform: Platform) -> Iterator[Any]:
    """Sends a request to a path, to the host that the spec says, with a token."""
    token = platform.give_token()

    def call(client: httpx.Client, method: str, path: str, **kwargs: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **kwargs.pop("headers", {})}
        return client.request(method, path, headers=headers, **kwargs)

    if request.param == "loopback":
        with platform.serve() as url, httpx.Client(base_url=url, trust_env=False) as client:
            yield lambda *args, **kwargs: call(client, *args, **kwargs)
    else:
        with httpx.Client(transport=platform.transport()) as client:
            yield lambda method, path, **kwargs: call(
                client, method, (AUTH_URL if path == LOGIN else BASE_URL) + path, **kwargs
            )


COLLECTIONS, MEMBERS = "/v1/processing/collection/list", "/v1/processing/collection/datasets"

# Operation, status, and a request that gets it.
REQUESTS: list[tuple[str, int, tuple[str, str, dict[str, Any]]]] = [
    ("login", 200, ("POST", LOGIN, {"json": LOGIN_BODY["value"]})),
    ("login", 400, ("POST", LOGIN, {"json": {}})),
    ("login", 401, ("POST", LOGIN, {"json": {"email": "e", "password": "p"}})),
    ("getDatasetResults", 200, ("POST", RESULTS, {"json": FILTER["value"]})),
    ("getDatasetResults", 400, ("POST", RESULTS, {"json": {"mo_ids": []}})),
    ("downloadStaticDataset", 200, ("GET", DOWNLOAD, {})),
    ("listCollections", 200, ("GET", COLLECTIONS, {})),
    ("listCollections", 401, ("GET", COLLECTIONS, {"headers": {"Authorization": "Bearer x"}})),
    ("listCollections", 405, ("PUT", COLLECTIONS, {})),
    ("listCollectionDatasets", 200, ("POST", MEMBERS, {"data": {"collection_id": EMISSIONS}})),
    ("listCollectionDatasets", 400, ("POST", MEMBERS, {"data": {"id": EMISSIONS}})),
    ("listCollectionDatasets", 401, ("POST", MEMBERS, {"headers": {"Authorization": "Bearer x"}})),
    ("listCollectionDatasets", 404, ("POST", MEMBERS, {"data": {"collection_id": "none"}})),
    ("listCollectionDatasets", 405, ("PUT", MEMBERS, {})),
]
for _name, _method, _path in [
    ("getDatasetMetadata", "GET", METADATA),
    ("getDatasetResults", "POST", RESULTS),
    ("downloadStaticDataset", "GET", DOWNLOAD),
]:
    _hidden = _path.replace(DATASET, MISSING.replace("0000-4", "0001-4"))
    REQUESTS += [
        (_name, 400, (_method, _path.replace(DATASET, "x"), {})),
        (_name, 401, (_method, _path, {"headers": {"Authorization": "Bearer x"}})),
        (_name, 403, (_method, _hidden, {})),
        (_name, 404, (_method, _path.replace(DATASET, MISSING), {})),
        (_name, 405, ("PUT", _path, {})),
    ]
    if _name != "downloadStaticDataset":
        REQUESTS += [(_name, 200, (_method, _path.replace(DATASET, other), {})) for other in IDS.values()]


@pytest.mark.parametrize(("operation", "status", "request_"), REQUESTS)
def test_every_answer_fits_the_spec(
    operation: str, status: int, request_: tuple[str, str, dict[str, Any]], send: Any, platform: Platform
) -> None:
    """Status, content type and body, in process and over a socket."""
    method, path, kwargs = request_
    response = send(method, path, **kwargs)
    assert status == response.status_code
    assert not violations(operation, response)


def test_every_dataset_fits_the_spec(send: Any, platform: Platform) -> None:
    """Generated ones, and those that were put in as a plain structure, too."""
    for dataset in platform.datasets.values():
        dataset.shared_with = None
        assert not violations("getDatasetMetadata", send("GET", METADATA.replace(DATASET, dataset.id)))
        results = send("POST", RESULTS.replace(DATASET, dataset.id))
        assert not violations("getDatasetResults", results)
        assert dataset.payload() == results.json()


def test_faults_with_a_documented_status_fit_the_spec(send: Any, platform: Platform) -> None:
    """Those that nothing but a fault can bring as well: 409, 500, a login's 403."""
    for name, method, path in [("getDatasetMetadata", "GET", METADATA), ("login", "POST", LOGIN)]:
        for status in operations()[name]["responses"]:
            if status != "200":
                platform.fail_next(int(status))
                assert not violations(name, send(method, path))


def test_each_status_of_the_spec_is_reached() -> None:
    """By the requests above, but for those that only faults bring."""
    reached = {(operation, str(status)) for operation, status, _ in REQUESTS}
    declared = {(name, status) for name, _, _ in REQUESTS for status in operations()[name]["responses"]}
    assert {known.name for known in OPERATIONS} == {name for name, _ in reached}
    lists = {("listCollections", "400"), ("listCollections", "404")}  # nothing of the request can be wrong
    assert {"409", "500"} == {status for _, status in declared - reached - lists} - {"403"}
    assert ("login", "403") in declared - reached


def test_a_violation_would_be_seen(send: Any, platform: Platform) -> None:
    """One of each kind, planted."""
    for fault, words in [
        (Fault.body(b'{"asset_count": "6"}'), "'6' is not of type"),
        (Fault.body(b"{}", content_type="text/html"), "content type"),
        (Fault.status(418), "status 418"),
    ]:
        platform.fail_next(fault)
        [problem] = violations("getDatasetMetadata", send("GET", METADATA))
        assert words in problem


def test_the_operations_are_where_the_spec_has_them() -> None:
    """Method and path of each that the fake knows; one that is new to the spec is not in it yet."""
    known = {operation.name: operation for operation in OPERATIONS}
    assert set(known) <= set(operations())
    for path, item in SPEC["paths"].items():
        for method, operation in item.items():
            if method in METHODS and operation["operationId"] in known:
                ours = known[operation["operationId"]]
                assert (method.upper(), True) == (ours.method, bool(ours.path.fullmatch(path)))
                servers = item.get("servers", SPEC["servers"])
                assert [f"https://{ours.host}"] == [server["url"] for server in servers]


def shape(value: Any, where: str = "") -> set[tuple[str, str]]:
    """Each place of a JSON value, with the JSON type that stands there; the items of an array stand at one place."""
    kind = {int: "number", float: "number", str: "string", type(None): "null"}.get(type(value), type(value).__name__)
    found = {(where, kind)}
    items = [(f"{where}[]", item) for item in value] if isinstance(value, list) else []
    members = [(f"{where}.{name}", item) for name, item in value.items()] if isinstance(value, dict) else []
    return found.union(*(shape(item, place) for place, item in items + members))


@pytest.mark.parametrize("example", IDS)
def test_the_examples_have_the_shape_of_the_spec(example: str, send: Any) -> None:
    """Metadata and results: the same fields, types and nulls, the same assets, as many dates and metrics."""
    metadata = send("GET", METADATA.replace(DATASET, IDS[example])).json()
    # What the reference lists; a field that is new to the spec is not in the fake yet.
    listed = {
        name: value
        for name, value in named("getDatasetMetadata")[example].items()
        if name in SCHEMAS["DatasetMetadata"]
    }
    assert shape(listed) == shape(metadata)
    for field in ("id", "name", "asset_count", "start_date", "stop_date", "sharedOption", "processing_id", "source_id"):
        assert named("getDatasetMetadata")[example][field] == metadata[field]
    ours = send("POST", RESULTS.replace(DATASET, IDS[example])).json()
    theirs = copy.deepcopy(named("getDatasetResults")[example])
    assert shape(theirs) == shape(ours)
    for answer in (ours, theirs):
        for asset in answer["assets"]:
            asset["results"] = [sorted(metric["name"] for metric in one["metrics"]) for one in asset["results"]]
            asset["asset_categories"] = asset["asset_categories"][0]
    for one, other in zip(ours["assets"], theirs["assets"], strict=True):
        assert sorted(map(str, one["results"])) == sorted(map(str, other["results"]))
        assert {**one, "results": 0} == {**other, "results": 0}


def test_the_example_requests_get_what_they_ask_for(send: Any) -> None:
    """The login logs in; the filter, which Prism would not look at, gives two tanks in January."""
    assert send("POST", LOGIN, json=LOGIN_BODY["value"]).json()["token"]
    answer = send("POST", RESULTS, json=FILTER["value"]).json()
    assert FILTER["value"]["mo_ids"] == [asset["asset_id"] for asset in answer["assets"]]
    assert [5, 5] == [len(asset["results"]) for asset in answer["assets"]]
    assert shape(named("getDatasetResults")["crude-tanks"]) == shape(answer)


def test_the_file_is_that_of_the_spec(send: Any) -> None:
    """Its name and its bytes."""
    declared = operations()["downloadStaticDataset"]["responses"]["200"]
    answer = send("GET", DOWNLOAD)
    assert declared["headers"]["Content-Disposition"]["example"] == answer.headers["content-disposition"]
    assert named("downloadStaticDataset")["crude-terminals"] == answer.text
