"""The columns of the results tables, with their types and units. No other module declares a column."""

import pyarrow as pa

# Names and ids repeat on every row, so each is stored once.
LABEL = pa.dictionary(pa.int32(), pa.string())
INTEGER, DOUBLE, STRINGS = pa.int64(), pa.float64(), pa.list_(pa.string())


def _field(name: str, kind: pa.DataType, unit: str | None = None) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit} if unit else None)


# Types are from the API reference. Units: square metres are in the name, degrees are assumed.
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
        # The API gives no units of metrics: the name of the metric tells a user.
        _field("value", DOUBLE, "that of the metric"),
    ]
)
# A row per asset. date_count counts its dates, with metrics or without.
ASSETS = pa.schema([*ASSET_FIELDS, _field("date_count", INTEGER)])
# A row per asset and date that has no metric.
WITHOUT_METRICS = pa.schema([ASSET_FIELDS[0], VALUE_DATE])
