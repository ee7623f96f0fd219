"""A file behind the download, for `tests.support.server.serve`: it takes ranges, and breaks off where the test says."""

import hashlib
import re

import attrs

from tests.support.server import Answer, Request

# More than one block, and no two parts of it alike.
CONTENT = b"".join(hashlib.sha256(number.to_bytes(4)).digest() for number in range(100_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 2_000_000
TAG = {"ETag": '"v1"'}
NAME = {"Content-Disposition": "attachment; filename=a.bin"}


@attrs.define
class File:
    """A file as a server has it.

    Attributes:
        content: its bytes.
        headers: of each answer.
        ranges: whether Range is honoured.
        cuts: after how many bytes each answer breaks off, in turn; None, and no more of them, for not at all.
        ranged: more headers of a 206; of a value that is empty there is none.
        asked: the Range of each request.
    """

    content: bytes = CONTENT
    headers: dict[str, str] = attrs.field(factory=lambda: {**TAG, **NAME})
    ranges: bool = True
    cuts: list[int | None] = attrs.field(factory=list)
    ranged: dict[str, str] = attrs.field(factory=dict)
    asked: list[str | None] = attrs.field(factory=list)

    def __call__(self, request: Request) -> Answer:
        cut = self.cuts.pop(0) if self.cuts else None
        self.asked.append(request.headers.get("range"))
        asked = re.fullmatch(r"bytes=(\d+)-", self.asked[-1] or "")
        versions = {self.headers.get("ETag"), self.headers.get("Last-Modified")}
        if not (asked and self.ranges and request.headers.get("if-range") in versions):
            return Answer(200, self.content, self.headers, cut)
        start, size = int(asked[1]), len(self.content)
        if start >= size:
            return Answer(416, b"", {**self.headers, "Content-Range": f"bytes */{size}"})
        headers = {**self.headers, "Content-Range": f"bytes {start}-{size - 1}/{size}", **self.ranged}
        return Answer(206, self.content[start:], {name: value for name, value in headers.items() if value}, cut)
