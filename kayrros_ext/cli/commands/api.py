"""`kayrros api`: any request, with the login applied."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import FAILED, LOGIN, NOT_FOUND
from kayrros_ext.cli.output import write_json
from kayrros_ext.errors import UsageError

_CODES = {401: LOGIN, 404: NOT_FOUND}


@command(
    "kayrros api GET /v1/processing/collection/list",
    "kayrros api POST /v1/processing/collection/datasets --form collection_id=5f2d8c34",
    'kayrros api POST /v1/processingresult/dataset/7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4 --data \'{"mo_ids": ["tank-1"]}\'',
    prints_data=False,
)
def api(
    context: Context,
    method: Annotated[str, typer.Argument(metavar="METHOD", help="GET, POST, ...", show_default=False)],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path on the data host.", show_default=False)],
    *,
    data: Annotated[
        str | None,
        typer.Option("--data", "-d", metavar="JSON", help="JSON body; @FILE reads a file, and @- stdin."),
    ] = None,
    form: Annotated[
        list[str] | None, typer.Option("--form", "-F", metavar="NAME=VALUE", help="Form field; repeat for several.")
    ] = None,
) -> None:
    """Send any request to the data host, logged in, and print the body of the response.

    It is sent once, without retries, and neither request nor response is compared with the contract. JSON is indented. The
    exit code of an error status is 1, of 401 it is 3, of 404 it is 4.
    """
    if not path.startswith("/") or path.startswith("//"):
        raise UsageError(f"{path!r} is not a path on the data host.", hint="Begin it with one slash: /v1/...")
    if data is not None and form:
        raise UsageError("--data can't be combined with --form.", hint="Give one of them.")
    import httpx

    body = None if data is None else _read_json(data)
    headers = {} if body is None else {"Content-Type": "application/json"}
    fields = _parse_form(form or []) or None
    with context.connect() as kayrros:
        client = kayrros._client.get_httpx_client()
        try:
            with client.stream(method.upper(), path, content=body, data=fields, headers=headers) as response:
                content = response.read()
        except httpx.HTTPError as error:
            raise client.policy.errors.from_exception(f"{method} {path}", error, 1) from error
    context.info(f"{response.status_code} {response.headers.get('Content-Type', 'without a content type')}")
    try:
        write_json(json.loads(content))
    except ValueError:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    if not response.is_success:
        raise typer.Exit(_CODES.get(response.status_code, FAILED))


def _read_json(text: str) -> bytes:
    """Return the JSON that a text, a file or stdin holds."""
    source = "--data"
    try:
        if text.startswith("@"):
            source = "stdin" if text == "@-" else text[1:]
            text = sys.stdin.read() if text == "@-" else Path(text[1:]).expanduser().read_text("utf-8")
        json.loads(text)
    except OSError as error:
        raise UsageError(f"{source} can't be read ({error.strerror}).", hint="Check the path after the @.") from None
    except ValueError as error:
        hint = """Quote it for the shell: --data '{"name": "value"}'."""
        raise UsageError(f"{source} is not JSON ({error}).", hint=hint) from None
    return text.encode()


def _parse_form(fields: list[str]) -> dict[str, list[str]]:
    """Return the values by name of NAME=VALUE texts."""
    form: dict[str, list[str]] = {}
    for field in fields:
        name, separator, value = field.partition("=")
        if not (name and separator):
            raise UsageError(f"--form {field!r} is not NAME=VALUE.", hint="For example: --form collection_id=5f2d8c34")
        form.setdefault(name, []).append(value)
    return form
