"""`kayrros collections`, `kayrros datasets` and `kayrros metadata`."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext._text import cell_width, printable
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.name_cache import Kind, complete_collections, complete_datasets, resolve, save_names
from kayrros_ext.cli.output import Table, terminal_width, write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kayrros_openapi.models import Collection, CollectionDataset

# Width of the names of metadata fields, with the separator.
_FIELD_WIDTH = 17

DATASET = typer.Argument(
    metavar="ID",
    help="Id of a dataset. If `kayrros datasets` has listed it, its name or the beginning of its id or name is enough.",
    autocompletion=complete_datasets,
    show_default=False,
)


@command(
    """List the collections that the account can access.""",
    "kayrros collections",
    "kayrros collections --json | jq -r '.[].id'",
)
def collections(context: Context) -> None:
    with context.connect() as kayrros:
        listed = kayrros.collections()
    _write_list(context, "collections", listed)


@command(
    """List the datasets of a collection. Afterwards, the other commands accept their names.""",
    'kayrros datasets "Oil storage"',
    "kayrros datasets 5f2d8c34 --json | jq -r '.[].name'",
)
def datasets(
    context: Context,
    collection: Annotated[
        str,
        typer.Argument(
            metavar="COLLECTION",
            help="Id or name of a collection, or the beginning of either.",
            autocompletion=complete_collections,
            show_default=False,
        ),
    ],
) -> None:
    with context.connect() as kayrros:
        account = context.account()

        def fetch() -> dict[str, str]:
            return save_names(account, "collections", [item.to_dict() for item in kayrros.collections()])

        listed = kayrros.datasets(resolve(account, "collections", collection, fetch=fetch))
    _write_list(context, "datasets", listed)


@command(
    """Show the metadata of a dataset. Dates are in UTC; with --json, they are epoch milliseconds as in the API.""",
    "kayrros metadata 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros metadata 7d3c --json | jq .name",
)
def metadata(context: Context, dataset: Annotated[str, DATASET]) -> None:
    with context.connect() as kayrros:
        account = context.account()
        from kayrros_ext._results.metadata import readable_fields

        fetched = kayrros.metadata(resolve(account, "datasets", dataset))
    fields = fetched.to_dict()
    save_names(account, "datasets", [fields])
    if context.json:
        write_json(fields)
        return
    width = terminal_width()
    rows = readable_fields(fetched).items()
    Table("field", "value", keep=["value"]).write([line for row in rows for line in _wrap(*row, width)])


def _wrap(name: str, value: object, width: int | None) -> list[tuple[str, str]]:
    """Return the rows of a field: one for each line of its value in a terminal, none without a value."""
    import textwrap

    if value is None:
        return []
    text = f"{value:%Y-%m-%d %H:%M}".removesuffix(" 00:00") if isinstance(value, datetime) else printable(str(value))
    if not width:
        return [(name, text)]
    columns = max(width - _FIELD_WIDTH, width // 2)
    lines = textwrap.wrap(text, columns // 2 if cell_width(text) > len(text) else columns) or [""]
    return [(name if index == 0 else "", line) for index, line in enumerate(lines)]


def _write_list(context: Context, kind: Kind, listed: "Sequence[Collection | CollectionDataset]") -> None:
    rows: list[dict[str, Any]] = [item.to_dict() for item in listed]
    save_names(context.account(), kind, rows)
    if context.json:
        write_json(rows)
        return
    Table("id", "name", keep=["id"]).write([(row.get("id"), row.get("name")) for row in rows])
    context.info(f"{len(rows):,} {kind if len(rows) != 1 else kind[:-1]}")
