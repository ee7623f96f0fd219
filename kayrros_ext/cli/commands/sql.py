"""`kayrros sql`."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kayrros_ext._text import plural
from kayrros_ext.cli.commands.results import MAX_ROWS, FileFormat, Output, ShowAll
from kayrros_ext.cli.commands.sync import LOCATION
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.output import Table, write_text
from kayrros_ext.errors import ExportError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from kayrros_ext.mirror import Mirror
    from kayrros_ext.mirror._store import Store

# The first change after a moment tells what was there before. Null keys are equal to each other here.
_KEYS = " and ".join(f"r.{name} is not distinct from l.{name}" for name in ("asset_id", "value_date", "metric"))
_VIEWS = f"""
set timezone = 'UTC';
create temp view results as select dataset as dataset_id, * exclude (dataset) from stored_results;
create temp view assets as select dataset as dataset_id, * exclude (dataset) from stored_assets;
create temp view changes as
    select dataset as dataset_id, * exclude (dataset, old_asset_version) from stored_changes order by seen_at;
create temp macro results_as_of(t) as table
with
    l as (
        select * from stored_changes where seen_at > cast(t as timestamptz)
        qualify row_number() over (partition by dataset, asset_id, value_date, metric order by seen_at) = 1
    ),
    a as (select distinct on (dataset, asset_id) * from stored_assets),
    u as (select distinct metric, unit from stored_results)
select * from results r
where not exists (select 1 from l where r.dataset_id = l.dataset and {_KEYS})
    and (
        select if(until > cast(t as timestamptz), error('The history before ' || until || ' was dropped'), true)
        from stored_dropped
    )
union all by name
select l.dataset as dataset_id, a.* exclude (dataset, asset_id, asset_version), l.asset_id, value_date, l.metric, unit,
    old as value, old_asset_version as asset_version, strftime(value_date, '%Y-%m') as month
from l
left join a on a.dataset = l.dataset and a.asset_id is not distinct from l.asset_id
left join u on u.metric is not distinct from l.metric
where kind <> 'added';
"""  # noqa: S608 - of constants  # nosec B608


@command(
    """Query a mirror with SQL, in DuckDB (extra `duckdb`).

    Views: `results`, `assets`, `changes`. The macro results_as_of(t) has the results as they were known at a moment.

    File suffixes are those of `kayrros results`; .geojson and .geoparquet need all columns of results.
    """,
    'kayrros sql mirror/ "select metric, max(value) from results group by 1"',
    "kayrros sql mirror/ \"select count(*) from results_as_of('2026-03-01')\"",
    'kayrros sql mirror/ "from changes" -o changes.parquet',
)
def sql(
    context: Context,
    location: Annotated[str, LOCATION],
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A query.", show_default=False)],
    *,
    output: Output = None,
    show_all: ShowAll = False,
    file_format: FileFormat = None,
) -> None:
    from kayrros_ext._export import parse_target
    from kayrros_ext.mirror import Mirror

    if output is not None and (file_format or context.json):
        raise UsageError(
            "--output can't be combined with --format or --json.", hint="The suffix of the file selects the format."
        )
    target = None if output is None else parse_target(output)
    table = _query(Mirror(location), query)
    if target:
        _write_file(target, table)
        context.info(plural(table.num_rows, "row"))
        print(target)
        return
    file_format = "json" if context.json else file_format or ("table" if sys.stdout.isatty() else "csv")
    is_cut = file_format == "table" and sys.stdout.isatty() and not show_all and table.num_rows > MAX_ROWS
    shown = table.slice(0, MAX_ROWS) if is_cut else table
    if file_format == "table":
        numbers = [field.name for field in table.schema if "int" in str(field.type) or str(field.type) == "double"]
        Table(*shown.column_names, right=numbers).write([[*map(_text, row.values())] for row in shown.to_pylist()])
    else:
        write_text(_render(shown, file_format))
    more = f"{MAX_ROWS} of {plural(table.num_rows, 'row')}. Add --all, or -o rows.csv for a file."
    context.info(more if is_cut else plural(table.num_rows, "row"))


def _query(mirror: "Mirror", query: str) -> "pa.Table":
    """Return the result of a query of the mirror."""
    from kayrros_ext._results.convert import import_optional

    duckdb: Any = import_optional("duckdb", extra="duckdb")
    mirror.datasets()  # raises where there is no mirror
    with mirror._store.errors(), duckdb.connect() as connection:
        for name, source in _open(mirror._store).items():
            connection.register(f"stored_{name}", source)
        connection.execute(_VIEWS)
        try:
            relation = connection.sql(query)
            table: pa.Table = relation.to_arrow_table() if relation is not None else None
        except duckdb.Error as error:
            text = str(error).strip().partition("\n")[0].rstrip(".!")
            hint = "The views are results, assets and changes; results_as_of(t) is a macro."
            raise UsageError(f"DuckDB can't run the query: {text}.", hint=hint) from None
    if table is None:
        raise UsageError("The statement has no rows.", hint="Write a query, such as: from results limit 10.")
    return table


def _open(store: "Store") -> dict[str, Any]:
    """Return the rows, assets and changes of all datasets as datasets of Arrow, with a column `dataset`."""
    import pyarrow as pa
    import pyarrow.dataset as pads
    from pyarrow.fs import FileSelector

    from kayrros_ext._results.query import EPOCH, MILLISECOND
    from kayrros_ext._results.schema import RESULTS
    from kayrros_ext.mirror._tables import ASSETS, CHANGES, START_MS

    states = store.states()
    until_ms = max((state.history_from_ms for state in states.values()), default=START_MS)
    until = None if until_ms == START_MS else EPOCH + until_ms * MILLISECOND
    sources: dict[str, Any] = {"dropped": pa.table({"until": pa.array([until], pa.timestamp("us", "UTC"))})}
    key, month = pa.field("dataset", pa.string()), pa.field("month", pa.string())
    for name, folder, schema, keys in (
        ("results", "data", RESULTS, [key, month]),
        ("assets", "assets", ASSETS, [key]),
        ("changes", "history", CHANGES, [key]),
    ):
        infos = store.fs.get_file_info(FileSelector(store.path(folder), recursive=True, allow_not_found=True))
        files = [info.path for info in infos if info.path.endswith(".parquet")]
        if folder == "history":  # with a commit that is not complete, whose rows may be in place
            views = [(key, store.view(key)) for key in states]
            files = [store.path(locate(it)) for key, locate in views for it in store.history(key).values()]
        columns = pa.schema([*schema, *keys])
        if folder == "assets" and files:
            tables = {it.rpartition("=")[2][:-8]: store.read_table(it.removeprefix(store.path(""))[1:]) for it in files}
            rows = [it.append_column(key, pa.array([owner] * len(it), pa.string())) for owner, it in tables.items()]
            sources[name] = pa.concat_tables(rows).cast(columns)
        else:
            options = {
                "schema": columns,
                "filesystem": store.fs,
                "partitioning": pads.HivePartitioning(pa.schema(keys)),
                "partition_base_dir": store.path(""),  # because the location may have such names, too
            }
            sources[name] = pads.dataset(files, **options) if files else columns.empty_table()
    return sources


def _text(value: Any) -> str | None:
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).replace("+00:00", "Z")
    return (
        json.dumps(value, ensure_ascii=False, default=_text) if isinstance(value, list | dict) else value and str(value)
    )


def _render(table: "pa.Table", file_format: str) -> str:
    """Return the rows as CSV, JSON or NDJSON."""
    import msgspec

    rows = table.to_pylist()
    if file_format == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([table.column_names, *([_text(value) for value in row.values()] for row in rows)])
        return text.getvalue()
    encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_text)  # a sum is a decimal; null for NaN
    lines = [encoder.encode(row).decode() for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n" if file_format == "json" else "".join(f"{line}\n" for line in lines)


def _write_file(target: Path, table: "pa.Table") -> None:
    """Write rows to a file, which appears when it is complete. All columns of results make a file of results."""
    import attrs
    import pyarrow.parquet as pq

    from kayrros_ext._export import SUFFIXES, write
    from kayrros_ext._files import output_error, write_output
    from kayrros_ext._results.merge import merge
    from kayrros_ext._results.schema import RESULTS

    suffix = next(suffix for suffix in SUFFIXES if target.name.lower().endswith(suffix))
    kind = SUFFIXES[suffix]
    if kind.startswith("Geo"):
        if missing := [name for name in RESULTS.names if name not in table.column_names]:
            hint = "Select all columns of results, or choose another format."
            raise UsageError(f"{target.name!r} needs the column {missing[0]}, which the query lacks.", hint=hint)
        write(target, [attrs.evolve(merge([]), table=table.select(RESULTS.names).cast(RESULTS))])
        return
    try:
        with write_output(target) as file:
            if kind == "Parquet":
                pq.write_table(table, file, compression="zstd")
            elif kind == "Excel":
                _write_workbook(file, table)
            else:
                text = _render(table, kind.lower()).encode()
                file.write(gzip.compress(text) if suffix.endswith(".gz") else text)
    except OSError as error:
        raise output_error(ExportError, target, error) from error


def _write_workbook(file: Any, table: "pa.Table") -> None:
    from kayrros_ext._results.convert import import_optional

    options: dict[str, Any] = dict.fromkeys(("remove_timezone", "nan_inf_to_errors"), True)
    options |= {"strings_to_formulas": False, "strings_to_urls": False, "default_date_format": "yyyy-mm-dd hh:mm:ss"}
    with import_optional("xlsxwriter", extra="excel").Workbook(file, options) as book:
        sheet = book.add_worksheet("rows")
        sheet.write_row(0, 0, table.column_names)
        for number, row in enumerate(table.to_pylist(), 1):
            sheet.write_row(number, 0, [_text(it) if isinstance(it, list | dict) else it for it in row.values()])
