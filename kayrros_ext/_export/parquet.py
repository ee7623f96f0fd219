"""Write tables to a Parquet or GeoParquet file, part by part."""

import base64
import json
from collections.abc import Mapping
from typing import IO, Any

import attrs
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kayrros_ext._results.convert import centroids
from kayrros_ext._results.model import Results
from kayrros_ext._results.schema import int64s

# Rows of a row group, whatever the size of the parts: few enough for memory, enough to compress well and to skip by.
ROW_GROUP = 2**19

_AXES = [
    {"name": "Geodetic latitude", "abbreviation": "Lat", "direction": "north", "unit": "degree"},
    {"name": "Geodetic longitude", "abbreviation": "Lon", "direction": "east", "unit": "degree"},
]
# Without a coordinate system a geometry column is OGC:CRS84 (GeoParquet 1.1), which geopandas does not treat as EPSG:4326.
# GeoParquet orders coordinates x, y in both.
EPSG_4326 = {
    "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
    "type": "GeographicCRS",
    "name": "WGS 84",
    "datum": {
        "type": "GeodeticReferenceFrame",
        "name": "World Geodetic System 1984",
        "ellipsoid": {"name": "WGS 84", "semi_major_axis": 6378137, "inverse_flattening": 298.257223563},
    },
    "coordinate_system": {"subtype": "ellipsoidal", "axis": _AXES},
    "id": {"authority": "EPSG", "code": 4326},
}


class ParquetWriter:
    """Writes a Parquet file with row groups of one size."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        # Values hardly repeat, so a dictionary of them costs time and saves nothing.
        repeating = [name for name in schema.names if name != "value"]
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeating)
        self._buffer = pa.Table.from_batches([], schema)

    def write(self, part: Results) -> None:
        """Write all complete row groups, and buffer the rest."""
        self._buffer = pa.concat_tables([self._buffer, part.table])
        complete = self._buffer.num_rows - self._buffer.num_rows % ROW_GROUP
        for start in range(0, complete, ROW_GROUP):
            # A column chunk has one dictionary. With a second one the writer stops to use dictionaries.
            self._writer.write_table(self._buffer.slice(start, ROW_GROUP).unify_dictionaries(), ROW_GROUP)
        if complete:
            rest = self._buffer.slice(complete)
            # A copy, because a slice keeps the whole table in memory.
            self._buffer = rest.take(int64s(range(rest.num_rows)))

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the buffered rows and the metadata, which pyarrow reads from the schema as well."""
        self._writer.write_table(self._buffer.unify_dictionaries(), ROW_GROUP)
        schema = self._buffer.schema.with_metadata(dict(metadata)).serialize().to_pybytes()
        self._writer.add_key_value_metadata({**metadata, "ARROW:schema": base64.b64encode(schema)})
        self._writer.close()

    def abandon(self) -> None:
        """Write no more, not even when the writer is garbage-collected."""
        self._writer.is_open = False


class GeoParquetWriter(ParquetWriter):
    """Writes a GeoParquet 1.1 file with the centroids as points in WKB."""

    def __init__(self, file: IO[bytes], schema: pa.Schema) -> None:
        super().__init__(file, schema.append(pa.field("geometry", pa.binary())))
        self._x: list[float] = []
        self._y: list[float] = []

    def write(self, part: Results) -> None:
        """Add the points to the table, and write it as Parquet."""
        x, y = part.table["asset_centroid_longitude"], part.table["asset_centroid_latitude"]
        has_point = pc.and_(x.is_valid(), y.is_valid())
        if pc.any(has_point).as_py():
            self._x += pc.min_max(x.filter(has_point)).as_py().values()
            self._y += pc.min_max(y.filter(has_point)).as_py().values()
        super().write(attrs.evolve(part, table=part.table.append_column("geometry", centroids(part.table))))

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write the buffered rows, and the metadata with the bounds of all points."""
        column: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Point"], "crs": EPSG_4326}
        if self._x:
            column["bbox"] = [min(self._x), min(self._y), max(self._x), max(self._y)]
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
        super().close({**metadata, "geo": json.dumps(geo)})
