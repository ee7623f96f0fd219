# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""Each operation of openapi.yaml: where it is, and what it may answer."""

from typing import NamedTuple


class Operation(NamedTuple):
    """An operation, and for each documented status the content types of its answer, each with the type of its JSON."""

    id: str
    method: str
    path: str
    answers: dict[str, dict[str, str | None]]


OPERATIONS = (
    Operation(
        "login",
        "POST",
        "/v3/login",
        {
            "200": {"application/json": "object"},
            "400": {"application/json": "object"},
            "401": {"application/json": "object"},
            "403": {"application/json": "object"},
            "500": {"application/json": "object"},
        },
    ),
    Operation(
        "getDatasetMetadata",
        "GET",
        "/v1/collection/dataset/summary/{datasetId}",
        {
            "200": {"application/json": "object"},
            "400": {"application/json": "object"},
            "401": {"application/json": "object"},
            "403": {"application/json": "object"},
            "404": {"application/json": "object"},
            "405": {"application/json": "object"},
            "409": {"application/json": "object"},
            "500": {"application/json": "object"},
        },
    ),
    Operation(
        "getDatasetResults",
        "POST",
        "/v1/processingresult/dataset/{datasetId}",
        {
            "200": {"application/json": "object"},
            "400": {"application/json": "object"},
            "401": {"application/json": "object"},
            "403": {"application/json": "object"},
            "404": {"application/json": "object"},
            "405": {"application/json": "object"},
            "409": {"application/json": "object"},
            "500": {"application/json": "object"},
        },
    ),
    Operation(
        "downloadStaticDataset",
        "GET",
        "/v1/collection/dataset/download/{datasetId}",
        {
            "200": {"*/*": "string"},
            "400": {"application/json": "object"},
            "401": {"application/json": "object"},
            "403": {"application/json": "object"},
            "404": {"application/json": "object"},
            "405": {"application/json": "object"},
            "409": {"application/json": "object"},
            "500": {"application/json": "object"},
        },
    ),
    Operation(
        "listCollections",
        "GET",
        "/v1/processing/collection/list",
        {
            "200": {"application/json": "array"},
            "400": {"application/json": "object"},
            "401": {"application/json": "object"},
            "403": {"application/json": "object"},
            "404": {"application/json": "object"},
            "405": {"application/json": "object"},
            "409": {"application/json": "object"},
            "500": {"application/json": "object"},
        },
    ),
    Operation(
        "listCollectionDatasets",
        "POST",
        "/v1/processing/collection/datasets",
        {
            "200": {"application/json": "array"},
            "400": {"application/json": "object"},
            "401": {"application/json": "object"},
            "403": {"application/json": "object"},
            "404": {"application/json": "object"},
            "405": {"application/json": "object"},
            "409": {"application/json": "object"},
            "500": {"application/json": "object"},
        },
    ),
)
