"""The public surface is a list, imports are cheap, and all errors form one tree.

The direction of imports is a contract of import-linter in pyproject.toml; `make check` runs it.
"""

import importlib
import pickle
import subprocess
import sys

import pytest

import kayrros_ext
from kayrros_ext import APIError, KayrrosError, errors


def loaded_by(code: str) -> set[str]:
    """Return the modules that a new process has loaded after running some code."""
    command = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_every_public_name_loads_nothing_heavy() -> None:
    """`from kayrros_ext import *` loads neither pyarrow, nor an add-on, nor any other package that only some calls need."""
    heavy = {"pyarrow", "pathvalidate", "pandas", "numpy", "anyio", "keyring"}
    addons = {
        "kayrros_ext.testing",
        "kayrros_ext.plots",
        "kayrros_ext.cli",
        "kayrros_ext.dlt",
        "kayrros_ext.mirror._store",
    }
    assert not (heavy | addons) & loaded_by("from kayrros_ext import *; Kayrros")


def test_the_pytest_plugin_loads_nothing_but_itself() -> None:
    """Each run of pytest on the machine imports the plugin, so it loads no HTTP, no attrs and no other module of ours."""
    new = loaded_by("import kayrros_ext.testing.plugin") - loaded_by("import pytest")
    assert new == {"kayrros_ext", "kayrros_ext.testing", "kayrros_ext.testing.plugin"}


def test_the_fake_works_without_heavy_imports() -> None:
    """A call of metadata against the fake in process loads no pyarrow, no anyio, no pytest and no subprocess."""
    loaded = loaded_by(
        "from kayrros_ext.testing import Platform\n"
        "platform = Platform()\n"
        "platform.connect().metadata(platform.generate().id)"
    )
    assert not {"pyarrow", "anyio", "pytest", "subprocess"} & loaded


def test_the_public_surface_is_a_list() -> None:
    """A public name that is added or removed changes this list."""
    assert set(kayrros_ext.__all__) == {
        *("Kayrros", "Results", "Gap", "Progress", "Retries", "Identity", "Download", "Metadata"),
        *("ExportedDataset", "Mirror", "SyncReport"),
        *("KayrrosError", "ConfigurationError", "UsageError", "LoginError", "APIError", "UnauthorizedError"),
        *("AccessDeniedError", "NotFoundError", "ContractError", "TransportError", "GapError", "DownloadError"),
        *("ExportError", "MirrorError", "MissingExtraError", "MockError"),
    }
    testing = importlib.import_module("kayrros_ext.testing")
    assert set(testing.__all__) == {
        *("PrismMock", "prism_mock", "Platform", "Account", "Collection", "Dataset", "StaticFile"),
        *("Request", "Response", "Fault", "Rule", "Transport"),
    }
    for package in (kayrros_ext, testing):
        assert set(package.__all__) <= set(dir(package))
        assert all(getattr(package, name).__name__ == name for name in package.__all__)
        with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
            _ = package.Nothing


def test_every_error_belongs_to_one_tree() -> None:
    """Each error is a KayrrosError, public, and part of the tree in the docstring of its module."""
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(error, KayrrosError) for error in classes)
    assert {error.__name__ for error in classes} <= set(kayrros_ext.__all__)
    assert all(error.__name__ in (errors.__doc__ or "") for error in classes)


def test_an_error_can_be_pickled() -> None:
    """An error keeps its text and all attributes on the way to another process."""
    error = APIError("Not found.", hint="Check the id.", status=404, operation="login", code="C", message="m")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(copy), vars(copy)) == (str(error), vars(error))
