"""Draw the pictures of docs/plots.md and README.md from generated data: `python -m scripts.pictures`."""

from datetime import UTC, datetime
from pathlib import Path

import attrs
from PIL import Image

from kayrros_ext import Gap
from kayrros_ext.testing import Platform

FOLDER = Path(__file__).parent.parent / "docs" / "images"


def main() -> None:
    """Draw a chart and a map, small enough for a page."""
    platform = Platform()
    with platform.connect() as kayrros:
        tanks = kayrros.results(platform.generate(seed=4, assets=40, dates=52).id)
        spots = kayrros.results(platform.generate(seed=2, assets=60, dates=8, template="methane-hotspots").id)
    gap = Gap(datetime(2024, 8, 14, tzinfo=UTC), datetime(2024, 9, 9, tzinfo=UTC))
    dates = tanks.table["value_date"].to_numpy()
    outside = (dates < gap.start.replace(tzinfo=None)) | (dates > gap.stop.replace(tzinfo=None))
    tanks = attrs.evolve(tanks, table=tanks.table.filter(outside), gaps=(gap,))
    tanks.plot(FOLDER / "chart.png", metric="stored_volume_bbl", assets=4, size=(5.6, 3.2))
    spots.plot(FOLDER / "map.png", metric="emission_rate_kg_per_h", map=True, size=(5.6, 2.9))
    for path in sorted(FOLDER.iterdir()):
        Image.open(path).quantize(96).save(path, optimize=True)  # a third of the size, for the repository
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
