"""The live API against openapi.yaml, for those who set credentials: `make verify-live`. It only reads.

The judge of traffic, which runs around each test of this folder, validates requests and responses.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from kayrros_ext import DownloadError, Kayrros, NotFoundError
from kayrros_ext.doctor import Doctor

# Before the suite isolates its tests from the user's account and certificates.
ACCOUNT = {name: value for name, value in os.environ.items() if name.startswith(("KAYRROS_", "SSL_CERT_")) and value}
HAS_ACCOUNT = "KAYRROS_TOKEN" in ACCOUNT or {"KAYRROS_EMAIL", "KAYRROS_PASSWORD"} <= ACCOUNT.keys()
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not HAS_ACCOUNT, reason="no KAYRROS_EMAIL and KAYRROS_PASSWORD, and no KAYRROS_TOKEN"),
]


@pytest.fixture
def kayrros(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kayrros]:
    """A client of the live API, or of the hosts in the environment."""
    names = [f"KAYRROS_{name}" for name in ("EMAIL", "PASSWORD", "TOKEN", "BASE_URL", "AUTH_URL")]
    for name in (*names, "SSL_CERT_FILE", "SSL_CERT_DIR"):
        if value := ACCOUNT.get(name):
            monkeypatch.setenv(name, value)
    with Kayrros() as client:
        yield client


@pytest.mark.off_contract("a check-up sends a bad filter on purpose")
def test_the_check_up_finds_no_differences(kayrros: Kayrros, tmp_path: Path) -> None:
    """Otherwise the folder of `kayrros doctor` has them, and a patch."""
    doctor = Doctor()
    list(doctor.check())
    doctor.write(tmp_path)
    doctor.close()
    assert kayrros.whoami().base_url
    assert not doctor.needs_login
    assert [(it.place, it.expected, it.seen) for it in doctor.differences] == []


def test_the_client_reads_what_the_account_can_see(kayrros: Kayrros) -> None:
    """Collections, datasets, the metadata and the last results of the first dataset."""
    [dataset, *_] = kayrros.datasets(kayrros.collections()[0])
    assert dataset.id
    metadata = kayrros.metadata(dataset.id)
    if metadata.stop:
        results = kayrros.results(dataset.id, start=metadata.stop)
        assert len(results.table) >= 0


def test_an_unknown_dataset_is_not_found(kayrros: Kayrros, tmp_path: Path) -> None:
    """In each operation with an id."""
    unknown = str(uuid4())
    for call in (kayrros.metadata, kayrros.results, lambda it: kayrros.download(it, tmp_path)):
        with pytest.raises((NotFoundError, DownloadError)):
            call(unknown)
