"""Export of many datasets: a file for each, what is skipped, whose error ends everything, and how many requests run."""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pyarrow.parquet as pq
import pytest

from kayrros_ext import (
    ExportError,
    KayrrosError,
    LoginError,
    MissingExtraError,
    NotFoundError,
    Progress,
    Results,
    TransportError,
    UsageError,
)
from kayrros_ext._export.many import MANIFEST, ExportedDataset
from kayrros_ext.testing import Dataset, Fault, Platform, Request
from kayrros_openapi.models import CollectionDataset

RESULTS = "getDatasetResults"


def add_datasets(platform: Platform, count: int, **options: Any) -> list[Dataset]:
    return [platform.generate(seed=seed, name=f"Tanks {seed}", assets=2, dates=3, **options) for seed in range(count)]


def concerns(dataset: Dataset) -> Callable[[Request], bool]:
    return lambda request: dataset.id in request.path


def sent(platform: Platform) -> Counter[str | None]:
    """Return how many requests of each operation came, and forget them."""
    counts = Counter(request.operation for request in platform.requests)
    platform.requests.clear()
    return counts


def statuses(report: list[ExportedDataset]) -> list[str]:
    return [each.status for each in report]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_each_dataset_gets_a_file(tmp_path: Path) -> None:
    """The report is in the order of the datasets, each once, and a file has what `results` returns."""
    platform = Platform()
    datasets = add_datasets(platform, 6)
    platform.add_collection("Oil storage", datasets)
    with platform.connect() as kayrros:
        report = kayrros.export_many([*kayrros.datasets("Oil storage"), datasets[0].id, "Tanks 1"], tmp_path / "lake")
        assert [str(each.dataset_id) for each in report] == [dataset.id for dataset in datasets]
        for each in report:
            results = kayrros.results(each.dataset_id)
            assert each.path
            assert each.path.name == f"{each.name}-{str(each.dataset_id)[:8]}.parquet"
            assert each.rows == pq.read_table(each.path).num_rows == results.table.num_rows
            assert (each.status, each.gaps, each.error) == ("written", (), None)
            assert pq.read_metadata(each.path).metadata[b"dataset_id"].decode() == str(each.dataset_id)
    assert len(names(tmp_path / "lake")) == 7


@pytest.mark.parametrize("suffix", ["geoparquet", "xlsx", "csv", "csv.gz", "json", "ndjson", "geojson", "Parquet"])
def test_format_is_the_suffix_of_the_files(suffix: str, tmp_path: Path) -> None:
    """Formats do not share what is unchanged, but a directory."""
    platform = Platform()
    [dataset] = add_datasets(platform, 1)
    with platform.connect() as kayrros:
        kayrros.export_many([dataset.id], tmp_path, format="ndjson.gz")
        for status in ("written", "unchanged"):
            [each] = kayrros.export_many([dataset.id], tmp_path, format=suffix, skip_existing=True)
            assert each.status == status
    assert names(tmp_path) == sorted(
        [f"Tanks 0-{dataset.id[:8]}.{suffix.lower()}", f"Tanks 0-{dataset.id[:8]}.ndjson.gz", MANIFEST]
    )


def test_a_second_run_skips_what_is_unchanged(tmp_path: Path) -> None:
    """It requests no results, and rewrites a dataset whose metadata, file or arguments differ, or whose end is unknown."""
    platform = Platform()
    datasets = add_datasets(platform, 6)

    def export(**arguments: Any) -> list[str]:
        report = kayrros.export_many([dataset.id for dataset in datasets], tmp_path, **arguments)
        assert all(each.rows == 12 for each in report)
        return statuses(report)

    with platform.connect() as kayrros:
        assert export() == ["written"] * 6
        assert sent(platform)[RESULTS] == 6
        assert export() == ["written"] * 6
        assert sent(platform)[RESULTS] == 6
        assert export(skip_existing=True) == ["unchanged"] * 6
        assert sent(platform) == {"getDatasetMetadata": 6}
        datasets[0].metadata["processing_id"] = "another"
        datasets[1].metadata["stop_date"] += 1
        datasets[2].metadata["description"] = "not about the results"
        datasets[3].metadata["stop_date"] = None
        next(tmp_path.glob("Tanks 4-*")).unlink()
        with next(tmp_path.glob("Tanks 5-*")).open("ab") as file:
            file.write(b"more")
        changed = ["written", "written", "unchanged", "written", "written", "written"]
        assert export(skip_existing=True) == changed
        assert export(skip_existing=True) == [*["unchanged"] * 3, "written", *["unchanged"] * 2]
        assert export(skip_existing=True, start="2000") == ["written"] * 6
        assert export(skip_existing=True, start="2000") == [*["unchanged"] * 3, "written", *["unchanged"] * 2]
        assert "0x" not in (tmp_path / MANIFEST).read_text()  # an address in memory differs in each process
        (tmp_path / MANIFEST).write_text('{"damaged": 1}')
        assert export(skip_existing=True, start="2000") == ["written"] * 6
    with (
        platform.connect(base_url="http://localhost:1", transport=platform.transport()) as kayrros,
        pytest.raises(KayrrosError),
    ):
        export(skip_existing=True, start="2000")


def test_a_renamed_dataset_keeps_its_file(tmp_path: Path) -> None:
    """The manifest records the file of an id."""
    platform = Platform()
    [dataset] = add_datasets(platform, 1)
    with platform.connect() as kayrros:
        [before] = kayrros.export_many([dataset.id], tmp_path)
        dataset.metadata.update(name="Another name", stop_date=dataset.metadata["stop_date"] + 1)
        [after] = kayrros.export_many([dataset.id], tmp_path, skip_existing=True)
    assert (before.path, after.name, after.status) == (after.path, "Another name", "written")
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Oil/Gas\\Coal", "Oil_Gas_Coal"),
        ("東京湾の石油タンク", "東京湾の石油タンク"),
        ("石" * 300, "石" * 33),
        ("x" * 300, "x" * 100),
        ("..", "dataset"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("CON", "CON_"),
        ("-rf *", "rf"),
        ("a\x00b\n\u202ec", "abc"),
        ("kayrros-export.json", "kayrros-export.json"),
        (".hidden. ", "hidden"),
        (None, "dataset"),
    ],
)
def test_names_of_files_are_safe_on_every_platform(name: str | None, stem: str, tmp_path: Path) -> None:
    """Whatever the dataset is called, its file is in the directory, and a second run skips it."""
    platform = Platform()
    [dataset] = add_datasets(platform, 1)
    dataset.metadata["name"] = name
    with platform.connect() as kayrros:
        [each] = kayrros.export_many([dataset.id], tmp_path / "lake")
        assert each.path == tmp_path / "lake" / f"{stem}-{dataset.id[:8]}.parquet"
        [again] = kayrros.export_many([dataset.id], tmp_path / "lake", skip_existing=True)
    assert again.status == "unchanged"
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]
    assert len(names(tmp_path / "lake")) == 2


def test_equal_names_and_ids_that_begin_alike_are_different_files(tmp_path: Path) -> None:
    """The id tells the files apart, and all of it where its beginning does not, also in a later run."""
    platform = Platform()
    ids = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(3)]
    for seed, dataset_id in enumerate(ids):
        platform.generate(seed=seed, id=dataset_id, name="Tanks", assets=1, dates=1)
    with platform.connect() as kayrros:
        report = kayrros.export_many(ids[:2], tmp_path) + kayrros.export_many(ids[2:], tmp_path)
        again = kayrros.export_many(ids, tmp_path)
    assert [each.path for each in again] == [each.path for each in report]
    assert len(names(tmp_path)) == 4
    for each in report:
        assert each.path
        assert pq.read_metadata(each.path).metadata[b"dataset_id"].decode() == str(each.dataset_id)


def test_a_manifest_names_no_file_elsewhere(tmp_path: Path) -> None:
    """One that somebody else has changed does not lead out of the directory."""
    platform = Platform()
    [dataset] = add_datasets(platform, 1)
    with platform.connect() as kayrros:
        kayrros.export_many([dataset.id], tmp_path / "lake")
        manifest = json.loads((tmp_path / "lake" / MANIFEST).read_text())
        manifest[f"{dataset.id}.parquet"][0] = "../outside.parquet"
        (tmp_path / "lake" / MANIFEST).write_text(json.dumps(manifest))
        [each] = kayrros.export_many([dataset.id], tmp_path / "lake")
    assert each.path == tmp_path / "lake" / "outside.parquet"
    assert [path.name for path in tmp_path.iterdir()] == ["lake"]


def test_an_error_of_a_dataset_does_not_stop_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is in the report and in the log; a file of an earlier run stays."""
    platform = Platform()
    datasets = add_datasets(platform, 8)
    ids = [dataset.id for dataset in datasets]
    with platform.connect() as kayrros:
        kayrros.export_many(ids, tmp_path)
        before = next(tmp_path.glob("Tanks 2-*")).read_bytes()
        platform.fail_when(concerns(datasets[1]), 403)
        platform.fail_when(concerns(datasets[2]), 500, operation=RESULTS)
        platform.fail_when(concerns(datasets[3]), Fault.truncated(), operation=RESULTS)
        platform.fail_when(concerns(datasets[4]), 504)
        ids.append("00000000-0000-4000-8000-000000000000")
        report = kayrros.export_many(ids, tmp_path)
    written = ["written"]
    assert statuses(report) == [*written, *["failed"] * 4, *written * 3, "failed"]
    assert [type(each.error).__name__ for each in report if each.error] == [
        "AccessDeniedError",
        "APIError",
        "ContractError",
        "APIError",
        "NotFoundError",
    ]
    assert all((each.path, each.rows) == (None, None) for each in report if each.error)
    assert len([record for record in caplog.records if "was not exported" in record.message]) == 5
    assert next(tmp_path.glob("Tanks 2-*")).read_bytes() == before


def test_gaps_are_partial_and_not_skipped(tmp_path: Path) -> None:
    """With on_gap="warn" the rest is written; by default the dataset fails."""
    platform = Platform(max_rows=6)
    [dataset] = add_datasets(platform, 1)
    first_ms = dataset.metadata["start_date"]

    def includes_first_date(request: Request) -> bool:
        time_range = request.json.get("time_range") if request.body else None
        return time_range is not None and time_range["start_date"] <= first_ms <= time_range["stop_date"]

    rule = platform.fail_when(includes_first_date, 500, operation=RESULTS)
    with platform.connect() as kayrros:
        [failed] = kayrros.export_many([dataset.id], tmp_path)
        assert (failed.status, type(failed.error).__name__, failed.path) == ("failed", "GapError", None)
        for _ in range(2):
            [each] = kayrros.export_many([dataset.id], tmp_path, on_gap="warn", skip_existing=True)
            assert (each.status, each.error) == ("partial", None)
            assert each.gaps
            assert 0 < (each.rows or 0) < 12
        platform.faults.remove(rule)
        [each] = kayrros.export_many([dataset.id], tmp_path, on_gap="warn", skip_existing=True)
        assert (each.status, each.rows) == ("written", 12)


def test_what_lies_outside_of_the_dates_of_the_metadata_is_no_gap(tmp_path: Path) -> None:
    """A gateway that limits the days of a range refuses the years before and after, which have no data."""
    platform = Platform(max_rows=6)
    [dataset] = add_datasets(platform, 1)

    def has_many_days(request: Request) -> bool:
        time_range = request.json.get("time_range") if request.body else None
        return time_range is not None and time_range["stop_date"] - time_range["start_date"] > 2 * 86_400_000

    platform.fail_when(has_many_days, 504, operation=RESULTS)
    with platform.connect() as kayrros:
        [each] = kayrros.export_many([dataset.id], tmp_path)
    assert (each.status, each.rows, each.gaps) == ("written", 12, ())


@pytest.mark.parametrize(
    ("fault", "operation", "error_type"),
    [(401, None, LoginError), (400, "login", LoginError)],
)
def test_an_error_that_concerns_all_stops_at_once(
    fault: int, operation: str | None, error_type: type[KayrrosError], tmp_path: Path
) -> None:
    """The others are not started, and complete files stay."""
    platform = Platform()
    datasets = add_datasets(platform, 40)
    ids = [dataset.id for dataset in datasets]
    with platform.connect(concurrency=2, retries=0) as kayrros:
        kayrros.export_many(ids[:3], tmp_path)
        sent(platform)
        if operation == "login":
            platform.fail_when(concerns(datasets[5]), 401)
        platform.fail_when(
            concerns(datasets[5]) if operation != "login" else lambda _: True, fault, operation=operation
        )
        with pytest.raises(KayrrosError) as caught:
            kayrros.export_many(ids, tmp_path, skip_existing=True)
    assert isinstance(caught.value, error_type) or getattr(caught.value, "status", None) == 401
    assert sent(platform)["getDatasetMetadata"] < 12
    assert 3 < len(names(tmp_path)) < 12


def test_a_lost_connection_is_an_error_of_its_datasets(tmp_path: Path) -> None:
    """The platform has responded before, so the others may succeed."""
    platform = Platform()
    ids = [dataset.id for dataset in add_datasets(platform, 4)]
    with platform.connect(retries=0, concurrency=1) as kayrros:
        platform.fail_when(lambda request: ids[1] in request.path, Fault.cut(after=10))
        report = kayrros.export_many(ids, tmp_path)
    assert statuses(report) == ["written", "failed", "written", "written"]
    assert isinstance(report[1].error, TransportError)


def test_metrics_are_those_of_the_call(tmp_path: Path) -> None:
    """The files hold no others, and are unchanged for the same ones only."""
    platform = Platform()
    dataset = platform.generate(name="Tanks", assets=2, dates=3, metrics=2)
    with platform.connect() as kayrros:
        first, second = sorted(set(kayrros.results(dataset.id).table["metric"].to_pylist()))
        for metric, status in ((first, "written"), ([first], "unchanged"), (iter([second]), "written")):
            [each] = kayrros.export_many([dataset.id], tmp_path, metric=metric, skip_existing=True)
            assert (each.status, each.rows) == (status, 6)
        assert each.path
        assert set(pq.read_table(each.path)["metric"].to_pylist()) == {second}
        [failed] = kayrros.export_many([dataset.id], tmp_path, metric="fill")
    assert isinstance(failed.error, UsageError)


@pytest.mark.parametrize("path", ["metadata", "results"])
def test_an_error_does_not_wait_for_other_threads_and_they_write_nothing_later(path: str, tmp_path: Path) -> None:
    """Their temporary files are gone at once, and their threads end with the next response."""
    platform = Platform()
    refused, hanging = add_datasets(platform, 2)
    platform.fail_when(concerns(refused), 401)
    entered, released = threading.Event(), threading.Event()

    class Hanging(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            is_results = "processingresult" in request.url.path
            if hanging.id in request.url.path and is_results == (path == "results") and not released.is_set():
                entered.set()
                assert released.wait(60)
            elif refused.id in request.url.path:
                assert entered.wait(60)
                assert bool(parts()) == (path == "results")
            return inner.handle_request(request)

    def parts() -> list[Path]:
        return [*tmp_path.glob(".*.part")]

    inner = platform.transport()
    with platform.connect(transport=Hanging(), concurrency=2, retries=0) as kayrros:
        with pytest.raises(KayrrosError, match="401"):
            kayrros.export_many([refused.id, hanging.id], tmp_path)
        assert not parts()
        threads = [thread for thread in threading.enumerate() if thread.name == "kayrros-export"]
        assert threads
        released.set()
        for thread in threads:
            thread.join(60)
    assert names(tmp_path) == []
    assert not parts()


def test_temporary_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    """Those of other programs stay."""
    platform = Platform()
    left, other = tmp_path / ".kayrros-export-0123456789abcdef.part", tmp_path / ".0123456789abcdef.part"
    left.touch()
    other.touch()
    (tmp_path / ".kayrros-export-abcdefgh.part").mkdir()
    (tmp_path / ".kayrros-export-abcdefgh.part" / "rows").touch()
    directories = set[str]()

    def note_directories(_: Progress) -> None:
        directories.update(path.name for path in tmp_path.iterdir() if path.is_dir())

    ids, platform.max_rows = [dataset.id for dataset in add_datasets(platform, 1)], 6
    with platform.connect() as kayrros:
        kayrros.export_many(ids, tmp_path, format="xlsx", progress=note_directories)
    assert (left.exists(), other.exists()) == (False, True)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert len(directories) == 2
    assert all(name.startswith(".kayrros-export-") and name.endswith(".part") for name in directories)


def test_no_connection_stops_at_once(tmp_path: Path) -> None:
    """The first dataset tells."""
    with Platform().connect(base_url="http://127.0.0.1:9", token="token", retries=0, concurrency=1) as kayrros:
        ids = [UUID(int=number) for number in range(1, 5)]
        with pytest.raises(TransportError):
            kayrros.export_many(ids, tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_written_stops_at_once(tmp_path: Path) -> None:
    """The disk of one dataset is the disk of all."""
    platform = Platform()
    datasets = add_datasets(platform, 20)
    (tmp_path / f"Tanks 0-{datasets[0].id[:8]}.parquet").mkdir()
    with platform.connect(concurrency=1) as kayrros, pytest.raises(ExportError, match="could not be written"):
        kayrros.export_many([dataset.id for dataset in datasets], tmp_path)
    assert sent(platform)[RESULTS] == 1


def test_a_missing_extra_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is requested for files that can't be written, and no directory is made."""
    platform = Platform()
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with platform.connect() as kayrros, pytest.raises(MissingExtraError, match="xlsxwriter"):
        kayrros.export_many(["Tanks 0"], tmp_path / "lake", format="xlsx")
    assert not sent(platform)
    assert not list(tmp_path.iterdir())


def test_requests_at_a_time_are_bounded_for_all_datasets_together(tmp_path: Path) -> None:
    """As many as `concurrency` run, whatever the datasets and their windows, and never more."""
    platform = Platform(max_rows=6)
    datasets = add_datasets(platform, 8)
    running: list[int] = []
    too_many, change = threading.Event(), threading.Lock()

    class Counting(httpx.BaseTransport):
        most = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            with change:
                running.append(1)
                self.most = max(self.most, len(running))
            if self.most > 3:
                too_many.set()
            too_many.wait(0.03)  # long enough for others to come
            try:
                return inner.handle_request(request)
            finally:
                running.pop()

    inner, counting = platform.transport(), Counting()
    with platform.connect(transport=counting, concurrency=3) as kayrros:
        kayrros.login()
        report = kayrros.export_many([dataset.id for dataset in datasets], tmp_path)
    assert [each.rows for each in report] == [12] * 8
    assert counting.most == 3


def test_progress_is_that_of_all_datasets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fraction grows to 1, over failed and skipped ones as well, and the line ends once."""
    platform = Platform()
    datasets = add_datasets(platform, 5)
    ids = [dataset.id for dataset in datasets]
    platform.fail_when(concerns(datasets[0]), 403)
    seen: list[Progress] = []
    with platform.connect() as kayrros:
        kayrros.export_many(ids[:2], tmp_path, progress=False)
        kayrros.export_many(ids, tmp_path, skip_existing=True, progress=seen.append)
        fractions = [progress.fraction for progress in seen]
        assert fractions == sorted(fractions)
        assert (len(seen), fractions[-1], seen[-1].rows, seen[-1].requests) == (5, 1.0, 36, 3)
        kayrros.export_many(ids, tmp_path, progress=True)
    assert capsys.readouterr().err.endswith("\rresults: 100%, 48 rows in 4 windows, 4 requests\n")


@pytest.mark.parametrize("error_type", [ZeroDivisionError, KeyboardInterrupt])
def test_an_error_of_the_callback_is_raised(error_type: type[BaseException], tmp_path: Path) -> None:
    """It is a bug of the caller, and no error of a dataset."""
    platform = Platform()
    ids = [dataset.id for dataset in add_datasets(platform, 5)]

    def fail(_: Progress) -> None:
        raise error_type

    with platform.connect() as kayrros, pytest.raises(error_type):
        kayrros.export_many(ids, tmp_path, progress=fail)
    for thread in threading.enumerate():  # one may have begun a file in the moment of the error, and deletes it
        if thread.name == "kayrros-export":
            thread.join(60)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_two_calls_at_once_do_not_share_a_directory(tmp_path: Path) -> None:
    """The second one is refused before it requests anything."""
    platform = Platform()
    ids = [dataset.id for dataset in add_datasets(platform, 2)]
    refusals: list[ExportError] = []

    def call_again(_: Progress) -> None:
        with platform.connect() as other, pytest.raises(ExportError, match="has not ended") as caught:
            other.export_many(ids, tmp_path)
        refusals.append(caught.value)

    with platform.connect() as kayrros:
        kayrros.export_many(ids, tmp_path, progress=call_again)
        assert statuses(kayrros.export_many(ids, tmp_path)) == ["written"] * 2
    assert {error.path for error in refusals} == {tmp_path}
    assert sent(platform)[RESULTS] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"datasets": "Oil storage"}, "kayrros.datasets"),
        ({"datasets": None}, "kayrros.datasets"),
        ({"datasets": [1.5]}, "is not a dataset"),
        ({"datasets": Results.from_json(b"{}")}, r"datasets is a Results\."),
        ({"datasets": Results.from_json(b"{}").table}, r"datasets is a Table\."),
        ({"datasets": Results.from_json(b"{}").to_pandas()}, r"datasets is a DataFrame\."),
        ({"datasets": {"Oil storage": 1}}, r"datasets is a dict\."),
        ({"datasets": CollectionDataset(id="7d3c")}, r"datasets is a CollectionDataset\."),
        ({"metric": ""}, "metric contains ''"),
        ({"directory": "s3://bucket/lake"}, "a URL"),
        ({"directory": "lake.csv"}, "the name of a file"),
        ({"format": "docx"}, "parquet"),
        ({"format": None}, "parquet"),
        ({"on_gap": "ignore"}, "on_gap"),
        ({"start": "2024", "stop": "2023"}, "lies before"),
        ({"progress": "yes"}, "progress"),
        ({"skip_existing": "no"}, "skip_existing is 'no'. Pass True or False"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent or written."""
    monkeypatch.chdir(tmp_path)
    platform = Platform()
    [dataset] = add_datasets(platform, 1)
    with platform.connect() as kayrros, pytest.raises(UsageError, match=message):
        kayrros.export_many(**{"datasets": [dataset.id], "directory": "lake", **arguments})
    assert not platform.requests
    assert not list(tmp_path.iterdir())


def test_a_file_in_place_of_the_directory_is_an_export_error(tmp_path: Path) -> None:
    """As for any output that can't be written."""
    platform = Platform()
    (tmp_path / "lake").touch()
    with platform.connect() as kayrros, pytest.raises(ExportError, match="could not be written"):
        kayrros.export_many(["Tanks"], tmp_path / "lake")
    assert not platform.requests


def test_failures_leave_nothing_in_the_directory(tmp_path: Path) -> None:
    """Neither a lock nor a manifest, so that it stays empty."""
    platform = Platform()
    [dataset] = add_datasets(platform, 1)
    platform.fail_next(403, times=None, operation="getDatasetMetadata")
    with platform.connect() as kayrros:
        assert statuses(kayrros.export_many([dataset.id], tmp_path)) == ["failed"]
    assert not list(tmp_path.iterdir())


def test_a_name_without_a_dataset_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A typing error in a list is no failure of a night's run."""
    platform = Platform()
    platform.add_collection("Oil storage", add_datasets(platform, 2))
    with platform.connect() as kayrros, pytest.raises(NotFoundError, match="Tanks 9"):
        kayrros.export_many(["Tanks 0", "Tanks 9"], tmp_path / "lake")
    assert RESULTS not in sent(platform)
    assert not list(tmp_path.iterdir())


def test_no_datasets_are_an_empty_report(tmp_path: Path) -> None:
    """A collection may be empty."""
    with Platform().connect() as kayrros:
        assert kayrros.export_many([], tmp_path, progress=True) == []


def test_a_closed_client_is_refused(tmp_path: Path) -> None:
    """It is one error, and not one for each dataset."""
    platform = Platform()
    ids = [dataset.id for dataset in add_datasets(platform, 5)]
    kayrros = platform.connect()
    kayrros.close()
    with pytest.raises(UsageError, match="closed"):
        kayrros.export_many(ids, tmp_path)
