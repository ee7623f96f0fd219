"""A user's session on the mock: the whole main job."""

from pathlib import Path
from uuid import UUID

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kayrros_ext import Kayrros
from kayrros_ext.testing import PrismMock
from kayrros_openapi.models import DatasetMetadata, SharedOption
from tests.contract.test_spec import named
from tests.support.server import DATASET


def test_from_a_collection_to_a_dataset(kayrros: Kayrros) -> None:
    """The ids that one call gives, the next one takes."""
    collection = kayrros.collections()[1]
    assert ("9c41e7b8-6d03-4f25-a1b9-7e8f5d2c3a60", "Emissions and industry") == (collection.id, collection.name)
    datasets = kayrros.datasets(str(collection.id))
    assert ["Methane hot spots, large emitters", "Industrial activity, selected sites"] == [
        one.name for one in datasets
    ]
    assert isinstance(kayrros.metadata(str(datasets[0].id)), DatasetMetadata)


def test_metadata(kayrros: Kayrros) -> None:
    """Typed: a UUID is one, the enum is one, the dates are epoch milliseconds."""
    metadata = kayrros.metadata(DATASET)
    assert isinstance(metadata, DatasetMetadata)
    assert (UUID(DATASET), SharedOption.SHARED, 6) == (metadata.id, metadata.shared_option, metadata.asset_count)
    assert 1704153600000 == metadata.start_date


def test_results_to_a_table_and_a_parquet_file(kayrros: Kayrros, tmp_path: Path) -> None:
    """Every metric of the example, and the units survive the way through a Parquet file."""
    results = kayrros.results(DATASET, start="2024-01-01", assets=["tank-cushing-tk-101"])
    example = named("getDatasetResults")["crude-tanks"]
    expected = sorted(
        (asset["asset_id"], result["value_date"], metric["name"], metric["value"])
        for asset in example["assets"]
        for result in asset["results"]
        for metric in result["metrics"]
    )
    table = results.table.select(["asset_id", "value_date", "metric", "value"])
    dates = pc.strftime(table["value_date"], "%Y-%m-%dT%H:%M:%SZ")
    rows = table.set_column(1, "value_date", pc.replace_substring(dates, ".000000", "")).to_pylist()
    assert expected == [tuple(row.values()) for row in rows]
    assert 72 == len(expected)
    pq.write_table(results.table, tmp_path / "results.parquet")
    back = pq.read_table(tmp_path / "results.parquet")
    assert results.table.equals(back)
    assert b"m2" == back.schema.field("asset_surface_area_m2").metadata[b"unit"]


def test_download(kayrros: Kayrros, tmp_path: Path) -> None:
    """The CSV of the spec, byte for byte, under the name that the header gives."""
    path = kayrros.download(DATASET, tmp_path)
    assert tmp_path / "crude-terminals.csv" == path
    assert named("downloadStaticDataset")["crude-terminals"] == path.read_text()


def test_the_mock_is_one_setting_away(mock: PrismMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what `make mock` prints in the environment, Kayrros() needs no argument."""
    for name, value in mock.settings.items():
        monkeypatch.setenv(name, value)
    with Kayrros() as kayrros:
        assert "Crude oil storage, selected terminals" == kayrros.metadata(DATASET).name
