"""Properties of the three parsers that meet hostile bytes. Atheris and hypothesis call these functions."""

import re
import unicodedata
from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath

import httpx

from kayrros_ext._auth.login import LoginAuth
from kayrros_ext._config.credentials import Source
from kayrros_ext._config.settings import Settings, clean_token
from kayrros_ext._download.headers import MAX_NAME_BYTES, choose_filename
from kayrros_ext._results.model import Results
from kayrros_ext._results.schema import ASSETS, RESULTS, WITHOUT_METRICS
from kayrros_ext.errors import ContractError, LoginError

_PASSWORD = "-".join(["fuzz", "password", "k4Vw9Zp2"])  # joined here, so that no copy of this file holds it
_SETTINGS = Settings.load(
    Source("arguments", "a@example.com", _PASSWORD, base_url="https://a.test", auth_url="https://b.test"), retries=0
)
# Names that Windows gives to devices or can't store, as `ntpath.isreserved` of Python 3.13 lists them.
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[1-9¹²³]) *(\.|$)|.*[. ]$|.*[\0-\x1f\"*:<>?|/\\]",
    re.IGNORECASE | re.DOTALL,
)
_STATUSES = (200, 201, 204, 301, 400, 401, 403, 404, 423, 429, 500, 502, 520, 599)


def login(data: bytes) -> None:
    """The reply to a login is a token that a header can carry, or a LoginError that does not show the password.

    Args:
        data: the first byte chooses the status, the others are the body.
    """
    status, body = _STATUSES[data[0] % len(_STATUSES)] if data else 200, data[1:]
    try:
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
        token = LoginAuth(_SETTINGS, {"transport": transport}).tokens.renew().secret
    except LoginError as error:
        assert status == error.status
        assert _PASSWORD not in f"{error}{error.code}{error.message}"
        assert "\n" not in str(error)
    else:
        assert status == 200
        assert token == clean_token(token)


def results(data: bytes) -> None:
    """A results response is either valid tables of the declared schemas or a ContractError."""
    try:
        tables = Results.from_json(data)
    except ContractError:
        return
    for table, schema in (
        (tables.table, RESULTS),
        (tables.assets, ASSETS),
        (tables.without_metrics, WITHOUT_METRICS),
    ):
        table.validate(full=True)
        assert schema.equals(table.schema)


def content_disposition(data: bytes) -> None:
    """Any header gives one name of at most 255 bytes: a single path component, not hidden, not reserved on any platform."""
    name = choose_filename(httpx.Headers([(b"Content-Disposition", data), (b"Content-Type", data[-20:])]), "fallback")
    assert is_one_name(name), name


def is_one_name(name: str) -> bool:
    """Return whether a name is a single path component on any platform: at most 255 bytes, visible, not reserved."""
    return (
        0 < len(name.encode()) <= MAX_NAME_BYTES
        and not {unicodedata.category(character) for character in name} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and not name.startswith((".", "-"))
        and (PurePosixPath("folder") / name).parent == PurePosixPath("folder")
        and (PureWindowsPath("folder") / name).parent == PureWindowsPath("folder")
        and not _RESERVED.match(name)
    )


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (login, results, content_disposition)
}
