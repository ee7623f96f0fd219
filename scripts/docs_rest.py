"""The page of the REST API, and the spec for its "try it"."""

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

Generated from [openapi.yaml](openapi.yaml). Each path comes from the public *reference*, was *observed* in a public client,
or is *assumed*:

| operation | method and path | source of the path |
|---|---|---|
"""

TAIL = """
The login is at `https://auth.kayrros.com`, everything else at `https://platform.api.kayrros.com`. *Try it out* calls a mock,
never Kayrros. `make docs-serve` starts one with this page; for one of your own (`make mock`), enter its address below.
"""


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation object of each operation."""
    for path, item in spec["paths"].items():
        yield from ((method, path, item[method]) for method in METHODS if method in item)


def operations_page(spec: dict[str, Any]) -> str:
    """Return the page; the browser adds "try it"."""
    rows = [
        f"| {operation['summary']} | `{method.upper()} {path}` | {path_source(operation['x-provenance'])} |"
        for method, path, operation in operations(spec)
    ]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def path_source(provenance: str | dict[str, str]) -> str:
    """Return the source of the path."""
    return provenance if isinstance(provenance, str) else provenance["path"]


def try_it_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec with the mock as its only server, at an address that the reader may change."""
    changed = copy.deepcopy(spec)
    for item in changed["paths"].values():
        item.pop("servers", None)  # the mock serves both hosts
    changed["servers"] = [{"url": "{mock}", "description": "The mock", "variables": {"mock": {"default": ""}}}]
    return changed
