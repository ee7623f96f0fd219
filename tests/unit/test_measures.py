"""How small and how plain the package is: upper bounds on files, lines, layers and filler words."""

import ast
import io
import re
import subprocess
import sys
import threading
import tokenize
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import pytest

import kayrros_ext
from kayrros_ext import Kayrros
from kayrros_ext.testing import Platform

PACKAGE = Path(kayrros_ext.__file__).parent
ROOT = PACKAGE.parent
ADDONS = ("cli", "dask", "dlt", "doctor", "mirror", "plots", "spark", "testing")
# These name the grammatical role of a value, not what it is.
FILLER_NAMES = {"found", "known", "given", "wanted", "said", "words", "about"}


def lines(folder: Path, *, without: tuple[str, ...] = ()) -> int:
    """Return the number of lines of the Python files in a folder, without some of its sub-folders and files."""
    files = [
        path for path in folder.rglob("*.py") if path.relative_to(folder).parts[0].removesuffix(".py") not in without
    ]
    return sum(len(path.read_text("utf-8").splitlines()) for path in files)


def filler_names(code: str) -> int:
    """Return how many identifiers in some code are filler words."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return sum(token.type == tokenize.NAME and token.string in FILLER_NAMES for token in tokens)


def files_crossed(call: Callable[[], object]) -> set[str]:
    """Return the files of kayrros_ext, without the fake, whose functions a call enters, in any thread."""
    files = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            files.add(frame.f_code.co_filename)

    before = sys.getprofile()
    threading.setprofile(profile)
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    ours = {Path(file).relative_to(PACKAGE).as_posix() for file in files if file.startswith(f"{PACKAGE}/")}
    return {file for file in ours if not file.startswith("testing/")}


@pytest.mark.skipif(sys.version_info < (3, 11, 4), reason="a profile function may crash this Python in a generator")
@pytest.mark.parametrize(
    ("call", "limit"),
    [
        pytest.param(lambda kayrros, dataset: kayrros.metadata(dataset), 3, id="metadata"),
        pytest.param(lambda kayrros, dataset: kayrros.results(dataset), 5, id="results"),
    ],
)
def test_a_call_crosses_few_files(call: Callable[[Kayrros, str], object], limit: int) -> None:
    """A reader who follows a warm call from the method to the wire opens few of our files."""
    platform = Platform()
    dataset = platform.generate(seed=1, assets=2, dates=3)
    with platform.connect() as kayrros:
        call(kayrros, dataset.id)
        files = files_crossed(lambda: call(kayrros, dataset.id))
    assert "client.py" in files
    assert len(files) <= limit, sorted(files)


LOAD = """
import sys
from kayrros_ext.testing import Platform
platform = Platform()
dataset = platform.generate(seed=1, assets=2, dates=3)
with platform.connect() as kayrros:
    kayrros.metadata(dataset.id), kayrros.results(dataset.id)
print(*(module.__file__ for name, module in sys.modules.items() if name.startswith("kayrros_ext")), sep="\\n")
"""


def test_the_core_is_small() -> None:
    """Metadata and results load at most 5,300 lines of the package. Without its add-ons it has at most 7,430."""
    run = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    modules = [Path(name) for name in run.stdout.splitlines()]
    core = [path for path in modules if path.relative_to(PACKAGE).parts[0] not in ADDONS]
    assert PACKAGE / "client.py" in core
    assert sum(len(path.read_text("utf-8").splitlines()) for path in core) <= 5_300
    assert lines(PACKAGE, without=ADDONS) <= 7_430


@pytest.mark.parametrize(
    ("addon", "limit"),
    # 400 lines of `testing` are recorded sessions: reading, redaction and the proxy, which `doctor` and the mock share.
    [("testing", 2_500), ("plots", 1_003), ("mirror", 1_100), ("doctor", 900), ("dask", 300), ("spark", 300)],
)
def test_add_ons_are_small(addon: str, limit: int) -> None:
    """Each has a number of lines that it may have."""
    paths = [*PACKAGE.glob(f"{addon}/**/*.py"), *PACKAGE.glob(f"{addon}.py")]
    assert 0 < sum(len(path.read_text("utf-8").splitlines()) for path in paths) <= limit


def test_the_core_has_few_layers() -> None:
    """The contract of import-linter, which `make check` enforces, has at most eight layers below the add-ons."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    [contract] = [contract for contract in config["contracts"] if contract["type"] == "layers"]
    layers = [re.split(r" [|:] ", layer) for layer in contract["layers"]]
    core = [layer for layer in layers if not set(layer) & set(ADDONS)]
    assert {name for layer in layers for name in layer} >= {*ADDONS, "client", "_http"}
    assert contract["exhaustive"]
    assert len(core) <= 8


def test_names_say_what_a_value_is() -> None:
    """The package has at most 60 identifiers that are filler words."""
    assert filler_names("found = known.given(wanted)  # said") == 4
    counts = {path: filler_names(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    most = sorted(((count, path.name) for path, count in counts.items()), reverse=True)
    assert sum(counts.values()) <= 60, most[:10]


def test_no_text_names_a_file_of_the_checkout() -> None:
    """Docstrings, errors and help texts name no page and no make target, because a user of the wheel has neither."""
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    pattern = re.compile(rf"\bdocs/|\w\.md\b|`make\b|\bmake ({'|'.join(targets)})\b")
    assert all(map(pattern.search, ("See docs/cli.md.", "Run `make setup`.", "Run make lint-spec.", "README.md")))
    texts = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}": node.value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not {place: text for place, text in texts.items() if pattern.search(text)}
