"""The operations of the platform fake: a request in, a response out, as openapi.yaml says."""

import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar
from urllib.parse import parse_qs, unquote

import attrs
import httpx
import msgspec

from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext.testing.datasets import EVERYTHING, Dataset, ResultsFilter, StaticFile
from kayrros_ext.testing.http import RefusedError, Request, Response, error_response, html_response, json_response
from kayrros_openapi import contract

if TYPE_CHECKING:
    from kayrros_ext.testing.platform import Platform

LOGIN_HOST, DATA_HOST = httpx.URL(AUTH_URL).host, httpx.URL(BASE_URL).host
# Which ends of a time range belong to it, as microseconds to add to its start and subtract from its end.
INCLUSIVE = {"both": (0, 0), "left": (0, 1), "right": (1, 0), "neither": (1, 1)}

_Run = Callable[["Platform", Request, str], Response]
_T = TypeVar("_T")
_FORM = "application/x-www-form-urlencoded"
_Text = Annotated[str, msgspec.Meta(min_length=1)]
# Epoch milliseconds of the years 1 to 9999. A float, because 3.0 is an integer in JSON.
_EpochMs = Annotated[float, msgspec.Meta(ge=-62_135_596_800_000, le=253_402_300_799_999, multiple_of=1)]


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    email: _Text
    password: _Text


class _TimeRange(msgspec.Struct, forbid_unknown_fields=True):
    start_date: _EpochMs
    stop_date: _EpochMs


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    mo_ids: Annotated[frozenset[_Text], msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET
    time_range: _TimeRange | msgspec.UnsetType = msgspec.UNSET


class _CollectionForm(msgspec.Struct, forbid_unknown_fields=True):
    collection_id: tuple[_Text]  # a list in a form, because fields may be repeated; here exactly one


@attrs.frozen
class Operation:
    """An operation that the fake can carry out."""

    id: str  # operationId, as in openapi.yaml
    method: str  # in capitals
    host: str
    path: re.Pattern[str]  # if there is a dataset id, it is the last segment
    run: _Run
    request_fields: tuple[str, ...]  # parameters and fields of its requests that the fake takes into account


def operations_at(request: Request) -> dict[str, Operation]:
    """Return the operations at the path of a request, by method."""
    path = request.path.partition("?")[0]
    matches = [item for item in OPERATIONS if request.host in {None, item.host} and item.path.fullmatch(path)]
    return {operation.method: operation for operation in matches}


def respond(platform: "Platform", request: Request) -> Response:
    """Return the response to a request, without faults: of the recording, if there is one."""
    if platform.recording and request.operation != "login":
        try:
            _authenticate(platform, request)
        except RefusedError as error:
            return error.response
        return platform.recording(request) or error_response(404, "NOT_FOUND", "This request is not in the recording")
    return carry_out(platform, request)


def carry_out(platform: "Platform", request: Request) -> Response:
    """Return the response to a request from the datasets of the platform."""
    operations = operations_at(request)
    if not operations:
        return error_response(404, "NOT_FOUND", "Nothing is at this path")
    operation = operations.get(request.method)
    if operation is None:
        allowed = ", ".join(operations)
        return error_response(405, "METHOD_NOT_ALLOWED", "This path does not take this method", Allow=allowed)
    try:
        return operation.run(platform, request, unquote(request.path.partition("?")[0].rpartition("/")[2]))
    except RefusedError as error:
        return error.response


def _log_in(platform: "Platform", request: Request, _: str) -> Response:
    login = _read_body(request, _Login)
    account = platform.accounts.get(login.email)
    if account is None or account.password != login.password:
        raise RefusedError(401, "WRONG_CREDENTIALS", "The credentials are not valid")
    with platform.lock:
        platform.logins += 1
    # The reference says that there is more than the token, but not what, so these fields are made up.
    token = platform.give_token(login.email)
    return json_response({"token": token, "email": login.email, "issued_at": int(time.time() * 1000)})


def _metadata(platform: "Platform", request: Request, dataset_id: str) -> Response:
    return json_response(_dataset(platform, request, dataset_id).metadata)


def _results(platform: "Platform", request: Request, dataset_id: str) -> Response:
    source = _dataset(platform, request, dataset_id).source
    only = _read_filter(request, platform.inclusive)
    if source is None:  # the real response is unknown
        raise RefusedError(404, "NOT_FOUND", "The dataset is static and has no results")
    if platform.max_rows is not None and source.rows(only) > platform.max_rows:
        request.fault = "more than max_rows"
        return html_response(504, "Gateway Time-out")  # observed; it is the gateway's own, and so HTML (assumed)
    return Response(200, {"Content-Type": "application/json"}, source.body(only))


def _read_filter(request: Request, inclusive: str) -> ResultsFilter:
    if not request.body:  # with or without a Content-Type, because the generated client always sends one
        return EVERYTHING
    body = _read_body(request, _Filter)
    bounds_us = None
    if body.time_range is not msgspec.UNSET:
        # A range that ends before it starts breaks no rule of the spec; it holds nothing.
        after_start, before_stop = INCLUSIVE[inclusive]
        start_us, stop_us = int(body.time_range.start_date) * 1000, int(body.time_range.stop_date) * 1000
        bounds_us = (start_us + after_start, stop_us - before_stop)
    return ResultsFilter(None if body.mo_ids is msgspec.UNSET else body.mo_ids, bounds_us)


def _download(platform: "Platform", request: Request, dataset_id: str) -> Response:
    file = _dataset(platform, request, dataset_id).file
    if file is None:  # the real response is unknown
        raise RefusedError(404, "NOT_FOUND", "The dataset is not static and has no file")
    headers = {"Content-Type": file.content_type, "Content-Disposition": file.disposition}
    if file.ranges:
        headers |= {"ETag": file.etag, "Accept-Ranges": "bytes"}
    part = _requested_range(request.headers, file) if file.ranges else None
    if part is None:
        return Response(200, headers, file.chunks(), file.size)
    if not part:
        return Response(416, {**headers, "Content-Range": f"bytes */{file.size}"}, (), 0)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    return Response(206, headers, file.chunks(part.start, part.stop), len(part))


def _requested_range(headers: Mapping[str, str], file: StaticFile) -> range | None:
    """Return the bytes that a Range header asks for, as RFC 9110 has it; None for all of them.

    A range that starts beyond the file is empty. Several ranges, and what is not a range, are ignored.
    """
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", headers.get("range", "").strip(), re.ASCII)
    if not match or not any(match.groups()) or headers.get("if-range", file.etag) != file.etag:
        return None
    first, last = match.groups()
    if not first:
        return range(max(file.size - int(last), 0), file.size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, file.size) if last else file.size)


def _collections(platform: "Platform", request: Request, _: str) -> Response:
    _authenticate(platform, request)
    collections = platform.collections.values()
    return json_response([{"id": collection.id, "name": collection.name} for collection in collections])


def _collection_datasets(platform: "Platform", request: Request, _: str) -> Response:
    email = _authenticate(platform, request)
    [collection_id] = _read_body(request, _CollectionForm, _FORM).collection_id
    collection = platform.collections.get(collection_id)
    if collection is None:
        raise RefusedError(404, "NOT_FOUND", "No collection has this id")
    datasets = filter(None, map(platform.datasets.get, collection.dataset_ids))
    # Those that the account may not see are left out (assumed).
    visible = [dataset for dataset in datasets if dataset.is_visible_to(email)]
    return json_response([{"id": dataset.id, "name": dataset.metadata.get("name")} for dataset in visible])


def _authenticate(platform: "Platform", request: Request) -> str:
    """Return the email of the account whose token the request carries."""
    token = platform.tokens.get(request.token or "")
    if token is None:
        raise RefusedError(401, "WRONG_CREDENTIALS", "The token is not valid")
    age_s = platform.clock() - token.issued_at_s
    if token.is_revoked or (platform.token_lifetime_s is not None and age_s >= platform.token_lifetime_s):
        code = "WRONG_CREDENTIALS" if platform.expired_status == 401 else "UNAUTHORIZED"
        raise RefusedError(platform.expired_status, code, "The token has expired")
    return token.email


def _dataset(platform: "Platform", request: Request, dataset_id: str) -> Dataset:
    email = _authenticate(platform, request)
    dataset = platform.datasets.get(read_dataset_id(dataset_id))
    if dataset is None:
        raise RefusedError(404, "NOT_FOUND", "No dataset has this id")
    if not dataset.is_visible_to(email):
        raise RefusedError(403, "ACCESS_DENIED", "The dataset is not shared with this account")
    return dataset


def read_dataset_id(text: str) -> str:
    """Return a dataset id in lower case."""
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise _invalid("datasetId is not a UUID")
    return text.lower()


def _read_body(request: Request, kind: type[_T], content_type: str = "application/json") -> _T:
    if request.content_type != content_type:
        raise _invalid(f"the body has the Content-Type {request.content_type!r}, not {content_type}")
    try:
        if content_type == _FORM:
            return msgspec.convert(parse_qs(request.body.decode(), keep_blank_values=True, errors="strict"), kind)
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _invalid(f"the body is not what the operation takes ({error})") from None


def _invalid(message: str) -> RefusedError:
    return RefusedError(400, "VALIDATION_EXCEPTION", f"The request breaks a rule: {message}")


_RUN: dict[str, tuple[_Run, tuple[str, ...]]] = {
    "login": (_log_in, ("email", "password")),
    "getDatasetMetadata": (_metadata, ("datasetId",)),
    "getDatasetResults": (_results, ("datasetId", "mo_ids", "time_range", "start_date", "stop_date")),
    "downloadStaticDataset": (_download, ("datasetId",)),
    "listCollections": (_collections, ()),
    "listCollectionDatasets": (_collection_datasets, ("collection_id",)),
}


def _operation(operation: contract.Operation) -> Operation:
    run, request_fields = _RUN[operation.id]
    path = "[^/]+".join(map(re.escape, re.split(r"\{[^}]*\}", operation.path)))
    host = LOGIN_HOST if operation.id == "login" else DATA_HOST
    return Operation(operation.id, operation.method, host, re.compile(path), run, request_fields)


# An operation that is new to openapi.yaml is not here until somebody writes it.
OPERATIONS = [_operation(operation) for operation in contract.OPERATIONS if operation.id in _RUN]
