"""generated/ is what openapi.yaml gives, and says so."""

import hashlib
import inspect
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import cast

import pytest

from kayrros_ext._http.calls import Operation, operation_id
from tests.support.calls import modules
from tests.support.spec import operations

ROOT = Path(__file__).parents[2]
FILES = sorted(path for path in (ROOT / "generated").rglob("*") if path.is_file() and "__pycache__" not in path.parts)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the generation reads and writes."""
    for name in ("openapi.yaml", "codegen.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("generated", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def generate(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "scripts/generate.py", *options]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


def contents(checkout: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in (checkout / "generated").rglob("*") if path.is_file()}


def test_the_committed_client_is_what_the_spec_gives(checkout: Path) -> None:
    """To the byte, and a second generation changes nothing."""
    assert 0 == generate(checkout, "--check").returncode
    before = contents(checkout)
    assert 0 == generate(checkout).returncode
    assert before == contents(checkout)


def test_an_edit_of_the_generated_code_is_seen(checkout: Path) -> None:
    """The file is named, with what to do; generating takes the edit away."""
    file = checkout / "generated" / "kayrros_openapi" / "types.py"
    file.write_text(file.read_text() + "\nEDITED = True\n")
    check = generate(checkout, "--check")
    assert 1 == check.returncode
    assert "kayrros_openapi/types.py" in check.stdout
    assert "make generate" in check.stdout
    generate(checkout)
    assert "EDITED" not in file.read_text()


def test_a_file_that_does_not_belong_is_seen_and_disappears(checkout: Path) -> None:
    """Wherever it is."""
    strays = [checkout / "generated" / "kayrros_openapi" / "stray.py", checkout / "generated" / "stray.txt"]
    for stray in strays:
        stray.write_text("x = 1\n")
    assert 1 == generate(checkout, "--check").returncode
    generate(checkout)
    assert not [stray for stray in strays if stray.exists()]


def test_a_change_of_the_spec_alone_is_seen(checkout: Path) -> None:
    """Even one that changes no code, such as a comment: the hash beside the code tells."""
    spec = checkout / "openapi.yaml"
    spec.write_text(spec.read_text() + "# a comment\n")
    check = generate(checkout, "--check")
    assert 1 == check.returncode
    assert "SOURCE.toml" in check.stdout


def test_a_warning_of_the_generator_is_an_error(checkout: Path) -> None:
    """An answer that it would drop stops it, and nothing is written."""
    (checkout / "codegen.yaml").write_text("package_name_override: kayrros_openapi\npost_hooks: []\n")
    before = contents(checkout)
    done = generate(checkout)
    assert 1 == done.returncode
    assert "*/*" in done.stderr
    assert before == contents(checkout)


def test_every_file_says_do_not_edit() -> None:
    """In its first line, with the command that makes it."""
    assert len(FILES) > 20
    for file in FILES:
        with file.open(encoding="utf-8") as lines:
            first = next(lines)
        assert "Do not edit" in first, file
        assert "make generate" in first, file


def test_the_source_is_on_record() -> None:
    """The hash of the spec and the version of the generator."""
    source = tomllib.loads((ROOT / "generated" / "SOURCE.toml").read_text())
    assert hashlib.sha256((ROOT / "openapi.yaml").read_bytes()).hexdigest() == source["sha256"]["openapi.yaml"]
    assert source["version"]["openapi-python-client"]


@pytest.mark.parametrize("name", operations())
def test_an_operation_is_there_sync_and_async(name: str) -> None:
    """Four functions, typed; and the layer knows the operation by the spec's name of it."""
    module = modules()[name]
    assert name == operation_id(cast("Operation", module))
    for function in (getattr(module, name) for name in ("sync", "sync_detailed", "asyncio", "asyncio_detailed")):
        assert inspect.signature(function).return_annotation not in {None, inspect.Signature.empty}


def test_both_packages_carry_types() -> None:
    """PEP 561."""
    assert (ROOT / "kayrros_ext" / "py.typed").is_file()
    assert (ROOT / "generated" / "kayrros_openapi" / "py.typed").is_file()
