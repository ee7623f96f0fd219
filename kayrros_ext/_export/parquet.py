"""Tables to a Parquet or GeoParquet file, part by part."""

import json
from collections.abc import Mapping
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from kayrros_ext._results.geometry import bounds, centroids
from kayrros_ext._results.schema import RESULTS

# Rows of a row group, whatever the size of the parts: few enough to hold in memory, enough to compress and to skip by.
ROW_GROUP = 2**19

# Without a coordinate system a geometry column is OGC:CRS84 (GeoParquet 1.1), longitude and latitude of WGS 84, which
# geopandas does not take for EPSG:4326. In GeoParquet the order of the axes is x, y all the same.
_AXES = [
    {"name": "Geodetic latitude", "abbreviation": "Lat", "direction": "north", "unit": "degree"},
    {"name": "Geodetic longitude", "abbreviation": "Lon", "direction": "east", "unit": "degree"},
]
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


class ParquetSink:
    """A Parquet file in the making."""

    def __init__(self, file: IO[bytes], schema: pa.Schema = RESULTS) -> None:
        # The values hardly repeat: to look for repetition among them costs time, and gains nothing.
        repeating = [name for name in schema.names if name != "value"]
        self._writer = pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeating)
        self._waiting = schema.empty_table()

    def write(self, table: pa.Table) -> None:
        """Write all whole row groups that there are now, and keep the rest."""
        self._waiting = pa.concat_tables([self._waiting, table])
        whole = self._waiting.num_rows - self._waiting.num_rows % ROW_GROUP
        for start in range(0, whole, ROW_GROUP):
            self._write_group(self._waiting.slice(start, ROW_GROUP))
        if whole:
            rest = self._waiting.slice(whole)
            # A copy: a slice would keep all that it was cut from in memory.
            self._waiting = rest.take(pa.array(range(rest.num_rows), pa.int64()))

    def end(self, facts: Mapping[str, str]) -> None:
        """Write what waits, then `facts` and the units of the columns into the metadata of the file."""
        if self._waiting.num_rows:
            self._write_group(self._waiting)
        # Arrow keeps the units in a schema of its own; here others find them.
        units = {field.name: field.metadata[b"unit"].decode() for field in RESULTS if field.metadata}
        self._writer.add_key_value_metadata({**facts, "units": json.dumps(units)})
        self._writer.close()

    def abandon(self) -> None:
        """Write no more, not even when the garbage is collected."""
        self._writer.is_open = False

    def _write_group(self, table: pa.Table) -> None:
        # A column chunk has one dictionary; with another the writer gives up on dictionaries.
        self._writer.write_table(table.unify_dictionaries(), ROW_GROUP)


class GeoParquetSink(ParquetSink):
    """A GeoParquet file in the making: version 1.1, points in WKB."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, RESULTS.append(pa.field("geometry", pa.binary())))
        self._bounds: list[tuple[float, float, float, float]] = []

    def write(self, table: pa.Table) -> None:
        """Add the points, and write as for Parquet."""
        if box := bounds(table):
            self._bounds.append(box)
        super().write(table.append_column("geometry", centroids(table)))

    def end(self, facts: Mapping[str, str]) -> None:
        """Write what waits, and the metadata of the file with the bounds of all points."""
        column = {"encoding": "WKB", "geometry_types": ["Point"], "crs": EPSG_4326}
        if self._bounds:
            west, south, east, north = zip(*self._bounds, strict=True)
            column["bbox"] = [min(west), min(south), max(east), max(north)]
        geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
        super().end({**facts, "geo": json.dumps(geo)})
