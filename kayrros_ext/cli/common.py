"""What every command has: its options, its client, its place for talk. Data goes to stdout, talk to stderr."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext.errors import ConfigurationError

if TYPE_CHECKING:
    from kayrros_ext import Kayrros
    from kayrros_ext.cli.accounts import Account

_Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="Profile of the config file.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
_Verbose = Annotated[
    int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Say what happens; -vv says more.")
]
_Debug = Annotated[bool, typer.Option("--debug", help="Show a traceback when something fails.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Run:
    """One run of a command: the options that all of them have, and what comes of them."""

    def __init__(self, *, profile: str | None, quiet: bool, verbose: int, debug: bool, json: bool) -> None:
        self.profile, self.quiet, self.json = profile, quiet, json
        self.shows_progress = not quiet and sys.stderr.isatty()
        State.debug = debug
        if verbose or quiet or debug:
            _log_to_stderr(verbose, quiet=quiet)

    def say(self, words: str) -> None:
        """Talk, unless nobody wants to hear it."""
        if not self.quiet:
            with contextlib.suppress(OSError):  # who has closed stderr still wants the data
                print(words, file=sys.stderr)

    def connect(self) -> "Kayrros":
        """A client; where there is no password, with the token that `kayrros login` has kept.

        Raises:
            ConfigurationError: there is neither.
        """
        from kayrros_ext import Kayrros

        try:
            return Kayrros(profile=self.profile)
        except ConfigurationError as error:
            account = self.account()
            token = account.cached_token() if error.needs_login else None
            if token is None:
                raise
            return Kayrros(token=token, base_url=account.base_url, auth_url=account.auth_url)

    def account(self) -> "Account":
        """Whose account it is, as far as that is known without asking anybody."""
        from kayrros_ext.cli.accounts import Account

        return Account(self.profile)


class ReaderGoneError(Exception):
    """Nobody reads stdout any more. Not an OSError: typer makes a failure of those."""


class State:
    """What is left of a run that fails: whether its user wants a traceback."""

    debug = False


_COMMON: dict[str, tuple[Any, Any]] = {
    "json": (_JSON, False),
    "profile": (_Profile, None),
    "quiet": (_Quiet, False),
    "verbose": (_Verbose, 0),
    "debug": (_Debug, False),
}


def command(
    app: typer.Typer, name: str, *examples: str, prints_data: bool = True
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command, with the options that all have; its first argument is the Run.

    Args:
        app: whose command.
        name: of the command.
        examples: command lines that its help shows.
        prints_data: whether it has --json.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        common = {key: value for key, value in _COMMON.items() if key != "json" or prints_data}

        @functools.wraps(function)
        def run(**given: Any) -> None:
            options = {key: given.pop(key, default) for key, (_, default) in _COMMON.items()}
            try:
                function(Run(**options), **given)
            except BrokenPipeError as error:
                raise ReaderGoneError from error

        own = list(inspect.signature(function).parameters.values())[1:]
        kind = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(key, kind, default=value, annotation=hint) for key, (hint, value) in common.items()]
        run.__signature__ = inspect.Signature([*own, *added])  # type: ignore[attr-defined]  # what typer reads
        # The backspace keeps the lines as they are.
        shown = "\n".join(f"  $ {example}" for example in examples)
        app.command(name, help=f"{inspect.getdoc(function)}\n\n\b\nExamples:\n{shown}")(run)
        return function

    return decorate


def _log_to_stderr(verbose: int, *, quiet: bool) -> None:
    """Logs of ours, and with -vv of requests. What httpcore logs is never shown: it holds what was sent."""
    import logging
    import re

    class WithoutQueries(logging.Formatter):
        """The query of a URL may be a signature, with which anyone may download."""

        def format(self, record: logging.LogRecord) -> str:
            return re.sub(r"(https?://[^\s?\"']+)\?[^\s\"']*", r"\1?…", super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(WithoutQueries("%(levelname)s %(name)s: %(message)s"))
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    for name in ["kayrros_ext", *["httpx"] * (verbose > 1)]:
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.addHandler(handler)
