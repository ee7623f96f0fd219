"""The results of a dataset as Arrow tables."""

import operator
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal, Never, Self, SupportsIndex
from uuid import UUID

import attrs

from kayrros_ext._arguments import unknown_argument
from kayrros_ext._progress import warn
from kayrros_ext._text import list_names, plural
from kayrros_ext.errors import KayrrosError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import altair as alt
    import geopandas as gpd
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from kayrros_ext._results.metadata import Metadata
    from kayrros_ext._results.query import Names
    from kayrros_ext.plots import By, Kind, Statistic, Theme


@attrs.frozen
class Gap:
    """A part of a dataset's results that is unavailable.

    Example:
        >>> platform.max_rows = 1  # of a response, and each date of an asset has two
        >>> tank = "Cushing TK-101"
        >>> partial = kayrros.results("Crude oil storage", assets=tank, on_gap="warn")
        >>> str(partial.gaps[0]), partial.gaps[0].error.status
        ('2024-01-01T11:59:59Z to 2024-01-02T11:59:59Z of 1 asset', 504)

    Attributes:
        start: its first moment, in UTC.
        stop: its last moment.
        assets: ids of its assets; None for all.
        error: the reason; None where the part was never requested.
        is_outside: whether it lies outside the dates of the metadata, which has no data there. Such a gap never raises.
    """

    start: datetime
    stop: datetime
    assets: tuple[str, ...] | None = None
    error: KayrrosError | None = None
    is_outside: bool = False

    def __str__(self) -> str:
        """Return its range of time and number of assets, as one phrase."""
        of = f" of {plural(len(self.assets), 'asset')}" if self.assets else ""
        of += " (outside of the dates of the metadata)" if self.is_outside else ""
        return f"{self.start:%Y-%m-%dT%H:%M:%SZ} to {self.stop:%Y-%m-%dT%H:%M:%SZ}{of}"


@attrs.frozen(repr=False, eq=False)
class Results:
    """Results of a dataset: every metric of every date of every asset.

    Printed, it shows its dataset, its period, each metric with unit and range, and the first and last rows. `len` is the
    number of rows. It supports the Arrow PyCapsule interface, so polars.DataFrame(results), a query of DuckDB and
    pandas.DataFrame.from_arrow(results) accept it. A conversion raises MissingExtraError where its extra is not installed.

    Example:
        >>> len(results), results.processing_id, results.source_id
        (72, 'crude-storage-weekly-v5', 'sentinel-1-sar')

    Attributes:
        table: a row per asset, date and metric, in that order from `Kayrros`, in the order of the response from
            `from_json`. Columns: the ten of `assets` that describe the asset, then value_date (timestamp, microseconds,
            UTC), metric (name), unit (derived from the end of the metric's name, because the API gives none; null if the
            name has no known unit), value (float64). with_dataset=True adds dataset_id and dataset_name in front. The
            metadata of a field holds its `unit`.
        assets: a row per asset, also of one without results: asset_id, asset_name, asset_version, asset_categories
            (list), asset_centroid_latitude and asset_centroid_longitude (degrees), asset_surface_area_m2,
            parent_asset_id, parent_asset_name, parent_asset_version, and date_count, its number of dates.
        without_metrics: a row per asset and date (asset_id, value_date) that has no metric, and so no row in `table`.
        processing_ids: id of each processing that made a part of the results, the first one first: a dataset may be
            processed again while it is fetched in windows. Empty if no response has one.
        source_ids: id of each platform source, likewise.
        unknown_fields: fields of the response that no table holds, such as `assets[].results[].extra_props`, sorted.
        gaps: the parts that are unavailable, with on_gap="warn"; and unavailable ranges outside the dates of the metadata.
        requests: the number of requests made, retries included.
        non_finite: the number of NaN and infinities that the response has in place of numbers, and the tables null.
        dataset_id: id of the dataset; None from `from_json`.
        dataset_name: its name, where the client has seen it: in the metadata, or in a list of datasets. Else None.
        metadata: the metadata of the dataset, as the client fetched it last; else None, because results that come in one
            response take no second request.
        retrieved_at: when the first part of the results arrived, in UTC; None from `from_json`.
        query: what was asked for, as text: `start` and `stop` (ISO 8601, UTC) and `metrics`, each only where it was.
    """

    table: "pa.Table"
    assets: "pa.Table"
    without_metrics: "pa.Table"
    processing_ids: tuple[str, ...]
    source_ids: tuple[str, ...]
    unknown_fields: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    requests: int = 0
    non_finite: int = 0
    dataset_id: UUID | None = None
    dataset_name: str | None = None
    metadata: "Metadata | None" = None
    retrieved_at: datetime | None = None
    query: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def units(self) -> dict[str, str | None]:
        """The unit of each metric, derived from its name (assumed), such as {"fill_level_pct": "%"}; else None.

        Example:
            >>> results.units
            {'fill_level_pct': '%', 'stored_volume_bbl': 'bbl'}
        """
        from kayrros_ext._results.schema import metric_units

        return metric_units(self.table)

    @property
    def attribution(self) -> str:
        """The notice to show with the data.

        It is the text of the metadata, if this client has fetched the metadata; else the notice that the Copernicus licence
        asks for, "Contains modified Copernicus Sentinel data", with the years of the values. That the licence applies to a
        dataset without a text of its own is assumed.

        Example:
            >>> results.attribution
            'Contains modified Copernicus Sentinel data 2024, processed by Kayrros'
        """
        from kayrros_ext._results.metadata import attribution_of
        from kayrros_ext._results.schema import value_years

        return attribution_of(self.metadata, value_years(self.table))

    @property
    def processing_id(self) -> str | None:
        """The first of `processing_ids`."""
        return next(iter(self.processing_ids), None)

    @property
    def source_id(self) -> str | None:
        """The first of `source_ids`."""
        return next(iter(self.source_ids), None)

    @classmethod
    def from_json(cls, body: bytes, *, strict: bool = False) -> Self:
        """Read the body of a results response, and warn of undeclared fields and of `non_finite` values.

        Example:
            >>> results = Results.from_json(b'{"assets": [{"asset_id": "tank-1"}]}')
            >>> results.assets["asset_id"].to_pylist()
            ['tank-1']

        Raises:
            UsageError: body is not bytes.
            ContractError: the response does not match the contract. The error names the place. With strict=True, NaN or an
                infinity in place of a number is one, too.
        """
        from kayrros_ext._results.reader import read_results  # loads pyarrow, which not every user of the package needs

        if not isinstance(body, bytes):
            raise UsageError(f"body is of type {type(body).__name__}.", hint="Pass bytes, such as response.content.")
        results = cls(**attrs.asdict(read_results(body, strict=strict), recurse=False))
        results.warn_unknown_fields()
        if results.non_finite:
            warn_non_finite(results.non_finite)
        return results

    def warn_unknown_fields(self) -> None:
        """Log one warning that names the undeclared fields, and the columns without a value that they may replace.

        Example:
            >>> results.warn_unknown_fields()  # logs nothing, because there are none
        """
        if not self.unknown_fields:
            return
        tables = {"assets[]": self.assets, "assets[].results[]": self.table.select(["value_date"])}
        tables["assets[].results[].metrics[]"] = self.table.select(["metric", "value"])
        kinds = {name.rpartition(".")[0] for name in self.unknown_fields}  # of objects with undeclared fields
        columns = [(name, rows[name]) for kind, rows in tables.items() if kind in kinds for name in rows.column_names]
        empty = [name for name, column in columns if column.null_count == len(column) > 0]
        if "" in kinds:
            empty += [name for name in ("processing_id", "source_id") if getattr(self, name) is None]
        warn(
            "The tables do not hold these undeclared fields of the results: %s.%s To read them, call "
            "kayrros_openapi.api.datasets.get_dataset_results with kayrros.client.",
            list_names(self.unknown_fields),
            f" No value has come for {list_names(empty)}: the API may have renamed a field." if empty else "",
        )

    def head(self, n: SupportsIndex = 5) -> Self:
        """Return the first rows of `table` as results; everything else stays, also `assets`. UsageError if n is below 0.

        Example:
            >>> len(results.head(2))
            2
        """
        count = operator.index(n) if hasattr(n, "__index__") and not isinstance(n, bool) else -1
        if count < 0:
            raise UsageError(f"n is {n!r:.80}.", hint="Pass a number of rows.")
        return attrs.evolve(self, table=self.table.slice(0, count))

    def latest(self) -> Self:
        """Return the last value of each asset and metric that is not null, ordered by asset and metric, as results.

        Example:
            >>> results.latest().to_pandas(wide="fill_level_pct").index.year.tolist()
            [2024]
        """
        from kayrros_ext._results.convert import latest_rows

        return attrs.evolve(self, table=latest_rows(self.table))

    def export(self, path: "str | Path", *, excel_csv: bool = False) -> "Path":
        """Write `table` to a file, and return its path. Formats, `excel_csv` and errors are those of `Kayrros.export`.

        Example:
            >>> results.export("tanks.xlsx").name
            'tanks.xlsx'
        """
        from kayrros_ext._export import parse_target, write

        target = parse_target(path, excel_csv=excel_csv)
        write(target, [self], schema=self.table.schema, excel_csv=excel_csv)
        return target

    def to_pandas(
        self,
        *,
        categories: bool = False,
        wide: "str | Iterable[str] | None" = None,
        by: Literal["parent"] | None = None,
    ) -> "pd.DataFrame":
        """Return `table` as a pandas DataFrame; with `wide`, one with a row per date and a column per asset.

        Text has the default type of pandas, integers are Int64, and dates datetime64[us], in UTC without a time zone.
        `asset_categories` is text, joined by ";". With categories=True, text is categorical, which takes less memory.

        wide="stored_volume_bbl" gives a DatetimeIndex, and a column per asset: its name, or its id where the name is missing
        or not unique. A list of metrics gives columns of two levels, metric and asset.

        by="parent" gives columns of the levels metric and parent, such as the terminal of tanks. A value is the sum over the
        assets that have one on that date, and "stored_volume_bbl_asset_count", next to the metric, is their number. An asset
        without a parent stands for itself.

        Example:
            >>> frame = results.to_pandas(wide="stored_volume_bbl", by="parent")
            >>> frame.columns.unique("parent").tolist()
            ['Cushing North Terminal', 'Fujairah East Terminal']

        Raises:
            UsageError: no row has the metric; an asset has two values on one date; a row has no asset_id or no date. With
                by="parent": `wide` is missing; the values don't add up, judging by the name of the metric (a percentage, a
                concentration, no unit); or a parent has values of its own.
        """
        from kayrros_ext._results import convert

        if by not in {None, "parent"} or (by and wide is None):
            raise UsageError(
                "by='parent' needs wide=." if by == "parent" else f"by is {by!r:.80}.",
                hint='Pass by="parent" together with wide=, or omit by.',
            )
        if wide is None:
            return convert.to_pandas(self.table, categories=categories)
        return convert.to_wide(self, wide, by)

    def to_polars(self) -> "pl.DataFrame":
        """Return `table` as a polars DataFrame: text as String, dates as Datetime in UTC without a time zone.

        `asset_categories` is text, joined by ";", because CSV and Excel have no lists.

        Example:
            >>> results.to_polars().shape
            (72, 14)
        """
        from kayrros_ext._results import convert

        polars = convert.import_optional("polars", extra="polars")
        frame: pl.DataFrame = polars.from_arrow(convert.plain_table(self.table))
        return frame

    def to_geopandas(self) -> "gpd.GeoDataFrame":
        """Return the DataFrame of `to_pandas` with a point at the centroid of each row's asset (EPSG:4326).

        An asset without a centroid has no geometry (None). Rows of one asset share their point.

        Example:
            >>> results.to_geopandas().geometry.nunique()
            6
        """
        from kayrros_ext._results import convert

        return convert.to_geopandas(self)

    def plot(
        self,
        path: "str | Path | None" = None,
        *,
        kind: "Kind" = "line",
        metric: "Names | None" = None,
        assets: "Names | int | None" = None,
        by: "By" = "asset",
        facet: bool | None = None,
        statistic: "Statistic | None" = None,
        theme: "Theme" = "auto",
        title: str | None = None,
        subtitle: str | None = None,
        width: int = 800,
        height: int | None = None,
        **_unknown: Never,
    ) -> "alt.LayerChart | alt.VConcatChart":
        """Draw a chart of metrics over time, of their latest values, or on a map.

        Args:
            path: a file to write, in the format of its suffix: .png, .svg, .pdf or .html. An existing file is replaced.
            kind: "line"; "seasonal", the last year against the range of the five before; "change" to the previous date;
                "heatmap" of assets by dates; "latest" values as bars; "map".
            metric: its name, or several, with a chart each; by default the first of the table.
            assets: ids or names; a number, for that many of the largest by mean absolute value, or by the latest where that
                is shown; or "all". By default the 6 largest, 30 in "latest", 100 in a heatmap, and all on a map.
            by: "parent" or "total" to draw sums, such as of a terminal.
            facet: whether each asset has a chart of its own; by default if there are more than 6.
            statistic: "latest" or "mean" of a map and of "latest"; "date" or "week", to which a change is the difference.
            theme: "auto" is light, and in HTML follows the reader's system; or "light", "dark".
            title: by default the name of the dataset.
            subtitle: by default metric, unit and period.
            width: of the picture in pixels, of which a PNG has two for each.
            height: likewise; by default as high as the chart needs. One without room for the chart is refused.

        Returns:
            An Altair chart, which a notebook shows and `.properties`, `.interactive` and `+` modify.

        Raises:
            UsageError: there is nothing to draw, or an argument is invalid.
            MissingExtraError: altair or vl-convert-python is not installed; the extra `plots` installs them.
            ExportError: the file can't be written. An existing file stays as it was.

        Example:
            >>> chart = results.plot("tanks.png", kind="change", metric="fill_level_pct")
        """
        from kayrros_ext import plots

        if _unknown:
            raise unknown_argument(self.plot, _unknown)
        # fmt: off
        options = plots.Options(
            kind=kind, by=by, facet=facet, statistic=statistic, theme=theme, title=title, subtitle=subtitle,
            width=width, height=height,
        )
        # fmt: on
        return plots.draw(self, path, metric, assets, options)

    def _repr_html_(self) -> str:
        from kayrros_ext._results.html import results_html

        return results_html(self)

    def __repr__(self) -> str:
        from kayrros_ext._results.text import results_text

        return results_text(self)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __arrow_c_schema__(self) -> object:
        return self.table.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


def warn_non_finite(count: int) -> None:
    """Log one warning for all values that were read as null."""
    text = f"of the results {'is' if count == 1 else 'are'} NaN or infinite, and read as null"
    warn("%s %s. strict=True raises an error instead.", plural(count, "value"), text)
