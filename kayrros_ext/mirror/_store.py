"""The files of a mirror, on disk or in an object store: one writer at a time, and commits that survive a crash.

`.kayrros/state/<id>.json` tells how far a dataset is. `.kayrros/pending/<id>/` has the files of a commit, and last of all
their list, commit.json. They are moved into place one by one. As long as the list is there, our readers take a file that
was not yet moved from `pending`, and the next writer moves it.
"""

import contextlib
import os
import random
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from kayrros_ext import __version__
from kayrros_ext._download.partial import acquire_lock, release_lock
from kayrros_ext._export.parquet import ROW_GROUP
from kayrros_ext._files import HINTS, parse_output
from kayrros_ext._results.query import EPOCH, MILLISECOND
from kayrros_ext._threads import run_in_daemon
from kayrros_ext.errors import MirrorError, UsageError
from kayrros_ext.mirror._tables import START_MS

MARKER, FORMAT, _PRIVATE = "kayrros-mirror.json", 1, ".kayrros"
data_file, assets_file = "data/dataset={}/month={}/part-0.parquet".format, "assets/dataset={}.parquet".format
staged_file, _state_file = f"{_PRIVATE}/pending/{{}}/{{}}".format, f"{_PRIVATE}/state/{{}}.json".format
_TIME = "%Y%m%dT%H%M%S.%fZ.parquet"
# A ticket in an object store is renewed this often, and void after this long.
RENEW_S, LEASE_S = 60.0, 300.0


class State(msgspec.Struct, omit_defaults=True):
    """How far a dataset is. Moments are epoch milliseconds."""

    name: str | None = None
    months: dict[str, int] = {}  # the number of rows of each
    last_ms: int = START_MS  # the last date of a row
    missing: list[tuple[int, int]] = []  # ranges that are still to be fetched
    asset_count: int = 0  # of the API's last list
    started_ms: int = 0  # when the last run started; if runs before it did not end, the first of them
    is_running: bool = False  # whether that run has not ended
    seen_ms: int = 0  # the time of the last file of the history
    history_from_ms: int = START_MS  # the history before was dropped


class _Marker(msgspec.Struct):
    format: int
    host: str
    account: str | None = None  # None if the first sync had a token alone
    client: str = f"kayrros-ext {__version__}"


class Store:
    """The files of a mirror, by their names within it. `name` is its location, without credentials."""

    def __init__(self, location: object, lock_timeout: float) -> None:
        self._lock_timeout_s, text = lock_timeout, str(location)
        if re.match("[a-z][a-z0-9]+://", text):
            self.name = re.sub("//[^/]*@", "//", text.partition("?")[0])
            uri = re.sub("^az://", "abfs://", text)  # Arrow knows Azure by the name of its driver in Hadoop
            try:
                self.fs, root = pafs.FileSystem.from_uri(uri)
            except (pa.ArrowException, OSError, ValueError) as error:
                # Without credentials.
                text = f"{self.name} can't be opened ({str(error).replace(uri, self.name):.200})."
                raise UsageError(text, hint="Pass a folder, or a URL such as s3://bucket/prefix.") from None
        else:
            path = parse_output(location, is_directory=True)
            self.name, self.fs, root = str(path), pafs.LocalFileSystem(), str(path.absolute())
        self._root, self._is_local = root.rstrip("/"), isinstance(self.fs, pafs.LocalFileSystem)

    def error(self, problem: str, hint: str, **details: str | None) -> MirrorError:
        return MirrorError(f"{self.name} {problem}", hint=hint, location=self.name, **details)

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raise MirrorError for an error of the file system."""
        try:
            yield
        except (msgspec.DecodeError, OSError) as error:
            number = getattr(error, "errno", None)
            problem = os.strerror(number) if number else f"{error!s:.300}"  # that of Arrow is longer
            hint = HINTS.get(number or 0, "Check the disk, the network and the permissions, and run it again.")
            raise self.error(f"can't be read or written ({problem}).", hint) from error

    def check(self, host: str | None = None, account: str | None = None) -> bool:
        """Return whether the account is certainly that of the mirror. With a host, make a mirror in an empty place.

        Raise MirrorError for any other place, and for a mirror that is newer, or of another host or account.
        """
        content = self.read(MARKER)
        if content is None and host is None:
            raise self.error("is not a mirror.", "Mirror.sync makes one.", hint_cli="`kayrros sync` makes one.")
        if content is None and self.list("").keys() - {_PRIVATE} and not (content := self.read(MARKER)):
            raise self.error("is not a mirror, and not empty.", "Choose an empty folder, or a new one.")
        if content is None:
            content = msgspec.json.format(msgspec.json.encode(_Marker(FORMAT, str(host), account)))
            self.write(MARKER, content)
        try:
            marker = msgspec.json.decode(content, type=_Marker)
        except msgspec.MsgspecError as error:
            raise self.error(f"has a damaged {MARKER} ({error}).", "Restore that file from a backup.") from None
        if marker.format > FORMAT:
            text = f"was written by a newer version ({marker.client}; this is {__version__})."
            raise self.error(text, f"Install {marker.client} or a later version.")
        for ours, theirs, kind in ((marker.host, host, "host"), (marker.account, account, "account")):
            if ours and theirs and ours != theirs:
                raise self.error(f"is a mirror of the {kind} {ours}, not of {theirs}.", "Choose another folder.")
        return account is not None and account == marker.account

    def states(self) -> dict[str, State]:
        """Return how far each dataset is, by its id."""
        names = {Path(name).stem for folder in ("state", "pending") for name in self.list(f"{_PRIVATE}/{folder}")}
        return {key: state for key in sorted(names) if (state := self.state(key))}

    def state(self, key: str) -> State | None:
        """Return how far a dataset is; None if the mirror does not have it."""
        content = self.read(self.view(key)(_state_file(key)))
        return None if content is None else msgspec.json.decode(content, type=State)

    def history(self, key: str) -> dict[int, str]:
        """Return the files of the history of a dataset by their time in epoch milliseconds, in order."""
        folder, (pending, _) = f"history/dataset={key}/", self._pending(key)
        names = sorted(
            {*self.list(folder), *(name.removeprefix(folder) for name in pending if name.startswith(folder))}
        )
        times = ((datetime.strptime(name, _TIME).replace(tzinfo=UTC) - EPOCH) // MILLISECOND for name in names)
        return {time_ms: f"{folder}{name}" for time_ms, name in zip(times, names, strict=True)}

    def view(self, key: str) -> Callable[[str], str]:
        """Return a function from the name of a file to where it is: in `pending`, while a commit is not complete."""
        files, _ = self._pending(key)
        return lambda name: staged if name in files and self.exists(staged := staged_file(key, name)) else name

    def commit(self, key: str, files: list[str], removed: list[str], state: State) -> None:
        """Publish staged files in their order, and then the state. Once their list is there, a crash loses nothing."""
        name, content = _state_file(key), msgspec.json.encode(state)
        if not (files or removed):
            self.write(name, content)
            return
        self.write(staged_file(key, name), content)
        self.write(staged_file(key, "commit.json"), msgspec.json.encode(([*files, name], removed)))
        self.recover(key)

    def recover(self, key: str) -> bool:
        """Complete the last commit and return True; or delete what is left of one that was never published."""
        files, removed = commit = self._pending(key)
        for name in files:
            if self.exists(staged := staged_file(key, name)):
                self._move(staged, name)
        for name in removed:
            self.delete(name.removesuffix("part-0.parquet"))
        self.delete(staged_file(key, "commit.json"))
        self.delete(staged_file(key, ""))
        return commit != ([], [])

    def _pending(self, key: str) -> tuple[list[str], list[str]]:
        """Return the names of the files of a commit that is not complete, and of those that it removes."""
        content = self.read(staged_file(key, "commit.json")) or b"[[], []]"
        return msgspec.json.decode(content, type=tuple[list[str], list[str]])

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if there is no such file."""
        try:
            with self.fs.open_input_stream(self.path(name)) as file:
                return bytes(file.readall())
        except FileNotFoundError:
            return None

    def read_table(self, name: str) -> pa.Table:
        """Return the table of a Parquet file. Raise MirrorError where it is missing or damaged."""
        content, problem = self.read(name), "it is missing"
        if content is not None:
            try:
                return pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
            except (pa.ArrowException, OSError, ValueError) as error:
                problem = f"{error!s:.200}"
        text, hint, hint_cli = f"has a damaged file, {name} ({problem}).", "Restore it from a backup.", None
        if not name.startswith("history"):
            hint = "Rebuild it with Mirror.sync(..., repair=True). Its history stays."
            hint_cli = f"Rebuild it with `kayrros sync --repair DATASET {self.name}`. Its history stays."
        raise self.error(text, hint, hint_cli=hint_cli, file=name)

    def stage(self, key: str, name: str, table: pa.Table) -> None:
        """Write a Parquet file of the next commit. Values hardly repeat, so they have no dictionary."""
        repeating = [column for column in table.column_names if column not in {"value", "old", "new"}]
        options = {"use_dictionary": repeating, "row_group_size": ROW_GROUP, "write_page_checksum": True}
        with self._create(staged_file(key, name)) as file:
            pq.write_table(table.unify_dictionaries(), file, compression="zstd", **options)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, atomically."""
        part = f"{_PRIVATE}/{secrets.token_hex(8)}.part" if self._is_local else name
        with self._create(part) as file:
            file.write(content)
        if part != name:
            self._move(part, name)

    def exists(self, name: str) -> bool:
        return bool(self.fs.get_file_info(self.path(name)).is_file)

    def list(self, folder: str) -> dict[str, float]:
        """Return the names in a folder, each with the time at which it was written, in epoch seconds; 0 for folders."""
        infos = self.fs.get_file_info(pafs.FileSelector(self.path(folder), allow_not_found=True))
        return {info.base_name: (info.mtime_ns or 0) / 1e9 for info in infos}

    def delete(self, name: str) -> None:
        """Delete a file or, with a slash at the end, a folder; it may be missing."""
        with contextlib.suppress(FileNotFoundError):
            (self.fs.delete_dir if name.endswith("/") else self.fs.delete_file)(self.path(name))

    def path(self, name: str) -> str:
        """Return the path of a file in the file system."""
        return f"{self._root}/{name}".rstrip("/")

    @contextlib.contextmanager
    def _create(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a new file, whose content is on disk when the block ends."""
        path = Path(self.path(name))
        if self._is_local:
            path.parent.mkdir(parents=True, exist_ok=True)
        with self.fs.open_output_stream(self.path(name)) as file:
            yield file
        if self._is_local:
            with path.open("rb") as written:
                os.fsync(written.fileno())

    def _move(self, name: str, target: str) -> None:
        if self._is_local:
            Path(self.path(target)).parent.mkdir(parents=True, exist_ok=True)
        self.fs.move(self.path(name), self.path(target))

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[Callable[[], None]]:
        """Hold the lock of a dataset, or raise MirrorError. Yield a function that raises it when the lock was lost.

        An object store has no locks, so a writer renews a ticket. It puts the ticket first, then lists all, and withdraws
        when it sees another. Listings are consistent, so of two that come at once at least one sees the other.
        """
        busy = self.error(f"is in use: another process writes the dataset {key}.", "Run it again when that has ended.")
        name, ended = f"{_PRIVATE}/locks/{key}", threading.Event()
        if self._is_local:
            with contextlib.ExitStack() as stack:
                lock = acquire_lock(Path(self.path(f"{name}.lock")), self._lock_timeout_s, busy)
                stack.callback(release_lock, lock)
                yield lambda: None
            return
        ticket, deadline = f"{name}/{secrets.token_hex(8)}", time.monotonic() + self._lock_timeout_s
        while not self._is_alone(ticket):
            if time.monotonic() > deadline:
                raise busy
            time.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - so that two do not meet again  # nosec B311

        def check() -> None:
            if not self.exists(ticket):
                raise busy

        run_in_daemon(partial(self._renew, ticket, ended), "kayrros-lease")
        try:
            yield check
        finally:
            ended.set()
            with contextlib.suppress(OSError):
                self.delete(ticket)

    def _is_alone(self, ticket: str) -> bool:
        """Put a ticket, and withdraw it if there are others that are not void, by the clock of the store."""
        self.write(ticket, b"kayrros")
        folder, _, own = ticket.rpartition("/")
        tickets = self.list(folder)
        others = {name: tickets[own] - written_at > LEASE_S for name, written_at in tickets.items() if name != own}
        for name in others if all(others.values()) else [own]:
            self.delete(f"{folder}/{name}")
        return all(others.values())

    def _renew(self, ticket: str, ended: threading.Event) -> None:
        renewed_at = time.time()  # after a long sleep of the machine, another process may have the lock
        while not ended.wait(RENEW_S) and time.time() - renewed_at < LEASE_S:
            with contextlib.suppress(OSError):
                self.write(ticket, b"kayrros")
                renewed_at = time.time()


def history_file(key: str, epoch_ms: int) -> str:
    """Return the name of a file of the history, such as 20260301T120000.250000Z.parquet."""
    return f"history/dataset={key}/{EPOCH + epoch_ms * MILLISECOND:{_TIME}}"
