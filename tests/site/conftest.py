"""A browser, and the site with its mock. `make test-docs` builds the site and installs its tools."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.docs import SITE, serve

# The names of the browser on Debian, Ubuntu and Fedora, and in Chrome's own packages.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Serve the built site with a mock behind its "try it"; yield the URL."""
    if not (SITE / "index.html").is_file():
        pytest.fail("The site is not built. Run `make test-docs`.", pytrace=False)
    with serve() as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start the machine's chromium, or the one named by CHROMIUM; `none` skips the tests that need a browser."""
    from playwright.sync_api import sync_playwright

    if os.environ.get("CHROMIUM") == "none":
        pytest.skip("CHROMIUM=none")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "No chromium is installed. Install it (`apt-get install chromium`), set CHROMIUM to its path, or set "
            "CHROMIUM=none to skip the tests that need a browser.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium does not start its sandbox for root
        running = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield running
        running.close()


@contextlib.contextmanager
def open_tab(browser: Any, site: str, **options: Any) -> Iterator[tuple[Any, list[str]]]:
    """Open a tab; yield it and the list of its warnings, errors and requests to other hosts."""
    with browser.new_context(base_url=site, **options) as context:
        tab = context.new_page()
        problems: list[str] = []
        tab.on("console", lambda it: problems.append(it.text) if it.type in {"error", "warning"} else None)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: problems.append(request.url) if is_external(request.url) else None)
        yield tab, problems


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    """Open a page; a warning, an error or a request to another host fails the test."""
    with open_tab(browser, site) as (tab, problems):
        yield tab
        assert problems == []


def is_external(url: str) -> bool:
    """Return whether a request leaves this machine."""
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
