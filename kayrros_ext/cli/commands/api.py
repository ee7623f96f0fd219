"""`kayrros api`: any request, with the login applied."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.output import write_json, write_text
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    import httpx


@command(
    """Send any request to the data host, logged in.

    The body of the response is printed. This is for support, and for requests that no command sends. The request is sent
    once, without retries, and nothing is compared with the contract. JSON is indented; a file is written as it is. Secrets
    in JSON and text are hidden. An error status prints its body, too. The path of the login is refused.
    """,
    "kayrros api GET /v1/processing/collection/list",
    "kayrros api POST /v1/processing/collection/datasets \\\n      -F collection_id=5f2d8c34-1a7e-4b90-8d56-e3c47a9b0f12",
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
    if not re.fullmatch(r"[A-Za-z]+", method):
        raise UsageError(f"{method!r} is not an HTTP method.", hint="Give one such as GET or POST.")
    if not path.startswith("/") or path.startswith("//"):
        raise UsageError(f"{path!r} is not a path on the data host.", hint="Begin it with one slash: /v1/...")
    _refuse_login(path)
    if data is not None and form:
        raise UsageError("--data can't be combined with --form.", hint="Give one of them.")
    body = None if data is None else _read_json(data)
    fields = _parse_form(form or []) or None
    import httpx

    with context.connect() as kayrros:
        client, name = kayrros._client.get_httpx_client(), f"{method.upper()} {path}"
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            request = client.build_request(method.upper(), path, content=body, data=fields, headers=headers)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise UsageError(f"The request can't be sent ({error}).", hint="Percent-encode the path.") from None
        try:
            response = client.send(request, stream=True)
            context.info(f"{response.status_code} {response.headers.get('Content-Type', 'without a content type')}")
            content = _print_body(response, client.policy.errors.redact)
        except httpx.HTTPError as error:
            raise client.policy.errors.from_exception(name, error, 1) from error
    if not response.is_success:
        failure = client.policy.errors.from_response(name, response, content, 1)
        if 400 <= failure.status < 500 and failure.status != 401:
            failure.hint_cli = "Check the method, the path and the body."
        raise failure


def _print_body(response: "httpx.Response", redact: Callable[[str], str]) -> bytes:
    """Write a body to stdout; return it if it is JSON, text or of an error, because files don't fit into memory.

    A server may repeat the token, and people send what they see to a support desk.
    """
    media_type = response.headers.get("Content-Type", "").strip().lower()
    is_text = not media_type or media_type.startswith("text/")
    if response.is_success and not is_text and "json" not in media_type:
        if sys.stdout.isatty():
            for text in response.iter_text():
                write_text(text)
        else:
            for chunk in response.iter_bytes():
                sys.stdout.buffer.write(chunk)
        return b""
    from kayrros_ext._http.errors import PAGE

    content = response.read()
    if response.is_success and is_text and not sys.stdout.isatty():  # byte by byte, whatever its encoding
        text = redact(content.decode(errors="surrogateescape"))
        sys.stdout.buffer.write(text.encode(errors="surrogateescape"))
        return content
    text = redact(response.text)
    try:
        write_json(json.loads(text))
    except (ValueError, RecursionError):
        is_error = not response.is_success
        if not (is_error and sys.stdout.isatty() and PAGE.match(text)):  # the message has the title of a page
            write_text(text.removesuffix("\n") + "\n" if is_error else text)
    return content


def _refuse_login(path: str) -> None:
    """Raise UsageError for the path of the login, in any spelling, because its response is a new token."""
    import posixpath
    from urllib.parse import unquote

    from kayrros_ext._auth.login import LOGIN_PATH

    if posixpath.normpath(unquote(re.split(r"[?#]", path)[0])).lower() == LOGIN_PATH:
        raise UsageError(f"{path!r} prints a new token.", hint="Use `kayrros login`.")


def _read_json(text: str) -> bytes:
    """Return the JSON that a text, a file or stdin holds."""
    source = "--data"
    try:
        if text.startswith("@"):
            source = "stdin" if text == "@-" else text[1:]
            text = sys.stdin.read() if text == "@-" else Path(text[1:]).expanduser().read_text("utf-8")
        json.loads(text)
        return text.encode()
    except OSError as error:
        raise UsageError(f"{source} can't be read ({error.strerror}).", hint="Check the path after the @.") from None
    except (ValueError, RecursionError) as error:
        hint = """Quote it for the shell: --data '{"name": "value"}'."""
        raise UsageError(f"{source} is not JSON ({error}).", hint=hint) from None


def _parse_form(fields: list[str]) -> dict[str, list[str]]:
    """Return the values by name of NAME=VALUE texts."""
    form: dict[str, list[str]] = {}
    for field in fields:
        name, separator, value = field.partition("=")
        if not (name and separator):
            raise UsageError(f"--form {field!r} is not NAME=VALUE.", hint="For example: --form collection_id=ID")
        form.setdefault(name, []).append(value)
    return form
