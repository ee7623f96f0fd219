"""Read the rows and the changes of a mirror, and drop old history."""

import time
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results import schema
from kayrros_ext._results.merge import KEYS, recount_dates
from kayrros_ext._results.metadata import Metadata
from kayrros_ext._results.model import Results
from kayrros_ext._results.query import EPOCH, MILLISECOND, parse_filter, parse_names
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.selection import filter_metrics, find_assets
from kayrros_ext.errors import UsageError
from kayrros_ext.mirror._store import State, Store, assets_file, data_file
from kayrros_ext.mirror._tables import ASSETS, CHANGES, NO_MONTH, concat, constant, in_range, month_range, undo

if TYPE_CHECKING:
    from kayrros_ext._results.query import Instant, Names

_DATASET_ID = pa.field("dataset_id", schema.LABEL)
_COLUMNS = ["dataset_id", *KEYS, "kind", "old", "new", "seen_at", "processing_id", "asset_version"]


def read(
    store: Store,
    key: str,
    ends: "tuple[Instant | None, Instant | None]",
    selection: "tuple[Names | None, Names | None]",
    as_of: int | None,
) -> Results:
    """Return the results of a dataset as `Mirror.read` does, for the start and stop, and some metrics and assets."""
    query, metrics = parse_filter(*ends, None), None if selection[0] is None else parse_names("metric", selection[0])
    bounds = (query.time_range.start_date, query.time_range.stop_date) if query and query.time_range else None
    names = None if selection[1] is None else parse_names("assets", selection[1])
    with store.errors():
        locate, state = store.view(key), store.state(key) or State()
        if as_of is not None and as_of < state.history_from_ms:
            text = f"The history before {EPOCH + state.history_from_ms * MILLISECOND:%Y-%m-%dT%H:%M:%SZ} was dropped."
            raise UsageError(text, hint="Pass a later as_of.")
        file = store.read_table(locate(assets_file(key)))
        assets = concat([file], ASSETS)
        ids = None if names is None else schema.strings(find_assets(names, assets))

        def select(rows: pa.Table) -> pa.Table:
            if bounds and "value_date" in rows.column_names:
                rows = rows.filter(in_range(rows["value_date"], *bounds))
            return rows if ids is None else rows.filter(pc.is_in(rows["asset_id"].cast(pa.string()), ids))

        parts, processing_ids = list[pa.Table](), dict[str, None]()
        for month, (first, last) in ((month, month_range(month)) for month in sorted(state.months)):
            if not bounds or (month != NO_MONTH and bounds[0] < last and bounds[1] >= first):
                rows = store.read_table(locate(data_file(key, month)))
                processing_ids |= dict.fromkeys(
                    (rows.schema.metadata or {}).get(b"processing_id", b"").decode().split("; ")
                )
                parts.append(select(rows))
        table = sort_table(concat(parts, schema.RESULTS))
        if as_of is not None:
            # Read after the rows, because changes that are committed meanwhile are undone whether or not the rows have them.
            table = undo(table, select(_history(store, key, as_of + 1)), assets)
    listed = select(assets)
    listed = listed.append_column(schema.ASSETS.field("date_count"), schema.int64s([0] * len(listed)))
    pairs = zip(("start", "stop", "as_of"), (*ends, as_of), (*(bounds or (0, 0)), as_of or 0), strict=True)
    results = Results(
        table,
        recount_dates(listed, [table]) if len(table) else listed,
        schema.WITHOUT_METRICS.empty_table(),
        tuple(filter(None, processing_ids)) if as_of is None else (),
        (),
        dataset_id=UUID(key),
        dataset_name=state.name,
        metadata=Metadata.from_dict(msgspec.json.decode(file.schema.metadata[b"metadata"])),
        retrieved_at=EPOCH + state.started_ms * MILLISECOND,
        query={name: (EPOCH + ms * MILLISECOND).isoformat() for name, it, ms in pairs if it is not None},
    )
    return results if metrics is None else next(iter([*filter_metrics([results], metrics)]))


def changes(store: Store, keys: list[str], since_ms: int | None) -> pa.Table:
    """Return the changes of some datasets since a moment; None for the start of the last run of each."""
    tables = []
    with store.errors():
        for key in keys:
            rows = _history(store, key, (store.state(key) or State()).started_ms if since_ms is None else since_ms)
            tables.append(rows.append_column(_DATASET_ID, constant(key, rows.num_rows)))
    table = concat(tables, pa.schema([*CHANGES, _DATASET_ID])).select(_COLUMNS).unify_dictionaries()
    return table.take(pc.array_sort_indices(table["seen_at"].cast(pa.int64()))) if len(keys) > 1 else table


def _history(store: Store, key: str, since_ms: int) -> pa.Table:
    """Return the changes since a moment, in order of time."""
    locate, names = store.view(key), (name for at, name in store.history(key).items() if at >= since_ms)
    return concat((store.read_table(locate(name)) for name in names), CHANGES)


def compact(store: Store, key: str, before_ms: int) -> int:
    """Drop the history of a dataset before a moment, and return the number of files."""
    with store.errors(), store.lock(key) as check_lock:
        store.recover(key)
        state, before_ms = store.state(key) or State(), min(before_ms, int(time.time() * 1000))
        old = [name for at, name in store.history(key).items() if at < before_ms]
        state.history_from_ms = max(before_ms, state.history_from_ms)
        check_lock()
        store.commit(key, [], [], state)
        for name in old:
            store.delete(name)
        return len(old)
