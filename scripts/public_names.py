"""Public names that a version had and the next has not, by griffe: what breaks the code of users.

Public is what `__all__` of kayrros_ext and kayrros_ext.testing lists, with what hangs on it, and all of kayrros_client,
which is generated to be used.
"""

from collections.abc import Iterator
from pathlib import Path

import griffe

# A default or a type that changed may be a mend; a name, an argument or a base that goes is felt.
BREAKING = {
    griffe.BreakageKind.OBJECT_REMOVED,
    griffe.BreakageKind.OBJECT_CHANGED_KIND,
    griffe.BreakageKind.PARAMETER_REMOVED,
    griffe.BreakageKind.PARAMETER_MOVED,
    griffe.BreakageKind.PARAMETER_ADDED_REQUIRED,
    griffe.BreakageKind.PARAMETER_CHANGED_REQUIRED,
    griffe.BreakageKind.CLASS_REMOVED_BASE,
}
LISTED = ["kayrros_ext", "kayrros_ext.testing"]


def removed(before: Path, now: Path) -> list[str]:
    """Each breakage in words, between two checkouts."""
    old, new = _load(before), _load(now)
    found = list(_breakages(old["kayrros_client"], new["kayrros_client"]))
    for package in LISTED:
        for name in _listed(old, package):
            path = f"{package}.{name}"
            if name not in _listed(new, package):
                found.append(f"{path} is gone")
                continue
            sides = (old[path], new[path])
            found += _breakages(*(side.final_target if isinstance(side, griffe.Alias) else side for side in sides))
    return list(dict.fromkeys(found))


def _load(checkout: Path) -> griffe.ModulesCollection:
    """Both packages of a checkout, read and not run."""
    loader = griffe.GriffeLoader(search_paths=[checkout / "generated", checkout], allow_inspection=False)
    for package in ("kayrros_client", "kayrros_ext"):
        loader.load(package, try_relative_path=False)  # not the one of the working directory
    loader.resolve_aliases(implicit=True, external=False)
    return loader.modules_collection


def _listed(modules: griffe.ModulesCollection, package: str) -> list[str]:
    try:
        exports = modules[package].exports
    except KeyError:
        return []
    return [str(name) for name in exports or ()]


def _breakages(old: griffe.Object, new: griffe.Object) -> Iterator[str]:
    for breakage in griffe.find_breaking_changes(old, new):
        if breakage.kind in BREAKING:
            yield f"{breakage.obj.path}: {breakage.kind.value[0].lower()}{breakage.kind.value[1:]}{_detail(breakage)}"


def _detail(breakage: griffe.Breakage) -> str:
    """Which parameter: its name is in the old value or the new."""
    name = next((value.name for value in (breakage.old_value, breakage.new_value) if hasattr(value, "name")), None)
    return f" (`{name}`)" if name and breakage.kind.name.startswith("PARAMETER") else ""
