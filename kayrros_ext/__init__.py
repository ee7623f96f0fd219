"""The Kayrros Platform API for people: datasets by id, as typed metadata, tables and files.

Unofficial. The typed client of every operation is `kayrros_client`, generated from openapi.yaml; this package adds the
login, the errors, the tables and the downloads.
"""

from kayrros_ext.client import Kayrros
from kayrros_ext.errors import (
    AccessDeniedError,
    APIError,
    ConfigurationError,
    ContractError,
    DownloadError,
    KayrrosError,
    LoginError,
    MockError,
    NotFoundError,
    TransportError,
    UnauthorizedError,
    UsageError,
)
from kayrros_ext.results import Results

__all__ = [
    "APIError",
    "AccessDeniedError",
    "ConfigurationError",
    "ContractError",
    "DownloadError",
    "Kayrros",
    "KayrrosError",
    "LoginError",
    "MockError",
    "NotFoundError",
    "Results",
    "TransportError",
    "UnauthorizedError",
    "UsageError",
]
