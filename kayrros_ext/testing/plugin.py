"""The pytest plugin: fixtures `kayrros_platform` and `kayrros`. Pytest finds it by itself where the package is installed.

It is loaded into every run of pytest on the machine, so it imports nothing until a fixture is used.
"""

from typing import TYPE_CHECKING

try:
    import pytest
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'The fixtures need pytest. Install the extra: pip install "kayrros-ext[testing]". The fake itself, '
        "kayrros_ext.testing.Platform, needs no extra.",
        name=missing.name,
    ) from missing

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
