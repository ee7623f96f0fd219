"""Every error that the package raises, in one tree.

    KayrrosError
    ├── ConfigurationError      a setting is missing or can't work        nothing was sent
    ├── UsageError              a call can't work (a ValueError too)       nothing was sent
    ├── LoginError              the login host gave no token
    ├── APIError                the API answered with an error status
    │   ├── UnauthorizedError   401
    │   ├── AccessDeniedError   403
    │   └── NotFoundError       404
    ├── ContractError           an answer is not what openapi.yaml says
    ├── TransportError          no answer came, or it broke off
    ├── GapError                part of a dataset's results could not be had
    ├── DownloadError           a downloaded file could not be written, or is not what it should be
    ├── ExportError             results could not be written to a file
    ├── MissingExtraError       a package of an extra is not installed (an ImportError too)
    └── MockError               the mock, or the fake on loopback, could not start

Each message says what happened, to what, and what to do next. None holds a password or a token.
"""

from pathlib import Path
from typing import Any


class KayrrosError(Exception):
    """Base class of all errors of this package. `str(error)` is what happened, followed by the hint.

    Attributes:
        hint: what to do next, as one sentence or two. May be empty.
        hint_cli: the hint in terms of the command line, where that differs; else None.
    """

    hint: str = ""
    hint_cli: str | None = None

    def __init__(self, text: str, /, **details: object) -> None:
        super().__init__(text)
        # In __dict__, because pickle keeps that: errors travel between the processes of a pipeline.
        self.__dict__.update(details)

    def __str__(self) -> str:
        return f"{self.args[0]} {self.hint}".rstrip()


class ConfigurationError(KayrrosError):
    """A setting is missing, contradicts another, or is not safe. Nothing was sent.

    Attributes:
        needs_login: whether it is that email, password and token are missing, or the one half of an account.
    """

    needs_login: bool = False


class UsageError(KayrrosError, ValueError):
    """A call can't work: an argument is wrong, or the client is closed. Nothing was sent."""


class LoginError(KayrrosError):
    """The login host answered without a token: wrong credentials, an error, or a reply that is not a login reply.

    Not raised where no answer came (TransportError), nor where the data host refuses a token (UnauthorizedError).

    Attributes:
        status: HTTP status of the answer.
        code: the server's code of the error, if it gave one.
        message: the server's words, if it gave any.
        retry_after_s: seconds that the server asked to wait, if it did.
    """

    status: int
    code: str | None = None
    message: str | None = None
    retry_after_s: float | None = None


class APIError(KayrrosError):
    """The API answered with a status that is not success, documented or not.

    Attributes:
        status: HTTP status, also one outside the IANA list.
        code: the server's code of the error, if it gave one. The body of an error is not documented.
        message: the server's words, if it gave any.
        operation: operationId of the call, as in openapi.yaml.
        excerpt: the beginning of a body that is not JSON.
        retry_after_s: seconds that the server asked to wait, if it did.
        attempts: how many there were.
    """

    status: int
    operation: str
    code: str | None = None
    message: str | None = None
    excerpt: str | None = None
    retry_after_s: float | None = None
    attempts: int = 1


class UnauthorizedError(APIError):
    """401: the token is not valid, and a new login did not help or was not possible."""


class AccessDeniedError(APIError):
    """403: the account may not see this dataset."""


class NotFoundError(APIError):
    """404: there is no dataset with this id."""


class ContractError(KayrrosError):
    """A successful answer is not what openapi.yaml says: another content type, not JSON, a value of the wrong type.

    Attributes:
        operation: operationId of the call, None where a body was read without one.
        where: path to the value inside the answer, such as `assets[3].results[0].value_date`.
        is_too_large: whether the answer was larger than `max_body`.
    """

    operation: str | None = None
    where: str | None = None
    is_too_large: bool = False


class TransportError(KayrrosError):
    """No answer came, or it broke off: name resolution, connection, TLS, a timeout.

    The cause is the httpx error, unless that would show a secret.

    Attributes:
        operation: operationId of the request that failed; `login` where it was the login.
        reason: name of the httpx error, such as "ReadTimeout".
        attempts: how many there were.
    """

    operation: str
    reason: str | None = None
    attempts: int = 1


class GapError(KayrrosError):
    """Part of a dataset's results could not be had at any size; what else there was is in `results`.

    Attributes:
        gaps: the parts that are missing, each with the error that it ended in.
        results: what was fetched, a Results; None from `iter_results`, which has yielded it, and from `export`.
    """

    gaps: tuple[Any, ...]
    results: Any


class DownloadError(KayrrosError):
    """A downloaded file could not be written to disk, must not replace another, or has another digest than it should.

    What was there before is untouched.

    Attributes:
        path: the file or folder in question.
    """

    path: Path


class ExportError(KayrrosError):
    """Results could not be written to a file. What was there before is untouched.

    Attributes:
        path: the file or folder in question.
    """

    path: Path


class MissingExtraError(KayrrosError, ImportError):
    """A call wants a package that an extra brings, and it is not installed.

    Attributes:
        extra: name of the extra: `pip install "kayrros-ext[extra]"`.
    """

    extra: str


class MockError(KayrrosError):
    """The mock could not start, and the message holds its last lines; or the fake has no port to listen on."""
