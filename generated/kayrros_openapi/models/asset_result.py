# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.result import Result


T = TypeVar("T", bound="AssetResult")


@_attrs_define
class AssetResult:
    """One asset and its results.

    Attributes:
        asset_categories (list[str] | None | Unset): Categories of the asset.
        asset_centroid_latitude (float | None | Unset): Latitude of the centroid, in degrees north (the unit is
            assumed).
        asset_centroid_longitude (float | None | Unset): Longitude of the centroid, in degrees east (the unit is
            assumed).
        asset_id (None | str | Unset): Id of the asset, as `mo_ids` takes it.
        asset_name (None | str | Unset): Name of the asset.
        asset_surface_area_m2 (float | None | Unset): Surface of the asset, in square metres.
        asset_version (int | None | Unset): Version of the asset.
        parent_asset_id (None | str | Unset): Id of the parent asset, such as the terminal of a tank.
        parent_asset_name (None | str | Unset): Name of the parent asset.
        parent_asset_version (int | None | Unset): Version of the parent asset.
        results (list[Result] | None | Unset): The results of the asset, date by date.
    """

    asset_categories: list[str] | None | Unset = UNSET
    asset_centroid_latitude: float | None | Unset = UNSET
    asset_centroid_longitude: float | None | Unset = UNSET
    asset_id: None | str | Unset = UNSET
    asset_name: None | str | Unset = UNSET
    asset_surface_area_m2: float | None | Unset = UNSET
    asset_version: int | None | Unset = UNSET
    parent_asset_id: None | str | Unset = UNSET
    parent_asset_name: None | str | Unset = UNSET
    parent_asset_version: int | None | Unset = UNSET
    results: list[Result] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        asset_categories: list[str] | None | Unset
        if isinstance(self.asset_categories, Unset):
            asset_categories = UNSET
        elif isinstance(self.asset_categories, list):
            asset_categories = self.asset_categories

        else:
            asset_categories = self.asset_categories

        asset_centroid_latitude: float | None | Unset
        if isinstance(self.asset_centroid_latitude, Unset):
            asset_centroid_latitude = UNSET
        else:
            asset_centroid_latitude = self.asset_centroid_latitude

        asset_centroid_longitude: float | None | Unset
        if isinstance(self.asset_centroid_longitude, Unset):
            asset_centroid_longitude = UNSET
        else:
            asset_centroid_longitude = self.asset_centroid_longitude

        asset_id: None | str | Unset
        if isinstance(self.asset_id, Unset):
            asset_id = UNSET
        else:
            asset_id = self.asset_id

        asset_name: None | str | Unset
        if isinstance(self.asset_name, Unset):
            asset_name = UNSET
        else:
            asset_name = self.asset_name

        asset_surface_area_m2: float | None | Unset
        if isinstance(self.asset_surface_area_m2, Unset):
            asset_surface_area_m2 = UNSET
        else:
            asset_surface_area_m2 = self.asset_surface_area_m2

        asset_version: int | None | Unset
        if isinstance(self.asset_version, Unset):
            asset_version = UNSET
        else:
            asset_version = self.asset_version

        parent_asset_id: None | str | Unset
        if isinstance(self.parent_asset_id, Unset):
            parent_asset_id = UNSET
        else:
            parent_asset_id = self.parent_asset_id

        parent_asset_name: None | str | Unset
        if isinstance(self.parent_asset_name, Unset):
            parent_asset_name = UNSET
        else:
            parent_asset_name = self.parent_asset_name

        parent_asset_version: int | None | Unset
        if isinstance(self.parent_asset_version, Unset):
            parent_asset_version = UNSET
        else:
            parent_asset_version = self.parent_asset_version

        results: list[dict[str, Any]] | None | Unset
        if isinstance(self.results, Unset):
            results = UNSET
        elif isinstance(self.results, list):
            results = []
            for results_type_0_item_data in self.results:
                results_type_0_item = results_type_0_item_data.to_dict()
                results.append(results_type_0_item)

        else:
            results = self.results

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if asset_categories is not UNSET:
            field_dict["asset_categories"] = asset_categories
        if asset_centroid_latitude is not UNSET:
            field_dict["asset_centroid_latitude"] = asset_centroid_latitude
        if asset_centroid_longitude is not UNSET:
            field_dict["asset_centroid_longitude"] = asset_centroid_longitude
        if asset_id is not UNSET:
            field_dict["asset_id"] = asset_id
        if asset_name is not UNSET:
            field_dict["asset_name"] = asset_name
        if asset_surface_area_m2 is not UNSET:
            field_dict["asset_surface_area_m2"] = asset_surface_area_m2
        if asset_version is not UNSET:
            field_dict["asset_version"] = asset_version
        if parent_asset_id is not UNSET:
            field_dict["parent_asset_id"] = parent_asset_id
        if parent_asset_name is not UNSET:
            field_dict["parent_asset_name"] = parent_asset_name
        if parent_asset_version is not UNSET:
            field_dict["parent_asset_version"] = parent_asset_version
        if results is not UNSET:
            field_dict["results"] = results

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.result import Result  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_asset_categories(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                asset_categories_type_0 = cast(list[str], data)

                return asset_categories_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        asset_categories = _parse_asset_categories(d.pop("asset_categories", UNSET))

        def _parse_asset_centroid_latitude(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        asset_centroid_latitude = _parse_asset_centroid_latitude(d.pop("asset_centroid_latitude", UNSET))

        def _parse_asset_centroid_longitude(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        asset_centroid_longitude = _parse_asset_centroid_longitude(d.pop("asset_centroid_longitude", UNSET))

        def _parse_asset_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        asset_id = _parse_asset_id(d.pop("asset_id", UNSET))

        def _parse_asset_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        asset_name = _parse_asset_name(d.pop("asset_name", UNSET))

        def _parse_asset_surface_area_m2(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        asset_surface_area_m2 = _parse_asset_surface_area_m2(d.pop("asset_surface_area_m2", UNSET))

        def _parse_asset_version(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        asset_version = _parse_asset_version(d.pop("asset_version", UNSET))

        def _parse_parent_asset_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_asset_id = _parse_parent_asset_id(d.pop("parent_asset_id", UNSET))

        def _parse_parent_asset_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        parent_asset_name = _parse_parent_asset_name(d.pop("parent_asset_name", UNSET))

        def _parse_parent_asset_version(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        parent_asset_version = _parse_parent_asset_version(d.pop("parent_asset_version", UNSET))

        def _parse_results(data: object) -> list[Result] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                results_type_0 = []
                _results_type_0 = data
                for results_type_0_item_data in _results_type_0:
                    results_type_0_item = Result.from_dict(results_type_0_item_data)

                    results_type_0.append(results_type_0_item)

                return results_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[Result] | None | Unset, data)

        results = _parse_results(d.pop("results", UNSET))

        asset_result = cls(
            asset_categories=asset_categories,
            asset_centroid_latitude=asset_centroid_latitude,
            asset_centroid_longitude=asset_centroid_longitude,
            asset_id=asset_id,
            asset_name=asset_name,
            asset_surface_area_m2=asset_surface_area_m2,
            asset_version=asset_version,
            parent_asset_id=parent_asset_id,
            parent_asset_name=parent_asset_name,
            parent_asset_version=parent_asset_version,
            results=results,
        )

        asset_result.additional_properties = d
        return asset_result

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
