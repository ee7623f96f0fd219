"""All commands, and one run of them: from arguments to an exit code."""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from kayrros_ext.cli.catalogue import app as catalogue
from kayrros_ext.cli.common import ReaderGoneError, State
from kayrros_ext.cli.download import app as download
from kayrros_ext.cli.exits import DONE, INTERRUPTED, MEANING, exit_code, line
from kayrros_ext.cli.mock import app as mock
from kayrros_ext.cli.plot import app as plot
from kayrros_ext.cli.results import app as results
from kayrros_ext.cli.session import app as session

_CODES = "\n".join(f"  {code:>3}  {words}" for code, words in MEANING.items())

# Plain help: the rich one takes longer to import than everything else together.
app = typer.Typer(
    name="kayrros",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Datasets of the Kayrros Platform, by id: metadata, results as tables and files, downloads. Unofficial.\n\n"
    "\b\nFirst steps:\n  $ kayrros login\n  $ kayrros collections\n  $ kayrros datasets COLLECTION\n"
    "  $ kayrros results ID -o results.parquet\n\n"
    "Data goes to stdout, talk to stderr. No account yet? `kayrros mock` serves a made-up Kayrros on this machine.\n\n"
    f"\b\nExit codes:\n{_CODES}",
)
for group in (session, catalogue, results, plot, download, mock):
    app.registered_commands += group.registered_commands


def _print_version(asked: bool) -> None:  # noqa: FBT001 - as typer calls it
    if asked:
        from importlib import metadata

        print(f"kayrros-ext {metadata.version('kayrros-ext')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """What all commands stand below."""


def run(arguments: list[str]) -> int:
    """Run the command; its exit code."""
    State.debug = False
    _fill_closed_streams()
    _speak_utf8()
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except (BrokenPipeError, ReaderGoneError):
        _drop_output()
        return DONE
    except typer.TyperException as error:  # what typer has to say of arguments: the usage, and a line
        show = getattr(error, "show", None)
        show() if show else print(error, file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except Exception as error:  # of whatever kind: nobody wants a traceback that they did not ask for
        return _failed(error)
    if code == INTERRUPTED:  # typer makes an exit of Ctrl-C
        return _interrupted()
    return code if isinstance(code, int) else DONE


def _run(arguments: list[str]) -> object:
    try:
        return typer.main.get_command(app).main(arguments, prog_name="kayrros", standalone_mode=False)
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # typer wrote help, to a reader that is gone
            raise ReaderGoneError from error
        raise  # so ends the completion of a shell


def _failed(error: Exception) -> int:
    try:
        sys.stdout.flush()  # what came before the failure
    except OSError:  # which may be this one
        _drop_output()
    with contextlib.suppress(OSError):
        if State.debug:
            import traceback

            traceback.print_exception(error)
        print(f"kayrros: {line(error)}", file=sys.stderr)
    return exit_code(error)


def _interrupted() -> int:
    with contextlib.suppress(OSError):
        print("\nkayrros: interrupted", file=sys.stderr)
    _drop_output()  # not what was held back: the reader may be gone by the same Ctrl-C
    return INTERRUPTED


def _fill_closed_streams() -> None:
    """What a shell has closed (`2>&-`) is None to Python, whose print would take stdout for it: talk among data."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as the process


def _speak_utf8() -> None:
    """JSON is UTF-8, whatever the locale; and a name that a terminal can't show is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace") if stream.isatty() else stream.reconfigure(encoding="utf-8")


def _drop_output() -> None:
    """Nobody reads: what is still held back must not be an error once more at the end of the process."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
