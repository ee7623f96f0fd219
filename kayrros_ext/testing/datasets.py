"""Datasets of the platform fake: metadata, results that a test put in, files."""

import functools
import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from email.utils import quote as quote_string
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import attrs

from kayrros_ext.testing import arguments
from kayrros_ext.testing.arguments import Kind, parse_date

if TYPE_CHECKING:
    from kayrros_ext.testing.generation import GeneratedResults

_FILE_CHUNK = 256 * 1024
# A prime, so that a reader that loses or repeats a round number of bytes gets a different file.
_FILE_BLOCK = 1_000_003


@attrs.frozen
class ResultsFilter:
    """Which results a request asks for."""

    asset_ids: frozenset[str] | None = None  # None for all
    bounds_us: tuple[int, int] | None = None  # first and last epoch microsecond; None without a time range


EVERYTHING = ResultsFilter()


@attrs.frozen(eq=False)
class StoredResults:
    """Results as the API sends them, a ProcessingResultTimeSeries, whatever it holds."""

    payload: Mapping[str, Any]

    def metadata(self) -> dict[str, Any]:
        """Return the metadata that follows from the results: number of assets, first and last valid date."""
        assets = self._assets(EVERYTHING)
        dates = [parse_date(result.get("value_date")) for asset in assets for result in asset.get("results") or ()]
        times_ms = [moment // 1000 for moment in dates if moment is not None]
        start, stop = min(times_ms, default=None), max(times_ms, default=None)
        ids = {name: self.payload.get(name) for name in ("processing_id", "source_id")}
        return {"asset_count": len(assets), "start_date": start, "stop_date": stop, **ids}

    def rows(self, only: ResultsFilter) -> int:
        """Count the metrics that a filter lets through, each a row in the client's table."""
        results = (result for asset in self._assets(only) for result in asset.get("results") or ())
        return sum(len(result.get("metrics") or ()) for result in results)

    def body(self, only: ResultsFilter) -> Iterator[bytes]:
        """Yield the results that a filter lets through, as JSON."""
        payload = self.payload if only == EVERYTHING else {**self.payload, "assets": self._assets(only)}
        yield json.dumps(payload, separators=(",", ":")).encode()

    def _assets(self, only: ResultsFilter) -> list[Any]:
        assets = self.payload.get("assets") or []
        if only.asset_ids is not None:
            assets = [asset for asset in assets if asset.get("asset_id") in only.asset_ids]
        if only.bounds_us is None:
            return list(assets)
        first, last = only.bounds_us

        def in_range(result: Mapping[str, Any]) -> bool:
            moment = parse_date(result.get("value_date"))
            return moment is not None and first <= moment <= last

        # An asset without a date in the range stays, without results (assumed).
        return [
            {**asset, "results": list(filter(in_range, asset["results"]))} if asset.get("results") else asset
            for asset in assets
        ]


_FILE = Kind(lambda value: isinstance(value, bytes), 'bytes, or a StaticFile, such as StaticFile(b"a,b", "tanks.csv")')
_CONTENT = Kind(
    lambda it: arguments.BYTES.accepts(it) or arguments.COUNT_OR_0.accepts(it), "bytes, or how many of them"
)


@attrs.frozen
class StaticFile:
    """The file of a static dataset.

    Example:
        >>> file = StaticFile(b"tank,bbl", "tanks.csv", "text/csv", ranges=True)
        >>> file.size, file.disposition, len(file.etag), list(file.chunks(5))
        (8, 'attachment; filename="tanks.csv"', 18, [b'bbl'])

    Attributes:
        content: its bytes; or how many it has, which are then generated while they are sent, the same every time.
        name: file name for Content-Disposition.
        content_type: for Content-Type.
        ranges: whether Range is honoured, with an ETag and If-Range. Unknown of the real API.
    """

    content: bytes | int = attrs.field(repr=False, validator=_CONTENT)
    name: str = attrs.field(default="dataset.bin", validator=arguments.TEXT)
    content_type: str = attrs.field(default="application/octet-stream", validator=arguments.HEADER)
    ranges: bool = attrs.field(default=False, validator=arguments.FLAG)

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.content if isinstance(self.content, int) else len(self.content)

    @property
    def etag(self) -> str:
        """A strong validator, which differs for different bytes."""
        if isinstance(self.content, int):
            return f'"{self.content}"'
        return f'"{hashlib.blake2b(self.content, digest_size=8).hexdigest()}"'

    @property
    def disposition(self) -> str:
        """The Content-Disposition header, with `filename*` if the name is not printable ASCII (RFC 6266)."""
        if self.name.isascii() and self.name.isprintable():
            return f'attachment; filename="{quote_string(self.name)}"'
        return f"attachment; filename*=UTF-8''{quote(self.name, safe='')}"

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Yield its bytes from `start` to before `stop`; memory does not grow with the size."""
        stop = self.size if stop is None else stop
        for begin in range(start, stop, _FILE_CHUNK):
            count = min(stop - begin, _FILE_CHUNK)
            place = begin if isinstance(self.content, bytes) else begin % _FILE_BLOCK
            source = self.content if isinstance(self.content, bytes) else _random_block()
            yield source[place : place + count]


def _to_file(file: StaticFile | bytes | None) -> StaticFile | None:
    return file if file is None or isinstance(file, StaticFile) else StaticFile(_FILE.check("file", file))


def _to_emails(emails: Iterable[str] | None) -> frozenset[str] | None:
    items = [emails] if isinstance(emails, str) else emails
    advice = 'a list of emails, such as ["analyst@example.com"]'
    return None if items is None else frozenset(arguments.read_items("shared_with", items, arguments.read_text, advice))


@attrs.define(eq=False)
class Dataset:
    """A dataset of the fake.

    Example:
        >>> dataset = platform.generate(assets=2, dates=3, shared_with=["me@example.com"])
        >>> dataset.row_count, dataset.is_visible_to("you@example.com")
        (12, False)
        >>> [asset["asset_id"] for asset in dataset.payload()["assets"]]
        ['tank-000000', 'tank-000001']

    Attributes:
        id: its UUID, in lower case.
        metadata: its DatasetMetadata, as it is sent. You may change it.
        source: its results; None if it has only a file.
        file: its file; None if it is not static.
        shared_with: emails of the accounts that may see it; None for all of them.
    """

    id: str
    metadata: dict[str, Any] = attrs.field(repr=False)
    source: "StoredResults | GeneratedResults | None" = attrs.field(default=None, repr=False)
    file: StaticFile | None = attrs.field(default=None, converter=_to_file)
    shared_with: frozenset[str] | None = attrs.field(default=None, converter=_to_emails)

    @property
    def row_count(self) -> int:
        """Number of metrics in its results, which are the rows of the client's table."""
        return self.source.rows(EVERYTHING) if self.source else 0

    def is_visible_to(self, email: str) -> bool:
        """Return whether an account may see it."""
        return self.shared_with is None or email in self.shared_with

    def payload(self) -> Any:
        """Return its results as Python objects, to look at, or to change and add again."""
        return json.loads(b"".join(self.source.body(EVERYTHING))) if self.source else None


@attrs.frozen
class Collection:
    """A collection: some datasets under a name.

    Example:
        >>> [collection.name for collection in platform.collections.values()]
        ['Oil storage', 'Emissions and industry']
    """

    id: str = attrs.field(validator=arguments.TEXT)
    name: str = attrs.field(validator=arguments.TEXT)
    dataset_ids: tuple[str, ...]


@functools.cache
def _random_block() -> bytes:
    block = random.Random(0).randbytes(_FILE_BLOCK)  # noqa: S311 - repeatable is the point  # nosec B311
    return block + block[:_FILE_CHUNK]  # so that a chunk may begin anywhere
