"""A user's session on the mock, from the first collection to a file on disk."""

from pathlib import Path
from uuid import UUID

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from kayrros_ext import Kayrros
from kayrros_ext.testing import PrismMock
from kayrros_openapi.models import DatasetMetadata, SharedOption
from tests.support.server import DATASET
from tests.support.spec import named


def test_collections_lead_to_datasets_and_their_metadata(kayrros: Kayrros) -> None:
    """Each call accepts the ids that the previous one returned."""
    collection = kayrros.collections()[0]
    assert collection.name == "Oil storage"
    dataset = kayrros.datasets(str(collection.id))[0]
    metadata = kayrros.metadata(str(dataset.id))
    assert (metadata.id, metadata.name) == (UUID(DATASET), dataset.name)
    assets = kayrros.results(str(dataset.id)).table["asset_id"].unique()
    assert len(assets) == metadata.asset_count


def test_metadata_is_typed(kayrros: Kayrros) -> None:
    """Metadata have a UUID, an enum member, and dates in epoch milliseconds."""
    metadata = kayrros.metadata(DATASET)
    assert isinstance(metadata, DatasetMetadata)
    assert (metadata.id, metadata.shared_option, metadata.asset_count) == (UUID(DATASET), SharedOption.SHARED, 6)
    assert metadata.start_date == 1704153600000


def test_results_become_a_table_and_a_parquet_file(kayrros: Kayrros, tmp_path: Path) -> None:
    """The table has every metric of the example, and the Parquet file keeps the units."""
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
    assert [tuple(row.values()) for row in rows] == expected
    assert len(rows) == 72
    pq.write_table(results.table, tmp_path / "results.parquet")
    read = pq.read_table(tmp_path / "results.parquet")
    assert read.equals(results.table)
    assert read.schema.field("asset_surface_area_m2").metadata[b"unit"] == b"m2"


def test_download_saves_the_file_of_the_spec(kayrros: Kayrros, tmp_path: Path) -> None:
    """The file has the bytes of the spec and the name in the header."""
    path = Path(kayrros.download(DATASET, tmp_path))
    assert path == tmp_path / "crude-terminals.csv"
    assert path.read_text() == named("downloadStaticDataset")["crude-terminals"]


def test_variables_of_the_mock_configure_kayrros(mock: PrismMock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kayrros() needs no argument if the environment has the output of `make mock`."""
    for name, value in mock.settings.items():
        monkeypatch.setenv(name, value)
    with Kayrros() as kayrros:
        assert kayrros.metadata(DATASET).name == "Crude oil storage, selected terminals"
