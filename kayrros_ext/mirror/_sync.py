"""One run of a sync: fetch a dataset, compare it with the mirror month by month, and commit what differs.

A month is compared as soon as no later part of the results can hold a row of it, so memory does not grow with the dataset.
Rows that are gone are removed at the end, when it is certain which parts have come.
"""

import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._export.metadata import FileMetadata
from kayrros_ext._progress import ProgressCallback, warn
from kayrros_ext._results.fetch import MAX_SHIFT_MS
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import EPOCH, FIRST_MS, MILLISECOND, MIN_LIKELY_MS
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import RESULTS
from kayrros_ext._text import plural
from kayrros_ext.errors import APIError, ContractError, GapError, KayrrosError, MirrorError, TransportError
from kayrros_ext.mirror import SyncReport, _tables
from kayrros_ext.mirror._store import State, Store, assets_file, data_file, history_file, staged_file
from kayrros_ext.mirror._tables import ASSETS, CHANGES, NO_MONTH, START_MS, STOP_MS, concat, in_range, month_range

if TYPE_CHECKING:
    from kayrros_ext.client import Kayrros

# Changes that are held in memory. More are committed before the run ends, and a run after an interrupted one resumes there.
CHECKPOINT_ROWS = 500_000
_Span = tuple[int, int]  # epoch milliseconds


class Sync:
    """One run, of one dataset. `revisions` is how far before the last date it looks; None for everything."""

    accept_removals = False
    progress: ProgressCallback | None = None
    concurrency: int | None = None  # as many requests at a time as the client allows

    def __init__(self, store: Store, kayrros: "Kayrros", *, revisions: timedelta | None, repair: bool = False) -> None:
        self._store, self._kayrros, self._revisions, self._repair = store, kayrros, revisions, repair
        self._counts = dict.fromkeys(("added", "changed", "gone", "unchanged", "requests", "withheld"), 0)
        self._gaps, self._processing_ids = list[Gap](), dict[str, None]()
        self._oldest_ms, self._newest_ms = STOP_MS, START_MS  # dates: of a revision, and of all that the API has sent
        self._listed = ASSETS.empty_table()  # by the API
        self._buffer = defaultdict[str, list[pa.Table]](list)  # of each month, rows that wait for others
        self._missing = dict[str, pa.Table]()  # of each month, rows that may be gone
        self._changes, self._staged, self._removed, self._damaged = list[pa.Table](), set[str](), set[str](), set[str]()

    def run(self, dataset_id: UUID) -> SyncReport:
        """Bring a dataset up to date, and return what has changed."""
        self._id, self._key = dataset_id, str(dataset_id)
        self._metadata, identity, store = self._kayrros.metadata(self._id), self._kayrros.whoami(), self._store
        self._name = self._metadata.name or self._kayrros._names.get(self._id)
        with store.errors():
            self._is_same_account = store.check(identity.base_url, identity.email and identity.email.lower())
            with store.lock(self._key) as self._check_lock:
                try:
                    self._begin()
                    self._fetch_all()
                    self._remove_gone()
                    self._commit(self._gap_spans(), is_last=True)
                except BaseException:
                    with contextlib.suppress(OSError, KayrrosError):
                        store.recover(self._key)  # frees the disk
                    raise
        age = None if self._oldest_ms == STOP_MS else (self._last_ms - self._oldest_ms) * MILLISECOND
        gaps = tuple(gap for gap in self._gaps if not gap.is_outside)
        return SyncReport(dataset_id=dataset_id, name=self._name, **self._counts, oldest_revision=age, gaps=gaps)

    def _begin(self) -> None:
        """Complete the commit of an earlier run, and read how far the dataset is."""
        was_interrupted = self._store.recover(self._key)
        if not (state := self._store.state(self._key)) and self._store.exists(assets_file(self._key)):
            hint = "Restore the folder .kayrros, which belongs to the mirror, or choose a new folder."
            raise self._store.error(f"has lost the state of the dataset {self._key}.", hint)
        state = self._state = state or State()
        if not (state.is_running or was_interrupted):
            state.started_ms = max(time.time_ns() // 10**6, state.seen_ms + 1)  # the clock may have gone back
        state.name, self._last_ms = self._name, min(state.last_ms, time.time_ns() // 10**6)
        self._assets = ASSETS.empty_table()
        with contextlib.suppress(MirrorError):  # the API has them all
            self._assets = self._store.read_table(assets_file(self._key))
        self._old_ids = _ids(self._assets)
        for month in sorted(state.months) if self._repair else ():
            with contextlib.suppress(MirrorError):
                if self._store.read_table(data_file(self._key, month)).num_rows == state.months[month]:
                    continue
            warn("%s of %s is damaged. It is rebuilt.", data_file(self._key, month), self._store.name)
            self._damaged.add(month)

    def _fetch_all(self) -> None:
        """Fetch what is new, may be revised, is missing from earlier runs or damaged; then earlier rows of new assets."""
        spans = [(START_MS, STOP_MS)]
        if self._last_ms > START_MS and self._revisions is not None and NO_MONTH not in self._damaged:
            start_ms = self._last_ms - self._revisions // MILLISECOND
            spans = [(start_ms, STOP_MS), *map(month_range, self._damaged), *self._state.missing]
            spans = _union((start - MAX_SHIFT_MS, stop + MAX_SHIFT_MS) for start, stop in spans)
        for number, span in enumerate(spans):
            self._fetch(span, spans[number + 1 :], (number, len(spans)))
        # The API lists an asset in each response, and its values only within the range (assumed).
        new_ids = sorted(_ids(self._listed) - self._old_ids)
        if new_ids and self._old_ids and spans[-1][0] > START_MS:
            self._fetch((START_MS, spans[-1][0] + MAX_SHIFT_MS), [], (0, 1), new_ids)

    def _fetch(self, span: _Span, rest: list[_Span], place: tuple[int, int], assets: list[str] | None = None) -> None:
        """Fetch a range, and compare its months. With assets, these are new, and no row of theirs can be gone."""
        start, stop = (None if span[0] <= MIN_LIKELY_MS else span[0]), (None if span[1] >= STOP_MS else span[1])
        options: Any = {"start": start, "stop": stop, "assets": assets, "on_gap": "warn", "progress": False}
        if callback := self.progress:
            options["progress"] = lambda it: callback(attrs.evolve(it, fraction=(place[0] + it.fraction) / place[1]))
        fetcher = self._kayrros._fetcher(self._id, options, bounded_memory=True, concurrency=self.concurrency)
        fetcher.metadata, fetcher.fetch_metadata = self._metadata, lambda: self._metadata
        fetcher._known_assets = {self._id: self._listed}
        self._cover(start, stop, is_new=bool(assets))
        frontier_ms = span[0]
        try:
            for part in fetcher:
                self._take(part)
                if fetcher.window:
                    self._compare_months(fetcher.window.start_ms - MAX_SHIFT_MS)
                    frontier_ms = frontier_ms if assets else fetcher.window.start_ms
                if sum(map(len, self._changes)) >= CHECKPOINT_ROWS:
                    self._commit([(frontier_ms, span[1]), *rest, *self._gap_spans()])
                del part  # else it would stay in memory while the next one is made
        except (APIError, ContractError, GapError, TransportError):  # what has come is not lost
            if self._changes:
                self._commit([(frontier_ms, span[1]), *rest, *self._gap_spans()])
            raise
        self._compare_months(2 * STOP_MS)

    def _cover(self, start: int | None, stop: int | None, *, is_new: bool) -> None:
        """Note the range that is fetched, the one in which all rows come, and the months that lie there."""
        self._is_everything = start is stop is None
        self._span = first, last = START_MS if start is None else start, STOP_MS if stop is None else stop
        if not self._is_everything:  # rows near an end may not come, because a server may filter in its own time zone
            first, last = max(first, FIRST_MS) + MAX_SHIFT_MS, last - MAX_SHIFT_MS
        self._covered = None if is_new else (first, last)
        ranges = {month: month_range(month) for month in self._state.months if self._is_everything or month != NO_MONTH}
        self._waiting = {month for month, (a, b) in ranges.items() if not is_new and b > first and a <= last}

    def _take(self, part: Results) -> None:
        """Sort the rows of a part into months."""
        self._counts["requests"] += part.requests
        self._gaps += part.gaps
        self._processing_ids |= dict.fromkeys(part.processing_ids)
        self._listed = _merge_assets(self._listed, part.assets)
        for month, rows in _tables.split_months(part.table).items():
            self._buffer[month].append(rows)

    def _compare_months(self, before_ms: int) -> None:
        """Compare the months that end before a moment, because no more rows of them can come."""
        for month in sorted({*self._buffer, *self._waiting}):
            if month_range(month)[1] <= before_ms:
                self._waiting.discard(month)
                self._compare(month)

    def _compare(self, month: str) -> None:
        new, old = sort_table(concat(self._buffer.pop(month, []), RESULTS)), self._rows(month)
        if len(new) and month != NO_MONTH:
            self._newest_ms = max(self._newest_ms, pc.max(new["value_date"].cast(pa.int64())).as_py() // 1000)
        inside = old.filter(in_range(old["value_date"], *self._span, null=self._is_everything))
        if self._covered and month not in self._damaged and _tables.is_same(inside, new):
            self._counts["unchanged"] += len(new)
            return
        result = _tables.compare(old, new)
        if result.repeated:
            text = "%s of %s in %s share asset, date and metric with another one, and are left out."
            warn(text, plural(result.repeated, "row"), self._name or self._key, month)
        changes, is_damaged = result.changes, month in self._damaged
        if is_damaged and self._state.history_from_ms > START_MS:  # the file may have had rows that it does not have
            changes = changes.filter(pc.equal(changes["kind"].cast(pa.string()), "changed"))
        self._note(changes)
        if self._covered:
            self._counts["unchanged"] += result.unchanged
            is_covered = in_range(result.missing["value_date"], *self._covered, null=self._is_everything)
            if (missing := result.missing.filter(is_covered)).num_rows:
                self._missing[month] = missing
        rows = old if is_damaged and result.rows is None else result.rows
        if rows is not None:
            self._stage(month, rows)

    def _note(self, changes: pa.Table) -> None:
        """Keep changes for the history, count them, and note the oldest revision."""
        if not changes.num_rows:
            return
        self._changes.append(changes)
        kinds = changes["kind"].cast(pa.string())
        for kind, count in zip(*(kinds.value_counts().field(n).to_pylist() for n in ("values", "counts")), strict=True):
            self._counts[kind] += count
        if self._last_ms > START_MS and self._covered:
            # A value that comes late counts as a revision, unless its asset is new.
            is_old = pc.is_in(changes["asset_id"].cast(pa.string()), pa.array(sorted(self._old_ids), pa.string()))
            is_late = pc.and_(is_old, in_range(changes["value_date"], START_MS, self._last_ms))
            dates = changes["value_date"].filter(pc.or_(pc.not_equal(kinds, "added"), is_late)).drop_null()
            oldest = pc.min(dates.cast(pa.int64())).as_py()
            self._oldest_ms = self._oldest_ms if oldest is None else min(self._oldest_ms, oldest // 1000)

    def _remove_gone(self) -> None:
        """Remove the rows that the API no longer has, unless it may not have sent all of them."""
        missing = dict[str, pa.Table]()
        for month, rows in self._missing.items():
            for start_ms, stop_ms in self._gap_spans(with_outside=True):
                is_gap = in_range(rows["value_date"], start_ms - MAX_SHIFT_MS, stop_ms + MAX_SHIFT_MS, null=True)
                rows = rows.filter(pc.invert(is_gap))  # noqa: PLW2901 - fewer of them
            missing |= {month: rows} if rows.num_rows else {}
        count, before = len(_ids(self._listed)), self._state.asset_count
        total, last_ms = self._metadata.asset_count, self._metadata.stop_date
        doubts = {
            "the account of the mirror, or of the client, is unknown": not self._is_same_account,
            f"the API lists {count:,} assets, and listed {before:,} before": 2 * count < before,
            f"the API lists {count:,} of {total} assets": isinstance(total, int) and count < total,
            "the API has sent no rows": self._newest_ms == START_MS,
            "the last date is missing": isinstance(last_ms, int) and self._newest_ms < self._last_ms <= last_ms,
        }
        if 2 * count >= before or self.accept_removals:
            self._state.asset_count = count
        if missing and any(doubts.values()) and not self.accept_removals:
            self._counts["withheld"] = sum(map(len, missing.values()))
            text = "%s of %s did not come, and stay in the mirror, because %s. Removals have to be accepted."
            reasons = " and ".join(doubt for doubt, applies in doubts.items() if applies)
            warn(text, plural(self._counts["withheld"], "row"), self._name or self._key, reasons)
            return
        self._covered = (START_MS, STOP_MS)
        for month, rows in missing.items():
            self._stage(month, _tables.without(self._rows(month), rows))
            self._note(rows)

    def _rows(self, month: str) -> pa.Table:
        """Return the rows of a month, with what is staged."""
        name, parts = data_file(self._key, month), list[pa.Table]()
        if month in self._staged:
            parts = [self._store.read_table(staged_file(self._key, name))]
        elif month in self._damaged:
            history = concat(map(self._store.read_table, self._store.history(self._key).values()), CHANGES)
            changes = _tables.split_months(history).get(month, CHANGES.empty_table())
            parts = [_tables.replay(changes, concat([self._assets], ASSETS))]
        elif month in self._state.months:
            parts = [self._store.read_table(name)]
        return concat(parts, RESULTS)

    def _stage(self, month: str, rows: pa.Table) -> None:
        for months in (self._damaged, self._staged, self._removed):
            months.discard(month)
        if not rows.num_rows:
            self._removed |= {month} if self._state.months.pop(month, None) else set()
            return
        facts, part = FileMetadata(), Results(rows, self._listed, None, tuple(self._processing_ids), ())
        facts.add(attrs.evolve(part, dataset_id=self._id, dataset_name=self._name, metadata=self._metadata))
        metadata = {name: text for name, text in facts.to_dict().items() if name not in {"requests", "gaps"}}
        self._store.stage(self._key, data_file(self._key, month), rows.replace_schema_metadata(metadata))
        self._staged.add(month)
        self._state.months[month] = rows.num_rows

    def _commit(self, missing: list[_Span], *, is_last: bool = False) -> None:
        """Publish what is staged. `missing` is what a later run has to fetch."""
        self._check_lock()
        state, key = self._state, self._key
        files = [data_file(key, month) for month in sorted(self._staged)]
        metadata = {b"metadata": msgspec.json.encode(self._metadata.to_dict())}
        assets = sort_table(_merge_assets(self._listed, self._assets), ["asset_id"])
        is_new = self._assets.schema.metadata != metadata or not _tables.is_same(assets, self._assets)
        # In the middle of a run, new assets are not noted, because their earlier rows are still to be fetched.
        if is_new and (is_last or not self._old_ids):
            self._assets = assets.replace_schema_metadata(metadata)
            files.append(assets_file(key))
            self._store.stage(key, files[-1], self._assets)
        if self._changes:
            state.seen_ms = max(time.time_ns() // 10**6, state.seen_ms + 1)
            changes, processing_id = concat(self._changes, CHANGES), "; ".join(self._processing_ids) or None
            files.append(history_file(key, state.seen_ms))
            self._store.stage(key, files[-1], _tables.stamp(changes, state.seen_ms, processing_id))
        if not is_last:  # months that wait for rows, or for the end of the run, are fetched again
            firsts = [month_range(month)[0] for month in {*self._buffer, *self._waiting, *self._missing}]
            missing = [(min([missing[0][0], *firsts]), missing[0][1]), *missing[1:]]
        state.missing = _union(missing)
        state.is_running = not is_last
        state.last_ms = max(self._newest_ms, self._last_ms)
        self._store.commit(key, files, [data_file(key, month) for month in self._removed], state)
        self._changes, self._staged, self._removed = [], set(), set()

    def _gap_spans(self, *, with_outside: bool = False) -> list[_Span]:
        gaps = [gap for gap in self._gaps if with_outside or not gap.is_outside]
        return [((gap.start - EPOCH) // MILLISECOND, (gap.stop - EPOCH) // MILLISECOND) for gap in gaps]


def _ids(assets: pa.Table) -> set[str]:
    return set(assets["asset_id"].unique().to_pylist()) - {None}


def _merge_assets(first: pa.Table, second: pa.Table) -> pa.Table:
    """Return the assets of the first table, and those of the second whose ids it does not have."""
    ids = (table["asset_id"].cast(pa.string()).combine_chunks() for table in (second, first))
    return concat([first, second.filter(pc.invert(pc.is_in(*ids)))], ASSETS)


def _union(spans: Iterable[_Span]) -> list[_Span]:
    """Return ranges that do not overlap, in order."""
    merged: list[_Span] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            start, stop = merged[-1][0], max(merged.pop()[1], stop)  # noqa: PLW2901 - one range of two
        merged.append((start, stop))
    return merged
