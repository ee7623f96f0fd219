"""Export many datasets, several at a time: a file for each, and a manifest by which a later call skips what is unchanged."""

import concurrent.futures
import contextlib
import errno
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from uuid import UUID

import attrs
import msgspec
from filelock import Timeout

from kayrros_ext import __version__
from kayrros_ext._catalog import IdOrName
from kayrros_ext._download.headers import safe_filename
from kayrros_ext._download.partial import acquire_lock
from kayrros_ext._export import ENDINGS, write
from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext._http.client import SLOT_POLL_S
from kayrros_ext._progress import Progress, ProgressCallback, make_callback
from kayrros_ext._results.fetch import MAX_FAILURES, TOO_LARGE_STATUSES, ResultsFetcher
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import parse_filter
from kayrros_ext.errors import ExportError, GapError, KayrrosError, LoginError, TransportError, UsageError
from kayrros_openapi.models import DatasetMetadata

if TYPE_CHECKING:
    from kayrros_ext.client import Kayrros

_T = TypeVar("_T")

MANIFEST, _LOCK = "kayrros-export.json", ".kayrros-export.lock"
# Members of the metadata that change with the results, as far as the API tells.
_FACTS = ("processing_id", "source_id", "start_date", "stop_date", "asset_count")
# Of the name of a dataset in that of its file.
_MAX_NAME_BYTES = 100


@attrs.frozen
class ExportedDataset:
    """What `export_many` did with a dataset.

    Attributes:
        dataset_id: its id.
        name: its name, if there is one.
        status: "written", "unchanged" (skipped), "partial" (written with `gaps`), or "failed" with an `error`.
        path: its file; None if it failed, and then an earlier file is untouched.
        rows: number of rows of the file.
        gaps: the missing parts within the dates of the metadata, with on_gap="warn".
        error: why it failed.
    """

    dataset_id: UUID
    name: str | None
    status: Literal["written", "unchanged", "partial", "failed"]
    path: Path | None = None
    rows: int | None = None
    gaps: tuple[Gap, ...] = ()
    error: KayrrosError | None = None


@attrs.frozen
class _Entry:
    """A file in the manifest. Its content depends on `basis`: arguments, host, version and facts of the metadata."""

    file: str
    rows: int
    size: int
    is_complete: bool
    basis: dict[str, Any]


def export_many(
    kayrros: "Kayrros", datasets: Iterable[IdOrName], directory: str | Path, options: dict[str, Any]
) -> list[ExportedDataset]:
    """Do what `Kayrros.export_many` says, without its warnings."""
    folder, ending = parse_output(directory, is_directory=True), f".{str(options['format']).lower().lstrip('.')}"
    if ending not in ENDINGS:
        choices = ", ".join(name[1:] for name in ENDINGS)
        raise UsageError(f"format is {options['format']!r:.80}.", hint=f"Use one of these: {choices}.")
    if isinstance(datasets, str | bytes | Mapping) or not isinstance(datasets, Iterable):
        raise UsageError(f"datasets is {datasets!r:.80}.", hint='Pass a list: kayrros.datasets("Oil storage").')
    start, stop, metric = (options[name] for name in ("start", "stop", "metric"))
    metrics: dict[str, Any] = {} if metric is None else {"metric": [metric] if isinstance(metric, str) else [*metric]}
    query: Any = {"start": start, "stop": stop, "metric": metric, "on_gap": options["on_gap"]}

    def fetch(key: UUID, progress: ProgressCallback | None = None, **slots: Any) -> ResultsFetcher:
        return kayrros._fetcher(key, query | {"progress": progress}, bounded_memory=True, **slots)

    fetch(UUID(int=0))  # refuses wrong arguments before anything is sent
    filters = parse_filter(start, stop, None) or None
    basis = {"base_url": kayrros._base_url, "version": __version__, "filter": filters and filters.to_dict(), **metrics}
    callback = make_callback(options["progress"])
    names = {kayrros._dataset_id(dataset): _name_of(dataset) for dataset in datasets}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = acquire_lock(str(folder / _LOCK), 0)
    except Timeout:
        text, hint = f"Another export to {folder} has not ended.", "Wait for it, or choose another directory."
        raise ExportError(text, hint=hint, path=folder) from None
    except OSError as error:
        raise output_error(ExportError, folder, error) from error
    try:
        return _Export(kayrros, folder, ending, fetch, basis, names, callback, options["skip_existing"]).run()
    finally:
        lock.release()


@attrs.define(slots=False)
class _Export:
    """A call of `export_many`. Threads take one dataset after the other; the calling thread is one of them."""

    kayrros: "Kayrros"
    folder: Path
    ending: str
    fetch: Callable[..., ResultsFetcher]
    basis: dict[str, Any]
    names: dict[UUID, str | None]
    callback: ProgressCallback | None
    skip_existing: bool
    failures = 0  # without a response, in a row
    error: Exception | None = None

    def __attrs_post_init__(self) -> None:
        self.concurrency = self.kayrros._settings.concurrency
        self.slots, self.stopped = threading.Semaphore(self.concurrency), threading.Event()
        self.mutex = threading.Lock()
        self.pending = iter([*self.names])  # its `next` is atomic
        self.outcomes: dict[UUID, ExportedDataset] = {}
        self.progress = dict.fromkeys(self.names, Progress(fraction=0, rows=0, windows=0, requests=0))
        self.manifest: dict[str, _Entry] = {}
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            self.manifest = msgspec.json.decode((self.folder / MANIFEST).read_bytes(), type=dict[str, _Entry])

    def run(self) -> list[ExportedDataset]:
        """Export all, or raise the error that ends everything. No thread that writes is left behind."""
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(1, self.concurrency)]
        threads = threads[: max(len(self.names) - 1, 0)]
        try:
            with contextlib.suppress(RuntimeError):  # the interpreter shuts down, or there are too many threads
                for thread in threads:
                    thread.start()
            self.work()
            for thread in threads:
                while thread.is_alive():  # a join without a timeout ignores Ctrl-C on Windows
                    thread.join(SLOT_POLL_S)
        finally:
            self.stopped.set()
            for thread in threads:
                if thread.ident:
                    thread.join()
        if self.error:
            raise self.error
        return [self.outcomes[key] for key in self.names]

    def work(self) -> None:
        """Export one dataset after the other, until there are no more or an error ends everything."""
        for key in self.pending:
            try:
                outcome, self.failures = self.export(key), 0
            except concurrent.futures.CancelledError:
                return
            except Exception as error:
                if not isinstance(error, KayrrosError) or self.ends_all(error):
                    self.error = self.error or error
                    self.stopped.set()
                    return
                outcome = ExportedDataset(key, self.names[key], "failed", error=error)
            self.outcomes[key] = outcome
            if self.progress[key].fraction < 1:
                self.report(key, attrs.evolve(self.progress[key], fraction=1))

    def export(self, key: UUID) -> ExportedDataset:
        """Write the file of a dataset, and record it in the manifest."""

        def fetch_metadata() -> DatasetMetadata:
            with self.slots:
                return self.kayrros.metadata(key)

        def parts() -> Iterator[Results]:
            fetched = iter(fetcher)
            while (part := self.wait_for(lambda: next(fetched, None))) is not None:
                gaps.extend(gap for gap in part.gaps if not gap.is_outside)
                yield part
                del part  # else it would stay in memory while the next one is made

        metadata = self.wait_for(fetch_metadata)
        name = self.names[key] = _name_of(metadata) or self.names[key]
        basis = self.basis | {fact: getattr(metadata, fact) or None for fact in _FACTS}
        entry = self.manifest.get(f"{key}{self.ending}")
        file = entry.file if entry else self.file_name(str(key), name or "dataset")
        path = self.folder / safe_filename(file)
        if self.skip_existing and entry and entry.is_complete and entry.basis == basis and metadata.stop_date:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_size == entry.size:
                    return ExportedDataset(key, name, "unchanged", path, entry.rows)
        gaps: list[Gap] = []
        fetcher = self.fetch(key, progress=functools.partial(self.report, key), slots=self.slots)
        rows = write(path, parts())
        try:
            with self.mutex, write_output(self.folder / MANIFEST) as manifest:
                self.manifest[f"{key}{self.ending}"] = _Entry(path.name, rows, path.stat().st_size, not gaps, basis)
                manifest.write(msgspec.json.format(msgspec.json.encode(self.manifest)))
        except OSError as error:
            raise output_error(ExportError, self.folder / MANIFEST, error) from error
        return ExportedDataset(key, name, "partial" if gaps else "written", path, rows, tuple(gaps))

    def file_name(self, key: str, name: str) -> str:
        """Return a file name of the name and the beginning of the id, or all of the id if another one begins alike."""
        ids = {*map(str, self.names), *(other[: len(key)] for other in list(self.manifest))}
        is_unique = sum(other[:8] == key[:8] for other in ids) == 1
        stem = safe_filename(name.replace("/", "_").replace("\\", "_")).encode()[:_MAX_NAME_BYTES]
        return f"{stem.decode(errors='ignore') or 'dataset'}-{key[:8] if is_unique else key}{self.ending}"

    def wait_for(self, function: Callable[[], _T]) -> _T:
        """Call a function in a thread, because neither Ctrl-C nor the error of another dataset waits for the network."""
        future: concurrent.futures.Future[_T] = concurrent.futures.Future()

        def call() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        try:
            threading.Thread(target=call, daemon=True, name="kayrros-export").start()
        except RuntimeError:
            call()
        while not self.stopped.is_set():
            if concurrent.futures.wait([future], SLOT_POLL_S).done:
                return future.result()
        raise concurrent.futures.CancelledError

    def report(self, key: UUID, progress: Progress) -> None:
        """Note how far a dataset is, and report the sum of all."""
        with self.mutex:
            self.progress[key] = progress
            if self.callback and not self.stopped.is_set():
                fields = ("fraction", "rows", "windows", "requests")
                done, *counts = (sum(getattr(each, field) for each in self.progress.values()) for field in fields)
                self.callback(Progress(done / len(self.names), *counts))

    def ends_all(self, error: KayrrosError) -> bool:
        """Return whether the other datasets would fail alike: the login, the network, the disk or the platform fails."""
        is_silent = isinstance(error, TransportError) or getattr(error, "status", None) in TOO_LARGE_STATUSES
        self.failures = self.failures + 1 if is_silent else 0
        cause = error.__cause__
        root = cause if isinstance(error, GapError) and cause else error
        return (
            self.failures >= MAX_FAILURES
            or isinstance(root, LoginError | ImportError)
            or getattr(root, "operation", None) == "login"
            or getattr(root, "status", None) in {401, 429}
            or getattr(root, "reason", None) in {"ConnectError", "ConnectTimeout"}
            or (isinstance(error, ExportError) and isinstance(cause, OSError) and cause.errno != errno.EFBIG)
            or self.kayrros._client.get_httpx_client().is_closed
        )


def _name_of(dataset: object) -> str | None:
    name = getattr(dataset, "name", None)
    return name if isinstance(name, str) and name else None
