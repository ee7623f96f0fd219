"""The context of a command: its common options, its client and its messages, which go to stderr."""

import functools
import inspect
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext._text import printable
from kayrros_ext.cli.output import escape, write_message

if TYPE_CHECKING:
    from kayrros_ext import Kayrros
    from kayrros_ext.cli.accounts import Account


class Context:
    """The common options of one run of a command, and what follows from them."""

    def __init__(self, *, json: bool, profile: str | None, quiet: bool, verbose: int) -> None:
        self.json, self.profile, self._quiet = json, profile, quiet
        self.shows_progress = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        _log_to_stderr(verbose, quiet=quiet)

    def info(self, message: str) -> None:
        """Print a message to stderr, except with --quiet, after the data that it follows."""
        if not self._quiet:
            sys.stdout.flush()
            write_message(printable(message))

    def connect(self) -> "Kayrros":
        """Return a client of the profile."""
        from kayrros_ext import Kayrros

        return Kayrros(profile=self.profile)

    def account(self) -> "Account":
        """Return the account of the settings, without sending anything."""
        from kayrros_ext.cli.accounts import Account

        return Account(self.profile)


_COMMON_OPTIONS: dict[str, tuple[Any, Any]] = {
    "json": (Annotated[bool, typer.Option("--json", help="Print JSON.")], False),
    "profile": (
        Annotated[str | None, typer.Option("--profile", metavar="NAME", help="Profile of the config file.")],
        None,
    ),
    "quiet": (Annotated[bool, typer.Option("--quiet", "-q", help="Print no messages except errors.")], False),
    "verbose": (
        Annotated[
            int,
            typer.Option(
                "--verbose", "-v", count=True, show_default=False, help="Log to stderr; -vv logs requests too."
            ),
        ],
        0,
    ),
    # app.run reads this one from the arguments.
    "debug": (Annotated[bool, typer.Option("--debug", help="Show a traceback if the command fails.")], False),
}


def command(
    help_text: str, *examples: str, prints_data: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command for typer of a function whose first parameter is a Context, by adding the common options.

    Args:
        help_text: what the command does. A docstring would not survive `python -OO`.
        examples: command lines that the help shows.
        prints_data: whether the command has --json.
    """
    common = {name: option for name, option in _COMMON_OPTIONS.items() if name != "json" or prints_data}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:
            options = {name: arguments.pop(name, default) for name, (_, default) in _COMMON_OPTIONS.items()}
            del options["debug"]
            function(Context(**options), **arguments)

        own = list(inspect.signature(function).parameters.values())[1:]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in common.items()
        ]
        run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # typer reads it
        # \b stops typer from rewrapping the lines.
        run.__doc__ = f"{inspect.cleandoc(help_text)}\n\n\b\nExamples:\n" + "\n".join(
            f"  $ {line}" for line in examples
        )
        return run

    return decorate


def _log_to_stderr(verbose: int, *, quiet: bool) -> None:
    """Show warnings and notices; with -v our log, and with -vv the one of httpx.

    The log of httpcore is never shown, because it holds credentials.
    """
    import logging
    import re
    import time

    from kayrros_ext.cli.progress_bars import show_notice

    class Handler(logging.StreamHandler[Any]):
        """Writes to the stderr of the moment, because a progress bar replaces it to stay below the log."""

        silent_until = -float("inf")

        def emit(self, record: logging.LogRecord) -> None:
            self.stream = sys.stderr
            if verbose or record.levelno >= logging.WARNING:
                super().emit(record)
            elif hasattr(record, "notice") and not quiet and (notice := show_notice(record)):
                wait_s = getattr(record, "wait_s", 0)
                # One line for all requests that wait.
                if not wait_s or time.monotonic() >= self.silent_until:
                    self.silent_until = time.monotonic() + wait_s
                    print(escape(f"kayrros: {notice}"), file=sys.stderr)

    class QueryFilter(logging.Formatter):
        """Omits the query of each URL, because it may be a signature that allows the download."""

        def format(self, record: logging.LogRecord) -> str:
            # Each URL is matched, with or without a query, because a search from each `https://` takes quadratic time.
            pattern = r"(https?://[^\s?\"']+)(\?[^\s\"']*)?"
            return escape(re.sub(pattern, lambda url: url[1] + "?…" * bool(url[2]), super().format(record)))

    handler = Handler()
    handler.name = "kayrros"
    handler.setFormatter(QueryFilter("%(levelname)s %(name)s: %(message)s" if verbose else "%(message)s"))
    level = logging.ERROR if quiet else logging.DEBUG if verbose > 1 else logging.INFO
    for name in ["kayrros_ext", *["httpx"] * (verbose > 1)]:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        for old in [old for old in logger.handlers if old.name == handler.name]:  # of an earlier run in this process
            logger.removeHandler(old)
        logger.addHandler(handler)
