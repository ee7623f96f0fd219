"""The report of a case: a table, and claims that hold or are missed."""

import attrs


@attrs.frozen
class Claim:
    """A bound on a measured number.

    Attributes:
        description: what the number measures.
        measured: the number.
        least: its lower bound, if any.
        most: its upper bound, if any.
    """

    description: str
    measured: float
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the number is within its bounds."""
        return (self.least is None or self.measured >= self.least) and (self.most is None or self.measured <= self.most)

    def __str__(self) -> str:
        bound = f"at least {self.least:g}" if self.least is not None else f"at most {self.most:g}"
        return f"{self.description}: {self.measured:.2f} ({bound})"


@attrs.frozen
class Report:
    """The section of a case on the page: a title, the method of measurement, a table, claims."""

    title: str
    method: str
    header: list[str]
    rows: list[list[str]]
    claims: list[Claim]

    def __str__(self) -> str:
        table = "\n".join(f"| {' | '.join(row)} |" for row in [self.header, ["---"] * len(self.header), *self.rows])
        claims = "\n".join(f"- {claim}{'' if claim.holds else ', MISSED'}" for claim in self.claims)
        return f"## {self.title}\n\n{self.method}\n\n{table}\n\n{claims}\n"
