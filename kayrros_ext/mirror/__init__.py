"""A local copy of datasets, with the history of their revisions: Parquet files that other programs read as they are."""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Never
from uuid import UUID

import attrs

from kayrros_ext._arguments import describe, unknown_argument
from kayrros_ext._results.fetch import check_bools
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import parse_instant
from kayrros_ext._text import list_names
from kayrros_ext.errors import KayrrosError, NotFoundError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_ext._arguments import IdOrName
    from kayrros_ext._progress import ProgressCallback
    from kayrros_ext._results.query import Instant, Names
    from kayrros_ext.client import Kayrros
    from kayrros_ext.mirror._sync import SyncOptions

__all__ = ["Mirror", "SyncReport"]

_REVISIONS = timedelta(days=90)


@attrs.frozen(kw_only=True)
class SyncReport:
    """What a sync did with a dataset.

    Attributes:
        dataset_id: its id.
        name: its name, if there is one.
        added: number of rows that are new.
        changed: number of rows with another value than before.
        gone: number of rows that were removed, because the API no longer has them.
        unchanged: number of rows that were compared and have the value that they had.
        requests: number of requests for results, retries included.
        oldest_revision: how long before the last date of the mirror the oldest revised, late or removed value is dated, so
            that `revisions` can be set by fact; None without any.
        withheld: number of rows that did not come, and stay, because it is not certain that the API no longer has them.
        gaps: the parts that were unavailable. The next sync fetches them.
        error: why the dataset failed, from `sync_many`; else None. Months that were complete before are in the mirror.
    """

    dataset_id: UUID
    name: str | None = None
    added: int = 0
    changed: int = 0
    gone: int = 0
    unchanged: int = 0
    requests: int = 0
    oldest_revision: timedelta | None = None
    withheld: int = 0
    gaps: tuple[Gap, ...] = ()
    error: KayrrosError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything that was to be fetched has come."""
        return not (self.error or self.gaps)


class Mirror:
    """A copy of datasets in a folder or an object store, current and as it was at any time since the first sync.

    `data/dataset=<id>/month=2024-01/part-0.parquet` has the current rows, in the schema of `Results.table`. DuckDB, polars,
    pandas, pyarrow, Dask and Spark read the folder `data` as it is, in hive partitions. `history/` has the changes of each
    sync, and `assets/` the assets.

    Example:
        >>> mirror = Mirror("lake/")
        >>> with Kayrros() as kayrros:
        ...     mirror.sync(kayrros, "Crude oil storage")
        >>> mirror.read("Crude oil storage", as_of="2026-03-01").to_pandas()

    Args:
        location: a folder, or a URL such as s3://bucket/prefix, gs://bucket/prefix or az://account@container/prefix. The
            first sync creates it. Credentials of object stores come from where their own tools find them, or from the URL.
        lock_timeout: seconds to wait for another process that writes the same dataset.

    Raises:
        UsageError: the location can't be one.
    """

    def __init__(self, location: "str | os.PathLike[str]", *, lock_timeout: float = 10.0) -> None:
        from kayrros_ext.mirror._store import Store  # loads pyarrow

        self._store = Store(location, lock_timeout)
        self.location = self._store.name

    def sync(
        self,
        kayrros: "Kayrros",
        dataset: "IdOrName",
        *,
        revisions: timedelta | str = _REVISIONS,
        full: bool = False,
        accept_removals: bool = False,
        repair: bool = False,
        progress: "ProgressCallback | bool | None" = None,
        **_unknown: Never,
    ) -> SyncReport:
        """Bring a dataset up to date, and return what has changed.

        The first time, everything is fetched; then what is dated after the last date less `revisions`, new assets from their
        beginning, and what is missing from earlier runs. A row is gone only if the part of the results that it belongs to has
        come completely, and the API still lists its assets.

        A run may end at any moment. Readers then see the last complete state of each month, and the next run completes it.
        Large first syncs resume where they were interrupted.

        Args:
            kayrros: a client.
            dataset: as for `Kayrros.metadata`.
            revisions: how far before the last date values may be revised: a timedelta, text such as "30d", or "all".
            full: whether to fetch and compare everything, as with revisions="all".
            accept_removals: whether rows that did not come are gone although the list of assets has shrunk by more than half,
                or other signs say that the answer is short.
            repair: whether to look for damaged files first, and to rebuild them from the API. Their history stays.
            progress: as for `Kayrros.results`.

        Raises:
            MirrorError: the location is no mirror and not empty, or a mirror of another host or account, of a newer version,
                damaged, in use by another process, or not writable.
            KayrrosError: as `Kayrros.iter_results`. Months that were complete before are in the mirror.
        """
        if _unknown:
            raise unknown_argument(Mirror.sync, _unknown)
        from kayrros_ext._progress import make_callback
        from kayrros_ext.mirror._sync import Sync

        options = _options(revisions, full=full, accept_removals=accept_removals, repair=repair)
        callback = make_callback(progress)
        return Sync(self._store, kayrros, kayrros._dataset_id(dataset), options, callback).run()

    def sync_many(
        self,
        kayrros: "Kayrros",
        datasets: "Iterable[IdOrName]",
        *,
        revisions: timedelta | str = _REVISIONS,
        full: bool = False,
        accept_removals: bool = False,
        repair: bool = False,
        progress: "ProgressCallback | bool | None" = None,
        **_unknown: Never,
    ) -> list[SyncReport]:
        """Bring datasets up to date, several at a time. Return a report for each; an error of one does not stop the others.

        Arguments are those of `sync`; `progress` is over all datasets, and threads call it, one at a time.

        Example:
            >>> reports = mirror.sync_many(kayrros, kayrros.datasets("Oil storage"))
            >>> [report.error for report in reports if report.error]
            []

        Raises:
            KayrrosError: an argument is wrong, or a name does not match one dataset.
        """
        if _unknown:
            raise unknown_argument(Mirror.sync_many, _unknown)
        from kayrros_ext._progress import make_callback
        from kayrros_ext.mirror._many import sync_many

        options = _options(revisions, full=full, accept_removals=accept_removals, repair=repair)
        if isinstance(datasets, str | bytes) or not isinstance(datasets, Iterable):
            hint = 'Pass a list: kayrros.datasets("Oil storage").'
            raise UsageError(f"datasets is {describe(datasets)}.", hint=hint)
        ids = list(dict.fromkeys(map(kayrros._dataset_id, datasets)))
        return sync_many(self._store, kayrros, ids, options, make_callback(progress))

    def read(
        self,
        dataset: "IdOrName",
        *,
        start: "Instant | None" = None,
        stop: "Instant | None" = None,
        metrics: "Names | None" = None,
        assets: "Names | None" = None,
        as_of: "Instant | None" = None,
        **_unknown: Never,
    ) -> Results:
        """Return the results of a dataset from the mirror, as they are now or were at an earlier time. Nothing is sent.

        Example:
            >>> before = mirror.read(dataset, metrics="fill_level_pct", as_of="2026-03-01T00:00Z")

        Args:
            dataset: id or name of a dataset of the mirror, or the beginning of either, or an object that has its id.
            start: as for `Kayrros.results`.
            stop: as for `Kayrros.results`.
            metrics: as `metric` for `Kayrros.results`.
            assets: as for `Kayrros.results`.
            as_of: a moment, written as for `start`. Values are those that a sync had seen by then; what describes an asset is
                as it is now, without its version.

        Raises:
            NotFoundError: the mirror has no such dataset, or several.
            UsageError: an argument is wrong, or the history of that moment was dropped.
            MirrorError: there is no mirror, or a file of it is damaged; the message names it.
        """
        if _unknown:
            raise unknown_argument(Mirror.read, _unknown)
        from kayrros_ext.mirror import _read

        moment = None if as_of is None else parse_instant("as_of", as_of)
        return _read.read(self._store, self._key(dataset), start, stop, metrics, assets, moment)

    def changes(
        self,
        since: "Instant | None" = None,
        datasets: "IdOrName | Iterable[IdOrName] | None" = None,
        **_unknown: Never,
    ) -> "pa.Table":
        """Return what the syncs have added, changed and removed, ordered by the time at which they saw it.

        Args:
            since: first moment, written as for `Kayrros.results`. Default: all of the history.
            datasets: one or several, each as for `read`. Default: all.

        Returns:
            An Arrow table with a row per change: dataset_id, asset_id, value_date, metric, kind ("added", "changed" or
            "gone"), old and new (the values before and after, null where there is none), seen_at (UTC), processing_id, and
            asset_version. The first sync of a dataset adds all of its rows.

        Raises:
            KayrrosError: as `read`.
        """
        if _unknown:
            raise unknown_argument(Mirror.changes, _unknown)
        since_ms = None if since is None else parse_instant("since", since)
        return self._changes(datasets, lambda _: since_ms)

    def compact(self, before: "Instant") -> int:
        """Drop the history before a moment, written as for `Kayrros.results`. Return the number of files that are deleted.

        `as_of` then works from that moment on.

        Raises:
            MirrorError: as `sync`.
            UsageError: the moment is wrong.
        """
        from kayrros_ext.mirror import _read

        before_ms = parse_instant("before", before)
        with self._store.errors():
            self._store.check()
            return sum(_read.compact(self._store, key, before_ms) for key in self._store.keys())

    def datasets(self) -> dict[UUID, str | None]:
        """Return the names of the datasets of the mirror, by their ids.

        Raises:
            MirrorError: there is no mirror.
        """
        with self._store.errors():
            self._store.check()
            return {UUID(key): state.name for key in self._store.keys() if (state := self._store.state(key))}

    def _changes(self, datasets: Any, since: Any) -> "pa.Table":
        from kayrros_ext.mirror import _read

        one = datasets is not None and (isinstance(datasets, str | UUID) or hasattr(datasets, "id"))
        keys = [*map(self._key, [datasets] if one else datasets)] if datasets is not None else None
        with self._store.errors():
            self._store.check()
            return _read.changes(self._store, self._store.keys() if keys is None else keys, since)

    def _key(self, dataset: "IdOrName") -> str:
        from kayrros_ext._catalog import _id_or_name, _pick
        from kayrros_openapi.models import CollectionDataset

        items = [CollectionDataset(id=str(key), name=name) for key, name in self.datasets().items()]
        try:
            return str(_pick("dataset", _id_or_name("dataset", dataset), items, lambda: items).id)
        except NotFoundError as error:
            error.hint, error.hint_cli = f"{self.location} has: {list_names(str(x.name or x.id) for x in items)}.", None
            raise

    def __repr__(self) -> str:
        return f"Mirror({self.location!r})"


def _options(revisions: timedelta | str, *, full: bool, accept_removals: bool, repair: bool) -> "SyncOptions":
    from kayrros_ext.mirror._sync import SyncOptions

    check_bools(full=full, accept_removals=accept_removals, repair=repair)
    window = None if full else parse_revisions(revisions)
    return SyncOptions(revisions=window, accept_removals=accept_removals, repair=repair)


def parse_revisions(value: object) -> timedelta | None:
    """Return how far back revisions are looked for; None for "all". Raise UsageError for anything but 30d, or a timedelta."""
    if value == "all":
        return None
    if isinstance(value, str) and value.endswith("d") and value[:-1].isdecimal() and len(value) < 7:
        value = timedelta(days=int(value[:-1]))
    if not isinstance(value, timedelta) or value < timedelta():
        hint = 'Pass a timedelta, a number of days such as "30d", or "all".'
        hint_cli = "Write --revisions 30d, or --revisions all."
        raise UsageError(f"revisions is {describe(value)}.", hint=hint, hint_cli=hint_cli)
    return value
