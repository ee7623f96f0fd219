"""The tables of a results answer: their schemas, declared here and nowhere else."""

from typing import NoReturn

import attrs
import pyarrow as pa

from kayrros_ext.errors import ContractError

# Names and ids repeat on every row: each is stored once.
LABEL = pa.dictionary(pa.int32(), pa.string())
# JSON has no other numbers than these in the contract.
INTEGER, DOUBLE, STRINGS = pa.int64(), pa.float64(), pa.list_(pa.string())


def _field(name: str, kind: pa.DataType, unit: str | None = None) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


# Types: the reference. Units: the name says m2; degrees are assumed.
ASSET_FIELDS = [
    _field("asset_id", LABEL),
    _field("asset_name", LABEL),
    _field("asset_version", INTEGER),
    _field("asset_categories", STRINGS),
    _field("asset_centroid_latitude", DOUBLE, "degree_north"),
    _field("asset_centroid_longitude", DOUBLE, "degree_east"),
    _field("asset_surface_area_m2", DOUBLE, "m2"),
    _field("parent_asset_id", LABEL),
    _field("parent_asset_name", LABEL),
    _field("parent_asset_version", INTEGER),
]
VALUE_DATE = _field("value_date", pa.timestamp("us", tz="UTC"), "us since 1970-01-01T00:00:00Z")

# A row per asset, date and metric.
RESULTS = pa.schema(
    [
        *ASSET_FIELDS,
        VALUE_DATE,
        _field("metric", LABEL),
        # The API gives no units of metrics; by its name is how a user knows.
        _field("value", DOUBLE, "that of the metric"),
    ]
)
# A row per asset; how many dates it has, with metrics or without.
ASSETS = pa.schema([*ASSET_FIELDS, _field("date_count", INTEGER)])
# A row per asset and date for which the answer holds no metric.
WITHOUT_METRICS = pa.schema([ASSET_FIELDS[0], VALUE_DATE])

# How unknown fields are named, by the objects they are in.
OF_ASSET, OF_RESULT, OF_METRIC = "assets[].", "assets[].results[].", "assets[].results[].metrics[]."


@attrs.frozen
class Tables:
    """The three tables of some assets, in their order."""

    table: pa.Table
    assets: pa.Table
    without_metrics: pa.Table


def refuse(value: object, where: str, expected: str) -> NoReturn:
    """Raise the error for a value that is not what the contract says.

    Raises:
        ContractError: always.
    """
    raise ContractError(
        f"the results hold {_short(value)} at `{where}`, where the contract says {expected}",
        operation="getDatasetResults",
        where=where,
    )


def not_json(reason: object) -> ContractError:
    """The error for a body that is no JSON; it has no `where`, since there are no members to name."""
    return ContractError(f"the results are not JSON ({reason})", operation="getDatasetResults")


def _short(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    return f"{value!r:.80}"
