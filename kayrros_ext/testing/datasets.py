"""Datasets of the platform fake: metadata, results that were put in, files."""

import functools
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from email.utils import quote as quoted
from typing import Any, Protocol
from urllib.parse import quote

import attrs

from kayrros_ext.testing.checks import Window

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
# A prime, so that a reader who loses or repeats a round number of bytes gets others than it should.
_FILE_BLOCK = 1_000_003
_FILE_CHUNK = 256 * 1024


class Source(Protocol):
    """Where the results of a dataset come from."""

    def metadata(self) -> dict[str, Any]:
        """What the results say of themselves: asset_count, start_date, stop_date, processing_id, source_id."""

    def rows(self, window: Window) -> int:
        """How many metrics a window holds: a row each, in the client's table."""

    def body(self, window: Window) -> bytes | Iterator[bytes]:
        """The results of a window as JSON, whole or in chunks."""


@attrs.frozen(eq=False)
class Payload:
    """Results that were put in, as the API would send them: a ProcessingResultTimeSeries, whatever it holds."""

    answer: Mapping[str, Any]

    def metadata(self) -> dict[str, Any]:
        """Counts the assets and finds the first and the last date that is one."""
        moments = [
            moment
            for asset in self._assets()
            for result in asset.get("results") or ()
            if (moment := moment_us(result.get("value_date"))) is not None
        ]
        return {
            "asset_count": len(self._assets()),
            "start_date": min(moments) // 1000 if moments else None,
            "stop_date": max(moments) // 1000 if moments else None,
            "processing_id": self.answer.get("processing_id"),
            "source_id": self.answer.get("source_id"),
        }

    def rows(self, window: Window) -> int:
        """Counts them."""
        results = (result for asset in self._wanted(window) for result in asset.get("results") or ())
        return sum(len(result.get("metrics") or ()) for result in results)

    def body(self, window: Window) -> bytes:
        """The answer, filtered."""
        answer = self.answer if window == Window() else {**self.answer, "assets": self._wanted(window)}
        return json.dumps(answer, separators=(",", ":")).encode()

    def _assets(self) -> list[Any]:
        return self.answer.get("assets") or []

    def _wanted(self, window: Window) -> list[Any]:
        assets = [asset for asset in self._assets() if window.wants(asset.get("asset_id"))]
        if window.bounds is None:
            return assets
        # An asset without a date in the range stays, without results (assumed).
        return [
            {**asset, "results": [r for r in asset["results"] if window.holds(moment_us(r.get("value_date")))]}
            if asset.get("results")
            else asset
            for asset in assets
        ]


@attrs.frozen
class StaticFile:
    """The file of a static dataset.

    Attributes:
        content: its bytes; or how many it has: then they are made up, the same ones for the same seed, while they are
            sent.
        name: file name for Content-Disposition.
        content_type: for Content-Type.
        ranges: whether Range is honoured, with an ETag and If-Range. Unknown of the real API.
        seed: of bytes that are made up.
    """

    content: bytes | int = attrs.field(repr=lambda content: f"<{_size(content)} bytes>")
    name: str = "dataset.bin"
    content_type: str = "application/octet-stream"
    ranges: bool = False
    seed: int = 0

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return _size(self.content)

    @property
    def etag(self) -> str:
        """A strong validator: other bytes have another one."""
        if isinstance(self.content, int):
            return f'"{self.content}-{self.seed}"'
        import hashlib

        return f'"{hashlib.blake2b(self.content, digest_size=8).hexdigest()}"'

    @property
    def disposition(self) -> str:
        """The Content-Disposition header, with `filename*` where the name is not ASCII (RFC 6266)."""
        if self.name.isascii():
            return f'attachment; filename="{quoted(self.name)}"'
        return f"attachment; filename*=UTF-8''{quote(self.name, safe='')}"

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Its bytes from `start` to before `stop`, in chunks; memory does not grow with the size."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            chunk = self._at(start, min(stop - start, _FILE_CHUNK))
            yield chunk
            start += len(chunk)

    def _at(self, start: int, count: int) -> bytes:
        if isinstance(self.content, bytes):
            return self.content[start : start + count]
        place = start % _FILE_BLOCK
        return _made_up(self.seed)[place : place + count]


@attrs.define(eq=False)
class Dataset:
    """A dataset of the fake.

    Attributes:
        id: its UUID, in lower case.
        metadata: its DatasetMetadata, as it is sent. May be changed.
        source: its results; None for one that has a file alone.
        file: its file; None for one that is not static.
        shared_with: emails of the accounts that may see it; None for all of them.
    """

    id: str
    metadata: dict[str, Any] = attrs.field(repr=False)
    source: Source | None = attrs.field(default=None, repr=False)
    file: StaticFile | None = None
    shared_with: frozenset[str] | None = None

    @property
    def row_count(self) -> int:
        """How many metrics its results hold: the rows of the client's table."""
        return self.source.rows(Window()) if self.source else 0

    def payload(self) -> Any:
        """Its results as Python objects, to look at, or to change and put in again."""
        body = self.source.body(Window()) if self.source else b"null"
        return json.loads(body if isinstance(body, bytes) else b"".join(body))


@attrs.frozen
class Collection:
    """A collection: some datasets under a name."""

    id: str
    name: str
    dataset_ids: tuple[str, ...]


def nested(values: Mapping[str, Mapping[Any, Mapping[str, float]]]) -> dict[str, Any]:
    """Results of a plain structure: asset id, to date, to metric, to value."""
    return {
        "assets": [
            {
                "asset_id": asset,
                "asset_name": asset,
                "results": [
                    {
                        "value_date": iso(day),
                        "metrics": [{"name": name, "value": value} for name, value in found.items()],
                    }
                    for day, found in dates.items()
                ],
            }
            for asset, dates in values.items()
        ]
    }


def iso(value: str | date) -> str:
    """A date as the API is thought to write it: ISO 8601, UTC where it says nothing; a string as it is."""
    return value if isinstance(value, str) else utc(value).isoformat().replace("+00:00", "Z")


def utc(day: date) -> datetime:
    """A date as a moment: its first one; UTC where it says nothing."""
    moment = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def moment_us(value: object) -> int | None:
    """Epoch microseconds of a value_date; None where it is not a date."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return ((moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - EPOCH) // MICROSECOND


def _size(content: bytes | int) -> int:
    return content if isinstance(content, int) else len(content)


@functools.lru_cache(maxsize=4)
def _made_up(seed: int) -> bytes:
    block = random.Random(seed).randbytes(_FILE_BLOCK)  # noqa: S311 - repeatable is the point  # nosec B311
    return block + block[:_FILE_CHUNK]  # so that a chunk may begin anywhere


def emails(shared_with: Iterable[str] | None) -> frozenset[str] | None:
    """Whom a dataset is shared with."""
    return None if shared_with is None else frozenset([shared_with] if isinstance(shared_with, str) else shared_with)
