"""The reference of the command as Markdown, from its own help: `python -m kayrros_ext.cli.reference`."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import typer

from kayrros_ext.cli.app import app

# As wide as the help is on a page, whatever terminal it is made in.
_WIDTH = 100


def reference() -> str:
    """All commands, a section each, with their help as the command prints it."""
    return "\n".join(_sections(typer.main.get_command(app)))


def _sections(root: Any) -> Iterator[str]:
    size = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    yield "# kayrros\n"
    with root.make_context("kayrros", [], resilient_parsing=True, **size) as context:
        yield _block(root.get_help(context))
        for name in root.list_commands(context):
            command = root.get_command(context, name)
            with command.make_context(name, [], parent=context, resilient_parsing=True, **size) as inner:
                yield f"## kayrros {name}\n"
                yield _block(command.get_help(inner))


def _block(text: str) -> str:
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    os.environ.pop("COLUMNS", None)
    sys.stdout.write(reference())
