"""The datasets and collections that openapi.yaml shows: the same ids, assets and special cases, generated values.

So what was tried out with `make mock` works here too, and the other way round.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kayrros_ext.testing.datasets import Dataset, Payload, StaticFile, moment_us
from kayrros_ext.testing.generation import Dates, Generated
from kayrros_ext.testing.profiles import PROFILES

OIL_STORAGE, EMISSIONS = "5f2d8c34-1a7e-4b90-8d56-e3c47a9b0f12", "9c41e7b8-6d03-4f25-a1b9-7e8f5d2c3a60"

_CUSHING = {"parent_asset_id": "terminal-cushing-north", "parent_asset_name": "Cushing North Terminal"}
_FUJAIRAH = {"parent_asset_id": "terminal-fujairah-east", "parent_asset_name": "Fujairah East Terminal"}
_NO_PARENT = {"parent_asset_id": None, "parent_asset_name": None, "parent_asset_version": None}

# Id, name, version, first category, latitude, longitude, surface.
_Asset = tuple[str, str, int, str, float, float, float]
_TANKS: list[_Asset] = [
    ("tank-cushing-tk-101", "Cushing TK-101", 3, "crude_oil", 35.9412, -96.7446, 6098.1),
    ("tank-cushing-tk-102", "Cushing TK-102", 3, "crude_oil", 35.9419, -96.7421, 6098.1),
    ("tank-cushing-tk-203", "Cushing TK-203", 3, "crude_oil", 35.9387, -96.7433, 3811.3),
    ("tank-fujairah-t-11", "Fujairah T-11", 2, "crude_oil", 25.1942, 56.3561, 8602.7),
    ("tank-fujairah-t-12", "Fujairah T-12", 2, "crude_oil", 25.1951, 56.3584, 8602.7),
    ("tank-fujairah-t-21", "Fujairah T-21", 2, "crude_oil", 25.1927, 56.3602, 4573.6),
]
_HOTSPOTS: list[_Asset] = [
    ("hotspot-permian-0412", "Permian hot spot 0412", 1, "methane", 31.8126, -103.4471, 5583529.8),
    ("hotspot-hassi-0031", "Hassi Messaoud hot spot 0031", 1, "methane", 31.7483, 5.9672, 2481340.6),
    ("hotspot-galkynysh-0107", "Galkynysh hot spot 0107", 1, "methane", 37.3614, 62.0148, 4785283.7),
    ("hotspot-bowen-0008", "Bowen Basin hot spot 0008", 1, "methane", -22.4178, 148.1296, 7817654.9),
]
_SITES: list[_Asset] = [
    ("site-duisburg-steel", "Duisburg blast furnaces", 4, "steel", 51.4886, 6.7269, 2150000.0),
    ("site-tangshan-coke", "Tangshan coke ovens", 4, "coke", 39.6231, 118.1804, 1480000.0),
    ("site-ghent-cement", "Ghent grinding plant", 4, "cement", 51.1402, 3.7951, 310000.0),
    ("site-baytown-cracker", "Baytown cracker", 4, "petrochemicals", 29.7489, -95.0102, 905000.0),
]
_TERMINALS = b"""\
terminal_id,terminal_name,country,latitude,longitude,tank_count,capacity_bbl
terminal-cushing-north,Cushing North Terminal,US,35.9406,-96.7433,3,1470000
terminal-fujairah-east,Fujairah East Terminal,AE,25.1940,56.3582,3,2000000
"""


def examples() -> list[Dataset]:
    """Crude oil tanks under their terminals (static as well), methane hot spots, industrial sites."""
    return [_crude_tanks(), _methane_hotspots(), _industrial_activity()]


def _crude_tanks() -> Dataset:
    dates = Dates.steps(6, datetime(2024, 1, 2, tzinfo=UTC), timedelta(days=7))
    answer = _answer("crude-tanks", 1, _TANKS, dates)
    for asset in answer["assets"]:
        parent = _CUSHING if "cushing" in asset["asset_id"] else _FUJAIRAH
        asset |= {**parent, "parent_asset_version": asset["asset_version"]}
    found = _dataset("7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4", "crude-tanks", answer, "2024-01-02", "2024-02-06")
    found.file = StaticFile(_TERMINALS, "crude-terminals.csv", "text/csv")
    return found


def _methane_hotspots() -> Dataset:
    """Assets without a parent; one pass without a value."""
    passes = [(2, 3), (2, 24), (3, 11), (3, 27)]
    dates = Dates.of([datetime(2024, month, day, 13, 6, tzinfo=UTC) for month, day in passes])
    answer = _answer("methane-hotspots", 2, _HOTSPOTS, dates)
    answer["assets"][1]["results"][2]["metrics"] = []
    found = _dataset("c0a8e6f4-93d1-4b5a-8f27-6d1e4b7a3c58", "methane-hotspots", answer, "2024-02-01", "2024-03-31")
    found.metadata["sharedOption"] = "OWNED"
    return found


def _industrial_activity() -> Dataset:
    """Assets whose parents are null; one has no results yet."""
    dates = Dates.of([datetime(2024, month, 1, tzinfo=UTC) for month in range(1, 7)])
    answer = _answer("industrial-activity", 3, _SITES, dates)
    for asset in answer["assets"]:
        asset.update(_NO_PARENT)
    answer["assets"][3]["results"] = []
    found = _dataset("2b9f7e10-58c4-4e3d-b1a6-f4d09c3721ea", "industrial-activity", answer, "2024-01-01", "2024-06-30")
    found.metadata["sharedOption"] = "NON_SHARED"
    return found


def _answer(profile: str, seed: int, assets: Sequence[_Asset], dates: Dates) -> dict[str, Any]:
    """Generated results under the names of these assets."""
    about = PROFILES[profile]
    source = Generated(seed, about, len(assets), dates, about.metrics)
    answer: dict[str, Any] = Dataset("", {}, source).payload()
    for found, (name, title, version, category, latitude, longitude, area) in zip(
        answer["assets"], assets, strict=True
    ):
        found |= {
            "asset_id": name,
            "asset_name": title,
            "asset_version": version,
            "asset_categories": [category, found["asset_categories"][1]],
            "asset_centroid_latitude": latitude,
            "asset_centroid_longitude": longitude,
            "asset_surface_area_m2": area,
        }
    return answer


def _dataset(name: str, profile: str, answer: dict[str, Any], start: str, stop: str) -> Dataset:
    source = Payload(answer)
    first, last = (moment_us(day) for day in (start, stop))
    known = {"id": name, "start_date": (first or 0) // 1000, "stop_date": (last or 0) // 1000}
    return Dataset(name, {**source.metadata(), **PROFILES[profile].metadata(), **known}, source)
