"""For tests and for work offline: the mock, served from openapi.yaml on loopback."""

from kayrros_ext.testing.prism import PrismMock, prism_mock

__all__ = ["PrismMock", "prism_mock"]
