"""Read openapi.yaml, and find its nodes by JSON pointers."""

from typing import Any

from kayrros_ext._results.convert import import_optional


def load_spec(text: str) -> Any:
    """Return the OpenAPI document of a text; MissingExtraError without PyYAML."""
    yaml = import_optional("yaml", extra="cli")
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def escape(part: str) -> str:
    """Return a key as a part of a JSON pointer."""
    return part.replace("~", "~0").replace("/", "~1")


def split(pointer: str) -> list[str]:
    """Return the parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def get(node: Any, pointer: str) -> Any:
    """Return the node at a pointer below another; None without one."""
    for name in split(pointer):
        node = node[int(name)] if isinstance(node, list) else node.get(name) if isinstance(node, dict) else None
    return node
