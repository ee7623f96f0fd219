"""Export to Excel: openpyxl reads the workbook back."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs
import openpyxl
import pytest

from kayrros_ext import ExportError, Results
from kayrros_ext._export import excel, write

DATASET = UUID("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4")
NAME = '=HYPERLINK("http://example.com")'


def part(day: int, *, name: str = NAME, asset: str = "t1", dates: int = 1) -> Results:
    """Return results of one asset, from one day of January on."""
    metrics = [{"name": "volume_bbl", "value": 1234.5}, {"name": "level_pct", "value": 99.5}]
    days = [{"value_date": f"2024-01-{day + n:02}T00:00:00Z", "metrics": metrics} for n in range(dates)]
    body = {"asset_id": asset, "asset_name": name, "asset_categories": ["crude", "tank"], "results": days}
    return Results.from_json(json.dumps({"assets": [body]}).encode())


def export(path: Path, *parts: Results) -> Any:
    """Write parts to a workbook and open it."""
    write(path, [attrs.evolve(part, dataset_id=DATASET) for part in parts])
    return openpyxl.load_workbook(path)


def test_workbook_has_values_assets_and_about(tmp_path: Path) -> None:
    """Dates are dates, numbers have a format for each metric, and a second part adds to the assets."""
    book = export(tmp_path / "tanks.xlsx", part(1), part(2))
    assert book.sheetnames == ["values", "assets", "about"]
    values = book["values"]
    assert values.freeze_panes == "A2"
    assert [cell.value for cell in values[1]][:2] == ["value_date (UTC)", "asset_name"]
    assert [[str(row[0].value), *(row[n].value for n in (4, 5, 6))] for row in values.iter_rows(min_row=2)] == [
        ["2024-01-01 00:00:00", "volume_bbl", 1234.5, "bbl"],
        ["2024-01-01 00:00:00", "level_pct", 99.5, "%"],
        ["2024-01-02 00:00:00", "volume_bbl", 1234.5, "bbl"],
        ["2024-01-02 00:00:00", "level_pct", 99.5, "%"],
    ]
    assert [values.cell(row, 6).number_format for row in (2, 3)] == ["#,##0", "#,##0.00"]
    assert values["A2"].number_format == "yyyy-mm-dd"
    [header, asset] = book["assets"].iter_rows(values_only=True)
    assert dict(zip(header, asset, strict=True)) | {"asset_categories": "crude;tank", "date_count": 2} == dict(
        zip(header, asset, strict=True)
    )
    assert dict(book["about"].iter_rows(min_row=2, values_only=True))["dataset_id"] == str(DATASET)


def test_name_is_never_a_formula(tmp_path: Path) -> None:
    """A name that begins with an equals sign is text."""
    cell = export(tmp_path / "tanks.xlsx", part(1))["values"]["B2"]
    assert (cell.value, cell.data_type) == (NAME, "s")


@pytest.mark.parametrize("parts", [(part(1, dates=3),), (part(1, asset="a"), part(1, asset="b"), part(1, asset="c"))])
def test_more_rows_than_a_sheet_holds_are_refused(
    parts: tuple[Results, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are never left out: there is an error instead of a file."""
    monkeypatch.setattr(excel, "MAX_ROWS", 5)
    with pytest.raises(ExportError, match="more rows than the 4 that fit"):
        export(tmp_path / "tanks.xlsx", *parts)
    assert not list(tmp_path.iterdir())


def test_text_that_a_cell_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A name is never cut."""
    with pytest.raises(ExportError, match="has 32,768 characters"):
        export(tmp_path / "tanks.xlsx", part(1, name="x" * 32_768))
    assert not list(tmp_path.iterdir())
