"""Points at the centroids of assets, as GIS software reads them."""

import sys

import pyarrow as pa
import pyarrow.compute as pc

# What begins each point in WKB: the order of bytes of this machine, and 1, which is a point.
_POINT = bytes([sys.byteorder == "little"]) + (1).to_bytes(4, sys.byteorder)


def centroids(table: pa.Table) -> pa.Array:
    """A point in WKB for each row, x the longitude and y the latitude; null where either is."""
    x, y = (
        table[f"asset_centroid_{axis}"].combine_chunks().view(pa.binary(8)).cast(pa.binary())
        for axis in ("longitude", "latitude")
    )
    return pc.binary_join_element_wise(pa.scalar(_POINT), x, y, pa.scalar(b""))


def bounds(table: pa.Table) -> tuple[float, float, float, float] | None:
    """West, south, east and north of the centroids; None where there is none."""
    x, y = table["asset_centroid_longitude"], table["asset_centroid_latitude"]
    there = pc.and_(x.is_valid(), y.is_valid())
    across, up = pc.min_max(x.filter(there)).as_py(), pc.min_max(y.filter(there)).as_py()
    return None if across["min"] is None else (across["min"], up["min"], across["max"], up["max"])
