"""The code blocks of the documentation: what a reader copies, and what the page says that it prints."""

import re
from pathlib import Path

import attrs

from tests.support.checkout import ROOT

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]
_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"\n*```text([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@attrs.frozen
class Block:
    """One block of a page.

    Attributes:
        place: page and line, as editors take it.
        language: `python`, `sh` and so on.
        code: what stands in it.
        printed: what the block right below it says that it prints; None where there is none.
        status: the exit status that it ends with.
    """

    place: str
    language: str
    code: str
    printed: str | None = None
    status: int = 0


def blocks(page: str, language: str) -> list[Block]:
    """The blocks of a page in a language."""
    text = (ROOT / page).read_text("utf-8")
    found = []
    for block in _BLOCK.finditer(text):
        if block[1] == language:
            output = _OUTPUT.match(text, block.end())
            status = re.search(r"exit status (\d+)", output[1]) if output else None
            found.append(
                Block(
                    f"{Path(page).name}:{text.count(chr(10), 0, block.start()) + 1}",
                    language,
                    block[3],
                    output[2] if output else None,
                    int(status[1]) if status else 0,
                )
            )
    return found
