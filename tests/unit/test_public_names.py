"""scripts/public_names.py lists the public names that were removed, added or changed."""

from pathlib import Path

from scripts.public_names import public_changes
from scripts.spec_changes import Level
from tests.support.checkout import edit

BREAKING, COMPATIBLE = Level.BREAKING, Level.COMPATIBLE
# A package with each kind of public name.
FILES = {
    "pyproject.toml": """
[project]
name = "kayrros-ext"
[project.optional-dependencies]
polars = ["polars"]
[project.scripts]
kayrros = "kayrros_ext.cli:main"
[project.entry-points.pytest11]
kayrros = "kayrros_ext.plugin"
""",
    "generated/kayrros_openapi/__init__.py": "class Client:\n    def close(self): ...\n",
    "kayrros_ext/__init__.py": """
from kayrros_ext.client import Kayrros
from kayrros_ext.errors import GapError, KayrrosError, MockError

__all__ = ["GapError", "Kayrros", "KayrrosError", "MockError"]
""",
    "kayrros_ext/client.py": "class Kayrros:\n    def metadata(self, id): ...\n",
    "kayrros_ext/errors.py": """
class KayrrosError(Exception):
    def __init__(self, text, *, hint=""): ...

class GapError(KayrrosError): ...
class MockError(KayrrosError): ...
""",
    "kayrros_ext/plots.py": '__all__ = ["plot"]\n\ndef plot(results, theme="auto"): ...\n',
    "kayrros_ext/plugin.py": "import pytest\n\n@pytest.fixture\ndef kayrros(): ...\n",
}


def package(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_removed_and_added_names_have_their_level(tmp_path: Path) -> None:
    """Names that no `__all__` lists count too: fixtures, extras, commands, members, arguments and bases."""
    before, now = (package(tmp_path / side) for side in ("before", "now"))
    assert not public_changes(before, now)
    edit(
        now / "kayrros_ext" / "errors.py",
        ("class GapError", "class Gone"),
        ("MockError(KayrrosError)", "MockError(Exception)"),
    )
    edit(now / "kayrros_ext" / "plots.py", ('theme="auto"', "theme, *, width=80"))
    edit(now / "kayrros_ext" / "plugin.py", ("fixture\n", 'fixture(name="client")\n'))
    edit(now / "pyproject.toml", ("polars =", "arrow ="), ("[project.scripts]", '[project.scripts]\nkay = "k:main"'))
    edit(now / "kayrros_ext" / "client.py", ("    def metadata", "    def brand_new(self): ...\n    def metadata"))
    edit(now / "generated" / "kayrros_openapi" / "__init__.py", ("close", "end"))
    forward = {change.text: change.level for change in public_changes(before, now)}
    assert forward == {
        "fixture `kayrros` is gone": BREAKING,
        "fixture `client` is new": COMPATIBLE,
        "extra `polars` is gone": BREAKING,
        "extra `arrow` is new": COMPATIBLE,
        "command `kay` is new": COMPATIBLE,
        "kayrros_ext.client.Kayrros.brand_new is new": COMPATIBLE,
        "kayrros_ext.GapError is gone": BREAKING,
        "kayrros_ext.errors.MockError.__init__: public object was removed": BREAKING,
        "kayrros_ext.errors.MockError no longer has the base KayrrosError": BREAKING,
        "kayrros_ext.plots.plot: parameter is now required (`theme`)": BREAKING,
        "argument `width` of kayrros_ext.plots.plot is new": COMPATIBLE,
        "kayrros_openapi.Client.close: public object was removed": BREAKING,
    }
    assert "command `kay` is gone" in {change.text for change in public_changes(now, before)}
