"""`kayrros mock`: a Kayrros on this machine, to try things out with."""

import contextlib
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.common import Run, command
from kayrros_ext.cli.output import write_json
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from kayrros_ext.testing import Fault, Platform

app = typer.Typer()

_FAULTS = "html, cut, dropped, truncated, bad_gzip"


@command(
    app,
    "mock",
    "kayrros mock",
    "kayrros mock --latency 0.5 --fault 503:0.1 --fault cut:0.05",
    "kayrros mock --prism --port 4011",
)
def mock(
    run: Run,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 for a free one.")] = 4010,
    prism: Annotated[bool, typer.Option("--prism", help="openapi.yaml served by Prism; in a checkout alone.")] = False,
    latency: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Before each answer.")] = 0,
    max_rows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Results of more rows are a 504.", show_default=False)
    ] = None,
    token_lifetime: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="Tokens end after so long.", show_default=False)
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:SHARE]",
            help=f"What goes wrong with a share of the answers, all unless given: a status, or {_FAULTS}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Serve a made-up Kayrros on this machine, until Ctrl-C.

    It is the platform fake, with the datasets of the examples. Prints what to export in another terminal. With -v, says
    each request.
    """
    if prism:
        if latency or max_rows or token_lifetime or fault:
            raise UsageError("--prism answers with examples and knows no faults. Leave out one or the other.")
        serving = _serve_prism(port)
    else:
        serving = _serve_fake(port, latency, max_rows, token_lifetime, fault or [])
    stopped = threading.Event()
    # A shell that starts us in the background has SIGINT ignored; who sends one means it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with serving as variables:
        if run.json:
            write_json(variables)
        else:
            print("\n".join(f"export {name}={value}" for name, value in variables.items()))
        sys.stdout.flush()
        run.say("Set these in another terminal. Ctrl-C stops it.")
        stopped.wait()


@contextlib.contextmanager
def _serve_prism(port: int) -> Iterator[dict[str, str]]:
    from kayrros_ext.testing import prism_mock

    with prism_mock(port=port) as running:
        yield running.settings


@contextlib.contextmanager
def _serve_fake(
    port: int, latency: float, max_rows: int | None, token_lifetime: float | None, faults: list[str]
) -> Iterator[dict[str, str]]:
    import logging

    from kayrros_ext.testing import Answer, Platform, Request

    log = logging.getLogger("kayrros_ext.mock")

    class Talking(Platform):
        """Says each request to the log."""

        def handle(self, request: Request) -> Answer:
            answer = super().handle(request)
            log.info("%s %s %s %s", request.method, request.path, answer.status, request.fault or "")
            self.requests.clear()  # it runs for days, and nobody looks at them
            return answer

    platform = Talking(latency_s=latency, max_rows=max_rows, token_lifetime_s=token_lifetime)
    platform.add_examples()
    for number, text in enumerate(faults):
        _add_fault(platform, text, number)
    with platform.serve(port=port) as url:
        yield platform.environment(url)


def _add_fault(platform: "Platform", text: str, seed: int) -> None:
    name, _, share = text.partition(":")
    try:
        probability = float(share or 1)
    except ValueError:
        probability = -1
    made = _fault(name)
    if made is None or not 0 <= probability <= 1:
        raise UsageError(
            f"--fault is {text!r}. Give a status from 300 to 599 or one of {_FAULTS}, and a share: 503:0.1"
        )
    platform.fail_at_random(made, probability=probability, seed=seed)


def _fault(name: str) -> "Fault | None":
    from kayrros_ext.testing import Fault

    if re.fullmatch(r"[345]\d\d", name):
        return Fault.status(int(name))
    known = {"html": lambda: Fault.html(502), "cut": Fault.cut, "dropped": Fault.dropped, "truncated": Fault.truncated}
    made = {**known, "bad_gzip": Fault.bad_gzip}.get(name)
    return made() if made else None
