"""The metadata of a dataset, and the notice that its data ask for."""

from collections.abc import Sequence
from datetime import datetime

import attrs

from kayrros_ext._results.query import EPOCH, MILLISECOND
from kayrros_openapi.models import DatasetMetadata
from kayrros_openapi.types import UNSET


class Metadata(DatasetMetadata):
    """The metadata of a dataset: the generated model, which a notebook shows as a table.

    `start_date` and `stop_date` are epoch milliseconds (UTC), as the API sends them. Any field may be UNSET or None.

    Example:
        >>> metadata = kayrros.metadata("Crude oil storage")
        >>> metadata.asset_count, metadata.start.year, metadata.stop.year
        (6, 2024, 2024)
    """

    @property
    def start(self) -> datetime | None:
        """`start_date` in UTC; None without one, or with one beyond the year 9999."""
        return _from_epoch_ms(self.start_date)

    @property
    def stop(self) -> datetime | None:
        """`stop_date`, likewise."""
        return _from_epoch_ms(self.stop_date)

    def __repr__(self) -> str:
        fields = readable_fields(self).items()
        shown = (f"{name}={value if isinstance(value, datetime) else repr(value)}" for name, value in fields)
        return f"Metadata({', '.join(shown)})"

    def _repr_html_(self) -> str:
        from kayrros_ext._results.html import metadata_html

        return metadata_html(self)


def readable_fields(metadata: Metadata) -> dict[str, object]:
    """Return the fields that the API sent by the names of their attributes, with `start` and `stop` as datetimes."""
    fields: dict[str, object] = {}
    for field in attrs.fields(DatasetMetadata):
        name = field.name.removesuffix("_date")
        if field.init and getattr(metadata, field.name) is not UNSET:
            date = getattr(metadata, name) if name != field.name else None
            fields |= {name: date} if date else {field.name: getattr(metadata, field.name)}
    return fields | metadata.additional_properties


def attribution_of(metadata: Metadata | None, years: Sequence[int]) -> str:
    """Return the text of the metadata, else the notice that the Copernicus licence asks for, with years."""
    text = metadata.attribution_text if metadata else None
    if isinstance(text, str) and text.strip():
        return text
    period = "".join(f" {year}" for year in years[:1])
    period += f"-{years[-1]}" if years[:1] != years[-1:] else ""
    return f"Contains modified Copernicus Sentinel data{period}, processed by Kayrros"


def _from_epoch_ms(value: object) -> datetime | None:
    if not isinstance(value, int):
        return None
    try:
        return EPOCH + value * MILLISECOND
    except OverflowError:
        return None
