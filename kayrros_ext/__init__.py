"""A client of the Kayrros Platform API: datasets by id, as typed metadata, tables and files. Unofficial.

`kayrros_openapi` is the typed client of every operation, generated from openapi.yaml. This package adds the login, retries,
errors, tables and downloads.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kayrros_ext._config.credentials import Identity
    from kayrros_ext._config.retries import Retries
    from kayrros_ext._download.transfer import Download
    from kayrros_ext._progress import Progress
    from kayrros_ext._results.model import Gap, Results
    from kayrros_ext.client import Kayrros, Metadata
    from kayrros_ext.errors import (
        AccessDeniedError,
        APIError,
        ConfigurationError,
        ContractError,
        DownloadError,
        ExportError,
        GapError,
        KayrrosError,
        LoginError,
        MissingExtraError,
        MockError,
        NotFoundError,
        TransportError,
        UnauthorizedError,
        UsageError,
    )

__all__ = [
    "APIError",
    "AccessDeniedError",
    "ConfigurationError",
    "ContractError",
    "Download",
    "DownloadError",
    "ExportError",
    "Gap",
    "GapError",
    "Identity",
    "Kayrros",
    "KayrrosError",
    "LoginError",
    "Metadata",
    "MissingExtraError",
    "MockError",
    "NotFoundError",
    "Progress",
    "Results",
    "Retries",
    "TransportError",
    "UnauthorizedError",
    "UsageError",
]

# Imported on first use, because pytest imports this package in every run on the machine, for its plugin.
_MODULES = {
    "Download": "_download.transfer",
    "Gap": "_results.model",
    "Identity": "_config.credentials",
    "Kayrros": "client",
    "Metadata": "client",
    "Progress": "_progress",
    "Results": "_results.model",
    "Retries": "_config.retries",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
