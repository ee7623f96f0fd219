"""A local copy of datasets, with the history of their revisions: Parquet files that other programs read as they are."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Never
from uuid import UUID

import attrs

from kayrros_ext._arguments import describe, unknown_argument
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import parse_instant
from kayrros_ext._text import list_names
from kayrros_ext.errors import MirrorError, NotFoundError, UsageError

if TYPE_CHECKING:
    import os

    import pyarrow as pa

    from kayrros_ext._arguments import IdOrName
    from kayrros_ext._progress import ProgressCallback
    from kayrros_ext._results.query import Instant, Names
    from kayrros_ext.client import Kayrros

__all__ = ["Mirror", "SyncReport"]


@attrs.frozen(kw_only=True)
class SyncReport:
    """What a sync did with a dataset.

    It counts rows: `added`, `changed` (another value), `gone` (the API no longer has them), `unchanged`, and `withheld` (did
    not come, and stay, because it is not certain that the API no longer has them); and `requests`, retries included.
    `oldest_revision` is how long before the last date the oldest revised, late or removed value is dated. `gaps` are the
    parts that were unavailable; the next sync fetches them.

    Example:
        >>> mirror.sync(kayrros, "Crude oil storage").unchanged
        72
    """

    dataset_id: UUID
    name: str | None
    added: int
    changed: int
    gone: int
    unchanged: int
    requests: int
    withheld: int
    oldest_revision: timedelta | None
    gaps: tuple[Gap, ...]


class Mirror:
    """A copy of datasets in a folder or an object store, current and as it was at any time since the first sync.

    `data/dataset=<id>/month=2024-01/part-0.parquet` has the current rows, in the schema of `Results.table`. DuckDB, polars,
    pandas, pyarrow, Dask and Spark read the folder `data` as it is, in hive partitions.

    Example:
        >>> mirror = Mirror("lake/")
        >>> mirror.sync(kayrros, "Crude oil storage").added
        72
        >>> len(mirror.read("Crude oil storage", start="2024-02"))
        12
        >>> mirror.changes("last")["kind"].unique().to_pylist()
        ['added']
        >>> mirror.compact("2026-01"), list(mirror.datasets().values())
        (0, ['Crude oil storage, selected terminals'])

    Args:
        location: a folder, or a URL such as s3://bucket/prefix, gs://bucket/prefix or az://account@container/prefix, whose
            credentials come from where its own tools find them. The first sync creates it.
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
        revisions: timedelta | str = "90d",
        full: bool = False,
        accept_removals: bool = False,
        repair: bool = False,
        progress: "ProgressCallback | bool | None" = None,
        **_unknown: Never,
    ) -> SyncReport:
        """Bring a dataset up to date, and return what has changed.

        The first time, everything is fetched; then what is dated after the last date less `revisions`, new assets from their
        beginning, and what is missing from earlier runs. A run may end at any moment, and the next one completes it.

        Args:
            kayrros: a client.
            dataset: as for `Kayrros.metadata`.
            revisions: how far before the last date values may be revised: a timedelta, text such as "30d", or "all".
            full: whether to fetch and compare everything, as with revisions="all".
            accept_removals: whether rows that did not come are gone although there are signs of a short answer.
            repair: whether to look for damaged files first, and rebuild them from the API. Their history stays.
            progress: as for `Kayrros.results`.

        Raises:
            MirrorError: the location is another mirror, or not empty, damaged, in use by another process, or not writable.
            KayrrosError: as `Kayrros.iter_results`.
        """
        if _unknown:
            raise unknown_argument(Mirror.sync, _unknown)
        from kayrros_ext._progress import make_callback
        from kayrros_ext._results.fetch import check_bools
        from kayrros_ext.mirror._sync import Sync

        check_bools(full=full, accept_removals=accept_removals, repair=repair)
        run = Sync(self._store, kayrros, revisions=None if full else parse_revisions(revisions), repair=repair)
        run.accept_removals, run.progress = accept_removals, make_callback(progress)
        return run.run(kayrros._dataset_id(dataset))

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

        Args:
            dataset: id or name of a dataset of the mirror, or the beginning of either, or an object that has its id.
            start: as for `Kayrros.results`.
            stop: as for `Kayrros.results`.
            metrics: as `metric` for `Kayrros.results`.
            assets: as for `Kayrros.results`.
            as_of: a moment, written as for `start`: values are those that syncs had seen by then, descriptions those of now.

        Raises:
            NotFoundError, UsageError: the mirror has no such dataset, an argument is wrong, or that history was dropped.
            MirrorError: there is no mirror, or a file of it is damaged; the message names it.
        """
        if _unknown:
            raise unknown_argument(Mirror.read, _unknown)
        from kayrros_ext.mirror import _read

        moment = None if as_of is None else parse_instant("as_of", as_of)
        arguments = self._store, self._key(dataset), (start, stop), (metrics, assets), moment
        try:
            return _read.read(*arguments)
        except MirrorError:  # a writer may have moved a file between looking and reading
            return _read.read(*arguments)

    def changes(
        self,
        since: "Instant | None" = None,
        datasets: "IdOrName | Iterable[IdOrName] | None" = None,
    ) -> "pa.Table":
        """Return what the syncs have added, changed and removed, in order of time. Errors are those of `read`.

        Args:
            since: first moment, written as for `Kayrros.results`; or "last", for what the last run of each dataset has seen,
                and runs before it that did not end. Default: all of the history.
            datasets: one or several, each as for `read`. Default: all.

        Returns:
            An Arrow table with a row per change: dataset_id, asset_id, value_date, metric, kind ("added", "changed" or
            "gone"), old and new (values, else null), seen_at (UTC), processing_id and asset_version.
        """
        from kayrros_ext.mirror import _read

        since_ms = None if since == "last" else -(2**52) if since is None else parse_instant("since", since)
        several = isinstance(datasets, Iterable) and not isinstance(datasets, str)
        values: Any = datasets if several else [datasets]
        keys = map(str, self.datasets()) if datasets is None else map(self._key, values)
        return _read.changes(self._store, list(keys), since_ms)

    def compact(self, before: "Instant") -> int:
        """Drop the history before a moment, from which `as_of` then works. Return the number of deleted files."""
        from kayrros_ext.mirror import _read

        before_ms = parse_instant("before", before)
        return sum(_read.compact(self._store, str(key), before_ms) for key in self.datasets())

    def datasets(self) -> dict[UUID, str | None]:
        """Return the names of the datasets of the mirror, by their ids. Raise MirrorError if there is no mirror."""
        with self._store.errors():
            self._store.check()
            return {UUID(key): state.name for key, state in self._store.states().items()}

    def _key(self, dataset: "IdOrName") -> str:
        from kayrros_ext._catalog import _id_or_name, _pick
        from kayrros_openapi.models import CollectionDataset

        items = [CollectionDataset(id=str(key), name=name) for key, name in self.datasets().items()]
        try:
            return str(_pick("dataset", _id_or_name("dataset", dataset), items, lambda: items).id)
        except NotFoundError as error:
            error.hint, error.hint_cli = f"{self.location} has: {list_names(str(x.name or x.id) for x in items)}.", None
            raise


def parse_revisions(value: object) -> timedelta | None:
    """Return how far back revisions are looked for; None for "all". Raise UsageError unless it is 30d, or a timedelta."""
    if value == "all":
        return None
    if isinstance(value, str) and re.fullmatch("[0-9]{1,5}d", value):
        value = timedelta(days=int(value[:-1]))
    if not isinstance(value, timedelta) or value < timedelta():
        hint = 'Pass a timedelta, a number of days such as "30d", or "all".'
        raise UsageError(f"revisions is {describe(value)}.", hint=hint, hint_cli="Write --revisions 30d, or all.")
    return value
