"""For tests and for work offline: the platform fake, in Python, and the mock, served from openapi.yaml by Prism.

The fake is part of the package and needs nothing more: docs/testing.md. The mock needs a checkout of the project.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kayrros_ext.testing.accounts import Account
    from kayrros_ext.testing.datasets import Collection, Dataset, StaticFile
    from kayrros_ext.testing.faults import Fault, Rule
    from kayrros_ext.testing.messages import Answer, Request
    from kayrros_ext.testing.platform import Platform
    from kayrros_ext.testing.prism import PrismMock, prism_mock
    from kayrros_ext.testing.transport import Transport

__all__ = [
    "Account",
    "Answer",
    "Collection",
    "Dataset",
    "Fault",
    "Platform",
    "PrismMock",
    "Request",
    "Rule",
    "StaticFile",
    "Transport",
    "prism_mock",
]

# Where each is. They are imported when they are asked for: pytest imports this package in every run, for its plugin.
_MODULES = {
    "Account": "accounts",
    "Answer": "messages",
    "Collection": "datasets",
    "Dataset": "datasets",
    "Fault": "faults",
    "Platform": "platform",
    "PrismMock": "prism",
    "Request": "messages",
    "Rule": "faults",
    "StaticFile": "datasets",
    "Transport": "transport",
    "prism_mock": "prism",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
