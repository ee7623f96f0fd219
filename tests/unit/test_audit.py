"""What `make audit` and the SBOM say: a database that could not be asked is never called a clean answer."""

import json
import subprocess
from typing import Any

import pytest

from scripts import audit, sbom

LOCK = """anyio==4.1 \\
    --hash=sha256:ab
    # via
    #   kayrros-ext (pyproject.toml)
    #   httpx
httpx==1.0 ; python_version > "3" \\
    --hash=sha256:cd
    # via kayrros-ext (pyproject.toml)
"""


def said(stdout: object, stderr: str = "") -> Any:
    words = stdout if isinstance(stdout, str) else json.dumps(stdout)
    return lambda *_, **__: subprocess.CompletedProcess([], 1, words, stderr)


@pytest.mark.parametrize(
    ("stdout", "words"),
    [
        ("", "ConnectionError"),
        ({"dependencies": [{"name": "a", "skip_reason": "not found"}]}, "does not know a, 1 of 1"),
        ({"dependencies": [{"name": "urllib3", "version": "1.24.1", "vulns": []}]}, "to be safe"),
    ],
)
def test_a_database_that_does_not_know_is_no_database(
    stdout: object, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing found, since nobody looked: that is said, and fails where one insists."""
    monkeypatch.setattr(audit, "_run", said(stdout, "Traceback\nConnectionError: https://example.com"))
    monkeypatch.setattr("scripts.audit.subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    for arguments, code in (([], 0), (["--strict"], 1)):
        monkeypatch.setattr("sys.argv", ["audit", *arguments])
        assert code == audit.main()
        shown = capsys.readouterr().out
        assert "pip-audit: NOT AUDITED, no advisory database could be reached (" in shown
        assert words in shown
        assert "example.com" not in shown


def test_what_is_found_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With package, version, advisory and where it is mended."""
    flaw = {"id": "CVE-1", "fix_versions": ["2.0"]}
    answer = {"dependencies": [{"name": "a", "version": "1.0", "vulns": [flaw]}], "vulnerabilities": {}}
    monkeypatch.setattr(audit, "_run", said(answer))
    monkeypatch.setattr("scripts.audit.subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    monkeypatch.setattr("sys.argv", ["audit"])
    assert 1 == audit.main()
    shown = capsys.readouterr().out
    assert "pip-audit: base.txt: a 1.0: CVE-1, fixed in 2.0" in shown
    assert "npm audit: no known vulnerability" in shown


def test_the_sbom_names_packages_and_no_registry() -> None:
    """A package URL for each address and reference, and who needs whom."""
    components = [
        {
            "name": name,
            "bom-ref": f"requirements-L{line}",
            "purl": f"pkg:pypi/{name}@{version}",
            "description": "requirements line 1",
            "externalReferences": [{"url": f"https://pypi.example.com/simple/{name}/", "type": "distribution"}],
        }
        for line, (name, version) in enumerate([("anyio", "4.1"), ("httpx", "1.0")])
    ]
    tool = {"name": "t", "type": "library", "externalReferences": [{"url": "https://pypi.example.com/t"}]}
    about = {"component": {"bom-ref": "root-component"}, "tools": {"components": [tool]}}
    found = sbom.cleaned({"components": components, "metadata": about}, LOCK)
    assert "example.com" not in json.dumps(found)
    assert [
        {"ref": "pkg:pypi/anyio@4.1", "dependsOn": []},
        {"ref": "pkg:pypi/httpx@1.0", "dependsOn": ["pkg:pypi/anyio@4.1"]},
        {"ref": "root-component", "dependsOn": ["pkg:pypi/anyio@4.1", "pkg:pypi/httpx@1.0"]},
    ] == found["dependencies"]
