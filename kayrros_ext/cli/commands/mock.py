"""`kayrros mock`: openapi.yaml served by Prism."""

from typing import Annotated

import typer

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.serving import Port, serve_until_stopped


@command(
    """Serve openapi.yaml with Prism on this machine until Ctrl-C.

    The mock needs Node and Prism. It answers each id with the same example, and reports requests that openapi.yaml does
    not allow. The command prints the variables to export in another terminal. For datasets, faults and limits, run
    `kayrros fake`.
    """,
    "kayrros mock",
    "kayrros mock --port 4011",
)
def mock(
    context: Context,
    *,
    port: Port = 4010,
    # The former name of this command was `kayrros mock --prism`.
    prism: Annotated[bool, typer.Option("--prism", hidden=True)] = True,  # noqa: ARG001
) -> None:
    from kayrros_ext.testing import prism_mock

    with prism_mock(port=port) as running:
        serve_until_stopped(context, running.settings, "mock")
