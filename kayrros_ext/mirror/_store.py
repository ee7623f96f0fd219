"""The files of a mirror, on disk or in an object store: one writer at a time, and commits that survive a crash.

    kayrros-mirror.json                               marks the folder as a mirror: format, host, account
    data/dataset=<id>/month=2024-01/part-0.parquet    the current rows
    history/dataset=<id>/<time>.parquet               the changes that were seen at that time
    assets/dataset=<id>.parquet                       the assets, with the metadata of the dataset in that of the file
    .kayrros/state/<id>.json                          how far the dataset is
    .kayrros/pending/<id>/                            the files of a commit, and last of all its list: commit.json

A commit moves its files into place one by one. As long as its list is there, every reader of ours takes a file that has not
been moved from `pending`, and the next writer moves it.
"""

import contextlib
import os
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kayrros_ext import __version__
from kayrros_ext._download.partial import acquire_lock, release_lock
from kayrros_ext._files import HINTS, parse_output
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import MirrorError, UsageError

MARKER, FORMAT = "kayrros-mirror.json", 1
_PRIVATE = ".kayrros"
# A ticket in an object store is renewed this often, and void after this long.
RENEW_S, LEASE_S = 60.0, 300.0
# Rows of a row group, as in an export.
_ROW_GROUP = 2**19


def data_file(key: str, month: str) -> str:
    """Return the name of the file with the rows of a month."""
    return f"data/dataset={key}/month={month}/part-0.parquet"


def assets_file(key: str) -> str:
    """Return the name of the file with the assets of a dataset."""
    return f"assets/dataset={key}.parquet"


class State(msgspec.Struct, omit_defaults=True):
    """How far a dataset is, as JSON. Moments are epoch milliseconds.

    Attributes:
        name: name of the dataset.
        months: number of rows of each month.
        last_ms: last date of a row.
        missing: ranges that are still to be fetched, because the API did not send them or the run was interrupted.
        asset_count: number of assets that the API listed last.
        started_ms: when the last run started; if runs before it did not end, the first of them.
        is_running: whether that run has not ended.
        seen_ms: when changes were seen last.
        history_from_ms: the history before this moment was dropped.
    """

    name: str | None = None
    months: dict[str, int] = {}
    last_ms: int | None = None
    missing: list[tuple[int | None, int | None]] = []
    asset_count: int = 0
    started_ms: int = 0
    is_running: bool = False
    seen_ms: int = 0
    history_from_ms: int | None = None


class _Commit(msgspec.Struct):
    files: list[str]
    removed: list[str]


class _Marker(msgspec.Struct):
    format: int
    host: str | None = None
    account: str | None = None
    client: str = f"kayrros-ext {__version__}"


class Store:
    """The files of a mirror, by their names within it. `name` is its location without credentials.

    Raises:
        UsageError: the location can't be one.
    """

    def __init__(self, location: object, lock_timeout: float) -> None:
        text = os.fspath(location) if isinstance(location, str | os.PathLike) else None
        self._lock_timeout_s = lock_timeout
        if isinstance(text, str) and re.match("[a-z][a-z0-9]+://", text):
            self.name = re.sub("//[^/]*@", "//", text.partition("?")[0])
            # Arrow knows Azure by the name of its driver in Hadoop.
            scheme, rest = text.split("://", 1)
            try:
                self._fs, root = pafs.FileSystem.from_uri(f"{ {'az': 'abfs'}.get(scheme, scheme)}://{rest}")
            except (pa.ArrowException, OSError, ValueError) as error:
                hint = "Pass a folder, or a URL such as s3://bucket/prefix."
                raise UsageError(f"{self.name} can't be opened ({str(error):.200}).", hint=hint) from None
            self._root = unquote(root).rstrip("/")
        else:
            path = parse_output(location, is_directory=True)
            self.name, self._fs, self._root = str(path), pafs.LocalFileSystem(), str(path.absolute())
        self._is_local = isinstance(self._fs, pafs.LocalFileSystem)

    def error(self, problem: str, hint: str = "") -> MirrorError:
        """Return the error of this mirror."""
        return MirrorError(f"{self.name} {problem}", hint=hint, location=self.name)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raise MirrorError for an error of the file system."""
        try:
            yield
        except OSError as error:
            hint = HINTS.get(error.errno or 0, "Check the disk, the network and the permissions, and run it again.")
            raise self.error(f"could not be read or written ({error.strerror or str(error):.300}).", hint) from error

    # The marker

    def check(self, host: str | None = None, account: str | None = None) -> bool:
        """Raise MirrorError unless this is a mirror; with a host, one of it and the account, or an empty place.

        Return whether it is certain that the account is the one of the mirror.
        """
        content = self.read(MARKER)
        if content is None:
            infos = self._fs.get_file_info(pafs.FileSelector(self._root, allow_not_found=True))
            if host is None:
                raise self.error("is not a mirror.", "`Mirror.sync` makes one.")
            if any(info.base_name != _PRIVATE for info in infos):
                raise self.error("is not a mirror, and not empty.", "Choose an empty or a new folder.")
            self.write(MARKER, msgspec.json.format(msgspec.json.encode(_Marker(FORMAT, host, account))))
            return True
        try:
            marker = msgspec.json.decode(content, type=_Marker)
        except msgspec.MsgspecError as error:
            raise self.error(f"has a damaged {MARKER} ({error}).", "Restore that file from a backup.") from None
        if marker.format > FORMAT:
            text = f"was written by a newer version ({marker.client}, format {marker.format}; this is {__version__})."
            raise self.error(text, 'Upgrade with `pip install --upgrade "kayrros-ext"`.')
        if host and marker.host != host:
            raise self.error(f"is a mirror of {marker.host}, not of {host}.", "Choose another folder for this host.")
        if account and marker.account not in {None, account}:
            text = f"is a mirror of the account {marker.account}, not of {account}."
            raise self.error(text, "Choose another folder for this account, because it may see other data.")
        return account == marker.account

    def keys(self) -> list[str]:
        """Return the ids of all datasets."""
        folders = [f"{_PRIVATE}/state", f"{_PRIVATE}/pending"]
        paths = {Path(name).stem for folder in folders for name in self.list(folder)}
        return sorted(key for key in paths if self.state(key) is not None)

    def state(self, key: str) -> State | None:
        """Return how far a dataset is; None if the mirror does not have it."""
        content = self.read(self.view(key)(f"{_PRIVATE}/state/{key}.json"))
        return None if content is None else msgspec.json.decode(content, type=State)

    def history(self, key: str) -> dict[int, str]:
        """Return the files of the history of a dataset by their time in epoch milliseconds, in order."""
        folder = f"history/dataset={key}"
        names = {*self.list(folder), *self.list(self._staged(key, folder))} if self._pending(key) else self.list(folder)
        return {_parse_time(name): f"{folder}/{name}" for name in sorted(names) if name.endswith(".parquet")}

    # Files

    def view(self, key: str) -> Callable[[str], str]:
        """Return a function from the name of a file to where it is: in `pending`, while a commit is not complete."""
        commit = self._pending(key)
        files = {*commit.files} if commit else set[str]()

        def locate(name: str) -> str:
            staged = self._staged(key, name)
            return staged if name in files and self.exists(staged) else name

        return locate

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""
        try:
            with self._fs.open_input_stream(self._path(name)) as file:
                content: bytes = file.readall()
                return content
        except FileNotFoundError:
            return None

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Return the table of a Parquet file. Raise MirrorError where it is missing or damaged."""
        content, problem = self.read(name), "it is missing"
        if content is not None:
            try:
                return pq.read_table(pa.BufferReader(content), columns=columns, page_checksum_verification=True)
            except (pa.ArrowException, OSError, ValueError, KeyError) as error:
                problem = f"{str(error):.200}"
        text = f"{self.name} is damaged: {name} can't be read ({problem})."
        hint = "Rebuild it from the API with `Mirror.sync(…, repair=True)`; the history stays."
        hint_cli = f"Rebuild it from the API with `kayrros sync --repair {self.name}`; the history stays."
        raise MirrorError(text, hint=hint, hint_cli=hint_cli, location=self.name, file=name)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, atomically."""
        part = f"{_PRIVATE}/{secrets.token_hex(8)}.part" if self._is_local else name
        try:
            with self._create(part) as file:
                file.write(content)
            if part != name:
                self._move(part, name)
        finally:
            if part != name:
                self.delete(part)

    def stage(self, key: str, name: str, table: pa.Table) -> None:
        """Write a Parquet file of the commit that comes next."""
        # Values hardly repeat, so a dictionary of them costs time and saves nothing.
        repeating = [column for column in table.column_names if column not in {"value", "old", "new"}]
        with self._create(self._staged(key, name)) as file:
            pq.write_table(
                table.unify_dictionaries() if table.num_rows else table,
                file,
                compression="zstd",
                use_dictionary=repeating,
                row_group_size=_ROW_GROUP,
                write_page_checksum=True,
            )

    def read_staged(self, key: str, name: str) -> pa.Table:
        """Return the table of a file of the commit that comes next."""
        return self.read_table(self._staged(key, name))

    def commit(self, key: str, files: list[str], removed: list[str], state: State) -> None:
        """Publish staged files in their order, and then the state. A crash after the list is written loses nothing."""
        last = f"{_PRIVATE}/state/{key}.json"
        content = msgspec.json.encode(state)
        if not (files or removed):
            self.write(last, content)
            return
        self.write(self._staged(key, last), content)
        commit = _Commit([*files, last], removed)
        self.write(self._staged(key, "commit.json"), msgspec.json.encode(commit))
        self.recover(key)

    def recover(self, key: str) -> bool:
        """Complete the last commit and return True, or delete what is left of one that was never published."""
        if commit := self._pending(key):
            for name in commit.files:
                if self.exists(staged := self._staged(key, name)):
                    self._move(staged, name)
            for name in commit.removed:
                self.delete_folder(name.rpartition("/")[0])
            self.delete(self._staged(key, "commit.json"))
        self.delete_folder(f"{_PRIVATE}/pending/{key}")
        return commit is not None

    def exists(self, name: str) -> bool:
        """Return whether there is a file."""
        return bool(self._fs.get_file_info(self._path(name)).is_file)

    def list(self, folder: str) -> list[str]:
        """Return the names in a folder."""
        infos = self._fs.get_file_info(pafs.FileSelector(self._path(folder), allow_not_found=True))
        return [info.base_name for info in infos]

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_file(self._path(name))

    def delete_folder(self, name: str) -> None:
        """Delete a folder, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.delete_dir(self._path(name))

    def dataset(self, folder: str, schema: pa.Schema) -> Any:
        """Return the Parquet files of a folder as a dataset of Arrow, with a column `dataset`."""
        import pyarrow.dataset as pads

        if not self.list(folder):
            return schema.append(pa.field("dataset", pa.string())).empty_table()
        columns = pa.schema([("dataset", pa.string()), *[("month", pa.string())] * (folder == "data")])
        parts = pads.HivePartitioning(columns)
        return pads.dataset(
            self._path(folder), schema=pa.unify_schemas([schema, columns]), filesystem=self._fs, partitioning=parts
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    @staticmethod
    def _staged(key: str, name: str) -> str:
        return f"{_PRIVATE}/pending/{key}/{name}"

    def _pending(self, key: str) -> _Commit | None:
        content = self.read(self._staged(key, "commit.json"))
        return None if content is None else msgspec.json.decode(content, type=_Commit)

    @contextlib.contextmanager
    def _create(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a new file, whose content is on disk when the block ends."""
        path = self._path(name)
        if self._is_local:
            self._fs.create_dir(os.path.dirname(path))  # noqa: PTH120 - a path of Arrow
        with self._fs.open_output_stream(path) as file:
            yield file
        if self._is_local:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _move(self, name: str, target: str) -> None:
        if self._is_local:
            self._fs.create_dir(os.path.dirname(self._path(target)))  # noqa: PTH120 - likewise
        self._fs.move(self._path(name), self._path(target))

    # One writer at a time

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[Callable[[], None]]:
        """Hold the lock of a dataset; yield a function that raises MirrorError when the lock was lost.

        Raises:
            MirrorError: another process holds it.
        """
        busy = self.error(f"is in use: another process is writing the dataset {key}.", "Run it again later.")
        if self._is_local:
            lock = acquire_lock(Path(self._path(f"{_PRIVATE}/locks/{key}.lock")), self._lock_timeout_s, busy)
            busy.hint = "Wait for it, and run it again."
            try:
                yield lambda: None
            finally:
                release_lock(lock)
            return
        lease = _Lease(self, f"{_PRIVATE}/locks/{key}")
        lease.acquire(self._lock_timeout_s, busy)
        try:
            yield lambda: lease.check(busy)
        finally:
            lease.release()

    def ages(self, folder: str) -> dict[str, float]:
        """Return the time at which each file of a folder was written, by the clock of the store, in epoch seconds."""
        infos = self._fs.get_file_info(pafs.FileSelector(self._path(folder), allow_not_found=True))
        return {info.base_name: info.mtime.timestamp() for info in infos if info.is_file}


class _Lease:
    """The lock of an object store, which has none: a ticket that its writer renews.

    A writer puts its ticket first, then lists all, and withdraws when it sees another. Listings are consistent, so of two
    that come at once at least one sees the other. Only the clock of the store counts.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder, self._ticket = store, folder, secrets.token_hex(8)
        self._name, self._stopped, self._renewed_at = f"{folder}/{self._ticket}", threading.Event(), 0.0

    def acquire(self, timeout_s: float, busy: MirrorError) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._try():
            if time.monotonic() > deadline:
                raise busy
            time.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - so that two do not meet again  # nosec B311
        run_in_daemon(self._renew, "kayrros-lease")

    def check(self, busy: MirrorError) -> None:
        """Raise `busy` if the ticket is void, because the process was suspended for long."""
        if time.time() - self._renewed_at > LEASE_S or not self._store.exists(self._name):
            raise busy

    def release(self) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._store.delete(self._name)

    def _try(self) -> bool:
        self._renewed_at = time.time()
        self._store.write(self._name, b"kayrros")
        written = self._store.ages(self._folder)
        others = {name: at for name, at in written.items() if name != self._ticket}
        for name in [name for name, at in others.items() if written[self._ticket] - at > LEASE_S]:
            self._store.delete(f"{self._folder}/{name}")
            del others[name]
        if others:
            self._store.delete(self._name)
        return not others

    def _renew(self) -> None:
        while not self._stopped.wait(RENEW_S) and time.time() - self._renewed_at < LEASE_S:
            with contextlib.suppress(OSError):
                self._store.write(self._name, b"kayrros")
                self._renewed_at = time.time()


def format_time(epoch_ms: int) -> str:
    """Return a moment as the name of a file, such as 20260301T120000.250Z."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(epoch_ms // 1000))}.{epoch_ms % 1000:03d}Z"


def _parse_time(name: str) -> int:
    import calendar

    seconds = calendar.timegm(time.strptime(name[:15], "%Y%m%dT%H%M%S"))
    return seconds * 1000 + int(name[16:19])
