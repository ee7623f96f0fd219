"""The Kayrros Platform API for people: datasets by id, as typed metadata, tables and files.

Unofficial. The typed client of every operation is `kayrros_openapi`, generated from openapi.yaml; this package adds the
login, the errors, the tables and the downloads.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kayrros_ext._config.credentials import Identity
    from kayrros_ext._config.retries import Retries
    from kayrros_ext._download.transfer import Download
    from kayrros_ext._progress import Progress
    from kayrros_ext._results.model import Gap, Results
    from kayrros_ext.client import Kayrros
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
    "Download": "_download.transfer",
    "Gap": "_results.model",
    "Identity": "_config.credentials",
    "Kayrros": "client",
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
