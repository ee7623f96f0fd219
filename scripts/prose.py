"""Check the spelling of all tracked text with codespell, and look for phrases that readers stumble over: `make check`."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Joined at run time, so that this file does not contain them. Each has a plain form: is unavailable, resumes, N, is missing.
PHRASES = [
    " ".join(words)
    for words in [
        ("could", "not", "be", "had"),
        ("can't", "be", "had"),
        ("gone", "on", "from"),
        ("is", "none"),
        ("so", "many"),
        ("for", "want", "of"),
        ("no", "whole", "answer"),
        ("takes", "for"),
        ("what", "breaks", "off"),
    ]
]


def phrases_in(text: str) -> list[str]:
    """Return the phrases of a text, across line breaks and comment signs as well; `is None` is Python."""
    prose = re.sub(r"\s+(?:(?:#+|//|>)\s+)?", " ", text.replace("is None", ""))
    return [phrase for phrase in PHRASES if re.search(rf"\b{re.escape(phrase)}\b", prose, re.IGNORECASE)]


def text_files() -> list[Path]:
    """Return the tracked files that are text."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # nosec B607
    paths = [ROOT / name for name in names.stdout.split("\0") if name]
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()]


def main() -> int:
    """Print each misspelling and phrase with its file; return 1 if there is one."""
    paths = text_files()
    names = [str(path.relative_to(ROOT)) for path in paths]  # as the patterns in pyproject.toml have them
    misspelled = subprocess.run([sys.executable, "-m", "codespell_lib", *names], cwd=ROOT, check=False).returncode
    listed = [(path, phrase) for path in paths for phrase in phrases_in(path.read_bytes().decode("utf-8", "replace"))]
    for path, phrase in listed:
        print(f"{path.relative_to(ROOT)}: write {phrase!r} in plain English")
    return 1 if misspelled or listed else 0


if __name__ == "__main__":
    sys.exit(main())
