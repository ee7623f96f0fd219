"""The mock: openapi.yaml served on loopback by Prism.

It answers with the examples of the spec. These are the same for every id, filters are ignored, and any token is valid. A
request that the spec does not allow gets an error, and its response a header `sl-violations`.
"""

import contextlib
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import attrs

from kayrros_ext.errors import MockError
from kayrros_ext.testing.arguments import PATH, PORT, SECONDS
from kayrros_ext.testing.node import OLDEST, environment, find_node

CHECKOUT = Path(__file__).parents[2]
# Runs in Prism's process before Prism: it works around three faults of Prism, and ends it with its parent.
_PRELOAD = Path(__file__).with_name("prism_preload.mjs")


@attrs.frozen
class PrismMock:
    """A running mock.

    Attributes:
        url: where it listens, for both hosts of the API.
        process: the process that serves it.
    """

    url: str
    process: subprocess.Popen[bytes] = attrs.field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables that point Kayrros here, with an account that is made up."""
        return {
            "KAYRROS_BASE_URL": self.url,
            "KAYRROS_AUTH_URL": self.url,
            "KAYRROS_EMAIL": "analyst@example.com",
            "KAYRROS_PASSWORD": "any-password-will-do",  # nosec B105
        }


@contextlib.contextmanager
def prism_mock(
    *, port: int = 0, spec: Path | str | None = None, checkout: Path | str = CHECKOUT, start_timeout_s: float = 60
) -> Iterator[PrismMock]:
    """Start the mock, wait until it listens, and stop it at the end of the block.

    Args:
        port: port on 127.0.0.1; a free one by default.
        spec: the OpenAPI document; the openapi.yaml of the checkout by default.
        checkout: where node_modules is.
        start_timeout_s: seconds to wait for it.

    Raises:
        MockError: it can't start; the message holds its last lines.
        UsageError: an argument is wrong.
    """
    PORT.check("port", port)
    checkout = Path(PATH.check("checkout", checkout))
    spec = Path(PATH.check("spec", checkout / "openapi.yaml" if spec is None else spec))
    SECONDS.check("start_timeout_s", start_timeout_s)
    command = [*_command(checkout, spec), "--port", str(port)]
    # NODE_ENV=production would make Prism fork, which crashes it.
    variables = {**environment(), "NODE_ENV": "development", "NO_COLOR": "1", "NODE_OPTIONS": ""}
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(  # noqa: S603 - our own Node, our own arguments
            command,
            env=variables,
            stdin=subprocess.PIPE,  # closes when we end: see prism_preload.mjs
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only us, and we stop the mock
        ) as process,
    ):
        try:
            yield PrismMock(_wait_until_it_listens(process, output, port, start_timeout_s), process)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_listens(process: subprocess.Popen[bytes], output: IO[bytes], port: int, timeout_s: float) -> str:
    """Return the URL that Prism prints."""
    deadline = time.monotonic() + timeout_s
    text, has_ended = "", False
    while not has_ended and time.monotonic() < deadline:
        has_ended = process.poll() is not None
        text = os.pread(output.fileno(), 2**20, 0).decode(errors="replace")
        if match := re.search(r"Prism is listening on (http://\S+)", text):
            return match[1]
        time.sleep(0.02)
    lines = text.splitlines()[-40:]
    if not has_ended:
        lines.append(f"(it did not listen within {timeout_s:g} seconds)")
    hint = "Check the spec with `make lint-spec`."
    if "EADDRINUSE" in text:
        hint = f"Another program listens there; choose another port, such as --port {port + 1}."
    raise MockError("\n".join([f"The mock did not start on port {port}. Its last lines:", *lines, ""]), hint=hint)


def _command(checkout: Path, spec: Path) -> list[str]:
    prism = checkout / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
    if not spec.is_file():
        raise MockError(
            f"There is no spec at {spec}.", hint="Run in a checkout of the project, or pass a document as spec=."
        )
    if not prism.is_file():
        raise MockError(f"Prism is not installed in {checkout}.", hint="Run `make setup` there.")
    node = find_node()
    if node is None:
        oldest = ".".join(map(str, OLDEST))
        raise MockError(f"Prism needs Node {oldest} or newer.", hint=f"Run `make setup` in {checkout}.")
    # One process, because a request that crashes a worker of Prism hangs it.
    prism_command = [str(prism), "mock", str(spec), "--host", "127.0.0.1", "--multiprocess", "false"]
    return [str(node.executable), "--import", _PRELOAD.as_uri(), *prism_command]
