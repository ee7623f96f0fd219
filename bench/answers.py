"""Generate results responses with values of full precision."""

import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path


def write(path: Path, assets: int, dates: int = 1000, extra: str = "") -> int:
    """Write a response with two metrics per date, and `extra` JSON members in each result. Return its number of rows."""
    rng = random.Random(assets)  # noqa: S311 - the same response each time
    days = [f"{datetime(2020, 1, 1, 10, tzinfo=UTC) + timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}" for day in range(dates)]
    with path.open("w") as file:
        file.write('{"processing_id":"processing","source_id":"source","assets":[')
        for number in range(assets):
            file.write(
                "," * bool(number) + json.dumps(_asset(number, rng), separators=(",", ":"))[:-1] + ',"results":['
            )
            file.write(",".join(_result(day, rng, extra) for day in days) + "]}")
        file.write("]}")
    return assets * dates * 2


def _asset(number: int, rng: random.Random) -> dict[str, object]:
    return {
        "asset_id": f"{rng.getrandbits(128):032x}",
        "asset_name": f"Tank {number}",
        "asset_version": 1,
        "asset_categories": ["crude", "tank"],
        "asset_centroid_latitude": rng.uniform(-90, 90),
        "asset_centroid_longitude": rng.uniform(-180, 180),
        "asset_surface_area_m2": rng.uniform(0, 10_000),
        "parent_asset_id": f"terminal-{number // 10}",
        "parent_asset_name": f"Terminal {number // 10}",
        "parent_asset_version": 1,
    }


def _result(day: str, rng: random.Random, extra: str) -> str:
    metrics = f'[{{"name":"volume","value":{rng.uniform(0, 1e5)!r}}},{{"name":"level","value":{rng.random()!r}}}]'
    return f'{{"value_date":"{day}","metrics":{metrics}{extra}}}'
