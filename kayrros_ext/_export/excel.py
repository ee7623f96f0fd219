"""Write results to an Excel workbook, part by part, with the sheets "values", "assets" and "about".

XlsxWriter makes a workbook without rows, the template. Arrow renders the rows as XML, as it renders text, and they are
compressed as they arrive. So no row needs a temporary file, and few cells need a Python object.
"""

import io
import itertools
import json
import re
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from string import ascii_uppercase
from typing import IO, TYPE_CHECKING
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._export.text import BATCH, render_distinct, short_date
from kayrros_ext._results.convert import import_optional, join_categories
from kayrros_ext._results.merge import merge_assets
from kayrros_ext._results.schema import ASSETS, DOUBLE, INTEGER, RESULTS, int64s, strings
from kayrros_ext._results.text import DIGITS, decimals, format_date
from kayrros_ext._text import cell_width
from kayrros_ext.errors import ExportError

if TYPE_CHECKING:
    from kayrros_ext._results.model import Results

# Limits of Excel: rows of a sheet, with the header; UTF-16 code units of a text; bytes of a sheet, without Zip64.
MAX_ROWS, MAX_UNITS, MAX_BYTES = 1_048_576, 32_767, 2**31 - 2**16
# The first columns of "values". The other columns that describe an asset are on the sheet "assets".
_VALUES = ["dataset_id", "dataset_name", "value_date", "asset_name", "asset_id", "parent_asset_name"]
_VALUES += ["metric", "value", "unit"]
# The formats of dates and text, and of numbers.
_FORMATS = ["yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss", "@"]
_NUMBER_FORMATS = ["General", "0.00000E+00"]
# The number formats of metrics, which are known after the last part. Until then each is a different number of zeros.
_METRIC_FORMATS = ["0" * length for length in range(20, 52)]
_NUMBERS = {"value", *(field.name for field in ASSETS if field.type in (INTEGER, DOUBLE))}
_VALUES_XML = "xl/worksheets/sheet1.xml"
# Widths in characters of columns whose content can be longer in a later part, and of a long text.
_WIDTHS, _MAX_WIDTH = {"value_date": 20, "value": 22}, 40
# Characters that XML can't have, and the beginning of what reads as the escape of one.
_ESCAPED = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")


class ExcelWriter:
    """Writes a workbook in constant memory."""

    def __init__(self, file: IO[bytes], path: Path, schema: pa.Schema = RESULTS) -> None:
        self._xlsxwriter = import_optional("xlsxwriter", extra="excel")
        self._path, self._schema, self._rows, self._bytes = path, schema, 0, 0
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)
        self._columns = [name for name in _VALUES if name in schema.names]
        self._values: IO[bytes] | None = None
        self._assets = pa.Table.from_batches([], ASSETS)
        self._widths: dict[str, dict[str, int]] = {}  # of the columns of each sheet
        self._styles: list[str] = []  # the number of each format in the workbook
        self._dates: list[datetime] = []  # the first and the last one of each part
        self._samples: dict[str | None, list[float]] = {}  # numbers of each metric that have the decimals of all

    def write(self, part: "Results") -> None:
        """Write the rows of a part. Raise ExportError when a sheet can't hold them."""
        table = part.table.select(self._columns)
        self._check_rows("results", self._rows + table.num_rows)
        self._assets = merge_assets(pa.concat_tables([self._assets, part.assets]))
        self._check_rows("assets", self._assets.num_rows)
        if not table.num_rows:
            return
        dates = pc.min_max(table["value_date"].cast(pa.timestamp("us"))).as_py().values()
        self._dates += [date for date in dates if date]
        metrics = table["metric"].cast(pa.string())
        for metric in metrics.unique().drop_null().to_pylist():
            values = table["value"].filter(pc.is_in(metrics, strings([metric])))
            self._samples.setdefault(metric, []).extend(_samples(values))
        self._write_rows(self._open_values(table), table, self._rows)
        self._rows += table.num_rows

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the other sheets, and the file."""
        values = self._open_values(pa.Table.from_batches([], self._schema).select(self._columns))
        fields, texts = (strings(column) for column in zip(*self._about(metadata), strict=True))
        tables = {"assets": join_categories(self._assets), "about": pa.table([fields, texts], ["field", "text"])}
        self._widths |= {name: _widths(table) for name, table in tables.items()}
        template = self._template({"values": self._rows, "assets": self._assets.num_rows})
        values.write(_split(template, _VALUES_XML)[1])
        values.close()
        self._bytes = 0
        for number, table in enumerate(tables.values(), start=2):
            head, tail = _split(template, name := f"xl/worksheets/sheet{number}.xml")
            with self._zip.open(name, "w") as sheet:
                sheet.write(head)
                self._write_rows(sheet, table)
                sheet.write(tail)
        places = [decimals(sample) for sample in self._samples.values()][: len(_METRIC_FORMATS)]
        codes = [f"#,##0{'.' * (count > 0)}{'0' * count}" for count in places]
        for name in [name for name in template.namelist() if name not in self._zip.namelist()]:
            content = template.read(name).decode()
            for code, placeholder in itertools.zip_longest(codes, _METRIC_FORMATS, fillvalue="#,##0"):
                content = content.replace(f'"{placeholder}"', f'"{code}"')
            self._zip.writestr(name, content)
        self._zip.close()

    def abandon(self) -> None:
        """Write no more to the file, not even when the zip is garbage-collected."""
        self._zip.fp = io.BytesIO()  # closing it writes its end
        if self._values:
            self._values.close()

    def _about(self, metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield rows: the name of each fact, once, and a line of its text. The dataset and its values come first."""
        facts = {name: metadata[name] for name in ("dataset_name", "dataset_id") if name in metadata}
        if self._dates:
            facts["period"] = f"{format_date(min(self._dates))} to {format_date(max(self._dates))} (UTC)"
        facts |= {"rows": f"{self._rows:,}", "source": "Kayrros Platform API", **metadata}
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

    def _open_values(self, table: pa.Table) -> IO[bytes]:
        """Open the sheet with the widths of the first table, or return it."""
        if not self._values:
            self._widths["values"] = _widths(table)
            template = self._template({})
            self._styles = re.findall(r'(?<= s=")\d+(?="/>)', template.read(_VALUES_XML).decode())
            self._values = self._zip.open(_VALUES_XML, "w")
            self._values.write(_split(template, _VALUES_XML)[0])
        return self._values

    def _template(self, rows: Mapping[str, int]) -> zipfile.ZipFile:
        """Return a workbook whose sheets have a header, and in place of the rows a cell of each format."""
        buffer = io.BytesIO()
        with self._xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
            left, right = {"align": "left"}, {"align": "right", "indent": 1}
            formats = [book.add_format({"num_format": code, **left}) for code in _FORMATS]
            formats += [book.add_format({"num_format": code, **right}) for code in _NUMBER_FORMATS + _METRIC_FORMATS]
            for name, widths in self._widths.items():
                sheet = book.add_worksheet(name)
                sheet.freeze_panes(1, 0)
                sheet.set_landscape()
                sheet.set_paper(9)  # A4
                sheet.fit_to_pages(1, 0)
                sheet.repeat_rows(0)
                sheet.set_footer("&L&A&RPage &P of &N")
                for column, (title, width) in enumerate(widths.items()):
                    header = book.add_format({"bold": True, "bottom": 1, **(right if title in _NUMBERS else left)})
                    sheet.set_column(column, column, width)
                    sheet.write_string(0, column, "value_date (UTC)" if title == "value_date" else title, header)
                if name in rows:
                    sheet.autofilter(0, 0, rows[name], len(widths) - 1)
                for column, style in enumerate(formats):
                    sheet.write_blank(1, column, None, style)
        return zipfile.ZipFile(buffer)

    def _write_rows(self, sheet: IO[bytes], table: pa.Table, first: int = 0) -> None:
        for batch in table.to_batches(max_chunksize=BATCH):
            numbers = int64s(range(first + 2, first + 2 + batch.num_rows)).cast(pa.string())
            first += batch.num_rows
            pieces = [*strings(['<row r="']), numbers, *strings(['">'])]
            for letter, name in zip(ascii_uppercase, batch.schema.names, strict=False):
                pieces += [*strings([f'<c r="{letter}']), numbers, self._render(batch, name)]
            rows = pc.binary_join_element_wise(*pieces, *strings(["</row>\n", ""]))
            content = memoryview(rows.buffers()[2])[: pc.sum(pc.binary_length(rows)).as_py()]
            self._bytes += len(content)
            if self._bytes > MAX_BYTES:
                raise self._error("The results have more text than the 2 GiB that fit on a sheet of Excel.")
            sheet.write(content)

    def _render(self, batch: pa.RecordBatch, name: str) -> pa.Array:
        """Return the cells of a column, each without its beginning up to the number of the row."""
        column = batch.column(name)
        if name == "value":
            return self._render_values(column, batch.column("metric").cast(pa.string()))
        if pa.types.is_timestamp(column.type):
            return render_distinct(column.cast(pa.timestamp("us")), self._render_date)
        is_text = pa.types.is_dictionary(column.type) or pa.types.is_string(column.type)
        return render_distinct(column.cast(pa.string()), self._render_text if is_text else self._render_number)

    def _render_values(self, values: pa.Array, metrics: pa.Array) -> pa.Array:
        general, exponent, *others = (f'" s="{style}"><v>' for style in self._styles[len(_FORMATS) :])
        styles = dict(zip(self._samples, others, strict=False))
        prefix = render_distinct(metrics, lambda metric: styles.get(metric, general))
        exponent, end, empty, separator = strings([exponent, "</v></c>", '"/>', ""])
        # Without an exponent: zero, and from 10**-6 to 10**15.
        zero, one, million, limit = int64s([0, 1, 10**6, 10**15])
        size = pc.abs(values)
        is_plain = pc.or_(pc.equal(size, zero), pc.greater_equal(pc.multiply(size, million), one))
        prefix = pc.if_else(pc.and_(is_plain, pc.less(size, limit)), prefix, exponent)
        return pc.coalesce(pc.binary_join_element_wise(prefix, values.cast(pa.string()), end, separator), empty)

    def _render_date(self, text: str | None) -> str:
        """Return a date as the number of its day. Excel has none before March of 1900 or after 9999: those are text."""
        if not text or len(text) != len("2024-01-31 00:00:00.000000") or text < "1900-03-01":
            return self._render_text(text and short_date(text))
        date = datetime.fromisoformat(text)
        style = self._styles[date.time() != datetime.min.time()]
        return f'" s="{style}"><v>{(date - datetime(1899, 12, 30)) / timedelta(days=1)!r}</v></c>'

    def _render_number(self, text: str | None) -> str:
        """Return a number. Excel shows 15 digits, so an integer with more is text."""
        if text is None or (text.lstrip("-").isdigit() and len(text) > 15):
            return self._render_text(text)
        return f'" s="{self._styles[len(_FORMATS)]}"><v>{text}</v></c>'

    def _render_text(self, text: str | None) -> str:
        if text is None:
            return '"/>'
        units = len(text.encode("utf-16-le")) // 2
        if units > MAX_UNITS:
            raise self._error(f"A text has {units:,} characters, and a cell of Excel holds {MAX_UNITS:,}.")
        # In the format of text, because otherwise a name such as "=cmd" becomes a formula when it is edited.
        style = f' s="{self._styles[2]}"' if text.startswith(("=", "+", "-", "@")) else ""
        text = escape(_ESCAPED.sub(lambda match: f"_x{ord(match[0]):04X}_", text))
        return f'"{style} t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'

    def _check_rows(self, name: str, rows: int) -> None:
        if rows >= MAX_ROWS:
            raise self._error(f"The {name} have more rows than the {MAX_ROWS - 1:,} that fit on a sheet of Excel.")

    def _error(self, problem: str) -> ExportError:
        hint = "Export to .parquet or .csv, or fewer dates, assets or metrics."
        return ExportError(problem, path=self._path, hint=hint)


def _split(template: zipfile.ZipFile, name: str) -> list[bytes]:
    """Return what comes before and after the rows of a sheet."""
    # Without the sizes, which are those of the template.
    xml = re.sub(r'<dimension [^>]*/>| spans="[^"]*"', "", template.read(name).decode())
    return [part.encode() for part in re.split('<row r="2".*?</row>', xml)]


def _widths(table: pa.Table) -> dict[str, int]:
    """Return the width of each column: that of its title, or of its longest text."""
    widths = {}
    for name in table.column_names:
        texts = [] if name in _WIDTHS else table[name].cast(pa.string()).unique().drop_null().to_pylist()
        longest = min(max(map(cell_width, texts), default=0) + 2, _MAX_WIDTH)
        widths[name] = max(_WIDTHS.get(name, longest), len(name) + 4)  # the button of the filter takes three
    return widths


def _samples(values: pa.ChunkedArray) -> list[float]:
    """Return numbers that `decimals` treats as it treats all values: both ends, and one with a digit at each place."""
    ends = [end for end in pc.min_max(values).as_py().values() if end is not None]
    if not ends or max(map(abs, ends)) >= 10**DIGITS:
        return ends
    rounded = [pc.round(values, places) for places in range(DIGITS + 1)]
    masks = [pc.not_equal(*pair) for pair in itertools.pairwise(rounded)]
    return [*ends, *(value for mask in masks for value in values.filter(mask).slice(0, 1).to_pylist())]
