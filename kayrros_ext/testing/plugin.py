"""The pytest plugin: fixtures `kayrros_platform` and `kayrros`. Pytest finds it if the package is installed.

Every run of pytest on the machine loads it, so it imports nothing until a fixture is used.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kayrros_ext.client import Kayrros
    from kayrros_ext.testing.platform import Platform


@pytest.fixture
def kayrros_platform() -> "Platform":
    """A fresh fake of the Kayrros Platform, in process: one account, one dataset of 6 assets, 12 dates, 2 metrics."""
    from kayrros_ext.testing.platform import Platform

    platform = Platform()
    platform.generate()
    return platform


@pytest.fixture
def kayrros(kayrros_platform: "Platform") -> "Iterator[Kayrros]":
    """A client of `kayrros_platform`, with its account; closed after the test. No request leaves the process."""
    with kayrros_platform.connect() as client:
        yield client
