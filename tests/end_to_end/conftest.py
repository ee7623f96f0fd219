"""Each test of this folder is scanned for secrets: here whole commands print, log and write."""

from tests.support.leaks import no_secret_leaks, pytest_runtest_makereport

__all__ = ["no_secret_leaks", "pytest_runtest_makereport"]  # pytest looks here
