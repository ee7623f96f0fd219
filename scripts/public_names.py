"""Public names that came and went between two versions: by griffe, what breaks the code of users, and what is new.

Public is what an `__all__` of kayrros_ext lists, its own, that of testing or that of plots, with what hangs on it; all of
kayrros_openapi, which is generated to be used; and what users call by a name that no `__all__` lists: extras, commands,
entry points, and the fixtures of the pytest plugin.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import griffe

from scripts.spec_changes import Change, Level

# A default or a type that changed may be a mend; a name or an argument that goes is felt, and so is one that must be given,
# or given otherwise. Bases are in `_lost_bases`: griffe counts them.
BREAKING = {
    griffe.BreakageKind.OBJECT_REMOVED,
    griffe.BreakageKind.OBJECT_CHANGED_KIND,
    griffe.BreakageKind.PARAMETER_REMOVED,
    griffe.BreakageKind.PARAMETER_MOVED,
    griffe.BreakageKind.PARAMETER_CHANGED_KIND,
    griffe.BreakageKind.PARAMETER_CHANGED_REQUIRED,
    griffe.BreakageKind.PARAMETER_ADDED_REQUIRED,
}
GENERATED, LAYER = "kayrros_openapi", "kayrros_ext"


def public_changes(before: Path, now: Path) -> list[Change]:
    """What went and what came, between two checkouts. What is new in kayrros_openapi the changes of the spec tell."""
    old, new = _load(before), _load(now)
    was, names = _names(before, old), _names(now, new)
    found = list(_breakages(old[GENERATED], new[GENERATED]))
    found += [_change(Level.BREAKING, f"{label} is gone", name) for label, name in was.items() if label not in names]
    found += [_change(Level.COMPATIBLE, f"{label} is new", name) for label, name in names.items() if label not in was]
    for label in sorted(was.keys() & names.keys()):
        before_it, after_it = _object(old, label), _object(new, label)
        if before_it and after_it:
            # In a module of its own: griffe looks at what is in a thing, and not at its own arguments or kind.
            found += _breakages(_module_of(before_it), _module_of(after_it))
            found += [*_lost_bases(before_it, after_it, set(was.values())), *_additions(before_it, after_it)]
    return list(dict.fromkeys(found))


def _change(level: Level, words: str, *names: str) -> Change:
    return Change(level, words, names=frozenset(names))


def _load(checkout: Path) -> griffe.ModulesCollection:
    """Both packages of a checkout, read and not run."""
    loader = griffe.GriffeLoader(search_paths=[checkout / "generated", checkout], allow_inspection=False)
    for package in (GENERATED, LAYER):
        loader.load(package, try_relative_path=False)  # not the one of the working directory
    loader.resolve_aliases(implicit=True, external=False)
    return loader.modules_collection


def _names(checkout: Path, modules: griffe.ModulesCollection) -> dict[str, str]:
    """Each public name: how it is called here, in full, and by users."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    points = project.get("entry-points", {})
    found = {label: label.rpartition(".")[2] for label in _listed(modules[LAYER]) if _object(modules, label)}
    found |= {f"extra `{name}`": name for name in project.get("optional-dependencies", {})}
    found |= {f"command `{name}`": name for kind in ("scripts", "gui-scripts") for name in project.get(kind, {})}
    found |= {f"entry point `{name}` of {group}": name for group, members in points.items() for name in members}
    for plugin in points.get("pytest11", {}).values():
        found |= {f"fixture `{name}`": name for name in _fixtures(modules, plugin)}
    return found


def _listed(module: griffe.Module) -> Iterator[str]:
    """What `__all__` lists, in this module and in those below it."""
    yield from (f"{module.path}.{name}" for name in module.exports or ())
    for below in module.modules.values():
        if isinstance(below, griffe.Module):
            yield from _listed(below)


def _object(modules: griffe.ModulesCollection, label: str) -> griffe.Object | None:
    """What a label leads to; None where there is none: a name may be listed, and its class gone."""
    try:
        found = modules[label]
        return found.final_target if isinstance(found, griffe.Alias) else found
    except (KeyError, griffe.AliasResolutionError):
        return None


def _module_of(member: griffe.Object) -> griffe.Module:
    module = griffe.Module(member.name)
    module.members[member.name] = member  # not by its own method, which would move the member
    return module


def _fixtures(modules: griffe.ModulesCollection, plugin: str) -> Iterator[str]:
    """Fixtures of a plugin's module, by the name that a test takes them by."""
    try:
        functions = modules[plugin].functions
    except KeyError:
        return
    for function in functions.values():
        for decorator in function.decorators:
            if decorator.callable_path.rpartition(".")[2] == "fixture":
                arguments = decorator.value.arguments if isinstance(decorator.value, griffe.ExprCall) else []
                given = [
                    str(part.value)
                    for part in arguments
                    if isinstance(part, griffe.ExprKeyword) and part.name == "name"
                ]
                yield given[0].strip("'\"") if given else function.name


def _breakages(old: griffe.Object, new: griffe.Object) -> Iterator[Change]:
    for breakage in griffe.find_breaking_changes(old, new):
        if breakage.kind in BREAKING:
            path, words = breakage.obj.path, breakage.kind.value
            argument = _argument(breakage)
            detail = f" (`{argument}`)" if argument else ""
            # A generated operation is a module, and its functions are called alike in all.
            names = {*path.split(".")[-2 if path.startswith(f"{GENERATED}.api.") else -1 :], *filter(None, [argument])}
            yield _change(Level.BREAKING, f"{path}: {words[0].lower()}{words[1:]}{detail}", *names)


def _argument(breakage: griffe.Breakage) -> str | None:
    """Its name is in the old value or the new."""
    if not breakage.kind.name.startswith("PARAMETER"):
        return None
    return next((value.name for value in (breakage.old_value, breakage.new_value) if hasattr(value, "name")), None)


def _lost_bases(old: griffe.Object, new: griffe.Object, public: set[str]) -> Iterator[Change]:
    """What a class is no longer one of: an `except` or an `isinstance` that held, and does not."""
    if isinstance(old, griffe.Class) and isinstance(new, griffe.Class):
        for name in sorted(_bases(old, public) - _bases(new, public)):
            yield _change(Level.BREAKING, f"{new.path} has no base {name} any more", new.name)


def _bases(kind: griffe.Class, public: set[str]) -> set[str]:
    """Names of the bases, and of theirs, as far as users know them: those that are public, and those of others."""
    ours = {parent.name: _bases(cast("griffe.Class", parent), public) for parent in kind.resolved_bases}
    named = {str(base).partition("[")[0].rpartition(".")[2] for base in kind.bases}
    return {name for name in named if name in public or name not in ours}.union(*ours.values())


def _additions(old: griffe.Object, new: griffe.Object) -> Iterator[Change]:
    """New members of a class, and new arguments of its methods or of a function."""
    if isinstance(old, griffe.Function) and isinstance(new, griffe.Function):
        known = {argument.name for argument in old.parameters}
        for argument in new.parameters:
            if argument.name not in known and not argument.required:  # one that is required breaks, and is told as that
                words = f"argument `{argument.name}` of {new.path} is new"
                yield _change(Level.COMPATIBLE, words, argument.name)
    elif isinstance(old, griffe.Class) and isinstance(new, griffe.Class):
        for name, member in new.members.items():
            if isinstance(member, griffe.Object) and (name == "__init__" or not name.startswith("_")):
                if name not in old.all_members:
                    yield _change(Level.COMPATIBLE, f"{member.path} is new", name)
                elif isinstance(before := old.members.get(name), griffe.Object):
                    yield from _additions(before, member)
