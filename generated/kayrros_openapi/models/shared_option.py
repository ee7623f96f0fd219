# Generated from openapi.yaml. Do not edit: edit openapi.yaml, then run `make generate`.
from enum import StrEnum


class SharedOption(StrEnum):
    NON_SHARED = "NON_SHARED"
    OWNED = "OWNED"
    SHARED = "SHARED"

    def __str__(self) -> str:
        return str(self.value)
