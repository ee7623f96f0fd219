# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast
from uuid import UUID

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.shared_option import SharedOption
from ..types import UNSET, Unset

T = TypeVar("T", bound="DatasetMetadata")


@_attrs_define
class DatasetMetadata:
    """Metadata of a dataset of a collection.

    Attributes:
        asset_count (int | None | Unset): Number of assets in the dataset.
        attribution_file (None | str | Unset): File with the attribution of the data (not described by the reference).
        attribution_text (None | str | Unset): Text with the attribution of the data (not described by the reference).
        description (None | str | Unset): Description of the dataset.
        id (None | Unset | UUID): Id of the dataset.
        name (None | str | Unset): Name of the dataset.
        processing_id (None | str | Unset): Id of the platform processing that made the dataset.
        processing_name (None | str | Unset): Name of the platform processing.
        shared_option (None | SharedOption | str | Unset): Whether the account owns the dataset or has it shared. A
            value that is not listed is kept as a string.
        source_id (None | str | Unset): Id of the platform source that the dataset was made from.
        source_name (None | str | Unset): Name of the platform source.
        start_date (int | None | Unset): First date that was computed, in epoch milliseconds.
        stop_date (int | None | Unset): Last date that was computed, in epoch milliseconds.
    """

    asset_count: int | None | Unset = UNSET
    attribution_file: None | str | Unset = UNSET
    attribution_text: None | str | Unset = UNSET
    description: None | str | Unset = UNSET
    id: None | Unset | UUID = UNSET
    name: None | str | Unset = UNSET
    processing_id: None | str | Unset = UNSET
    processing_name: None | str | Unset = UNSET
    shared_option: None | SharedOption | str | Unset = UNSET
    source_id: None | str | Unset = UNSET
    source_name: None | str | Unset = UNSET
    start_date: int | None | Unset = UNSET
    stop_date: int | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        asset_count: int | None | Unset
        if isinstance(self.asset_count, Unset):
            asset_count = UNSET
        else:
            asset_count = self.asset_count

        attribution_file: None | str | Unset
        if isinstance(self.attribution_file, Unset):
            attribution_file = UNSET
        else:
            attribution_file = self.attribution_file

        attribution_text: None | str | Unset
        if isinstance(self.attribution_text, Unset):
            attribution_text = UNSET
        else:
            attribution_text = self.attribution_text

        description: None | str | Unset
        if isinstance(self.description, Unset):
            description = UNSET
        else:
            description = self.description

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        elif isinstance(self.id, UUID):
            id = str(self.id)
        else:
            id = self.id

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        processing_id: None | str | Unset
        if isinstance(self.processing_id, Unset):
            processing_id = UNSET
        else:
            processing_id = self.processing_id

        processing_name: None | str | Unset
        if isinstance(self.processing_name, Unset):
            processing_name = UNSET
        else:
            processing_name = self.processing_name

        shared_option: None | str | Unset
        if isinstance(self.shared_option, Unset):
            shared_option = UNSET
        elif isinstance(self.shared_option, SharedOption):
            shared_option = self.shared_option.value
        else:
            shared_option = self.shared_option

        source_id: None | str | Unset
        if isinstance(self.source_id, Unset):
            source_id = UNSET
        else:
            source_id = self.source_id

        source_name: None | str | Unset
        if isinstance(self.source_name, Unset):
            source_name = UNSET
        else:
            source_name = self.source_name

        start_date: int | None | Unset
        if isinstance(self.start_date, Unset):
            start_date = UNSET
        else:
            start_date = self.start_date

        stop_date: int | None | Unset
        if isinstance(self.stop_date, Unset):
            stop_date = UNSET
        else:
            stop_date = self.stop_date

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if asset_count is not UNSET:
            field_dict["asset_count"] = asset_count
        if attribution_file is not UNSET:
            field_dict["attributionFile"] = attribution_file
        if attribution_text is not UNSET:
            field_dict["attributionText"] = attribution_text
        if description is not UNSET:
            field_dict["description"] = description
        if id is not UNSET:
            field_dict["id"] = id
        if name is not UNSET:
            field_dict["name"] = name
        if processing_id is not UNSET:
            field_dict["processing_id"] = processing_id
        if processing_name is not UNSET:
            field_dict["processing_name"] = processing_name
        if shared_option is not UNSET:
            field_dict["sharedOption"] = shared_option
        if source_id is not UNSET:
            field_dict["source_id"] = source_id
        if source_name is not UNSET:
            field_dict["source_name"] = source_name
        if start_date is not UNSET:
            field_dict["start_date"] = start_date
        if stop_date is not UNSET:
            field_dict["stop_date"] = stop_date

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_asset_count(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        asset_count = _parse_asset_count(d.pop("asset_count", UNSET))

        def _parse_attribution_file(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        attribution_file = _parse_attribution_file(d.pop("attributionFile", UNSET))

        def _parse_attribution_text(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        attribution_text = _parse_attribution_text(d.pop("attributionText", UNSET))

        def _parse_description(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        description = _parse_description(d.pop("description", UNSET))

        def _parse_id(data: object) -> None | Unset | UUID:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                id_type_0 = UUID(data)

                return id_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | Unset | UUID, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_processing_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        processing_id = _parse_processing_id(d.pop("processing_id", UNSET))

        def _parse_processing_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        processing_name = _parse_processing_name(d.pop("processing_name", UNSET))

        def _parse_shared_option(data: object) -> None | SharedOption | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                shared_option_type_0 = SharedOption(data)

                return shared_option_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | SharedOption | str | Unset, data)

        shared_option = _parse_shared_option(d.pop("sharedOption", UNSET))

        def _parse_source_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_id = _parse_source_id(d.pop("source_id", UNSET))

        def _parse_source_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        source_name = _parse_source_name(d.pop("source_name", UNSET))

        def _parse_start_date(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        start_date = _parse_start_date(d.pop("start_date", UNSET))

        def _parse_stop_date(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        stop_date = _parse_stop_date(d.pop("stop_date", UNSET))

        dataset_metadata = cls(
            asset_count=asset_count,
            attribution_file=attribution_file,
            attribution_text=attribution_text,
            description=description,
            id=id,
            name=name,
            processing_id=processing_id,
            processing_name=processing_name,
            shared_option=shared_option,
            source_id=source_id,
            source_name=source_name,
            start_date=start_date,
            stop_date=stop_date,
        )

        dataset_metadata.additional_properties = d
        return dataset_metadata

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
