"""The platform fake: a small stateful Kayrros, in process or on loopback."""

import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from importlib import resources
from typing import Any, Literal
from uuid import UUID, uuid4

import attrs

from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext.client import Kayrros
from kayrros_ext.errors import UsageError
from kayrros_ext.testing.datasets import Collection, Dataset, StaticFile, StoredResults, to_payload, to_us
from kayrros_ext.testing.faults import Fault, Rule
from kayrros_ext.testing.generation import TEMPLATES, GeneratedResults, Metric
from kayrros_ext.testing.http import RefusedError, Request, Response
from kayrros_ext.testing.operations import INCLUSIVE, OPERATIONS, operations_at, read_dataset_id, respond
from kayrros_ext.testing.server import serve
from kayrros_ext.testing.transport import Transport

# The account of the example in openapi.yaml, so that its example request logs in.
EMAIL = "analyst@example.com"
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - made up, and opens nothing  # nosec B105
_START = datetime(2024, 1, 2, tzinfo=UTC)


@attrs.frozen
class Account:
    """An account that may log in to the fake."""

    email: str
    password: str = attrs.field(repr=False)


@attrs.define(eq=False)
class Token:
    """A token that the fake issued: for which account, and when by the fake's clock."""

    email: str
    issued_at_s: float
    is_revoked: bool = False


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class Platform:
    """A small Kayrros with the logins, tokens, datasets and faults that you give it. It starts with one account, no data.

    It answers as openapi.yaml says. Where that only assumes, so does the fake: see docs/testing.md.

    Attributes:
        token_lifetime_s: seconds until a token expires; None for never. The real lifetime is unknown.
        inclusive: which ends of a time range belong to it: both, the start ("left"), the stop ("right") or neither.
            Unknown of the real API.
        max_rows: most rows (assets times dates times metrics) of a results response; more of them get a 504.
        latency_s: seconds before each response.
        clock: a monotonic clock in seconds, for the age of tokens.
        sleep: waits a number of seconds, in threads. Tasks wait with anyio.
        expired_status: status for an expired token, 401 or 403. Unknown of the real API.
        account: the account that it starts with.
        accounts, datasets, collections: by email, by id in lower case, by id.
        requests: all that came, each with its status and fault.
        logins: how many logins issued a token.
        faults: the rules of what goes wrong; the first that matches a request applies.
    """

    token_lifetime_s: float | None = None
    inclusive: Literal["both", "left", "right", "neither"] = attrs.field(default="both")
    max_rows: int | None = None
    latency_s: float = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    expired_status: int = 401
    account: Account = attrs.field(init=False)
    accounts: dict[str, Account] = attrs.field(factory=dict, init=False)
    datasets: dict[str, Dataset] = attrs.field(factory=dict, init=False)
    collections: dict[str, Collection] = attrs.field(factory=dict, init=False)
    requests: list[Request] = attrs.field(factory=list, init=False)
    logins: int = attrs.field(default=0, init=False)
    faults: list[Rule] = attrs.field(factory=list, init=False)
    tokens: dict[str, Token] = attrs.field(factory=dict, init=False)
    lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.account = self.add_account(EMAIL, PASSWORD)

    @inclusive.validator
    def _check_inclusive(self, _: object, value: str) -> None:
        if value not in INCLUSIVE:
            raise UsageError(f"inclusive is {value!r}.", hint=f"Pass one of {', '.join(INCLUSIVE)}.")

    def add_account(self, email: str, password: str) -> Account:
        """Add an account that may log in. It replaces one with the same email."""
        account = self.accounts[email] = Account(email, password)
        return account

    def add(
        self,
        results: Mapping[str, Any] | GeneratedResults | None = None,
        *,
        id: UUID | str | None = None,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        file: StaticFile | bytes | None = None,
        shared_with: Iterable[str] | None = None,
    ) -> Dataset:
        """Add a dataset. It replaces one with the same id.

        Args:
            results: what the API would send, an object with `assets`; or a plain structure, asset id to date to metric to
                value: {"tank-1": {"2024-01-02": {"fill_level_pct": 61.5}}}. None for a dataset that has only a file.
            id: a UUID; random by default.
            name: its name.
            metadata: members of its DatasetMetadata; the others follow from the results.
            file: what a download gets; bytes alone get a default name and type.
            shared_with: emails of the accounts that may see it, while others get a 403; everyone by default.

        Raises:
            UsageError: `id` is not a UUID.
        """
        source: StoredResults | GeneratedResults | None = None
        if results is not None:
            source = results if isinstance(results, GeneratedResults) else StoredResults(to_payload(results))
        key = _parse_id(id or uuid4())
        complete = {"id": key, "name": "A dataset", "sharedOption": "SHARED", **(source.metadata() if source else {})}
        complete |= {**(metadata or {}), **({"name": name} if name else {})}
        content = StaticFile(file) if isinstance(file, bytes) else file
        readers = [shared_with] if isinstance(shared_with, str) else shared_with
        emails = None if readers is None else frozenset(readers)
        dataset = self.datasets[key] = Dataset(key, complete, source, content, emails)
        return dataset

    def generate(
        self,
        *,
        seed: int = 0,
        assets: int = 6,
        dates: int | Sequence[date] = 12,
        metrics: int | Sequence[str] | None = None,
        template: str = "crude-tanks",
        start: date = _START,
        every: timedelta | None = None,
        id: UUID | str | None = None,
        name: str | None = None,
        file: StaticFile | bytes | None = None,
        shared_with: Iterable[str] | None = None,
    ) -> Dataset:
        """Add a dataset with results by seed: the same arguments give the same bytes, and the same id.

        Rows are generated while they are sent, so there may be millions.

        Args:
            seed: of the values.
            assets: how many.
            dates: how many, or which; a date is its first moment in UTC.
            metrics: names, or how many; those of the template by default. Values of an unknown metric are between 0 and
                100.
            template: what the dataset looks like: "crude-tanks", "methane-hotspots" or "industrial-activity".
            start: first date, if `dates` is a number.
            every: time from one date to the next; the template's by default.
            id: a UUID; by default one that follows from the other arguments.
            name: its name; the template's by default.
            file: as for `add`.
            shared_with: as for `add`.

        Raises:
            UsageError: there are no assets, dates or metrics, or no such template, or `id` is not a UUID.
        """
        if template not in TEMPLATES:
            raise UsageError(f"template is {template!r}.", hint=f"Pass one of {', '.join(TEMPLATES)}.")
        model = TEMPLATES[template]
        if isinstance(dates, int):
            first, step = to_us(start), (every or timedelta(days=model.every_days)) // timedelta(microseconds=1)
            moments: range | tuple[int, ...] = range(first, first + dates * step, step)
        else:
            moments = tuple(sorted(map(to_us, dates)))
        by_name = {metric.name: metric for metric in model.metrics}
        if metrics is None:
            metrics = list(by_name)
        elif isinstance(metrics, int):
            metrics = [f"metric_{number:02d}" for number in range(1, metrics + 1)]
        chosen = tuple(by_name.get(name, Metric(name)) for name in metrics)
        if assets < 1 or not moments or not chosen:
            raise UsageError("There is nothing to generate.", hint="Pass at least one asset, one date and one metric.")
        source = GeneratedResults(seed, model, assets, moments, chosen)
        return self.add(source, id=id or source.uuid(), name=name, file=file, shared_with=shared_with)

    def add_examples(self) -> list[Dataset]:
        """Add what openapi.yaml shows: crude oil tanks (with a file), methane hot spots, industrial sites, collections.

        The ids, assets and special cases are the same, so that a script works with the fake and with `make mock`.
        """
        document = json.loads(resources.files(__package__).joinpath("examples.json").read_bytes())
        datasets = []
        for seed, example in enumerate(document["datasets"], 1):
            template, assets = example["template"], example["assets"]
            dates = [datetime.fromisoformat(day) for day in example["dates"]]
            dataset = self.generate(seed=seed, assets=len(assets), dates=dates, template=template, id=example["id"])
            datasets.append(dataset)
            payload = dataset.payload()
            for asset, values in zip(payload["assets"], assets, strict=True):
                asset.update(zip(document["asset_fields"], values, strict=False))
            for asset_index, date_index in example.get("without_metrics", ()):
                payload["assets"][asset_index]["results"][date_index]["metrics"] = []
            dataset.source = StoredResults(payload)
            dataset.metadata |= example["metadata"]
            if file := example.get("file"):
                dataset.file = StaticFile(file["content"].encode(), file["name"], file["content_type"])
        for collection in document["collections"]:
            self.add_collection(collection["name"], collection["dataset_ids"], id=collection["id"])
        return datasets

    def add_collection(
        self, name: str, datasets: Iterable[Dataset | UUID | str], *, id: str | None = None
    ) -> Collection:
        """Add a collection. Its id may be any string (assumed); a random UUID by default."""
        ids = tuple(dataset.id if isinstance(dataset, Dataset) else _parse_id(dataset) for dataset in datasets)
        collection = Collection(id or str(uuid4()), name, ids)
        self.collections[collection.id] = collection
        return collection

    def give_token(self, email: str = EMAIL) -> str:
        """Issue a token of an account without a login. Tokens are opaque, and no JWTs (assumed)."""
        token = f"fake-{secrets.token_hex(16)}"
        self.tokens[token] = Token(email, self.clock())
        return token

    def expire_tokens(self) -> None:
        """Let all tokens issued so far expire now."""
        for token in list(self.tokens.values()):
            token.is_revoked = True

    def fail_next(
        self, fault: Fault | int, *, times: int | None = 1, operation: str | None = None, skip: int = 0
    ) -> Rule:
        """Let the next requests fail.

        Args:
            fault: what goes wrong, or an error status.
            times: how many requests it happens to; None for all.
            operation: operationId, such as "getDatasetResults"; any operation by default.
            skip: how many requests it spares first.

        Raises:
            UsageError: there is no such operation.
        """
        return self._add_rule(fault, lambda _: True, operation, times, skip)

    def fail_when(
        self, matches: Callable[[Request], bool], fault: Fault | int, *, operation: str | None = None
    ) -> Rule:
        """Let the requests fail for which a predicate is true; otherwise like `fail_next`."""
        return self._add_rule(fault, matches, operation)

    def fail_at_random(
        self, fault: Fault | int, *, probability: float, seed: int, operation: str | None = None
    ) -> Rule:
        """Let a share of the requests fail, the same ones for the same seed; otherwise like `fail_next`."""
        draw = random.Random(seed).random  # noqa: S311 - repeatable is the point  # nosec B311
        return self._add_rule(fault, lambda _: draw() < probability, operation)

    def _add_rule(self, fault: Fault | int, matches: Callable[[Request], bool], *options: Any) -> Rule:
        rule = Rule(Fault.status(fault) if isinstance(fault, int) else fault, matches, *options)
        ids = [operation.id for operation in OPERATIONS]
        if rule.operation not in {None, *ids}:
            raise UsageError(f"operation is {rule.operation!r}.", hint=f"Pass one of {', '.join(ids)}.")
        self.faults.append(rule)
        return rule

    def transport(self) -> Transport:
        """Return an httpx transport to it, for sync and async clients. It has the two hosts of Kayrros and no other."""
        return Transport(self.handle, sleep=self.sleep)

    def serve(self, *, port: int = 0) -> AbstractContextManager[str]:
        """Serve it on 127.0.0.1 during a `with` block, which gets the URL of both hosts. The port is free by default.

        Raises:
            MockError: the port is taken. Raised on entering the block.
        """
        return serve(self.handle, port=port, sleep=self.sleep)

    def connect(self, **settings: Any) -> Kayrros:
        """Return a client of it, in process, with its account. Close it, or use it in a `with` block.

        Args:
            settings: of Kayrros, such as `token=` in place of the account. With base_url, the URL of `serve`, the client
                goes there. It retries without a wait, unless `retries` is a Retries.
        """
        retries = settings.get("retries", DEFAULT_MAX_RETRIES)
        if not isinstance(retries, Retries):
            settings["retries"] = attrs.evolve(Retries.parse(retries), backoff_initial=0, sleep=self.sleep)
        if not {"email", "password", "token"} & set(settings):
            settings |= {"email": self.account.email, "password": self.account.password}
        if "base_url" in settings:
            return Kayrros(**{"auth_url": settings["base_url"], **settings})
        return Kayrros(**{"base_url": BASE_URL, "auth_url": AUTH_URL, "transport": self.transport(), **settings})

    def environment(self, url: str) -> dict[str, str]:
        """Return environment variables that point Kayrros to the URL of `serve`, with the account."""
        return {
            "KAYRROS_BASE_URL": url,
            "KAYRROS_AUTH_URL": url,
            "KAYRROS_EMAIL": self.account.email,
            "KAYRROS_PASSWORD": self.account.password,
        }

    def handle(self, request: Request) -> Response:
        """Record a request and return the response to it. Transport and server call this."""
        operation = operations_at(request).get(request.method)
        request.operation = operation.id if operation else None
        self.requests.append(request)
        with self.lock:
            rule = next((rule for rule in list(self.faults) if rule.applies_to(request)), None)
        response = Response(200, {}) if rule and rule.fault.replaces_response else respond(self, request)
        if rule:
            request.fault = rule.fault.description
            response = rule.fault.damage(response)
        request.status = None if response.dropped else response.status
        return attrs.evolve(response, delay_s=response.delay_s + self.latency_s)


def _parse_id(value: UUID | str) -> str:
    try:
        return read_dataset_id(str(value))
    except RefusedError:
        raise UsageError(f"{value!r} is not a UUID.", hint="Pass one, or leave it out.") from None
