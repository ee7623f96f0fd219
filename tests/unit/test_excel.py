"""Export to Excel: openpyxl reads the workbook back, and CSV for Excel."""

import contextlib
import errno
import io
import json
import resource
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import openpyxl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.escape import unescape

from kayrros_ext import ExportError, MissingExtraError, Results, UsageError
from kayrros_ext._export import excel, parse_target, write
from kayrros_ext._export.excel import ExcelWriter
from kayrros_ext.testing import Platform

DATASET = UUID("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
NAMES = [
    '=HYPERLINK("http://example.com")',
    "+1",
    "-2",
    "@SUM(A1)",
    "https://example.com/",
    "007",
    "<r>",
    "<r><t>rich</t></r>",
    "a & b < c",
    "\x00\x0b\x1f\r\n\t\ufffe\uffff",
    "_x0041_",
    "  blanks  ",
    "中文 💥",
    "x" * 32_767,
    "",
]


def part(*dates: str, name: str = "Tank 1", asset: str = "t1", **metrics: Any) -> Results:
    """Return results of one asset. A list of values has one for each date."""
    days: list[dict[str, Any]] = [{"value_date": date, "metrics": []} for date in dates or ["2024-01-01"]]
    for metric, value in (metrics or {"volume_bbl": 1234.5}).items():
        for number, day in enumerate(days):
            day["metrics"].append({"name": metric, "value": value[number] if isinstance(value, list) else value})
    body = {"asset_id": asset, "asset_name": name, "asset_categories": ["crude", "tank"], "results": days}
    return Results.from_json(json.dumps({"assets": [body]}).encode())


def export(*parts: Results, **metadata: str) -> Any:
    """Write parts to a workbook and open it."""
    file = io.BytesIO()
    writer = ExcelWriter(file, Path("tanks.xlsx"))
    for results in parts:
        writer.write(results)
    writer.close(metadata)
    return openpyxl.load_workbook(file)


def cells(sheet: Any) -> list[dict[str, Any]]:
    """Return the cells of each row by the header."""
    header, *rows = sheet.iter_rows()
    return [dict(zip([cell.value for cell in header], row, strict=True)) for row in rows]


def rows(sheet: Any) -> list[dict[str, Any]]:
    """Return the values of each row by the header."""
    return [{name: cell.value for name, cell in row.items()} for row in cells(sheet)]


def write_file(path: Path, *parts: Results) -> None:
    """Write parts as `Kayrros.export` does."""
    write(path, parts)


def test_workbook_has_values_assets_and_about() -> None:
    """Dates are dates, a number is a number, and a second part adds to the assets."""
    book = export(part("2024-01-01", volume_bbl=1234.5), part("2024-01-02", volume_bbl=None))
    assert book.sheetnames == ["values", "assets", "about"]
    first, second = rows(book["values"])
    assert (first["value_date (UTC)"], first["metric"], first["value"]) == (datetime(2024, 1, 1), "volume_bbl", 1234.5)
    assert (second["value_date (UTC)"], second["value"]) == (datetime(2024, 1, 2), None)
    [asset] = rows(book["assets"])
    assert (asset["asset_id"], asset["asset_categories"], asset["date_count"]) == ("t1", "crude;tank", 2)


def test_sheets_can_be_read_filtered_and_printed() -> None:
    """The header stays in sight and repeats on each page, which is as wide as the columns; a filter covers all rows."""
    book = export(part("2024-01-01", "2024-01-02", name="A tank with a rather long name"))
    for sheet in book:
        assert sheet.freeze_panes == "A2"
        assert sheet.print_title_rows == "$1:$1"
        assert (sheet.page_setup.orientation, sheet.page_setup.fitToHeight) == ("landscape", 0)
        assert sheet.sheet_properties.pageSetUpPr.fitToPage
        assert sheet["A1"].font.bold
    assert [sheet.auto_filter.ref for sheet in book] == [book["values"].dimensions, "A1:K2", None]
    assert book["values"].column_dimensions["B"].width > len("A tank with a rather long name")


def test_results_without_rows_are_a_workbook() -> None:
    """Each sheet has its header."""
    book = export(Results.from_json(b"{}"))
    assert book["values"]["A1"].value == "value_date (UTC)"
    assert not rows(book["values"]) + rows(book["assets"])
    assert book["values"].max_row == 1


def test_chunk_without_rows_is_skipped() -> None:
    """A window without values leaves one in the table."""
    results = part("2024-01-01", "2024-01-02")
    table = pa.concat_tables([results.table.slice(0, 0), results.table])
    book = export(attrs.evolve(results, table=table))
    assert len(rows(book["values"])) == 2


@pytest.mark.parametrize(
    ("text", "value", "number_format"),
    [
        ("2024-01-31", datetime(2024, 1, 31), "yyyy-mm-dd"),
        ("2024-01-31T12:30:15Z", datetime(2024, 1, 31, 12, 30, 15), "yyyy-mm-dd hh:mm:ss"),
        ("1900-03-01", datetime(1900, 3, 1), "yyyy-mm-dd"),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59), "yyyy-mm-dd hh:mm:ss"),
        ("1900-02-28", "1900-02-28", "General"),
        ("0001-01-01T01:00:00Z", "0001-01-01 01:00:00", "General"),
        (None, None, "General"),
    ],
)
def test_date_is_a_date_of_excel(text: str, value: Any, number_format: str) -> None:
    """Excel has no dates before March of 1900, so those are text."""
    [row] = cells(export(part(text))["values"])
    cell = row["value_date (UTC)"]
    assert (cell.value, cell.number_format) == (value, number_format)


def test_number_format_is_that_of_the_metric() -> None:
    """All parts count for it. A very large or small number has an exponent instead, and a number keeps 16 digits."""
    numbers: list[dict[str, Any]] = [
        {"level_pct": 0, "volume_bbl": 12, "rate": 0.1 + 0.2, "count": 3},
        {"level_pct": 99.25, "volume_bbl": 123456789012345.5, "rate": -1e300, "count": None},
        {"level_pct": 0.5, "volume_bbl": -1e15, "rate": 1e-7, "count": 2**53 + 2},
    ]
    written = cells(export(*(part(f"2024-01-0{day}", **values) for day, values in enumerate(numbers, 1)))["values"])
    expected = [value for values in numbers for value in values.values()]
    assert [row["value"].value for row in written] == [pytest.approx(value, rel=1e-15, abs=0) for value in expected]
    formats = [row["value"].number_format for row in written]
    exponent = "0.00000E+00"
    assert formats == [
        *("#,##0.00", "#,##0", "#,##0", "#,##0"),
        *("#,##0.00", "#,##0", exponent, "General"),
        *("#,##0.00", exponent, exponent, exponent),
    ]


def test_number_format_shows_the_digits_of_all_values() -> None:
    """The value with the most digits counts, wherever it is. The largest one has six."""
    dates = ["2024-01-01", "2024-01-02", "2024-01-03"]
    first = part(*dates, a=[0, 50.25, 99], b=[1, 2.0001, 10], c=[0, 1 / 3, 1000], d=[0, 0, 0])
    second = part("2024-01-04", a=9, b=9, c=9, d=90000.1)
    written = cells(export(first, second)["values"])
    formats = {row["metric"].value: row["value"].number_format for row in written}
    assert formats == {"a": "#,##0.00", "b": "#,##0.0000", "c": "#,##0.00", "d": "#,##0.0"}


def test_any_number_of_metrics_can_be_exported() -> None:
    """Each has a number format of its own."""
    metrics: dict[str, Any] = {f"m{n:03}": n + 0.5 if n % 2 else n for n in range(300)}
    written = cells(export(part(**metrics))["values"])
    assert [row["value"].value for row in written] == list(metrics.values())
    assert [row["value"].number_format for row in written] == ["#,##0", "#,##0.0"] * 150


def test_integer_with_more_than_15_digits_is_text() -> None:
    """Excel would show other digits."""
    body = {"assets": [{"asset_id": str(n), "asset_version": n} for n in (10**15 - 1, -(2**63), 2**53 + 1)]}
    written = rows(export(Results.from_json(json.dumps(body).encode()))["assets"])
    assert [row["asset_version"] for row in written] == [10**15 - 1, str(-(2**63)), str(2**53 + 1)]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_name_is_text(name: str) -> None:
    """A name is no formula, link or markup, and loses no character."""
    book = export(part(name=name))
    for sheet in (book["values"], book["assets"]):
        [row] = cells(sheet)
        assert (unescape(row["asset_name"].value), row["asset_name"].data_type) == (name, "s")
        assert row["asset_name"].hyperlink is None
    is_formula = name.startswith(("=", "+", "-", "@"))
    assert row["asset_name"].number_format == ("@" if is_formula else "General")  # "@" stays text when it is edited


@given(st.text())
@settings(max_examples=25)
def test_any_name_comes_back(name: str) -> None:
    """Whatever characters a name has, the workbook can be read."""
    [row] = rows(export(part(name=name))["values"])
    assert unescape(row["asset_name"]) == name


@pytest.mark.parametrize("name", ["x" * 32_768, "💥" * 16_384], ids=["letters", "pairs"])
def test_text_that_a_cell_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    """A name is never truncated. Excel counts a character outside of the basic plane twice."""
    with pytest.raises(ExportError, match="A text has 32,768 characters"):
        write_file(tmp_path / "tanks.xlsx", part(name=name))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "parts",
    [
        [part(*["2024-01-01"] * 5)],
        [part(asset="a"), part("2024-01-02", "2024-01-03"), part("2024-01-04", "2024-01-05")],
    ],
)
def test_more_rows_than_a_sheet_holds_are_refused(
    parts: list[Results], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes with the first part that has too many, no further part is fetched, and there is no file."""
    monkeypatch.setattr(excel, "MAX_ROWS", 5)

    def fetch() -> Iterator[Results]:
        yield from parts
        pytest.fail("a further part was fetched")

    with pytest.raises(ExportError, match="more rows than the 4 that fit") as caught:
        write(tmp_path / "tanks.xlsx", fetch())
    assert "Export to .parquet or .csv" in str(caught.value.hint)
    assert not list(tmp_path.iterdir())


def test_as_many_rows_as_a_sheet_holds_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last row of a sheet is used."""
    monkeypatch.setattr(excel, "MAX_ROWS", 5)
    assert len(rows(export(part("2024-01-01", "2024-01-02"), part("2024-01-03", "2024-01-04"))["values"])) == 4


@pytest.mark.parametrize("error", [None, OSError(errno.EIO, "I/O error"), KeyboardInterrupt()])
def test_no_temporary_file_is_left(error: BaseException | None, tmp_path: Path) -> None:
    """They are next to the workbook, and gone after an error or Ctrl-C too."""

    def fetch() -> Iterator[Results]:
        yield part()
        [directory] = tmp_path.glob(".*.part/")
        assert sum(path.is_file() for path in directory.iterdir()) == 3
        if error:
            raise error

    with contextlib.suppress(OSError, KeyboardInterrupt):
        write(tmp_path / "tanks.xlsx", fetch())
    assert [path.name for path in tmp_path.iterdir()] == ([] if error else ["tanks.xlsx"])


@pytest.mark.parametrize("rows", [1, 1000], ids=["at the end", "in a row"])
def test_full_disk_leaves_no_file(rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has its cause, which XlsxWriter wraps. A limit on the size of files stands for the disk."""
    metrics: dict[str, Any] = {f"m{number}": 1.0 for number in range(rows)}
    parts = [part(**metrics)]
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # else it would leave truncated .pyc files
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(ExportError, match="File too large"):
            write(tmp_path / "tanks.xlsx", parts)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


def test_about_is_readable() -> None:
    """The dataset comes first. Lists have a line for each item, and an empty text is "none"."""
    gaps = [f"2024-0{month}-01T00:00:00Z to 2024-0{month}-02T00:00:00Z" for month in range(1, 4)]
    metadata = {
        "start": "2024-01-01T00:00:00+00:00",
        "dataset_id": str(DATASET),
        "dataset_name": "=Tanks",
        "units": '{"volume_bbl": "bbl", "index": null}',
        "column_units": '{"value_date": "us since 1970-01-01T00:00:00Z"}',
        "attribution": "word " * 10_000,
        "retrieved_at": "2026-11-27T10:00:00+00:00",
        "source_id": "",
        "gaps": "; ".join(gaps),
    }
    written = [
        (row["field"], row["text"]) for row in rows(export(part("2024-01-02", "2024-01-05"), **metadata)["about"])
    ]
    assert written[:7] == [
        ("dataset name", "=Tanks"),
        ("dataset id", str(DATASET)),
        ("period", "2024-01-02 to 2024-01-05 (UTC)"),
        ("rows", "2"),
        ("source", "Kayrros Platform API"),
        ("start", "2024-01-01 00:00:00 UTC"),
        ("units", "volume_bbl: bbl"),
    ]
    assert written[7] == ("", "index: unknown")
    assert written[8][0] == "attribution"
    assert written[-5:] == [
        ("retrieved at", "2026-11-27 10:00:00 UTC"),
        ("source id", "none"),
        *zip(["gaps", "", ""], gaps, strict=True),
    ]
    assert max(len(text) for _, text in written) <= 110


def test_missing_extra_is_an_error_before_a_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hint has the command that installs it."""
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    platform = Platform()
    with platform.connect() as kayrros, pytest.raises(MissingExtraError) as caught:
        kayrros.export("a name to look up", tmp_path / "tanks.xlsx")
    assert caught.value.extra == "excel"
    assert 'pip install "xlsxwriter>=3.2"' in str(caught.value.hint)
    assert not platform.requests
    assert not list(tmp_path.iterdir())


def test_dataset_is_exported_to_excel(tmp_path: Path) -> None:
    """`Kayrros.export` writes all rows of a dataset."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        book = openpyxl.load_workbook(kayrros.export(dataset.id, tmp_path / "tanks.xlsx"))
        assert len(rows(book["values"])) == kayrros.results(dataset.id).table.num_rows
    assert ("dataset id", str(dataset.id)) in [(row["field"], row["text"]) for row in rows(book["about"])]


def test_csv_for_excel_has_a_mark_and_short_dates(tmp_path: Path) -> None:
    """Excel reads UTF-8 after a byte order mark. A date is short unless it has a time; names are as they came."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        results = kayrros.results(dataset.id)
        plain = kayrros.export(dataset.id, tmp_path / "a.csv").read_text()
        short = kayrros.export(dataset.id, tmp_path / "b.csv", excel_csv=True).read_bytes().decode()
    assert short == "\ufeff" + plain.replace("T00:00:00.000000Z", "")
    assert results.export(tmp_path / "d.csv", excel_csv=True).read_bytes().decode() == short
    with pytest.raises(UsageError, match="CSV for Excel can't be written"):
        results.export(tmp_path / "d.json", excel_csv=True)
    path = tmp_path / "c.csv"
    moments = ["2024-01-01", "2024-01-01T12:30:00Z", "2024-01-01T00:00:00.5Z"]
    write(path, [part(*moments, name="=1+1")], excel_csv=True)
    dates = [line.split(",1234")[0] for line in path.read_text("utf-8-sig").splitlines()[1:]]
    for date, text in zip(["2024-01-01", "2024-01-01 12:30:00", "2024-01-01 00:00:00.500000"], dates, strict=True):
        assert f",{date}," in text
        assert ",=1+1," in text


@pytest.mark.parametrize("name", ["tanks.parquet", "tanks.xlsx", "tanks.json"])
def test_csv_for_excel_is_only_for_csv(name: str) -> None:
    """Another suffix is an error before anything is sent."""
    with pytest.raises(UsageError, match="CSV for Excel can't be written"):
        parse_target(name, excel_csv=True)
