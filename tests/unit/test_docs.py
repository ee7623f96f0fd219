"""The tables of faults in docs/reliability.md name existing tests."""

import re

from tests.support.checkout import ROOT

TEXT = (ROOT / "docs" / "reliability.md").read_text("utf-8")
FILES = dict(re.findall(r"`(\w)`(?:\s+is)?\s+`(tests/\w+/\w+\.py)`", TEXT))


def test_each_fault_names_an_existing_test() -> None:
    """Each row of the tables names at least one test, and each of these is defined in its file."""
    rows = [row for row in TEXT.splitlines() if row.startswith("|") and not row.startswith(("| fault", "|--"))]
    assert rows
    assert not [row for row in rows if not re.search(r"`\w::\w+`", row)]
    tests = re.findall(r"`(\w)::(\w+)`", "\n".join(rows))
    sources = {letter: (ROOT / name).read_text("utf-8") for letter, name in FILES.items()}
    assert not [f"{FILES[letter]}::{name}" for letter, name in tests if f"def {name}(" not in sources[letter]]
