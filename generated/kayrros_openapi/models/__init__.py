# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""Contains all the data models used in inputs/outputs"""

from .asset_result import AssetResult
from .collection import Collection
from .collection_dataset import CollectionDataset
from .collection_datasets_request import CollectionDatasetsRequest
from .dataset_metadata import DatasetMetadata
from .date_range import DateRange
from .error_response import ErrorResponse
from .login_reply import LoginReply
from .login_request import LoginRequest
from .metrics import Metrics
from .processing_result_filter import ProcessingResultFilter
from .processing_result_time_series import ProcessingResultTimeSeries
from .result import Result
from .shared_option import SharedOption

__all__ = (
    "AssetResult",
    "Collection",
    "CollectionDataset",
    "CollectionDatasetsRequest",
    "DatasetMetadata",
    "DateRange",
    "ErrorResponse",
    "LoginReply",
    "LoginRequest",
    "Metrics",
    "ProcessingResultFilter",
    "ProcessingResultTimeSeries",
    "Result",
    "SharedOption",
)
