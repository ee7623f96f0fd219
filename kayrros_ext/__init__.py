"""A client of the Kayrros Platform API: datasets by id, as typed metadata, tables and files. Unofficial."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kayrros_ext._config.credentials import Identity
    from kayrros_ext._config.retries import Retries
    from kayrros_ext._download.transfer import Download
    from kayrros_ext._export.many import ExportedDataset
    from kayrros_ext._progress import Progress
    from kayrros_ext._results.metadata import Metadata
    from kayrros_ext._results.model import Gap, Results
    from kayrros_ext.client import Kayrros
    from kayrros_ext.errors import *
    from kayrros_ext.mirror import Mirror, SyncReport

__all__ = ["Download", "ExportedDataset", "Gap", "Identity", "Kayrros", "Metadata", "Mirror", "Progress", "Results"]
__all__ += ["ConfigurationError", "KayrrosError", "MissingExtraError", "MockError", "UsageError"]
__all__ += ["APIError", "AccessDeniedError", "ContractError", "LoginError", "NotFoundError", "UnauthorizedError"]
__all__ += ["DownloadError", "ExportError", "GapError", "MirrorError", "Retries", "SyncReport", "TransportError"]

# Modules of all names but errors. They load on first use, because each run of pytest imports this package for its plugin.
_MODULES = {
    "Download": "_download.transfer",
    "ExportedDataset": "_export.many",
    "Gap": "_results.model",
    "Identity": "_config.credentials",
    "Kayrros": "client",
    "Metadata": "_results.metadata",
    "Progress": "_progress",
    "Results": "_results.model",
    "Retries": "_config.retries",
    **dict.fromkeys(("Mirror", "SyncReport"), "mirror"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
