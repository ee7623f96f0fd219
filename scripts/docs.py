"""Build the site from docs/, the docstrings, the help of the command line and openapi.yaml: `make docs`.

The site contains everything that its pages load, so it works without a network.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

import kayrros_ext
import kayrros_ext.testing
import kayrros_openapi.models
from kayrros_ext import KayrrosError, MockError, dlt, doctor
from kayrros_ext._text import DOCS_URL
from kayrros_ext.testing import prism_mock
from scripts.cli_examples import run_examples
from scripts.cli_reference import reference
from scripts.docs_notebooks import run_all, site_pages
from scripts.docs_python import PREAMBLE
from scripts.docs_rest import operations_page, try_it_spec

ROOT = Path(__file__).parent.parent
SITE = ROOT / "site"
PAGES = ROOT / ".venv" / "site-pages"
SWAGGER = ROOT / "node_modules" / "swagger-ui-dist"
MOCK_URL = "http://127.0.0.1:4010"  # where `make mock` listens

FROM_THE_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
# In reading order. Other pages of docs/ follow the guides, under their own titles.
START = {
    "Overview": "index.md",
    "Installation": "installation.md",
    "First steps": "first-steps.md",
    "Concepts": "concepts.md",
    "Which call for what": "which-call.md",
}
GUIDES = {
    "Credentials": "credentials.md",
    "Settings": "settings.md",
    "Results": "results.md",
    "Large datasets": "large.md",
    "A mirror": "mirror.md",
    "Downloads": "download.md",
    "Charts and maps": "plots.md",
    "Command line": "cli.md",
    "Testing": "testing.md",
    "Is the spec right?": "spec.md",
    "On a cluster": "cluster.md",
    "Troubleshooting": "troubleshooting.md",
}
COOKBOOK = {"Twelve recipes": "cookbook.md"}
# The notebooks follow, in the order of the gallery.
EXAMPLES = {"Gallery": "examples.md"}
REFERENCE = {
    "Kayrros": "python/kayrros.md",
    "Results and other values": "python/results.md",
    "Mirror": "python/mirror.md",
    "Errors": "python/errors.md",
    "Dask": "python/dask.md",
    "Spark": "python/spark.md",
    "Fake and mock": "python/testing.md",
    "dlt and doctor": "python/add-ons.md",
    "Generated client": "python/client.md",
    "Generated models": "python/models.md",
    "Commands": "commands.md",
    "REST API": "rest.md",
    "Reliability": "reliability.md",
    "Security": "security.md",
    "Benchmarks": "benchmarks.md",
    "Comparison": "comparison.md",
    "Versioning and support": "versioning.md",
    "Changelog": "changelog.md",
    "License": "license.md",
    "Contributing": "contributing.md",
}
ADD_ONS = (dlt, doctor)
LICENSE_PAGE = """\
# License

kayrros-ext is free software under the MIT license. It is not an official product of Kayrros:
[what "unofficial" means](versioning.md#what-unofficial-means). The data that it fetches are under your contract with
Kayrros, and `results.attribution` is the notice to show with them.

"""
ABOUT_EXAMPLES = "The examples run in the tests. They begin with [these lines](kayrros.md#the-examples).\n\n"


def main() -> int:
    """Build the site; with --serve, serve it and a mock until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make docs", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="serve the built site and a mock")
    parser.add_argument("--port", type=int, default=4010)
    arguments = parser.parse_args()
    if not arguments.serve:
        collect_pages()
        build()
        return 0
    # SIGINT too, because a shell ignores it in background processes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    with serve(arguments.port) as url:
        print(f"The site is at {url}. Press Ctrl-C to stop it and its mock.", flush=True)
        signal.pause()
    return 0


def collect_pages() -> None:
    """Write all pages into one folder for mkdocs."""
    shutil.rmtree(PAGES, ignore_errors=True)
    shutil.copytree(ROOT / "docs", PAGES, ignore=shutil.ignore_patterns("templates"))
    for path in (*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in FROM_THE_ROOT)):
        text = path.read_text("utf-8").replace("](docs/", "](").replace("](../", "](")
        for name in FROM_THE_ROOT:
            text = text.replace(f"]({name}", f"]({name.lower()}")
        write(path.name.lower(), text)
    for name, text in python_pages().items():
        write(name, text)
    asyncio.run(run_all())
    for name, content in site_pages((ROOT / "docs" / "examples.md").read_text("utf-8")).items():
        write(name, content)
    write("commands.md", reference(run_examples()))
    write("license.md", LICENSE_PAGE + (ROOT / "LICENSE").read_text("utf-8"))
    spec = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
    write("rest.md", operations_page(spec))
    write("assets/try-it.json", json.dumps(try_it_spec(spec)))
    write("assets/mock.json", json.dumps({"url": MOCK_URL}))
    shutil.copy(ROOT / "openapi.yaml", PAGES)
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        shutil.copy(SWAGGER / name, PAGES / "assets")


def python_pages() -> dict[str, str]:
    """Return a page for each part of the Python API; every public name is on one of them."""
    errors = [name for name in kayrros_ext.__all__ if is_error(getattr(kayrros_ext, name))]
    others = [name for name in kayrros_ext.__all__ if name not in {*errors, "Kayrros", "Mirror", "SyncReport"}]
    others.sort(key=lambda name: name != "Results")
    # Methods return these; nobody makes one, so they are not among the public names.
    returned = ["_results.selection.Asset", "_catalog.Dataset", "_catalog.Match"]
    fixtures = ["plugin.kayrros_platform", "plugin.kayrros"]
    generated = ROOT / "generated" / "kayrros_openapi"
    operations = sorted(path for path in (generated / "api").glob("*/*.py") if path.stem != "__init__")
    pages = {
        "kayrros": ("Kayrros", "kayrros_ext", ["Kayrros"]),
        "results": ("Results and other values", "kayrros_ext", [*others, *returned]),
        "mirror": ("Mirror", "kayrros_ext", ["Mirror", "SyncReport"]),
        "errors": ("Errors", "kayrros_ext", sorted(errors, key=depth)),
        "testing": ("The fake and the mock", "kayrros_ext.testing", [*kayrros_ext.testing.__all__, *fixtures]),
        "add-ons": (
            "dlt and doctor",
            "kayrros_ext",
            [f"{part.__name__[12:]}.{name}" for part in ADD_ONS for name in part.__all__],
        ),
        # By name, because Dask and Spark are not installed here.
        "dask": ("Dask", "kayrros_ext", ["dask.read_results", "dask.sync_all"]),
        "spark": ("Spark", "kayrros_ext", ["spark.KayrrosDataSource"]),
        "client": (
            "The generated client",
            "kayrros_openapi",
            [f"api.{path.parent.name}.{path.stem}" for path in operations],
        ),
        "models": (
            "The generated models",
            "kayrros_openapi",
            [*(f"models.{name}" for name in kayrros_openapi.models.__all__), "types.Response", "types.Unset"],
        ),
    }
    texts = {f"python/{name}.md": page(*parts) for name, parts in pages.items()}
    texts["python/kayrros.md"] += (
        f"## The examples\n\nThe examples begin with these lines:\n\n```python\n{PREAMBLE}```\n"
    )
    return texts


def is_error(value: object) -> bool:
    """Return whether a value is one of our error classes."""
    return isinstance(value, type) and issubclass(value, KayrrosError)


def depth(name: str) -> int:
    """Return the depth of an error in the tree; base classes come first on the page."""
    return len(getattr(kayrros_ext, name).__mro__)


def page(title: str, package: str, names: list[str]) -> str:
    """Return a page of docstrings. Private modules are left out of headings: the names are not imported from there."""
    text = f"# {title}\n\n"
    if package != "kayrros_openapi":
        text += ABOUT_EXAMPLES
    for name in names:
        text += f"::: {package}.{name}\n"
        if name.startswith("_"):
            short = name.rpartition(".")[2]
            text += f"    options:\n      heading: {short}\n      toc_label: {short}\n"
        text += "\n"
    return text


def write(name: str, content: str | bytes) -> None:
    """Write one page or asset."""
    (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
    (PAGES / name).write_bytes(content.encode() if isinstance(content, str) else content)


def navigation() -> list[dict[str, list[Any]]]:
    """Return the existing pages in reading order."""
    existing = {str(path.relative_to(PAGES)) for path in PAGES.rglob("*.md")}
    gallery = (PAGES / "examples.md").read_text("utf-8")
    examples = EXAMPLES | dict(re.findall(r"^## \[(.+)\]\((examples/.+\.md)\)$", gallery, re.MULTILINE))
    parts = {"Start": START, "Guides": GUIDES, "Examples": examples, "Cookbook": COOKBOOK, "Reference": REFERENCE}
    sections: dict[str, list[Any]] = {
        part: [{title: name} for title, name in pages.items() if name in existing] for part, pages in parts.items()
    }
    sections["Guides"] += sorted(existing - {name for pages in parts.values() for name in pages.values()})
    return [{part: pages} for part, pages in sections.items()]


def build() -> None:
    """Build the site from the pages; a broken link stops it."""
    from mkdocs.commands.build import build as build_site
    from mkdocs.config import load_config

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")  # mkdocs reports through logging
    config: Any = load_config(str(ROOT / "mkdocs.yml"), nav=navigation(), site_url=DOCS_URL)
    config.plugins.on_startup(command="build", dirty=False)
    build_site(config)
    config.plugins.on_shutdown()
    print(f"site/ is built: {sum(1 for _ in SITE.rglob('*.html'))} pages. `make docs-serve` shows it.")


class _Pages(SimpleHTTPRequestHandler):
    """The files of the site, with the address of the running mock in place of the default one."""

    def __init__(self, *args: Any, mock_url: str, **kwargs: Any) -> None:
        self.mock_url = mock_url
        super().__init__(*args, **kwargs)

    def do_GET(self) -> None:
        if self.path != "/assets/mock.json":
            super().do_GET()
            return
        body = json.dumps({"url": self.mock_url}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serve(port: int = 0) -> Iterator[str]:
    """Serve the site on loopback, with a mock behind its "try it"; yield the URL.

    Raises:
        MockError: the mock cannot start, or the port is taken.
    """
    with prism_mock() as mock:
        handler = partial(_Pages, directory=str(SITE), mock_url=mock.url)
        try:
            server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except OSError as error:
            raise MockError(
                f"Cannot serve the site on port {port} ({error}).", hint="Choose another with PORT=."
            ) from error
        thread = Thread(target=server.serve_forever, name="site", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            server.server_close()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MockError as error:
        sys.exit(str(error))
