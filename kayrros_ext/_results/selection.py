"""Select assets by id or name, and metrics by name."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import attrs
import pyarrow as pa
import pyarrow.compute as pc

from kayrros_ext._progress import warn
from kayrros_ext._results.merge import merge_assets
from kayrros_ext._results.model import Results
from kayrros_ext._results.reader import sort_table
from kayrros_ext._results.schema import strings
from kayrros_ext._text import fold, list_names
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
    """Return the assets of all parts, each once, ordered by id. Only one part at a time is in memory."""
    table = None
    for part in parts:
        table = part.assets if table is None else merge_assets(pa.concat_tables([table, part.assets]))
    return table if table is None else sort_table(table, by=["asset_id"])


def find_assets(values: Iterable[str], assets: pa.Table) -> list[str]:
    """Return the ids of assets by their ids or names, each once.

    Raises:
        UsageError: no asset has a name or id, or several have a name.
    """
    exact: dict[str, dict[str, None]] = {}  # ids by name
    folded: dict[str, dict[str, None]] = {}
    ids, names = (assets[column].cast(pa.string()).to_pylist() for column in ("asset_id", "asset_name"))
    for asset_id, name in zip(ids, names, strict=True):
        if asset_id and name:
            exact.setdefault(name, {})[asset_id] = folded.setdefault(fold(name), {})[asset_id] = None
    exact |= {key: {key: None} for key in ids if key}
    by_value = {value: [*(exact.get(value) or folded.get(fold(value)) or ())] for value in values}
    for value, several in by_value.items():
        if len(several) > 1:
            text = f"{len(several):,} assets have the name {value!r}: {list_names(several)}."
            raise UsageError(text, hint="Pass the id of one of them.")
    if unknown := [value for value, several in by_value.items() if not several]:
        near = list_names(filter(None, (name or key for key, name in zip(ids, names, strict=True))), near=unknown[0])
        text = f"The dataset has no asset {', '.join(f'{value!r:.80}' for value in unknown[:20])}"
        text += f", and {len(unknown) - 20:,} more are unknown" if len(unknown) > 20 else ""
        hint = f"Available names: {near}."
        raise UsageError(f"{text}.", hint=hint, hint_cli=f"{hint} `kayrros assets DATASET` lists them.")
    return list(dict.fromkeys(asset_id for [asset_id] in by_value.values()))


def find_metric(value: str, table: pa.Table) -> str:
    """Return the name of a metric of a table. Case and blanks do not matter, unless they tell two metrics apart.

    Raises:
        UsageError: no row has the metric, or several metrics differ only in case and blanks.
    """
    available = pc.unique(table["metric"].cast(pa.string())).drop_null().to_pylist()
    matches = [value] if value in available else [name for name in available if fold(name) == fold(str(value))]
    if len(matches) > 1:
        text = f"{len(matches):,} metrics have the name {value!r:.80}: {list_names(map(repr, matches))}."
        raise UsageError(text, hint="Pass one of them, in its own case.")
    if not matches:
        choices = list_names(available, near=str(value))
        raise UsageError(f"No row has the metric {value!r:.80}.", hint=f"Available metrics: {choices}.")
    return str(matches[0])


def filter_metrics(parts: Iterable[Results], metrics: list[str]) -> Iterator[Results]:
    """Yield the rows of some metrics, because the API can't filter them. Warn of a metric if there are no rows at all.

    Case and blanks never matter, because a later part may have a metric that differs only in these.

    Raises:
        UsageError: no row has one of the metrics; after the last part.
    """
    available: dict[str, str] = {}  # each name as `fold` makes it
    folded = {*map(fold, metrics)}
    for part in parts:
        names = part.table["metric"].cast(pa.string())
        available |= {name: fold(name) for name in names.unique().to_pylist() if name is not None}
        rows = part.table.filter(pc.is_in(names, strings([name for name in available if available[name] in folded])))
        yield attrs.evolve(part, table=rows, query={**part.query, "metrics": ", ".join(metrics)})
    missing = [name for name in metrics if fold(name) not in available.values()]
    if missing and not available:
        warn("No row has the metric %r; there are no rows.", missing[0])
    elif missing:
        find_metric(missing[0], pa.table({"metric": strings(available)}))  # raises
