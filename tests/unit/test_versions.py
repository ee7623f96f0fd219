"""scripts/versions.py compares the versions of pyproject.toml, openapi.yaml and CHANGELOG.md."""

from pathlib import Path

import pytest

from scripts.versions import main
from tests.support.checkout import FIRST, edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = '[project]\nversion = "0.1.0"\n'
    for name, text in (
        ("openapi.yaml", "info: {version: 0.1.0}\n"),
        ("CHANGELOG.md", FIRST),
        ("pyproject.toml", project),
    ):
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"'),
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
