"""scripts/versions.py compares the versions of kayrros_ext, openapi.yaml and CHANGELOG.md."""

from pathlib import Path

import pytest

from scripts.versions import main
from tests.support.checkout import FIRST, edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "kayrros_ext").mkdir()
    (tmp_path / "kayrros_ext" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "openapi.yaml").write_text("info: {version: 0.1.0}\n")
    (tmp_path / "CHANGELOG.md").write_text(FIRST)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kayrros_ext/__init__.py", '"0.1.0"', '"0.1.1"'),
        ("openapi.yaml", "version: 0.1.0", "version: 0.1.1"),
        ("CHANGELOG.md", "## 0.1.0, unreleased", "## 0.1.1, unreleased\n\n## 0.1.0, 2026-01-01"),
    ],
)
def test_a_different_version_is_reported(
    name: str, old: str, new: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report names each file with its version."""
    assert main(root) == 0
    edit(root / name, (old, new))
    assert main(root) == 1
    output = capsys.readouterr().out
    assert f"{name}, " in output
    assert output.count(": 0.1.1") == 1


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        ("## [0.1.0] - 2026-01-01", "CHANGELOG.md:3: '## [0.1.0] - 2026-01-01' is not a heading"),
        ("## v0.1.0", "is not a heading"),
        ("##0.1.0", "is not a heading"),
        ("## 0.1.0rc1", "is not a heading"),
        ("## 0.1.0.1", "is not a heading"),
        ("## 0.01.0", "is not a heading"),
        ("## Unreleased", "is not a heading"),
        ("## 0.1.0\n\n## 0.1.0", "0.1.0 stands above 0.1.0"),
        ("## 0.1.0\n\n## 0.2.0", "0.1.0 stands above 0.2.0"),
        ("## 0.1.0, unreleased\n\n## 0.0.9, unreleased", "0.0.9 is unreleased below 0.1.0"),
    ],
)
def test_a_heading_of_another_form_is_reported(
    heading: str, message: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would hide a version, or invent one."""
    (root / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n\n- A line.\n")
    assert main(root) == 1
    assert message in capsys.readouterr().out
