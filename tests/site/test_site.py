"""The site in a real browser."""

import re
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest

from scripts.docs import SITE
from scripts.docs_rest import operations
from tests.support.checkout import ROOT

pytestmark = pytest.mark.site

NAMES = sorted(str(path.parent.relative_to(SITE)).strip(".") for path in SITE.rglob("index.html"))
PHONE = {"width": 390, "height": 844}


def test_every_page_is_there() -> None:
    """Those of docs/, and those that are made."""
    written = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    made = {"rest", "changelog", "contributing", *(f"python/{name}" for name in ("kayrros", "errors", "client"))}
    assert written | made <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_opens(name: str, page: Any) -> None:
    """Without a complaint of the browser or a request to elsewhere, and at the width of a phone nothing sticks out."""
    page.set_viewport_size(PHONE)
    page.goto(name, wait_until="networkidle")
    assert page.locator("h1").first.inner_text()
    assert PHONE["width"] == page.evaluate("document.documentElement.scrollWidth")


def test_links_are_alive(site: str) -> None:
    """Each leads to a page of the site, and to a place on it; those to elsewhere are https."""
    texts = {name: httpx.get(urljoin(site, name + "/" if name else "")).text for name in NAMES}
    elsewhere = set()
    for name, text in texts.items():
        here = urljoin(site, name + "/" if name else "")
        for link in {urljoin(here, found) for found in re.findall(r'(?:href|src)="([^"]+)"', text)}:
            target, anchor = urldefrag(link)
            if not target.startswith(site):
                elsewhere.add(urlsplit(link).scheme)
                continue
            there = texts.get(target.removeprefix(site).rstrip("/"))
            if there is None:
                assert 200 == httpx.head(target).status_code, f"{here} links to {target}"
            else:
                assert not anchor or f'id="{anchor}"' in there, f"{here} links to {link}"
    assert elsewhere <= {"https"}


def test_search_finds_the_504(page: Any) -> None:
    """And leads to the page that says what to do about it."""
    page.goto("", wait_until="networkidle")
    page.keyboard.press("/")
    page.keyboard.type("504", delay=20)
    found = page.locator(".md-search-result__link")
    found.first.wait_for()
    assert any("/large/" in link.get_attribute("href") for link in found.all())
    page.locator('.md-search-result__link[href*="/large/"]').first.click()
    page.wait_for_url("**/large/**")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_try_it_gets_an_answer_of_the_mock(page: Any, width: int, scheme: str) -> None:
    """With a token that is already there; the page still fits."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("rest/", wait_until="networkidle")
    operation = page.locator("#operations-datasets-getDatasetMetadata")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response")
    answer.wait_for()
    assert "200" == answer.locator(".response-col_status").inner_text().strip()
    assert "Crude oil storage, selected terminals" in answer.inner_text()
    assert width == page.evaluate("document.documentElement.scrollWidth")


def test_the_address_of_the_mock_may_be_changed(page: Any) -> None:
    """What is typed is where "try it" goes."""
    other = "http://127.0.0.1:9"  # nobody listens there: the test answers
    page.route(f"{other}/**", lambda route: route.fulfill(json=[], headers={"access-control-allow-origin": "*"}))
    page.goto("rest/", wait_until="networkidle")
    page.locator(".servers input").fill(other)
    operation = page.locator("#operations-collections-listCollections")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    with page.expect_request(f"{other}/v1/processing/collection/list"):
        operation.get_by_role("button", name="Execute").click()


def test_the_reference_draws_every_operation(page: Any) -> None:
    """Of openapi.yaml."""
    import yaml

    spec = yaml.safe_load((ROOT / "openapi.yaml").read_text("utf-8"))
    page.goto("rest/", wait_until="networkidle")
    names = {operation["operationId"] for _, _, operation in operations(spec)}
    page.locator(".opblock").nth(len(names) - 1).wait_for()  # they are drawn when all has come, some time after that
    drawn = {block.get_attribute("id").rpartition("-")[2] for block in page.locator(".opblock").all()}
    assert names == drawn


def test_it_turns_dark(page: Any) -> None:
    """By the reader's system, and the REST reference with it."""
    page.emulate_media(color_scheme="dark")
    page.goto("rest/", wait_until="networkidle")
    assert "slate" == page.locator("body").get_attribute("data-md-color-scheme")
    page.locator("html.dark-mode").wait_for(state="attached")
