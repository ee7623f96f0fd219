"""Write results to an Excel workbook, part by part, with the sheets "values", "assets" and "about"."""

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from kayrros_ext._results.convert import import_optional
from kayrros_ext._results.merge import merge_assets
from kayrros_ext._results.schema import ASSETS, without_time_zone
from kayrros_ext.errors import ExportError

if TYPE_CHECKING:
    from kayrros_ext._results.model import Results

# Limits of Excel: rows of a sheet, with the header; characters of a cell; the first date.
MAX_ROWS, MAX_CHARACTERS, FIRST_DATE = 1_048_576, 32_767, datetime(1900, 3, 1)
# Rows that are Python objects at a time.
BATCH = 2**14
# The other columns of a row describe its asset, and the sheet "assets" has them.
_VALUES = {"dataset_id": 38, "dataset_name": 30, "value_date": 19, "asset_name": 30, "asset_id": 38}
_VALUES |= {"parent_asset_name": 24, "metric": 26, "value": 16, "unit": 10}
_DAY, _MOMENT = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"


class ExcelWriter:
    """Writes a workbook in constant memory: XlsxWriter keeps the rows in temporary files."""

    def __init__(self, file: IO[bytes], path: Path, schema: pa.Schema) -> None:
        xlsxwriter = import_optional("xlsxwriter", extra="excel")
        self._path, self._temporary = path, tempfile.TemporaryDirectory(prefix="kayrros-")
        options = {"constant_memory": True, "tmpdir": self._temporary.name}
        self._book = xlsxwriter.Workbook(file, options)
        self._formats: dict[str, Any] = {}
        self._number_formats: dict[str, str] = {}
        self._assets = pa.Table.from_batches([], ASSETS)
        self._columns = [name for name in _VALUES if name in schema.names]
        self._values = self._add_sheet("values", {name: _VALUES[name] for name in self._columns})
        self._rows = 1

    def write(self, part: "Results") -> None:
        """Write the rows of a part. Raise ExportError when a sheet can't hold them."""
        self._check_rows("results", self._rows + part.table.num_rows)
        self._assets = merge_assets(pa.concat_tables([self._assets, part.assets]))
        for batch in without_time_zone(part.table.select(self._columns)).to_batches(max_chunksize=BATCH):
            for row in batch.to_pylist():
                metric, value = row["metric"], row["value"]
                if metric not in self._number_formats and value is not None:
                    self._number_formats[metric] = "#,##0" if abs(value) >= 1000 else "#,##0.00"
                self._write_row(self._values, self._rows, row.values(), self._number_formats.get(metric, ""))
                self._rows += 1

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the other sheets, and the file."""
        self._values.autofilter(0, 0, self._rows - 1, len(self._columns) - 1)
        self._check_rows("assets", self._assets.num_rows + 1)
        widths = {name: 30 if name.endswith("name") else 18 for name in ASSETS.names}
        sheet = self._add_sheet("assets", widths | {"asset_id": 38, "parent_asset_id": 38})
        for number, asset in enumerate(self._assets.to_pylist(), start=1):
            self._write_row(sheet, number, asset.values())
        sheet = self._add_sheet("about", {"field": 24, "value": 100})
        for number, row in enumerate(metadata.items(), start=1):
            self._write_row(sheet, number, row)
        self._book.close()
        self._temporary.cleanup()

    def abandon(self) -> None:
        """Write no more."""
        for sheet in self._book.worksheets():
            sheet.row_data_fh.close()
        self._temporary.cleanup()

    def _add_sheet(self, name: str, widths: Mapping[str, int]) -> Any:
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        bold = self._book.add_format({"bold": True})
        for column, (title, width) in enumerate(widths.items()):
            sheet.set_column(column, column, width)
            sheet.write_string(0, column, "value_date (UTC)" if title == "value_date" else title, bold)
        return sheet

    def _write_row(self, sheet: Any, row: int, cells: Any, number_format: str = "") -> None:
        for column, cell in enumerate(cells):
            value = ";".join(map(str, cell)) if isinstance(cell, list) else cell
            if isinstance(value, datetime) and value >= FIRST_DATE:
                shape = _DAY if value.time() == datetime.min.time() else _MOMENT
                sheet.write_datetime(row, column, value, self._format(shape))
            elif isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**53):
                sheet.write_number(row, column, value, self._format(number_format))
            elif value is not None:
                # As text, so that Excel does not compute a name such as "=cmd". Excel shows 15 digits of a number.
                text = str(value)
                if len(text) > MAX_CHARACTERS:
                    problem = f"A text has {len(text):,} characters, and a cell of Excel holds {MAX_CHARACTERS:,}."
                    raise ExportError(problem, path=self._path, hint="Export to .parquet or .csv.")
                sheet.write_string(row, column, text)

    def _format(self, number_format: str) -> Any:
        if number_format not in self._formats:
            self._formats[number_format] = self._book.add_format({"num_format": number_format} if number_format else {})
        return self._formats[number_format]

    def _check_rows(self, name: str, rows: int) -> None:
        if rows > MAX_ROWS:
            problem = f"The {name} have more rows than the {MAX_ROWS - 1:,} that fit on a sheet of Excel."
            hint = "Export to .parquet or .csv, or fewer dates, assets or metrics."
            raise ExportError(problem, path=self._path, hint=hint)
