"""The code blocks of the documentation that need an engine."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kayrros_ext.testing import Platform
from tests.support.pages import PAGES, Block, blocks

BLOCKS = [block for page in PAGES for block in blocks(page, "python") if block.needs_cluster]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_block_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block runs on its own, in an empty directory, and prints what the page shows, whatever the engine logs."""
    for engine in ("dask", "ray", "pyspark"):
        if f"import {engine}" in block.code or f"from {engine}" in block.code:
            pytest.importorskip(engine)
    if "spark" in block.code and not shutil.which("java"):
        pytest.skip("Spark needs Java 17")
    platform = Platform()
    platform.add_examples()
    with platform.serve() as url:
        for name, value in platform.environment(url).items():
            monkeypatch.setenv(name, value)
        # Spark starts its workers with the python3 of the PATH.
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        script = tmp_path / "script.py"
        script.write_text(block.code, "utf-8")
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == block.status, done.stderr
    if block.printed is not None:
        assert done.stdout == block.printed
