# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""Each operation of openapi.yaml: its method and path, and what it may answer."""

from typing import Any, NamedTuple

from .schemas import *


class Operation(NamedTuple):
    """An operation. `responses` has, for each documented status and content type, the msgspec type of its JSON."""

    id: str
    method: str
    path: str
    responses: dict[str, dict[str, Any]]


OPERATIONS = (
    Operation(
        "login",
        "POST",
        "/v3/login",
        {
            "200": {"application/json": LoginReply},
            "400": {"application/json": ErrorResponse},
            "401": {"application/json": ErrorResponse},
            "403": {"application/json": ErrorResponse},
            "500": {"application/json": ErrorResponse},
        },
    ),
    Operation(
        "getDatasetMetadata",
        "GET",
        "/v1/collection/dataset/summary/{datasetId}",
        {
            "200": {"application/json": DatasetMetadata},
            "400": {"application/json": ErrorResponse},
            "401": {"application/json": ErrorResponse},
            "403": {"application/json": ErrorResponse},
            "404": {"application/json": ErrorResponse},
            "405": {"application/json": ErrorResponse},
            "409": {"application/json": ErrorResponse},
            "500": {"application/json": ErrorResponse},
        },
    ),
    Operation(
        "getDatasetResults",
        "POST",
        "/v1/processingresult/dataset/{datasetId}",
        {
            "200": {"application/json": ProcessingResultTimeSeries},
            "400": {"application/json": ErrorResponse},
            "401": {"application/json": ErrorResponse},
            "403": {"application/json": ErrorResponse},
            "404": {"application/json": ErrorResponse},
            "405": {"application/json": ErrorResponse},
            "409": {"application/json": ErrorResponse},
            "500": {"application/json": ErrorResponse},
        },
    ),
    Operation(
        "downloadStaticDataset",
        "GET",
        "/v1/collection/dataset/download/{datasetId}",
        {
            "200": {"*/*": None},
            "400": {"application/json": ErrorResponse},
            "401": {"application/json": ErrorResponse},
            "403": {"application/json": ErrorResponse},
            "404": {"application/json": ErrorResponse},
            "405": {"application/json": ErrorResponse},
            "409": {"application/json": ErrorResponse},
            "500": {"application/json": ErrorResponse},
        },
    ),
    Operation(
        "listCollections",
        "GET",
        "/v1/processing/collection/list",
        {
            "200": {"application/json": list[Collection]},
            "400": {"application/json": ErrorResponse},
            "401": {"application/json": ErrorResponse},
            "403": {"application/json": ErrorResponse},
            "404": {"application/json": ErrorResponse},
            "405": {"application/json": ErrorResponse},
            "409": {"application/json": ErrorResponse},
            "500": {"application/json": ErrorResponse},
        },
    ),
    Operation(
        "listCollectionDatasets",
        "POST",
        "/v1/processing/collection/datasets",
        {
            "200": {"application/json": list[CollectionDataset]},
            "400": {"application/json": ErrorResponse},
            "401": {"application/json": ErrorResponse},
            "403": {"application/json": ErrorResponse},
            "404": {"application/json": ErrorResponse},
            "405": {"application/json": ErrorResponse},
            "409": {"application/json": ErrorResponse},
            "500": {"application/json": ErrorResponse},
        },
    ),
)
