"""Select assets by id or name, and metrics by name."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._results.merge import merge_assets
from kayrros_ext._results.model import Results
from kayrros_ext._results.schema import strings
from kayrros_ext._text import list_names
from kayrros_ext.errors import UsageError


class Asset(NamedTuple):
    """An asset of a dataset: a row of `Results.assets`, so pandas and polars make a DataFrame of a list of them."""

    id: str | None
    name: str | None
    version: int | None
    categories: list[str] | None
    latitude: float | None
    longitude: float | None
    surface_area_m2: float | None
    parent_id: str | None
    parent_name: str | None
    parent_version: int | None
    date_count: int


def to_assets(table: pa.Table) -> list[Asset]:
    """Return the rows of a table of assets."""
    return [Asset(*row.values()) for row in table.to_pylist()]


def read_assets(parts: Iterable[Results]) -> pa.Table:
    """Return the assets of all parts, each once. Only one part at a time is in memory."""
    table = None
    for part in parts:
        table = part.assets if table is None else merge_assets(pa.concat_tables([table, part.assets]))
    return table


def find_assets(values: Iterable[str], assets: pa.Table) -> list[str]:
    """Return the ids of assets by their ids or names, each once.

    Raises:
        UsageError: no asset has a name or id, or several have a name.
    """
    matches: dict[str, dict[str, None]] = {}  # ids by the folded name
    ids, names = (assets[column].cast(pa.string()).to_pylist() for column in ("asset_id", "asset_name"))
    for asset_id, name in zip(ids, names, strict=True):
        if asset_id and name:
            matches.setdefault(name.casefold(), {})[asset_id] = None
    existing = set(ids)
    by_value = {value: [value] if value in existing else [*matches.get(value.casefold(), ())] for value in values}
    for value, several in by_value.items():
        if len(several) > 1:
            text = f"{len(several):,} assets have the name {value!r}: {list_names(several)}."
            raise UsageError(text, hint="Pass the id of one of them.")
    if unknown := [value for value, several in by_value.items() if not several]:
        near = list_names(filter(None, [*names, *ids]), near=unknown[0])
        more = f", nor {len(unknown) - 1:,} more of those requested" if len(unknown) > 1 else ""
        text = f"The dataset has no asset {unknown[0]!r:.80}{more}."
        raise UsageError(text, hint=f"Available ids and names: {near}.")
    return list(dict.fromkeys(asset_id for [asset_id] in by_value.values()))


def filter_metrics(parts: Iterable[Results], metrics: list[str]) -> Iterator[Results]:
    """Yield the rows of some metrics, because the API can't filter them.

    Raises:
        UsageError: no row has one of the metrics; after the last part.
    """
    available: set[str] = set()
    for part in parts:
        names = part.table["metric"].cast(pa.string())
        available.update(name for name in names.unique().to_pylist() if name is not None)
        rows = part.table.filter(pc.is_in(names, strings(metrics)))
        yield attrs.evolve(part, table=rows, query={**part.query, "metrics": ", ".join(metrics)})
    missing = [name for name in metrics if name not in available]
    if missing and available:
        choices = list_names(available, near=missing[0])
        raise UsageError(f"No row has the metric {missing[0]!r:.80}.", hint=f"Available metrics: {choices}.")
