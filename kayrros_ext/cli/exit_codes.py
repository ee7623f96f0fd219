"""Exit codes, and the line that a failed command prints. Errors become either only here."""

import contextlib
from collections.abc import Iterator

from kayrros_ext._text import printable
from kayrros_ext.cli.output import OutputError
from kayrros_ext.errors import (
    ConfigurationError,
    KayrrosError,
    LoginError,
    NotFoundError,
    UnauthorizedError,
    UsageError,
)

DONE, FAILED, USAGE, LOGIN, NOT_FOUND, PARTIAL, CHANGED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 10, 130

MEANINGS = {
    DONE: "done",
    FAILED: "failed",
    USAGE: "invalid argument or setting",
    LOGIN: "no login: credentials are missing or were refused",
    NOT_FOUND: "no such dataset or collection, or several match",
    PARTIAL: "part failed, the rest was written",
    CHANGED: "there are changes (`kayrros changes --exit-code`)",
    INTERRUPTED: "interrupted",
}


class InterruptedWithNoteError(Exception):
    """Ctrl-C, with something to say about it. Not a KeyboardInterrupt, because typer handles those itself."""


@contextlib.contextmanager
def note_interrupt(note: str = "") -> Iterator[None]:
    """Add a note to the message of Ctrl-C, else those that the error has."""
    try:
        yield
    except KeyboardInterrupt as error:
        if notes := note or " ".join(getattr(error, "__notes__", [])):
            raise InterruptedWithNoteError(notes) from None
        raise


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, LoginError):
        return LOGIN if error.status in LoginError.REFUSALS else FAILED
    if isinstance(error, UnauthorizedError) or getattr(error, "needs_login", False):
        return LOGIN
    if isinstance(error, NotFoundError):
        return NOT_FOUND
    return USAGE if isinstance(error, UsageError | ConfigurationError) else FAILED


def format_error(error: BaseException) -> str:
    """Return one line: what happened, and what to do about it."""
    if isinstance(error, KayrrosError):
        message, hint = str(error.args[0]), error.hint if error.hint_cli is None else error.hint_cli
    elif isinstance(error, OutputError):
        message, hint = f"The output could not be written ({error.strerror}).", "Free some space, or write elsewhere."
    else:
        message, hint = (
            f"{type(error).__name__}: {error}.",
            "This is a bug: please report it with the output of --debug.",
        )
    return printable(" ".join([message, hint, *getattr(error, "__notes__", [])]))
