"""For tests and for work offline: the platform fake, in Python, and the mock, openapi.yaml served by Prism.

The fake is part of the package and needs nothing else. The mock needs Node and Prism.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kayrros_ext.testing.datasets import Collection, Dataset, StaticFile
    from kayrros_ext.testing.faults import Fault, Rule
    from kayrros_ext.testing.http import Request, Response
    from kayrros_ext.testing.platform import Account, Platform
    from kayrros_ext.testing.prism import PrismMock, prism_mock
    from kayrros_ext.testing.transport import Transport

__all__ = ["Account", "Collection", "Dataset", "Fault", "Platform", "PrismMock", "Request", "Response", "Rule"]
__all__ += ["StaticFile", "Transport", "prism_mock"]


def __getattr__(name: str) -> Any:
    """Import on first use, because pytest imports this package in every run, for its plugin."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    # platform.py uses all public names except those of the mock.
    module = "prism" if name in {"PrismMock", "prism_mock"} else "platform"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
