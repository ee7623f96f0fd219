# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="CollectionDatasetsRequest")


@_attrs_define
class CollectionDatasetsRequest:
    """The collection whose datasets to list.

    Attributes:
        collection_id (str): Id of the collection.
    """

    collection_id: str

    def to_dict(self) -> dict[str, Any]:
        collection_id = self.collection_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "collection_id": collection_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        collection_id = d.pop("collection_id")

        collection_datasets_request = cls(
            collection_id=collection_id,
        )

        return collection_datasets_request
