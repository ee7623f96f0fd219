"""What to ask the platform, so that the guesses of openapi.yaml are confirmed or refuted: at most 20 requests that read."""

import contextlib
import itertools
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from kayrros_ext._arguments import parse_uuid
from kayrros_ext._auth.token_cache import jwt_expiry
from kayrros_ext._config.settings import Settings, clean_token, is_loopback
from kayrros_ext._secret import Secret
from kayrros_ext._text import plural
from kayrros_ext.doctor.contract import Check, Judge, confirm_statuses
from kayrros_ext.errors import ConfigurationError
from kayrros_ext.testing.har import Exchange, date_form, epoch_ms
from kayrros_ext.testing.recorder import Recorder
from kayrros_openapi.contract import OPERATIONS

PAUSE_S, _MAX_FILE = 0.5, 64 * 1024  # seconds between two requests; bytes of a file that are read
_RESULTS, _FILE, _UNKNOWN, _BAD_TOKEN = "getDatasetResults", "downloadStaticDataset", "an unknown id", "a bad token"
# Guesses of the spec: the schema, or the field, the topic of the remark, and the guess.
_GUESSES = {
    "token": ("LoginReply/properties/token", "JWT", "no JWT"),
    "start_date": ("DatasetMetadata/properties/start_date", "unit|epoch", "epoch milliseconds"),
    "stop_date": ("DatasetMetadata/properties/stop_date", "unit|epoch", "epoch milliseconds"),
    "dates": ("Result/properties/value_date", "ISO 8601|a date", "ISO 8601"),
    "outside": ("DateRange", "outside", "no dates outside of it"),
    "ends": ("DateRange", "belongs? to the range", "both ends belong to the range"),
    "others": ("ProcessingResultFilter/properties/mo_ids", "others", "no results of others"),
    "empty": ("ProcessingResultTimeSeries/properties/assets", "without results", "an asset without results is listed"),
    "error": ("ErrorResponse", "^(assumed|confirmed)", "an object with code and message"),
}
_DAY = 86_400_000
_SAMPLES = (31, 366, 3660)  # days before the last date of a dataset to ask for, until some results come
_DIGESTS = ("etag", "digest", "repr-digest", "content-md5")
_OPERATIONS = {operation.id: operation for operation in OPERATIONS}


class Examination:
    """Asks, judges the answers, and yields checks. Of a mock (`is_mock`), errors and filters tell nothing."""

    def __init__(self, recorder: Recorder, settings: Settings, judge: Judge, token: Secret | None) -> None:
        self._recorder, self._settings, self._judge, self.token = recorder, settings, judge, token
        self.dataset, self.is_mock = "", False

    def _ask(self, operation: str, *, dataset: str = "", judged: bool = True, **options: Any) -> Exchange:
        """Send a request of an operation, after a pause on a real network, and judge the answer if it is complete."""
        method, path = _OPERATIONS[operation].method, _OPERATIONS[operation].path
        token, headers = options.pop("token", self.token), options.pop("headers", {})
        base = self._settings.auth_url if operation == "login" else self._settings.base_url
        path = base.path.rstrip("/") + path.replace("{datasetId}", quote(dataset or self.dataset, safe=""))
        url = options.pop("url", base.copy_with(raw_path=path.encode()))
        if token and operation != "login":
            headers = {**headers, "Authorization": f"Bearer {token.value}"}
        if self._recorder.exchanges and not self._recorder.is_local:
            self._settings.retries.sleep(PAUSE_S)
        exchange = self._recorder.send(operation, method, url, headers=headers, **options)
        if judged and exchange.status and not exchange.problem:
            self._judge.judge(operation, exchange.status, exchange.headers.get("content-type", ""), exchange.body)
        return exchange

    def _settle(self, guess: str, fact: str, seen_in: tuple[int, int] = (1, 1)) -> None:
        place, topic, expected = _GUESSES[guess]
        expected = "" if fact.startswith(expected) else expected
        self._judge.settle(f"/components/schemas/{place}/x-provenance", topic, fact, expected, seen_in)

    def check_refusal(self, operation: str, cause: str, expected: int, **options: Any) -> Check:
        """Send a request that can't succeed, and return whether it gets the status that the spec assumes."""
        exchange = self._ask(operation, **options)
        status, name, place = exchange.status, f"{operation}, {cause}", self._judge.place(operation, "status")
        self.is_mock = self.is_mock or (cause == _BAD_TOKEN and exchange.is_success)
        if not status or (self.is_mock and exchange.is_success):
            return Check(name, "note", f"not settled: {exchange.outcome}{', as by a mock' if status else ''}")
        if status == expected:
            return Check(name, "ok", f"{status}, as assumed")
        provenance, responses = self._judge.get(place), self._judge.get(f"{self._judge.place(operation)}/responses")
        if str(status) in responses and confirm_statuses(provenance, {status}, "") != provenance:
            self._judge.settle(place, f"{cause} gets", f"{cause} gets {status}", str(expected))
        return Check(name, "note", f"{status}, and not {expected}")

    def check_login(self) -> Iterator[Check]:
        """Send a token that nobody has; then log in, once, where there is a password, or use the token at hand."""
        bad = {"token": Secret("not-a-token"), "dataset": str(uuid4())}
        yield self.check_refusal("getDatasetMetadata", _BAD_TOKEN, 401, **bad)
        settings, how = self._settings, "a token is at hand"
        if settings.password:
            exchange = self._ask("login", json={"email": settings.email, "password": settings.password.value})
            with contextlib.suppress(ConfigurationError, AttributeError, TypeError):
                self.token, how = clean_token(Secret(exchange.json.get("token"))), "email and password are right"
            if not exchange.is_success:
                self.token = None
        if self.token is None:
            text = f"{exchange.outcome}, and no token" if settings.password else "there are no credentials"
            yield Check("login", "failed", text, "Check email and password: `kayrros login`.")
            return
        yield Check("login", "ok", f"{how} ({settings.source})")
        expiry, is_jwt = jwt_expiry(self.token), re.fullmatch(r"ey[^.]+\.[^.]+\.[^.]*", self.token.value)
        self._settle("token", kind := "a JWT" if is_jwt else "no JWT")
        life = f"ends in {(expiry - time.time()) / 60:,.0f} minutes" if expiry else "does not tell how long it lives"
        yield Check("token", "ok", f"{kind}, which {life}")

    def check_lists(self) -> Iterator[Check]:
        """Ask for the collections, and for the datasets of one."""
        exchange = self._ask("listCollections")
        collections = _objects(exchange.json)
        yield _check_data("collections", exchange, plural(len(collections), "collection"))
        for collection in collections[:3]:
            exchange = self._ask("listCollectionDatasets", data={"collection_id": str(collection.get("id"))})
            rows = _objects(exchange.json)
            yield _check_data("datasets", exchange, plural(len(rows), "dataset"))
            self.dataset = self.dataset or next((row["id"] for row in rows if isinstance(row.get("id"), str)), "")
            if self.dataset:
                return

    def check_data(self) -> Iterator[Check]:
        """Ask for the metadata of the dataset, some results, and the beginning of its file; and for what must fail."""
        exchange = self._ask("getDatasetMetadata")
        metadata = exchange.json if isinstance(exchange.json, dict) else {}
        yield _check_data("metadata", exchange, plural(len(metadata), "field"))
        if exchange.is_success:
            place, form = "/components/parameters/DatasetId", "a UUID" if parse_uuid(self.dataset) else "no UUID"
            self._judge.settle(f"{place}/x-provenance", "UUID", form, "" if form == "a UUID" else "a UUID")
        for name in ("start_date", "stop_date"):
            if isinstance(value := metadata.get(name), int | float) and value:
                self._settle(name, "epoch milliseconds" if abs(value) > 10**10 else "epoch seconds or days")
        yield self.check_refusal("getDatasetMetadata", _UNKNOWN, 404, dataset=str(uuid4()))
        yield from self._check_results(epoch_ms(metadata.get("stop_date")))
        if exchange.status != 404:  # there is such a dataset
            yield self.check_refusal(_RESULTS, "a bad filter", 400, json={"time_range": {"start_date": "x"}})
        yield self.check_refusal(_RESULTS, _UNKNOWN, 404, dataset=str(uuid4()), json=_range(0, _DAY))
        yield self._check_download()
        yield self.check_refusal(_FILE, _UNKNOWN, 404, dataset=str(uuid4()), limit=_MAX_FILE)

    def _check_results(self, stop: int | None) -> Iterator[Check]:
        for days in _SAMPLES if stop is not None else (0,):
            span: dict[str, Any] = {} if stop is None else {"json": _range(stop - days * _DAY, stop + _DAY)}
            exchange = self._ask(_RESULTS, **span)
            rows = _rows(exchange)
            if rows or not exchange.is_success or exchange.problem:
                break
        yield _check_data("results", exchange, plural(len(rows), "result"))
        forms = Counter(date_form(value) for _, value in rows if isinstance(value, str))
        if forms:
            fact = " or ".join(sorted(forms, key=lambda it: (it.startswith("ISO 8601"), it)))  # others come first
            bad = sum(count for form, count in forms.items() if not form.startswith("ISO 8601"))
            self._settle("dates", fact, (bad, forms.total()))
            yield Check("value_date", "note" if bad else "ok", fact)
        dates = [(at, asset) for asset, value in rows if (at := epoch_ms(value)) is not None and type(asset) is str]
        if dates and not self.is_mock:
            yield from self._check_range(dates)

    def _check_range(self, dates: list[tuple[int, str]]) -> Iterator[Check]:
        """Ask for the days before, after and around one date of one asset, and for a day without results."""
        moments = sorted({moment for moment, _ in dates})
        alone = {last for first, last in itertools.pairwise([-(10**15), *moments]) if last - first > _DAY}
        moment, asset = max([it for it in dates if it[0] in alone] or dates)
        answers = []
        for before, after in ((0, _DAY), (_DAY, 0), (_DAY // 2, _DAY // 2)):
            span = (moment - before, moment + after)
            rows = _rows(self._ask(_RESULTS, json={**_range(*span), "mo_ids": [asset]}))
            answers.append([(name, epoch_ms(value)) for name, value in rows])
            if any(at is not None and not span[0] <= at <= span[1] for _, at in answers[-1]):
                self._settle("outside", "dates outside of it come")
            if any(name != asset for name, _ in rows):
                self._settle("others", "results of others come")
        first, last, around = ((asset, moment) in answer for answer in answers)
        if not around:
            yield Check("time_range", "note", "not settled: a date does not come where the range surrounds it")
            return
        one = f"the {'start' if first else 'stop'} belongs to the range, the {'stop' if first else 'start'} does not"
        text = one if first != last else f"{'both ends belong' if first else 'neither end belongs'} to the range"
        self._settle("ends", text)
        yield Check("time_range", "ok", text)
        exchange = self._ask(_RESULTS, json={**_range(4 * 10**12, 4 * 10**12 + _DAY), "mo_ids": [asset]})  # in 2096
        if isinstance(exchange.json, dict) and exchange.is_success:
            text = f"an asset without results is {'listed' if exchange.json.get('assets') else 'left out'}"
            self._settle("empty", text)
            yield Check("assets", "ok", text)

    def _check_download(self) -> Check:
        headers = {"Range": "bytes=0-1023", "Accept-Encoding": "identity"}
        options: dict[str, Any] = {"headers": headers, "judged": False, "limit": _MAX_FILE}
        exchange = target = self._ask(_FILE, **options)
        location = exchange.headers.get("location") if 300 < exchange.status < 400 else None
        with contextlib.suppress(httpx.InvalidURL):
            here, url = httpx.URL(exchange.url), httpx.URL(exchange.url).join(location or "")
            if location and (url.scheme == "https" or is_loopback(url)):  # as a download does
                token = self.token if url.netloc == here.netloc else None  # the token is not for another host
                target = self._ask(_FILE, url=url, token=token, **options)
        if exchange.status:
            status = 200 if exchange.status in {206, 416} else exchange.status  # of a range, RFC 9110 says enough
            self._judge.judge(_FILE, status, exchange.headers.get("content-type", ""), exchange.body)
        if target.status not in {200, 206, 416}:
            reason = ": the dataset has no file, or the path is another" if target.status == 404 else ""
            return Check("download", "note", f"not settled, {target.outcome}{reason}")
        self._judge.settle(self._judge.place(_FILE, "path"), "assumed", "")
        is_base64 = re.fullmatch(rb'\s*"[A-Za-z0-9+/=\s]{4,}"?\s*', target.body) is not None
        digests = " and ".join(it for it in _DIGESTS if it in target.headers)
        facts = ["base64 text" if is_base64 else "raw bytes", "no ranges" if target.status == 200 else "ranges"]
        facts += ["a redirect" if location else "no redirect", digests or "no digest"]
        facts += ["a file name" if "filename" in target.headers.get("content-disposition", "") else "no file name"]
        place, fact = self._judge.place(_FILE, "body"), "; ".join(facts)
        self._judge.settle(place, "raw bytes|base64 text", fact, "raw bytes" if is_base64 else "")
        return Check("download", "ok", fact)

    def settle_paths(self) -> None:
        """Note the paths and bodies that answer as the spec says, once all answers are judged."""
        for exchange in (it for it in self._recorder.exchanges if it.is_success and it.operation):
            path, body = (self._judge.place(exchange.operation or "", part) for part in ("path", "body"))
            if self._judge.get(path).startswith("observed"):
                self._judge.settle(path, "^confirmed", "as observed")
            is_json = exchange.headers.get("content-type", "").startswith("application/json")
            if is_json and "application/json" in self._judge.get(body):
                self._judge.settle(body, "^(assumed|confirmed).*application/json", "`application/json`")
            if isinstance(exchange.json, list):
                self._judge.settle(body, "^(assumed|confirmed).*an array", "an array of objects")
        if all(it["present"] for it in self._judge.fields() if "/ErrorResponse/" in it["place"]):
            self._settle("error", "an object with code and message")


def _objects(value: Any) -> list[dict[str, Any]]:
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []


def _rows(exchange: Exchange) -> list[tuple[str | None, Any]]:
    """Return asset id and date of each result."""
    assets = _objects(exchange.json.get("assets")) if isinstance(exchange.json, dict) else []
    return [(it.get("asset_id"), row.get("value_date")) for it in assets for row in _objects(it.get("results"))]


def _check_data(name: str, exchange: Exchange, text: str) -> Check:
    if exchange.is_success and not exchange.problem:
        return Check(name, "ok", text)
    if name == "results" and exchange.status == 404:
        return Check(name, "note", "not settled: the dataset has no results")
    return Check(name, "failed", exchange.outcome, "Check the account and the id of the dataset, and run this again.")


def _range(start: int, stop: int) -> dict[str, Any]:
    return {"time_range": {"start_date": start, "stop_date": stop}}
