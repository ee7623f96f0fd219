"""The Kayrros Platform API for people: datasets by id, as typed metadata, tables and files.

Unofficial. The typed client of every operation is `kayrros_client`, generated from openapi.yaml; this package adds the
login, the errors, the tables and the downloads.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kayrros_ext.client import Kayrros
    from kayrros_ext.credentials import Identity
    from kayrros_ext.downloads import Download
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
    from kayrros_ext.progress import Progress
    from kayrros_ext.results import Gap, Results
    from kayrros_ext.retries import Retries

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

# Imported when they are asked for: pytest imports this package in every run on the machine, for its plugin, and a run
# that does not use it need not pay for HTTP.
_MODULES = {
    "Download": "downloads",
    "Gap": "results",
    "Identity": "credentials",
    "Kayrros": "client",
    "Progress": "progress",
    "Results": "results",
    "Retries": "retries",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
