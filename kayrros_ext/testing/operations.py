"""The operations of the platform fake: a request in, an answer out, as openapi.yaml says."""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import attrs
import httpx

from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext.testing.accounts import Account, Tokens
from kayrros_ext.testing.checks import (
    Inclusive,
    InvalidError,
    read_collection_id,
    read_credentials,
    read_dataset_id,
    read_inclusive,
    read_window,
)
from kayrros_ext.testing.datasets import Collection, Dataset, StaticFile
from kayrros_ext.testing.messages import Answer, Request, as_json, failure, page

LOGIN_HOST, DATA_HOST = httpx.URL(AUTH_URL).host, httpx.URL(BASE_URL).host


class _RefusedError(Exception):
    """The request gets this answer instead of what it asked for."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.answer = failure(status, code, message, **headers)


class State:
    """What the fake knows, and how it is set; Platform says what each is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.accounts: dict[str, Account] = {}
        self.tokens = Tokens(clock)
        self.datasets: dict[str, Dataset] = {}
        self.collections: dict[str, Collection] = {}
        self.inclusive: Inclusive = "both"
        self.token_lifetime_s: float | None = None
        self.expired_status = 401
        self.max_rows: int | None = None
        self.logins = 0
        self.lock = threading.Lock()


@attrs.frozen
class Operation:
    """An operation: its operationId, where it is, what does it, and the parameters and fields of a request that it knows."""

    name: str
    method: str
    path: re.Pattern[str]
    run: Callable[[State, Request, str], Answer]
    takes: frozenset[str]
    host: str = DATA_HOST


def find(request: Request) -> list[Operation]:
    """The operations at a path of a host, whatever the method."""
    path = request.path.partition("?")[0]
    return [
        operation
        for operation in OPERATIONS
        if request.host in {None, operation.host} and operation.path.fullmatch(path)
    ]


def answer_to(state: State, request: Request) -> Answer:
    """The answer to a request."""
    try:
        return _run(state, request, find(request))
    except InvalidError as error:
        return failure(400, "VALIDATION_EXCEPTION", f"The request breaks a rule: {error}")
    except _RefusedError as refused:
        return refused.answer


def _run(state: State, request: Request, at_this_path: list[Operation]) -> Answer:
    if not at_this_path:
        raise _RefusedError(404, "NOT_FOUND", "Nothing is at this path")
    for operation in at_this_path:
        if operation.method == request.method:
            match = operation.path.fullmatch(request.path.partition("?")[0])
            return operation.run(state, request, unquote(match[1]) if match and match.re.groups else "")
    allowed = ", ".join(operation.method for operation in at_this_path)
    raise _RefusedError(405, "METHOD_NOT_ALLOWED", "This path does not take this method", Allow=allowed)


def _log_in(state: State, request: Request, _: str) -> Answer:
    email, password = read_credentials(request)
    account = state.accounts.get(email)
    if account is None or account.password != password:
        raise _RefusedError(401, "WRONG_CREDENTIALS", "The credentials are not valid")
    with state.lock:
        state.logins += 1
        token = state.tokens.give(email)
    # The reference says that there is more than the token, and not what: these are made up.
    return as_json({"token": token, "email": email, "issued_at": int(time.time() * 1000)})


def _metadata(state: State, request: Request, name: str) -> Answer:
    return as_json(_dataset(state, request, name).metadata)


def _results(state: State, request: Request, name: str) -> Answer:
    dataset = _dataset(state, request, name)
    window = read_window(request, read_inclusive(state.inclusive))
    if dataset.source is None:  # what the platform says to this is unknown
        raise _RefusedError(404, "NOT_FOUND", "The dataset is static and has no results")
    if state.max_rows is not None and dataset.source.rows(window) > state.max_rows:
        return page(504, "Gateway Time-out")  # observed: the gateway's own, and so HTML (assumed)
    return Answer.of(200, dataset.source.body(window), "application/json")


def _download(state: State, request: Request, name: str) -> Answer:
    file = _dataset(state, request, name).file
    if file is None:  # what the platform says to this is unknown
        raise _RefusedError(404, "NOT_FOUND", "The dataset is not static and has no file")
    headers = {"Content-Type": file.content_type, "Content-Disposition": file.disposition}
    if not file.ranges:
        return Answer(200, headers, _Stretch(file, 0, file.size), file.size)
    headers |= {"ETag": file.etag, "Accept-Ranges": "bytes"}
    status, start, stop = _range(request.headers, file)
    if status == 416:
        return Answer(416, {**headers, "Content-Range": f"bytes */{file.size}"}, b"", 0)
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    return Answer(status, headers, _Stretch(file, start, stop), stop - start)


def _collections(state: State, request: Request, _: str) -> Answer:
    _account(state, request)
    return as_json([{"id": found.id, "name": found.name} for found in state.collections.values()])


def _collection_datasets(state: State, request: Request, _: str) -> Answer:
    email = _account(state, request)
    collection = state.collections.get(read_collection_id(request))
    if collection is None:
        raise _RefusedError(404, "NOT_FOUND", "No collection has this id")
    # Those that the account may not see are left out (assumed).
    found = (state.datasets.get(name) for name in collection.dataset_ids)
    return as_json(
        [{"id": one.id, "name": one.metadata.get("name")} for one in found if one and _may_see(one, email)],
    )


def _account(state: State, request: Request) -> str:
    """Email of the account that asks."""
    email = state.tokens.owner(request.token, state.token_lifetime_s)
    if email is None:
        if state.tokens.is_known(request.token) and state.expired_status != 401:
            raise _RefusedError(state.expired_status, "UNAUTHORIZED", "The token has expired")
        raise _RefusedError(401, "WRONG_CREDENTIALS", "The token is not valid")
    return email


def _dataset(state: State, request: Request, name: str) -> Dataset:
    email = _account(state, request)
    dataset = state.datasets.get(read_dataset_id(name))
    if dataset is None:
        raise _RefusedError(404, "NOT_FOUND", "No dataset has this id")
    if not _may_see(dataset, email):
        raise _RefusedError(403, "ACCESS_DENIED", "The dataset is not shared with this account")
    return dataset


def _may_see(dataset: Dataset, email: str) -> bool:
    return dataset.shared_with is None or email in dataset.shared_with


@attrs.frozen
class _Stretch:
    """Part of a file, its bytes made while they are sent."""

    file: StaticFile
    start: int
    stop: int

    def __iter__(self) -> Iterator[bytes]:
        return self.file.chunks(self.start, self.stop)


def _range(headers: Mapping[str, str], file: StaticFile) -> tuple[int, int, int]:
    """Status, start and stop for a Range header, as RFC 9110 has it; one range, and others are ignored."""
    whole = (200, 0, file.size)
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", headers.get("range", "").strip(), re.ASCII)
    if not asked or not any(asked.groups()) or headers.get("if-range", file.etag) != file.etag:
        return whole
    if not asked[1]:
        count = min(int(asked[2]), file.size)
        return (206, file.size - count, file.size) if count else (416, 0, 0)
    start, stop = int(asked[1]), file.size
    with contextlib.suppress(ValueError):
        stop = min(int(asked[2]) + 1, file.size)
    if asked[2] and int(asked[2]) < start:
        return whole
    return (206, start, stop) if start < file.size else (416, 0, 0)


def _operation(name: str, method: str, path: str, run: Callable[..., Any], takes: str, **host: str) -> Operation:
    pattern = re.compile(path.replace("{datasetId}", "([^/]+)"))
    return Operation(name, method, pattern, run, frozenset(takes.split()), **host)


_FILTER = "datasetId mo_ids time_range start_date stop_date"
# The last two are observed of a public client; their operationIds are ours.
OPERATIONS = [
    _operation("login", "POST", "/v3/login", _log_in, "email password", host=LOGIN_HOST),
    _operation("getDatasetMetadata", "GET", "/v1/collection/dataset/summary/{datasetId}", _metadata, "datasetId"),
    _operation("getDatasetResults", "POST", "/v1/processingresult/dataset/{datasetId}", _results, _FILTER),
    _operation("downloadStaticDataset", "GET", "/v1/collection/dataset/download/{datasetId}", _download, "datasetId"),
    _operation("listCollections", "GET", "/v1/processing/collection/list", _collections, ""),
    _operation(
        "listCollectionDatasets", "POST", "/v1/processing/collection/datasets", _collection_datasets, "collection_id"
    ),
]
