"""The site in a real browser."""

import re
import signal
import subprocess
import sys
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest

from scripts.docs import SITE
from scripts.docs_rest import operations
from tests.support.checkout import IN_BACKGROUND, ROOT

pytestmark = pytest.mark.site

NAMES = sorted(str(path.parent.relative_to(SITE)).strip(".") for path in SITE.rglob("index.html"))
PHONE = {"width": 390, "height": 844}


def test_site_has_every_page() -> None:
    """The site holds the pages of docs/ and the generated ones."""
    written = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    generated = {"rest", "changelog", "contributing", *(f"python/{name}" for name in ("kayrros", "errors", "client"))}
    assert written | generated <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_page_opens_without_a_problem(name: str, page: Any) -> None:
    """A page opens without a message of the browser or a request to another host, and fits a phone."""
    page.set_viewport_size(PHONE)
    page.goto(name, wait_until="networkidle")
    assert page.locator("h1").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_ends_on_ctrl_c_in_the_background(number: signal.Signals, site: str) -> None:
    """`make docs-serve` stops with its mock, also if it was started with SIGINT ignored."""
    command = [*IN_BACKGROUND, sys.executable, "-m", "scripts.docs", "--serve", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            assert "http://127.0.0.1:" in server.stdout.readline()
            server.send_signal(number)
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_links_point_to_existing_places(site: str) -> None:
    """Each link leads to a page of the site and to an anchor on it; external links use https."""
    texts = {name: httpx.get(urljoin(site, name + "/" if name else "")).text for name in NAMES}
    external_schemes = set()
    for name, text in texts.items():
        here = urljoin(site, name + "/" if name else "")
        for link in {urljoin(here, href) for href in re.findall(r'(?:href|src)="([^"]+)"', text)}:
            target, anchor = urldefrag(link)
            if not target.startswith(site):
                external_schemes.add(urlsplit(link).scheme)
                continue
            linked = texts.get(target.removeprefix(site).rstrip("/"))
            if linked is None:
                assert httpx.head(target).status_code == 200, f"{here} links to {target}"
            else:
                assert not anchor or f'id="{anchor}"' in linked, f"{here} links to {link}"
    assert external_schemes <= {"https"}


def test_search_leads_from_504_to_its_page(page: Any) -> None:
    """A reader who searches for 504 reaches the page on large datasets."""
    page.goto("", wait_until="networkidle")
    page.keyboard.press("/")
    page.keyboard.type("504", delay=20)
    links = page.locator(".md-search-result__link")
    links.first.wait_for()
    assert any("/large/" in link.get_attribute("href") for link in links.all())
    page.locator('.md-search-result__link[href*="/large/"]').first.click()
    page.wait_for_url("**/large/**")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_try_it_shows_a_response_of_the_mock(page: Any, width: int, scheme: str) -> None:
    """The "try it" form needs no token from the reader, and the page still fits the screen."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("rest/", wait_until="networkidle")
    operation = page.locator("#operations-datasets-getDatasetMetadata")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response")
    answer.wait_for()
    assert answer.locator(".response-col_status").inner_text().strip() == "200"
    assert "asset_count" in answer.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_reader_may_change_the_address_of_the_mock(page: Any) -> None:
    """The "try it" form calls the address that the reader enters."""
    other = "http://127.0.0.1:9"  # no server listens; the test answers
    page.route(f"{other}/**", lambda route: route.fulfill(json=[], headers={"access-control-allow-origin": "*"}))
    page.goto("rest/", wait_until="networkidle")
    page.locator(".servers input").fill(other)
    operation = page.locator("#operations-collections-listCollections")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    with page.expect_request(f"{other}/v1/processing/collection/list"):
        operation.get_by_role("button", name="Execute").click()


def test_reference_shows_every_operation(page: Any) -> None:
    """The REST reference shows each operation of openapi.yaml."""
    import yaml

    spec = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
    page.goto("rest/", wait_until="networkidle")
    names = {operation["operationId"] for _, _, operation in operations(spec)}
    page.locator(".opblock").nth(len(names) - 1).wait_for()  # they appear some time after the network is idle
    shown = {block.get_attribute("id").rpartition("-")[2] for block in page.locator(".opblock").all()}
    assert shown == names


def test_site_follows_the_color_scheme_of_the_system(page: Any) -> None:
    """The pages and the REST reference are dark in dark mode."""
    page.emulate_media(color_scheme="dark")
    page.goto("rest/", wait_until="networkidle")
    assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
    page.locator("html.dark-mode").wait_for(state="attached")
