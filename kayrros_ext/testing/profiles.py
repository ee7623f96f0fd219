"""What generated datasets are about: believable assets, metrics and places. All values are invented."""

import math
from typing import Any

import attrs

# Sizes of assets, relative to the usual one: industry builds in standard sizes.
SIZES = tuple(round(0.4 * math.exp(math.log(6) * step / 15), 3) for step in range(16))


@attrs.frozen
class Metric:
    """A metric of generated results.

    Attributes:
        name: as the API gives it.
        scale: its value for an asset of the usual size at level 1; levels lie between 0 and 1.
        digits: decimal places.
        sized: whether it grows with the size of the asset.
        shift: how many dates it is behind the level that the other metrics follow.
    """

    name: str
    scale: float = 100.0
    digits: int = 3
    sized: bool = False
    shift: int = 0


@attrs.frozen
class Profile:
    """What a generated dataset is about.

    Attributes:
        name: of the dataset.
        about: its description.
        processing: id and name of the processing.
        source: id and name of the platform source.
        attribution: text of the attribution.
        prefix: what the ids of its assets begin with.
        title: what the names of its assets begin with.
        categories: of each asset.
        area_m2: surface of an asset of the usual size.
        places: name, latitude and longitude of where assets are.
        metrics: of each date.
        every_days: days between two dates.
        parents: whether assets have a parent; else its fields are missing.
        per_place: how many assets stand together, under one parent.
    """

    name: str
    about: str
    processing: tuple[str, str]
    source: tuple[str, str]
    attribution: str
    prefix: str
    title: str
    categories: tuple[str, ...]
    area_m2: float
    places: tuple[tuple[str, float, float], ...]
    metrics: tuple[Metric, ...]
    every_days: int
    parents: bool = False
    per_place: int = 8

    def metadata(self) -> dict[str, Any]:
        """The part of a DatasetMetadata that says what it is about."""
        return {
            "name": self.name,
            "description": self.about,
            "processing_id": self.processing[0],
            "processing_name": self.processing[1],
            "source_id": self.source[0],
            "source_name": self.source[1],
            "sharedOption": "SHARED",
            "attributionText": self.attribution,
            "attributionFile": None,
        }


_COPERNICUS = "Contains modified Copernicus Sentinel data 2024"

CRUDE_TANKS = Profile(
    name="Crude oil storage, selected terminals",
    about="Stored volume and fill level of floating-roof crude oil tanks, weekly.",
    processing=("crude-storage-weekly-v5", "Crude storage, weekly"),
    source=("sentinel-1-sar", "Sentinel-1 radar"),
    attribution=_COPERNICUS,
    prefix="tank",
    title="Tank",
    categories=("crude_oil", "floating_roof_tank"),
    area_m2=6098.1,
    places=(
        ("Cushing", 35.9412, -96.7446),
        ("Fujairah", 25.1942, 56.3561),
        ("Rotterdam", 51.9536, 4.0912),
        ("Ningbo", 29.9468, 121.8821),
        ("Saldanha", -33.0014, 17.9962),
    ),
    metrics=(Metric("stored_volume_bbl", 560_000, 3, sized=True), Metric("fill_level_pct", 100, 4)),
    every_days=7,
    parents=True,
)
METHANE_HOTSPOTS = Profile(
    name="Methane hot spots, large emitters",
    about="Emission rates of repeated large methane releases, one value for each detection.",
    processing=("methane-hotspots-v3", "Methane hot spots"),
    source=("sentinel-5p-tropomi", "Sentinel-5P TROPOMI"),
    attribution=_COPERNICUS,
    prefix="hotspot",
    title="Hot spot",
    categories=("methane", "oil_and_gas"),
    area_m2=5_200_000.0,
    places=(
        ("Permian", 31.8126, -103.4471),
        ("Hassi Messaoud", 31.7483, 5.9672),
        ("Galkynysh", 37.3614, 62.0148),
        ("Bowen Basin", -22.4178, 148.1296),
    ),
    metrics=(
        Metric("emission_rate_kg_per_h", 14_000, 2, sized=True),
        Metric("emission_rate_uncertainty_kg_per_h", 3_000, 2, sized=True, shift=17),
    ),
    every_days=16,
)
INDUSTRIAL_ACTIVITY = Profile(
    name="Industrial activity, selected sites",
    about="Activity index and hot surface of industrial sites, monthly.",
    processing=("industrial-activity-v2", "Industrial activity, monthly"),
    source=("landsat-8-9-tirs", "Landsat 8 and 9 thermal infrared"),
    attribution="Landsat data courtesy of the U.S. Geological Survey",
    prefix="site",
    title="Site",
    categories=("steel", "industrial_site"),
    area_m2=1_200_000.0,
    places=(("Duisburg", 51.4886, 6.7269), ("Tangshan", 39.6231, 118.1804), ("Ghent", 51.1402, 3.7951)),
    metrics=(Metric("activity_index_pct", 100, 3), Metric("hot_surface_m2", 62_000, 1, sized=True)),
    every_days=30,
)

PROFILES = {
    "crude-tanks": CRUDE_TANKS,
    "methane-hotspots": METHANE_HOTSPOTS,
    "industrial-activity": INDUSTRIAL_ACTIVITY,
}
