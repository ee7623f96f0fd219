"""Digests of a body: those that a server gives of it, and ours, computed beside the transfer."""

import base64
import binascii
import contextlib
import hashlib
import queue
import re
import threading
from collections.abc import Iterable, Iterator
from typing import Any

import httpx

# Names of RFC 9530 and RFC 3230, best first. CRCs and sums are no digests.
_NAMES = {"sha-512": "sha512", "sha-256": "sha256", "sha": "sha1", "md5": "md5"}
_MEMBER = re.compile(r"([A-Za-z0-9_-]+)=:?([A-Za-z0-9+/=]+):?")
KNOWN = frozenset(_NAMES.values())
# Which digest an entity tag of so many hexadecimal digits may be.
_TAGS = {32: "md5", 64: "sha256"}

BLOCK = 1024 * 1024
# How many are on their way at most: enough to even out two threads.
_BLOCKS = 6


def given_digest(response: httpx.Response) -> dict[str, str]:
    """The best digest that an answer gives of the whole file: name of hashlib to hexadecimal digits; none, or one.

    Of a compressed body they are of the compressed bytes, and of a part Content-MD5 and Content-Digest are of the part:
    these say nothing of the file.
    """
    headers = response.headers
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return {}
    found = _members(headers.get("Digest", "")) | _members(headers.get("Repr-Digest", ""))
    if response.status_code == 200:
        found |= _members(headers.get("Content-Digest", "")) | _members(f"md5={headers.get('Content-MD5', '').strip()}")
    return next(({name: found[name]} for name in _NAMES.values() if name in found), {})


def possible_digest(validator: str | None) -> dict[str, str]:
    """The digest that an entity tag may be, by its length. Object stores make tags so, but not for every object."""
    digits = (validator or "").strip('"').lower()
    name = _TAGS.get(len(digits))
    return {name: digits} if name and re.fullmatch("[0-9a-f]+", digits) else {}


def _members(text: str) -> dict[str, str]:
    found = {}
    for member in text.split(","):
        match = _MEMBER.fullmatch(member.strip())
        name = _NAMES.get(match[1].lower()) if match else None
        if match and name:
            with contextlib.suppress(binascii.Error):
                value = base64.b64decode(match[2], validate=True)
                if len(value) == hashlib.new(name, usedforsecurity=False).digest_size:
                    found[name] = value.hex()
    return found


class Digests:
    """Several digests of the same bytes.

    Args:
        names: names of hashlib.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names}

    @property
    def names(self) -> set[str]:
        """Which they are."""
        return set(self._hashes)

    def update(self, block: "bytes | memoryview[Any]") -> None:
        """Add bytes."""
        for one in self._hashes.values():
            one.update(block)

    def hexadecimal(self, name: str) -> str:
        """One of the digests."""
        return self._hashes[name].hexdigest()

    @contextlib.contextmanager
    def beside(self) -> Iterator["Blocks"]:
        """Blocks that another thread hashes; all of them are hashed at the end. hashlib lets other threads run meanwhile."""
        blocks = Blocks()
        thread = threading.Thread(target=blocks.hash_into, args=(self,), name="kayrros-digests", daemon=True)
        thread.start()
        try:
            yield blocks
        finally:
            blocks.end()
            thread.join()


class Blocks:
    """Blocks on their way from the transfer to the thread that hashes: a fixed number, used again and again."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[bytearray | None] = queue.SimpleQueue()
        for _ in range(_BLOCKS):
            self._free.put(None)
        self._full: queue.SimpleQueue[tuple[bytes | memoryview[Any], bytearray | None] | None] = queue.SimpleQueue()

    def take(self) -> bytearray:
        """A block to fill, once there is one."""
        return self._free.get() or bytearray(BLOCK)

    def give(self, content: "bytes | memoryview[Any]", block: bytearray) -> None:
        """A block to hash; it is not ours any more."""
        self._full.put((content, block))

    def end(self) -> None:
        """There is no more."""
        self._full.put(None)

    def hash_into(self, digests: Digests) -> None:
        """Hash what comes, until the end."""
        while (found := self._full.get()) is not None:
            digests.update(found[0])
            self._free.put(found[1])
