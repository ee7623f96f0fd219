"""Generated results: the same parameters give the same bytes, as many rows as you ask for, made while they are sent.

Each asset has a series of its own, made of a level, a walk and noise. It is a number from 0 to 255 for each date,
by which the JSON of the values is looked up. So a filter changes which values are sent, never a value itself. More assets
change nothing for the others, and 100 MB take a fraction of a second.
"""

import bisect
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any
from uuid import UUID

import attrs
import msgspec

from kayrros_ext.testing import arguments
from kayrros_ext.testing.arguments import format_us
from kayrros_ext.testing.datasets import ResultsFilter

# Sizes of assets, relative to the usual one, because industry builds in standard sizes.
_SIZES = [round(0.4 * 6 ** (step / 15), 3) for step in range(16)]
# Kinds of asset, each with a size and a mean level of its own.
_VARIANTS = 80
# Dates whose part of a series is made at once.
_BLOCK = 1024
# Rows in a chunk of the body, of about 100 bytes each.
_CHUNK_ROWS = 2500
# Four steps add up to a walk that returns. With noise of at most 7, that is at most 223. Steps and noise come from different
# bits, which makes them independent.
_STEPS = bytes((byte >> 3) * 7 // 4 for byte in range(256))
_NOISE = bytes(byte & 7 for byte in range(256))


class Metric(msgspec.Struct, frozen=True):
    """A metric of generated results."""

    name: str
    scale: float = 100.0  # value of an asset of the usual size at level 1; levels lie between 0 and 1
    digits: int = 3  # decimal places
    sized: bool = False  # whether it grows with the size of the asset
    power: float = 1  # of the level; above 1 for values that are mostly low and seldom high
    series: str = ""  # metrics of one series rise and fall together


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

    seed: int = attrs.field(validator=arguments.INTEGER)
    template: Template
    assets: int = attrs.field(validator=arguments.COUNT)
    dates: Sequence[int]  # of every asset, in order, in epoch microseconds
    metrics: tuple[Metric, ...]  # of every date

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
            chunk = b",".join([self._asset(index, dates) for index in indices[first : first + step]])
            yield b"," + chunk if first else chunk
        yield b"]}"

    def uuid(self, name: str | None) -> UUID:
        """Return an id that follows from the name of the dataset, and from everything that the results follow from."""
        names = [metric.name for metric in self.metrics]
        parameters = (self.seed, self.template.prefix, self.assets, self.dates, names, name)
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

    def _asset(self, index: int, dates: range) -> bytes:
        """Return the JSON of an asset: fixed text, and the values in between."""
        opening, variant = _opening(self.template, self.seed, index)
        if not dates:
            return opening + b"]}"
        fixed = _fixed_text(self.dates, tuple(metric.name for metric in self.metrics), dates.start, dates.stop)
        parts = [b""] * (2 * len(fixed) - 1)
        parts[0::2] = fixed
        blocks = range(dates.start // _BLOCK, 1 + (dates.stop - 1) // _BLOCK)
        begin, levels = dates.start - blocks.start * _BLOCK, dict[str, bytes]()
        for place, metric in enumerate(self.metrics):
            if metric.series not in levels:
                key = f"{self.seed}/{index}/{metric.series}"
                series = b"".join([_levels(key, len(self.dates), block) for block in blocks])
                levels[metric.series] = series[begin : begin + len(dates)]
            size = _SIZES[variant % len(_SIZES)] if metric.sized else 1
            values = _values(metric.scale * size, metric.power, metric.digits, variant)
            parts[2 * place + 1 :: 2 * len(self.metrics)] = [values[level] for level in levels[metric.series]]
        return opening + b"".join(parts) + b"]}"


def _levels(key: str, count: int, block: int) -> bytes:
    """Return a block of a series. Each byte is a number of its own, and all are added at once, as one large integer."""
    random, following = (hashlib.shake_128(f"{key}/{block + offset}".encode()).digest for offset in (0, 1))
    drawn = random(min(_BLOCK, count + 3)) + following(3)
    walk = int.from_bytes(drawn.translate(_STEPS), "little")
    for steps in (1, 2):
        walk += walk >> 8 * steps  # the sum of twice as many neighbours
    noise = int.from_bytes(drawn.translate(_NOISE), "little")
    return (walk + noise).to_bytes(len(drawn), "little")[:_BLOCK]


@functools.lru_cache(maxsize=1024)  # windows of a dataset ask for the same assets again and again
def _opening(template: Template, seed: int, index: int) -> tuple[bytes, int]:
    """Return the JSON before the results of an asset, and its variant, a size and a mean level."""
    digest = hashlib.blake2b(f"{seed}/{index}".encode(), digest_size=24).digest()
    draws = [int.from_bytes(digest[start : start + 8]) / 2**64 for start in range(0, 24, 8)]
    variant, group = int(draws[0] * _VARIANTS), index // 8
    place, latitude, longitude = template.places[group % len(template.places)]
    asset = {
        "asset_id": f"{template.prefix}-{index:06d}",
        "asset_name": f"{template.title} {index:06d}, {place}",
        "asset_version": 1 + group % 4,
        "asset_categories": template.categories,
        "asset_centroid_latitude": round(latitude + (draws[1] - 0.5) / 50, 4),
        "asset_centroid_longitude": round(longitude + (draws[2] - 0.5) / 50, 4),
        "asset_surface_area_m2": round(template.area_m2 * _SIZES[variant % len(_SIZES)], 1),
    }
    if template.parents:
        name = f"{place} terminal {1 + group // len(template.places)}"
        asset |= {"parent_asset_id": name.lower().replace(" ", "-"), "parent_asset_name": name}
        asset["parent_asset_version"] = asset["asset_version"]
    opening = json.dumps(asset, separators=(",", ":"))[:-1] + ',"results":['
    return opening.encode(), variant


@functools.lru_cache(maxsize=16)
def _fixed_text(dates: Sequence[int], names: tuple[str, ...], start: int, stop: int) -> list[bytes]:
    """Return the JSON before, between and after the values."""
    between = [f'}},{{"name":{json.dumps(name)},"value":'.encode() for name in names[1:]]
    opening = f'","metrics":[{{"name":{json.dumps(names[0])},"value":'
    parts = []
    for index in range(start, stop):
        before = "}]}," if index > start else ""
        parts.append(f'{before}{{"value_date":"{format_us(dates[index])}{opening}'.encode())
        parts += between
    return [*parts, b"}]}"]


@functools.lru_cache(maxsize=1024)
def _values(scale: float, power: float, digits: int, variant: int) -> list[bytes]:
    """Return the value of a metric for each number of a series, as JSON."""
    mean = 0.3 + 0.4 * variant / _VARIANTS
    levels = (min(max(mean + 0.5 * (number - 112) / 128, 0.05), 0.95) for number in range(256))
    return [f"{scale * level**power:.{digits}f}".encode() for level in levels]
