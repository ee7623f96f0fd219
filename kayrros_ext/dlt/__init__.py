"""A source for dlt, which loads results into a warehouse: Snowflake, BigQuery, Postgres, DuckDB and others.

`import dlt` is the library, and this module is `kayrros_ext.dlt`.
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kayrros_ext._progress import warn
from kayrros_ext._results.convert import import_optional, plain_table
from kayrros_ext._results.fetch import MAX_SHIFT_MS
from kayrros_ext._results.query import MILLISECOND
from kayrros_ext._results.schema import VALUE_DATE
from kayrros_ext._text import plural
from kayrros_ext.mirror import parse_revisions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from kayrros_ext import Kayrros
    from kayrros_ext._arguments import IdOrName

__all__ = ["kayrros_source"]


def kayrros_source(
    datasets: "Iterable[IdOrName]", *, revisions: timedelta | str = "90d", kayrros: "Kayrros | None" = None
) -> Any:
    """Return a dlt source with the resource `results`: the rows of datasets, window by window, as Arrow tables.

    Rows are merged by dataset_id, asset_id, value_date and metric. The first run loads everything; later ones load what is
    dated after the last date less `revisions`, so revised values replace earlier ones. Rows that the API no longer has stay.
    A part that is unavailable fails the run, and the next one loads it.

    Example:
        >>> import dlt
        >>> pipeline = dlt.pipeline("kayrros", destination="duckdb", dev_mode=True)
        >>> info = pipeline.run(kayrros_source(["Crude oil storage"], kayrros=kayrros))
        >>> pipeline.last_trace.last_normalize_info.row_counts["results"]
        72

    Args:
        datasets: ids or names, or objects with their `id`.
        revisions: how far before the last date values may be revised: a timedelta, text such as "30d", or "all".
        kayrros: a client; by default one with the settings of the environment.

    Raises:
        MissingExtraError: the extra `dlt` is not installed.
        UsageError: `revisions` is wrong.
    """
    dlt = import_optional("dlt", extra="dlt")
    arguments = list(datasets), parse_revisions(revisions), kayrros, dlt
    keys = ["dataset_id", "asset_id", "value_date", "metric"]
    options = {"name": "results", "write_disposition": "merge", "primary_key": keys}
    return dlt.source(lambda: dlt.resource(lambda: _rows(*arguments), **options), name="kayrros")()


def _rows(
    datasets: "list[IdOrName]", window: timedelta | None, kayrros: "Kayrros | None", dlt: Any
) -> "Iterator[pa.Table]":
    """Yield the rows of all datasets. dlt keeps the state of a resource once its rows are loaded."""
    if kayrros is None:
        from kayrros_ext import Kayrros

        with Kayrros() as client:
            yield from _rows(datasets, window, client, dlt)
        return
    state: dict[str, int] = dlt.current.resource_state().setdefault("last_date_ms", {})
    for dataset in datasets:
        key = kayrros._dataset_id(dataset)
        last_ms, newest_ms = state.get(str(key)), None
        start_ms = None if last_ms is None or window is None else last_ms - window // MILLISECOND - MAX_SHIFT_MS
        for part in kayrros.iter_results(key, start=start_ms, with_dataset=True, progress=False):
            table = part.table.filter(part.table["value_date"].is_valid())
            if missing := len(part) - table.num_rows:
                warn("%s of %s without a date can't be merged, and are left out.", plural(missing, "row"), key)
            if table.num_rows:
                newest_ms = max(newest_ms or 0, _last_ms(table))
                dates = table["value_date"]
                plain = plain_table(table)  # because warehouses have neither lists nor dictionaries
                yield plain.set_column(plain.schema.get_field_index("value_date"), VALUE_DATE, dates)
        if newest_ms:
            state[str(key)] = max(newest_ms, last_ms or 0)


def _last_ms(table: "pa.Table") -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    return int(pc.max(table["value_date"].cast(pa.int64())).as_py() // 1000)
