"""The results of a dataset as Arrow tables."""

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Self

import attrs

from kayrros_ext.errors import KayrrosError, UsageError

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Unpack

    import geopandas as gpd
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from matplotlib.figure import Figure

    from kayrros_ext.plots import Options

# Of unknown fields, in a log line.
MOST_NAMED = 20

_log = logging.getLogger("kayrros_ext")


@attrs.frozen
class Gap:
    """A part of a dataset's results that could not be had.

    Attributes:
        start: its first moment, in UTC.
        stop: its last.
        assets: ids of its assets; None for all.
        error: why; None where it was not asked for any more.
    """

    start: datetime
    stop: datetime
    assets: tuple[str, ...] | None = None
    error: KayrrosError | None = None

    def __str__(self) -> str:
        """From when to when, and of how many assets."""
        of = f" of {len(self.assets):,} assets" if self.assets else ""
        return f"{self.start:%Y-%m-%dT%H:%M:%SZ} to {self.stop:%Y-%m-%dT%H:%M:%SZ}{of}"


@attrs.frozen(repr=False, eq=False)
class Results:
    """Results of a dataset: every metric of every date of every asset.

    Takes part in the Arrow PyCapsule interface, so polars.DataFrame(results), pandas.DataFrame.from_arrow(results) and a
    query of DuckDB take it as it is.

    Attributes:
        table: a row per asset, date and metric, in that order from `Kayrros`, in the order of the answer from
            `from_json`. Columns: the ten of `assets` that describe the asset, then value_date (timestamp, microseconds,
            UTC), metric (name), value (float64; the API gives no unit). Units stand in the metadata of the fields, under
            `unit`.
        assets: a row per asset, also of one without results: asset_id, asset_name, asset_version, asset_categories
            (list), asset_centroid_latitude and asset_centroid_longitude (degrees), asset_surface_area_m2,
            parent_asset_id, parent_asset_name, parent_asset_version, and date_count, its number of dates.
        without_metrics: a row per asset and date (asset_id, value_date) that came without a metric, and so has no row in
            `table`.
        processing_id: id of the processing that made the results, if the answer has one.
        source_id: id of the platform source, if the answer has one.
        unknown_fields: fields of the answer that no table holds, such as `assets[].results[].extra_props`, sorted.
        gaps: what could not be had, where on_gap="warn" let the rest come.
        requests: how many requests it took, those tried again counted too.
    """

    table: "pa.Table"
    assets: "pa.Table"
    without_metrics: "pa.Table"
    processing_id: str | None
    source_id: str | None
    unknown_fields: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    requests: int = 0

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read the body of a results answer.

        Fields that the tables do not hold are named in one warning of the logger `kayrros_ext`.

        Raises:
            UsageError: it is not bytes.
            ContractError: the body is not what the contract says; the error names the place.
        """
        if not isinstance(body, bytes):
            raise UsageError(
                f"body is of type {type(body).__name__}. Give the bytes of an answer, such as response.content."
            )
        found = cls.read(body)
        found.name_unknown_fields()
        return found

    @classmethod
    def read(cls, body: bytes) -> Self:
        """As `from_json`, and unknown fields stay unnamed."""
        from kayrros_ext._results.reader import read  # pyarrow is heavy, and not everyone who imports us reads results

        return cls(**attrs.asdict(read(body), recurse=False))

    def name_unknown_fields(self) -> None:
        """Name the fields that the tables do not hold in one warning of the logger `kayrros_ext`."""
        if self.unknown_fields:
            # Escaped, and some of them: names are the server's, and a log line is ours.
            named = ", ".join(ascii(name)[1:-1] for name in self.unknown_fields[:MOST_NAMED])
            _log.warning(
                "The results have %d fields that the table does not hold: %s%s. To read them, call "
                "kayrros_openapi.api.datasets.get_dataset_results with kayrros.client.",
                len(self.unknown_fields),
                named,
                ", …" * (len(self.unknown_fields) > MOST_NAMED),
            )

    def to_pandas(self) -> "pd.DataFrame":
        """`table` as a pandas DataFrame: labels as categories, dates as datetime64[us, UTC], integers as Int64.

        Raises:
            MissingExtraError: pandas is not installed; the extra `pandas` brings it.
        """
        from kayrros_ext._results.convert import to_pandas

        return to_pandas(self.table)

    def to_polars(self) -> "pl.DataFrame":
        """`table` as a polars DataFrame: labels as Categorical, dates as Datetime in microseconds and UTC.

        Raises:
            MissingExtraError: polars is not installed; the extra `polars` brings it.
        """
        from kayrros_ext._results.convert import to_polars

        return to_polars(self.table)

    def to_geopandas(self) -> "gpd.GeoDataFrame":
        """`table` as a GeoDataFrame: the columns of `to_pandas`, and a point at the centroid of the asset (EPSG:4326).

        The geometry is None where the asset has no centroid. Rows of one asset share their point.

        Raises:
            MissingExtraError: geopandas is not installed; the extra `geo` brings it.
        """
        from kayrros_ext._results.convert import to_geopandas

        return to_geopandas(self.table)

    def to_wide(self, metric: str) -> "pa.Table":
        """One metric as a table with dates down and assets across.

        Returns:
            A row per date on which the metric has a row, in order; value_date, then for each asset that has such a row a
            column of its values (float64, null where there is none), named and ordered by asset_id.

        Raises:
            UsageError: no row has this metric, and the error names those there are; or the rows don't fit: an asset has two
                values on one date, or a row has no asset_id or no date.
        """
        from kayrros_ext._results.convert import to_wide

        return to_wide(self.table, metric)

    def plot(self, path: "str | Path | None" = None, **options: "Unpack[Options]") -> "Figure":
        """Draw a metric over time, or on a map: see `kayrros_ext.plots.plot`, which takes the same.

        Args:
            path: a file to write, .png, .svg or .html.
            options: metric, assets, map, statistic, theme, title, size.

        Returns:
            A matplotlib figure, which a notebook shows.

        Raises:
            UsageError: there is nothing to draw, or an argument can't be.
            MissingExtraError: matplotlib is not installed; the extra `plots` brings it.
            ExportError: the file can't be written.
        """
        from kayrros_ext.plots import plot

        return plot(self, path, **options)

    def _repr_html_(self) -> str:
        from kayrros_ext._results.html import results_html

        return results_html(self)

    def __repr__(self) -> str:
        return f"<Results: {self.table.num_rows} rows, {self.assets.num_rows} assets, processing {self.processing_id}>"

    def __arrow_c_schema__(self) -> object:
        """The schema of `table`, as a PyCapsule."""
        return self.table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """`table` as a stream of record batches, as a PyCapsule."""
        return self.table.__arrow_c_stream__(requested_schema)
