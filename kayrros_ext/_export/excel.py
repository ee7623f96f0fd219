"""Write results to an Excel workbook, part by part, with the sheets "values", "assets" and "about"."""

import contextlib
import io
import itertools
import json
import tempfile
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._export.text import BATCH
from kayrros_ext._results.convert import import_optional, plain_table
from kayrros_ext._results.merge import merge_assets
from kayrros_ext._results.schema import ASSETS, DOUBLE, INTEGER, RESULTS, strings
from kayrros_ext._results.text import decimals
from kayrros_ext._text import cell_width, format_date
from kayrros_ext.errors import ExportError

if TYPE_CHECKING:
    from kayrros_ext._results.model import Results

# Limits of Excel: rows of a sheet, with the header; UTF-16 code units of a text; the first date.
MAX_ROWS, MAX_UNITS, FIRST_DATE = 1_048_576, 32_767, datetime(1900, 3, 1)
# The first columns of "values". The other columns that describe an asset are on the sheet "assets".
_VALUES = ["dataset_id", "dataset_name", "value_date", "asset_name", "asset_id", "parent_asset_name"]
_VALUES += ["metric", "value", "unit"]
_NUMBERS = {"value", *(field.name for field in ASSETS if field.type in (INTEGER, DOUBLE))}
_MAX_WIDTH, _NUMBER_WIDTH = 40, 22
# The method of a sheet that writes the cell, its value and its format.
_Cell = tuple[Callable[..., object], Any, Any]
_LEFT, _RIGHT = {"align": "left"}, {"align": "right", "indent": 1}


class ExcelWriter:
    """Writes a workbook in constant memory. Until it is complete, its rows are in temporary files next to it."""

    def __init__(self, file: IO[bytes], path: Path, schema: pa.Schema = RESULTS, prefix: str = ".") -> None:
        self._xlsxwriter = import_optional("xlsxwriter", extra="excel")
        self._directory = tempfile.TemporaryDirectory(prefix=prefix, suffix=".part", dir=path.parent)
        options = {"constant_memory": True, "tmpdir": self._directory.name, "use_zip64": True}
        # In memory, because after an error a zip writes its end once more. A million rows are about 40 MB.
        self._file, self._zip = file, io.BytesIO()
        self._book = self._xlsxwriter.Workbook(self._zip, options)
        self._path, self._assets = path, pa.Table.from_batches([], ASSETS)
        self._rows: Counter[str] = Counter()  # of each sheet, without its header
        self._widths: dict[str, dict[str, int]] = {}  # of the columns of each sheet
        self._dates: list[datetime] = []  # the first and the last one of each part
        # Of each metric: its format, and numbers that have the decimals of all its values.
        self._formats, self._samples = dict[str | None, Any](), defaultdict[str | None, list[float]](list)
        codes = ["yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "@"]
        self._day, self._time, self._text = (self._add_format(num_format=code, **_LEFT) for code in codes)
        codes = ["General", "0.00000E+00"]
        self._number, self._exponent = (self._add_format(num_format=code, **_RIGHT) for code in codes)
        self._add_sheet("values", [name for name in _VALUES if name in schema.names])
        self._add_sheet("assets", ASSETS.names)
        self._add_sheet("about", ["field", "text"])

    def write(self, part: "Results") -> None:
        """Write the rows of a part. Raise ExportError when a sheet can't hold them."""
        table = plain_table(part.table.select(list(self._widths["values"])))
        self._check_rows("results", self._rows["values"] + table.num_rows)
        self._assets = merge_assets(pa.concat_tables([self._assets, part.assets]))
        self._check_rows("assets", self._assets.num_rows)
        self._dates += [date for date in pc.min_max(table["value_date"]).as_py().values() if date]
        self._write_rows("values", table)

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the other sheets, and the file."""
        self._write_rows("assets", plain_table(self._assets))
        columns = map(strings, zip(*self._about(metadata), strict=True))
        self._write_rows("about", pa.table(list(columns), list(self._widths["about"])))
        for metric, style in self._formats.items():
            places = decimals(self._samples[metric])
            style.set_num_format(f"#,##0{'.' * (places > 0)}{'0' * places}")
        for sheet in self._book.worksheets():
            for column, width in enumerate(self._widths[sheet.name].values()):
                sheet.set_column(column, column, width)
            if sheet.name != "about":
                sheet.autofilter(0, 0, self._rows[sheet.name], column)
        try:
            self._book.close()
        except self._xlsxwriter.exceptions.FileCreateError as error:
            # The OSError, without the frame that holds the zip, so that this is not left to the garbage collector.
            raise error.args[0].with_traceback(None) from None
        self._file.write(self._zip.getbuffer())
        self._directory.cleanup()

    def abandon(self) -> None:
        """Write no more, and delete the temporary files."""
        for sheet in self._book.worksheets():
            with contextlib.suppress(OSError):  # of a full disk
                sheet.row_data_fh.close()  # because Windows deletes no open file
        self._directory.cleanup()

    def _add_format(self, **properties: Any) -> Any:
        return self._book.add_format(properties)

    def _add_sheet(self, name: str, titles: list[str]) -> None:
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        sheet.set_footer("&L&A&RPage &P of &N")
        self._widths[name] = {}
        for column, title in enumerate(titles):
            text = "value_date (UTC)" if title == "value_date" else title
            header = {"bold": True, "bottom": 1, **(_RIGHT if title in _NUMBERS else _LEFT)}
            sheet.write_string(0, column, text, self._add_format(**header))
            # The button of the filter takes three.
            self._widths[name][title] = max(len(text) + 4, _NUMBER_WIDTH if title == "value" else 0)

    def _write_rows(self, name: str, table: pa.Table) -> None:
        sheet = self._book.get_worksheet_by_name(name)
        for batch in table.to_batches(max_chunksize=BATCH):
            columns = [self._cells(sheet, title, batch) for title in batch.schema.names]
            for row, cells in enumerate(zip(*columns, strict=True), self._rows[name] + 1):
                for column, (write, value, style) in enumerate(cells):
                    write(row, column, value, style)
            self._rows[name] += batch.num_rows

    def _cells(self, sheet: Any, title: str, batch: pa.RecordBatch) -> list[_Cell]:
        values = batch[title].to_pylist()
        if title == "value":
            return self._value_cells(sheet, values, batch["metric"].to_pylist())
        cells = {value: self._cell(sheet, value) for value in set(values)}
        longest = max((cell_width(str(value)) for value in cells), default=0)
        self._widths[sheet.name][title] = max(self._widths[sheet.name][title], min(longest + 2, _MAX_WIDTH))
        return [cells[value] for value in values]

    def _value_cells(self, sheet: Any, values: list[float | None], metrics: list[str | None]) -> list[_Cell]:
        numbers: dict[str | None, list[float]] = {metric: [] for metric in metrics}
        for value, metric in zip(values, metrics, strict=True):
            if value is not None:
                numbers[metric].append(value)
        for metric, group in numbers.items():
            if metric not in self._formats:
                # A code of its own until all values are known, because equal formats would become one.
                self._formats[metric] = self._add_format(num_format=f"0;{len(self._formats)}", **_RIGHT)
            self._samples[metric] += [min(group), max(group), round(1 / 9, decimals(group))] if group else []
        formats, exponent, empty, write = self._formats, self._exponent, self._cell(sheet, None), sheet.write_number
        return [
            empty
            if value is None
            else (write, value, formats[metric] if not value or 1e-6 <= abs(value) < 1e15 else exponent)
            for value, metric in zip(values, metrics, strict=True)
        ]

    def _cell(self, sheet: Any, value: Any) -> _Cell:
        """Return a cell. Early dates, and integers of which Excel would show other digits, are text."""
        if value is None:
            return sheet.write_blank, None, None
        if isinstance(value, datetime) and value >= FIRST_DATE:
            return sheet.write_datetime, value, self._day if value.time() == datetime.min.time() else self._time
        if isinstance(value, float) or (isinstance(value, int) and abs(value) < 10**15):
            return sheet.write_number, value, self._number
        text = value if isinstance(value, str) else str(value).removesuffix(" 00:00:00")
        if (units := len(text.encode("utf-16-le")) // 2) > MAX_UNITS:
            raise self._error(f"A text has {units:,} characters, and a cell of Excel holds {MAX_UNITS:,}.")
        if text.startswith("<r>") and text.endswith("</r>"):
            # write_string would take it for the XML that write_rich_string makes of three pieces of text.
            return lambda row, column, *_: sheet.write_rich_string(row, column, "<", "r", text[2:]), text, None
        # In the format of text, because otherwise a name such as "=cmd" becomes a formula when it is edited.
        return sheet.write_string, text, self._text if text.startswith(("=", "+", "-", "@")) else None

    def _about(self, metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield rows: the name of each fact, once, and a line of its text. The dataset and its values come first."""
        facts = {name: metadata[name] for name in ("dataset_name", "dataset_id") if name in metadata}
        if self._dates:
            facts["period"] = f"{format_date(min(self._dates))} to {format_date(max(self._dates))} (UTC)"
        facts |= {"rows": f"{self._rows['values']:,}", "source": "Kayrros Platform API", **metadata}
        facts.pop("column_units", None)  # those of Arrow
        for name, text in facts.items():
            lines = text.split("; ")
            if name == "units":
                lines = [f"{metric}: {unit or 'unknown'}" for metric, unit in json.loads(text).items()]
            elif name in {"start", "stop", "retrieved_at"}:
                lines = [text.replace("T", " ").replace("+00:00", " UTC")]
            title = name.replace("_", " ")
            for line in itertools.chain.from_iterable(textwrap.wrap(line, 110) or ["none"] for line in lines):
                yield title, line
                title = ""

    def _check_rows(self, name: str, rows: int) -> None:
        if rows >= MAX_ROWS:
            raise self._error(f"The {name} have more rows than the {MAX_ROWS - 1:,} that fit on a sheet of Excel.")

    def _error(self, problem: str) -> ExportError:
        hint = "Export to .parquet or .csv, or fewer dates, assets or metrics."
        return ExportError(problem, path=self._path, hint=hint)
