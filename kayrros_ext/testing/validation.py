"""What openapi.yaml allows in a request. Each function raises RefusedError, a 400, if a request is not valid."""

import re
from typing import Annotated, TypeVar
from urllib.parse import parse_qs

import msgspec

from kayrros_ext.testing.datasets import ResultsFilter
from kayrros_ext.testing.http import RefusedError, Request

# Which ends of a time range belong to it, as microseconds to add to its start and subtract from its end.
INCLUSIVE = {"both": (0, 0), "left": (0, 1), "right": (1, 0), "neither": (1, 1)}

_Text = Annotated[str, msgspec.Meta(min_length=1)]
# Epoch milliseconds of the years 1 to 9999. A float, because 3.0 is an integer in JSON.
_EpochMs = Annotated[float, msgspec.Meta(ge=-62_135_596_800_000, le=253_402_300_799_999, multiple_of=1)]
_T = TypeVar("_T")


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    email: _Text
    password: _Text


class _TimeRange(msgspec.Struct, forbid_unknown_fields=True):
    start_date: _EpochMs
    stop_date: _EpochMs


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    mo_ids: Annotated[frozenset[_Text], msgspec.Meta(min_length=1)] | msgspec.UnsetType = msgspec.UNSET
    time_range: _TimeRange | msgspec.UnsetType = msgspec.UNSET


def read_dataset_id(text: str) -> str:
    """Return a dataset id in lower case."""
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text):
        raise _invalid("datasetId is not a UUID")
    return text.lower()


def read_login(request: Request) -> tuple[str, str]:
    """Return email and password of a login."""
    login = _read_json(request, _Login)
    return login.email, login.password


def read_filter(request: Request, inclusive: str) -> ResultsFilter:
    """Return the filter of a results request; one that lets everything through if there is no body."""
    if not request.body:  # with or without a Content-Type, because the generated client always sends one
        return ResultsFilter()
    body = _read_json(request, _Filter)
    bounds_us = None
    if body.time_range is not msgspec.UNSET:
        # A range that ends before it starts breaks no rule of the spec; it holds nothing.
        after_start, before_stop = INCLUSIVE[inclusive]
        start_us, stop_us = int(body.time_range.start_date) * 1000, int(body.time_range.stop_date) * 1000
        bounds_us = (start_us + after_start, stop_us - before_stop)
    return ResultsFilter(None if body.mo_ids is msgspec.UNSET else body.mo_ids, bounds_us)


def read_collection_id(request: Request) -> str:
    """Return the form field `collection_id`."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise _invalid("the body is not a form (Content-Type: application/x-www-form-urlencoded)")
    try:
        fields = parse_qs(request.body.decode("utf-8"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise _invalid("the form is not UTF-8 text") from None
    match fields:
        case {"collection_id": [str(collection_id)]} if collection_id and len(fields) == 1:
            return collection_id
    raise _invalid("the form is not one field, collection_id")


def _read_json(request: Request, kind: type[_T]) -> _T:
    if request.content_type != "application/json":
        raise _invalid("the body is not JSON (Content-Type: application/json)")
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (ValueError, RecursionError) as error:
        raise _invalid(f"the body is not what the operation takes ({error})") from None


def _invalid(message: str) -> RefusedError:
    return RefusedError(400, "VALIDATION_EXCEPTION", f"The request breaks a rule: {message}")
