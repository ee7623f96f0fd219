"""One change that a user may notice, of the spec or of the public names: how much it asks, its words, its place."""

import enum

import attrs


class Level(enum.IntEnum):
    """How much a change asks of a user."""

    DOCUMENTATION = 0
    COMPATIBLE = 1
    BREAKING = 2


@attrs.frozen
class Change:
    """One change.

    Attributes:
        level: what it asks of a user.
        words: what changed, for a reader who knows the API.
        line: where, in the version named by `side`.
        names: what a changelog entry may call it by; one of them is enough.
    """

    level: Level
    words: str
    line: int | None = None
    side: str = "now"
    names: frozenset[str] = frozenset()

    def __str__(self) -> str:
        place = f" (line {self.line}{'' if self.side == 'now' else ' before'})" if self.line else ""
        return f"{self.level.name.lower()}: {self.words}{place}"
