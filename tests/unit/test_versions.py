"""scripts/versions.py compares the versions of kayrros_ext, openapi.yaml and CHANGELOG.md."""

import tomllib
from pathlib import Path

import pytest

from kayrros_ext._text import DOCS_URL
from scripts.versions import main
from tests.support.checkout import FIRST, ROOT, edit


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "kayrros_ext").mkdir()
    (tmp_path / "kayrros_ext" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (tmp_path / "openapi.yaml").write_text("info: {version: 0.1.0}\n")
    (tmp_path / "CHANGELOG.md").write_text(FIRST)
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nDocumentation = "https://kayrros-ext.example/"\n')
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


def test_a_release_has_a_documentation_url(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The placeholder is for unreleased versions alone."""
    edit(root / "CHANGELOG.md", ("0.1.0, unreleased", "0.1.0, 2026-01-31"))
    assert main(root) == 1
    assert "placeholder https://kayrros-ext.example/" in capsys.readouterr().out
    edit(root / "pyproject.toml", ("kayrros-ext.example", "example.org"))
    assert main(root) == 0


def test_the_documentation_url_is_that_of_the_project() -> None:
    """Hints and the site take it from the package, which can't read pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["urls"]["Documentation"] == DOCS_URL


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
