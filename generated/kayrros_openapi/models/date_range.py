# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="DateRange")


@_attrs_define
class DateRange:
    """A range of dates. Both ends are required, because a response to half a range may lack rows.

    Attributes:
        start_date (int): Start of the range, in epoch milliseconds.
        stop_date (int): End of the range, in epoch milliseconds.
    """

    start_date: int
    stop_date: int

    def to_dict(self) -> dict[str, Any]:
        start_date = self.start_date

        stop_date = self.stop_date

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "start_date": start_date,
                "stop_date": stop_date,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        start_date = d.pop("start_date")

        stop_date = d.pop("stop_date")

        date_range = cls(
            start_date=start_date,
            stop_date=stop_date,
        )

        return date_range
