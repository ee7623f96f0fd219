"""The facts about results that a file records: dataset, query, origin, units and attribution."""

import json

import kayrros_ext
from kayrros_ext._results.metadata import Metadata, attribution_of
from kayrros_ext._results.model import Gap, Results
from kayrros_ext._results.schema import RESULTS, metric_units, value_years


class FileMetadata:
    """Collects the facts from the parts of results."""

    def __init__(self) -> None:
        self._dataset: dict[str, str] = {}
        self._ids: dict[str, dict[str, None]] = {"processing_id": {}, "source_id": {}}
        self._units: dict[str, str | None] = {}
        self._years: set[int] = set()
        self._requests = 0
        self._gaps: list[Gap] = []
        self._metadata: Metadata | None = None

    def add(self, part: Results) -> None:
        """Note the facts of a part."""
        facts = {"dataset_id": part.dataset_id, "dataset_name": part.dataset_name, **part.query}
        if part.retrieved_at:
            facts["retrieved_at"] = part.retrieved_at.isoformat(timespec="seconds")
        # Those of an earlier part stay, so that retrieved_at is that of the first.
        self._dataset = {name: str(value) for name, value in facts.items() if value} | self._dataset
        for name, ids in self._ids.items():
            ids.update(dict.fromkeys(getattr(part, f"{name}s")))
        self._units |= metric_units(part.table)
        self._years.update(value_years(part.table))
        self._metadata = self._metadata or part.metadata
        self._requests += part.requests
        self._gaps += part.gaps

    def to_dict(self) -> dict[str, str]:
        """Return the facts as text. Lists are joined by "; ", units are JSON."""
        # Arrow keeps these units in a schema of its own, which other readers do not see.
        columns = {field.name: field.metadata[b"unit"].decode() for field in RESULTS if field.metadata}
        return {
            **self._dataset,
            **{name: "; ".join(ids) for name, ids in self._ids.items() if ids},
            "units": json.dumps(self._units, ensure_ascii=False),
            "column_units": json.dumps(columns),
            "attribution": attribution_of(self._metadata, sorted(self._years)),
            "client": f"kayrros-ext {kayrros_ext.__version__}",
            "requests": str(self._requests),
            "gaps": "; ".join(map(str, self._gaps)),
        }
