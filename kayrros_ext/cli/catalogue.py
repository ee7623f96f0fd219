"""`kayrros collections`, `datasets` and `metadata`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext.cli.common import Run, command
from kayrros_ext.cli.output import Table, terminal_width, visible, write_json
from kayrros_ext.cli.seen import Kind, remember, resolve, suggested_collections, suggested_datasets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kayrros_ext.cli.accounts import Account
    from kayrros_openapi.models import Collection, CollectionDataset

app = typer.Typer()

# Columns that the names of the fields of metadata take, and the gap behind them.
_NAMES = 17

DATASET = typer.Argument(
    metavar="ID",
    help="Id of a dataset; of those that `kayrros datasets` has listed, its beginning or the name will do.",
    autocompletion=suggested_datasets,
    show_default=False,
)


@command(app, "collections", "kayrros collections", "kayrros collections --json | jq -r '.[].id'")
def collections(run: Run) -> None:
    """List the collections that the account can see."""
    with run.connect() as kayrros:
        found = kayrros.collections()
    _list(run, "collections", found)


@command(
    app,
    "datasets",
    'kayrros datasets "Oil storage"',
    "kayrros datasets 5f2d8c34 --json | jq -r '.[].name'",
)
def datasets(
    run: Run,
    collection: Annotated[
        str,
        typer.Argument(
            metavar="COLLECTION",
            help="Id or name of a collection, or its beginning.",
            autocompletion=suggested_collections,
            show_default=False,
        ),
    ],
) -> None:
    """List the datasets of a collection. Afterwards their names will do for their ids."""
    with run.connect() as kayrros:
        account = run.account()
        found = kayrros.datasets(
            resolve(
                account, "collections", collection, ask=lambda: _named(account, "collections", kayrros.collections())
            )
        )
    _list(run, "datasets", found)


@command(
    app,
    "metadata",
    "kayrros metadata 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros metadata 7d3c --json | jq .name",
)
def metadata(run: Run, dataset: Annotated[str, DATASET]) -> None:
    """Show the metadata of a dataset. Its dates are UTC; in JSON, epoch milliseconds as the API gives them."""
    with run.connect() as kayrros:
        account = run.account()
        found = kayrros.metadata(resolve(account, "datasets", dataset)).to_dict()
    if found.get("id") and found.get("name"):
        remember(account, "datasets", {str(found["id"]): str(found["name"])})
    if run.json:
        write_json(found)
        return
    rows = [(name, _moment(value) if name.endswith("_date") else value) for name, value in found.items()]
    width = terminal_width()
    Table("field", "value", whole=["field"]).write([line for row in rows for line in _wrapped(*row, width)])


def _wrapped(name: str, value: object, width: int | None) -> list[tuple[str, str]]:
    """A field in as many lines as its value takes in a terminal; none where it has no value."""
    import textwrap

    if value is None:
        return []
    lines = textwrap.wrap(visible(value), max(width - _NAMES, _NAMES)) if width else [visible(value)]
    return [(name if number == 0 else "", text) for number, text in enumerate(lines or [""])]


def _list(run: Run, kind: Kind, found: "Sequence[Collection | CollectionDataset]") -> None:
    _named(run.account(), kind, found)
    rows: list[dict[str, Any]] = [one.to_dict() for one in found]
    if run.json:
        write_json(rows)
        return
    Table("id", "name", whole=["id"]).write([(row.get("id"), row.get("name")) for row in rows])
    run.say(f"{len(rows):,} {kind if len(rows) != 1 else kind[:-1]}")


def _named(account: "Account", kind: Kind, found: "Sequence[Collection | CollectionDataset]") -> dict[str, str]:
    """Names by id, of those that have both; they are remembered."""
    rows: list[dict[str, Any]] = [one.to_dict() for one in found]
    names = {str(row["id"]): str(row["name"]) for row in rows if row.get("id") and row.get("name")}
    remember(account, kind, names)
    return names


def _moment(value: object) -> object:
    """Epoch milliseconds as a date, with the time where there is one; anything else as it is."""
    from kayrros_ext._inputs import EPOCH, MILLISECOND

    if not isinstance(value, int):
        return value
    try:
        return f"{EPOCH + value * MILLISECOND:%Y-%m-%d %H:%M}".removesuffix(" 00:00")
    except OverflowError:
        return value
