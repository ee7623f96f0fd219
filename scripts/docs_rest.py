"""The page of the REST API, and the spec that its "try it" reads."""

import copy
from collections.abc import Iterator
from typing import Any

METHODS = ("get", "put", "post", "delete", "patch")

HEAD = """---
title: REST API
template: rest.html
hide: [toc]
---
# REST API

Drawn from [openapi.yaml](openapi.yaml). What the public *reference* says, what was *observed* of a public client, and
what is *assumed*:

| operation | method and path | its path is known from |
|---|---|---|
"""

TAIL = """
The login is at `https://auth.kayrros.com`, all else at `https://platform.api.kayrros.com`. *Try it out* goes to a mock,
never to Kayrros: `make docs-serve` runs one beside this page; for one of your own (`make mock`), give its address below.
"""


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of each operation."""
    for path, item in spec["paths"].items():
        yield from ((method, path, item[method]) for method in METHODS if method in item)


def operations_page(spec: dict[str, Any]) -> str:
    """The page, without what "try it" draws in the browser."""
    rows = [
        f"| {operation['summary']} | `{method.upper()} {path}` | {known_from(operation['x-provenance'])} |"
        for method, path, operation in operations(spec)
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def known_from(provenance: str | dict[str, str]) -> str:
    """Where the path is known from."""
    return provenance if isinstance(provenance, str) else provenance["path"]


def try_it_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with the mock for a server, at an address that the reader may change."""
    found = copy.deepcopy(spec)
    for item in found["paths"].values():
        item.pop("servers", None)  # the mock is both hosts
    found["servers"] = [{"url": "{mock}", "description": "The mock", "variables": {"mock": {"default": ""}}}]
    return found
