"""Each test of this folder is held to openapi.yaml by its traffic, and scanned for secrets."""

from tests.support.leaks import no_secret_leaks, pytest_runtest_makereport
from tests.support.recording import pytest_pyfunc_call, traffic

__all__ = ["no_secret_leaks", "pytest_pyfunc_call", "pytest_runtest_makereport", "traffic"]  # pytest looks here
