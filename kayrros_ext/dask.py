"""Dask reads results and keeps mirrors with all workers of a cluster. `import dask` is the library."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, Never, get_args

import attrs
import pyarrow as pa

from kayrros_ext._arguments import IdOrName, parse_uuid, unknown_argument
from kayrros_ext._auth.login import LOCK_TIMEOUT_S
from kayrros_ext._auth.token_cache import TokenCache
from kayrros_ext._catalog import _id_or_name
from kayrros_ext._config.credentials import same_email
from kayrros_ext._config.settings import _parse_positive, find_setting, load_sources
from kayrros_ext._http.client import SLOT_POLL_S, Gate, _Call
from kayrros_ext._progress import warn
from kayrros_ext._results.convert import import_optional, plain_table
from kayrros_ext._results.fetch import _SO_FAR, MAX_SHIFT_MS
from kayrros_ext._results.query import MAX_MS, Instant, Names, OnGap, parse_filter, parse_instant, parse_names
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import RESULTS, VALUE_DATE, WITH_DATASET, add_dataset
from kayrros_ext._results.selection import filter_metrics
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.client import Kayrros
from kayrros_ext.errors import ConfigurationError, GapError, KayrrosError, UsageError
from kayrros_ext.mirror import Mirror, SyncReport, parse_revisions
from kayrros_ext.mirror._tables import START_MS, STOP_MS, in_range

try:
    import dask.dataframe as dd
    import distributed
    import pandas as pd
except ImportError as error:
    import_optional(str(error.name), extra="dask")  # raises MissingExtraError

__all__ = ["read_results", "sync_all"]

Datasets = IdOrName | Iterable[IdOrName]
TokenFrom = Literal["scheduler"] | None
_Period = tuple[str, int, int, bool]
_Limits = tuple[int, TokenFrom]
_COLUMNS = [name for name in WITH_DATASET.names if name != "dataset_name"]  # it would take a request for each dataset
_LOCAL, _LOCK = dict[Any, Any](), threading.Lock()  # what the threads of this process share; a worker has its own


def read_results(
    datasets: Datasets,
    *,
    start: "Instant | None" = None,
    stop: "Instant | None" = None,
    freq: str | None = "MS",
    metric: Names | None = None,
    assets: Names | None = None,
    on_gap: OnGap = "raise",
    concurrency: int = 8,
    token_from: TokenFrom = None,
    **_unknown: Never,
) -> dd.DataFrame:
    """Return a Dask DataFrame of the results of datasets, a partition for each dataset and period. Nothing is sent yet.

    Its columns are dataset_id and those of `Results.table`. Text is string[pyarrow], also asset_categories, joined by ";";
    integers are Int64, and value_date is datetime64[us, UTC]. Each row is in one partition, and those without a date in the
    first. One dataset with `start` and `stop` is indexed by date, with divisions, and without rows that have no date.

    Example:
        >>> frame = read_results(kayrros.datasets("Oil storage"), start="2020", stop="2024", metric="fill_level_pct")
        >>> frame.groupby("dataset_id")["value"].mean().compute()

    Args:
        datasets: ids or names, or objects with their `id`. Each worker looks up names with some requests.
        start: as for `Kayrros.results`. Without it, each dataset is one partition, because its dates are unknown.
        stop: likewise, and included. Default: all there is, so that the last partition is open.
        freq: length of a period, an offset of pandas such as "MS", "YS" or "W"; None for one partition.
        metric: as for `Kayrros.results`. A partition that has only other metrics is empty; its worker logs a warning.
        assets: as for `Kayrros.results`, and each dataset must have all.
        on_gap: "raise" a GapError for a part that is unavailable, or "warn" in the log of the worker.
        concurrency: requests of the cluster at a time; of each process without one. Calls with one number share it.
        token_from: "scheduler" for one login of the cluster, whose token it keeps in memory. Default: each worker logs in.

    Raises:
        UsageError, ConfigurationError: an argument can't work. `compute` raises the errors of `Kayrros.results`.
    """
    if _unknown:
        raise unknown_argument(read_results, _unknown)
    keys, limits = _parse(datasets, concurrency, token_from)
    parse_filter(start, stop, None)
    if on_gap not in get_args(OnGap):
        raise UsageError(f"on_gap is {on_gap!r:.80}.", hint='Pass "raise" or "warn".')
    start_ms = START_MS if start is None else parse_instant("start", start)
    stop_ms = STOP_MS if stop is None else parse_instant("stop", stop, is_stop=True) + 1
    moments, divisions = [start_ms, *_cuts(start_ms, stop_ms, freq), stop_ms], None
    if len(keys) == 1 and start is not None and stop is not None:
        *begins, end = pd.to_datetime(moments, unit="ms", utc=True).as_unit("us")
        divisions = (*begins, end - pd.Timedelta("1us"))
    options: dict[str, Any] = {"by_date": divisions is not None, "limits": limits, "on_gap": on_gap}
    options["metrics"] = None if metric is None else parse_names("metric", metric)
    options["assets"] = None if assets is None else parse_names("assets", assets)
    periods = [(key, *ends, ends[0] == start_ms) for key in keys for ends in pairwise(moments)]
    meta = _to_frame(RESULTS.empty_table(), "", _COLUMNS, by_date=divisions is not None)
    return dd.from_map(_read_period, periods, meta=meta, divisions=divisions, label="kayrros-results", **options)


def sync_all(
    datasets: Datasets, location: str | Path, *, concurrency: int = 8, token_from: TokenFrom = None, **options: Any
) -> dict[str, SyncReport | Exception]:
    """Keep a mirror of datasets with the workers of the Dask client, one dataset each at a time. Return reports or errors.

    Example:
        >>> reports = sync_all(kayrros.datasets("Oil storage"), "s3://bucket/lake", revisions="30d")

    Args:
        datasets: as for `read_results`.
        location: as for `Mirror`; a folder must be one that all workers share.
        concurrency: as for `read_results`.
        token_from: as for `read_results`.
        options: revisions, full, accept_removals and repair, as for `Mirror.sync`.

    Raises:
        UsageError, ConfigurationError: an argument can't work, or there is no Dask client.
    """
    if unknown := {name: options[name] for name in options.keys() - {"revisions", "full", "accept_removals", "repair"}}:
        raise unknown_argument(Mirror.sync, unknown)
    keys, limits = _parse(datasets, concurrency, token_from)
    parse_revisions(options.get("revisions", "90d"))
    Mirror(location)
    place = str(location) if "://" in str(location) else str(Path(location).absolute())
    try:
        client = distributed.get_client()
    except ValueError:
        raise UsageError("There is no Dask client.", hint="Create a distributed.Client first.") from None
    pending, futures, reports = iter(keys), dict[Any, str](), dict[str, SyncReport | Exception]()
    while len(reports) < len(keys):
        # As many as there are workers, because one with several threads would take several.
        for key in islice(pending, max(len(client.nthreads()), 1) - len(futures)):
            futures[client.submit(_sync, key, place, options, limits, pure=False)] = key
        for future in distributed.wait(list(futures), return_when="FIRST_COMPLETED").done:
            reports[futures.pop(future)] = future.exception() or future.result()
    return {key: reports[key] for key in keys}


def _parse(datasets: Any, concurrency: int, token_from: TokenFrom) -> tuple[list[str], _Limits]:
    """Return ids and names, each once, and the limits. Raise UsageError or ConfigurationError for what can't work."""
    is_one = isinstance(datasets, str) or hasattr(datasets, "id") or not isinstance(datasets, Iterable)
    texts = [_id_or_name("dataset", value) for value in ([datasets] if is_one else datasets)]
    if not texts:
        raise UsageError("datasets is empty.", hint="Pass ids or names, such as those of kayrros.datasets().")
    if token_from not in {None, "scheduler"}:  # not shown, because it may be a token
        raise UsageError("token_from has another value.", hint='Pass "scheduler", or omit it.')
    limits = _parse_positive("concurrency", concurrency, whole=True), token_from
    return list(dict.fromkeys(str(parse_uuid(text) or text) for text in texts)), limits


def _cuts(start_ms: int, stop_ms: int, freq: str | None) -> list[int]:
    """Return the moments between the periods; those up to now if the end is open."""
    if start_ms == START_MS or freq is None:
        return []
    try:
        last_ms = time.time_ns() // 10**6 if stop_ms == STOP_MS else stop_ms - 1
        ends = pd.to_datetime([start_ms, last_ms], unit="ms", utc=True)
        moments: list[int] = pd.date_range(*ends, freq=freq, normalize=True).as_unit("ms").asi8.tolist()
    except (ValueError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise UsageError(f"freq is {freq!r:.80} ({error}).", hint='Pass an offset of pandas, such as "MS".') from None
    return [moment for moment in moments if start_ms < moment < stop_ms]


def _read_period(
    period: _Period, *, columns: Any = None, metrics: list[str] | None, limits: _Limits, by_date: bool, **options: Any
) -> pd.DataFrame:
    """Return a partition, with the columns that Dask needs of it: a dataset from one moment (epoch ms) to before another."""
    dataset, start_ms, stop_ms, is_first = period
    start = None if start_ms == START_MS else start_ms - MAX_SHIFT_MS
    stop = None if stop_ms == STOP_MS else min(stop_ms + MAX_SHIFT_MS, MAX_MS)
    with _client(limits) as kayrros:
        key = kayrros._dataset_id(dataset)
        results = kayrros.results(key, start=start, stop=stop, progress=False, **options)
    dates = results.table["value_date"]
    table = results.table.filter(in_range(dates, start_ms, stop_ms - 1, null=is_first and not by_date))
    if by_date and is_first and (undated := dates.null_count):
        warn("%s rows of %s have no date, and are left out of a frame that is indexed by date.", undated, dataset)
    if metrics is not None:
        before, table = table, next(filter_metrics([attrs.evolve(results, table=table)], metrics)).table
        if len(before) and not len(table):
            warn("No row of a period of %s has the metric %s.", dataset, ", ".join(metrics))
    return _to_frame(table, str(key), _COLUMNS if columns is None else columns, by_date=by_date)


def _to_frame(table: pa.Table, dataset_id: str, columns: list[str], *, by_date: bool) -> pd.DataFrame:
    """Return results as pandas, in types that do not depend on the rows."""
    table = sort_table(table, ("value_date", "asset_id", "metric")) if by_date else table
    types, dates = {pa.large_string(): pd.StringDtype("pyarrow"), pa.int64(): pd.Int64Dtype()}, table["value_date"]
    plain = plain_table(add_dataset(table, dataset_id, None).select(columns))
    if "value_date" in columns:  # with its time zone
        plain = plain.set_column(plain.schema.get_field_index("value_date"), VALUE_DATE, dates)
    frame: pd.DataFrame = plain.to_pandas(types_mapper=types.get)
    return frame.set_axis(pd.DatetimeIndex(dates.to_pandas()).rename(None)) if by_date else frame


def _sync(key: str, location: str, options: dict[str, Any], limits: _Limits) -> SyncReport:
    with _client(limits) as kayrros:
        return Mirror(location).sync(kayrros, key, progress=False, **options)


@contextlib.contextmanager
def _client(limits: _Limits) -> Iterator[Kayrros]:
    """Yield the client that the tasks of a worker share, while it has a lease of the cluster for one request at a time."""
    (concurrency, token_from), worker = limits, None
    with contextlib.suppress(ValueError):
        worker = distributed.get_worker()
    shared = vars(worker).setdefault("kayrros", {}) if worker else _LOCAL
    if (lease := shared.get(concurrency)) is None:
        new = distributed.Semaphore(concurrency, f"kayrros-{concurrency}") if worker else None
        lease = shared.setdefault(concurrency, new or threading.BoundedSemaphore(concurrency))
    try:
        with _LOCK:
            if token_from not in shared:
                shared[token_from] = _connect(token_from, worker)
        with lease:
            yield shared[token_from]
    except KayrrosError as error:
        for each in (error, *(gap.error for gap in getattr(error, "gaps", ()) if gap.error)):
            each.__cause__ = each.__context__ = None  # whose request is signed with the token
        if isinstance(error, GapError):
            error.results, error.hint = None, error.hint.removeprefix(f"{_SO_FAR} ")
        raise


def _connect(token_from: TokenFrom, worker: Any) -> Kayrros:
    """Return a client that sends one request at a time, and none while those of another worker are refused."""
    if token_from and not worker:
        raise UsageError("token_from needs the scheduler of a cluster.", hint="Create a distributed.Client.")
    tokens, deadline = _SchedulerTokens() if token_from else None, time.monotonic() + LOCK_TIMEOUT_S
    try:
        kayrros = Kayrros(concurrency=1)
    except ConfigurationError as error:
        while not (token := tokens and tokens.load()):
            if not (tokens and error.needs_login) or time.monotonic() > deadline:
                raise
            time.sleep(SLOT_POLL_S)
        kayrros = Kayrros(concurrency=1, token=token.secret)
    if tokens:
        if (token := kayrros._auth.tokens.peek()) and not tokens.load():
            tokens.save(token.secret)
        kayrros._auth.tokens.cache = tokens
    if worker:
        http = kayrros._client.get_httpx_client()
        gate = _ClusterGate(http.policy.retries)
        gate.pause = distributed.Lock("kayrros-pause")
        http.policy = attrs.evolve(http.policy, gate=gate)
    return kayrros


class _SchedulerTokens(TokenCache):
    """The token cache of a cluster, in the memory of its scheduler."""

    def __init__(self) -> None:
        sources, names = load_sources(missing_ok=True), ("base_url", "auth_url", "email")
        *hosts, self._email = (str(find_setting(sources, name).value or "") for name in names)
        super().__init__(Path("scheduler"), " ".join(hosts).replace("/", ""))
        self._client, self._mutex = distributed.get_client(), distributed.Lock("kayrros-login")

    def _read(self, path: Path) -> Any:
        record = self._client.get_metadata(["kayrros", path.name], None)
        return record if same_email(record["email"], self._email) else None  # that of another account

    def _write(self, path: Path, record: dict[str, Any]) -> None:
        self._client.set_metadata(["kayrros", path.name], {"version": 1, "email": self._email, **record})

    def _delete(self, path: Path) -> None:
        self._client.set_metadata(["kayrros", path.name], None)

    def lock(self, _: float) -> Any:
        return self._mutex  # that of a worker that dies becomes free


class _ClusterGate(Gate):
    """The gate of a worker. A refusal takes a lock for as long as the platform asks, which holds back all workers."""

    pause: Any  # a distributed.Lock

    def enter(self, call: _Call) -> float:
        wait_s = super().enter(call)
        if not wait_s and self.pause.locked():
            self.in_flight.discard(call)
            return SLOT_POLL_S
        return wait_s

    def close(self, call: _Call, seconds: float) -> None:
        super().close(call, seconds)
        run_in_daemon(partial(self._hold, time.monotonic() + seconds), "kayrros-pause")

    def _hold(self, deadline: float) -> None:
        if self.pause.acquire(timeout=deadline - time.monotonic()):  # else another worker has it as long
            time.sleep(max(deadline - time.monotonic(), 0))
            self.pause.release()
