"""From the bytes of a results answer to Arrow tables.

The answer is cut into its assets, as slices of the bytes; some at a time they are read as columns, in parallel, and those
that are out of the ordinary value by value. What is in between is small, however large the answer.
"""

import codecs
import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import msgspec
import pyarrow as pa

from kayrros_ext._results.columns import Irregular, Layout, read_columns
from kayrros_ext._results.plain import Reader, items, loads, member, string
from kayrros_ext._results.schema import ASSETS, RESULTS, WITHOUT_METRICS, Tables, not_json

# What each thread reads at a time, in bytes: what is in between takes some times that, and should be small beside the
# tables; and a batch should be large beside the millisecond that its steps in Python take.
SMALLEST_BATCH, LARGEST_BATCH = 500_000, 4_000_000
BATCHES_PER_THREAD = 16
_SLICE = 1 << 20
_KNOWN = {"assets", "processing_id", "source_id"}


@attrs.frozen
class Reading:
    """What a results answer holds."""

    table: pa.Table
    assets: pa.Table
    without_metrics: pa.Table
    processing_id: str | None
    source_id: str | None
    unknown_fields: tuple[str, ...]


class _Top(msgspec.Struct, forbid_unknown_fields=True):
    """An answer, cut into its assets."""

    assets: list[msgspec.Raw] | None = None
    processing_id: msgspec.Raw = msgspec.Raw(b"null")
    source_id: msgspec.Raw = msgspec.Raw(b"null")


def read(body: bytes, *, batch_bytes: int | None = None) -> Reading:
    """Read a results answer.

    Args:
        body: the answer, JSON.
        batch_bytes: how many bytes of assets each thread reads at a time, where not what fits the body.

    Raises:
        ContractError: the answer is not what the contract says; it names the place.
    """
    body = _utf8(body)
    try:
        _check_utf8(body)
        top, assets = _cut(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _read_plainly(body)
    reader = _Reader()
    reader.unknown.update(name for name in top if name not in _KNOWN)
    fitting = len(body) // (BATCHES_PER_THREAD * pa.cpu_count())
    parts = reader.read(assets, batch_bytes or min(max(fitting, SMALLEST_BATCH), LARGEST_BATCH))
    return _reading(top, parts, reader.unknown)


def _utf8(body: bytes) -> bytes:
    """The same text, should it be in another of the encodings that JSON once had, or have a byte order mark."""
    encoding = json.detect_encoding(body)
    try:
        return body if encoding == "utf-8" else body.decode(encoding).encode()
    except UnicodeError as error:
        raise not_json(error) from None


def _check_utf8(body: bytes) -> None:
    """The parsers of `_cut` and of columns take any bytes for text. In slices, since a text may be four times the body."""
    if not body.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(body), _SLICE):
            decoder.decode(body[start : start + _SLICE])
        decoder.decode(b"", final=True)


def _cut(body: bytes) -> tuple[dict[str, Any], list[msgspec.Raw]]:
    """The members of an answer, but for its assets; and these, as slices that are known to be JSON."""
    try:
        top = msgspec.json.decode(body, type=_Top)
        return {name: loads(bytes(getattr(top, name))) for name in ("processing_id", "source_id")}, top.assets or []
    except msgspec.ValidationError:  # another field, which is rare: in two steps then
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        assets = msgspec.json.decode(members.pop("assets", b"null"), type=list[msgspec.Raw] | None)
        return {name: loads(bytes(value)) for name, value in members.items()}, assets or []


def _read_plainly(body: bytes) -> Reading:
    """For a body that msgspec does not take: it says what is wrong, or reads it, should it be JSON all the same."""
    loads(body, object_pairs_hook=lambda _: None)  # most are not, and finding that out should cost no memory
    reader = Reader()
    top = reader.members(loads(body), "", "", _KNOWN)
    for where, asset in items(top.get("assets"), "assets"):
        reader.read_asset(asset, where)
    return _reading(top, [reader.tables()], reader.unknown_fields())


def _reading(top: dict[str, Any], parts: list[Tables], unknown: set[str]) -> Reading:
    return Reading(
        table=_joined(RESULTS, [part.table for part in parts]),
        assets=_joined(ASSETS, [part.assets for part in parts]),
        without_metrics=_joined(WITHOUT_METRICS, [part.without_metrics for part in parts]),
        processing_id=member(top, "processing_id", "", string),
        source_id=member(top, "source_id", "", string),
        unknown_fields=tuple(sorted(unknown)),
    )


def _joined(schema: pa.Schema, tables: list[pa.Table]) -> pa.Table:
    """Tables one after another, with one dictionary for all."""
    if len(tables) == 1:
        return tables[0]
    return pa.concat_tables([schema.empty_table(), *tables]).unify_dictionaries()


class _Reader:
    """Reads the assets of one answer.

    Attributes:
        layout: what was learned of fields that no table holds.
        unknown: the names of these fields.
    """

    def __init__(self) -> None:
        self.layout = Layout()
        self.unknown: set[str] = set()
        self._lock = threading.RLock()

    def read(self, assets: list[msgspec.Raw], batch_bytes: int) -> list[Tables]:
        """Tables of the assets, in order."""
        batches = list(_batches(assets, batch_bytes))
        if len(batches) == 1:
            return [self._read_batch(batches[0])]
        with ThreadPoolExecutor(pa.cpu_count()) as pool:
            return list(pool.map(self._read_batch, batches))

    def _read_batch(self, batch: tuple[int, list[msgspec.Raw]]) -> Tables:
        start, assets = batch
        while True:
            layout = self.layout
            with contextlib.suppress(Irregular):
                return read_columns(assets, layout)
            # One asset may show what all have that is not known yet. Else each is looked at.
            if not self._learn(start, assets[:1], layout):
                return self._read_plainly(start, assets)

    def _learn(self, start: int, assets: list[msgspec.Raw], layout: Layout) -> bool:
        """Whether there is more to know of the fields than a layout did; another thread may have found that out."""
        with self._lock:
            if self.layout is layout:
                self._read_plainly(start, assets)
            return self.layout is not layout

    def _read_plainly(self, start: int, assets: list[msgspec.Raw]) -> Tables:
        reader = Reader()
        for index, asset in enumerate(assets, start):
            reader.read_asset(loads(bytes(asset)), f"assets[{index}]")
        with self._lock:
            self.unknown |= reader.unknown_fields()
            self.layout = self.layout.learn(reader.unknown)
        return reader.tables()


def _batches(assets: list[msgspec.Raw], batch_bytes: int) -> Iterator[tuple[int, list[msgspec.Raw]]]:
    """Assets in groups of about so many bytes, each with the index of its first."""
    start, size = 0, 0
    for index, asset in enumerate(assets):
        size += len(memoryview(asset))
        if size >= batch_bytes:
            yield start, assets[start : index + 1]
            start, size = index + 1, 0
    if start < len(assets):
        yield start, assets[start:]
