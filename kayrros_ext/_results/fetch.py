"""All results of a dataset, however large: in one answer where the gateway lets it through, else window by window."""

import logging
import math
import queue
import threading
from collections.abc import Iterator
from typing import Literal, cast, get_args
from uuid import UUID

import attrs

from kayrros_ext._http.client import CALL_OPTIONS, ApiClient, CallOptions
from kayrros_ext._inputs import EPOCH, FIRST_MS, LAST_MS, MAX_MS, MILLISECOND, MIN_MS, now_ms
from kayrros_ext._progress import Progress, Report, reporter
from kayrros_ext._results.model import Gap, Results, list_names
from kayrros_ext._results.windows import DAY_MS, MOST_ASSETS, Plan, Window
from kayrros_ext.errors import APIError, ContractError, GapError, KayrrosError, TransportError, UsageError
from kayrros_openapi.api.datasets import get_dataset_metadata, get_dataset_results
from kayrros_openapi.models import DatasetMetadata, DateRange, ProcessingResultFilter
from kayrros_openapi.types import UNSET, Unset

OnGap = Literal["raise", "warn"]
# The answer is too large for the gateway, or for the time that we give it.
TOO_LARGE = {502, 503, 504}
# What one answer may hold where memory is to be flat: a quarter of a million rows, about.
FLAT_BODY = 16 * 1024**2
SPLIT_AT_ONCE = frozenset({504})

_HINTS: dict[OnGap, str] = {
    "raise": 'With on_gap="warn", what the platform can\'t answer is left out, and the rest comes.',
    "warn": "The other parts would have ended the same way, so they were not asked for.",
}

_log = logging.getLogger("kayrros_ext")
_Outcome = tuple[Window, "Results | BaseException"]


class ResultsFetcher:
    """The results that a filter lets through, part by part, in order of time; each row in one part.

    Args:
        door: of the client.
        dataset_id: whose results.
        wanted: the filter.
        concurrency: how many requests run at a time.
        on_gap: what a window that can't be had at any size is: an error, or a gap in the results.
        is_flat: whether memory is to be: then parts are small, and few wait for the one before them.
        report: is told of progress.

    Attributes:
        about: what a file should say of its rows: range, number of requests, gaps. Whole once the last part has come.
    """

    def __init__(
        self,
        client: ApiClient,
        dataset_id: UUID,
        wanted: ProcessingResultFilter | Unset,
        *,
        concurrency: int,
        on_gap: OnGap,
        bounded_memory: bool,
        progress: "Report | bool | None",
    ) -> None:
        is_flat, report, on_gap = bounded_memory, reporter(progress), parse_on_gap(on_gap)
        self._client, self._dataset_id, self._concurrency = client, dataset_id, concurrency
        self._wanted = wanted if isinstance(wanted, ProcessingResultFilter) else ProcessingResultFilter()
        self._ids = tuple(self._wanted.mo_ids or ())
        self._unseen = set(self._ids)
        self._on_gap, self._report = on_gap, report
        self._ahead: float = concurrency if is_flat else math.inf
        self._max_body = FLAT_BODY if is_flat else None
        self._requests = self._requests_told = 0
        self._lock = threading.Lock()
        self._about: DatasetMetadata | None = None
        self.about: dict[str, str] = {}
        self._outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._running: set[Window] = set()
        self._ready: dict[Window, Results] = {}

    def __iter__(self) -> Iterator[Results]:
        has_failed = False
        if len(self._ids) <= MOST_ASSETS:
            try:
                part = self._ask(self._wanted if self._wanted.to_dict() else UNSET, SPLIT_AT_ONCE)
            except KayrrosError as error:
                if not is_too_large(error) or (is_outage(error) and self._is_down()):
                    raise
                has_failed = True
            else:
                self._told(part.table.num_rows, 1.0)
                self._see(part)
                yield attrs.evolve(part, requests=self._requests_since())
                self._ended(part.table.num_rows, 1, [])
                return
        yield from self._windows(self._plan(has_failed=has_failed))

    def parts(self) -> Iterator[Results]:
        from kayrros_ext._results.merge import merged

        unknown: set[str] = set()
        for part in self:
            if not unknown.issuperset(part.unknown_fields):
                unknown.update(part.unknown_fields)
                part.warn_unknown_fields()
            yield merged([part])

    def _plan(self, *, has_failed: bool) -> Plan:
        """Where to cut: the range of the filter, else that of the metadata, else from 1970 to now."""
        ends = self._wanted.time_range
        first, last = (ends.start_date, ends.stop_date) if isinstance(ends, DateRange) else (FIRST_MS, LAST_MS)
        likely = (first, last)
        if first == FIRST_MS or last == LAST_MS:
            begins, ends_ = self._dates()
            if not isinstance(ends, DateRange):  # nobody said that what lies beyond is not wanted
                first, last = max(min(first, begins - DAY_MS), MIN_MS), min(max(last, ends_ + DAY_MS), MAX_MS)
            likely = (max(first, begins), min(last, ends_))
        if likely[0] >= likely[1]:
            likely = (first, last)
        batches = [self._ids[start : start + MOST_ASSETS] for start in range(0, len(self._ids), MOST_ASSETS)]
        return Plan((first, last), likely, [*batches] or [None], self._concurrency, has_failed)

    def _is_down(self) -> bool:
        """Whether the platform does not answer at all: then no part of the results will come either."""
        try:
            self._about = get_dataset_metadata.sync_detailed(self._dataset_id, client=self._client).parsed
        except (APIError, TransportError) as error:
            return is_outage(error)
        except ContractError:
            pass
        return False

    def _dates(self) -> tuple[int, int]:
        """First and last date of the dataset, as far as its metadata knows; they say where to cut, not what to leave out."""
        begins = ends = None
        try:
            self._about = (
                self._about or get_dataset_metadata.sync_detailed(self._dataset_id, client=self._client).parsed
            )
            begins, ends = self._about.start_date, self._about.stop_date
        except (APIError, ContractError, TransportError) as error:
            _log.warning("The metadata of the dataset could not be had (%s): its results are cut from 1970 on.", error)
        found = (begins if isinstance(begins, int) else FIRST_MS, ends if isinstance(ends, int) else now_ms())
        if MIN_MS <= found[0] <= found[1] <= MAX_MS:
            return found[0], found[1] + 1  # one moment is a range too
        return FIRST_MS, now_ms()

    def _windows(self, plan: Plan) -> Iterator[Results]:
        """The parts, as soon as all before them are there."""
        from kayrros_ext._results.merge import Repeats  # pyarrow is heavy
        from kayrros_ext._results.reader import read_results

        repeats, rows, count, done = Repeats(), 0, 0, 0.0
        total = sum(plan.amount(window) for window in plan.pending) or 1.0  # of one moment, which has no length
        gaps: list[Gap] = []
        failure: GapError | None = None
        while True:
            self._start(plan)
            if not self._running:
                break
            window, outcome = self._outcomes.get()
            self._running.remove(window)
            if isinstance(outcome, Results):
                plan.succeeded(window, outcome.table.num_rows)
                self._ready[window] = outcome
            elif gap := self._failed(plan, window, outcome):
                if self._on_gap == "warn" and _is_of_this_part(gap) and self._answers_at_all(window):
                    _log.warning("getDatasetResults: %s could not be had, and is left out: %s", gap, gap.error)
                    gaps.append(gap)
                    self._ready[window] = attrs.evolve(read_results(b'{"assets": []}'), gaps=(gap,))
                else:
                    failure = self._gap_error(plan, gap)
            if window in self._ready:
                rows, count = rows + self._ready[window].table.num_rows, count + 1
                done += plan.amount(window)
                self._told(rows, min(done / total, 0.999) if plan.pending or self._running else 1.0, count)
            for known in self._due(plan, everything=failure is not None):
                part = repeats.without(self._ready.pop(known), known)
                self._see(part)
                yield attrs.evolve(part, requests=self._requests_since())
            if failure:
                raise failure
        self._ended(rows, count, gaps)

    def _start(self, plan: Plan) -> None:
        """Start requests, each in a thread of its own that dies with the program: nobody waits for a gateway at the end."""
        while len(self._running) < self._concurrency:
            if self._running and len(self._running) + len(self._ready) >= self._ahead:
                return
            window = plan.take()
            if window is None:
                return
            self._running.add(window)
            can_be_cut = plan.parts(window) or self._may_learn_assets(plan, window)
            arguments = (window, plan.asked(window), SPLIT_AT_ONCE if can_be_cut else frozenset())
            threading.Thread(target=self._run, args=arguments, daemon=True, name="kayrros-results").start()

    def _run(self, window: Window, ends: tuple[int, int], unless: frozenset[int]) -> None:
        outcome: Results | BaseException
        try:
            outcome = self._ask(_filter(*ends, window.assets), unless)
            _check_range(outcome, *ends)
            _check_assets(outcome, window.assets)
        except BaseException as error:
            outcome = error
        self._outcomes.put((window, outcome))

    def _failed(self, plan: Plan, window: Window, error: BaseException) -> Gap | None:
        """What a failed window comes to: nothing where it goes back in parts, else a gap."""
        if not isinstance(error, KayrrosError):
            raise error
        if not is_too_large(error):
            plan.gave_up(window)
        elif plan.failed(window) or self._learn_assets(plan, window):
            return None
        elif isinstance(error, ContractError) and self._max_body is not None:
            # Every answer names all assets that it is of: where these alone are many, none is small.
            self._max_body, plan.assets = None, None
            plan.once_more(window)
            return None
        return _gap(window, error)

    def _may_learn_assets(self, plan: Plan, window: Window) -> bool:
        return plan.assets is None and not self._ids and not window.assets

    def _learn_assets(self, plan: Plan, window: Window) -> bool:
        """The ids of all assets, from an answer for a day before all data: what a day that is too large is cut by.

        That an asset without a date in the range is in the answer is assumed, so they are counted.
        """
        if not self._may_learn_assets(plan, window):
            return False
        plan.assets = ()
        try:
            found = self._ask(_filter(0, DAY_MS, None)).assets["asset_id"]
        except KayrrosError as error:
            if self._max_body is not None and is_too_large(error):
                return False  # they alone are too many for a small answer
            _log.warning("The ids of the assets could not be had, and a day can't be cut by them: %s", error)
            return False
        ids = tuple(found.unique().to_pylist())
        if None in ids:
            _log.warning("Some assets have no id: a day can't be cut by them.")
            return False
        count = self._about.asset_count if self._about else None
        if isinstance(count, int) and len(ids) < count:
            _log.warning("Of %d assets, only %d are known by id: a day can't be cut by them.", count, len(ids))
            return False
        plan.assets = ids
        return plan.again(window)

    def _answers_at_all(self, window: Window) -> bool:
        """Whether the platform has an answer for a day before all data: else it would have none for the other parts either.

        Without this, an outage would be left out day by day.
        """
        try:
            self._ask(_filter(0, DAY_MS, window.assets))
        except ContractError:
            return True
        except KayrrosError as error:
            _log.warning("getDatasetResults: no answer comes, not even to what is small: %s", error)
            return False
        return True

    def _due(self, plan: Plan, *, everything: bool) -> list[Window]:
        """The parts that have come and that nothing before them is missing of, in order."""
        missing = [] if everything else [*plan.pending[:1], *self._running]
        limit = min((window.place for window in missing), default=None)
        return sorted(
            (window for window in self._ready if limit is None or window.place < limit), key=lambda known: known.place
        )

    def _ask(self, wanted: ProcessingResultFilter | Unset, unless: frozenset[int] = frozenset()) -> Results:
        kwargs = get_dataset_results._get_kwargs(dataset_id=self._dataset_id, body=wanted)
        options = CallOptions(no_retry_statuses=unless, max_body=self._max_body)
        try:
            response = self._client.get_httpx_client().request(**kwargs, extensions={CALL_OPTIONS: options})
            self._count(response.extensions["attempts"])
            return self._read(response.content)
        except (APIError, TransportError) as error:
            self._count(error.attempts)
            raise

    def _read(self, body: bytes) -> Results:
        from kayrros_ext._results.reader import read_results, sort_rows

        try:
            return sort_rows(read_results(body))
        except ContractError as error:
            errors = self._client.get_httpx_client().policy.errors
            problem, quoted = str(error.args[0]), None if error.where else body
            raise errors.contract("getDatasetResults", problem, body=quoted, where=error.where) from None

    def _count(self, attempts: int) -> None:
        with self._lock:
            self._requests += attempts

    def _requests_since(self) -> int:
        """Requests that no part has counted yet."""
        count, self._requests_told = self._requests - self._requests_told, self._requests
        return count

    def _gap_error(self, plan: Plan, gap: Gap) -> GapError:
        missing = sorted([*self._running, *plan.pending], key=lambda window: window.place)
        error = GapError(
            f"getDatasetResults: the results of {gap} could not be had ({gap.error}) What came until then is not lost: see "
            f"GapError. {_HINTS[self._on_gap]}",
            gaps=(gap, *(_gap(window, None) for window in missing)),
            results=None,
        )
        error.__cause__ = gap.error
        return error

    def _ended(self, rows: int, windows: int, gaps: list[Gap]) -> None:
        ends = self._wanted.time_range
        if isinstance(ends, DateRange):
            first, last = (EPOCH + moment * MILLISECOND for moment in (ends.start_date, ends.stop_date))
            self.about |= {"start": first.isoformat(), "stop": last.isoformat()}
        self.about |= {"requests": str(self._requests), "gaps": "; ".join(map(str, gaps))}
        if self._unseen and not gaps:
            named = list_names(self._unseen)
            _log.warning("%d of the assets asked for are not in the answer: %s", len(self._unseen), named)
        _log.info("getDatasetResults: %d rows in %d windows, %d requests", rows, windows, self._requests)

    def _see(self, part: Results) -> None:
        if self._unseen:
            self._unseen.difference_update(part.assets["asset_id"].unique().to_pylist())

    def _told(self, rows: int, fraction: float, windows: int = 1) -> None:
        self._report(Progress(fraction=fraction, rows=rows, windows=windows, requests=self._requests))


def parse_on_gap(value: str) -> OnGap:
    """What is to happen where a part can't be had.

    Raises:
        UsageError: it is neither of the two.
    """
    if value in get_args(OnGap):
        return cast("OnGap", value)
    raise UsageError(f'on_gap is {value!r}. Give "raise" or "warn".')


def is_too_large(error: KayrrosError) -> bool:
    """Whether less may come where this did not."""
    if isinstance(error, APIError):
        return error.status in TOO_LARGE
    if isinstance(error, TransportError):
        return error.reason == "ReadTimeout" and error.operation != "login"
    return isinstance(error, ContractError) and error.is_too_large


def _is_of_this_part(gap: Gap) -> bool:
    """Whether the other parts may come all the same: not where the login, the network or the account is at fault."""
    return isinstance(gap.error, ContractError) or (
        isinstance(gap.error, KayrrosError) and (is_too_large(gap.error) or getattr(gap.error, "status", 0) >= 500)
    )


def _gap(window: Window, error: KayrrosError | None) -> Gap:
    first, last = (EPOCH + moment * MILLISECOND for moment in (window.start_ms, window.stop_ms))
    return Gap(first, last, window.assets, error)


def is_outage(error: KayrrosError) -> bool:
    """Whether the platform may be down: a 504 alone says that it works, and for too long."""
    return isinstance(error, TransportError) or (isinstance(error, APIError) and error.status in {502, 503})


def _filter(first: int, last: int, assets: tuple[str, ...] | None) -> ProcessingResultFilter:
    return ProcessingResultFilter(
        time_range=DateRange(start_date=first, stop_date=last), mo_ids=UNSET if assets is None else list(assets)
    )


def _check_assets(found: Results, assets: tuple[str, ...] | None) -> None:
    """That the server leaves out the assets that were not asked for: else their rows would come with each part.

    Raises:
        ContractError: it does not.
    """
    others = set(found.assets["asset_id"].unique().to_pylist()).difference(assets) if assets else None
    if others:
        raise ContractError(
            f"the asset {others.pop()!r} came, which was not asked for, so the dataset can't be had part by part",
            operation="getDatasetResults",
        )


def _check_range(found: Results, first: int, last: int) -> None:
    """That the server cuts where it is asked to, give or take a day: else the parts would not be parts.

    Raises:
        ContractError: it does not.
    """
    import pyarrow.compute as pc

    if not found.table.num_rows:
        return
    ends = pc.min_max(found.table["value_date"]).as_py()
    for name, date, beyond in (("before", ends["min"], first - DAY_MS), ("after", ends["max"], last + DAY_MS)):
        if date is None:
            continue
        moment = (date - EPOCH) / MILLISECOND
        if (moment < beyond) if name == "before" else (moment > beyond):
            raise ContractError(
                f"a value of {date} came, more than a day {name} the range that was asked for, so the dataset can't be "
                "had part by part",
                operation="getDatasetResults",
            )
