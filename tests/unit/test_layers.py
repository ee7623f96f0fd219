"""The house: imports go one way, the public surface is a list, an add-on costs nothing until it is imported."""

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import kayrros_ext
from kayrros_ext import APIError, KayrrosError, errors

PACKAGE = Path(kayrros_ext.__file__).parent

# Each module may import those before it, and kayrros_openapi. A new module finds its place here.
ORDER = [
    "errors",
    "secrets",
    "retries",
    "profiles",
    "folders",
    "keyrings",
    "credentials",
    "settings",
    "tls",
    "transports",
    "tokens",
    "token_cache",
    "steps",
    "answers",
    "bodies",
    "auth",
    "inputs",
    "surplus",
    "failures",
    "exchange",
    "connections",
    "redirects",
    "calls",
    "schemas",
    "plain",
    "columns",
    "tables",
    "geometry",
    "conversions",
    "notebook",
    "results",
    "windows",
    "progress",
    "merging",
    "fetching",
    "files",
    "export_parquet",
    "export_text",
    "export",
    "names",
    "digests",
    "parts",
    "ranges",
    "streams",
    "downloads",
    "client",
    "__init__",
    "plots.words",
    "plots.themes",
    "plots.series",
    "plots.figures",
    "plots.lines",
    "plots.land",
    "plots.sheets",
    "plots.maps",
    "plots.pages",
    "plots.terminal",
    "plots.__init__",
    "testing.node",
    "testing.prism",
    "testing.messages",
    "testing.faults",
    "testing.accounts",
    "testing.checks",
    "testing.datasets",
    "testing.profiles",
    "testing.generation",
    "testing.examples",
    "testing.operations",
    "testing.transport",
    "testing.server",
    "testing.holdings",
    "testing.platform",
    "testing.plugin",
    "testing.__init__",
    "testing.__main__",
    "cli.output",
    "cli.exits",
    "cli.accounts",
    "cli.common",
    "cli.seen",
    "cli.waiting",
    "cli.profile_file",
    "cli.session",
    "cli.catalogue",
    "cli.selection",
    "cli.rows",
    "cli.results",
    "cli.plot",
    "cli.download",
    "cli.mock",
    "cli.app",
    "cli.__init__",
    "cli.__main__",
    "cli.reference",
]

# A method that opens an add-on: what it imports lies behind its module, and is imported when it is called.
DOORS = {"results": {"plots"}}


def imported(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert not (node.level and PACKAGE in path.parents), f"{path}: our imports are absolute"
            names = [node.module or ""]
        found |= {
            name.removeprefix("kayrros_ext").lstrip(".") or "__init__"
            for name in names
            if name.startswith("kayrros_ext")
        }
    return found


def test_imports_go_one_way() -> None:
    """A module imports only what lies before it."""
    modules = {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}
    assert set(ORDER) == set(modules)
    for place, name in enumerate(ORDER):
        packages = {module.removesuffix(".__init__") for module in ORDER[:place]}
        allowed = {*ORDER[:place], *packages, *DOORS.get(name, set())}
        assert imported(modules[name]) <= allowed, f"{name} imports what lies behind it"


def test_generated_code_knows_nothing_of_ours() -> None:
    """The generated client stands on its own."""
    generated = PACKAGE.parent / "generated" / "kayrros_openapi"
    assert not [path for path in generated.rglob("*.py") if imported(path)]


@pytest.mark.parametrize(
    "heavy",
    ["pyarrow", "kayrros_ext.testing", "kayrros_ext.plots", "pathvalidate", "pandas", "numpy", "anyio", "keyring"],
)
def test_what_is_heavy_is_imported_where_it_is_used(heavy: str) -> None:
    """All the names of `kayrros_ext` load neither pyarrow nor an add-on."""
    code = f"import sys; from kayrros_ext import *; Kayrros; sys.exit({heavy!r} in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_the_pytest_plugin_costs_next_to_nothing() -> None:
    """Every run of pytest on the machine imports it: no HTTP, no attrs, nothing of ours but the two packages."""
    code = (
        "import sys, pytest; before = set(sys.modules); import kayrros_ext.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ["kayrros_ext", "kayrros_ext.testing", "kayrros_ext.testing.plugin"] == run.stdout.split()


@pytest.mark.parametrize("heavy", ["pyarrow", "anyio", "pytest", "subprocess"])
def test_the_fake_is_light(heavy: str) -> None:
    """To import, and to use in process; subprocess is what the mock needs."""
    use = "platform = Platform(); platform.connect().metadata(platform.generate().id)"
    code = f"import sys; from kayrros_ext.testing import Platform; {use}; sys.exit({heavy!r} in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


def test_the_public_surface_is_a_list() -> None:
    """A name that comes or goes is seen here."""
    assert {
        *("Kayrros", "Results", "Gap", "Progress", "Retries", "Identity", "Download"),
        *("KayrrosError", "ConfigurationError", "UsageError", "LoginError", "APIError", "UnauthorizedError"),
        *("AccessDeniedError", "NotFoundError", "ContractError", "TransportError", "GapError", "DownloadError"),
        *("ExportError", "MissingExtraError", "MockError"),
    } == set(kayrros_ext.__all__)
    testing = importlib.import_module("kayrros_ext.testing")
    assert {
        *("PrismMock", "prism_mock", "Platform", "Account", "Collection", "Dataset", "StaticFile"),
        *("Request", "Answer", "Fault", "Rule", "Transport"),
    } == set(testing.__all__)
    for package in (kayrros_ext, testing):
        assert set(package.__all__) <= set(dir(package))
        assert all(getattr(package, name).__name__ == name for name in package.__all__)
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            _ = package.Nothing


def test_every_error_is_in_one_tree_and_drawn() -> None:
    """All errors are KayrrosErrors, importable from the package, and stand in the drawing on top of their module."""
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(error, KayrrosError) for error in found)
    assert {error.__name__ for error in found} <= set(kayrros_ext.__all__)
    assert all(error.__name__ in (errors.__doc__ or "") for error in found)


def test_an_error_survives_the_way_to_another_process() -> None:
    """Pickled and back, with all that it knows."""
    error = APIError("words", status=404, operation="login", code="C", message="m")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(error), vars(error)) == (str(back), vars(back))
