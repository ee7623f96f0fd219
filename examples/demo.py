"""Show data of the mock: login, metadata, results as a table and a chart, a file. `make demo` runs it.

With a Kayrros account, the same calls work without the mock and the settings that point to it.
"""

import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import plotext
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from kayrros_ext import Kayrros, KayrrosError, Metadata, Results
from kayrros_ext.testing import prism_mock

DATASET = "7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4"
OUTPUT = Path("demo-output")
ROWS_SHOWN = 8

console = Console(highlight=False, width=None if Console().is_terminal else 110)


def main() -> None:
    """Announce and run each step."""
    step("Start the mock: openapi.yaml served on this machine")
    with prism_mock() as mock:
        console.print(f"  it listens at {mock.url}")

        step("Create a client (it logs in when the first call needs it)")
        email, password = mock.settings["KAYRROS_EMAIL"], mock.settings["KAYRROS_PASSWORD"]
        with Kayrros(email=email, password=password, base_url=mock.url, auth_url=mock.url) as kayrros:
            console.print(f"  {kayrros}")

            step(f"kayrros.metadata({DATASET!r})")
            show_metadata(kayrros.metadata(DATASET))

            step(f"kayrros.results({DATASET!r}).table")
            results = kayrros.results(DATASET)
            show_table(results)
            show_chart(results)

            step(f"kayrros.download({DATASET!r}, {str(OUTPUT)!r})")
            path = kayrros.download(DATASET, OUTPUT).path
            console.print(f"  {path.stat().st_size} bytes in {path}, which begins:")
            console.print(f"  {path.read_text().splitlines()[0]}", style="dim")
    console.print("\nThe mock is stopped. Its values are invented; the types are those of the real API.")


def show_metadata(metadata: Metadata) -> None:
    """Print the fields of a typed metadata object."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in metadata.to_dict().items():
        instant = name in {"start_date", "stop_date"} and isinstance(value, int)
        table.add_row(
            name, f"{value}  ({datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%d})" if instant else str(value)
        )
    console.print(table)


def show_table(results: Results) -> None:
    """Print the first rows, in the columns that fit into a terminal."""
    names = ["asset_name", "parent_asset_name", "value_date", "metric", "value"]
    table = Table(padding=(0, 1))
    for name in names:
        table.add_column(name, justify="right" if name == "value" else "left", no_wrap=True)
    for row in results.table.select(names).slice(0, ROWS_SHOWN).to_pylist():
        table.add_row(*(f"{cell:%Y-%m-%d}" if isinstance(cell, datetime) else str(cell) for cell in row.values()))
    console.print(table)
    rows, columns = results.table.num_rows, len(results.table.schema)
    console.print(f"  {min(ROWS_SHOWN, rows)} of {rows} rows, {len(names)} of {columns} columns; {results!r}")


def show_chart(results: Results) -> None:
    """Plot the stored volume of the first asset over time."""
    asset, metric = results.table["asset_name"][0].as_py(), "stored_volume_bbl"
    chosen: pa.Table = results.table.filter((pc.field("asset_name") == asset) & (pc.field("metric") == metric))
    days = [day.replace(tzinfo=None) for day in chosen["value_date"].to_pylist()]
    figure = plotext.figure
    figure.date("x").activate()
    figure.draw(figure.signal(days, chosen["value"].to_pylist()).lines())
    figure.ruler("x").ticks(days, [f"{day:%Y-%m-%d}" for day in days])
    low, high = min(chosen["value"].to_pylist()), max(chosen["value"].to_pylist())
    levels = [low + (high - low) * part / 4 for part in range(5)]
    figure.ruler("y").ticks(levels, [f"{level:,.0f}" for level in levels])
    figure.title(f"{asset}: {metric}")
    figure.plot_size(min(console.width, 78), 15)
    figure.show(colorless=not console.is_terminal)


def step(text: str) -> None:
    """Print the title of a step."""
    console.print(f"\n[bold]▸ {text}[/bold]", soft_wrap=True)


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for terminals without box characters
    try:
        main()
    except KayrrosError as error:
        sys.exit(f"\n{error}")
