"""Fetch all results of a dataset, however large: in one response if the gateway allows it, else in time windows.

No row is lost between two windows, although a server may filter in its own time zone: it shifts both windows at a boundary
alike. Rows that come with both, because the server counts the ends in or rounds a range to days, are dropped by
`Deduplicator`.
"""

import logging
import math
import queue
import threading
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import attrs

from kayrros_ext._http.client import CALL_OPTIONS, ApiClient, CallOptions
from kayrros_ext._progress import Progress, ProgressCallback, make_callback
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import EPOCH, FIRST_MS, LAST_MS, MAX_MS, MILLISECOND, MIN_MS, OnGap, parse_on_gap
from kayrros_ext._results.windows import DAY_MS, HOUR_MS, MAX_ASSETS_PER_REQUEST, Window, WindowPlanner
from kayrros_ext.errors import APIError, ContractError, GapError, KayrrosError, TransportError
from kayrros_openapi.api.datasets import get_dataset_metadata, get_dataset_results
from kayrros_openapi.models import DatasetMetadata, DateRange, ProcessingResultFilter
from kayrros_openapi.types import UNSET, Unset

# A response may be too large for the gateway, or for the time that it has.
TOO_LARGE_STATUSES = {502, 503, 504}
# A 504 is not retried while a request can be split.
SPLIT_STATUSES = frozenset({504})
# Largest response with bounded memory, about a quarter of a million rows.
STREAM_MAX_BYTES = 16 * 1024**2
# A time zone (14 hours at most) and a day that a range is rounded to.
MAX_SHIFT_MS = DAY_MS + 14 * HOUR_MS
# A range before all data, with a small response.
_EMPTY_RANGE = 0, DAY_MS
_OPERATION = "getDatasetResults"
_GAP_HINTS: dict[OnGap, str] = {
    "raise": 'The results so far are in `error.results`. With on_gap="warn", a part that is unavailable is left out.',
    "warn": "The results so far are in `error.results`. The other parts were not requested, because they would fail alike.",
}

_log = logging.getLogger("kayrros_ext")


class ResultsFetcher:
    """The results that match a query, part by part, in order of time; each row in one part.

    Args:
        client: sends the requests.
        dataset_id: id of the dataset.
        query: the filter.
        concurrency: how many requests run at a time.
        on_gap: whether a window that is unavailable at any size is an error, or a gap in the results.
        bounded_memory: whether to limit the size of a response, and the number of parts that wait for an earlier one.
        progress: as `Kayrros.results` takes it.

    Attributes:
        file_metadata: what a file should record: range, number of requests, gaps. Complete after the last part.

    Raises:
        UsageError: on_gap or progress can't work.
    """

    def __init__(
        self,
        client: ApiClient,
        dataset_id: UUID,
        query: ProcessingResultFilter | Unset,
        *,
        concurrency: int,
        on_gap: OnGap,
        bounded_memory: bool,
        progress: ProgressCallback | bool | None,
    ) -> None:
        self._client, self._dataset_id, self._query, self._concurrency = client, dataset_id, query, concurrency
        self._on_gap: OnGap = on_gap if on_gap == "raise" else parse_on_gap(on_gap)
        self._callback = None if progress is None or progress is False else make_callback(progress)
        self._shows_windows = progress is None
        self._asset_ids = tuple(query.mo_ids or ()) if query else ()
        self._missing_ids = set(self._asset_ids)
        self._time_range = query.time_range if query and isinstance(query.time_range, DateRange) else None
        self._max_waiting = concurrency if bounded_memory else math.inf
        self._max_body = STREAM_MAX_BYTES if bounded_memory else None
        self._requests = self._reported_requests = 0
        self._lock = threading.Lock()
        self._metadata: DatasetMetadata | None = None
        self.file_metadata: dict[str, str] = {}
        self._planner: WindowPlanner
        # Windows that run, their outcomes, and those that wait for an earlier one.
        self._outcomes: queue.SimpleQueue[tuple[Window, Results | BaseException]] = queue.SimpleQueue()
        self._running: set[Window] = set()
        self._waiting: dict[Window, Results] = {}
        self._gaps: list[Gap] = []

    def __iter__(self) -> Iterator[Results]:
        is_too_large = False
        if len(self._asset_ids) <= MAX_ASSETS_PER_REQUEST:
            try:
                part = self._request(self._query, SPLIT_STATUSES)
            except KayrrosError as error:
                if not _is_too_large(error) or (_is_outage(error) and self._is_down()):
                    raise
                is_too_large = True
            else:
                self._report_progress(part.table.num_rows, 1.0, 1)
                yield self._finish_part(part)
                self._finish(part.table.num_rows, 1)
                return
        yield from self._fetch_windows(is_too_large=is_too_large)

    def parts(self) -> Iterator[Results]:
        """Yield the parts, and warn of each undeclared field once."""
        warned: set[str] = set()
        for part in self:
            if not warned.issuperset(part.unknown_fields):
                warned.update(part.unknown_fields)
                part.warn_unknown_fields()
            yield part

    def _fetch_windows(self, *, is_too_large: bool) -> Iterator[Results]:
        from kayrros_ext._results.merge import Deduplicator  # pyarrow is heavy

        if self._shows_windows:
            self._callback = make_callback(None)
        planner = self._planner = self._plan(is_too_large=is_too_large)
        deduplicator = Deduplicator()
        total = sum(map(planner.amount, planner.pending)) or 1.0  # one moment has no length
        rows, count, done = 0, 0, 0.0
        failure: GapError | None = None
        while not failure:
            self._start_requests()
            if not self._running:
                break
            window, outcome = self._outcomes.get()
            self._running.remove(window)
            if isinstance(outcome, Results):
                planner.succeeded(window, outcome.table.num_rows)
                self._waiting[window] = outcome
            elif gap := self._handle_failure(window, outcome):
                failure = self._handle_gap(window, gap)
            if window in self._waiting:
                rows, count = rows + self._waiting[window].table.num_rows, count + 1
                done += planner.amount(window)
                fraction = min(done / total, 0.999) if planner.pending or self._running else 1.0
                self._report_progress(rows, fraction, count)
            for ready in self._take_ready(everything=failure is not None):
                is_first = ready.start_ms == planner.outer[0]
                part = deduplicator.deduplicate(ready, self._waiting.pop(ready), is_first=is_first)
                yield self._finish_part(part)
        if failure:
            raise failure
        self._finish(rows, count)

    def _plan(self, *, is_too_large: bool) -> WindowPlanner:
        """Plan windows over the range of the query, else of the metadata, else from 1970 to now."""
        outer = (FIRST_MS, LAST_MS)
        if self._time_range:
            outer = self._time_range.start_date, self._time_range.stop_date
        likely = outer
        if outer[0] == FIRST_MS or outer[1] == LAST_MS:
            first, last = self._date_range()
            if not self._time_range:  # then dates beyond are part of the query, too
                outer = max(min(FIRST_MS, first - DAY_MS), MIN_MS), min(max(LAST_MS, last + DAY_MS), MAX_MS)
            likely = max(outer[0], first), min(outer[1], last)
        if likely[0] >= likely[1]:
            likely = outer
        size = MAX_ASSETS_PER_REQUEST
        batches = [self._asset_ids[start : start + size] for start in range(0, len(self._asset_ids), size)]
        return WindowPlanner(outer, likely, [*batches] or [None], self._concurrency, is_too_large=is_too_large)

    def _date_range(self) -> tuple[int, int]:
        """Return the dates of the dataset by its metadata, which say where to split and not what to leave out."""
        now_ms = (datetime.now(EPOCH.tzinfo) - EPOCH) // MILLISECOND
        start = stop = None
        try:
            self._metadata = self._metadata or self._fetch_metadata()
        except KayrrosError as error:
            _log.warning("The metadata of the dataset is unavailable (%s). Its results are split from 1970 on.", error)
        if self._metadata:
            start, stop = self._metadata.start_date, self._metadata.stop_date
        first, last = start if isinstance(start, int) else FIRST_MS, stop if isinstance(stop, int) else now_ms
        # One moment is a range, too.
        return (first, last + 1) if MIN_MS <= first <= last <= MAX_MS else (FIRST_MS, now_ms)

    def _fetch_metadata(self) -> DatasetMetadata | None:
        metadata = get_dataset_metadata.sync_detailed(self._dataset_id, client=self._client).parsed
        return metadata if isinstance(metadata, DatasetMetadata) else None

    def _is_down(self) -> bool:
        """Return whether the platform does not answer at all, so that no part of the results would come either."""
        try:
            self._metadata = self._fetch_metadata()
        except KayrrosError as error:
            return _is_outage(error)
        return False

    def _start_requests(self) -> None:
        """Start requests in daemon threads, so that the program can exit while a gateway keeps one waiting."""
        while len(self._running) < self._concurrency:
            if self._running and len(self._running) + len(self._waiting) >= self._max_waiting:
                return
            window = self._planner.take()
            if window is None:
                return
            self._running.add(window)
            may_split = self._planner.can_split(window) or self._may_learn_assets(window)
            arguments = (window, self._planner.requested_range(window), SPLIT_STATUSES if may_split else frozenset())
            threading.Thread(target=self._run, args=arguments, daemon=True, name="kayrros-results").start()

    def _run(self, window: Window, time_range: tuple[int, int], no_retry_statuses: frozenset[int]) -> None:
        outcome: Results | BaseException
        try:
            outcome = self._request(_filter(time_range, window.assets), no_retry_statuses)
            _check_range(outcome, *time_range)
            _check_assets(outcome, window.assets)
        except BaseException as error:
            outcome = error
        self._outcomes.put((window, outcome))

    def _handle_gap(self, window: Window, gap: Gap) -> GapError | None:
        """Leave out a gap, or return the error that ends everything."""
        if self._on_gap == "warn" and _is_local(gap) and self._answers(window):
            _log.warning("%s: results for %s are unavailable, and left out: %s", _OPERATION, gap, gap.error)
            self._gaps.append(gap)
            self._waiting[window] = _empty_part(gap)
            return None
        return self._gap_error(gap)

    def _handle_failure(self, window: Window, error: BaseException) -> Gap | None:
        """Put back a failed window in parts, or return it as a gap."""
        if not isinstance(error, KayrrosError):
            raise error
        if not _is_too_large(error):
            self._planner.abandon(window)
        elif self._planner.failed(window) or self._learn_assets(window):
            return None
        elif isinstance(error, ContractError) and self._max_body is not None:
            # Each response names all assets. When these are many, no window is small.
            self._max_body, self._planner.assets = None, None
            self._planner.requeue(attrs.evolve(window, is_too_large=False))
            return None
        return _gap(window, error)

    def _may_learn_assets(self, window: Window) -> bool:
        return self._planner.assets is None and not self._asset_ids and not window.assets

    def _learn_assets(self, window: Window) -> bool:
        """Request the ids of all assets, to split a day by them. Returns whether the window was split.

        A response for a range without data names all assets (assumed), so their number is compared with the metadata.
        """
        if not self._may_learn_assets(window):
            return False
        self._planner.assets = ()
        try:
            ids = tuple(self._request(_filter(_EMPTY_RANGE, None)).assets["asset_id"].unique().to_pylist())
        except KayrrosError as error:
            if self._max_body is None or not _is_too_large(error):
                _log.warning("The ids of the assets are unavailable, so a day can't be split by them: %s", error)
            return False
        count = self._metadata.asset_count if self._metadata else None
        if None in ids or (isinstance(count, int) and len(ids) < count):
            _log.warning("Some assets have no id, so a day can't be split by assets.")
            return False
        self._planner.assets = ids
        return self._planner.requeue(attrs.evolve(window, is_too_large=True))

    def _answers(self, window: Window) -> bool:
        """Return whether the platform answers a small request, so that an outage is not left out day by day."""
        try:
            self._request(_filter(_EMPTY_RANGE, window.assets))
        except ContractError:
            return True
        except KayrrosError as error:
            _log.warning("%s: even a small request fails: %s", _OPERATION, error)
            return False
        return True

    def _take_ready(self, *, everything: bool) -> list[Window]:
        """Return the windows whose results can leave in order, because no earlier window is missing."""
        missing = [] if everything else [*self._planner.pending[:1], *self._running]
        limit = min((window.sort_key for window in missing), default=None)
        ready = (window for window in self._waiting if limit is None or window.sort_key < limit)
        return sorted(ready, key=lambda window: window.sort_key)

    def _request(
        self, query: ProcessingResultFilter | Unset, no_retry_statuses: frozenset[int] = frozenset()
    ) -> Results:
        from kayrros_ext._results.reader import read_results  # pyarrow is heavy

        kwargs = get_dataset_results._get_kwargs(dataset_id=self._dataset_id, body=query)
        options = CallOptions(no_retry_statuses=no_retry_statuses, max_body=self._max_body)
        http = self._client.get_httpx_client()
        try:
            response = http.request(**kwargs, extensions={CALL_OPTIONS: options})
        except (APIError, TransportError) as error:
            self._count_requests(error.attempts)
            raise
        self._count_requests(response.extensions["attempts"])
        try:
            return read_results(response.content)
        except ContractError as error:
            body = None if error.where else response.content
            raise http.policy.errors.contract(_OPERATION, str(error.args[0]), body=body, where=error.where) from None

    def _count_requests(self, attempts: int) -> None:
        with self._lock:
            self._requests += attempts

    def _finish_part(self, part: Results) -> Results:
        """Return a part sorted, with the number of requests since the last part."""
        from kayrros_ext._results.reader import sort_rows

        if self._missing_ids:
            self._missing_ids.difference_update(part.assets["asset_id"].unique().to_pylist())
        count, self._reported_requests = self._requests - self._reported_requests, self._requests
        return attrs.evolve(sort_rows(part), requests=count)

    def _finish(self, rows: int, windows: int) -> None:
        if self._time_range:
            first, last = (_datetime(ms) for ms in (self._time_range.start_date, self._time_range.stop_date))
            self.file_metadata |= {"start": first.isoformat(), "stop": last.isoformat()}
        self.file_metadata |= {"requests": str(self._requests), "gaps": "; ".join(map(str, self._gaps))}
        if self._missing_ids and not self._gaps:
            from kayrros_ext._results.model import list_names

            names = list_names(self._missing_ids)
            _log.warning("%d of the requested assets are not in the results: %s", len(self._missing_ids), names)
        _log.info("%s: %d rows in %d windows, %d requests", _OPERATION, rows, windows, self._requests)

    def _gap_error(self, gap: Gap) -> GapError:
        missing = sorted([*self._running, *self._planner.pending], key=lambda window: window.sort_key)
        error = GapError(
            f"{_OPERATION}: results for {gap} are unavailable ({gap.error.args[0] if gap.error else 'no reason'})",
            hint=_GAP_HINTS[self._on_gap],
            gaps=(gap, *(_gap(window, None) for window in missing)),
            results=None,
        )
        error.__cause__ = gap.error
        return error

    def _report_progress(self, rows: int, fraction: float, windows: int) -> None:
        if self._callback:
            self._callback(Progress(fraction=fraction, rows=rows, windows=windows, requests=self._requests))


def _is_too_large(error: KayrrosError) -> bool:
    """Return whether a smaller request may succeed where this one failed."""
    if isinstance(error, APIError):
        return error.status in TOO_LARGE_STATUSES
    if isinstance(error, TransportError):
        return error.reason == "ReadTimeout" and error.operation != "login"
    return isinstance(error, ContractError) and error.is_too_large


def _is_outage(error: KayrrosError) -> bool:
    """Return whether the platform may be down. A 504 alone means that it works, too slowly."""
    return isinstance(error, TransportError) or (isinstance(error, APIError) and error.status in {502, 503})


def _is_local(gap: Gap) -> bool:
    """Return whether other parts may succeed: not if the login, the network or the account fails."""
    error = gap.error
    if isinstance(error, APIError) and error.status >= 500:
        return True
    return isinstance(error, ContractError) or (isinstance(error, KayrrosError) and _is_too_large(error))


def _check_range(part: Results, first_ms: int, last_ms: int) -> None:
    """Raise ContractError for a row far outside the range, because results can't be split by a range that is ignored."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.min_max(part.table["value_date"].cast(pa.int64())).as_py()  # microseconds
    if ends["min"] is None:
        return
    for moment_us in ends.values():
        if not first_ms - MAX_SHIFT_MS <= moment_us // 1000 <= last_ms + MAX_SHIFT_MS:
            raise ContractError(
                f"A value of {_datetime(moment_us // 1000)} is more than a day outside of the requested range.",
                hint="The results can't be split by time: ask for fewer assets.",
                operation=_OPERATION,
            )


def _check_assets(part: Results, assets: tuple[str, ...] | None) -> None:
    """Raise ContractError for another asset than requested, because its rows would come with each batch."""
    others = set(part.assets["asset_id"].unique().to_pylist()).difference(assets) if assets else None
    if others:
        raise ContractError(
            f"The response contains the asset {others.pop()!r}, which was not requested.",
            hint="The results can't be split by assets: ask for a shorter range.",
            operation=_OPERATION,
        )


def _filter(time_range: tuple[int, int], assets: tuple[str, ...] | None) -> ProcessingResultFilter:
    return ProcessingResultFilter(
        time_range=DateRange(start_date=time_range[0], stop_date=time_range[1]),
        mo_ids=UNSET if assets is None else list(assets),
    )


def _gap(window: Window, error: KayrrosError | None) -> Gap:
    return Gap(_datetime(window.start_ms), _datetime(window.stop_ms), window.assets, error)


def _empty_part(gap: Gap) -> Results:
    from kayrros_ext._results.reader import read_results

    return attrs.evolve(read_results(b'{"assets": []}'), gaps=(gap,))


def _datetime(epoch_ms: int) -> datetime:
    return EPOCH + epoch_ms * MILLISECOND
