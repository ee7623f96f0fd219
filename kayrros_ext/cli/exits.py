"""Exit codes, and the one line that a command ends in when it fails. The one place where an error becomes either."""

import errno
import re

from kayrros_ext.errors import (
    ConfigurationError,
    GapError,
    KayrrosError,
    LoginError,
    NotFoundError,
    UnauthorizedError,
    UsageError,
)

DONE, FAILED, USAGE, LOGIN, NOT_FOUND, PARTIAL, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

MEANING = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "an argument or a setting can't work",
    LOGIN: "no login: there are no credentials, or they are refused",
    NOT_FOUND: "there is no such dataset or collection",
    PARTIAL: "part of the results could not be had, and --on-gap warn let the rest come",
    INTERRUPTED: "interrupted",
}

# What a write to stdout fails with that is no fault of ours.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
# Statuses of a login that is refused, as the login itself has them; any other is a failure of the host.
_REFUSALS = {400, 401, 403, 422, 423}

# What the package calls an argument, and what the command does.
_OPTIONS = (
    (r"\bon_gap=\"warn\"", "--on-gap warn"),
    (r", and overwrite is False\. Remove it, or give", ". Remove it, or give"),
    (r"\boverwrite=True\b", "--overwrite"),
    (r"\bskip_existing=True\b", "--skip-existing"),
    (r"^start\b|(?<=before )start\b", "--from"),
    (r"^stop\b", "--to"),
    (r"^sha256 is\b", "--sha256 is"),
    (r"^path is\b", "--output is"),
    (r"^(dataset_id|collection_id) is\b", "The id is"),
    (r"one of those in kayrros\.collections\(\)", "one of those that `kayrros collections` lists"),
    (r"give Kayrros a longer timeout", "try again later"),
    (r"as arguments of Kayrros, ", ""),
    (r"Give it there, as an argument of Kayrros, or as", "Give it there, or as"),
)


class NotListedError(KayrrosError):
    """The platform lists nothing of the name that was given."""


def exit_code(error: BaseException) -> int:
    """The exit code that an error ends in."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, LoginError):
        return LOGIN if error.status in _REFUSALS else FAILED
    if isinstance(error, UnauthorizedError) or getattr(error, "needs_login", False):
        return LOGIN
    if isinstance(error, NotFoundError | NotListedError):
        return NOT_FOUND
    return USAGE if isinstance(error, UsageError | ConfigurationError) else FAILED


def line(error: BaseException) -> str:
    """What happened and what to do about it, in one line."""
    from kayrros_ext.cli.output import visible

    if isinstance(error, LoginError) and exit_code(error) == LOGIN:
        said = ": ".join(part for part in (error.code, error.message) if part) or "no explanation"
        words = f"The login was refused (status {error.status}, {said}). Check email and password; then: kayrros login"
    elif isinstance(error, KayrrosError):
        words = _as_options(error)
    elif isinstance(error, OSError) and error.errno in _NO_ROOM:
        words = f"The output could not be written ({error.strerror}). Make room, or write it elsewhere."
    else:
        words = (
            f"{type(error).__name__}: {error}. This should not happen: run it again with --debug, and report what that "
            "shows."
        )
    return visible(" ".join(words.split()))


def _as_options(error: KayrrosError) -> str:
    """What an error of the package says, with the options of the command for the arguments of a function."""
    words = str(error)
    for pattern, option in _OPTIONS:
        words = re.sub(pattern, option, words)
    if isinstance(error, GapError):
        words = words.replace("What came until then is in `results` of this error; with", "With")
    return f"{words} Or run: kayrros login" if exit_code(error) == LOGIN else words
