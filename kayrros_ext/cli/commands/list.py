"""`kayrros collections`, `datasets`, `find`, `assets` and `metadata`."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext._arguments import parse_uuid
from kayrros_ext._text import cell_width, format_date, plural, printable
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.name_cache import complete_collections, complete_datasets, load_names, save_names
from kayrros_ext.cli.output import Table, terminal_width, write_json

if TYPE_CHECKING:
    from kayrros_ext.cli.accounts import Account

# Width of the names of metadata fields, with the separator.
_FIELD_WIDTH = 17

DATASET = typer.Argument(
    metavar="DATASET",
    help="Id or name of a dataset, or the beginning of either.",
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
        rows = [item.to_dict() for item in kayrros.collections()]
    _save(context.account(), "collections", rows)
    _write_list(context, "collection", rows, "id", "name")


@command(
    """List the datasets of a collection, or all datasets.""",
    "kayrros datasets",
    'kayrros datasets "Oil storage"',
    "kayrros datasets 5f2d8c34 --json | jq -r '.[].name'",
)
def datasets(
    context: Context,
    collection: Annotated[
        str | None,
        typer.Argument(
            metavar="COLLECTION",
            help="Id or name of a collection, or the beginning of either. [default: all]",
            autocompletion=complete_collections,
            show_default=False,
        ),
    ] = None,
) -> None:
    with context.connect() as kayrros:
        listed = kayrros.datasets(collection)
    rows = [{**dataset.to_dict(), "collection": dataset.collection.to_dict()} for dataset in listed]
    _save(context.account(), "datasets", rows)
    if collection is None:
        _save(context.account(), "collections", [row["collection"] for row in rows])
    cells = [{**row, "collection": row["collection"].get("name")} for row in rows]
    _write_list(context, "dataset", rows, "id", "name", *["collection"] * (collection is None), cells=cells)


@command(
    """Find collections, datasets and assets by name or id.

    They have all words of the text in their name, or its letters at the beginning of their id. Assets are those that other
    commands have shown before.
    """,
    "kayrros find crude",
    "kayrros find 'oil storage' --json | jq -r '.[].id'",
)
def find(context: Context, text: Annotated[str, typer.Argument(metavar="TEXT", help="Words in any order.")]) -> None:
    import attrs

    from kayrros_ext._catalog import Match

    account = context.account()
    cached = load_names(account)
    assets = [
        Match("asset", key, name, dataset=kind.removeprefix("assets of "))
        for kind, names in cached.items()
        if kind.startswith("assets of ")
        for key, name in names.items()
    ]
    with context.connect() as kayrros:
        matches = [*kayrros.find(text), *(asset for asset in assets if asset.matches(text))]
    rows = [attrs.asdict(match) for match in matches]
    for kind in ("collection", "dataset"):
        _save(account, f"{kind}s", [row for row in rows if row["kind"] == kind])
    names = {**cached.get("datasets", {}), **{str(key): name for key, name in kayrros._names.items()}}
    cells = [{**row, "in": row["collection"] or names.get(row["dataset"] or "", row["dataset"])} for row in rows]
    _write_list(context, "match", rows, "kind", "id", "name", "in", cells=cells)
    if not rows and not context.json:
        context.info("Assets are found after `kayrros assets DATASET` or `kayrros results DATASET`.")


@command(
    """List the assets of a dataset. All of its results are read, because the API does not list assets.""",
    "kayrros assets 'crude oil'",
    "kayrros assets 7d3c --json | jq -r '.[].id'",
)
def assets(context: Context, dataset: Annotated[str, DATASET]) -> None:
    from kayrros_ext.cli.progress_bars import results_bar

    with context.connect() as kayrros, results_bar(shown=context.shows_progress) as progress:
        dataset_id = kayrros._dataset_id(dataset)
        rows = [asset._asdict() for asset in kayrros.assets(dataset_id, progress=progress)]
    _save(context.account(), f"assets of {dataset_id}", rows)
    cells = [
        {
            **{name: row[name] for name in ("id", "name")},
            "parent": row["parent_name"] or row["parent_id"],
            "categories": ", ".join(category for category in row["categories"] or () if category),
            "centroid": _format_centroid(row["latitude"], row["longitude"]),
            "dates": f"{row['date_count']:,}",
        }
        for row in rows
    ]
    columns = ("id", "name", "parent", "categories", "centroid", "dates")
    _write_list(context, "asset", rows, *columns, cells=cells)


@command(
    """Show the metadata of a dataset. Dates are in UTC; with --json, they are epoch milliseconds as in the API.""",
    "kayrros metadata 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros metadata 7d3c --json | jq .name",
)
def metadata(context: Context, dataset: Annotated[str, DATASET]) -> None:
    with context.connect() as kayrros:
        fetched = kayrros.metadata(dataset)
    fields = fetched.to_dict()
    _save(context.account(), "datasets", [fields])
    if context.json:
        write_json(fields)
        return
    width = terminal_width()
    from kayrros_ext._results.metadata import readable_fields

    rows = readable_fields(fetched).items()
    Table("field", "value", narrow=[("field",), ("value",)]).write(
        [line for row in rows for line in _wrap(*row, width)]
    )


def _wrap(name: str, value: object, width: int | None) -> list[tuple[str, str]]:
    """Return the rows of a field: one for each line of its value in a terminal, none without a value."""
    import textwrap

    if value is None:
        return []
    text = format_date(value) if isinstance(value, datetime) else printable(str(value))
    if not width:
        return [(name, text)]
    columns = max(width - _FIELD_WIDTH, width // 2)
    lines = textwrap.wrap(text, columns // 2 if cell_width(text) > len(text) else columns) or [""]
    return [(name if index == 0 else "", line) for index, line in enumerate(lines)]


def _save(account: "Account", kind: str, rows: Iterable[dict[str, Any]]) -> None:
    save_names(account, kind, ((row.get("id"), row.get("name")) for row in rows))


def _write_list(
    context: Context, kind: str, rows: list[dict[str, Any]], *columns: str, cells: list[dict[str, Any]] | None = None
) -> None:
    """Write rows as JSON, or columns of them, or of other cells, as a table; then how many they are."""
    if context.json:
        write_json(rows)
        return
    cells = rows if cells is None else cells
    is_wide = Table(*columns).fits([[row.get(column) for column in columns] for row in cells])
    shown = cells if is_wide else _with_short_ids(kind, cells)
    table = Table(
        *columns,
        right=["dates"],
        whole=["kind", "centroid", "dates"],
        narrow=[
            *("categories", "parent", ("in", "collection"), "centroid", "in", "collection"),
            *[("id",)] * (shown is cells),
            ("name",),
        ],
    )
    table.write([[row.get(column) for column in columns] for row in shown])
    context.info(plural(len(rows), kind, "matches" if kind == "match" else ""))


def _with_short_ids(kind: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with the first digits of each UUID, which commands accept if it is not that of an asset."""
    ids = [row.get("id") for row in rows]
    is_asset = ["asset" in {kind, row.get("kind")} for row in rows]
    short = [key if asset or not parse_uuid(key) else str(key)[:8] for key, asset in zip(ids, is_asset, strict=True)]
    is_unique = len(set(short)) == len(set(ids))
    return [{**row, "id": key} for row, key in zip(rows, short, strict=True)] if is_unique else rows


def _format_centroid(latitude: float | None, longitude: float | None) -> str | None:
    return None if latitude is None or longitude is None else f"{latitude:.4f}, {longitude:.4f}"
