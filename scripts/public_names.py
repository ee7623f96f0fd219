"""Compare the public names of two versions with griffe: which changes break the code of users, and which names are new.

Public are the names in an `__all__` of kayrros_ext with their members, everything in kayrros_openapi, and the names that no
`__all__` lists: extras, commands, entry points, and the fixtures of the pytest plugin.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import griffe

from scripts.spec_changes import Change, Level

# Removed names and arguments break, and so do arguments that become required or change their kind. A changed default or type
# may be a fix. `_lost_bases` compares bases by name, because griffe only counts them.
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
    """Return the changes between two checkouts. New names of kayrros_openapi are left to the changes of the spec."""
    old, new = _load(before), _load(now)
    was, names = _names(before, old), _names(now, new)
    listed = list(_breakages(old[GENERATED], new[GENERATED]))
    listed += [_change(Level.BREAKING, f"{label} is gone", name) for label, name in was.items() if label not in names]
    listed += [_change(Level.COMPATIBLE, f"{label} is new", name) for label, name in names.items() if label not in was]
    for label in sorted(was.keys() & names.keys()):
        before_it, after_it = _object(old, label), _object(new, label)
        if before_it and after_it:
            # Wrapped in a module, because griffe compares the members of a thing, and not its own arguments or kind.
            listed += _breakages(_module_of(before_it), _module_of(after_it))
            listed += [*_lost_bases(before_it, after_it, set(was.values())), *_additions(before_it, after_it)]
    return list(dict.fromkeys(listed))


def _change(level: Level, text: str, *names: str) -> Change:
    return Change(level, text, names=frozenset(names))


def _load(checkout: Path) -> griffe.ModulesCollection:
    """Read both packages of a checkout without running them."""
    loader = griffe.GriffeLoader(search_paths=[checkout / "generated", checkout], allow_inspection=False)
    for package in (GENERATED, LAYER):
        loader.load(package, try_relative_path=False)  # not the one of the working directory
    loader.resolve_aliases(implicit=True, external=False)
    return loader.modules_collection


def _names(checkout: Path, modules: griffe.ModulesCollection) -> dict[str, str]:
    """Return the short name of each public name, as users write it, by its full one."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))["project"]
    points = project.get("entry-points", {})
    names = {label: label.rpartition(".")[2] for label in _listed(modules[LAYER]) if _object(modules, label)}
    names |= {f"extra `{name}`": name for name in project.get("optional-dependencies", {})}
    names |= {f"command `{name}`": name for kind in ("scripts", "gui-scripts") for name in project.get(kind, {})}
    names |= {f"entry point `{name}` of {group}": name for group, members in points.items() for name in members}
    for plugin in points.get("pytest11", {}).values():
        names |= {f"fixture `{name}`": name for name in _fixtures(modules, plugin)}
    return names


def _listed(module: griffe.Module) -> Iterator[str]:
    """Yield the names in `__all__`, in this module and in its submodules."""
    yield from (f"{module.path}.{name}" for name in module.exports or ())
    for below in module.modules.values():
        if isinstance(below, griffe.Module):
            yield from _listed(below)


def _object(modules: griffe.ModulesCollection, label: str) -> griffe.Object | None:
    """Return the object of a label, or None: a name may be listed although its class is gone."""
    try:
        member = modules[label]
        return member.final_target if isinstance(member, griffe.Alias) else member
    except (KeyError, griffe.AliasResolutionError):
        return None


def _module_of(member: griffe.Object) -> griffe.Module:
    module = griffe.Module(member.name)
    module.members[member.name] = member  # not by its own method, which would move the member
    return module


def _fixtures(modules: griffe.ModulesCollection, plugin: str) -> Iterator[str]:
    """Yield the fixtures of a plugin's module by the name that tests use."""
    try:
        functions = modules[plugin].functions
    except KeyError:
        return
    for function in functions.values():
        for decorator in function.decorators:
            if decorator.callable_path.rpartition(".")[2] == "fixture":
                arguments = decorator.value.arguments if isinstance(decorator.value, griffe.ExprCall) else []
                keywords = [part for part in arguments if isinstance(part, griffe.ExprKeyword) and part.name == "name"]
                yield str(keywords[0].value).strip("'\"") if keywords else function.name


def _breakages(old: griffe.Object, new: griffe.Object) -> Iterator[Change]:
    for breakage in griffe.find_breaking_changes(old, new):
        if breakage.kind in BREAKING:
            path, text = breakage.obj.path, breakage.kind.value
            argument = _argument(breakage)
            detail = f" (`{argument}`)" if argument else ""
            # A generated operation is a module, whose functions have the same names in all of them.
            names = {*path.split(".")[-2 if path.startswith(f"{GENERATED}.api.") else -1 :], *filter(None, [argument])}
            yield _change(Level.BREAKING, f"{path}: {text[0].lower()}{text[1:]}{detail}", *names)


def _argument(breakage: griffe.Breakage) -> str | None:
    """Return the name of the argument in the old value or the new."""
    if not breakage.kind.name.startswith("PARAMETER"):
        return None
    return next((value.name for value in (breakage.old_value, breakage.new_value) if hasattr(value, "name")), None)


def _lost_bases(old: griffe.Object, new: griffe.Object, public: set[str]) -> Iterator[Change]:
    """Yield the bases that a class lost: an `except` or an `isinstance` no longer matches."""
    if isinstance(old, griffe.Class) and isinstance(new, griffe.Class):
        for name in sorted(_bases(old, public) - _bases(new, public)):
            yield _change(Level.BREAKING, f"{new.path} no longer has the base {name}", new.name)


def _bases(kind: griffe.Class, public: set[str]) -> set[str]:
    """Return the names of all bases that are public or belong to another package."""
    ours = {parent.name: _bases(cast("griffe.Class", parent), public) for parent in kind.resolved_bases}
    named = {str(base).partition("[")[0].rpartition(".")[2] for base in kind.bases}
    return {name for name in named if name in public or name not in ours}.union(*ours.values())


def _additions(old: griffe.Object, new: griffe.Object) -> Iterator[Change]:
    """Yield new members of a class, and new arguments of its methods or of a function."""
    if isinstance(old, griffe.Function) and isinstance(new, griffe.Function):
        former = {argument.name for argument in old.parameters}
        for argument in new.parameters:
            if argument.name not in former and not argument.required:  # a required one is reported as breaking
                yield _change(Level.COMPATIBLE, f"argument `{argument.name}` of {new.path} is new", argument.name)
    elif isinstance(old, griffe.Class) and isinstance(new, griffe.Class):
        for name, member in new.members.items():
            if isinstance(member, griffe.Object) and (name == "__init__" or not name.startswith("_")):
                if name not in old.all_members:
                    yield _change(Level.COMPATIBLE, f"{member.path} is new", name)
                elif isinstance(before := old.members.get(name), griffe.Object):
                    yield from _additions(before, member)
