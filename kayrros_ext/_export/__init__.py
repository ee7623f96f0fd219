"""Write results to a file, part by part, in constant memory. The ending of the path selects the format."""

import contextlib
import os
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from uuid import UUID

from kayrros_ext._files import atomic_write, os_error_hint
from kayrros_ext._results.model import Results
from kayrros_ext.errors import ExportError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_TEXT = {".csv": "CSV", ".json": "JSON", ".ndjson": "NDJSON", ".jsonl": "NDJSON", ".geojson": "GeoJSON"}
# The longest first, because a name that ends in .geo.parquet ends in .parquet too.
ENDINGS = {
    ".geo.parquet": "GeoParquet",
    ".geoparquet": "GeoParquet",
    ".parquet": "Parquet",
    **{ending + gzip: dialect for ending, dialect in _TEXT.items() for gzip in ("", ".gz")},
}


class Writer(Protocol):
    """Writes tables to an open file in one format."""

    def write(self, table: "pa.Table") -> None:
        """Write the rows of a table."""

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the end of the file, with metadata where the format has a place for it."""

    def abandon(self) -> None:
        """Write no more, not even when the writer is garbage-collected."""


def parse_target(path: str | Path) -> Path:
    """Return the path of a file that results can be written to.

    Raises:
        UsageError: it is not a path, it is a directory, or its ending names no format.
    """
    try:
        target = Path(path)
        is_file = not (target.is_dir() or b"\0" in os.fsencode(target))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"path is {path!r}, not a path ({error}).", hint="Pass a path, such as results.parquet."
        ) from None
    if not is_file:
        raise UsageError(f"path is {str(path)!r}, which can't be a file.", hint="Pass a path, such as results.parquet.")
    if not _ending(target):
        raise UsageError(
            f"path is {str(path)!r}, and its ending names no format.", hint=f"Use one of these: {', '.join(ENDINGS)}."
        )
    return target


def write(
    path: Path, parts: Iterable[Results], *, dataset_id: UUID, file_metadata: Mapping[str, str] | None = None
) -> int:
    """Write the tables of results to a file, one after the other. The file appears under its name once it is complete.

    One part is written while the next one is fetched. An existing file is replaced.

    Args:
        path: as parse_target returns it. Its directory is created if it is missing.
        parts: taken one by one, the first after the file is open.
        dataset_id: stored in the file where the format has a place for it: key and value in Parquet and GeoParquet, the
            member `metadata` in GeoJSON.
        file_metadata: stored in the same place. It is read after the last part, so it may be filled until then.

    Returns:
        The number of rows written.

    Raises:
        ExportError: the file can't be written. An existing file is untouched, as it is after any other error.
    """
    source_errors: list[OSError] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            writer = _open_writer(path, file)
            try:
                rows = _write_parts(writer, parts, source_errors)
                writer.close({"dataset_id": str(dataset_id), **(file_metadata or {})})
            except BaseException:
                writer.abandon()
                raise
            return rows
    except OSError as error:
        if error in source_errors:
            raise
        message = f"{path} could not be written ({error.strerror or error})."
        raise ExportError(message, hint=os_error_hint(error), path=path) from error


def _ending(path: Path) -> str | None:
    name = path.name.lower()
    # A name that is only an ending, such as .csv, has no ending.
    return next((ending for ending in ENDINGS if name.endswith(ending) and name != ending), None)


def _open_writer(path: Path, file: IO[bytes]) -> Writer:
    from kayrros_ext._export.parquet import GeoParquetWriter, ParquetWriter  # loads pyarrow
    from kayrros_ext._export.text import DIALECTS, TextWriter

    ending = _ending(path) or ".parquet"
    match ENDINGS[ending]:
        case "Parquet":
            return ParquetWriter(file)
        case "GeoParquet":
            return GeoParquetWriter(file)
        case dialect:
            return TextWriter(file, DIALECTS[dialect], compress=ending.endswith(".gz"))


def _write_parts(writer: Writer, parts: Iterable[Results], source_errors: list[OSError]) -> int:
    """Write each part in a thread while the next one is made, and return the number of rows."""
    rows = 0
    writing: Future[None] | None = None
    with (
        contextlib.closing(_note_errors(parts, source_errors)) as source,
        ThreadPoolExecutor(1, "kayrros-export") as pool,
    ):
        for part in source:
            if writing:
                writing.result()
            rows += part.table.num_rows
            writing = pool.submit(writer.write, part.table)
            del part  # else it would stay in memory while the next one is made
        if writing:
            writing.result()
    return rows


def _note_errors(parts: Iterable[Results], errors: list[OSError]) -> Generator[Results]:
    """Yield the parts, and note an OSError of their source, because it is no error of the file."""
    try:
        yield from parts
    except OSError as error:
        errors.append(error)
        raise
