"""Make thousands of calls against the platform fake on loopback with every fault at random: `make soak`.

The soak compares every answer with the data of the fake. It fails on a wrong answer, an error outside our tree, an
incomplete file or a visible secret. The seed decides the faults; the threads decide which call meets them.
"""

import argparse
import collections
import hashlib
import logging
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa

from kayrros_ext import Kayrros, KayrrosError, LoginError, Results, Retries
from kayrros_ext.testing import Fault, Platform, StaticFile
from kayrros_ext.testing.datasets import Dataset
from tests.support.leaks import PASSWORD, files_with_secrets, ours, shows_a_secret

EMAIL = "soak@example.com"
THREADS = 8
TIMEOUT_S = 1.0
MAX_ROWS = 300
# The probability of each fault for each request. Some are rare because they cost a timeout or a client.
ANYWHERE = {
    Fault.status(429, retry_after=0): 0.01,
    Fault.html(502): 0.01,
    Fault.status(503): 0.01,
    Fault.html(504): 0.005,
    Fault.status(500): 0.003,
    Fault.status(520): 0.003,
    Fault.dropped(): 0.01,
    Fault.cut(10): 0.01,
    Fault.truncated(): 0.005,
    Fault.bad_gzip(): 0.01,
    Fault.html(200): 0.005,
    Fault.late(0.01): 0.02,
    Fault.slow(pause_s=0.001, chunk_bytes=20_000): 0.01,
    Fault.late(TIMEOUT_S * 1.5): 0.0005,
}
DATA_ONLY = {Fault.status(401): 0.01, Fault.status(403): 0.003}
LOGIN_ONLY = {Fault.status(401): 0.02}
DOWNLOAD_ONLY = {Fault.cut(150_000): 0.15, Fault.truncated(150_000): 0.02}
DATA = ["getDatasetMetadata", "getDatasetResults", "downloadStaticDataset", "listCollections", "listCollectionDatasets"]
COLUMNS = ["asset_id", "value_date", "metric", "value"]


@attrs.define
class Report:
    """The counts and defects of a soak."""

    calls: int = 0
    right: int = 0
    failures: collections.Counter[str] = attrs.field(factory=collections.Counter)
    faults: collections.Counter[str] = attrs.field(factory=collections.Counter)
    requests: int = 0
    logins: int = 0
    seconds: float = 0
    wrong: list[str] = attrs.field(factory=list)
    untyped: list[str] = attrs.field(factory=list)
    leaks: list[str] = attrs.field(factory=list)
    incomplete: list[str] = attrs.field(factory=list)

    @property
    def is_good(self) -> bool:
        """Whether there are no defects."""
        return not (self.wrong or self.untyped or self.leaks or self.incomplete)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.failures.most_common()) or "none"
        faults = ", ".join(f"{fault} {count:,}" for fault, count in self.faults.most_common())
        return "\n".join(
            [
                f"{self.calls:,} calls in {self.seconds:,.0f} s, {self.requests:,} requests, {self.logins:,} logins",
                f"injected faults: {sum(self.faults.values()):,} ({faults})",
                f"right answers: {self.right:,}",
                f"typed failures: {sum(self.failures.values()):,} ({kinds})",
                *(
                    f"{kind}: {len(defects)} {defects[:3] or ''}".rstrip()
                    for kind, defects in (
                        ("wrong answers", self.wrong),
                        ("failures of another type", self.untyped),
                        ("incomplete files", self.incomplete),
                        ("leaked secrets", self.leaks),
                    )
                ),
            ]
        )


def rows(dataset: Dataset, first: str = "", last: str = "~") -> pa.Table:
    """Return the rows of a dataset between two dates, read from the payload of the fake in plain Python."""
    listed = [
        (asset["asset_id"], datetime.fromisoformat(result["value_date"]), metric["name"], metric["value"])
        for asset in dataset.payload()["assets"]
        for result in asset["results"]
        for metric in result["metrics"]
        if first <= result["value_date"] <= last
    ]
    names, dates, metrics, values = zip(*sorted(listed), strict=True)
    moments = pa.array(dates, pa.timestamp("us", "UTC"))
    return pa.table([names, moments, metrics, pa.array(values, pa.float64())], names=COLUMNS)


def is_right(results: Results, expected: pa.Table) -> bool:
    """Return whether results are the expected rows in the expected order."""
    columns = results.table.select(COLUMNS).columns
    table = pa.table(columns, names=COLUMNS).cast(expected.schema)
    return bool(table.combine_chunks().equals(expected.combine_chunks()))


class Scenario:
    """A platform with data and faults, and calls that compare their answers with that data."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.platform = platform = Platform(token_lifetime_s=1.5, max_rows=MAX_ROWS)
        platform.add_account(EMAIL, PASSWORD)
        small, large = platform.generate(seed=seed, assets=4, dates=8), platform.generate(seed=seed, assets=6, dates=80)
        files = [
            platform.add(file=StaticFile(random.Random(f"{seed}/{size}").randbytes(size), f"{size}.bin", ranges=ranges))
            for size, ranges in ((400_000, True), (200_000, False))
        ]
        collection = platform.add_collection("Soak", [small, large])
        self.folder = folder
        self.sizes: dict[str, str] = {}
        dates = sorted({result["value_date"] for asset in large.payload()["assets"] for result in asset["results"]})
        all_small, all_large, some = rows(small), rows(large), rows(large, dates[10], dates[19])
        self.calls: list[tuple[str, int, Callable[[Kayrros, Path], bool]]] = [
            ("metadata", 40, lambda kayrros, _: self._is_metadata(kayrros, small)),
            ("collections", 10, lambda kayrros, _: [collection.id] == [str(one.id) for one in kayrros.collections()]),
            (
                "datasets",
                10,
                lambda kayrros, _: [small.id, large.id] == [str(one.id) for one in kayrros.datasets(collection.id)],
            ),
            ("results", 18, lambda kayrros, _: is_right(kayrros.results(small.id), all_small)),
            (
                "results of a window",
                8,
                lambda kayrros, _: is_right(kayrros.results(large.id, start=dates[10], stop=dates[19]), some),
            ),
            ("results that are split", 4, lambda kayrros, _: is_right(kayrros.results(large.id), all_large)),
            *(("download", 5, self._downloading(dataset)) for dataset in files),
        ]
        self._inject(seed)

    @staticmethod
    def _is_metadata(kayrros: Kayrros, dataset: Dataset) -> bool:
        return kayrros.metadata(dataset.id).to_dict() == dataset.metadata

    def _downloading(self, dataset: Dataset) -> Callable[[Kayrros, Path], bool]:
        assert dataset.file
        content = b"".join(dataset.file.chunks())
        sha256 = hashlib.sha256(content).hexdigest()
        self.sizes[dataset.file.name] = sha256

        def call(kayrros: Kayrros, folder: Path) -> bool:
            # Without sha256=, a truncated response without a length would pass for the file.
            return Path(kayrros.download(dataset.id, folder, sha256=sha256)).read_bytes() == content

        return call

    def _inject(self, seed: int) -> None:
        numbers = iter(range(1, 10_000))
        groups: list[tuple[dict[Fault, float], list[str]]] = [
            *((DOWNLOAD_ONLY, [operation]) for operation in DATA if operation == "downloadStaticDataset"),
            (ANYWHERE, ["login", *DATA]),
            (DATA_ONLY, DATA),
            (LOGIN_ONLY, ["login"]),
        ]
        for faults, operations in groups:
            for fault, probability in faults.items():
                for operation in operations:
                    number = seed * 10_000 + next(numbers)
                    self.platform.fail_at_random(fault, probability=probability, seed=number, operation=operation)

    def incomplete_files(self) -> list[str]:
        """Return the files under their final names with the wrong content."""
        return [
            path.name
            for path in self.folder.rglob("*")
            if path.is_file()
            and not path.name.startswith(".")
            and hashlib.sha256(path.read_bytes()).hexdigest() != self.sizes.get(path.name)
        ]


class SharedClient:
    """The client that all threads share; a new one replaces it after a refused login, as the error advises."""

    def __init__(self, url: str) -> None:
        self._url, self._lock = url, threading.Lock()
        self.all: list[Kayrros] = []
        self.current = self._make()

    def _make(self) -> Kayrros:
        client = Kayrros(
            email=EMAIL,
            password=PASSWORD,
            base_url=self._url,
            auth_url=self._url,
            token_cache=False,
            timeout=TIMEOUT_S,
            retries=Retries(2, backoff_initial=0.002, backoff_max=0.01),
        )
        self.all.append(client)
        return client

    def replace(self, refused: Kayrros) -> None:
        """Make a new client, unless another thread did."""
        with self._lock:
            if self.current is refused:
                self.current = self._make()


class _Scan(logging.Handler):
    """Scan each record and its attributes for secrets."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.NOTSET)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if shows_a_secret(f"{self.format(record)} {vars(record)!r}"):
            self._report.leaks.append(f"a record of {record.name}")


@contextmanager
def scanned_logs(report: Report) -> Iterator[None]:
    """Scan everything that is logged, at debug level."""
    root, handler = logging.getLogger(), _Scan(report)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@attrs.define
class Worker:
    """Make the calls of a thread and record their outcomes."""

    scenario: Scenario
    seed: int
    report: Report
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def work(self, number: int, clients: SharedClient) -> None:
        """Make the calls of one thread, an equal share of all."""
        draw = random.Random(f"{self.seed}/{number}")
        for _ in range(number, self.report.calls, THREADS):
            kayrros = clients.current
            [(name, _, call)] = draw.choices(self.scenario.calls, [weight for _, weight, _ in self.scenario.calls])
            try:
                right = call(kayrros, self.scenario.folder / str(draw.randrange(3)))
            except Exception as error:
                with self._lock:
                    self._record(name, error)
                if isinstance(error, LoginError) and error.status in LoginError.REFUSALS:
                    clients.replace(kayrros)
            else:
                with self._lock:
                    self.report.right += right
                    self.report.wrong += [] if right else [name]

    def _record(self, name: str, error: Exception) -> None:
        if isinstance(error, KayrrosError):
            self.report.failures[type(error).__name__] += 1
        else:
            self.report.untyped.append(f"{name}: {error!r}")
        if shows_a_secret(ours(error)):
            self.report.leaks.append(f"a {type(error).__name__}")


def soak(calls: int, seed: int, folder: Path) -> Report:
    """Make calls in several threads.

    Args:
        calls: number of calls.
        seed: seed of faults and calls.
        folder: an empty folder for downloads.
    """
    report, scenario = Report(calls), Scenario(seed, folder)
    worker = Worker(scenario, seed, report)
    began = time.monotonic()
    with scanned_logs(report), scenario.platform.serve() as url, ThreadPoolExecutor(THREADS) as pool:
        clients = SharedClient(url)
        for future in [pool.submit(worker.work, number, clients) for number in range(THREADS)]:
            future.result()
        for client in clients.all:
            client.close()
    report.seconds = time.monotonic() - began
    for rule in scenario.platform.faults:
        report.faults[rule.fault.description] += rule.count
    report.faults["more than max_rows"] = sum(one.fault == "more than max_rows" for one in scenario.platform.requests)
    report.requests, report.logins = len(scenario.platform.requests), scenario.platform.logins
    report.incomplete, report.leaks = scenario.incomplete_files(), [*report.leaks, *files_with_secrets(folder, [])]
    return report


def main() -> int:
    """Run a soak and print its report; return 1 if there is a defect."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(arguments.calls, arguments.seed, Path(folder))
    print(f"seed {arguments.seed}: {report}")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
