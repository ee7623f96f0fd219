"""The page of the commands as Markdown: the help of each, and an example with its output."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from kayrros_ext.cli.app import app
from kayrros_ext.cli.exit_codes import MEANINGS

HEAD = """\
# Commands

`kayrros COMMAND --help` shows what this page says. The examples run in a terminal of 80 columns against `kayrros fake`,
when this page is built.

| command | what it does |
|---|---|
"""


def reference(examples: Mapping[str, str] | None = None) -> str:
    """Return a section for each command, with the output of an example by its name, if there is one."""
    return HEAD + "\n".join(_sections(typer.main.get_command(app), examples or {}))


def _sections(root: Any, examples: Mapping[str, str]) -> Iterator[str]:
    with root.make_context("kayrros", [], resilient_parsing=True) as context:
        commands = {name: root.get_command(context, name) for name in root.list_commands(context)}
        for name, command in commands.items():
            summary = re.split(r"(?<=\.)\s", command.help)[0]
            yield f"| [`kayrros {name}`](#kayrros-{name}) | {summary} |"
        common = set.intersection(*({option.name for option in command.params} for command in commands.values()))
        yield "\n## Options of every command\n"
        yield from _options([it for it in commands["results"].params if it.name in common], context)
        yield "\n## Exit codes\n\n| code | meaning |\n|---|---|"
        yield from (f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
        for name, command in commands.items():
            with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
                yield f"\n## kayrros {name}\n"
                yield command.help.partition("\n\n\b")[0] + "\n"
                if name in examples:
                    yield _code_block("console", examples[name])
                yield _code_block("text", " ".join(["kayrros", name, *command.collect_usage_pieces(inner)]))
                yield from _options([it for it in command.params if it.name not in common], inner)
                yield "\nMore examples:\n"
                yield _code_block("sh", re.sub(r"^  (\$ )?", "", command.help.partition("Examples:\n")[2], flags=re.M))


def _options(params: list[Any], context: Any) -> Iterator[str]:
    """Yield an item of a list for each argument and option that the help shows."""
    for param in params:
        if record := param.get_help_record(context):
            name, text = (re.sub(r"\s+", " ", part) for part in record)
            yield f"- **`{name}`**: {text}"


def _code_block(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```\n"
