"""The code blocks of the documentation and their expected output."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import attrs

from tests.support.checkout import ROOT

_ROOT_PAGES = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"]
PAGES = [*_ROOT_PAGES, *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ENGINE = re.compile(r"^ *(?:from|import) (?:dask|distributed|pyspark|ray|kayrros_ext\.(?:dask|spark))\b", re.MULTILINE)
_OUTPUT = re.compile(r"\n*```text([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """One code block of a page.

    Attributes:
        place: page and line, as editors show them.
        language: `python`, `sh` and so on.
        code: the text of the block.
        printed: the expected output, from the `text` block that follows directly; None without one.
        status: the expected exit status.
    """

    place: str
    language: str
    code: str
    printed: str | None = None
    status: int = 0

    @property
    def needs_cluster(self) -> bool:
        """Whether it imports an engine, which only `make test-cluster` installs."""
        return bool(_ENGINE.search(self.code))


def blocks(page: str, language: str) -> list[Block]:
    """Return the blocks of a page in a language."""
    text = (ROOT / page).read_text("utf-8")
    listed = []
    for block in _BLOCK.finditer(text):
        if block[1] == language:
            output = _OUTPUT.match(text, block.end())
            status = re.search(r"exit status (\d+)", output[1]) if output else None
            line = text.count("\n", 0, block.start()) + 1
            listed.append(
                Block(
                    f"{Path(page).name}:{line}",
                    language,
                    block[3],
                    output[2] if output else None,
                    int(status[1]) if status else 0,
                )
            )
    return listed


def run_python(code: str, folder: Path) -> int:
    """Run code as `python script` would; return its exit status.

    It runs in this process, which saves a start, unless it starts processes itself: these import it as a file.
    """
    script = folder / "script.py"
    script.write_text(code, "utf-8")
    if "__main__" in code:
        return subprocess.run([sys.executable, "-W", "error", script], check=False).returncode
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0
