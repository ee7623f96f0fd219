"""Fetch all results of a dataset, however large: in one response if the gateway allows it, else in time windows.

No row is lost between two windows, although a server may filter in its own time zone: it shifts both windows at a boundary
alike. Rows that come with both, because the server counts the ends in or rounds a range to days, are dropped by
`Deduplicator`.
"""

import concurrent.futures.thread  # noqa: F401 - impossible once the main thread has ended; pandas needs it, too
import contextlib
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, get_args
from uuid import UUID

import attrs

from kayrros_ext._http.client import CALL_OPTIONS, ApiClient, CallOptions
from kayrros_ext._progress import Progress, ProgressCallback, make_callback, warn
from kayrros_ext._results.metadata import Metadata
from kayrros_ext._results.model import Gap, Results, warn_non_finite
from kayrros_ext._results.query import EPOCH, FIRST_MS, LAST_MS, MAX_MS, MILLISECOND, MIN_MS, OnGap
from kayrros_ext._results.windows import DAY_MS, HOUR_MS, MAX_ASSETS_PER_REQUEST, Assets, Range, Window, WindowPlanner
from kayrros_ext._text import list_names, plural
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import APIError, ContractError, GapError, KayrrosError, TransportError, UsageError
from kayrros_openapi.api.datasets import get_dataset_results
from kayrros_openapi.models import DateRange, ProcessingResultFilter
from kayrros_openapi.types import UNSET, Unset

if TYPE_CHECKING:
    import pyarrow as pa

# A response may be too large for the gateway, or for the time that it has.
TOO_LARGE_STATUSES = {502, 503, 504}
# A 504 is not retried while a request can be split.
SPLIT_STATUSES = frozenset({504})
# Largest response with bounded memory, about a quarter of a million rows.
STREAM_MAX_BYTES = 16 * 1024**2
# A time zone (14 hours at most) and a day that a range is rounded to.
MAX_SHIFT_MS = DAY_MS + 14 * HOUR_MS
# Requests of one call. N rows take some 2N/L of them where L come in one response, so that 1,000 times the limit of a
# gateway take 2,000, and 40 years day by day 15,000. More are a sign of a limit that splitting does not fit.
MAX_REQUESTS = 20_000
# Failed requests in a row, after which a small one tells whether the platform is down.
MAX_FAILURES = 8
# A range before all data, with a small response.
_EMPTY_RANGE = 0, HOUR_MS
_OPERATION = "getDatasetResults"
_SO_FAR = "The results so far are in `error.results`."

_log = logging.getLogger("kayrros_ext")


@attrs.define(slots=False, eq=False, repr=False, kw_only=True)
class ResultsFetcher:
    """The results that match a query, part by part, in order of time; each row in one part. Warnings come once.

    With `bounded_memory`, the size of a response is limited, and so is the number of parts that wait for an earlier one.
    `known_assets` has all assets of some datasets.

    Parts get the metadata of an earlier call, until newer ones are fetched for the dates or the name of the dataset.

    Raises:
        UsageError: on_gap, progress, strict or with_dataset can't work.
    """

    _client: ApiClient
    _query: ProcessingResultFilter | Unset
    _metrics: list[str]
    _known_assets: "dict[UUID, pa.Table]"
    _concurrency: int
    _on_gap: OnGap = "raise"
    _strict: bool = False
    _with_dataset: bool = False
    _bounded_memory: bool
    _progress: ProgressCallback | bool | None = None
    # Set once the arguments are right, because it may take requests to look up the dataset.
    dataset_id: UUID = attrs.field(default=UUID(int=0))
    dataset_name: str | None = None
    metadata: Metadata | None = None
    fetch_metadata: Callable[[], Metadata] = attrs.field(default=Metadata)
    window: Window | None = attrs.field(init=False, default=None)  # of the last part; None if everything came at once

    _max_body: int | None = attrs.field(init=False, default=None)
    _may_ask_for_assets: bool = attrs.field(init=False, default=True)
    _failures: int = attrs.field(init=False, default=0)  # since the last success
    _has_parts: bool = attrs.field(init=False, default=False)
    _attempts: list[int] = attrs.field(init=False, factory=list)  # of each request; threads append to it
    _reported_requests: int = attrs.field(init=False, default=0)
    _asset_count: object = attrs.field(init=False, default=None)
    _planner: WindowPlanner = attrs.field(init=False)
    _requests: "dict[Future[Results], Window]" = attrs.field(init=False, factory=dict)
    _waiting: dict[Window, Results] = attrs.field(init=False, factory=dict)  # for an earlier window
    _missing_ids: set[str] = attrs.field(init=False, factory=set)
    _gaps: list[Gap] = attrs.field(init=False, factory=list)
    _ids: dict[str, dict[str, None]] = attrs.field(init=False, factory=lambda: {"processing_id": {}, "source_id": {}})

    def __attrs_post_init__(self) -> None:
        if self._on_gap not in get_args(OnGap):
            raise UsageError(f"on_gap is {self._on_gap!r:.80}.", hint='Pass "raise" or "warn".')
        check_bools(strict=self._strict, with_dataset=self._with_dataset)
        # A line by default comes only with windows.
        self._callback = None if self._progress is None else make_callback(self._progress)
        self._asset_ids = tuple(self._query.mo_ids or ()) if self._query else ()
        self._time_range = self._query.time_range if self._query else UNSET

    def __iter__(self) -> Iterator[Results]:
        unknown_fields: set[str] = set()
        non_finite = 0
        if self._with_dataset and not (self.dataset_name or self.metadata):
            self.metadata = self.fetch_metadata()
        try:
            parts = self._fetch()
            if self._metrics:
                from kayrros_ext._results.selection import filter_metrics  # pyarrow is heavy

                parts = filter_metrics(parts, self._metrics)
            for part in parts:
                # Here and not of the whole, where a field that is renamed meanwhile leaves no empty column.
                if not unknown_fields.issuperset(part.unknown_fields):
                    unknown_fields.update(part.unknown_fields)
                    part.warn_unknown_fields()
                self._note_ids(part)
                non_finite += part.non_finite
                yield part
        finally:
            if non_finite:
                warn_non_finite(non_finite)

    def _fetch(self) -> Iterator[Results]:
        if self._query and self._asset_ids:
            self._query.mo_ids = self._resolve_assets()
            self._asset_ids = tuple(self._query.mo_ids)
            self._missing_ids = set(self._asset_ids)
        # Not for the list of all assets, of which no part is shorter.
        self._max_body = STREAM_MAX_BYTES if self._bounded_memory else None
        is_one_request = len(self._asset_ids) <= MAX_ASSETS_PER_REQUEST
        if is_one_request:
            try:
                part = self._request(self._query, SPLIT_STATUSES)
            except KayrrosError as error:
                if not _is_too_large(error):
                    raise
                if getattr(error, "status", None) != 504:  # which means that the platform works, too slowly
                    self._request_empty_range(None)
            else:
                self._report_progress(part.table.num_rows, 1.0, 1)
                yield self._finish_part(part)
                self._finish(part.table.num_rows, 1)
                return
        yield from self._fetch_windows(is_too_large=is_one_request)

    def _fetch_windows(self, *, is_too_large: bool) -> Iterator[Results]:
        from kayrros_ext._results.merge import Deduplicator  # pyarrow is heavy

        if self._progress is None:
            self._callback = make_callback(None)
        planner = self._planner = self._plan(is_too_large=is_too_large)
        deduplicator = Deduplicator()
        total = sum(map(planner.amount, planner.pending)) or 1.0  # one moment has no length
        rows, count, done = 0, 0, 0.0
        failure: KayrrosError | None = None
        while not failure:
            self._start_requests()
            if planner.running:
                request = next(iter(wait(self._requests, return_when=FIRST_COMPLETED).done))
                window, error = self._requests.pop(request), request.exception()
                planner.running.remove(window)
                if error is None:
                    self._waiting[window] = request.result()
                    planner.succeeded(window, self._waiting[window].table.num_rows)
                    self._failures, self._has_parts = 0, True
                else:
                    try:
                        self._handle_failure(window, error)
                    except KayrrosError as final:
                        failure = final
                del request  # else its part would stay in memory
                if window in self._waiting:
                    rows, count = rows + self._waiting[window].table.num_rows, count + 1
                    done += planner.amount(window)
                    fraction = min(done / total, 0.999) if planner.pending or planner.running else 1.0
                    self._report_progress(rows, fraction, count)
            elif planner.pending:
                text = f"{_OPERATION}: {len(self._attempts):,} requests did not bring all results."
                hint, hint_cli = "with start and stop or with assets.", "with --from and --to or with --asset."
                failure = self._gap_error(text, f"Ask for less, {hint}", f"Ask for less, {hint_cli}")
            else:
                self._finish(rows, count)
                return
            missing = [] if failure else [*planner.pending[:1], *planner.running]
            limit = min(missing, default=None)
            for ready in sorted(self._waiting):
                if limit is None or ready < limit:
                    self.window, is_first = ready, ready.start_ms == planner.outer[0]
                    part = deduplicator.deduplicate(ready, self._waiting.pop(ready), is_first=is_first)
                    yield self._finish_part(part)
        raise failure

    def _resolve_assets(self) -> list[str]:
        """Return the requested assets as ids. Raise UsageError for a value that is neither an id nor the name of one asset.

        They are looked up in the list of all assets, which a response without data has (assumed). Where it does not name all
        requested ids, nor as many as the metadata count, all results are read.
        """
        from kayrros_ext._results.selection import find_assets, read_assets  # pyarrow is heavy

        values, lists, key = self._asset_ids, self._known_assets, self.dataset_id
        with contextlib.suppress(KeyError, UsageError):  # an asset may be new
            return find_assets(values, lists[key])
        response = self._request_empty_range(None)
        ids = _asset_ids(response) if isinstance(response, Results) else set[str]()
        if ids.issuperset(values):
            return list(values)
        self._fetch_date_range()
        if isinstance(response, Results) and len(ids) == self._asset_count:
            lists[key] = response.assets
        else:
            # A GapError rather than an incomplete list, which later calls would use.
            options: Any = {"metrics": [], "with_dataset": False, "on_gap": "raise", "progress": False}
            everything = attrs.evolve(self, query=UNSET, bounded_memory=True, **options)
            lists[key] = read_assets(everything)
            self._attempts += everything._attempts
        return find_assets(values, lists[key])

    def _plan(self, *, is_too_large: bool) -> WindowPlanner:
        """Plan windows over the range of the query, else from 1970 to 2100 or what the metadata have beyond."""
        first, last = self._fetch_date_range()
        if self._time_range:
            outer = self._time_range.start_date, self._time_range.stop_date
        else:
            outer = max(min(FIRST_MS, first - DAY_MS), MIN_MS), min(max(LAST_MS, last + DAY_MS), MAX_MS)
        likely = max(outer[0], first), min(outer[1], last)
        if likely[0] >= likely[1]:  # the query has no part of it
            likely = (outer[0], outer[0]) if last <= outer[0] else (outer[1], outer[1])
        ids, size = self._asset_ids, MAX_ASSETS_PER_REQUEST
        batches = [ids[start : start + size] for start in range(0, len(ids), size)] or [()]
        return WindowPlanner(outer, likely, batches, self._concurrency, is_too_large=is_too_large)

    def _fetch_date_range(self) -> Range:
        """Return the dates of the dataset by its metadata, which say where to split and not what to leave out."""
        first, last = FIRST_MS, (datetime.now(UTC) - EPOCH) // MILLISECOND
        try:
            metadata = self.metadata = self.fetch_metadata()
        except KayrrosError as error:
            warn("The dates of the dataset are unknown, because its metadata is unavailable: %s", error)
            return first, last
        self._asset_count = metadata.asset_count
        start = metadata.start_date if isinstance(metadata.start_date, int) else first
        stop = metadata.stop_date if isinstance(metadata.stop_date, int) else last
        # One moment is a range, too.
        return (start, stop + 1) if MIN_MS <= start <= stop <= MAX_MS else (first, last)

    def _start_requests(self) -> None:
        """Start requests in daemon threads, so that the program can exit while a gateway keeps one waiting."""
        planner = self._planner
        while (count := len(planner.running)) < self._concurrency and len(self._attempts) + count < MAX_REQUESTS:
            if count and self._bounded_memory and count + len(self._waiting) >= self._concurrency:
                return
            window = planner.take()
            if window is None:
                return
            may_split = planner.can_split(window) or self._may_learn_assets(window)
            statuses = SPLIT_STATUSES if may_split else frozenset[int]()
            call = partial(self._request_window, planner.requested_range(window), window.assets, statuses)
            self._requests[run_in_daemon(call, "kayrros-results")] = window

    def _request_window(self, time_range: Range, assets: Assets, no_retry_statuses: frozenset[int]) -> Results:
        part = self._request(_filter(time_range, assets), no_retry_statuses)
        _check_part(part, time_range, assets)
        return part

    def _handle_failure(self, window: Window, error: BaseException) -> None:
        """Put back a failed window in parts, or leave it out as a gap; else raise the error that ends everything."""
        if not isinstance(error, KayrrosError):
            raise error
        planner, is_local, is_too_large = self._planner, _is_local(error), _is_too_large(error)
        self._failures += 1
        if self._failures % MAX_FAILURES == 0:
            self._request_empty_range(window)
        if is_too_large and planner.failed(window):
            return
        if is_local and self._split_otherwise(window, error, self._request_empty_range(window)):
            return
        gap = _gap(window, error)
        if is_local and planner.is_outside(window) and not isinstance(error, ContractError):
            gap = attrs.evolve(_gap(planner.give_up(window), error), is_outside=True)
        elif self._on_gap == "raise" or not is_local:
            text = f"{_OPERATION}: results for {gap} are unavailable ({error.args[0]})"
            hints = ('Use on_gap="warn" to get the rest.', "Use --on-gap warn to get the rest.")
            if not is_local:
                hints = ("The other parts were not requested, because they would fail alike.",) * 2
            raise self._gap_error(text, *hints, gap) from error
        from kayrros_ext._results.merge import merge

        if not gap.is_outside or window.batch == 0:
            warn("%s: results for %s are unavailable, and left out: %s", _OPERATION, gap, error)
        self._gaps.append(gap)
        self._waiting[window] = merge([], (gap,))

    def _gap_error(self, text: str, hint: str, hint_cli: str, *gaps: Gap) -> GapError:
        """Return the error that ends everything: the gaps, and all that was not requested."""
        gaps = (*gaps, *(_gap(other, None) for other in sorted([*self._planner.running, *self._planner.pending])))
        so_far = "The parts so far were yielded; an export writes no file." if self._bounded_memory else _SO_FAR
        return GapError(text, hint=f"{so_far} {hint}", hint_cli=hint_cli, gaps=gaps, results=None)

    def _may_learn_assets(self, window: Window) -> bool:
        return self._may_ask_for_assets and not window.assets and not self._planner.is_outside(window)

    def _split_otherwise(self, window: Window, error: KayrrosError, response: Results | KayrrosError) -> bool:
        """Split a day by the assets of a response without data, which has them all (assumed), or request it whole."""
        planner = self._planner
        if not _is_too_large(error):
            return False
        if self._may_learn_assets(window):
            ids = tuple(response.assets["asset_id"].unique().to_pylist()) if isinstance(response, Results) else ()
            if None in ids or (isinstance(self._asset_count, int) and len(ids) < self._asset_count):
                ids = ()
            if not ids and not (self._max_body and isinstance(response, ContractError)):
                warn("A day can't be split by assets, because the ids of some are unavailable.")
            planner.assets, self._may_ask_for_assets = ids, False
            if planner.split(window):
                return True
        if self._max_body is None or not isinstance(error, ContractError):
            return False
        # Each response names all assets. When these are many, no window is small.
        self._max_body, self._may_ask_for_assets = None, True
        planner.put_back(window)
        return True

    def _request_empty_range(self, window: Window | None) -> Results | KayrrosError:
        """Request no data of the assets of a window. Raise an error if the platform is down, because that is no gap."""
        try:
            return self._request(_filter(_EMPTY_RANGE, window.assets if window else ()))
        except KayrrosError as error:
            if not isinstance(error, TransportError) and getattr(error, "status", None) not in TOO_LARGE_STATUSES:
                return error
            text = f"The platform answers nothing at the moment, not even for an hour without data. {error.args[0]}"
            error.args, error.hint, error.hint_cli = (text,), "Try again later. Nothing was written.", None
            if window is None or not self._has_parts:
                raise
            hint = "Try again later."
            raise self._gap_error(text, hint, f"{hint} No file was written.", _gap(window, error)) from error

    def _request(
        self, query: ProcessingResultFilter | Unset, no_retry_statuses: frozenset[int] = frozenset()
    ) -> Results:
        from kayrros_ext._results.reader import read_results, sort_rows  # pyarrow is heavy

        kwargs = get_dataset_results._get_kwargs(dataset_id=self.dataset_id, body=query)
        options = CallOptions(no_retry_statuses=no_retry_statuses, max_body=self._max_body)
        http = self._client.get_httpx_client()
        try:
            response = http.request(**kwargs, extensions={CALL_OPTIONS: options})
        except (APIError, TransportError) as error:
            self._attempts.append(error.attempts)
            raise
        self._attempts.append(response.extensions["attempts"])
        try:
            return sort_rows(read_results(response.content, strict=self._strict))
        except ContractError as error:
            body = None if error.where else response.content
            raise http.policy.errors.contract(_OPERATION, str(error.args[0]), body=body, where=error.where) from None

    def _finish_part(self, part: Results) -> Results:
        """Return a part with the number of requests since the last part."""
        if self._missing_ids:
            self._missing_ids -= _asset_ids(part)
        before, self._reported_requests = self._reported_requests, sum(self._attempts)
        return self.describe(attrs.evolve(part, requests=self._reported_requests - before))

    def describe(self, part: Results) -> Results:
        """Return a part that knows its dataset and its query."""
        name = self.metadata.name if self.metadata else None
        ends = {"start": self._time_range.start_date, "stop": self._time_range.stop_date} if self._time_range else {}
        query = {end: _datetime(ms).isoformat() for end, ms in ends.items() if ms not in {FIRST_MS, LAST_MS}}
        part = attrs.evolve(
            part,
            dataset_id=self.dataset_id,
            dataset_name=name if isinstance(name, str) else self.dataset_name,
            metadata=self.metadata,
            retrieved_at=datetime.now(UTC),
            query=query,
        )
        if not self._with_dataset:
            return part
        from kayrros_ext._results.schema import add_dataset

        return attrs.evolve(part, table=add_dataset(part.table, str(part.dataset_id), part.dataset_name))

    def _note_ids(self, part: Results) -> None:
        """Warn if a part comes from another processing or source than those before."""
        for name, ids in self._ids.items():
            was_one = len(ids) == 1
            ids.update(dict.fromkeys(getattr(part, f"{name}s")))
            if was_one and len(ids) > 1:
                text = "The results have more than one %s (%s), because the dataset changed meanwhile. Fetch it again."
                warn(text, name, list_names(ids))

    def _finish(self, rows: int, windows: int) -> None:
        if self._missing_ids and all(gap.is_outside for gap in self._gaps):
            names = list_names(self._missing_ids)
            warn("%s requested, but not in the results: %s", plural(len(self._missing_ids), "asset"), names)
        _log.info("%s: rows=%d windows=%d requests=%d", _OPERATION, rows, windows, sum(self._attempts))

    def _report_progress(self, rows: int, fraction: float, windows: int) -> None:
        if self._callback:
            self._callback(Progress(fraction=fraction, rows=rows, windows=windows, requests=sum(self._attempts)))


def check_bools(**values: object) -> None:
    """Raise UsageError for an argument that is neither True nor False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise UsageError(f"{name} is {value!r:.80}.", hint="Pass True or False.")


def _is_too_large(error: KayrrosError) -> bool:
    """Return whether a smaller request may succeed where this one failed."""
    is_slow = isinstance(error, TransportError) and error.reason == "ReadTimeout" and error.operation != "login"
    is_cut_off = isinstance(error, APIError) and error.status in TOO_LARGE_STATUSES
    return is_slow or is_cut_off or (isinstance(error, ContractError) and error.is_too_large)


def _is_local(error: KayrrosError) -> bool:
    """Return whether other parts may succeed: not if the login, the network or the account fails."""
    is_server_error = isinstance(error, APIError) and error.status >= 500
    return is_server_error or isinstance(error, ContractError) or _is_too_large(error)


def _check_part(part: Results, time_range: Range, assets: Assets) -> None:
    """Raise ContractError if the server ignores the filter, because each row would come with each window."""
    import pyarrow as pa
    import pyarrow.compute as pc

    first, last = time_range[0] - MAX_SHIFT_MS, time_range[1] + MAX_SHIFT_MS
    ends = pc.min_max(part.table["value_date"].cast(pa.int64())).as_py().values()  # microseconds
    far = [us // 1000 for us in ends if us is not None and not first <= us // 1000 <= last]
    others = _asset_ids(part).difference(assets) if assets else set()
    values = [f"a value of {_datetime(ms)}, more than a day outside of the requested range" for ms in far]
    values += [f"the asset {other!r}, which was not requested" for other in others]
    if values:
        hint = "The server ignores the filter, so the results can't be split."
        raise ContractError(f"The response contains {values[0]}.", hint=hint, operation=_OPERATION)


def _asset_ids(part: Results) -> set[str]:
    return set(part.assets["asset_id"].unique().to_pylist())


def _filter(time_range: Range, assets: Assets) -> ProcessingResultFilter:
    return ProcessingResultFilter(
        time_range=DateRange(start_date=time_range[0], stop_date=time_range[1]),
        mo_ids=list(assets) or UNSET,
    )


def _gap(window: Window, error: KayrrosError | None) -> Gap:
    return Gap(_datetime(window.start_ms), _datetime(window.stop_ms), window.assets or None, error)


def _datetime(epoch_ms: int) -> datetime:
    return EPOCH + epoch_ms * MILLISECOND
