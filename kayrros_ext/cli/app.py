"""The app with all commands, and one run of it: from arguments to an exit code."""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from kayrros_ext import __version__
from kayrros_ext._text import printable
from kayrros_ext.cli.commands.api import api
from kayrros_ext.cli.commands.changes import changes
from kayrros_ext.cli.commands.doctor import doctor
from kayrros_ext.cli.commands.download import download
from kayrros_ext.cli.commands.export import export
from kayrros_ext.cli.commands.fake import fake
from kayrros_ext.cli.commands.list import assets, collections, datasets, find, metadata
from kayrros_ext.cli.commands.login import config, login, logout, whoami
from kayrros_ext.cli.commands.mock import mock
from kayrros_ext.cli.commands.plot import plot
from kayrros_ext.cli.commands.results import results
from kayrros_ext.cli.commands.spec import spec
from kayrros_ext.cli.commands.sql import sql
from kayrros_ext.cli.commands.sync import sync
from kayrros_ext.cli.exit_codes import DONE, INTERRUPTED, MEANINGS, InterruptedWithNoteError, exit_code, format_error
from kayrros_ext.cli.output import (
    ClosedPipeError,
    OutputError,
    complete_output,
    discard_output,
    escape,
    finish_output,
    write_message,
)
from kayrros_ext.errors import KayrrosError

_CODES = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())

app = typer.Typer(
    name="kayrros",
    no_args_is_help=True,
    rich_markup_mode=None,  # importing rich takes longer than everything else together
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Datasets of the Kayrros Platform, by name or id: metadata, results as tables and files, downloads. Unofficial.\n\n"
    "\b\nFirst steps:\n  $ kayrros login\n  $ kayrros datasets\n  $ kayrros results DATASET\n"
    "  $ kayrros results DATASET -o results.parquet\n\n"
    "Data goes to stdout, messages to stderr. No account yet? `kayrros fake` serves a fake platform on this machine.\n\n"
    f"\b\nExit codes:\n{_CODES}",
)


class _Command(TyperCommand):
    """A command whose usage shows `DATASET`, without the braces of typer."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]


for _command in (
    *(login, logout, whoami, config),
    *(collections, datasets, find, assets, metadata),
    *(results, export, plot, download, sync, changes, sql, doctor, fake, mock, api, spec),
):
    app.command(_command.__name__, cls=_Command)(_command)


def _print_version(value: bool) -> None:  # noqa: FBT001 - the signature of a typer callback
    if value:
        print(f"kayrros-ext {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Hold the options of `kayrros` itself."""


def run(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    _open_closed_streams()
    with complete_output():
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="kayrros", standalone_mode=False)
        finish_output()
    except ClosedPipeError:
        discard_output()
        return DONE
    except SystemExit:  # SIGTERM, or shell completion, which has written everything
        discard_output()
        raise
    except typer.TyperException as error:  # invalid arguments: not ours
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        command = context.command_path if (context := getattr(error, "ctx", None)) else "kayrros"
        is_help = message.startswith("Usage: ")  # of `kayrros` alone
        end = "" if message.endswith((".", "?")) else "."
        text = f"kayrros: {printable(message)}{end} See `{command} --help`."
        if command == "kayrros mock" and not isinstance(error, typer.BadParameter):
            # Without the possible options, because one of them is hidden.
            message = message.partition(" (Possible")[0].rstrip(".")
            text = f"kayrros: {printable(message)}. Did you mean `kayrros fake`? See `{command} --help`."
        print(message, file=sys.stderr) if is_help else write_message(text)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort, InterruptedWithNoteError) as error:
        return _report_interrupt(str(error))
    except Exception as error:
        return _report_error(error, show_traceback="--debug" in arguments)
    if code == INTERRUPTED:  # typer's exit code for Ctrl-C
        return _report_interrupt()
    return code if isinstance(code, int) else DONE


def _report_error(error: Exception, *, show_traceback: bool) -> int:
    try:
        sys.stdout.flush()  # data written before the failure
    except (OutputError, ClosedPipeError):  # possibly the failure itself
        discard_output()
    if show_traceback:
        import traceback

        sys.stderr.write(escape("".join(traceback.format_exception(error))))
    more = f" See {error.docs_url}" if isinstance(error, KayrrosError) else ""
    write_message(f"kayrros: {format_error(error)}{more}")
    return exit_code(error)


def _report_interrupt(note: str = "") -> int:
    print(file=sys.stderr)  # below the ^C
    write_message("kayrros: interrupted" + (note and f". {printable(note)}"))
    discard_output()  # the same Ctrl-C may have ended the reader
    return INTERRUPTED


def _open_closed_streams() -> None:
    """Replace streams that a shell closed (`2>&-`), because print(file=None) would write messages to stdout.

    Data that nobody gets are an error, so a write to such a stdout fails. Messages to such a stderr are dropped.
    """
    for name, mode, flags in (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY)):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, flags)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - a descriptor
