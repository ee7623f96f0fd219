"""An extension of griffe for the Python pages: defaults as values, attrs classes with a signature, inherited names."""

import re
from collections.abc import Iterator
from typing import Any

from griffe import (
    Class,
    Expr,
    ExprCall,
    ExprKeyword,
    ExprName,
    Extension,
    Function,
    GriffeLoader,
    Module,
    Object,
    Parameter,
    ParameterKind,
    Parameters,
)

# What the examples of the docstrings begin with, on the page and in the tests.
PREAMBLE = """\
from pathlib import Path

from kayrros_ext import *
from kayrros_ext.dlt import kayrros_source
from kayrros_ext.doctor import Check, Difference, Doctor
from kayrros_ext.testing import *

platform = Platform()
platform.add_examples()
kayrros = platform.connect()
results = kayrros.results("Crude oil storage")
mirror = Mirror("mirror/")
mirror.sync(kayrros, "Crude oil storage")
"""


class Reference(Extension):
    """Changes what mkdocstrings shows of each loaded package. The code stays as it is."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **_: Any) -> None:
        """Change every class and function of a package."""
        for item in list(walk(pkg)):
            if item.docstring:
                # griffe has a section for `Examples:` alone; any other word begins a box of text.
                item.docstring.value = re.sub(r"^Example:$", "Examples: Example:", item.docstring.value, flags=re.M)
                item.docstring.value += inherited_names(item) if isinstance(item, Class) else ""
            if isinstance(item, Class) and "__init__" not in item.members and is_attrs(item):
                item.set_member("__init__", init := init_of_attrs(item))
                resolve_defaults(init, loader)
            elif isinstance(item, Function):
                resolve_defaults(item, loader)


def walk(item: Any) -> Iterator[Object]:
    """Yield the objects that are defined in a module or class, in any depth."""
    for member in item.members.values():
        if not member.is_alias:
            yield member
            yield from walk(member)


def resolve_defaults(function: Function, loader: GriffeLoader) -> None:
    """Replace constants by their values, and drop the parameter that only refuses unknown arguments."""
    function.parameters = Parameters(*(it for it in function.parameters if it.name != "_unknown"))
    for parameter in function.parameters:
        default = parameter.default
        # UNSET of the generated client is a value that users pass and compare.
        if isinstance(default, ExprName) and default.canonical_path.startswith("kayrros_ext."):
            parameter.default = getattr(loader.modules_collection[default.canonical_path], "value", default)


def inherited_names(item: Class) -> str:
    """Return a paragraph for each base of our packages: the public names that a class has from it."""
    names, text = {*item.members}, ""
    base: Any
    for base in item.mro():
        own = [name for name, it in base.members.items() if not (name.startswith("_") or it.is_alias or name in names)]
        names |= {*own}
        link = f"[`{base.name}`][{base.canonical_path}]"
        text += f"\n\nInherited from {link}: {', '.join(f'`{name}`' for name in own)}." if own else ""
    return text


def is_attrs(item: Class) -> bool:
    """Return whether a class is decorated with `attrs.define` or `attrs.frozen`."""
    return any(path in {"attrs.define", "attrs.frozen"} for path, _ in decorators(item))


def decorators(item: Class) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the path and the keyword arguments of each decorator."""
    for decorator in item.decorators:
        value: Any = decorator.value
        yield (value.canonical_path if isinstance(value, Expr) else value), keywords(value)


def keywords(value: Any) -> dict[str, Any]:
    """Return the keyword arguments of a call; of any other expression, an empty dictionary."""
    arguments: list[Any] = [*value.arguments] if isinstance(value, ExprCall) else []
    return {it.name: it.value for it in arguments if isinstance(it, ExprKeyword)}


def init_of_attrs(item: Class) -> Function:
    """Return the `__init__` that attrs writes at run time, with the fields of bases first."""
    bases = [base for base in reversed(item.mro()) if is_attrs(base)]
    parameters: dict[str, Parameter] = {}
    for owner in (*bases, item):
        all_by_name = any(str(options.get("kw_only")) == "True" for _, options in decorators(owner))
        field: Any
        for name, field in owner.members.items():
            if not field.is_attribute or field.annotation is None or "property" in field.labels:
                continue
            value, options = field.value, keywords(None)
            if isinstance(value, ExprCall) and value.canonical_path in {"attrs.field", "attr.field"}:
                value, options = None, keywords(value)
            if str(options.get("init")) == "False":
                continue
            if "factory" in options:
                value = ExprCall(function=options["factory"], arguments=[])
            by_name = all_by_name or str(options.get("kw_only")) == "True"
            kind = ParameterKind.keyword_only if by_name else ParameterKind.positional_or_keyword
            default = options.get("default", value)
            parameters[name] = Parameter(
                name.lstrip("_"), annotation=field.annotation, kind=kind, default=default, docstring=field.docstring
            )
    ordered = sorted(parameters.values(), key=lambda it: it.kind is ParameterKind.keyword_only)
    me = Parameter("self", kind=ParameterKind.positional_or_keyword)
    return Function("__init__", parameters=Parameters(me, *ordered), returns="None", parent=item)
