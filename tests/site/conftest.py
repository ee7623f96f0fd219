"""A browser, and the site with its mock. `make test-docs` installs and builds what they need."""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.docs import SITE, serve

# Names that Debian, Ubuntu, Fedora and Chrome's own packages give it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """URL of the built site, its "try it" bound to a mock of its own."""
    if not (SITE / "index.html").is_file():
        pytest.fail("There is no site. Run `make docs`; `make test-docs` does.", pytrace=False)
    with serve() as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless chromium, the machine's own; CHROMIUM names another, and `none` skips what needs one."""
    from playwright.sync_api import sync_playwright

    if os.environ.get("CHROMIUM") == "none":
        pytest.skip("CHROMIUM=none: without a browser")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.fail(
            "There is no chromium. Install it (`apt-get install chromium`), name one with CHROMIUM=, or skip what needs one "
            "with CHROMIUM=none.",
            pytrace=False,
        )
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # it refuses to sandbox for root
        running = playwright.chromium.launch(executable_path=path, args=sandbox)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    """A page that goes nowhere but the site and the mock; what it complains of fails the test."""
    with browser.new_context(base_url=site) as context:
        opened = context.new_page()
        complaints: list[str] = []
        opened.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: complaints.append(request.url) if is_elsewhere(request.url) else None)
        yield opened
        assert [] == complaints


def is_elsewhere(url: str) -> bool:
    """Whether a request leaves this machine."""
    return not url.startswith(("http://127.0.0.1:", "data:", "blob:"))
