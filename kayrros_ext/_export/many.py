"""Export many datasets, several at a time: a file for each, and a manifest by which a later call skips what is unchanged."""

import contextlib
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from errno import EFBIG
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import attrs
import msgspec

from kayrros_ext import __version__
from kayrros_ext._arguments import describe
from kayrros_ext._download.headers import safe_filename
from kayrros_ext._download.partial import acquire_lock, release_lock
from kayrros_ext._export import parse_target, write
from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext._http.client import SLOT_POLL_S
from kayrros_ext._progress import Progress, make_callback, warn
from kayrros_ext._results.fetch import check_bools
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.query import parse_filter, parse_names
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import ExportError, KayrrosError, LoginError, TransportError, UnauthorizedError, UsageError

if TYPE_CHECKING:
    from kayrros_ext._progress import ProgressCallback
    from kayrros_ext._results.fetch import ResultsFetcher
    from kayrros_ext._results.query import Instant, Names, OnGap, ResultsOptions
    from kayrros_ext.client import Kayrros

MANIFEST, _PREFIX = "kayrros-export.json", ".kayrros-export-"
NOT_EXPORTED = "%r was not exported: %s"  # a warning of the log
# Members of the metadata that change with the results, as far as the API tells.
_FACTS = ("processing_id", "source_id", "start_date", "stop_date", "asset_count")
_CONCERN_ALL = LoginError, UnauthorizedError, ImportError
# Of the manifest: name, rows and size of a file, and the arguments, host, version and facts it depends on; none with gaps.
_Entry = tuple[str, int, int, dict[str, Any]]


@attrs.frozen
class ExportedDataset:
    """What `export_many` did with a dataset.

    Example:
        >>> [exported] = kayrros.export_many(["Crude oil storage"], "lake/")
        >>> exported.status, exported.rows
        ('written', 72)

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


class _StoppedError(Exception):
    """The export has ended, and a thread that was waiting for a response ends, too."""


class Export:
    """A call of `Kayrros.export_many`. Each thread exports one dataset after the other, with one request at a time."""

    def __init__(
        self,
        kayrros: "Kayrros",
        datasets: Iterable[Any],
        directory: str | Path,
        *,
        format: str,  # noqa: A002 - as in Kayrros.export_many
        start: "Instant | None",
        stop: "Instant | None",
        metric: "Names | None",
        on_gap: "OnGap",
        skip_existing: bool,
        progress: "ProgressCallback | bool | None",
    ) -> None:
        check_bools(skip_existing=skip_existing)
        self.folder = parse_output(directory, is_directory=True)
        self.ending = f".{str(format).lower().lstrip('.')}"
        parse_target(self.folder / f"dataset{self.ending}")
        is_table = isinstance(datasets, str | bytes | Mapping) or hasattr(datasets, "columns")
        if is_table or not isinstance(datasets, Iterable):
            raise UsageError(f"datasets is {describe(datasets)}.", hint='Pass a list: kayrros.datasets("Oil storage").')
        metric = None if metric is None else parse_names("metric", metric)
        self.kayrros = kayrros
        self.options: ResultsOptions = {"start": start, "stop": stop, "metric": metric, "on_gap": on_gap}
        self.fetcher(UUID(int=0), None)  # refuses wrong arguments before anything is sent
        dates = filters.to_dict() if (filters := parse_filter(start, stop, None)) else None
        self.basis = {"base_url": kayrros._base_url, "version": __version__, "dates": dates, "metric": metric}
        self.callback, self.skips = make_callback(progress), skip_existing
        self.ids = list(dict.fromkeys(map(kayrros._dataset_id, datasets)))
        self.names: dict[UUID, str | None] = {**kayrros._names}
        self.pending, self.mutex, self.stopped = iter(self.ids), threading.Lock(), threading.Event()
        self.progress = dict.fromkeys(self.ids, Progress(fraction=0, rows=0, windows=0, requests=0))
        self.outcomes, self.manifest = dict[UUID, ExportedDataset](), dict[str, _Entry]()
        self.has_response = False

    def fetcher(self, key: UUID, progress: "ProgressCallback | None") -> "ResultsFetcher":
        """Return the fetcher of a dataset."""
        options: ResultsOptions = {**self.options, "progress": progress}
        return self.kayrros._fetcher(key, options, bounded_memory=True, concurrency=1)

    def run(self) -> list[ExportedDataset]:
        """Export all, or raise the error that ends everything."""
        busy = ExportError(f"Another export to {self.folder} has not ended.", path=self.folder)
        try:
            lock = acquire_lock(self.folder / ".kayrros-export.lock", 0, busy)
            try:
                with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
                    self.manifest = msgspec.json.decode((self.folder / MANIFEST).read_bytes(), type=dict[str, _Entry])
                self.owners = {entry[0]: item for item, entry in self.manifest.items()}
                concurrency = self.kayrros._settings.concurrency
                threads = [run_in_daemon(self.work, "kayrros-export") for _ in self.ids[:concurrency]]
                ended = set[Future[None]]()
                while len(ended) < len(threads):
                    ended, _ = wait(threads, SLOT_POLL_S, FIRST_EXCEPTION)  # without a timeout, Windows ignores Ctrl-C
                    for thread in ended:
                        thread.result()  # raises the error that ends everything
            finally:
                self.stopped.set()
                for path in self.folder.glob(f"{_PREFIX}*.part"):  # of threads that wait, or a process that was killed
                    shutil.rmtree(path, ignore_errors=True)  # of an .xlsx
                    with contextlib.suppress(OSError):  # Windows removes no open file
                        path.unlink()
                release_lock(lock)
        except OSError as error:
            raise output_error(ExportError, self.folder, error) from error
        return [self.outcomes[key] for key in self.ids]

    def work(self) -> None:
        """Export one dataset after the other, until there are no more or an error ends everything."""
        while key := next(self.pending, None):
            try:
                outcome = self.export(key)
            except KayrrosError as error:
                is_offline = isinstance(error, TransportError) and not self.has_response
                is_disk = isinstance(error, ExportError) and getattr(error.__cause__, "errno", EFBIG) != EFBIG
                is_closed = self.kayrros._client.get_httpx_client().is_closed
                if is_offline or is_disk or is_closed or isinstance(error, _CONCERN_ALL):
                    raise
                outcome = ExportedDataset(key, self.names.get(key), "failed", error=error)
                warn(NOT_EXPORTED, outcome.name or str(key), error)
            self.report(key, attrs.evolve(self.progress[key], fraction=1), outcome)

    def report(self, key: UUID, progress: Progress, outcome: ExportedDataset | None = None) -> None:
        """Report the sum over all datasets. One is done once its file is complete. Raise when the export has ended."""
        with self.mutex:
            if self.stopped.is_set():
                raise _StoppedError
            self.progress[key] = progress
            if self.callback and (outcome or progress.fraction < 1):
                done, *counts = map(sum, zip(*map(attrs.astuple, self.progress.values()), strict=True))
                self.callback(Progress(done / len(self.ids), *counts))
            if outcome:
                self.outcomes[key] = outcome

    def export(self, key: UUID) -> ExportedDataset:
        """Write the file of a dataset, and record it in the manifest."""

        def parts() -> Iterator[Results]:
            for part in self.fetcher(key, partial(self.report, key)):
                gaps.extend(gap for gap in part.gaps if not gap.is_outside)
                yield part
                del part  # else it would stay in memory while the next one is made

        metadata, gaps, item = self.kayrros.metadata(key), list[Gap](), f"{key}{self.ending}"
        self.has_response, entry = True, self.manifest.get(item)
        name = self.names[key] = metadata.name or self.names.get(key)
        basis = self.basis | {fact: getattr(metadata, fact) or None for fact in _FACTS}
        stem = safe_filename((name or "").replace("/", "_").replace("\\", "_")).encode()[:100].decode(errors="ignore")
        file, rows, size, previous = entry or (f"{stem or 'dataset'}-{item[:8]}{self.ending}", 0, 0, {})
        if self.owners.setdefault(file, item) != item:  # another dataset of this name, whose id begins alike
            file = f"{stem or 'dataset'}-{item}"
        path = self.folder / safe_filename(file)
        if self.skips and previous == basis and metadata.stop_date:
            with contextlib.suppress(OSError):
                if path.stat().st_size == size:
                    return ExportedDataset(key, name, "unchanged", path, rows)
        rows = write(path, parts(), prefix=_PREFIX)
        with self.mutex, write_output(self.folder / MANIFEST, prefix=_PREFIX) as manifest:
            self.manifest[item] = path.name, rows, path.stat().st_size, {} if gaps else basis
            manifest.write(msgspec.json.format(msgspec.json.encode(self.manifest)))
        return ExportedDataset(key, name, "partial" if gaps else "written", path, rows, tuple(gaps))
