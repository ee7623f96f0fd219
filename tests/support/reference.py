"""The public reference as data: each schema, field, type, format and enum value that it prints, and each operation.

Additions of ours are marked as such.
"""

from typing import Any

# Schema -> field -> (type, format), or the name of a schema; a list is an array of it.
SCHEMAS: dict[str, dict[str, Any]] = {
    "AssetResult": {
        "asset_categories": [("string", None)],
        "asset_centroid_latitude": ("number", "double"),
        "asset_centroid_longitude": ("number", "double"),
        "asset_id": ("string", None),
        "asset_name": ("string", None),
        "asset_surface_area_m2": ("number", "double"),
        "asset_version": ("integer", "int64"),
        "parent_asset_id": ("string", None),
        "parent_asset_name": ("string", None),
        "parent_asset_version": ("integer", "int64"),
        "results": ["Result"],
    },
    "DatasetMetadata": {
        "asset_count": ("integer", "int32"),
        "attributionFile": ("string", None),
        "attributionText": ("string", None),
        "description": ("string", None),
        "id": ("string", "uuid"),
        "name": ("string", None),
        "processing_id": ("string", None),
        "processing_name": ("string", None),
        "sharedOption": "SharedOption",
        "source_id": ("string", None),
        "source_name": ("string", None),
        "start_date": ("integer", "int64"),
        "stop_date": ("integer", "int64"),
    },
    "DateRange": {"start_date": ("integer", "int64"), "stop_date": ("integer", "int64")},
    "Metrics": {"name": ("string", None), "value": ("number", "double")},
    "ProcessingResultFilter": {"mo_ids": [("string", None)], "time_range": "DateRange"},
    "ProcessingResultTimeSeries": {
        "assets": ["AssetResult"],
        "processing_id": ("string", None),
        "source_id": ("string", None),
    },
    "Result": {"metrics": ["Metrics"], "value_date": ("string", None)},
    # Printed in the chapter about the login, and not among the schemas.
    "LoginRequest": {"email": ("string", None), "password": ("string", "password")},  # the format is ours
    "LoginReply": {"token": ("string", None)},
}
SHARED_OPTIONS = ["OWNED", "SHARED", "NON_SHARED"]
HOSTS = {"data": "https://platform.api.kayrros.com", "login": "https://auth.kayrros.com"}
# Method, path and its provenance: the reference prints the path of the login and, in a curl line, that of the summary.
PATHS = {
    "login": ("post", "/v3/login", "reference, observed"),
    "getDatasetMetadata": ("get", "/v1/collection/dataset/summary/{datasetId}", "reference"),
    "getDatasetResults": ("post", "/v1/processingresult/dataset/{datasetId}", "observed"),
    "listCollections": ("get", "/v1/processing/collection/list", "observed"),
    "listCollectionDatasets": ("post", "/v1/processing/collection/datasets", "observed"),
    "downloadStaticDataset": (
        "get",
        "/v1/collection/dataset/download/{datasetId}",
        "assumed",
    ),  # by analogy with summary
}
LOGIN_STATUSES = ["200", "400", "401", "403", "500"]  # assumed
# Required fields, and fields that may not be empty (assumed; openapi.yaml gives each reason).
REQUIRED: dict[str, list[str]] = {
    "LoginRequest": ["email", "password"],
    "LoginReply": ["token"],
    "DateRange": ["start_date", "stop_date"],
    "ProcessingResultFilter": [],
    "CollectionDatasetsRequest": ["collection_id"],
}
NOT_EMPTY = [
    ("CollectionDatasetsRequest", "collection_id", "minLength"),
    ("LoginRequest", "email", "minLength"),
    ("LoginRequest", "password", "minLength"),
    ("ProcessingResultFilter", "mo_ids", "minItems"),
]
# The modules of the generated client.
TAGS = {
    "login": "authentication",
    "listCollections": "collections",
    "listCollectionDatasets": "collections",
    "getDatasetMetadata": "datasets",
    "getDatasetResults": "datasets",
    "downloadStaticDataset": "datasets",
}
# The operations of the reference, and its labels of responses in its order; the numbers are assumed.
OPERATIONS = ["login", "getDatasetMetadata", "getDatasetResults", "downloadStaticDataset"]
LABELS = {
    "200": "OK",
    "400": "BAD_REQUEST OR VALIDATION_EXCEPTION OR EXCEPTION",
    "401": "WRONG_CREDENTIALS",
    "403": "UNAUTHORIZED OR ACCESS_DENIED",
    "404": "NOT_FOUND",
    "405": "METHOD_NOT_ALLOWED",
    "409": "DUPLICATE_ENTITY",
    "500": "INTERNAL_SERVER_ERROR",
}
# The response of each data operation: a schema, or for the download `string (byte)`, which we read as raw bytes.
RESPONSES = {
    "getDatasetMetadata": "DatasetMetadata",
    "getDatasetResults": "ProcessingResultTimeSeries",
    "downloadStaticDataset": ("string", "binary"),
}
