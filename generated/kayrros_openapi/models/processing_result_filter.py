# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.date_range import DateRange


T = TypeVar("T", bound="ProcessingResultFilter")


@_attrs_define
class ProcessingResultFilter:
    """Selects results. An omitted field does not filter.

    Attributes:
        mo_ids (list[str] | Unset): Ids of the assets to return.
        time_range (DateRange | Unset): A range of dates. Both ends are required, because a response to half a range may
            lack rows.
    """

    mo_ids: list[str] | Unset = UNSET
    time_range: DateRange | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        mo_ids: list[str] | Unset = UNSET
        if not isinstance(self.mo_ids, Unset):
            mo_ids = self.mo_ids

        time_range: dict[str, Any] | Unset = UNSET
        if not isinstance(self.time_range, Unset):
            time_range = self.time_range.to_dict()

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if mo_ids is not UNSET:
            field_dict["mo_ids"] = mo_ids
        if time_range is not UNSET:
            field_dict["time_range"] = time_range

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.date_range import DateRange  # noqa: PLC0415

        d = dict(src_dict)
        mo_ids = cast(list[str], d.pop("mo_ids", UNSET))

        _time_range = d.pop("time_range", UNSET)
        time_range: DateRange | Unset
        if isinstance(_time_range, Unset):
            time_range = UNSET
        else:
            time_range = DateRange.from_dict(_time_range)

        processing_result_filter = cls(
            mo_ids=mo_ids,
            time_range=time_range,
        )

        return processing_result_filter
