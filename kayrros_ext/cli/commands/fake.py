"""`kayrros fake`: a fake platform on this machine, to try things out."""

import contextlib
import fnmatch
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.serving import Port, serve_until_stopped
from kayrros_ext.errors import KayrrosError, UsageError

if TYPE_CHECKING:
    from kayrros_ext.testing import Platform, Request, Response

_FAULTS = "html, cut, dropped, truncated, bad_gzip"
_LARGE = "b16da7a5-0000-4000-8000-000000000001"
_LARGE_NOTES = (
    "In that terminal, try these and press Ctrl-C:",
    "kayrros results large -o large.parquet",
    "kayrros download large",
)


@command(
    """Serve a fake Kayrros platform on this machine until Ctrl-C.

    It has the datasets of the documentation. The command prints the variables to export in another terminal; with -v, it
    logs each request. Faults do not apply to logins, except with `login=`.
    """,
    "kayrros fake",
    "kayrros fake --large",
    "kayrros fake --latency 0.5 --fault 503:0.1 --fault cut:0.05",
    "kayrros fake --fault 403 --fault login=503:0.5",
    "kayrros fake --from session.har",
    "kayrros fake --proxy https://platform.api.kayrros.com --record session.har",
)
def fake(
    context: Context,
    *,
    port: Port = 4010,
    recording: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Serve a recorded session (HAR) instead.", show_default=False),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send requests on to this platform, with your own login.", show_default=False),
    ] = None,
    path: Annotated[
        list[str] | None,
        typer.Option(
            "--path", metavar="PATTERN", help="Paths to send on with --proxy. [default: all]", show_default=False
        ),
    ] = None,
    record: Annotated[
        Path, typer.Option("--record", metavar="FILE", help="Where --proxy records, without secrets and content.")
    ] = Path("session.har"),
    latency: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Delay of each response.")] = 0,
    large: Annotated[
        bool, typer.Option("--large", help="Add a large, slow dataset, to try windows, progress and Ctrl-C.")
    ] = False,
    max_rows: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Answer 504 to requests for more rows of results.", show_default=False),
    ] = None,
    token_lifetime: Annotated[
        float | None,
        typer.Option(min=0, metavar="SECONDS", help="Let tokens expire after this time.", show_default=False),
    ] = None,
    rate_limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Answer 429 to more than N requests a second.", show_default=False),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[OPERATION=]NAME[:SHARE]",
            help=f"Inject a fault into all responses, or a share of them: a status, or {_FAULTS}.",
            show_default=False,
        ),
    ] = None,
) -> None:
    if recording and (proxy or large):
        raise UsageError("--from can't be combined with --proxy or --large.", hint="Omit it, or the others.")
    if proxy and large:
        raise UsageError("--proxy can't be combined with --large.", hint="Omit one of them.")
    if path and not proxy:
        raise UsageError("--path is for --proxy.", hint="Give both, or omit --path.")
    settings = {"latency_s": latency, "max_rows": max_rows, "max_requests_per_second": rate_limit}
    settings["token_lifetime_s"] = token_lifetime
    handle = _Proxy(proxy, path or ["*"], context.profile) if proxy else None
    with _serve_fake(port, fault or [], settings, large=large, recording=recording, proxy=handle) as variables:
        try:
            serve_until_stopped(context, variables, "fake", _LARGE_NOTES if large else ())
        finally:
            if handle:
                handle.write(record)
                context.info(f"The session is recorded in {record}.")


@contextlib.contextmanager
def _serve_fake(
    port: int,
    faults: list[str],
    settings: dict[str, Any],
    *,
    large: bool,
    recording: Path | None = None,
    proxy: "_Proxy | None" = None,
) -> Iterator[dict[str, str]]:
    import logging

    from kayrros_ext.testing import Platform, Request, Response

    log = logging.getLogger("kayrros_ext.fake")

    class _LoggingPlatform(Platform):
        """Logs each request."""

        def handle(self, request: Request) -> Response:
            response = super().handle(request)
            log.info("%s %s %s %s", request.method, request.path, response.status, request.fault or "")
            self.requests.clear()  # the list would grow for as long as the fake runs
            return response

    platform = _LoggingPlatform.from_har(recording, **settings) if recording else _LoggingPlatform(**settings)
    if proxy:
        proxy.local = platform
        platform.recording = proxy.answer
    platform.add_examples()
    for seed, text in enumerate(faults):
        _add_fault(platform, text, seed)
    if large:
        _add_large_dataset(platform)
    with platform.serve(port=port) as url:
        yield platform.environment(url)


class _Proxy:
    """Sends requests on to a platform, with the user's own login, and records them. Other paths are for the fake.

    `local` is the fake.
    """

    local: "Platform"

    def __init__(self, url: str, patterns: list[str], profile: str | None) -> None:
        from kayrros_ext._auth.login import LoginAuth
        from kayrros_ext._auth.token_cache import cache_of
        from kayrros_ext._config.credentials import Source
        from kayrros_ext._config.settings import Settings
        from kayrros_ext._http.transport import connection_options
        from kayrros_ext.testing.recorder import Recorder

        self._settings = settings = Settings.load(Source("arguments", base_url=url), profile=profile)
        self._auth = LoginAuth(settings, connection_options(settings, None, verify=True), cache_of(settings))
        self._recorder, self._patterns = Recorder(settings, auth=self._auth), patterns

    def answer(self, request: "Request") -> "Response | None":
        """Return the answer of the platform, or of the fake for another path."""
        from kayrros_ext.testing.http import Response, error_response
        from kayrros_ext.testing.operations import carry_out

        path = request.path.partition("?")[0]
        if not any(fnmatch.fnmatchcase(path, pattern) for pattern in self._patterns):
            return carry_out(self.local, request)
        kept = {name: value for name, value in request.headers.items() if name in {"accept", "content-type", "range"}}
        url = f"{str(self._settings.base_url).rstrip('/')}{request.path}"
        try:
            exchange = self._recorder.send(
                request.operation,
                request.method,
                url,
                headers=kept,
                content=request.body,
                limit=self._settings.max_body,
            )
        except KayrrosError as error:
            return error_response(502, "BAD_GATEWAY", f"The login at the platform failed: {type(error).__name__}")
        if not exchange.status:
            return error_response(502, "BAD_GATEWAY", f"The platform did not answer: {exchange.problem}")
        dropped = {"content-encoding", "content-length", "transfer-encoding", "connection", "set-cookie"}
        headers = {name.title(): value for name, value in exchange.headers.items() if name not in dropped}
        return Response(exchange.status, headers, [exchange.body] if exchange.body else [], len(exchange.body))

    def write(self, path: Path) -> None:
        """Write the recorded session without secrets and content."""
        import json

        import httpx

        from kayrros_ext._config.settings import BASE_URL
        from kayrros_ext._files import write_output
        from kayrros_ext.testing.har import Redactor
        from kayrros_ext.testing.prism import find_spec
        from kayrros_ext.testing.spec import load_spec

        document = load_spec(find_spec().read_text("utf-8"))
        base = self._settings.base_url
        redactor = Redactor(document, hosts={base.netloc.decode("ascii"): BASE_URL, httpx.URL(BASE_URL).host: BASE_URL})
        text = self._auth.redact(json.dumps(redactor.to_har(self._recorder.exchanges), indent=1))
        with write_output(path) as file:
            file.write(text.encode())


def _add_fault(platform: "Platform", text: str, seed: int) -> None:
    from kayrros_ext.testing import Fault
    from kayrros_ext.testing.operations import OPERATIONS

    operation, separator, fault_text = text.rpartition("=")
    ids = [item.id for item in OPERATIONS]
    if separator and operation not in ids:
        raise UsageError(f"--fault {text!r} is for no operation.", hint=f"Give one of {', '.join(ids)}: login=503:0.1")
    name, _, share = fault_text.partition(":")
    factories = {"cut": Fault.cut, "dropped": Fault.dropped, "truncated": Fault.truncated, "bad_gzip": Fault.bad_gzip}
    try:
        fault = Fault.html(502) if name == "html" else factories[name]() if name in factories else int(name)
        rule = platform.fail_at_random(fault, probability=float(share or 1), seed=seed, operation=operation or None)
    except (UsageError, ValueError):
        raise UsageError(
            f"--fault {text!r} is invalid.",
            hint=f"Give a status from 300 to 599 or one of {_FAULTS}, and a share from 0 to 1: 503:0.1",
        ) from None
    if not operation:
        draw = rule.matches
        rule.matches = lambda request: request.operation != "login" and draw(request)


def _add_large_dataset(platform: "Platform") -> None:
    """Add 208,800 rows that come in no single response, and a file of 32 MiB. Both arrive at a megabyte a second or so."""
    from kayrros_ext.testing import Fault, StaticFile

    file = StaticFile(32 * 1024**2, "large.bin", ranges=True)
    dataset = platform.generate(id=_LARGE, name="Large dataset", assets=200, dates=522, start="2015-01-06", file=file)
    platform.add_collection("Large datasets", [dataset])
    platform.max_rows = platform.max_rows or 20_000
    platform.fail_when(lambda request: dataset.id in request.path, Fault.slow(pause_s=0.25, chunk_bytes=2**18))
