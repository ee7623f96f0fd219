"""The tables of faults name tests that there are."""

import re

from tests.support.checkout import ROOT

TEXT = (ROOT / "docs" / "reliability.md").read_text("utf-8")
FILES = dict(re.findall(r"`(\w)`(?:\s+is)?\s+`(tests/\w+/\w+\.py)`", TEXT))


def test_each_row_has_its_test() -> None:
    """And each test that is named is there."""
    rows = [row for row in TEXT.splitlines() if row.startswith("|") and not row.startswith(("| fault", "|--"))]
    for row in rows:
        named = re.findall(r"`(\w)::(\w+)`", row)
        assert named, row
        for letter, name in named:
            assert f"def {name}(" in (ROOT / FILES[letter]).read_text("utf-8"), name
