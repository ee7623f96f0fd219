"""The platform fake: a small stateful Kayrros, in process or on loopback."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import attrs

from kayrros_ext._config.retries import DEFAULT_MAX_RETRIES, Retries
from kayrros_ext._config.settings import AUTH_URL, BASE_URL
from kayrros_ext.client import Kayrros
from kayrros_ext.errors import UsageError
from kayrros_ext.testing.accounts import EMAIL, PASSWORD
from kayrros_ext.testing.checks import Inclusive, read_inclusive
from kayrros_ext.testing.faults import Fault, Rule, at_random
from kayrros_ext.testing.holdings import Holdings
from kayrros_ext.testing.messages import Answer, Request
from kayrros_ext.testing.operations import OPERATIONS, answer_to, find
from kayrros_ext.testing.server import serve_on_loopback
from kayrros_ext.testing.transport import Transport


class Platform(Holdings):
    """A small Kayrros: logins, tokens, datasets and faults as you put them in. It starts with one account and no data.

    It answers as openapi.yaml says; where that only assumes, so does the fake: see docs/testing.md.

    Args:
        token_lifetime_s: seconds that a token lives; None for ever. How long a real one does is unknown.
        inclusive: which ends of a time range belong to it: "both", "left" (the start), "right" or "neither". Unknown of
            the real API.
        max_rows: most rows (assets times dates times metrics) that a results answer may have; more end in a 504.
        latency_s: seconds before each answer.
        clock: seconds that only grow; what tokens age by.
        sleep: waits so many seconds, in threads. Tasks wait with anyio.

    Attributes:
        accounts: by email.
        datasets: by id, in lower case.
        collections: by id.
        requests: all that came, with the status that they got and the fault that they met.
        logins: how many logins gave a token.
        faults: the rules of what goes wrong, in the order they are tried; the first that fits a request happens.
        token_lifetime_s, inclusive, max_rows, latency_s: may be set at any time.
        expired_status: what an expired token gets, 401 unless set; 403 is possible too. Unknown of the real API.
    """

    def __init__(
        self,
        *,
        token_lifetime_s: float | None = None,
        inclusive: Inclusive = "both",
        max_rows: int | None = None,
        latency_s: float = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(clock)
        self.token_lifetime_s, self.max_rows = token_lifetime_s, max_rows
        self.inclusive = read_inclusive(inclusive)
        self._sleep = sleep
        self.latency_s = latency_s
        self.requests: list[Request] = []
        self.faults: list[Rule] = []
        self.account = self.add_account(EMAIL, PASSWORD)

    # What happens.

    def expire_tokens(self) -> None:
        """All tokens given so far expire now."""
        self.tokens.expire()

    def give_token(self, email: str = EMAIL) -> str:
        """A token of an account without a login, for clients that are given one."""
        return self.tokens.give(email)

    def fail_next(
        self, fault: Fault | int, *, times: int | None = 1, operation: str | None = None, skip: int = 0
    ) -> Rule:
        """Something goes wrong with the next requests.

        Args:
            fault: what, or an error status.
            times: how many requests it happens to; None for all.
            operation: operationId, such as "getDatasetResults"; any operation unless given.
            skip: how many of them go well before.

        Raises:
            UsageError: there is no such operation.
        """
        return self.fail_when(lambda _: True, fault, times=times, operation=operation, skip=skip)

    def fail_when(
        self,
        matches: Callable[[Request], bool],
        fault: Fault | int,
        *,
        times: int | None = None,
        operation: str | None = None,
        skip: int = 0,
    ) -> Rule:
        """Something goes wrong with the requests that a predicate holds for; else as `fail_next`."""
        if operation is not None and operation not in (names := [known.name for known in OPERATIONS]):
            raise UsageError(f"operation is {operation!r}. Give one of {', '.join(names)}.")
        rule = Rule(
            Fault.status(fault) if isinstance(fault, int) else fault,
            lambda request: operation in {None, request.operation} and matches(request),
            times,
            skip,
        )
        self.faults.append(rule)
        return rule

    def fail_at_random(
        self, fault: Fault | int, *, probability: float, seed: int, operation: str | None = None
    ) -> Rule:
        """Something goes wrong with a share of the requests, with the same ones for the same seed; else as `fail_next`."""
        return self.fail_when(at_random(probability, seed), fault, operation=operation)

    # How to reach it.

    def transport(self) -> Transport:
        """An httpx transport to it, for sync and async clients, without a socket: `Kayrros(transport=...)`.

        It answers for the two hosts of Kayrros, and for no other.
        """
        return Transport(self.handle, sleep=self._sleep)

    def serve(self, *, port: int = 0) -> AbstractContextManager[str]:
        """Serve it on 127.0.0.1 while a `with` block runs, which is given the URL of both hosts.

        Args:
            port: a free one unless given.

        Raises:
            MockError: on entering the block, where the port is taken.
        """
        return serve_on_loopback(self.handle, port=port, sleep=self._sleep)

    def connect(self, **settings: Any) -> Kayrros:
        """A client of it, in process, with its account; close it, or use it in a `with` block.

        Args:
            settings: of Kayrros, in place of the account, say `token=`. With base_url, that of `serve`, it goes there.
                What is tried again is tried at once, unless `retries` is Retries.
        """
        retries = settings.get("retries", DEFAULT_MAX_RETRIES)
        if not isinstance(retries, Retries):
            settings["retries"] = attrs.evolve(Retries.parse(retries), backoff_initial=0, sleep=self._sleep)
        if not {"email", "password", "token"} & set(settings):
            settings |= {"email": self.account.email, "password": self.account.password}
        if "base_url" in settings:
            return Kayrros(**{"auth_url": settings["base_url"], **settings})
        return Kayrros(**{"base_url": BASE_URL, "auth_url": AUTH_URL, "transport": self.transport(), **settings})

    def environment(self, url: str) -> dict[str, str]:
        """Environment variables that point Kayrros to the URL that `serve` gave, with the account."""
        return {
            "KAYRROS_BASE_URL": url,
            "KAYRROS_AUTH_URL": url,
            "KAYRROS_EMAIL": self.account.email,
            "KAYRROS_PASSWORD": self.account.password,
        }

    def handle(self, request: Request) -> Answer:
        """The answer to a request, which is noted; what transport and server call."""
        found = [known.name for known in find(request) if known.method == request.method]
        request.operation = found[0] if found else None
        self.requests.append(request)
        with self.lock:
            rule = next((rule for rule in list(self.faults) if rule.takes(request)), None)
        healthy = Answer(200, {}) if rule and rule.fault.instead else answer_to(self, request)
        request.fault = rule.fault.words if rule else "more than max_rows" if healthy.status == 504 else None
        answer = rule.fault.damage(healthy) if rule else healthy
        request.status = None if answer.dropped else answer.status
        return attrs.evolve(answer, delay_s=answer.delay_s + self.latency_s) if self.latency_s else answer
