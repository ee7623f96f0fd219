"""The tests of Dask, Spark and Ray, in the environment of `make test-cluster`. Each is scanned for secrets."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.leaks import no_secret_leaks, pytest_runtest_makereport

__all__ = ["no_secret_leaks", "pytest_runtest_makereport"]  # pytest looks here

# Elsewhere they are not even imported, so that `make test` lists no skipped files.
collect_ignore_glob = [] if find_spec("dask") or find_spec("pyspark") else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
