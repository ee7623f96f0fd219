"""A soak: thousands of calls against the platform fake on loopback, with every fault at random: `make soak`.

Every answer is held against the truth, every failure must be of our tree, no file may be there by half, and no secret may
show. What goes wrong is drawn by seed; which call meets it is up to the threads.
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
from kayrros_ext._auth.login import REFUSALS
from kayrros_ext.testing import Fault, Platform, StaticFile
from kayrros_ext.testing.datasets import Dataset
from tests.support.leaks import PASSWORD, files_with_secrets, ours, shows_a_secret

EMAIL = "night@example.com"
THREADS = 8
TIMEOUT_S = 1.0
MAX_ROWS = 300
# Of each request: how likely each fault is. Some are rarer, for they cost a timeout or a client.
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
DATA_ALONE = {Fault.status(401): 0.01, Fault.status(403): 0.003}
LOGIN_ALONE = {Fault.status(401): 0.02}
DOWNLOAD_ALONE = {Fault.cut(150_000): 0.15, Fault.truncated(150_000): 0.02}
DATA = ["getDatasetMetadata", "getDatasetResults", "downloadStaticDataset", "listCollections", "listCollectionDatasets"]
COLUMNS = ["asset_id", "value_date", "metric", "value"]


@attrs.define
class Report:
    """What happened."""

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
    half_files: list[str] = attrs.field(factory=list)

    @property
    def is_good(self) -> bool:
        """Whether all that must not be is not."""
        return not (self.wrong or self.untyped or self.leaks or self.half_files)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in self.failures.most_common()) or "none"
        faults = ", ".join(f"{words} {count:,}" for words, count in self.faults.most_common())
        return "\n".join(
            [
                f"{self.calls:,} calls in {self.seconds:,.0f} s, {self.requests:,} requests, {self.logins:,} logins",
                f"faults that happened: {sum(self.faults.values()):,} ({faults})",
                f"right answers: {self.right:,}",
                f"typed failures: {sum(self.failures.values()):,} ({kinds})",
                *(
                    f"{what}: {len(found)} {found[:3] or ''}".rstrip()
                    for what, found in (
                        ("wrong answers", self.wrong),
                        ("failures of another type", self.untyped),
                        ("half files", self.half_files),
                        ("leaked secrets", self.leaks),
                    )
                ),
            ]
        )


def rows(dataset: Dataset, first: str = "", last: str = "~") -> pa.Table:
    """The rows of a dataset, of its payload as Python has it, between two dates as they are written."""
    found = [
        (asset["asset_id"], datetime.fromisoformat(result["value_date"]), metric["name"], metric["value"])
        for asset in dataset.payload()["assets"]
        for result in asset["results"]
        for metric in result["metrics"]
        if first <= result["value_date"] <= last
    ]
    names, dates, metrics, values = zip(*sorted(found), strict=True)
    moments = pa.array(dates, pa.timestamp("us", "UTC"))
    return pa.table([names, moments, metrics, pa.array(values, pa.float64())], names=COLUMNS)


def is_right(results: Results, truth: pa.Table) -> bool:
    """Whether results are these rows, in this order."""
    found = results.table.select(COLUMNS)
    return bool(
        pa.table(found.columns, names=COLUMNS).cast(truth.schema).combine_chunks().equals(truth.combine_chunks())
    )


class Night:
    """A platform with data and faults, the truth about it, and the calls that can be made."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.platform = platform = Platform(token_lifetime_s=1.5, max_rows=MAX_ROWS)
        platform.add_account(EMAIL, PASSWORD)
        small, large = platform.generate(seed=seed, assets=4, dates=8), platform.generate(seed=seed, assets=6, dates=80)
        files = [
            platform.add(file=StaticFile(random.Random(f"{seed}/{size}").randbytes(size), f"{size}.bin", ranges=ranges))
            for size, ranges in ((400_000, True), (200_000, False))
        ]
        collection = platform.add_collection("Night", [small, large])
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
            # Without sha256=, an answer that ends early and is whole as far as HTTP can tell would pass for the file.
            return kayrros.download(dataset.id, folder, sha256=sha256).read_bytes() == content

        return call

    def _inject(self, seed: int) -> None:
        numbers = iter(range(1, 10_000))
        groups: list[tuple[dict[Fault, float], list[str]]] = [
            *((DOWNLOAD_ALONE, [operation]) for operation in DATA if operation == "downloadStaticDataset"),
            (ANYWHERE, ["login", *DATA]),
            (DATA_ALONE, DATA),
            (LOGIN_ALONE, ["login"]),
        ]
        for faults, operations in groups:
            for fault, probability in faults.items():
                for operation in operations:
                    number = seed * 10_000 + next(numbers)
                    self.platform.fail_at_random(fault, probability=probability, seed=number, operation=operation)

    def half_files(self) -> list[str]:
        """Files under their own names that are not whole."""
        return [
            path.name
            for path in self.folder.rglob("*")
            if path.is_file()
            and not path.name.startswith(".")
            and hashlib.sha256(path.read_bytes()).hexdigest() != self.sizes.get(path.name)
        ]


class Sharing:
    """The client that all threads share; a new one where the login was refused, as its error says."""

    def __init__(self, url: str) -> None:
        self._url, self._lock = url, threading.Lock()
        self.made: list[Kayrros] = []
        self.current = self._make()

    def _make(self) -> Kayrros:
        made = Kayrros(
            email=EMAIL,
            password=PASSWORD,
            base_url=self._url,
            auth_url=self._url,
            token_cache=False,
            timeout=TIMEOUT_S,
            retries=Retries(2, backoff_initial=0.002, backoff_max=0.01),
        )
        self.made.append(made)
        return made

    def replace(self, refused: Kayrros) -> None:
        """Make a new one, unless another thread has."""
        with self._lock:
            if self.current is refused:
                self.current = self._make()


class _Watch(logging.Handler):
    """Looks at each record, with all that it holds, and keeps none."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.NOTSET)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        if shows_a_secret(f"{self.format(record)} {vars(record)!r}"):
            self._report.leaks.append(f"a record of {record.name}")


@contextmanager
def watched(report: Report) -> Iterator[None]:
    """All that is logged, at debug level."""
    root, handler = logging.getLogger(), _Watch(report)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


@attrs.define
class Shift:
    """The calls of one thread after the other, each noted."""

    night: Night
    seed: int
    report: Report
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def work(self, number: int, clients: Sharing) -> None:
        """The calls of a thread: each of so many."""
        draw = random.Random(f"{self.seed}/{number}")
        for _ in range(number, self.report.calls, THREADS):
            kayrros = clients.current
            [(name, _, call)] = draw.choices(self.night.calls, [weight for _, weight, _ in self.night.calls])
            try:
                right = call(kayrros, self.night.folder / str(draw.randrange(3)))
            except Exception as error:
                with self._lock:
                    self._note(name, error)
                if isinstance(error, LoginError) and error.status in REFUSALS:
                    clients.replace(kayrros)
            else:
                with self._lock:
                    self.report.right += right
                    self.report.wrong += [] if right else [name]

    def _note(self, name: str, error: Exception) -> None:
        if isinstance(error, KayrrosError):
            self.report.failures[type(error).__name__] += 1
        else:
            self.report.untyped.append(f"{name}: {error!r}")
        if shows_a_secret(ours(error)):
            self.report.leaks.append(f"a {type(error).__name__}")


def soak(calls: int, seed: int, folder: Path) -> Report:
    """Make so many calls, in several threads.

    Args:
        calls: how many.
        seed: of faults and calls.
        folder: for downloads; an empty one.
    """
    report, night = Report(calls), Night(seed, folder)
    shift = Shift(night, seed, report)
    began = time.monotonic()
    with watched(report), night.platform.serve() as url, ThreadPoolExecutor(THREADS) as pool:
        clients = Sharing(url)
        for done in [pool.submit(shift.work, number, clients) for number in range(THREADS)]:
            done.result()
        for client in clients.made:
            client.close()
    report.seconds = time.monotonic() - began
    for rule in night.platform.faults:
        report.faults[rule.fault.words] += rule.happened
    report.faults["more than max_rows"] = sum(one.fault == "more than max_rows" for one in night.platform.requests)
    report.requests, report.logins = len(night.platform.requests), night.platform.logins
    report.half_files, report.leaks = night.half_files(), [*report.leaks, *files_with_secrets(folder, [])]
    return report


def main() -> int:
    """Soak, and say what happened; exit 1 where it must not have."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    wanted: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = soak(wanted.calls, wanted.seed, Path(folder))
    print(f"seed {wanted.seed}: {report}")
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
