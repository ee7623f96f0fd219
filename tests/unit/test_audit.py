"""`make audit` never reports a database that it could not ask as a clean result; the SBOM names packages and no registry."""

import json
import subprocess
from typing import Any

import pytest

import kayrros_ext
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


@pytest.fixture
def run_audit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the audit with a fixed output of its tools; return its exit code and output."""

    def run(stdout: str, *arguments: str, stderr: str = "") -> tuple[int, str]:
        monkeypatch.setattr(audit, "_run", lambda *_, **__: subprocess.CompletedProcess([], 1, stdout, stderr))
        monkeypatch.setattr("scripts.audit.subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], 0))
        monkeypatch.setattr("sys.argv", ["audit", *arguments])
        return audit.main(), capsys.readouterr().out

    return run


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        ("", "ConnectionError"),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', "does not contain a, 1 of 1"),
        ('{"dependencies": [{"name": "urllib3", "version": "1.24.1", "vulns": []}]}', "to be safe"),
    ],
)
def test_useless_database_is_reported(stdout: str, reason: str, run_audit: Any) -> None:
    """No vulnerabilities from a database that was not reached or lacks the packages: a warning, and an error if strict."""
    for arguments, expected in (([], 0), (["--strict"], 1)):
        code, output = run_audit(stdout, *arguments, stderr="Traceback\nConnectionError: https://example.com")
        assert code == expected
        assert "pip-audit: NOT AUDITED, no advisory database could be reached (" in output
        assert reason in output
        assert "example.com" not in output


def test_vulnerability_fails_the_audit(run_audit: Any) -> None:
    """The output names package, version, advisory and the fixed version."""
    flaw = {"id": "CVE-1", "fix_versions": ["2.0"]}
    report = {"dependencies": [{"name": "a", "version": "1.0", "vulns": [flaw]}], "vulnerabilities": {}}
    code, output = run_audit(json.dumps(report))
    assert code == 1
    assert "pip-audit: base.txt: a 1.0: CVE-1, fixed in 2.0" in output
    assert "npm audit: no known vulnerability" in output


def test_sbom_names_packages_and_no_registry() -> None:
    """Each address and reference is a package URL, and the dependencies follow from the lock."""
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
    metadata = {"component": {"bom-ref": "root-component"}, "tools": {"components": [tool]}}
    cleaned = sbom.cleaned({"components": components, "metadata": metadata}, LOCK)
    assert "example.com" not in json.dumps(cleaned)
    assert cleaned["metadata"]["component"]["version"] == kayrros_ext.__version__
    assert cleaned["dependencies"] == [
        {"ref": "pkg:pypi/anyio@4.1", "dependsOn": []},
        {"ref": "pkg:pypi/httpx@1.0", "dependsOn": ["pkg:pypi/anyio@4.1"]},
        {"ref": "root-component", "dependsOn": ["pkg:pypi/anyio@4.1", "pkg:pypi/httpx@1.0"]},
    ]
