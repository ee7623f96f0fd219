"""Write results to a file, part by part, in constant memory. The suffix of the path selects the format."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from kayrros_ext._files import output_error, parse_output, write_output
from kayrros_ext._results.model import Results
from kayrros_ext.errors import ExportError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_ext._export.excel import ExcelWriter
    from kayrros_ext._export.parquet import ParquetWriter
    from kayrros_ext._export.text import TextWriter

_TEXT = {".csv": "CSV", ".json": "JSON", ".ndjson": "NDJSON", ".jsonl": "NDJSON", ".geojson": "GeoJSON"}
# The longest first, because a name that ends in .geo.parquet ends in .parquet too.
SUFFIXES = {
    ".geo.parquet": "GeoParquet",
    ".geoparquet": "GeoParquet",
    ".parquet": "Parquet",
    ".xlsx": "Excel",
    **{suffix + gzip: dialect for suffix, dialect in _TEXT.items() for gzip in ("", ".gz")},
}


def parse_target(path: str | Path, *, excel_csv: bool = False) -> Path:
    """Return the path of a file that results can be written to, or raise UsageError, ExportError or MissingExtraError."""
    target = parse_output(path)
    if not (suffix := _suffix(target)):
        hint = "Use .parquet, .xlsx, .csv, .json, .ndjson or .geojson."
        raise UsageError(f"{target.name!r:.80} has no known suffix.", hint=hint)
    if excel_csv and SUFFIXES[suffix] != "CSV":
        raise UsageError(f"CSV for Excel can't be written to {str(target)!r}.", hint="Pass a path that ends in .csv.")
    if suffix == ".xlsx":
        from kayrros_ext._results.convert import import_optional

        import_optional("xlsxwriter", extra="excel")  # here, because the results come before the file is opened
    return target


def write(
    path: Path,
    parts: Iterable[Results],
    *,
    schema: "pa.Schema | None" = None,
    excel_csv: bool = False,
    prefix: str = ".",
) -> int:
    """Write the tables of results to a file, one after the other, and return the number of rows.

    The file replaces an existing one, or the target of a symlink, once it is complete; after an error, that is untouched.
    Parquet, GeoParquet, GeoJSON and Excel also store facts about the results (see FileMetadata).
    All tables have the schema, by default RESULTS. With excel_csv, CSV is EXCEL_CSV.
    """
    from kayrros_ext._export.metadata import FileMetadata  # loads pyarrow
    from kayrros_ext._results.schema import RESULTS

    source_errors: list[OSError] = []
    rows, metadata = 0, FileMetadata()
    try:
        with write_output(path, prefix=prefix) as file:
            writer = _open_writer(path, file, schema or RESULTS, excel_csv=excel_csv, prefix=prefix)
            try:
                for part in _note_errors(parts, source_errors):
                    rows += part.table.num_rows
                    writer.write(part)
                    metadata.add(part)
                    del part  # else it would stay in memory while the next one is made
                writer.close(metadata.to_dict())
            except BaseException:
                writer.abandon()
                raise
            return rows
    except OSError as error:
        if error in source_errors:
            raise
        raise output_error(ExportError, path, error) from error


def _suffix(path: Path) -> str | None:
    name = path.name.lower()
    # A name that is only a suffix, such as .csv, has no suffix.
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix) and name != suffix), None)


def _open_writer(
    path: Path, file: IO[bytes], schema: "pa.Schema", *, excel_csv: bool, prefix: str
) -> "ParquetWriter | TextWriter | ExcelWriter":
    from kayrros_ext._export.parquet import GeoParquetWriter, ParquetWriter  # loads pyarrow
    from kayrros_ext._export.text import DIALECTS, EXCEL_CSV, TextWriter

    suffix = _suffix(path) or ".parquet"
    if SUFFIXES[suffix] == "Excel":
        from kayrros_ext._export.excel import ExcelWriter

        return ExcelWriter(file, path, schema, prefix)
    if SUFFIXES[suffix] in DIALECTS:
        dialect = EXCEL_CSV if excel_csv else DIALECTS[SUFFIXES[suffix]]
        return TextWriter(file, dialect, schema, compress=suffix.endswith(".gz"))
    return (ParquetWriter if SUFFIXES[suffix] == "Parquet" else GeoParquetWriter)(file, schema)


def _note_errors(parts: Iterable[Results], errors: list[OSError]) -> Iterator[Results]:
    """Yield the parts, and note an OSError of their source, because it is no error of the file."""
    try:
        yield from parts
    except OSError as error:
        errors.append(error)
        raise
