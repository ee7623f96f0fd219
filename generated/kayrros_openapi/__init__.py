# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
"""A client library for accessing Kayrros Platform API"""

from .client import AuthenticatedClient, Client

__all__ = (
    "AuthenticatedClient",
    "Client",
)
