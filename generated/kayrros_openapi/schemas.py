# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""The schemas of openapi.yaml as msgspec types, which validate JSON while they decode it."""

from __future__ import annotations

from uuid import UUID

import msgspec


class LoginReply(msgspec.Struct, kw_only=True):
    token: str = msgspec.field(name="token")


class ErrorResponse(msgspec.Struct, kw_only=True):
    code: str | None | msgspec.UnsetType = msgspec.field(name="code", default=msgspec.UNSET)
    message: str | None | msgspec.UnsetType = msgspec.field(name="message", default=msgspec.UNSET)


class DatasetMetadata(msgspec.Struct, kw_only=True):
    asset_count: int | None | msgspec.UnsetType = msgspec.field(name="asset_count", default=msgspec.UNSET)
    attributionFile: str | None | msgspec.UnsetType = msgspec.field(name="attributionFile", default=msgspec.UNSET)
    attributionText: str | None | msgspec.UnsetType = msgspec.field(name="attributionText", default=msgspec.UNSET)
    description: str | None | msgspec.UnsetType = msgspec.field(name="description", default=msgspec.UNSET)
    id: UUID | None | msgspec.UnsetType = msgspec.field(name="id", default=msgspec.UNSET)
    name: str | None | msgspec.UnsetType = msgspec.field(name="name", default=msgspec.UNSET)
    processing_id: str | None | msgspec.UnsetType = msgspec.field(name="processing_id", default=msgspec.UNSET)
    processing_name: str | None | msgspec.UnsetType = msgspec.field(name="processing_name", default=msgspec.UNSET)
    sharedOption: str | None | msgspec.UnsetType = msgspec.field(name="sharedOption", default=msgspec.UNSET)
    source_id: str | None | msgspec.UnsetType = msgspec.field(name="source_id", default=msgspec.UNSET)
    source_name: str | None | msgspec.UnsetType = msgspec.field(name="source_name", default=msgspec.UNSET)
    start_date: int | None | msgspec.UnsetType = msgspec.field(name="start_date", default=msgspec.UNSET)
    stop_date: int | None | msgspec.UnsetType = msgspec.field(name="stop_date", default=msgspec.UNSET)


class ProcessingResultTimeSeries(msgspec.Struct, kw_only=True):
    assets: list[AssetResult] | None | msgspec.UnsetType = msgspec.field(name="assets", default=msgspec.UNSET)
    processing_id: str | None | msgspec.UnsetType = msgspec.field(name="processing_id", default=msgspec.UNSET)
    source_id: str | None | msgspec.UnsetType = msgspec.field(name="source_id", default=msgspec.UNSET)


class AssetResult(msgspec.Struct, kw_only=True):
    asset_categories: list[str] | None | msgspec.UnsetType = msgspec.field(
        name="asset_categories", default=msgspec.UNSET
    )
    asset_centroid_latitude: float | None | msgspec.UnsetType = msgspec.field(
        name="asset_centroid_latitude", default=msgspec.UNSET
    )
    asset_centroid_longitude: float | None | msgspec.UnsetType = msgspec.field(
        name="asset_centroid_longitude", default=msgspec.UNSET
    )
    asset_id: str | None | msgspec.UnsetType = msgspec.field(name="asset_id", default=msgspec.UNSET)
    asset_name: str | None | msgspec.UnsetType = msgspec.field(name="asset_name", default=msgspec.UNSET)
    asset_surface_area_m2: float | None | msgspec.UnsetType = msgspec.field(
        name="asset_surface_area_m2", default=msgspec.UNSET
    )
    asset_version: int | None | msgspec.UnsetType = msgspec.field(name="asset_version", default=msgspec.UNSET)
    parent_asset_id: str | None | msgspec.UnsetType = msgspec.field(name="parent_asset_id", default=msgspec.UNSET)
    parent_asset_name: str | None | msgspec.UnsetType = msgspec.field(name="parent_asset_name", default=msgspec.UNSET)
    parent_asset_version: int | None | msgspec.UnsetType = msgspec.field(
        name="parent_asset_version", default=msgspec.UNSET
    )
    results: list[Result] | None | msgspec.UnsetType = msgspec.field(name="results", default=msgspec.UNSET)


class Result(msgspec.Struct, kw_only=True):
    metrics: list[Metrics] | None | msgspec.UnsetType = msgspec.field(name="metrics", default=msgspec.UNSET)
    value_date: str | None | msgspec.UnsetType = msgspec.field(name="value_date", default=msgspec.UNSET)


class Metrics(msgspec.Struct, kw_only=True):
    name: str | None | msgspec.UnsetType = msgspec.field(name="name", default=msgspec.UNSET)
    value: float | None | msgspec.UnsetType = msgspec.field(name="value", default=msgspec.UNSET)


class Collection(msgspec.Struct, kw_only=True):
    id: str | None | msgspec.UnsetType = msgspec.field(name="id", default=msgspec.UNSET)
    name: str | None | msgspec.UnsetType = msgspec.field(name="name", default=msgspec.UNSET)


class CollectionDataset(msgspec.Struct, kw_only=True):
    id: str | None | msgspec.UnsetType = msgspec.field(name="id", default=msgspec.UNSET)
    name: str | None | msgspec.UnsetType = msgspec.field(name="name", default=msgspec.UNSET)
