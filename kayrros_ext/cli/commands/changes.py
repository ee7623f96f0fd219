"""`kayrros changes`."""

import sys
from typing import Annotated, Any

import typer

from kayrros_ext._text import format_date, plural
from kayrros_ext.cli.commands.results import MAX_ROWS
from kayrros_ext.cli.commands.sync import LOCATION
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import CHANGED
from kayrros_ext.cli.output import Table, write_json

_FIELDS = ["dataset_id", "asset_id", "value_date", "metric", "kind", "old", "new", "seen_at"]


@command(
    """Show what the last syncs of a mirror have brought.

    Without --since, that is what the last run of each dataset has seen, and runs before it that did not end.
    """,
    "kayrros changes mirror/ --since 2024-01",
    "kayrros changes mirror/ --since 2024-01 --json | jq -r '.[].asset_id'",
    "kayrros changes mirror/ DATASET --exit-code",
)
def changes(
    context: Context,
    location: Annotated[str, LOCATION],
    dataset: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DATASET]...", help="Ids or names of datasets. [default: all]", show_default=False),
    ] = None,
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="DATE", help="First moment, like 2026-03-01T12:00.", show_default=False),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show all changes in a terminal, not only the first {MAX_ROWS}.")
    ] = False,
    code: Annotated[bool, typer.Option("--exit-code", help=f"Exit with {CHANGED} if there are changes.")] = False,
) -> None:
    from kayrros_ext.mirror import Mirror

    mirror = Mirror(location)
    keys = [mirror._key(name) for name in dataset] if dataset else None
    table = mirror.changes("last" if since is None else since, keys)
    if context.json:
        write_json([_to_json(row) for row in table.select(_FIELDS).to_pylist()])
    else:
        limit = MAX_ROWS if sys.stdout.isatty() and not show_all else table.num_rows
        _write_table(table.slice(0, limit).to_pylist(), {str(key): name for key, name in mirror.datasets().items()})
        more = f"{limit} of " if limit < table.num_rows else ""
        context.info(f"{more}{plural(table.num_rows, 'change')}{'. Add --all to see them.' if more else ''}")
    if code and table.num_rows:
        raise typer.Exit(CHANGED)


def _to_json(row: dict[str, Any]) -> dict[str, Any]:
    dates = {name: row[name] and row[name].isoformat().replace("+00:00", "Z") for name in ("value_date", "seen_at")}
    return {**row, **dates}


def _write_table(rows: list[dict[str, Any]], names: dict[str, str | None]) -> None:
    columns = ["dataset", *_FIELDS[1:]]
    table = Table(
        *columns,
        right=["old", "new"],
        whole=["value_date", "kind", "old", "new"],
        narrow=["seen_at", ("dataset",), "dataset", ("asset_id",), ("metric",), "metric"],
    )
    shown = [{**row, "dataset": names.get(row["dataset_id"]) or row["dataset_id"]} for row in rows]
    for row in shown:
        row |= {name: format_date(row[name]) if row[name] else None for name in ("value_date", "seen_at")}
    table.write([[row[column] for column in columns] for row in shown])
