"""A mirror in an object store, over the network: moto's server speaks S3 on loopback, in a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from kayrros_ext import Mirror, MirrorError
from kayrros_ext.mirror import _store
from kayrros_ext.testing import Dataset, Platform
from tests.faults.test_mirror_crashes import FILL, SYNC, changes

pytest.importorskip("moto", reason="the group dev installs it")

SERVER = """
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
import pyarrow.fs
port = server.get_host_and_port()[1]
options = {"scheme": "http", "region": "us-east-1", "access_key": "k", "secret_key": "s", "allow_bucket_creation": True}
pyarrow.fs.S3FileSystem(endpoint_override=f"127.0.0.1:{port}", **options).create_dir("bucket")
print(port, flush=True)
input()
"""


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """The port of a server with an empty bucket."""
    command, null = [sys.executable, "-c", SERVER], subprocess.DEVNULL
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()


@pytest.fixture
def location(port: str, request: pytest.FixtureRequest) -> str:
    """The URL of a prefix that each test has for itself."""
    query = f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    return f"s3://k:s@bucket/{request.node.name}/lake?{query}"


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def dataset(platform: Platform) -> Dataset:
    return platform.generate(assets=3, dates=20)


def start(location: str, dataset: Dataset, url: str, platform: Platform, wait: float, **more: str) -> Any:
    command = [sys.executable, "-c", SYNC, location, dataset.id, str(wait)]
    env = {**os.environ, **platform.environment(url), **more}
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_mirror_in_an_object_store(platform: Platform, dataset: Dataset, location: str) -> None:
    """A revision is seen now, by `changes` and by `as_of`; no name of the mirror shows the credentials of its URL."""
    mirror = Mirror(location)
    with platform.connect() as kayrros:
        assert mirror.sync(kayrros, dataset.id).added == 120
        before, first = kayrros.results(dataset.id), datetime.now(UTC)
        platform.revise(dataset, {"tank-000000": {"2024-05-14": {FILL: 2.0}, "2024-05-07": None}})
        report = mirror.sync(kayrros, dataset.id)
        assert (report.changed, report.gone) == (1, 2)
        assert mirror.read(dataset.id).table.to_pylist() == kayrros.results(dataset.id).table.to_pylist()
        assert mirror.read(dataset.id, as_of=first).table.to_pylist() == before.table.to_pylist()
        assert mirror.changes(since=first).num_rows == 3
        platform.revise(dataset, {f"tank-00000{number}": {"2024-05-14": None} for number in range(3)})
        assert mirror.sync(kayrros, dataset.id, accept_removals=True).gone == 6
    assert "k:s" not in repr(mirror)


@pytest.mark.slow
def test_two_writers_in_an_object_store(platform: Platform, dataset: Dataset, location: str) -> None:
    """Of processes that start at once, one works, and the others wait or fail with a message; no change is there twice."""
    platform.latency_s = 0.5
    with platform.serve() as url:
        processes = [start(location, dataset, url, platform, wait) for wait in (60, 60, 0)]
        outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes[:2]] == [0, 0]
    assert processes[2].returncode == 0 or "is in use: another process writes" in outputs[2][1]
    added = [out for out, _ in outputs if out and out != "0 0 0\n"]
    assert added == ["120 0 0\n"]
    assert Mirror(location).changes().num_rows == 120


def test_killed_writer_in_an_object_store(
    platform: Platform, dataset: Dataset, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed process has begun is completed by the next one, once its ticket is void."""
    mirror = Mirror(location, lock_timeout=0)
    with platform.serve() as url, platform.connect(base_url=url) as kayrros:
        process = start(location, dataset, url, platform, 0, KILL_AT="14")
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        with pytest.raises(MirrorError, match="is in use: another process writes the dataset"):
            mirror.sync(kayrros, dataset.id)
        monkeypatch.setattr(_store, "LEASE_S", -1.0)
        mirror.sync(kayrros, dataset.id)
        assert mirror.read(dataset.id).table.to_pylist() == kayrros.results(dataset.id).table.to_pylist()
    assert len(set(changes(mirror))) == len(changes(mirror)) == 120


def test_lost_lock_stops_a_writer(platform: Platform, dataset: Dataset, location: str) -> None:
    """A writer whose ticket was taken away, because it was suspended for long, writes nothing more."""
    mirror = Mirror(location)
    taken = lambda progress: mirror._store.delete(f".kayrros/locks/{dataset.id}/")  # noqa: E731
    with platform.connect() as kayrros, pytest.raises(MirrorError, match="is in use"):
        mirror.sync(kayrros, dataset.id, progress=taken)
    assert not mirror.datasets()


@pytest.mark.slow
def test_object_store_that_is_down_is_named(platform: Platform, dataset: Dataset) -> None:
    """An object store that does not respond is an error of the mirror, with the location."""
    mirror = Mirror("s3://k:s@bucket/x?endpoint_override=127.0.0.1:1&scheme=http&region=us-east-1")
    with platform.connect() as kayrros, pytest.raises(MirrorError, match="s3://bucket/x can't be read or written"):
        mirror.sync(kayrros, dataset.id)
