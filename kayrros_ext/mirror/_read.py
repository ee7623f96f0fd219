"""Read the rows and the changes of a mirror, and drop old history."""

import time
from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.merge import KEYS, recount_dates
from kayrros_ext._results.metadata import Metadata
from kayrros_ext._results.model import Results
from kayrros_ext._results.query import EPOCH, MILLISECOND, parse_filter, parse_names
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import ASSETS as LISTED_ASSETS
from kayrros_ext._results.schema import LABEL, RESULTS, WITHOUT_METRICS
from kayrros_ext._results.selection import filter_metrics, find_assets
from kayrros_ext.errors import MirrorError, UsageError
from kayrros_ext.mirror._store import State, Store, assets_file, data_file
from kayrros_ext.mirror._tables import ASSETS, CHANGES, NO_MONTH, concat, constant, in_range, month_range, undo

if TYPE_CHECKING:
    from kayrros_ext._results.query import Instant, Names

# What users see of a change, in this order.
_COLUMNS = ["dataset_id", *KEYS, "kind", "old", "new", "seen_at", "processing_id", "asset_version"]
# A writer may move a file while it is being read.
_TRIES = 3


def read(
    store: Store,
    key: str,
    start: "Instant | None",
    stop: "Instant | None",
    metrics: "Names | None",
    assets: "Names | None",
    as_of: int | None,
) -> Results:
    """Return the results of a dataset as `Mirror.read` does."""
    query = parse_filter(start, stop, None)
    bounds = (query.time_range.start_date, query.time_range.stop_date) if query and query.time_range else (None, None)
    names = None if assets is None else parse_names("assets", assets)
    with store.errors():
        for attempt in range(_TRIES):
            try:
                results = _read(store, key, bounds, names, as_of)
                break
            except MirrorError as error:
                if error.file is None or attempt == _TRIES - 1:
                    raise
    moments = {"start": start and bounds[0], "stop": stop and bounds[1], "as_of": as_of}
    facts = {name: (EPOCH + ms * MILLISECOND).isoformat() for name, ms in moments.items() if ms is not None}
    results = attrs.evolve(results, query=facts)
    if metrics is not None:
        [results] = filter_metrics([results], parse_names("metric", metrics))
    table = results.table
    counts = pa.array([0] * results.assets.num_rows, pa.int64())
    listed = results.assets.append_column(LISTED_ASSETS.field("date_count"), counts)
    return attrs.evolve(results, assets=recount_dates(listed, [table]) if table.num_rows else listed)


def _read(store: Store, key: str, bounds: tuple[Any, Any], names: list[str] | None, as_of: int | None) -> Results:
    locate, state = store.view(key), store.state(key) or State()
    if as_of is not None and state.history_from_ms is not None and as_of < state.history_from_ms:
        text = f"The history before {EPOCH + state.history_from_ms * MILLISECOND:%Y-%m-%dT%H:%M:%SZ} was dropped."
        raise UsageError(text, hint="Pass a later as_of.")
    assets = store.read_table(locate(assets_file(key))) if store.exists(locate(assets_file(key))) else ASSETS.empty_table()
    ids = None if names is None else find_assets(names, assets)
    has_bounds = bounds != (None, None)

    def select(rows: pa.Table) -> pa.Table:
        if has_bounds:
            rows = rows.filter(in_range(rows["value_date"], *bounds))
        return rows if ids is None else rows.filter(pc.is_in(rows["asset_id"].cast(pa.string()), pa.array(ids, pa.string())))

    parts, processing_ids = [], dict[str, None]()
    for month in sorted(state.months):
        first, last = month_range(month)
        if not has_bounds or (month != NO_MONTH and bounds[0] < last and bounds[1] >= first):
            rows = store.read_table(locate(data_file(key, month)))
            texts = (rows.schema.metadata or {}).get(b"processing_id", b"").decode()
            processing_ids |= dict.fromkeys(filter(None, texts.split("; ")))
            parts.append(select(rows))
    table = sort_table(concat(parts, RESULTS))
    if as_of is not None:
        # Read after the rows. Changes that were committed meanwhile are undone, whether or not the rows have them.
        later = select(_history(store, key, lambda seen_ms: seen_ms > as_of))
        table = undo(table, later, concat([assets], ASSETS))
    metadata = Metadata.from_dict(msgspec.json.decode((assets.schema.metadata or {}).get(b"metadata", b"{}")))
    return Results(
        table,
        select_assets(concat([assets], ASSETS), ids),
        WITHOUT_METRICS.empty_table(),
        tuple(processing_ids) if as_of is None else (),
        (),
        dataset_id=UUID(key),
        dataset_name=state.name,
        metadata=metadata,
        retrieved_at=(EPOCH + state.started_ms * MILLISECOND).astimezone(UTC),
    )


def select_assets(assets: pa.Table, ids: list[str] | None) -> pa.Table:
    """Return the assets with some ids; all of them for None."""
    return assets if ids is None else assets.filter(pc.is_in(assets["asset_id"].cast(pa.string()), pa.array(ids)))


def changes(store: Store, keys: list[str], since: Callable[[State], int | None]) -> pa.Table:
    """Return the changes of some datasets, those of each since the moment that follows from its state."""
    tables = []
    for key in keys:
        first_ms = since(store.state(key) or State())
        rows = _history(store, key, lambda seen_ms, first_ms=first_ms: first_ms is None or seen_ms >= first_ms)  # type: ignore[misc]
        tables.append(rows.append_column(pa.field("dataset_id", LABEL), constant(key, rows.num_rows)).select(_COLUMNS))
    schema = CHANGES.append(pa.field("dataset_id", LABEL))
    table = concat(tables, pa.schema([schema.field(name) for name in _COLUMNS])).unify_dictionaries()
    return table.take(pc.sort_indices(table["seen_at"].cast(pa.int64()))) if len(keys) > 1 else table


def _history(store: Store, key: str, wanted: Callable[[int], bool]) -> pa.Table:
    """Return the changes of the times that a predicate selects, in order of time."""
    locate = store.view(key)
    return concat((store.read_table(locate(name)) for at, name in store.history(key).items() if wanted(at)), CHANGES)


def compact(store: Store, key: str, before_ms: int) -> int:
    """Drop the history of a dataset before a moment, and return the number of files."""
    with store.lock(key) as check_lock:
        store.recover(key)
        state = store.state(key) or State()
        before_ms = min(before_ms, int(time.time() * 1000))
        old = [name for at, name in store.history(key).items() if at < before_ms]
        state.history_from_ms = max(before_ms, state.history_from_ms or before_ms)
        check_lock()
        store.commit(key, [], [], state)
        for name in old:
            store.delete(name)
        return len(old)
