"""Sync many datasets, several at a time."""

import threading
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

import attrs

from kayrros_ext._http.client import SLOT_POLL_S
from kayrros_ext._progress import Progress, ProgressCallback
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import KayrrosError
from kayrros_ext.mirror import SyncReport
from kayrros_ext.mirror._store import Store
from kayrros_ext.mirror._sync import Sync, SyncOptions

if TYPE_CHECKING:
    from kayrros_ext.client import Kayrros


class _StoppedError(Exception):
    """The call has ended, and its threads end, too."""


class _Many:
    """A call of `Mirror.sync_many`. Each thread syncs one dataset after the other."""

    def __init__(
        self, store: Store, kayrros: "Kayrros", ids: list[UUID], options: SyncOptions, callback: ProgressCallback | None
    ) -> None:
        self._store, self._kayrros, self._options, self._callback = store, kayrros, options, callback
        self._ids, self._pending, self._lock, self._stopped = ids, iter(ids), threading.Lock(), threading.Event()
        self._reports, self._errors = dict[UUID, SyncReport](), list[BaseException]()
        self._progress = dict.fromkeys(ids, Progress(fraction=0, rows=0, windows=0, requests=0))
        self._threads = min(len(ids), kayrros._settings.concurrency)

    def run(self) -> list[SyncReport]:
        try:
            for _ in range(self._threads):
                run_in_daemon(self._work, "kayrros-sync")
            while self._ids and not self._stopped.wait(SLOT_POLL_S):  # without a timeout, Windows ignores Ctrl-C
                pass
        finally:
            self._stopped.set()
        for error in self._errors:
            raise error
        return [self._reports[key] for key in self._ids]

    def _work(self) -> None:
        try:
            while not self._stopped.is_set() and (key := self._next()):
                concurrency = max(1, self._kayrros._settings.concurrency // self._threads)
                run = Sync(self._store, self._kayrros, key, self._options, partial(self._report, key), concurrency)
                try:
                    report = run.run()
                except KayrrosError as error:
                    report = SyncReport(dataset_id=key, name=self._kayrros._names.get(key), error=error)
                self._report(key, attrs.evolve(self._progress[key], fraction=1), report)
        except BaseException as error:
            self._errors.append(error)
            self._stopped.set()

    def _next(self) -> UUID | None:
        with self._lock:
            return next(self._pending, None)

    def _report(self, key: UUID, progress: Progress, report: SyncReport | None = None) -> None:
        """Report the sum over all datasets. Raise when the call has ended."""
        with self._lock:
            if self._stopped.is_set():
                raise _StoppedError
            self._progress[key] = progress
            if self._callback:
                done, *counts = map(sum, zip(*map(attrs.astuple, self._progress.values()), strict=True))
                self._callback(Progress(done / len(self._ids), *counts))
            if report:
                self._reports[key] = report
                if len(self._reports) == len(self._ids):
                    self._stopped.set()


def sync_many(
    store: Store, kayrros: "Kayrros", ids: list[UUID], options: SyncOptions, callback: ProgressCallback | None
) -> list[SyncReport]:
    """Sync datasets as `Mirror.sync_many` does."""
    return _Many(store, kayrros, ids, options, callback).run()
