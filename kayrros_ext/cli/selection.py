"""Which results a command wants, and what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from kayrros_ext._inputs import EPOCH, MILLISECOND, parse_filter
from kayrros_ext.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kayrros_ext import Gap, Kayrros, Progress, Results
    from kayrros_ext._results.fetch import OnGap


class Selection:
    """Dates, assets and metrics; and a count of what came.

    Metrics are chosen here: the API has no filter for them.

    Raises:
        UsageError: dates or assets can't be.
    """

    def __init__(
        self, start: str | None, stop: str | None, assets: list[str] | None, metrics: list[str] | None
    ) -> None:
        self._range, self._metrics = {"start": start, "stop": stop, "assets": assets or None}, metrics or []
        self._filter = parse_filter(start, stop, assets or None)
        self._met: set[str] = set()
        self.rows = self.requests = 0
        self.gaps: list[Gap] = []

    @property
    def summary(self) -> str:
        """What came, in words."""
        rows = f"{self.rows:,} row{'s' * (self.rows != 1)}"
        return f"{rows}, in {self.requests:,} request{'s' * (self.requests != 1)}"

    def parts(
        self, kayrros: "Kayrros", dataset_id: str, on_gap: "OnGap", report: "Callable[[Progress], object]"
    ) -> "Iterator[Results]":
        """The results, part by part.

        Raises:
            UsageError: no row has one of the metrics; after the last part.
        """
        found = kayrros.iter_results(dataset_id, **self._range, on_gap=on_gap, progress=report)  # type: ignore[arg-type]
        return map(self.count, self._checked(found))

    def count(self, part: "Results") -> "Results":
        """A part, counted."""
        self.rows += part.table.num_rows
        self.requests += part.requests
        self.gaps += part.gaps
        return part

    def to_file(self, path: Path, parts: "Iterator[Results]", dataset_id: str) -> None:
        """Write the parts to a file, and what is known of the request into its metadata."""
        from kayrros_ext._export import write

        about: dict[str, str] = {}

        def noted() -> "Iterator[Results]":
            yield from parts
            about.update(self._about())

        write(path, noted(), dataset_id=UUID(dataset_id), about=about)

    def _about(self) -> dict[str, str]:
        about = {"requests": str(self.requests), "gaps": "; ".join(map(str, self.gaps))}
        if self._metrics:
            about["metrics"] = ", ".join(self._metrics)
        if ends := self._filter and self._filter.time_range:
            about |= {
                name: (EPOCH + moment * MILLISECOND).isoformat()
                for name, moment in (("start", ends.start_date), ("stop", ends.stop_date))
            }
        return about

    def _checked(self, parts: "Iterator[Results]") -> "Iterator[Results]":
        for part in parts:
            yield self._chosen(part) if self._metrics else part
        missing = [name for name in self._metrics if name not in self._met]
        if missing and self._met:
            raise UsageError(
                f"No row has the metric {', '.join(missing)}. There are: {', '.join(sorted(self._met))}. Names are exact."
            )

    def _chosen(self, part: "Results") -> "Results":
        import attrs
        import pyarrow as pa
        import pyarrow.compute as pc

        names = part.table["metric"].cast(pa.string())
        self._met.update(name for name in pc.unique(names).to_pylist() if name is not None)
        return attrs.evolve(part, table=part.table.filter(pc.is_in(names, pa.array(self._metrics, pa.string()))))
