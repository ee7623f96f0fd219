"""Draw the charts of docs/plots.md and README.md from generated data: `python -m scripts.pictures`.

`python -m scripts.pictures --all FOLDER` draws each kind at 400, 800 and 1,600 pixels, light and dark, on one page.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import attrs

from kayrros_ext import Gap, Results
from kayrros_ext.testing import Platform

FOLDER = Path(__file__).parent.parent / "docs" / "images"
WIDTHS = (400, 800, 1600)
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def data() -> dict[str, Results]:
    """Generate tanks with a gap, their history of six years, daily values of many tanks, and methane hot spots."""
    platform = Platform()
    daily = timedelta(days=1)
    datasets = {
        "tanks": platform.generate(seed=4, assets=40, dates=52, name="Crude oil storage"),
        "history": platform.generate(seed=4, assets=8, dates=300, start="2020-01-06", name="Crude oil storage"),
        "many": platform.generate(seed=5, assets=40, dates=90, every=daily, name="Crude oil storage, daily"),
        "spots": platform.generate(seed=2, assets=60, dates=8, template="methane-hotspots", name="Methane hot spots"),
    }
    with platform.connect() as kayrros:
        for dataset in datasets.values():
            kayrros.metadata(dataset)  # for the titles
        results = {key: kayrros.results(dataset) for key, dataset in datasets.items()}
    tanks = results["tanks"]
    gap = Gap(datetime(2024, 8, 14, tzinfo=UTC), datetime(2024, 9, 9, tzinfo=UTC))
    dates = tanks.table["value_date"].to_numpy()
    outside = (dates < gap.start.replace(tzinfo=None)) | (dates > gap.stop.replace(tzinfo=None))
    return results | {"tanks": attrs.evolve(tanks, table=tanks.table.filter(outside), gaps=(gap,))}


# For each picture its data and the options of `Results.plot`.
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "chart": ("tanks", {"metric": "stored_volume_bbl", "assets": 4}),
    "small": ("tanks", {"metric": "fill_level_pct", "assets": 12}),
    "metrics": ("tanks", {"metric": ["stored_volume_bbl", "fill_level_pct"], "assets": 3}),
    "seasonal": ("history", {"kind": "seasonal", "by": "total", "metric": "stored_volume_bbl"}),
    "change": ("tanks", {"kind": "change", "by": "total", "metric": "stored_volume_bbl"}),
    "heatmap": ("many", {"kind": "heatmap", "metric": "fill_level_pct", "assets": 20}),
    "latest": ("spots", {"kind": "latest", "metric": "emission_rate_kg_per_h", "assets": 10}),
    "map": ("spots", {"kind": "map", "metric": "emission_rate_kg_per_h"}),
}
# Those of the docs.
IN_DOCS = ("chart", "seasonal", "map")


def main() -> None:
    """Draw the charts of the docs, or with --all a page of every kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="draw a page of every kind, to look at")
    folder: Path | None = parser.parse_args().all
    results = data()
    for name, (key, options) in PICTURES.items():
        path = FOLDER / f"{name}.svg"
        if folder:
            for width in WIDTHS:
                for theme in THEMES:
                    results[key].plot(folder / f"{name}-{width}-{theme}.png", width=width, theme=theme, **options)
            results[key].plot(folder / f"{name}.html", **options)
        elif name in IN_DOCS:
            results[key].plot(path, width=560, **options)
            print(f"{path.name}: {path.stat().st_size} bytes")
    if folder:
        (folder / "index.html").write_text(index(), "utf-8")
        print(folder / "index.html")


def index() -> str:
    """Return a page that shows all pictures in their size."""
    parts = ["<!doctype html><meta charset=utf-8><title>All kinds</title><body style='font-family: sans-serif'>"]
    for name in PICTURES:
        parts.append(f"<h2><a href={name}.html>{name}</a></h2>")
        parts += [f"<img src={name}-{width}-{theme}.png width={width}> " for width in WIDTHS for theme in THEMES]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
