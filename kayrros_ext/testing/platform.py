"""The platform fake: a small stateful Kayrros, in process or on loopback."""

import functools
import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self
from uuid import UUID, uuid4

import attrs

from kayrros_ext._arguments import parse_uuid
from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext._results.query import MAX_MS, Instant
from kayrros_ext.client import Kayrros
from kayrros_ext.errors import UsageError
from kayrros_ext.testing import arguments
from kayrros_ext.testing.arguments import MICROSECOND, number, one_of, read_items, read_results, to_us
from kayrros_ext.testing.datasets import Collection, Dataset, StaticFile, StoredResults
from kayrros_ext.testing.faults import Failure, Fault, Rule
from kayrros_ext.testing.generation import TEMPLATES, GeneratedResults, Metric
from kayrros_ext.testing.har import read_har
from kayrros_ext.testing.http import Request, Response
from kayrros_ext.testing.operations import INCLUSIVE, operations_at, respond
from kayrros_ext.testing.server import serve
from kayrros_ext.testing.transport import Transport

# The account of the example in openapi.yaml, so that its example request logs in.
EMAIL = "analyst@example.com"
PASSWORD = "correct-horse-battery-staple"  # noqa: S105 - made up, and opens nothing  # nosec B105
_START = datetime(2024, 1, 2, tzinfo=UTC)

_TOO_MANY = Fault.status(429, retry_after=1)
_DATES = 'a number that ends before the year 10000, or a list of different dates, such as ["2024-01-02", "2024-01-09"]'
_METRICS = 'a number up to 1000, or a list of different names, such as ["fill_level_pct"]'


@attrs.frozen
class Account:
    """An account that may log in to the fake.

    Example:
        >>> platform.account
        Account(email='analyst@example.com')
    """

    email: str = attrs.field(validator=arguments.TEXT)
    password: str = attrs.field(validator=arguments.TEXT, repr=False)


@attrs.define(eq=False)
class Token:
    """A token that the fake issued: for which account, and when by the fake's clock."""

    email: str
    issued_at_s: float
    is_revoked: bool = False


@attrs.define(eq=False, repr=False, slots=False, kw_only=True)
class Platform:
    """A small Kayrros with the logins, tokens, datasets and faults that you give it. It starts with one account, no data.

    It answers as openapi.yaml says. Where that only assumes, so does the fake.

    Example:
        >>> platform = Platform(latency_s=0.01)
        >>> dataset = platform.generate(assets=3, dates=10)
        >>> with platform.connect() as kayrros:
        ...     len(kayrros.results(dataset.id))
        60
        >>> [request.operation for request in platform.requests], platform.logins
        (['login', 'getDatasetResults'], 1)

    Attributes:
        token_lifetime_s: seconds until a token expires; None for never. The real lifetime is unknown.
        inclusive: which ends of a time range belong to it: both, the start ("left"), the stop ("right") or neither.
            Unknown of the real API.
        max_rows: most rows (assets times dates times metrics) of a results response; more of them get a 504.
        max_requests_per_second: what exceeds it gets a 429 with Retry-After: 1. The real limit is unknown.
        latency_s: seconds before each response.
        clock: a monotonic clock in seconds, for the age of tokens and the rate of requests.
        sleep: waits a number of seconds, in threads. Tasks wait with anyio.
        expired_status: status for an expired token, 401 or 403. Unknown of the real API.
        account: the account that it starts with.
        accounts, datasets, collections: by email, by id in lower case, by id.
        requests: all that came, each with its status and fault.
        logins: how many logins issued a token.
        faults: the rules of what goes wrong; the first that matches a request applies.
        recording: what answers in place of the datasets: see `from_har`.
    """

    token_lifetime_s: float | None = attrs.field(default=None, validator=arguments.SECONDS_ABOVE_0)
    inclusive: Literal["both", "left", "right", "neither"] = attrs.field(default="both", validator=one_of(INCLUSIVE))
    max_rows: int | None = attrs.field(default=None, validator=arguments.COUNT)
    max_requests_per_second: int | None = attrs.field(default=None, validator=arguments.COUNT)
    latency_s: float = attrs.field(default=0, validator=arguments.SECONDS)
    clock: Callable[[], float] = attrs.field(default=time.monotonic, validator=arguments.FUNCTION)
    sleep: Callable[[float], object] = attrs.field(default=time.sleep, validator=arguments.FUNCTION)
    expired_status: int = attrs.field(default=401, validator=one_of([401, 403]))
    account: Account = attrs.field(init=False)
    accounts: dict[str, Account] = attrs.field(factory=dict, init=False)
    datasets: dict[str, Dataset] = attrs.field(factory=dict, init=False)
    collections: dict[str, Collection] = attrs.field(factory=dict, init=False)
    requests: list[Request] = attrs.field(factory=list, init=False)
    logins: int = attrs.field(default=0, init=False)
    faults: list[Rule] = attrs.field(factory=list, init=False)
    tokens: dict[str, Token] = attrs.field(factory=dict, init=False)
    recording: Callable[[Request], Response | None] | None = attrs.field(default=None, init=False)
    lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _accepted_s: list[float] = attrs.field(factory=list, init=False)  # when the requests of the last second came

    def __attrs_post_init__(self) -> None:
        self.account = self.add_account(EMAIL, PASSWORD)

    @classmethod
    def from_har(cls, path: Path | str, **settings: Any) -> Self:
        """Return a platform that serves a recorded session: the same request gets the same answer, any other a 404.

        Example:
            >>> har = '{"log": {"version": "1.2", "entries": []}}'
            >>> size = Path("session.har").write_text(har)
            >>> Platform.from_har("session.har").connect().collections()
            Traceback (most recent call last):
            kayrros_ext.errors.NotFoundError: ...

        Args:
            path: a HAR 1.2, of `kayrros doctor`, of `kayrros fake --proxy`, or of a browser. Its logins are left out: the
                account of the fake logs in.
            settings: of Platform, such as `latency_s`.

        Raises:
            UsageError: the file is no HAR.
        """
        platform = cls(**settings)
        platform.recording = read_har(path)
        return platform

    def add_account(self, email: str, password: str) -> Account:
        """Add an account that may log in. It replaces one with the same email.

        Example:
            >>> platform.add_account("colleague@example.com", "any-password")
            Account(email='colleague@example.com')
        """
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

        Example:
            >>> dataset = platform.add({"tank-1": {"2024-01-02": {"fill_level_pct": 61.5}}})
            >>> kayrros.results(dataset.id).table["value"].to_pylist()
            [61.5]

        Args:
            results: what the API would send, an object with `assets`; or a plain structure, asset id to date to metric to
                value: {"tank-1": {"2024-01-02": {"fill_level_pct": 61.5}}}. None for a dataset that has only a file.
            id: a UUID; that of the metadata, or a random one, by default.
            name: its name.
            metadata: members of its DatasetMetadata; the others follow from the results. Dates are as for `Kayrros.results`.
            file: what a download gets; bytes alone get a default name and type.
            shared_with: emails of the accounts that may see it, while others get a 403; everyone by default.

        Raises:
            UsageError: an argument is wrong, or nothing that the API could send. The message shows what to pass.
        """
        source = results if isinstance(results, GeneratedResults | None) else StoredResults(read_results(results))
        complete = {"name": "A dataset", "sharedOption": "SHARED", **(source.metadata() if source else {})}
        complete |= arguments.read_metadata({} if metadata is None else metadata)
        complete |= {} if name is None else {"name": arguments.TEXT.check("name", name)}
        uuid = parse_uuid(value := complete.get("id") or uuid4() if id is None else id)
        if uuid is None:
            raise UsageError(f"id is {value!r:.80}.", hint="Pass a UUID, such as 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4.")
        key = complete["id"] = str(uuid)
        dataset = self.datasets[key] = Dataset(key, complete, source, file, shared_with)
        return dataset

    def revise(self, dataset: Dataset | UUID | str, values: Mapping[str, Any]) -> None:
        """Change results of a dataset, as a new processing does, with an id of its own.

        Example:
            >>> dataset = platform.add({"tank-1": {"2024-01-02": {"fill_level_pct": 61.5}}})
            >>> platform.revise(dataset, {"tank-1": {"2024-01-09": {"fill_level_pct": 58}}})
            >>> kayrros.results(dataset.id).table["value"].to_pylist()
            [61.5, 58.0]

        Args:
            dataset: one of the fake, or its id.
            values: asset id to date to metric to value, as for `add`; None in place of any of them removes it.
        """
        key = one_of(self.datasets).check("dataset", str(getattr(dataset, "id", dataset)).lower())
        revised = arguments.revise(self.datasets[key].payload() or {"assets": []}, values)
        source = self.datasets[key].source = StoredResults(read_results({**revised, "processing_id": str(uuid4())}))
        self.datasets[key].metadata |= source.metadata()

    def generate(
        self,
        *,
        seed: int = 0,
        assets: int = 6,
        dates: int | Iterable[Instant] = 12,
        metrics: int | Iterable[str] | None = None,
        template: str = "crude-tanks",
        start: Instant = _START,
        every: timedelta | None = None,
        id: UUID | str | None = None,
        name: str | None = None,
        file: StaticFile | bytes | None = None,
        shared_with: Iterable[str] | None = None,
    ) -> Dataset:
        """Add a dataset with results by seed: the same arguments give the same bytes, and the same id.

        Rows are generated while they are sent, so there may be millions.

        Example:
            >>> platform.generate(seed=1, assets=2, dates=3).row_count
            12

        Args:
            seed: of the values.
            assets: how many.
            dates: how many, or which; each as `Kayrros.results` takes it.
            metrics: names, or how many; those of the template by default. Values of an unknown metric are between 0 and
                100.
            template: what the dataset looks like: "crude-tanks", "methane-hotspots" or "industrial-activity".
            start: first date, if `dates` is a number; as `Kayrros.results` takes it.
            every: time from one date to the next, if `dates` is a number; the template's by default.
            id: a UUID; by default one that follows from the other arguments.
            name: its name; the template's by default.
            file: as for `add`.
            shared_with: as for `add`.

        Raises:
            UsageError: an argument is wrong. The message shows what to pass.
        """
        model = TEMPLATES[one_of(TEMPLATES).check("template", template)]
        if isinstance(dates, int):
            step = arguments.STEP.check("every", timedelta(model.every_days) if every is None else every) // MICROSECOND
            first = to_us("start", start)
            number(1, (MAX_MS * 1000 - first) // step, _DATES, int).check("dates", dates)
            moments: Sequence[int] = range(first, first + dates * step, step)
        elif start is not _START or every is not None:
            raise UsageError("start and every don't fit a list of dates.", hint="Omit them, or pass a number of dates.")
        else:
            moments = tuple(sorted(read_items("dates", dates, functools.partial(to_us, "dates"), _DATES)))
        by_name = {metric.name: metric for metric in model.metrics}
        if metrics is None:
            names = tuple(by_name)
        elif isinstance(metrics, int):
            number(1, 1000, _METRICS, int).check("metrics", metrics)
            names = tuple(f"metric_{place:02d}" for place in range(1, metrics + 1))
        else:
            names = read_items("metrics", metrics, arguments.read_text, _METRICS)
        chosen = tuple(by_name.get(item, Metric(item, series=item)) for item in names)
        if not moments or not chosen:
            raise UsageError("There is nothing to generate.", hint="Pass at least one date and one metric.")
        source = GeneratedResults(seed, model, assets, moments, chosen)
        key = source.uuid(name) if id is None else id
        return self.add(source, id=key, name=name, file=file, shared_with=shared_with)

    def add_examples(self) -> list[Dataset]:
        """Add what openapi.yaml shows: crude oil tanks (with a file), methane hot spots, industrial sites, collections.

        The ids, assets and special cases are the same, so that a script works with the fake and with `kayrros mock`.

        Example:
            >>> [dataset.metadata["name"] for dataset in Platform().add_examples()][0]
            'Crude oil storage, selected terminals'
        """
        document = json.loads(resources.files(__package__).joinpath("examples.json").read_bytes())
        datasets = []
        for example in document["datasets"]:
            file = example["file"] and StaticFile(**{**example["file"], "content": example["file"]["content"].encode()})
            datasets.append(dataset := self.add(metadata=example["metadata"], file=file))
            dataset.source = StoredResults(example["results"])  # unread, because pyarrow takes a while to import
        for collection in document["collections"]:
            self.add_collection(collection["name"], collection["dataset_ids"], id=collection["id"])
        return datasets

    def add_collection(
        self, name: str, datasets: Iterable[Dataset | UUID | str], *, id: str | None = None
    ) -> Collection:
        """Add a collection of datasets that exist. Its id may be any string (assumed); a random UUID by default.

        Example:
            >>> collection = platform.add_collection("Mine", [platform.generate(name="Tanks")])
            >>> [dataset.name for dataset in kayrros.datasets("Mine")]
            ['Tanks']
        """
        kind, advice = one_of(self.datasets), "a list of datasets that exist, such as [dataset]"
        ids = read_items(
            "datasets", datasets, lambda item: kind.check("id", str(getattr(item, "id", item)).lower()), advice
        )
        collection = Collection(str(uuid4()) if id is None else id, name, ids)
        self.collections[collection.id] = collection
        return collection

    def give_token(self, email: str = EMAIL) -> str:
        """Issue a token of an account without a login. Tokens are opaque, and no JWTs (assumed).

        Example:
            >>> with platform.connect(token=platform.give_token()) as kayrros:
            ...     len(kayrros.collections())
            2
        """
        one_of(self.accounts).check("email", email)
        token = f"fake-{secrets.token_hex(16)}"
        self.tokens[token] = Token(email, self.clock())
        return token

    def expire_tokens(self) -> None:
        """Let all tokens issued so far expire now.

        Example:
            >>> platform.expire_tokens()
            >>> len(kayrros.collections()), platform.logins  # the client has logged in again
            (2, 2)
        """
        for token in list(self.tokens.values()):
            token.is_revoked = True

    def fail_next(self, fault: Failure, *, times: int | None = 1, operation: str | None = None, skip: int = 0) -> Rule:
        """Let the next requests fail.

        Example:
            >>> rule = platform.fail_next(503, times=2, operation="listCollections")
            >>> len(kayrros.collections()), rule.count  # the client has retried
            (2, 2)

        Args:
            fault: what goes wrong, or an error status.
            times: how many requests it happens to, 1 or more; None for all.
            operation: operationId, such as "getDatasetResults"; any operation by default.
            skip: how many requests it spares first.

        Raises:
            UsageError: an argument is wrong, here or in `fail_when` and `fail_at_random`. The message shows what to pass.
        """
        return self._add_rule(fault, lambda _: True, operation, times, skip)

    def fail_when(self, matches: Callable[[Request], bool], fault: Failure, *, operation: str | None = None) -> Rule:
        """Let the requests fail for which a predicate is true; otherwise like `fail_next`.

        Example:
            >>> rule = platform.fail_when(lambda request: "7d3c1a52" in request.path, 404)
            >>> kayrros.metadata("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
            Traceback (most recent call last):
            kayrros_ext.errors.NotFoundError: ...
        """
        return self._add_rule(fault, matches, operation)

    def fail_at_random(self, fault: Failure, *, probability: float, seed: int, operation: str | None = None) -> Rule:
        """Let a share of the requests fail, the same ones for the same seed; otherwise like `fail_next`.

        Example:
            >>> rule = platform.fail_at_random(503, probability=0.2, seed=1)
            >>> len(kayrros.collections())
            2
        """
        arguments.SHARE.check("probability", probability)
        draw = random.Random(arguments.INTEGER.check("seed", seed)).random  # noqa: S311 - repeatable is the point  # nosec B311
        return self._add_rule(fault, lambda _: draw() < probability, operation)

    def _add_rule(self, fault: Failure, matches: Callable[[Request], bool], *options: Any) -> Rule:
        rule = Rule(Fault.status(fault) if isinstance(fault, int) else fault, matches, *options)
        self.faults.append(rule)
        return rule

    def transport(self) -> Transport:
        """Return an httpx transport to it, for sync and async clients. It has the two hosts of Kayrros and no other.

        Example:
            >>> with platform.connect(transport=platform.transport()) as kayrros:
            ...     len(kayrros.collections())
            2
        """
        return Transport(self.handle, sleep=self.sleep)

    def serve(self, *, port: int = 0) -> AbstractContextManager[str]:
        """Serve it on 127.0.0.1 during a `with` block, which gets the URL of both hosts. The port is free by default.

        Example:
            >>> with platform.serve() as url, platform.connect(base_url=url) as kayrros:
            ...     len(kayrros.collections())
            2

        Raises:
            MockError: the port is taken. Raised on entering the block.
        """
        return serve(self.handle, port=arguments.PORT.check("port", port), sleep=self.sleep)

    def connect(self, **settings: Any) -> Kayrros:
        """Return a client of it, in process, with its account. Close it, or use it in a `with` block.

        Example:
            >>> with platform.connect(retries=0) as kayrros:
            ...     len(kayrros.collections())
            2

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
        """Return environment variables that point Kayrros to the URL of `serve`, with the account.

        Example:
            >>> platform.environment("http://127.0.0.1:4010")["KAYRROS_BASE_URL"]
            'http://127.0.0.1:4010'
        """
        account = {"KAYRROS_EMAIL": self.account.email, "KAYRROS_PASSWORD": self.account.password}
        return {"KAYRROS_BASE_URL": url, "KAYRROS_AUTH_URL": url, **account}

    def handle(self, request: Request) -> Response:
        """Record a request and return the response to it. Transport and server call this.

        Example:
            >>> request = Request("GET", None, "/v1/processing/collection/list", {}, b"")
            >>> platform.handle(request).status  # it has no token
            401
        """
        operation = operations_at(request).get(request.method)
        request.operation = operation.id if operation else None
        self.requests.append(request)
        with self.lock:
            rules = [Rule(_TOO_MANY, self._is_limited), *self.faults]
            rule = next((rule for rule in rules if rule.applies_to(request)), None)
        response = Response(200, {}) if rule and rule.fault.replaces_response else respond(self, request)
        if rule:
            request.fault = rule.fault.description
            response = rule.fault.damage(response)
        request.status = None if response.dropped else response.status
        return attrs.evolve(response, delay_s=response.delay_s + self.latency_s)

    def _is_limited(self, _: Request) -> bool:
        """Return whether a request is one too many in a second."""
        now, limit = self.clock(), self.max_requests_per_second
        self._accepted_s = [moment_s for moment_s in self._accepted_s if limit and now - moment_s < 1]
        is_limited = limit is not None and len(self._accepted_s) >= limit
        self._accepted_s += [] if is_limited else [now]
        return is_limited
