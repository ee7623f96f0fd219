"""Every error of the package, in one tree.

    KayrrosError
    ├── ConfigurationError      a setting is missing or can't work         nothing was sent
    ├── UsageError              a call can't work (a ValueError too)       nothing was sent
    ├── LoginError              the login host returned no token
    ├── APIError                the API returned an error status
    │   ├── UnauthorizedError   401
    │   ├── AccessDeniedError   403
    │   └── NotFoundError       404
    ├── ContractError           a response does not match openapi.yaml
    ├── TransportError          there was no response, or it broke off
    ├── GapError                part of a dataset's results is unavailable
    ├── DownloadError           a file could not be written, or failed verification
    ├── ExportError             results could not be written to a file
    ├── MirrorError             a local copy can't be used: damaged, in use, of another account
    ├── MissingExtraError       a package of an extra is not installed (an ImportError too)
    └── MockError               the mock, or the fake on loopback, could not start

No message holds a password or a token.
"""

from pathlib import Path
from typing import Any, ClassVar

from kayrros_ext._text import DOCS_URL


class KayrrosError(Exception):
    """Base class of all errors of this package. `str(error)` is what happened, followed by the hint.

    Example:
        >>> try:
        ...     kayrros.metadata("Crude oil storge")
        ... except KayrrosError as error:
        ...     print(error.docs_url)
        https://kayrros-ext.example/troubleshooting/#notfounderror

    Attributes:
        hint: what to do next. May be empty.
        hint_cli: the hint for the command line, where that differs; else None.
    """

    hint: str = ""
    hint_cli: str | None = None
    _entries: ClassVar[dict[int, str]] = {}  # of the troubleshooting page, for statuses that have one of their own

    def __init__(self, text: str, /, **details: object) -> None:
        super().__init__(text)
        # In __dict__, because pickle keeps that: errors travel between the processes of a pipeline.
        self.__dict__.update(details)

    @property
    def docs_url(self) -> str:
        """The entry of this class or status on the troubleshooting page. The command prints it after the hint."""
        public = next(it for it in type(self).__mro__ if it.__module__ == __name__)
        entry = self._entries.get(getattr(self, "status", 0), public.__name__.lower())
        return f"{DOCS_URL}troubleshooting/#{entry}"

    def __str__(self) -> str:
        return f"{self.args[0]} {self.hint}".rstrip()


class ConfigurationError(KayrrosError):
    """A setting is missing, wrong or unsafe. Nothing was sent. `needs_login` tells whether credentials are incomplete.

    Example:
        >>> Kayrros(timeout=0)
        Traceback (most recent call last):
        kayrros_ext.errors.ConfigurationError: timeout is 0. Pass seconds, more than 0.
    """

    needs_login: bool = False


class UsageError(KayrrosError, ValueError):
    """A call can't work: an argument is wrong, or the client is closed. Nothing was sent, except to look up a name.

    Example:
        >>> kayrros.results("Crude oil storage", start="2024-02", stop="2024-01")
        Traceback (most recent call last):
        kayrros_ext.errors.UsageError: 2024-01 lies before 2024-02. Swap start and stop...
    """


class LoginError(KayrrosError):
    """The login host rejected the credentials, or responded without a usable token.

    Not raised without a response (TransportError), nor where the data host rejects a token (UnauthorizedError).
    `status`, `code`, `message` and `retry_after_s` are those of APIError.

    Example:
        >>> platform.connect(email="analyst@example.com", password="wrong").collections()
        Traceback (most recent call last):
        kayrros_ext.errors.LoginError: login: auth.kayrros.com answered 401 (...
    """

    # Statuses that refuse credentials. They will be refused again, and repeated attempts lock accounts.
    REFUSALS = frozenset({400, 401, 403, 422, 423})
    status: int
    code: str | None = None
    message: str | None = None
    retry_after_s: float | None = None


class APIError(KayrrosError):
    """The API responded with a status other than success, documented or not.

    Example:
        >>> rule = platform.fail_next(500)
        >>> kayrros.collections()
        Traceback (most recent call last):
        kayrros_ext.errors.APIError: listCollections: ... answered 500 (...

    Attributes:
        status: HTTP status, including those outside the IANA list.
        operation: operationId of the call, as in openapi.yaml.
        code: error code from the server, if any. The format of error bodies is not documented.
        message: error message from the server, if any.
        excerpt: the beginning of a body that is not JSON; of an HTML page, only the title.
        retry_after_s: seconds to wait, if the server asks for that.
        attempts: number of attempts.
    """

    _entries: ClassVar[dict[int, str]] = {429: "rate-limits", 504: "504"}
    status: int
    operation: str
    code: str | None = None
    message: str | None = None
    excerpt: str | None = None
    retry_after_s: float | None = None
    attempts: int = 1


class UnauthorizedError(APIError):
    """401: the token is not valid, and a new login did not help or was not possible.

    Example:
        >>> platform.connect(token="of-yesterday").collections()
        Traceback (most recent call last):
        kayrros_ext.errors.UnauthorizedError: listCollections: ... answered 401 (...
    """


class AccessDeniedError(APIError):
    """403: the account may not see this dataset.

    Example:
        >>> secret = platform.generate(shared_with=["colleague@example.com"])
        >>> kayrros.results(secret.id)
        Traceback (most recent call last):
        kayrros_ext.errors.AccessDeniedError: getDatasetResults: ... answered 403 (...
    """


class NotFoundError(APIError):
    """404: there is no dataset with this id; or no collection or dataset, or several, have a name.

    Example:
        >>> kayrros.metadata("Crude oil storge")
        Traceback (most recent call last):
        kayrros_ext.errors.NotFoundError: There is no dataset 'Crude oil storge'...
    """


class ContractError(KayrrosError):
    """A successful response does not match openapi.yaml: the content type, the JSON, or the type of a value.

    Example:
        >>> Results.from_json(b'{"assets": [{"results": 1}]}')
        Traceback (most recent call last):
        kayrros_ext.errors.ContractError: the results do not match the contract at ...

    Attributes:
        operation: operationId of the call; None where a body was read without one.
        where: path of the value, such as `assets[3].results[0].value_date`.
        is_too_large: whether the response was larger than `max_body`.
    """

    operation: str | None = None
    where: str | None = None
    is_too_large: bool = False


class TransportError(KayrrosError):
    """There was no response, or it broke off, because of name resolution, connection, TLS or a timeout.

    The cause is the httpx error, unless that would show a secret.

    Example:
        >>> rule = platform.fail_next(Fault.dropped(), times=5)
        >>> kayrros.collections()
        Traceback (most recent call last):
        kayrros_ext.errors.TransportError: listCollections: incomplete or no response ...

    Attributes:
        operation: operationId of the request that failed; `login` for the login.
        reason: name of the httpx error, such as "ReadTimeout".
        attempts: number of attempts.
    """

    operation: str
    reason: str | None = None
    attempts: int = 1


class GapError(KayrrosError):
    """Part of a dataset's results is unavailable, whatever the size of the request.

    Example:
        >>> platform.max_rows = 1  # of a response, and each date of an asset has two
        >>> try:
        ...     results = kayrros.results("Crude oil storage", assets="Cushing TK-101")
        ... except GapError as error:
        ...     print(error.gaps[0].error.status, len(error.results))
        504 0

    Attributes:
        gaps: the missing parts, each with its error.
        results: the rest, as Results; None from `iter_results`, which has yielded it, and from `export`.
    """

    gaps: tuple[Any, ...]
    results: Any


class DownloadError(KayrrosError):
    """A download can't be written to `path`, must not replace it, or has the wrong digest. An older file is untouched.

    Example:
        >>> kayrros.download("Crude oil storage", sha256="0" * 64)
        Traceback (most recent call last):
        kayrros_ext.errors.DownloadError: crude-terminals.csv was not written: ...
    """

    path: Path


class ExportError(KayrrosError):
    """Results can't be written to the file or directory `path`. An older file is untouched.

    Example:
        >>> path = results.export("tanks.csv")
        >>> results.export("tanks.csv/more.csv")
        Traceback (most recent call last):
        kayrros_ext.errors.ExportError: tanks.csv/more.csv could not be written (...
    """

    path: Path


class MirrorError(KayrrosError):
    """The mirror at `location` is damaged (at `file`), in use, newer, of another host or account, or not writable.

    Example:
        >>> Mirror("nothing/").read("Crude oil storage")
        Traceback (most recent call last):
        kayrros_ext.errors.MirrorError: nothing is not a mirror. Mirror.sync makes one.
    """

    location: str
    file: str | None = None


class MissingExtraError(KayrrosError, ImportError):
    """A call needs a package that is not installed. `extra` is the extra that installs it, and the hint has the command.

    Example:
        >>> try:
        ...     frame = results.to_polars()
        ... except MissingExtraError as error:
        ...     print(error.extra, error.hint)
    """

    extra: str


class MockError(KayrrosError):
    """The mock could not start, and the message holds its last lines; or the fake has no port to listen on.

    Example:
        >>> with prism_mock(spec="nothing.yaml") as mock:
        ...     pass
        Traceback (most recent call last):
        kayrros_ext.errors.MockError: There is no spec at nothing.yaml. Pass an OpenAPI ...
    """
