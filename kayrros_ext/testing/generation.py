"""Results by seed: the same parameters give the same bytes, as many rows as are asked for, made while they are sent.

No object is held for a row. Each metric has, for each size of asset, a long series of numbers that are already written
as JSON; an asset's values are a stretch of it, and its bytes are joined from slices. So a filter changes what is sent,
never a value, and 100 MB take a fraction of a second.
"""

import bisect
import functools
import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import attrs

from kayrros_ext.testing.checks import Window
from kayrros_ext.testing.datasets import EPOCH, MICROSECOND
from kayrros_ext.testing.profiles import SIZES, Metric, Profile

# Dates that are written at once, for one asset.
_BLOCK = 4096
# Assets whose description is kept: windows of a dataset ask for the same ones again and again.
_REMEMBERED = 1024
# Bytes of a chunk, about: enough that sending costs more than asking for the next one.
_CHUNK = 256 * 1024
# Numbers of a series. Many assets want a long one, so that no two of them get the same stretch; few rows want a short
# one, since it is written first.
_LONG, _SHORT, _FEW_ROWS = 8191, 251, 10_000


@attrs.frozen(eq=False)
class Dates:
    """The dates of generated results, in order: at equal steps from a start, or as they were given.

    Attributes:
        count: how many.
        start_us: the first, in epoch microseconds.
        every_us: microseconds from one to the next.
        given_us: all of them, where they were given.
    """

    count: int
    start_us: int = 0
    every_us: int = 0
    given_us: tuple[int, ...] = ()

    @classmethod
    def of(cls, moments: Sequence[datetime]) -> "Dates":
        """These dates, sorted."""
        given = tuple(sorted((moment - EPOCH) // MICROSECOND for moment in moments))
        return cls(len(given), given_us=given)

    @classmethod
    def steps(cls, count: int, start: datetime, every: timedelta) -> "Dates":
        """A number of dates at equal steps."""
        return cls(count, (start - EPOCH) // MICROSECOND, every // MICROSECOND)

    def at(self, index: int) -> int:
        """One of them, in epoch microseconds."""
        return self.given_us[index] if self.given_us else self.start_us + index * self.every_us

    def within(self, window: Window) -> range:
        """Indices of those that lie in a window."""
        if window.bounds is None:
            return range(self.count)
        first, last = window.bounds
        everything = range(self.count)
        return range(
            bisect.bisect_left(everything, first, key=self.at), bisect.bisect_right(everything, last, key=self.at)
        )


@attrs.frozen(eq=False)
class Generated:
    """Results by seed; a Source of datasets.

    Attributes:
        seed: what the values follow from, with the other attributes.
        profile: what they are about.
        assets: how many.
        dates: of every asset.
        metrics: of every date.
    """

    seed: int
    profile: Profile
    assets: int
    dates: Dates
    metrics: tuple[Metric, ...]
    _series: dict[tuple[int, int], list[str]] = attrs.field(factory=dict, init=False, repr=False)
    _openings: dict[int, tuple[str, int, int]] = attrs.field(factory=dict, init=False, repr=False)

    def metadata(self) -> dict[str, Any]:
        """What the results say of themselves."""
        return {
            "asset_count": self.assets,
            "start_date": self.dates.at(0) // 1000,
            "stop_date": self.dates.at(self.dates.count - 1) // 1000,
            "processing_id": self.profile.processing[0],
            "source_id": self.profile.source[0],
        }

    def rows(self, window: Window) -> int:
        """Assets times dates times metrics."""
        return len(self._wanted(window)) * len(self.dates.within(window)) * len(self.metrics)

    def body(self, window: Window) -> Iterator[bytes]:
        """The JSON of a window, in chunks."""
        top = {"processing_id": self.profile.processing[0], "source_id": self.profile.source[0]}
        waiting, size = [json.dumps(top)[:-1] + ',"assets":['], 0
        for asset in self._wanted(window):
            for text in self._asset(asset, self.dates.within(window)):
                waiting.append(text)
                size += len(text)
                if size > _CHUNK:
                    yield "".join(waiting).encode()
                    waiting, size = [], 0
            waiting.append(",")
        if waiting[-1:] == [","]:
            waiting.pop()
        yield "".join([*waiting, "]}"]).encode()

    def uuid(self) -> UUID:
        """One that follows from all that the results follow from."""
        dates = self.dates
        known = (self.seed, self.profile.name, self.assets, self.metrics, dates.count, dates.start_us, dates.every_us)
        digest = hashlib.blake2b(repr((known, dates.given_us)).encode(), digest_size=16).digest()
        return UUID(bytes=digest, version=4)

    def about(self, index: int) -> dict[str, Any]:
        """All of an AssetResult but its results."""
        profile, draws = self.profile, self._draws(index)
        group = index // profile.per_place
        place, latitude, longitude = profile.places[group % len(profile.places)]
        asset = {
            "asset_id": f"{profile.prefix}-{index:06d}",
            "asset_name": f"{profile.title} {index:06d}, {place}",
            "asset_version": 1 + group % 4,
            "asset_categories": list(profile.categories),
            "asset_centroid_latitude": round(latitude + (draws[2] - 0.5) / 50, 4),
            "asset_centroid_longitude": round(longitude + (draws[3] - 0.5) / 50, 4),
            "asset_surface_area_m2": round(profile.area_m2 * SIZES[self._size(draws)], 1),
        }
        if profile.parents:
            name = f"{place} terminal {1 + group // len(profile.places)}"
            parent = {"parent_asset_id": name.lower().replace(" ", "-"), "parent_asset_name": name}
            asset |= {**parent, "parent_asset_version": asset["asset_version"]}
        return asset

    def _wanted(self, window: Window) -> range | list[int]:
        if window.mo_ids is None:
            return range(self.assets)
        # No list of all ids is made for this: an id tells which asset it is of.
        found = (re.fullmatch(rf"{self.profile.prefix}-(\d{{6,}})", name, re.ASCII) for name in window.mo_ids)
        indices = (int(match[1]) for match in found if match and (len(match[1]) == 6 or match[1][0] != "0"))
        return sorted(index for index in indices if index < self.assets)

    def _asset(self, index: int, dates: range) -> Iterator[str]:
        opening, size, offset = self._opening(index)
        yield opening
        # Blocks lie at fixed places, so that requests share them.
        for first in range(dates.start - dates.start % _BLOCK, dates.stop if dates else 0, _BLOCK):
            start, stop = max(first, dates.start), min(first + _BLOCK, dates.stop)
            if start > dates.start:
                yield ","
            yield self._results(start, stop, size, offset)
        yield "]}"

    def _opening(self, index: int) -> tuple[str, int, int]:
        """What stands before the results of an asset, its size, and where in the series it begins."""
        known = self._openings.get(index)
        if known is None:
            draws = self._draws(index)
            text = json.dumps(self.about(index), separators=(",", ":"))[:-1] + ',"results":['
            known = text, self._size(draws), int(draws[1] * self._length)
            if len(self._openings) < _REMEMBERED:
                self._openings[index] = known
        return known

    def _results(self, start: int, stop: int, size: int, offset: int) -> str:
        """The results of an asset between two indices of dates: what is the same for all, and the values between."""
        fixed = _fixed(self.dates, tuple(metric.name for metric in self.metrics), start, stop)
        parts = [""] * (2 * len(fixed) - 1)
        parts[0::2] = fixed
        for place, metric in enumerate(self.metrics):
            begin = (offset + start + metric.shift) % self._length
            parts[2 * place + 1 :: 2 * len(self.metrics)] = self._numbers(place, size)[begin : begin + stop - start]
        return "".join(parts)

    def _numbers(self, place: int, size: int) -> list[str]:
        """The series of a metric for a size of asset, written as JSON; longer than a round by what a block may need."""
        series = self._series.get((place, size))
        if series is None:
            metric = self.metrics[place]
            factor = metric.scale * (SIZES[size] if metric.sized else 1)
            written = [f"{factor * level:.{metric.digits}f}" for level in _levels(self.seed, self._length)]
            rounds = 1 + min(_BLOCK, self.dates.count) // self._length + 1
            series = self._series[place, size] = written * rounds
        return series

    @property
    def _length(self) -> int:
        return _SHORT if self.assets * self.dates.count * len(self.metrics) <= _FEW_ROWS else _LONG

    def _draws(self, index: int) -> list[float]:
        """Four numbers from 0 to 1 that follow from the seed and an asset's index, whichever assets came before."""
        digest = hashlib.blake2b(f"{self.seed}/{index}".encode(), digest_size=32).digest()
        return [int.from_bytes(digest[start : start + 8]) / 2**64 for start in range(0, 32, 8)]

    @staticmethod
    def _size(draws: list[float]) -> int:
        return int(draws[0] * len(SIZES))


@functools.lru_cache(maxsize=64)
def _fixed(dates: Dates, names: tuple[str, ...], start: int, stop: int) -> list[str]:
    """What stands before, between and after the values."""
    between = [f'}},{{"name":{json.dumps(name)},"value":' for name in names[1:]]
    opening = f'","metrics":[{{"name":{json.dumps(names[0])},"value":'
    parts = []
    for index in range(start, stop):
        moment = EPOCH + dates.at(index) * MICROSECOND
        before = "}]}," if index > start else ""
        parts.append(f'{before}{{"value_date":"{moment.isoformat()[:-6]}Z{opening}')
        parts += between
    return [*parts, "}]}"]


@functools.lru_cache(maxsize=16)
def _levels(seed: int, length: int) -> list[float]:
    """A walk between 0.05 and 0.95 that is drawn to the middle and ends where it began, so that it can go round."""
    draw = random.Random(seed)  # noqa: S311 - repeatable is the point  # nosec B311
    level, walk = 0.6, []
    for _ in range(length):
        level += 0.05 * (0.55 - level) + draw.gauss(0, 0.04)
        level = min(max(level, 0.05), 0.95)
        walk.append(level)
    drift = walk[-1] - walk[0]
    return [min(max(level - drift * place / length, 0.05), 0.95) for place, level in enumerate(walk)]
