"""Results to a file on disk, part by part, in flat memory. The ending of the path says in which format."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from uuid import UUID

from kayrros_ext._files import atomic_write, os_error_hint
from kayrros_ext._results.model import Results
from kayrros_ext.errors import ExportError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

# The longest first: what ends in .geo.parquet ends in .parquet too.
ENDINGS = {
    ".geo.parquet": "GeoParquet",
    ".geoparquet": "GeoParquet",
    ".parquet": "Parquet",
    ".csv": "CSV",
    ".csv.gz": "CSV",
    ".json": "JSON",
    ".json.gz": "JSON",
    ".ndjson": "NDJSON",
    ".ndjson.gz": "NDJSON",
    ".jsonl": "NDJSON",
    ".jsonl.gz": "NDJSON",
    ".geojson": "GeoJSON",
    ".geojson.gz": "GeoJSON",
}


class Sink(Protocol):
    """A file in the making."""

    def write(self, table: "pa.Table") -> None: ...

    def end(self, facts: Mapping[str, str]) -> None: ...

    def abandon(self) -> None: ...


def parse_target(path: str | Path) -> Path:
    """The path of a file that results can be written to.

    Raises:
        UsageError: it is no path, it is a directory, or its ending is not that of a format.
    """
    try:
        target = Path(path)
        directory = target.is_dir() or b"\0" in os.fsencode(target)
    except (TypeError, ValueError) as error:
        raise UsageError(f"path is {path!r}, which can't be ({error}). Give a path, such as results.parquet.") from None
    if directory:
        raise UsageError(f"path is {str(path)!r}, which can't be a file. Give a path, such as results.parquet.")
    if not _ending(target):
        raise UsageError(
            f"path is {str(path)!r}, and its ending says no format. Give it one of these: {', '.join(ENDINGS)}."
        )
    return target


def write(path: Path, parts: Iterable[Results], *, dataset_id: UUID, about: Mapping[str, str] | None = None) -> int:
    """Write the tables of results to a file, one after the other, and have it appear under its name once it is whole.

    A part is written while the next one is fetched. What was at the path is replaced.

    Args:
        path: as parse_target gives it. Its directory is made if it is not there.
        parts: pulled one by one, the first once the file is open.
        dataset_id: kept in the metadata of the file, where the format has such: key and value in Parquet and GeoParquet,
            the member `metadata` in GeoJSON.
        about: kept there too. Read after the last part, so whoever makes the parts may still fill it.

    Returns:
        The number of rows written.

    Raises:
        ExportError: the file can't be written. What was there before is untouched, as it is with any other error.
    """
    from_parts: list[OSError] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            sink = _sink(path, file)
            try:
                with contextlib.closing(_telling(parts, from_parts)) as told:
                    rows = _pour(told, sink.write)
                sink.end({"dataset_id": str(dataset_id), **(about or {})})
            except BaseException:
                sink.abandon()
                raise
            return rows
    except OSError as error:
        if error in from_parts:
            raise
        raise ExportError(
            f"{path} could not be written ({error.strerror or error}).", path=path, hint=os_error_hint(error)
        ) from error


def _ending(path: Path) -> str | None:
    name = path.name.lower()
    # A name that is nothing but an ending has none.
    return next((ending for ending in ENDINGS if name.endswith(ending) and name != ending), None)


def _sink(path: Path, file: IO[bytes]) -> Sink:
    from kayrros_ext._export.parquet import GeoParquetSink, ParquetSink  # pyarrow is heavy
    from kayrros_ext._export.text import CSV, GEOJSON, JSON, NDJSON, TextSink

    ending = _ending(path) or ".parquet"
    if ENDINGS[ending] == "Parquet":
        return ParquetSink(file)
    if ENDINGS[ending] == "GeoParquet":
        return GeoParquetSink(file)
    dialect = {"CSV": CSV, "JSON": JSON, "NDJSON": NDJSON, "GeoJSON": GEOJSON}[ENDINGS[ending]]
    return TextSink(file, dialect, compress=ending.endswith(".gz"))


def _telling(parts: Iterable[Results], errors: list[OSError]) -> Generator[Results]:
    """The parts; an OSError in making one is noted, so that the file is not blamed for it."""
    try:
        yield from parts
    except OSError as error:
        errors.append(error)
        raise


def _pour(parts: Iterator[Results], write: Callable[["pa.Table"], None]) -> int:
    """Write each part in a thread of its own, while the next one is made; the number of rows."""
    rows = 0
    writing: Future[None] | None = None
    with ThreadPoolExecutor(1, "kayrros-export") as thread:
        for part in parts:
            if writing:
                writing.result()
            rows += part.table.num_rows
            writing = thread.submit(write, part.table)
            del part  # or it would stay in memory for as long as the next one takes
        if writing:
            writing.result()
    return rows
