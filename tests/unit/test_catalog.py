"""A dataset or collection is named by its id, its name, the beginning of either, or an object that has its id."""

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pandas as pd
import pyarrow as pa
import pytest

from kayrros_ext import ContractError, Kayrros, NotFoundError, Results, UsageError
from kayrros_ext._catalog import Dataset
from kayrros_ext._results.selection import Asset, to_assets
from kayrros_ext.testing import Platform

TANKS = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
EMPTY = Results.from_json(b'{"assets": []}')
METHANE = "b1a0c7de-4f0b-4c7e-9a46-0b8f5c2e91d4"


@pytest.fixture
def platform() -> Platform:
    """Two collections that share a dataset."""
    platform = Platform()
    for id_, name in ((TANKS, "Tanks of Cushing"), (METHANE, "Tanks and methane")):
        platform.generate(id=id_, name=name, assets=1, dates=1)
    platform.add_collection("Oil storage", [TANKS], id="oil")
    platform.add_collection("Everything", [TANKS, METHANE], id="all")
    return platform


@pytest.fixture
def kayrros(platform: Platform) -> Iterator[Kayrros]:
    with platform.connect() as kayrros:
        yield kayrros


def requests(platform: Platform) -> list[str]:
    return [request.path.rpartition("/v1/")[2] for request in platform.requests if "login" not in request.path]


@pytest.mark.parametrize("dataset", [UUID(TANKS), TANKS, TANKS.upper(), f" {TANKS}\n"])
def test_id_needs_no_list(dataset: UUID | str, kayrros: Kayrros, platform: Platform) -> None:
    """A UUID or its string goes straight to the API, in upper case or with blanks around it."""
    assert kayrros.metadata(dataset).name == "Tanks of Cushing"
    assert len(requests(platform)) == 1


@pytest.mark.parametrize("name", ["Tanks of Cushing", "tanks OF cushing", "tanks of", "7d3c"])
def test_name_or_its_beginning_is_enough(name: str, kayrros: Kayrros) -> None:
    """Case does not matter. A dataset in two collections is one dataset."""
    assert kayrros.results(name).table.num_rows == kayrros.results(TANKS).table.num_rows


def test_objects_stand_for_their_id(kayrros: Kayrros) -> None:
    """What `datasets`, `collections` and `metadata` return can be passed on."""
    [dataset] = kayrros.datasets(kayrros.collections()[0])
    assert kayrros.metadata(dataset).id == UUID(TANKS)
    assert kayrros.results(kayrros.metadata(dataset)).assets.num_rows == 1


def test_lists_are_requested_once(kayrros: Kayrros, platform: Platform) -> None:
    """A second name is looked up in the same list; an unknown one is looked up again, because it may be new."""
    kayrros.metadata("tanks of cushing")
    kayrros.metadata("tanks and methane")
    assert len(requests(platform)) == 5
    flares = platform.generate(name="Flares", assets=1, dates=1)
    platform.add_collection("Flaring", [flares.id])
    assert kayrros.metadata("flares").name == "Flares"


def test_the_beginning_of_a_name_is_not_that_of_an_earlier_dataset(kayrros: Kayrros, platform: Platform) -> None:
    """A dataset that is added meanwhile, and has just this name, counts."""
    assert kayrros.metadata("Tanks of").name == "Tanks of Cushing"
    new = platform.generate(name="Tanks of", assets=1, dates=1)
    platform.add_collection("New", [new.id])
    assert kayrros.metadata("Tanks of").id == UUID(new.id)
    assert kayrros.results("tanks of").dataset_id == UUID(new.id)


def test_names_are_compared_as_errors_show_them(kayrros: Kayrros, platform: Platform) -> None:
    """A name with a line end or two blanks is found by its printed form; one that is the same letter by letter wins."""
    odd = [platform.generate(name=name, assets=1, dates=1).id for name in ("Flares\n of  \x1bTexas", "flares of Texas")]
    platform.add_collection("Flaring\t now", odd)
    assert kayrros.metadata("flares of Texas").id == UUID(odd[1])
    with pytest.raises(NotFoundError, match="'FLARES OF TEXAS' matches 2 datasets"):
        kayrros.metadata("FLARES OF TEXAS")
    del platform.datasets[odd[1]]
    kayrros.datasets()
    assert kayrros.metadata("FLARES OF  texas").id == UUID(odd[0])
    assert len(kayrros.datasets("Flaring now")) == 1


def test_dataset_of_a_list_can_be_copied(kayrros: Kayrros) -> None:
    """A copy, one from a pickle, and one that is made by hand have a collection. The repr has no field that is unset."""
    [dataset, _] = kayrros.datasets()
    for same in (copy.copy(dataset), pickle.loads(pickle.dumps(dataset))):  # noqa: S301 - our own
        assert (same.name, same.collection.name) == ("Tanks of Cushing", "Oil storage")
        assert same == dataset
    assert repr(dataset) == f"Dataset(id='{TANKS}', name='Tanks of Cushing', collection='Oil storage')"
    assert repr(Dataset(id="a")) == "Dataset(id='a', name='', collection='')"


def test_datasets_without_a_collection_are_all(kayrros: Kayrros) -> None:
    """Each dataset is listed once, with the first collection that has it."""
    assert [(dataset.name, dataset.collection.name) for dataset in kayrros.datasets()] == [
        ("Tanks of Cushing", "Oil storage"),
        ("Tanks and methane", "Everything"),
    ]


@pytest.mark.parametrize("collection", ["oil", "Oil storage", "OIL S"])
def test_collection_is_named_by_id_or_name(collection: str, kayrros: Kayrros) -> None:
    """The beginning is enough."""
    assert [dataset.name for dataset in kayrros.datasets(collection)] == ["Tanks of Cushing"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (
            "tanks",
            r"'tanks' matches 2 datasets: '7d3c.* Tanks of Cushing', 'b1a0.* Tanks and methane'\. Give the id",
        ),
        (
            "Tank of Cushing",
            r"There is no dataset 'Tank of Cushing'\. kayrros.datasets\(\) lists: .*'Tanks of Cushing'",
        ),
        ("cushing", "'Tanks of Cushing'"),
        ("zzz", r"kayrros.datasets\(\) lists"),
    ],
)
def test_unknown_or_ambiguous_name_is_not_found(dataset: str, message: str, kayrros: Kayrros) -> None:
    """The error lists the nearest names."""
    with pytest.raises(NotFoundError, match=message):
        kayrros.metadata(dataset)


def test_any_object_with_an_id_stands_for_it(kayrros: Kayrros, platform: Platform) -> None:
    """So do a match of a search, a dataset of the fake, and an object of other code."""
    [match] = kayrros.find("methane")
    for dataset in (match, platform.datasets[METHANE], SimpleNamespace(id=UUID(METHANE)), SimpleNamespace(id=METHANE)):
        assert kayrros.metadata(dataset).id == UUID(METHANE)
    [collection] = kayrros.find("oil storage")
    assert [dataset.name for dataset in kayrros.datasets(collection)] == ["Tanks of Cushing"]


def test_an_object_of_another_kind_is_refused(kayrros: Kayrros, platform: Platform) -> None:
    """A collection is not a dataset, and a dataset not a collection. Nothing is sent."""
    [collection] = kayrros.find("oil storage")
    [dataset] = kayrros.datasets("oil")
    platform.requests.clear()
    for value in (kayrros._catalog._collections[0], collection, platform.collections["oil"]):
        with pytest.raises(UsageError, match=r"^This collection is not a dataset\. Pass its id or name"):
            kayrros.results(value)
    with pytest.raises(UsageError, match="^This dataset is not a collection"):
        kayrros.datasets(dataset)
    assert not platform.requests


def test_find_includes_assets_that_were_seen(kayrros: Kayrros, platform: Platform) -> None:
    """They come with the id of their dataset."""
    assert kayrros.find("tank-000") == []
    kayrros.assets(TANKS)
    [match] = kayrros.find("tank-000")
    assert (match.kind, match.id, match.dataset, match.collection) == ("asset", "tank-000000", TANKS, None)
    with pytest.raises(UsageError, match="^This asset is not a dataset"):
        kayrros.metadata(match)
    assert kayrros.results(TANKS, assets=match).assets.num_rows == 1


@pytest.mark.parametrize(
    "value", ["", " ", "\x00\x1b", 5, None, b"tanks", [TANKS], {"a": "b" * 1000}, pd.DataFrame({"id": [1]}), EMPTY]
)
def test_anything_else_is_refused_in_one_line(value: Any, kayrros: Kayrros, platform: Platform) -> None:
    """Nothing is sent, and the error does not repeat a long object."""
    for call in (kayrros.metadata, kayrros.results, kayrros.download, kayrros.iter_results):
        with pytest.raises(UsageError, match="is not a dataset") as caught:
            call(value)
        assert len(str(caught.value)) < 150
    if value is not None:
        with pytest.raises(UsageError, match="is not a collection"):
            kayrros.datasets(value)
    assert not platform.requests


@pytest.mark.parametrize(
    ("value", "text"),
    [(EMPTY, "A Results"), ([], "A list"), (SimpleNamespace, "A type"), ((), "A tuple"), (Ellipsis, "An ellipsis")],
)
def test_a_wrong_object_is_named_in_english(value: Any, text: str, kayrros: Kayrros) -> None:
    """By its type, with an article."""
    with pytest.raises(UsageError, match=f"^{text} is not a dataset"):
        kayrros.metadata(value)


@pytest.mark.parametrize(
    "call",
    [
        *({name: 5} for name in ("assets", "metric", "on_gap", "progress", "strict", "with_dataset")),
        *({"start": "soon"}, {"stop": []}, {"start": "2025", "stop": "2024"}, {"end": "2024"}),
    ],
)
def test_a_wrong_argument_is_refused_before_a_name_is_looked_up(
    call: dict[str, Any], kayrros: Kayrros, platform: Platform, tmp_path: Path
) -> None:
    """Nothing is sent and nothing is written."""
    for method, *arguments in (("results",), ("iter_results",), ("export", tmp_path / "x.csv")):
        with pytest.raises(UsageError):
            getattr(kayrros, method)("tanks of", *arguments, **call)
    wrong: list[tuple[str, dict[str, Any]]] = [
        *(("assets", {"progress": 5}), ("assets", {"end": 1}), ("metadata", {"username": "x"})),
        *(("download", {"sha256": "abc"}), ("download", {"directory": "x.csv"}), ("download", {"progress": 5})),
        *(("export", {"path": "x.xls"}), ("export", {"path": 5})),
    ]
    for method, options in wrong:
        with pytest.raises(UsageError):
            getattr(kayrros, method)("tanks of", **options)
    assert not platform.requests
    assert not list(tmp_path.iterdir())


def test_find_searches_names(kayrros: Kayrros) -> None:
    """All words of the text are in a name, in any order; an id begins with the text."""
    assert [(match.kind, match.name, match.collection) for match in kayrros.find("cushing tanks")] == [
        ("dataset", "Tanks of Cushing", "Oil storage"),
    ]
    assert [(match.kind, match.id) for match in kayrros.find("oil")] == [("collection", "oil")]
    assert [match.id for match in kayrros.find("b1a0")] == [METHANE]
    assert kayrros.find("zzz") == []
    for text in (" ", "\x1b"):
        with pytest.raises(UsageError, match="nothing to search for"):
            kayrros.find(text)


def test_a_listed_id_that_is_no_uuid_is_a_contract_error(kayrros: Kayrros) -> None:
    """The error names the dataset and its id."""
    kayrros._catalog._datasets = [Dataset(id="no-uuid", name="Flares")]
    with pytest.raises(ContractError, match=r"^The id 'no-uuid' of 'flares' is not a UUID\. Pass the UUID") as caught:
        kayrros.metadata("flares")
    assert caught.value.operation == "listCollectionDatasets"


def test_a_list_of_the_caller_is_its_own(kayrros: Kayrros, platform: Platform) -> None:
    """A caller that empties it does not make names unknown, nor requests necessary."""
    kayrros.collections().clear()
    kayrros.datasets().clear()
    sent = len(requests(platform))
    assert kayrros._dataset_id("Tanks of Cushing") == UUID(TANKS)
    assert [each.id for each in kayrros.datasets("Oil storage")] == [TANKS]
    assert len(requests(platform)) == sent + 1


def test_find_survives_assets_that_arrive_meanwhile(kayrros: Kayrros, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may read results while those of an earlier call are searched."""
    kayrros.assets(TANKS)

    def to_assets_while_others_arrive(table: pa.Table) -> list[Asset]:
        kayrros._assets.setdefault(UUID(METHANE), table)
        return to_assets(table)

    monkeypatch.setattr("kayrros_ext._results.selection.to_assets", to_assets_while_others_arrive)
    assert [match.id for match in kayrros.find("tank-000000")] == ["tank-000000"]
