"""Each code block of the documentation runs and prints the output that the page shows."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from kayrros_ext import errors
from kayrros_ext._text import DOCS_URL
from kayrros_ext.testing import Platform
from tests.support.checkout import ROOT
from tests.support.pages import PAGES, Block, blocks, run_python

# test_testing.py runs the blocks that are test files, and tests/cluster those that need Dask, Spark or Ray.
PYTHON = [
    block
    for page in PAGES
    for block in blocks(page, "python")
    if "\ndef test_" not in block.code and not block.needs_cluster
]
SHELL = [block for page in PAGES for block in blocks(page, "sh")]
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
# Commands of the reader's shell, installers, and commands that an earlier block installs.
COMMANDS = {"export", "read", "keyring", "pip", "kayrros", "chmod", "docker", "conda", "pipx", "uv"}


@pytest.fixture(scope="module")
def served() -> Iterator[dict[str, str]]:
    """Variables that point to a fake with the datasets of openapi.yaml."""
    platform = Platform()
    platform.add_examples()
    with platform.serve() as url:
        yield platform.environment(url)


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_python_block_runs(
    block: Block,
    served: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A block runs on its own, in an empty directory, with warnings as errors, and prints what the page shows."""
    for name, value in served.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    status = run_python(block.code, tmp_path)
    out, err = capfd.readouterr()
    assert (status, err) == (block.status, "")
    if block.printed is not None:
        assert out == block.printed


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.place)
def test_shell_block_names_existing_commands(block: Block) -> None:
    """Each make target exists, and the reader has each other command or has just installed it."""
    subprocess.run(["sh", "-n"], input=block.code, text=True, check=True, capture_output=True)
    for line in block.code.replace("\\\n", " ").splitlines():
        for command in re.split(r"&&|\||;", line.partition(" #")[0]):
            parts = [part for part in command.split() if "=" not in part]
            if parts and parts[0] == "make":
                assert set(parts[1:]) <= TARGETS, line
            elif parts and not line.startswith("#"):
                assert parts[0] in COMMANDS or shutil.which(parts[0]), line


@pytest.mark.slow
@pytest.mark.parametrize("block", [one for one in SHELL if "\nkayrros " in one.code], ids=lambda block: block.place)
@pytest.mark.holds_secrets("cache/tokens/*")  # of `kayrros login`
def test_shell_block_runs(block: Block, served: dict[str, str], tmp_path: Path) -> None:
    """The `kayrros` commands of a block all succeed in a shell; a stub replaces what installs the package."""
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    for name in ("pip", *(() if shutil.which("jq") else ("jq",))):
        (stubs / name).write_text(f"#!/bin/sh\n{'cat' if name == 'jq' else ':'}\n", "utf-8")
        (stubs / name).chmod(0o755)
    path = os.pathsep.join([str(stubs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, **served, "PATH": path, "HOME": str(tmp_path)}
    result = subprocess.run(
        ["sh", "-euc", block.code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    written = re.findall(r"-o (\S+)(?<!/)\s", re.sub(r" #.*", "", block.code))  # not the directories
    assert {path.name for path in tmp_path.iterdir()} >= {*written}


def test_each_python_fence_is_tested() -> None:
    """No Python block is missed because of the way its fence is written."""
    for page in PAGES:
        fences = re.findall(r"^ *(?:```|~~~) *(?:python|py)\b", (ROOT / page).read_text("utf-8"), re.MULTILINE)
        assert len(blocks(page, "python")) == len(fences), page


def test_each_error_has_an_entry_on_the_page_that_its_link_names() -> None:
    """`error.docs_url`, which the command prints, leads to a heading of the troubleshooting page."""
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs" / "troubleshooting.md").read_text("utf-8"), re.MULTILINE)
    classes = [it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, errors.KayrrosError)]
    assert len(classes) > 10
    for error_class in classes:
        assert error_class.__name__ in headings
        assert error_class("").docs_url == f"{DOCS_URL}troubleshooting/#{error_class.__name__.lower()}"


def test_a_status_with_an_entry_of_its_own_links_to_it() -> None:
    """Each status whose row in the table of APIError refers to another entry has the link of that entry; no other has."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    [table] = re.findall(r"^### APIError$(.*?)^### ", page, re.MULTILINE | re.DOTALL)
    entries = {
        int(status): entry
        for status, entry in re.findall(r"^\| (\d+) \| See \[.*\]\(#([\w-]+)\) \|$", table, re.MULTILINE)
    }
    assert 504 in entries
    headings = {re.sub(r"\W+", "-", it.lower()) for it in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert {*entries.values()} <= headings
    for status in range(201, 600):
        entry = errors.APIError("", status=status).docs_url.rpartition("#")[2]
        assert entry == entries.get(status, "apierror")
    assert errors.LoginError("", status=504).docs_url.endswith("#loginerror")


def test_each_extra_is_on_the_page_about_installation() -> None:
    """The table names each extra of pyproject.toml with the packages that it installs."""
    page = (ROOT / "docs" / "installation.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", page, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].items()
    assert {name: {*text.split(", ")} for name, text in rows.items()} == {
        name: {re.split(r"[>=<\[]", requirement)[0] for requirement in requirements} for name, requirements in extras
    }


def test_no_text_installs_the_package_by_its_name_alone() -> None:
    """kayrros-ext is on no public index, and a stranger may register its name. Each command names a file, URL or index."""
    command = re.compile(
        r"(?:\bpip3?|\bpipx|\buvx?|\bconda|\bpoetry)\b[^\n`]*?\b(?:install|add|download|run)\b[^\n`]*kayrros[-_]ext[^\n`]*"
    )
    source = re.compile(r"\.whl| @ |--index-url |/kayrros-ext\b")
    assert not source.search('pip install "kayrros-ext[cli]"')
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if "/" not in name or not name.startswith("tests/"):
            for match in command.finditer((ROOT / name).read_text("utf-8", "ignore")):
                assert source.search(match[0]), f"{name}: {match[0]}"


def test_relative_links_point_to_existing_files() -> None:
    """Each relative link of a page leads to a file; the site build checks the headings."""
    for page in PAGES:
        folder = (ROOT / page).parent
        for target in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8")):
            assert (folder / target).exists(), f"{page} links to {target}"


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_workflows_run_make_targets_only(path: Path) -> None:
    """Each command of CI is a make target that a developer can run, and the Pythons are those that we support."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    steps = [step["run"].partition(" #")[0].strip() for job in jobs.values() for step in job["steps"] if "run" in step]
    assert set(steps) >= {"make check", "make test", "make test-slow", "make test-oldest", "make test-docs"}
    assert {step.removesuffix(" ARGS=--strict") for step in steps} <= {f"make {target}" for target in TARGETS}
    [pythons] = [
        step["with"]["python-version"] for step in jobs["pythons"]["steps"] if "setup-python" in step.get("uses", "")
    ]
    assert pythons.split() == ["3.14", "3.13", "3.12", "3.11"]
