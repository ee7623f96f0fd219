"""Merging of parts: each row once, each asset once, nothing lost."""

import json
from typing import Any

import pytest

from kayrros_ext._results.merge import Deduplicator, merge
from kayrros_ext._results.model import Results
from kayrros_ext._results.reader import read_results
from kayrros_ext._results.windows import DAY_MS, Window

BEGIN = 1_704_067_200_000  # 2024-01-01


def part(assets: dict[str | None, list[str | None]], **fields: Any) -> Results:
    """Return results with a value per asset and date."""
    answer = [
        {
            "asset_id": name,
            **fields,
            "results": [{"value_date": date, "metrics": [{"name": "m", "value": 1.5}]} for date in dates],
        }
        for name, dates in assets.items()
    ]
    return read_results(json.dumps({"assets": answer}).encode())


def days(results: Results) -> list[tuple[str, str]]:
    """Return asset and day of each row."""
    return [
        (row["asset_id"], f"{row['value_date']:%m-%d}" if row["value_date"] else "")
        for row in results.table.select(["asset_id", "value_date"]).to_pylist()
    ]


def window(first: int, last: int, *assets: str) -> Window:
    """Return the window from a day of January to another."""
    return Window(0, BEGIN + (first - 1) * DAY_MS, BEGIN + (last - 1) * DAY_MS, assets)


def deduplicate(*parts: tuple[Window, Results]) -> list[Results]:
    """Return the parts after deduplication; the first window is the first of its assets."""
    deduplicator = Deduplicator()
    return [deduplicator.deduplicate(window, results, is_first=window.start_ms == BEGIN) for window, results in parts]


def test_a_row_that_two_windows_bring_comes_once() -> None:
    """The server rounded both ranges to whole days. The dates of an asset are counted again."""
    first, second = deduplicate(
        (window(1, 3), part({"a": ["2024-01-01", "2024-01-03"], "b": ["2024-01-03"]})),
        (window(3, 5), part({"a": ["2024-01-03", "2024-01-04"], "b": ["2024-01-03"], "c": []})),
    )
    assert days(first) == [("a", "01-01"), ("a", "01-03"), ("b", "01-03")]
    assert days(second) == [("a", "01-04")]
    assert second.assets["date_count"].to_pylist() == [1, 0, 0]
    merged = merge([first, second])
    assert merged.assets.select(["asset_id", "date_count"]).to_pylist() == [
        {"asset_id": "a", "date_count": 3},
        {"asset_id": "b", "date_count": 1},
        {"asset_id": "c", "date_count": 0},
    ]


def test_a_row_outside_of_its_window_is_kept() -> None:
    """The server filters in another time zone, so the window that the row belongs to did not bring it."""
    parts = deduplicate(
        (window(1, 3), part({"a": ["2024-01-01", "2024-01-02"]})),
        (window(3, 5), part({"a": ["2024-01-02T22:00:00Z", "2024-01-04"]})),
    )
    assert days(merge(parts)) == [("a", "01-01"), ("a", "01-02"), ("a", "01-02"), ("a", "01-04")]


def test_each_asset_has_its_own_time_zone() -> None:
    """The server filters by local dates, so the first window reaches further for one asset than for another."""
    parts = deduplicate(
        (window(1, 3), part({"a": ["2024-01-02T14:00:00Z"], "b": ["2024-01-01"]})),
        (window(3, 5), part({"a": ["2024-01-03"], "b": ["2024-01-02T08:00:00Z"]})),
    )
    assert days(merge(parts)) == [("a", "01-02"), ("a", "01-03"), ("b", "01-01"), ("b", "01-02")]


def test_rows_of_one_response_are_not_compared() -> None:
    """Two values of one asset, date and metric are two rows, and two dates."""
    [only] = deduplicate((window(1, 3), part({"a": ["2024-01-01", "2024-01-01"]})))
    assert days(only) == [("a", "01-01")] * 2
    assert only.assets["date_count"].to_pylist() == [2]


def test_windows_of_other_assets_share_no_row() -> None:
    """Batches share no row either, even if an asset without an id is in both."""
    parts = deduplicate(
        (window(1, 3, "a"), part({"a": ["2024-01-01"]})),
        (window(1, 3, "b"), part({"a": ["2024-01-01"]})),
    )
    assert len(days(merge(parts))) == 2


@pytest.mark.parametrize("name", ["a", None])
def test_rows_without_a_date_come_with_the_first_window(name: str | None) -> None:
    """A server may send them with each."""
    parts = deduplicate(
        (window(1, 3), part({name: [None, "2024-01-01"]})), (window(3, 5), part({name: [None, "2024-01-04"]}))
    )
    assert days(merge(parts)) == [(name, "01-01"), (name, "01-04"), (name, "")]


def test_assets_that_share_an_id_stay_apart() -> None:
    """Another version or name is another asset."""
    one, two = part({"a": ["2024-01-01"]}, asset_version=1), part({"a": ["2024-01-01"]}, asset_version=2)
    merged = merge([one, two, two])
    assert merged.assets.select(["asset_version", "date_count"]).to_pylist() == [
        {"asset_version": 1, "date_count": 1},
        {"asset_version": 2, "date_count": 2},
    ]


def test_no_parts_are_empty_results() -> None:
    """They have the columns of all other results."""
    merged = merge([])
    assert merged.table.schema.equals(part({"a": ["2024-01-01"]}).table.schema)
    assert (merged.table.num_rows, merged.assets.num_rows, merged.without_metrics.num_rows) == (0, 0, 0)
