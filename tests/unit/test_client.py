"""Methods of Kayrros that the command line relies on."""

import json
from pathlib import Path

import pytest

from kayrros_ext import ConfigurationError, LoginError
from kayrros_ext.testing import Fault, Platform, StaticFile
from tests.support.spec import SPEC


def test_login_gets_a_new_token() -> None:
    """Each call logs in once, and the next request needs no login."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        assert kayrros.login().has_token
        assert kayrros.login().has_token
        assert platform.logins == 2
        kayrros.metadata(dataset.id)
    assert platform.logins == 2


def test_login_without_valid_credentials_is_an_error() -> None:
    """A wrong password and a token without a password raise the error."""
    platform = Platform()
    with platform.connect(email="a@example.com", password="wrong") as kayrros, pytest.raises(LoginError):
        kayrros.login()
    with platform.connect(token=platform.give_token()) as kayrros, pytest.raises(ConfigurationError):
        kayrros.login()


def test_download_reports_progress(tmp_path: Path) -> None:
    """The callback gets the bytes downloaded and their total."""
    platform = Platform()
    dataset = platform.generate(file=StaticFile(b"x" * 3_000_000, "x.bin"))
    reports: list[tuple[int, int | None]] = []
    with platform.connect() as kayrros:
        kayrros.download(dataset.id, tmp_path, progress=lambda size, total: reports.append((size, total)))
    assert reports[-1] == (3_000_000, 3_000_000)
    assert reports == sorted(reports)


def test_a_renamed_field_of_the_metadata_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A field that is missing beside an undeclared one may have a new name. One or the other alone causes no warning."""
    platform = Platform()
    dataset = platform.generate()
    with platform.connect() as kayrros:
        absent = dict.fromkeys(SPEC["components"]["schemas"]["DatasetMetadata"]["properties"])
        whole = {**absent, **kayrros.metadata(dataset.id).to_dict()}
        for body in (whole, {**whole, "extra": 1}, {"start_date": 5}):
            platform.fail_next(Fault.body(json.dumps(body).encode()), operation="getDatasetMetadata")
            kayrros.metadata(dataset.id)
        assert caplog.messages == []
        del whole["start_date"]
        renamed = json.dumps({**whole, "first_date": 5}).encode()
        platform.fail_next(Fault.body(renamed), operation="getDatasetMetadata")
        assert kayrros.metadata(dataset.id).to_dict()["first_date"] == 5
    [message] = caplog.messages
    assert "lack" in message
    assert "start_date" in message
    assert message.endswith("first_date.")
