"""One run of a sync: fetch a dataset, compare it with the mirror month by month, and commit what differs.

Months are compared as soon as no later part of the results can hold a row of them, so memory does not grow with the dataset.
Rows that are gone are removed at the end, when it is certain which parts of the results have come.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._export.metadata import FileMetadata
from kayrros_ext._progress import Progress, ProgressCallback, warn
from kayrros_ext._results.fetch import MAX_SHIFT_MS
from kayrros_ext._results.merge import merge_assets
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import EPOCH, FIRST_MS, MILLISECOND, MIN_LIKELY_MS
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import RESULTS, int64s
from kayrros_ext._results.schema import ASSETS as LISTED_ASSETS
from kayrros_ext._text import plural
from kayrros_ext.errors import KayrrosError, MirrorError
from kayrros_ext.mirror import SyncReport
from kayrros_ext.mirror._store import State, Store, assets_file, data_file, format_time
from kayrros_ext.mirror._tables import (
    ASSETS,
    CHANGES,
    NO_MONTH,
    compare,
    concat,
    in_range,
    is_same,
    make_changes,
    month_range,
    replay,
    split_months,
    stamp,
    without,
)

if TYPE_CHECKING:
    from kayrros_ext.client import Kayrros

# Changes that are held in memory. More of them are committed before the run ends, and an interrupted one resumes there.
CHECKPOINT_ROWS = 500_000
_START_MS, _STOP_MS = -(2**52), 2**52
_Span = tuple[int, int]


@attrs.frozen(kw_only=True)
class SyncOptions:
    """What a run does beyond the usual. `revisions` is how far before the last date it looks; None for everything."""

    revisions: timedelta | None
    accept_removals: bool = False
    repair: bool = False


class Sync:
    """One run, of one dataset. `concurrency` is how many requests run at a time; by default as many as the client allows."""

    def __init__(
        self,
        store: Store,
        kayrros: "Kayrros",
        dataset_id: UUID,
        options: SyncOptions,
        progress: ProgressCallback | None = None,
        concurrency: int | None = None,
    ) -> None:
        self._store, self._kayrros, self._id, self._key = store, kayrros, dataset_id, str(dataset_id)
        self._options, self._progress, self._concurrency = options, progress, concurrency
        self._counts = {"added": 0, "changed": 0, "gone": 0, "unchanged": 0, "requests": 0, "withheld": 0}
        self._gaps: list[Gap] = []
        self._oldest_ms: int | None = None
        self._processing_ids: dict[str, None] = {}
        self._listed = ASSETS.empty_table()  # the assets that the API has listed
        self._last_listed: pa.Table | None = None
        self._newest_ms = _START_MS  # the last date that the API has sent
        # Of each month: new rows that still wait for others, and rows that may be gone.
        self._buffer: dict[str, list[pa.Table]] = defaultdict(list)
        self._missing: dict[str, pa.Table] = {}
        # Of the commit that comes next.
        self._changes: list[pa.Table] = []
        self._change_rows = 0
        self._staged: set[str] = set()
        self._removed: set[str] = set()
        self._damaged: set[str] = set()

    def run(self) -> SyncReport:
        """Bring the mirror up to date, and return what has changed."""
        metadata = self._kayrros.metadata(self._id)
        identity, store = self._kayrros.whoami(), self._store
        with store.errors():
            self._is_same_account = store.check(identity.base_url, identity.email)
            with store.lock(self._key) as self._check_lock:
                self._metadata, self._name = metadata, metadata.name or self._kayrros._names.get(self._id)
                try:
                    self._begin()
                    self._fetch_all()
                    self._remove_gone()
                    self._commit(self._gap_spans())
                except BaseException:
                    with contextlib.suppress(OSError, KayrrosError):
                        store.recover(self._key)
                    raise
        age = None if self._oldest_ms is None else (self._last_ms - self._oldest_ms) * MILLISECOND
        gaps = tuple(gap for gap in self._gaps if not gap.is_outside)
        return SyncReport(dataset_id=self._id, name=self._name, **self._counts, oldest_revision=age, gaps=gaps)

    def _begin(self) -> None:
        """Read how far the dataset is, after completing the commit of an earlier run."""
        was_interrupted = self._store.recover(self._key)
        state = self._state = self._store.state(self._key) or State()
        if not (state.is_running or was_interrupted):
            state.started_ms = _now_ms()
        state.is_running, state.name = True, self._name
        self._last_ms = _START_MS if state.last_ms is None else min(state.last_ms, _now_ms())
        if self._options.repair:
            self._damaged = {month for month in state.months if not self._is_sound(month)}
        self._assets = ASSETS.empty_table()
        with contextlib.suppress(MirrorError):  # it is derived from the API alone
            self._assets = self._store.read_table(assets_file(self._key))
        self._known_ids = _ids(self._assets)

    def _is_sound(self, month: str) -> bool:
        try:
            return bool(self._store.read_table(data_file(self._key, month)).num_rows == self._state.months[month])
        except MirrorError:
            return False

    # What is fetched

    def _fetch_all(self) -> None:
        spans = self._spans()
        window_ms = min((start for start, stop in spans if stop == _STOP_MS), default=_START_MS)
        for number, span in enumerate(spans):
            self._fetch(span, spans[number + 1 :], (number, len(spans)))
        # The API lists an asset in each response, and its values only within the range (assumed).
        new_ids = sorted(_ids(self._listed) - self._known_ids)
        if new_ids and self._known_ids and window_ms > _START_MS:
            self._fetch((_START_MS, window_ms + MAX_SHIFT_MS), [], (0, 1), new_ids)

    def _spans(self) -> list[_Span]:
        """Return the ranges to fetch, in order: what is new or may be revised, and what is missing from earlier runs."""
        state, window = self._state, self._options.revisions
        if state.last_ms is None or window is None:
            return [(_START_MS, _STOP_MS)]
        start_ms = self._last_ms - window // MILLISECOND
        edges = [month_range(month) for month in self._damaged]
        if NO_MONTH in self._damaged:
            return [(_START_MS, _STOP_MS)]
        missing = [(_START_MS if a is None else a, _STOP_MS if b is None else b) for a, b in state.missing]
        return _union([(a - MAX_SHIFT_MS, b + MAX_SHIFT_MS) for a, b in [(start_ms, _STOP_MS), *edges, *missing]])

    def _fetch(self, span: _Span, rest: list[_Span], place: tuple[int, int], assets: list[str] | None = None) -> None:
        """Fetch a range, and compare its months. With assets, those are new, and nothing of theirs can be gone."""
        start, stop = (None if span[0] <= MIN_LIKELY_MS else span[0]), (None if span[1] >= _STOP_MS else span[1])
        report = None if self._progress is None else lambda progress: self._report(progress, *place)
        options: Any = {"start": start, "stop": stop, "assets": assets, "on_gap": "warn", "progress": report or False}
        fetcher = self._kayrros._fetcher(self._id, options, bounded_memory=True, concurrency=self._concurrency)
        fetcher.metadata, fetcher.fetch_metadata = self._metadata, lambda: self._metadata
        if assets is not None:
            fetcher._known_assets = {self._id: self._listed}
        self._cover(start, stop, is_new=assets is not None)
        frontier_ms = span[0]
        try:
            for part in fetcher:
                self._take(part)
                if fetcher.window:
                    self._settle(fetcher.window.start_ms - MAX_SHIFT_MS)
                    frontier_ms = frontier_ms if assets else fetcher.window.start_ms
                if self._change_rows >= CHECKPOINT_ROWS:
                    self._commit([(frontier_ms, span[1]), *rest, *self._gap_spans()], is_last=False)
                del part  # else it would stay in memory while the next one is made
        except KayrrosError as error:
            if self._change_rows and not isinstance(error, MirrorError):  # what has come is not lost
                self._commit([(frontier_ms, span[1]), *rest, *self._gap_spans()], is_last=False)
            raise
        self._settle(_STOP_MS * 2)

    def _cover(self, start: int | None, stop: int | None, *, is_new: bool) -> None:
        """Note in which range all rows come, and the months that lie there."""
        # Rows near the ends may not come, because a server may filter in its own time zone.
        first = (_START_MS if stop is None else FIRST_MS) if start is None else start + MAX_SHIFT_MS
        last = _STOP_MS if stop is None else stop - MAX_SHIFT_MS
        self._covered, self._is_everything = None if is_new else (first, last), start is stop is None
        ranges = {month: month_range(month) for month in self._state.months}
        self._waiting = {month for month, (a, b) in ranges.items() if not is_new and b > first and a <= last}
        if not self._is_everything:
            self._waiting.discard(NO_MONTH)

    def _report(self, progress: Progress, place: int, count: int) -> None:
        assert self._progress  # noqa: S101 - for mypy  # nosec B101
        self._progress(attrs.evolve(progress, fraction=(place + progress.fraction) / count))

    def _take(self, part: Results) -> None:
        """Sort the rows of a part into months."""
        self._counts["requests"] += part.requests
        self._gaps += part.gaps
        self._processing_ids |= dict.fromkeys(part.processing_ids)
        listed = part.assets.select(ASSETS.names)
        if self._last_listed is None or not listed.equals(self._last_listed):
            self._last_listed = listed
            self._listed = _merge_assets(self._listed, listed)
        if part.table.num_rows:
            for month, rows in split_months(part.table).items():
                self._buffer[month].append(rows)

    # What has changed

    def _settle(self, before_ms: int) -> None:
        """Compare the months that end before a moment, because no more rows of them can come."""
        for month in sorted({*self._buffer, *self._waiting}):
            if month_range(month)[1] <= before_ms:
                self._compare(month)

    def _compare(self, month: str) -> None:
        self._waiting.discard(month)
        new, old = sort_table(concat(self._buffer.pop(month, []), RESULTS)), self._read(month)
        result = compare(old, new)
        if result.repeated:
            text = "%s of %s in %s share asset, date and metric with another one, and are left out."
            warn(text, plural(result.repeated, "row"), self._name or self._key, month)
        changes, is_known = result.changes, self._options.repair and self._state.history_from_ms is not None
        if month in self._damaged and is_known:  # the file had rows whose changes the history no longer has
            changes = changes.filter(pc.equal(changes["kind"].cast(pa.string()), "changed"))
        self._note(changes)
        self._counts["unchanged"] += result.unchanged if self._covered else 0
        if self._covered and result.missing.num_rows:
            gone = make_changes("gone", result.missing, None)
            inside = pc.fill_null(in_range(gone["value_date"], *self._covered), self._is_everything)
            if pc.any(inside).as_py():
                self._missing[month] = gone.filter(inside)
        if new.num_rows and month != NO_MONTH:
            self._newest_ms = max(self._newest_ms, pc.max(new["value_date"].cast(pa.int64())).as_py() // 1000)
        rows = old if month in self._damaged and result.rows is None else result.rows
        if rows is not None:
            self._stage(month, rows)

    def _note(self, changes: pa.Table) -> None:
        """Count changes, and keep them for the history."""
        self._changes.append(changes)
        self._change_rows += changes.num_rows
        kinds = changes["kind"].cast(pa.string())
        for kind, count in zip(*(kinds.value_counts().field(n).to_pylist() for n in ("values", "counts")), strict=True):
            self._counts[kind] += count
        if self._last_ms == _START_MS or not self._covered or not changes.num_rows:
            return
        # A value that comes late counts as a revision, but not those of a new asset.
        is_late = pc.is_in(changes["asset_id"].cast(pa.string()), pa.array(sorted(self._known_ids), pa.string()))
        is_late = pc.and_(is_late, pc.fill_null(in_range(changes["value_date"], None, self._last_ms), False))  # noqa: FBT003
        revised = changes.filter(pc.or_(pc.not_equal(kinds, "added"), is_late))["value_date"].drop_null()
        if len(revised):
            oldest_ms = pc.min(revised.cast(pa.int64())).as_py() // 1000
            self._oldest_ms = oldest_ms if self._oldest_ms is None else min(self._oldest_ms, oldest_ms)

    def _remove_gone(self) -> None:
        """Remove the rows that the API no longer has, unless it may not have sent all of them."""
        missing = {}
        for month, rows in self._missing.items():
            is_gap = pa.chunked_array([pa.nulls(rows.num_rows).is_valid()])
            for start_ms, stop_ms in self._gap_spans(with_outside=True):
                inside = in_range(rows["value_date"], start_ms - MAX_SHIFT_MS, stop_ms + MAX_SHIFT_MS)
                is_gap = pc.or_(is_gap, pc.fill_null(inside, True))  # noqa: FBT003 - an argument of Arrow
            if (gone := rows.filter(pc.invert(is_gap))).num_rows:
                missing[month] = gone
        problem = None if self._options.accept_removals else self._doubt()
        count, is_smaller = len(_ids(self._listed)), "assets" in (problem or "")
        if not is_smaller:
            self._state.asset_count = count
        if problem and missing:
            self._counts["withheld"] = sum(rows.num_rows for rows in missing.values())
            text = "%s of %s are missing from the results, and stay in the mirror, because %s. accept_removals=True removes them."
            warn(text, plural(self._counts["withheld"], "row"), self._name or self._key, problem)
            return
        self._covered = (_START_MS, _STOP_MS)
        for month, gone in missing.items():
            self._stage(month, without(self._read(month), gone))
            self._note(gone)

    def _doubt(self) -> str | None:
        """Return why rows that did not come need not be gone; None if they are."""
        count, before, total = len(_ids(self._listed)), self._state.asset_count, self._metadata.asset_count
        if not self._is_same_account:
            return "the account of the mirror, or that of the client, is unknown"
        if 2 * count < before:
            return f"the API lists {count:,} assets, and {before:,} before"
        if isinstance(total, int) and count < total:
            return f"the API lists {count:,} of {total:,} assets"
        if self._newest_ms == _START_MS:
            return "the API has sent no rows"
        stop_ms = self._metadata.stop_date
        if isinstance(stop_ms, int) and self._newest_ms < self._last_ms <= stop_ms:
            return "the API has sent no row of the last date of its metadata"
        return None

    def _read(self, month: str) -> pa.Table:
        """Return the rows of a month as they are now, with what this run has staged."""
        name = data_file(self._key, month)
        if month in self._staged:
            return concat([self._store.read_staged(self._key, name)], RESULTS)
        if month in self._damaged:
            history = concat(map(self._store.read_table, self._store.history(self._key).values()), CHANGES)
            return replay(history.filter(_is_in_month(history["value_date"], month)), self._assets)
        if month not in self._state.months or month in self._removed:
            return RESULTS.empty_table()
        return concat([self._store.read_table(name)], RESULTS)

    def _stage(self, month: str, rows: pa.Table) -> None:
        self._damaged.discard(month)
        self._staged.discard(month)
        self._removed.discard(month)
        if not rows.num_rows:
            if self._state.months.pop(month, None) is not None:
                self._removed.add(month)
            return
        facts, ids = FileMetadata(), tuple(self._processing_ids)
        facts.add(Results(rows, None, None, ids, (), dataset_id=self._id, dataset_name=self._name, metadata=self._metadata))
        metadata = {name: text for name, text in facts.to_dict().items() if name not in {"requests", "gaps"}}
        self._store.stage(self._key, data_file(self._key, month), rows.replace_schema_metadata(metadata))
        self._staged.add(month)
        self._state.months[month] = rows.num_rows

    def _commit(self, missing: list[_Span], *, is_last: bool = True) -> None:
        """Publish what was staged. `missing` is what a later run has to fetch."""
        self._check_lock()
        state, key = self._state, self._key
        files = [data_file(key, month) for month in sorted(self._staged)]
        metadata = {b"metadata": msgspec.json.encode(self._metadata.to_dict())}
        assets = sort_table(_merge_assets(self._listed, self._assets), ["asset_id"])
        is_new = self._assets.schema.metadata != metadata or not is_same(assets, self._assets)
        # In the middle of a run, the new assets are not noted, because their earlier rows are still to be fetched.
        if is_new and (is_last or not self._known_ids):
            self._assets = assets.replace_schema_metadata(metadata)
            self._store.stage(key, assets_file(key), self._assets)
            files.append(assets_file(key))
        changes = concat(self._changes, CHANGES)
        if changes.num_rows:
            state.seen_ms = max(_now_ms(), state.seen_ms + 1)
            name = f"history/dataset={key}/{format_time(state.seen_ms)}.parquet"
            processing_id = "; ".join(self._processing_ids) or None
            self._store.stage(key, name, stamp(changes, state.seen_ms, processing_id))
            files.append(name)
        if not is_last:
            # Months that wait for rows, or for the end of the run, are fetched again.
            months = [month_range(month)[0] for month in {*self._buffer, *self._waiting, *self._missing}]
            start_ms = min([missing[0][0], *months])
            missing[0] = (start_ms, max(missing[0][1], start_ms))
        state.missing = [(None if a == _START_MS else a, None if b == _STOP_MS else b) for a, b in _union(missing)]
        state.is_running = not is_last
        if self._newest_ms > _START_MS:
            state.last_ms = max(self._newest_ms, self._last_ms)
        self._store.commit(key, files, [data_file(key, month) for month in self._removed], state)
        self._changes, self._change_rows, self._staged, self._removed = [], 0, set(), set()

    def _gap_spans(self, *, with_outside: bool = False) -> list[_Span]:
        gaps = [gap for gap in self._gaps if with_outside or not gap.is_outside]
        return [((gap.start - EPOCH) // MILLISECOND, (gap.stop - EPOCH) // MILLISECOND) for gap in gaps]


def _now_ms() -> int:
    return int(time.time() * 1000)


def _ids(assets: pa.Table) -> set[str]:
    return set(assets["asset_id"].unique().to_pylist()) - {None}


def _merge_assets(first: pa.Table, second: pa.Table) -> pa.Table:
    """Return the assets of the first table, and those of the second whose ids it does not have."""
    if first.num_rows:
        ids = pc.is_in(second["asset_id"].cast(pa.string()), first["asset_id"].cast(pa.string()).combine_chunks())
        second = second.filter(pc.invert(ids))
    return concat([first, second], ASSETS)


def _is_in_month(dates: pa.ChunkedArray, month: str) -> pa.ChunkedArray:
    if month == NO_MONTH:
        return dates.is_null()
    start_ms, stop_ms = month_range(month)
    return pc.fill_null(in_range(dates, start_ms, stop_ms - 1), False)  # noqa: FBT003 - an argument of Arrow


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """Return ranges that do not overlap, in order."""
    merged: list[_Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return merged
