"""The reference of the commands as Markdown, made of their help."""

import os
import sys
from collections.abc import Iterator
from typing import Any

import typer

from kayrros_ext.cli.app import app

# Columns of the help texts on the page, whatever the terminal.
_WIDTH = 100


def reference() -> str:
    """Return a section for each command, with its help."""
    return "\n".join(_sections(typer.main.get_command(app)))


def _sections(root: Any) -> Iterator[str]:
    size = {"terminal_width": _WIDTH, "max_content_width": _WIDTH}
    yield "# kayrros\n"
    with root.make_context("kayrros", [], resilient_parsing=True, **size) as context:
        yield _code_block(root.get_help(context))
        for name in root.list_commands(context):
            command = root.get_command(context, name)
            with command.make_context(name, [], parent=context, resilient_parsing=True, **size) as inner:
                yield f"## kayrros {name}\n"
                yield _code_block(command.get_help(inner))


def _code_block(text: str) -> str:
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    os.environ.pop("COLUMNS", None)
    sys.stdout.write(reference())
