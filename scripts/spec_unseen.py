"""What redocly's diff passes over or rates by the wire alone: security, classes, links, examples."""

from collections.abc import Iterator
from typing import Any

from scripts.change import Change, Level
from scripts.spec import complete, operations, resolve
from scripts.spec_words import subject

_Spec = dict[str, Any]
_SCHEMAS = "#/components/schemas/"


def unseen(before: _Spec, now: _Spec) -> Iterator[Change]:
    """Of the operations that are in both versions, and of what they are made from."""
    for name in operations(now):
        if name in operations(before):
            yield from _security(name, before, now)
            sides = [complete(side, name)[0] for side in (before, now)]
            for keys, words in (
                ({"links"}, f"links of `{name}` changed"),
                ({"example", "examples"}, f"examples of `{name}` changed, and so does what the mock answers"),
            ):
                if list(_collect(sides[0], keys)) != list(_collect(sides[1], keys)):
                    yield Change(Level.DOCUMENTATION, words, names=frozenset({name}))
    yield from _classes("#", before, now, (before, now))


def _collect(node: Any, keys: set[str]) -> Iterator[Any]:
    if isinstance(node, list):
        for part in node:
            yield from _collect(part, keys)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in keys:
                yield value
            elif key != "properties":  # a field may be called so
                yield from _collect(value, keys)


def _security(name: str, before: _Spec, now: _Spec) -> Iterator[Change]:
    """What an operation asks for, its own or the document's: it breaks where what was enough is so no longer."""
    had, wants = _accepted(name, before), _accepted(name, now)
    if had != wants:
        enough = all(any(want <= have for want in wants) for have in had)
        words = f"security of `{name}`: {_say(had)} became {_say(wants)}"
        yield Change(Level.COMPATIBLE if enough else Level.BREAKING, words, names=frozenset({name}))


def _accepted(name: str, document: _Spec) -> set[frozenset[str]]:
    """Each set of schemes, and of scopes of a scheme, that is enough; the empty one asks for nothing."""
    path, method = operations(document)[name]
    listed = document["paths"][path][method].get("security", document.get("security")) or [{}]
    return {
        frozenset(
            word for scheme, scopes in one.items() for word in (scheme, *(f"{scheme}:{scope}" for scope in scopes))
        )
        for one in listed
    }


def _say(accepted: set[frozenset[str]]) -> str:
    return " or ".join(sorted(f"`{' and '.join(sorted(words))}`" if words else "none" for words in accepted))


def _classes(pointer: str, before: Any, now: Any, documents: tuple[_Spec, _Spec]) -> Iterator[Change]:
    """Places that are read or written as another class: redocly compares what a `$ref` leads to, and not its name.

    Lists are left to redocly, which knows one member from another.
    """
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return
    old, new = (_class(side, document) for side, document in zip((before, now), documents, strict=True))
    # A class that is gone altogether, renamed say, is told of as such.
    still = old is None or resolve(documents[1], _SCHEMAS + old) is not None
    if old != new and still and "$ref" in {*before, *now}:
        thing, names = subject(pointer, None, documents[1])
        was, became = (f"`{name}`" if name else "none of its own" for name in (old, new))
        called = names | {name for name in (old, new) if name}
        yield Change(Level.BREAKING, f"class of {thing}: {was} became {became}", names=frozenset(called))
    for key in before.keys() & now.keys() - {"example", "examples", "links", "default"}:
        part = key.replace("~", "~0").replace("/", "~1")
        yield from _classes(f"{pointer}/{part}", before[key], now[key], documents)


def _class(node: dict[str, Any], document: _Spec) -> str | None:
    """The class that the generator makes of what a `$ref` names: of objects and enums, and of nothing else."""
    pointer = node.get("$ref")
    if not isinstance(pointer, str) or not pointer.startswith(_SCHEMAS):
        return None
    target = resolve(document, pointer) or {}
    return pointer.removeprefix(_SCHEMAS) if "object" in target.get("type", []) or "enum" in target else None
