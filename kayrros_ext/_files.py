"""Parse the paths of outputs, write files to disk atomically, keep private files, and explain errors of the system."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from kayrros_ext.errors import DownloadError, ExportError, KayrrosError, UsageError

# One slash, because pathlib has joined two; two letters at least, because C: is a drive.
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_FILE_SUFFIX = re.compile(r"\.[a-z][a-z0-9]{1,9}", re.IGNORECASE)  # of out.csv, and not of v1.2

HINTS = {  # advice for an OSError, by its errno
    errno.ENOSPC: "Free disk space, or choose another directory.",
    errno.EDQUOT: "Free some of your disk quota, or choose another directory.",
    errno.EFBIG: "Raise the limit on the size of a file (ulimit -f), or choose another directory.",
    errno.EACCES: "Choose a directory that you may write to.",
    errno.EROFS: "Choose a directory that you may write to.",
}


def parse_output(
    path: object, *, is_directory: bool = False, error_type: type[ExportError | DownloadError] = ExportError
) -> Path:
    """Return the path of a file for results, or of a directory for downloads or exports. `~` becomes the home directory.

    Raises:
        UsageError: it is no path, a URL, or a directory, a pipe or a device where a file belongs.
        ExportError or DownloadError, as `error_type`: the operating system can't reach it.
    """
    text, mode, problem = "", 0, ""
    try:
        text = os.path.expanduser(os.fsdecode(path))  # type: ignore[arg-type]  # noqa: PTH111 - Path drops a last slash
        mode = os.stat(os.path.join(text, "") if is_directory else text).st_mode  # noqa: PTH116, PTH118 - likewise
    except FileNotFoundError:
        pass
    except OSError as error:
        raise output_error(error_type, Path(text), error) from error
    except (TypeError, ValueError) as error:
        problem = f"not a path ({error})"
    has_slash = text.endswith(("/", os.sep))
    if not text:
        problem = problem or "empty"
    elif _URL.match(text):
        problem = "a URL"
    elif text.startswith("~"):
        problem = "in a home directory that is unknown"
    elif not is_directory and (has_slash or (mode and not stat.S_ISREG(mode))):
        problem = "not a file"
    elif is_directory and not mode and not has_slash and _FILE_SUFFIX.fullmatch(Path(text).suffix):
        problem = "the name of a file, unless a slash follows"
    if problem:
        argument = "directory" if is_directory else "path"
        hint = f"Pass a {'directory, such as data/' if is_directory else 'file, such as results.parquet'}."
        raise UsageError(f"{argument} is {text or path!r}, which is {problem}.", hint=hint)
    return Path(text)


def output_error(kind: type[ExportError | DownloadError], path: Path, error: OSError) -> KayrrosError:
    """Return an error of ours for an OSError that occurred while a file was written."""
    problem = error.strerror or str(error)
    if error.filename and os.fsdecode(error.filename) != str(path):
        problem += f": {os.fsdecode(error.filename)}"
    hint = HINTS.get(error.errno or 0, "Choose another directory.")
    return kind(f"{path} could not be written ({problem}).", path=path, hint=hint)


@contextlib.contextmanager
def write_output(path: Path, *, prefix: str = ".") -> Iterator[IO[bytes]]:
    """Write a file that a user named, as `atomic_write` does. A symlink stays, and its target is replaced or created."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(target, prefix=prefix) as file:
        yield file


@contextlib.contextmanager
def atomic_write(path: Path, *, prefix: str = ".") -> Iterator[IO[bytes]]:
    """Open a temporary file in the same directory. It replaces `path` when the block ends, and is deleted on any error.

    A symlink at `path` is replaced, not followed. The name of the temporary file begins with `prefix`.
    """
    # The tempfile module makes files that only their owner can read. This one gets the usual permissions.
    part = path.with_name(f"{prefix}{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            copy_mode(path, part)  # before there is anything to read
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def copy_mode(existing: Path, new: Path) -> None:
    """Keep the permissions of a file that is replaced: a private one stays private."""
    with contextlib.suppress(OSError):  # no such file, or a file system without modes
        if stat.S_ISREG(mode := existing.lstat().st_mode):
            new.chmod(stat.S_IMODE(mode))


def rename_to_new(source: Path, target: Path) -> None:
    """Rename a file within its directory, or raise FileExistsError if `target` exists."""
    try:
        os.link(source, target)  # unlike a rename, a link never replaces a file
    except OSError:  # the target exists, or the file system has no hard links and the check can't be atomic
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.replace(target)
    else:
        source.unlink()


def read_private(path: Path, max_bytes: int) -> bytes:
    """Return the content of a file that nobody else can write; raise OSError for a link, a pipe or any other."""
    # O_NONBLOCK, because a pipe may never have a writer. Windows has neither flag.
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, os.O_RDONLY | flags), "rb") as file:  # noqa: PTH123 - a descriptor
        info = os.fstat(file.fileno())
        if not (stat.S_ISREG(info.st_mode) and _is_ours(info, 0o077)) or info.st_size > max_bytes:
            raise PermissionError
        return file.read(max_bytes)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600 atomically, in a private folder."""
    make_private_folder(path.parent)
    with atomic_write(path) as file:
        Path(file.name).chmod(0o600)
        file.write(content)


def make_private_folder(folder: Path) -> None:
    """Create a folder of mode 0700, or make it private; refuse one that is not ours, or a symlink."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or not _is_ours(folder.lstat()):
        raise PermissionError
    folder.chmod(0o700)


def _is_ours(info: os.stat_result, denied: int = 0) -> bool:
    """Return whether we own a file, and nobody has the denied permissions. Windows keeps user profiles private."""
    return os.name != "posix" or (info.st_uid == os.geteuid() and not info.st_mode & denied)
