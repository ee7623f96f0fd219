"""Generated results: the same parameters give the same bytes, as many rows as you ask for, made while they are sent.

No object is held for a row. For each metric and size of asset there is a long series of numbers, already written as JSON.
The values of an asset are a slice of it, and its bytes are joined from slices. So a filter changes which values are sent,
never a value itself, and 100 MB take a fraction of a second.
"""

import bisect
import functools
import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any
from uuid import UUID

import attrs
import msgspec

from kayrros_ext.testing.datasets import ResultsFilter, format_us

# Sizes of assets, relative to the usual one, because industry builds in standard sizes.
_SIZES = [round(0.4 * 6 ** (step / 15), 3) for step in range(16)]
# Numbers in a series. A long one gives different values to many assets. A short one is written faster, for few rows.
_LONG_SERIES, _SHORT_SERIES, _FEW_ROWS = 8191, 251, 10_000
# Rows in a chunk of the body, of about 100 bytes each.
_CHUNK_ROWS = 2500


class Metric(msgspec.Struct, frozen=True):
    """A metric of generated results."""

    name: str
    scale: float = 100.0  # value of an asset of the usual size at level 1; levels lie between 0 and 1
    digits: int = 3  # decimal places
    sized: bool = False  # whether it grows with the size of the asset
    lag: int = 0  # how many dates it follows behind the other metrics


class Template(msgspec.Struct, frozen=True, eq=False):
    """What a generated dataset is made of. All values are invented."""

    metadata: dict[str, Any]  # the DatasetMetadata that does not depend on the results
    prefix: str  # start of the ids of its assets
    title: str  # start of the names of its assets
    categories: list[str]  # of each asset
    area_m2: float  # surface of an asset of the usual size
    parents: bool  # whether assets have a parent; else its fields are missing
    places: list[tuple[str, float, float]]  # name, latitude and longitude of where assets stand, eight together
    every_days: int  # days between two dates
    metrics: tuple[Metric, ...]  # of each date


TEMPLATES = msgspec.json.decode(
    resources.files(__package__).joinpath("templates.json").read_bytes(), type=dict[str, Template]
)


@attrs.frozen(eq=False)
class GeneratedResults:
    """Results by seed, with the methods of StoredResults."""

    seed: int
    template: Template
    assets: int  # how many
    dates: range | tuple[int, ...]  # of every asset, in order, in epoch microseconds
    metrics: tuple[Metric, ...]  # of every date
    _series: dict[tuple[int, int], list[str]] = attrs.field(factory=dict, init=False, repr=False)

    def metadata(self) -> dict[str, Any]:
        """Return the template's metadata, the number of assets, the first and the last date."""
        start, stop = self.dates[0] // 1000, self.dates[-1] // 1000
        return {**self.template.metadata, "asset_count": self.assets, "start_date": start, "stop_date": stop}

    def rows(self, only: ResultsFilter) -> int:
        """Multiply assets, dates and metrics."""
        return len(self._asset_indices(only)) * len(self._date_indices(only)) * len(self.metrics)

    def body(self, only: ResultsFilter) -> Iterator[bytes]:
        """Yield the JSON in chunks of whole assets."""
        indices, dates = self._asset_indices(only), self._date_indices(only)
        ids = {name: self.template.metadata[name] for name in ("processing_id", "source_id")}
        yield (json.dumps(ids)[:-1] + ',"assets":[').encode()
        step = 1 + _CHUNK_ROWS // (1 + len(dates))
        for first in range(0, len(indices), step):
            chunk = ",".join([self._asset(index, dates) for index in indices[first : first + step]])
            yield ("," + chunk if first else chunk).encode()
        yield b"]}"

    def uuid(self) -> UUID:
        """Return an id that follows from everything that the results follow from."""
        names = [metric.name for metric in self.metrics]
        parameters = (self.seed, self.template.prefix, self.assets, self.dates, names)
        return UUID(bytes=hashlib.blake2b(repr(parameters).encode(), digest_size=16).digest(), version=4)

    def _asset_indices(self, only: ResultsFilter) -> Sequence[int]:
        if only.asset_ids is None:
            return range(self.assets)
        # An id holds the index, so that no list of all ids is needed.
        matches = (re.fullmatch(rf"{self.template.prefix}-(\d{{6,}})", name, re.ASCII) for name in only.asset_ids)
        indices = (int(match[1]) for match in matches if match and (len(match[1]) == 6 or match[1][0] != "0"))
        return sorted(index for index in indices if index < self.assets)

    def _date_indices(self, only: ResultsFilter) -> range:
        if only.bounds_us is None:
            return range(len(self.dates))
        first, last = only.bounds_us
        return range(bisect.bisect_left(self.dates, first), bisect.bisect_right(self.dates, last))

    def _asset(self, index: int, dates: range) -> str:
        """Return the JSON of an asset: fixed text, and the values in between."""
        opening, size, level = _opening(self.template, self.seed, index)
        if not dates:
            return opening + "]}"
        fixed = _fixed_text(self.dates, tuple(metric.name for metric in self.metrics), dates.start, dates.stop)
        parts = [""] * (2 * len(fixed) - 1)
        parts[0::2] = fixed
        for place, metric in enumerate(self.metrics):
            series = self._numbers(place, size)
            length = self._series_length
            begin = (int(level * length) + dates.start + metric.lag) % length
            parts[2 * place + 1 :: 2 * len(self.metrics)] = series[begin : begin + len(dates)]
        return opening + "".join(parts) + "]}"

    def _numbers(self, place: int, size: int) -> list[str]:
        """Return the series of a metric for a size of asset, as JSON, repeated so that a slice may begin anywhere."""
        if (place, size) not in self._series:
            metric, length = self.metrics[place], self._series_length
            factor = metric.scale * (_SIZES[size] if metric.sized else 1)
            written = [f"{factor * level:.{metric.digits}f}" for level in _levels(self.seed, length)]
            self._series[place, size] = written * (2 + len(self.dates) // length)
        return self._series[place, size]

    @property
    def _series_length(self) -> int:
        return _SHORT_SERIES if self.assets * len(self.dates) * len(self.metrics) <= _FEW_ROWS else _LONG_SERIES


@functools.lru_cache(maxsize=1024)  # windows of a dataset ask for the same assets again and again
def _opening(template: Template, seed: int, index: int) -> tuple[str, int, float]:
    """Return the JSON before the results of an asset, its size, and where in a series it begins, from 0 to 1."""
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=32).digest()
    draws = [int.from_bytes(digest[start : start + 8]) / 2**64 for start in range(0, 32, 8)]
    size, group = int(draws[0] * len(_SIZES)), index // 8
    place, latitude, longitude = template.places[group % len(template.places)]
    asset = {
        "asset_id": f"{template.prefix}-{index:06d}",
        "asset_name": f"{template.title} {index:06d}, {place}",
        "asset_version": 1 + group % 4,
        "asset_categories": template.categories,
        "asset_centroid_latitude": round(latitude + (draws[2] - 0.5) / 50, 4),
        "asset_centroid_longitude": round(longitude + (draws[3] - 0.5) / 50, 4),
        "asset_surface_area_m2": round(template.area_m2 * _SIZES[size], 1),
    }
    if template.parents:
        name = f"{place} terminal {1 + group // len(template.places)}"
        asset |= {"parent_asset_id": name.lower().replace(" ", "-"), "parent_asset_name": name}
        asset["parent_asset_version"] = asset["asset_version"]
    return json.dumps(asset, separators=(",", ":"))[:-1] + ',"results":[', size, draws[1]


@functools.lru_cache(maxsize=16)
def _fixed_text(dates: Sequence[int], names: tuple[str, ...], start: int, stop: int) -> list[str]:
    """Return the JSON before, between and after the values."""
    between = [f'}},{{"name":{json.dumps(name)},"value":' for name in names[1:]]
    opening = f'","metrics":[{{"name":{json.dumps(names[0])},"value":'
    parts = []
    for index in range(start, stop):
        before = "}]}," if index > start else ""
        parts.append(f'{before}{{"value_date":"{format_us(dates[index])}{opening}')
        parts += between
    return [*parts, "}]}"]


@functools.lru_cache(maxsize=16)
def _levels(seed: int, length: int) -> list[float]:
    """Return a random walk between 0.05 and 0.95 that ends where it began, so that it can be repeated."""
    draw = random.Random(seed)  # noqa: S311 - repeatable is the point  # nosec B311
    level, walk = 0.6, []
    for _ in range(length):
        level += 0.05 * (0.55 - level) + draw.gauss(0, 0.04)
        level = min(max(level, 0.05), 0.95)
        walk.append(level)
    drift = walk[-1] - walk[0]
    return [min(max(level - drift * place / length, 0.05), 0.95) for place, level in enumerate(walk)]
