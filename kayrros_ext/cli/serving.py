"""What `kayrros fake` and `kayrros mock` do while they serve: print the variables to export, and wait for Ctrl-C."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterable
from typing import Annotated

import typer

from kayrros_ext.cli.context import Context
from kayrros_ext.cli.output import write_json

Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="N", help="Port on 127.0.0.1; 0 for any free one.")
]


def serve_until_stopped(context: Context, variables: dict[str, str], name: str, notes: Iterable[str] = ()) -> None:
    """Print the variables that point a client to a server, and notes to stderr. Return on Ctrl-C or SIGTERM."""
    stopped = threading.Event()
    # SIGINT too, because a shell ignores it in background processes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    if context.json:
        write_json(variables)
    else:
        print("\n".join(f"export {variable}={shlex.quote(value)}" for variable, value in variables.items()))
    sys.stdout.flush()
    context.info(f"Export these variables in another terminal. Ctrl-C stops the {name}.")
    for note in notes:
        context.info(note)
    stopped.wait()
