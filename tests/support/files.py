"""A file for `tests.support.server.serve`: it honours Range, and breaks the connection where the test says."""

import hashlib
import re

import attrs

from tests.support.server import Request, StubResponse

# Larger than any buffer, and without repetition.
CONTENT = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(100_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 2_000_000
TAG = {"ETag": '"v1"'}
NAME = {"Content-Disposition": "attachment; filename=a.bin"}


@attrs.define
class File:
    """A file on a server.

    Attributes:
        content: its bytes.
        headers: of each response.
        ranges: whether Range is honoured.
        cuts: after how many bytes each response breaks off, in turn. None, or no more of them, means not at all.
        range_headers: more headers of a 206. An empty value removes the header.
        requested_ranges: the Range of each request.
    """

    content: bytes = CONTENT
    headers: dict[str, str] = attrs.field(factory=lambda: {**TAG, **NAME})
    ranges: bool = True
    cuts: list[int | None] = attrs.field(factory=list)
    range_headers: dict[str, str] = attrs.field(factory=dict)
    requested_ranges: list[str | None] = attrs.field(factory=list)

    def __call__(self, request: Request) -> StubResponse:
        cut = self.cuts.pop(0) if self.cuts else None
        self.requested_ranges.append(request.headers.get("range"))
        match = re.fullmatch(r"bytes=(\d+)-", self.requested_ranges[-1] or "")
        versions = {self.headers.get("ETag"), self.headers.get("Last-Modified")}
        if not (match and self.ranges and request.headers.get("if-range") in versions):
            return StubResponse(200, self.content, self.headers, cut)
        start, size = int(match[1]), len(self.content)
        if start >= size:
            return StubResponse(416, b"", {**self.headers, "Content-Range": f"bytes */{size}"})
        headers = {**self.headers, "Content-Range": f"bytes {start}-{size - 1}/{size}", **self.range_headers}
        return StubResponse(206, self.content[start:], {name: value for name, value in headers.items() if value}, cut)
