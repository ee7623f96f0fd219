"""`kayrros spec`: the OpenAPI document of the API."""

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.output import write_json, write_text


@command(
    """Print the OpenAPI 3.1 document of the API.

    The client is generated from it. It is YAML with comments, or JSON. It marks what the reference says, what was
    observed, and what is assumed.
    """,
    "kayrros spec > openapi.yaml",
    "kayrros spec --json | jq '.paths | keys'",
)
def spec(context: Context) -> None:
    from kayrros_ext.testing.prism import find_spec

    text = find_spec().read_text("utf-8")
    if context.json:
        from kayrros_ext._results.convert import import_optional

        write_json(import_optional("yaml", extra="cli").safe_load(text))
    else:
        write_text(text)
