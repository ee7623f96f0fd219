"""The examples in the docstrings of public names, run against the fake."""

import contextlib
import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kayrros_ext.testing
from kayrros_ext import dlt, doctor
from scripts.docs_python import PREAMBLE

MODULES = (kayrros_ext, kayrros_ext.testing, dlt, doctor)
PUBLIC = {f"{module.__name__}.{name}": getattr(module, name) for module in MODULES for name in module.__all__}
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def members(owner: Any) -> Iterator[tuple[str, str]]:
    """Yield the name and docstring of each public method and property that a class defines, not of httpx's interface."""
    for name, member in vars(owner).items() if isinstance(owner, type) else ():
        documented = isinstance(member, property | classmethod) or inspect.isfunction(member)
        if documented and not name.startswith(("_", "handle_")):
            yield name, inspect.getdoc(getattr(owner, name)) or ""


DOCSTRINGS = {path: inspect.getdoc(value) or "" for path, value in PUBLIC.items()}
DOCSTRINGS |= {f"{path}.{name}": text for path, owner in PUBLIC.items() for name, text in members(owner)}
EXAMPLES = {path: text for path, text in DOCSTRINGS.items() if ">>>" in text}
# They import dlt, start Node, or pause between requests.
SLOW = (
    "kayrros_ext.dlt.kayrros_source",
    "kayrros_ext.testing.prism_mock",
    "kayrros_ext.testing.PrismMock",
    "kayrros_ext.doctor.Doctor",
)


def has_example(path: str) -> bool:
    """Return whether a docstring has an example, or a method or property is in the one of its class."""
    owner, _, name = path.rpartition(".")
    of_class = DOCSTRINGS.get(owner, "").partition("\nExample:\n")[2]
    return DOCSTRINGS[path].count("\nExample:\n    >>> ") == 1 or f".{name}" in of_class


def test_each_public_docstring_has_an_example() -> None:
    """Each has one of its own; a small method or property may be in the one of its class."""
    assert len(DOCSTRINGS) > 100
    assert [path for path in DOCSTRINGS if not has_example(path)] == []


def test_examples_fit_the_page() -> None:
    """No line of an example is wider than the code blocks of the site."""
    lines = [
        line.strip()
        for text in EXAMPLES.values()
        for line in text.partition("\nExample:\n")[2].split("\n\n")[0].splitlines()
    ]
    assert len(lines) > 200
    assert [line for line in lines if len(line) > 84] == []


@pytest.mark.parametrize(
    "path", [pytest.param(path, marks=pytest.mark.slow if path in SLOW else ()) for path in EXAMPLES]
)
def test_example_runs(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints what it shows, after the lines that the page shows, in an empty directory, with warnings as errors."""
    text = EXAMPLES[path]
    names: dict[str, Any] = {}
    monkeypatch.chdir(tmp_path)
    exec(PREAMBLE if "mirror" in text else PREAMBLE.partition("mirror")[0], names)  # noqa: S102 - the page shows it
    platform = names["platform"]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda kayrros: kayrros.close(), names["kayrros"])
        if re.search(r"\b(Kayrros|Doctor)\(", text):
            for name, value in platform.environment(stack.enter_context(platform.serve())).items():
                monkeypatch.setenv(name, value)
        report: list[str] = []
        test = doctest.DocTestParser().get_doctest(text, names, path, None, None)
        doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append)
    assert not report, "".join(report)
