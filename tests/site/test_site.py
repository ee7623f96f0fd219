"""The site in a real browser."""

import datetime as dt
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest

import kayrros_ext.testing
import kayrros_openapi.models
from kayrros_ext import dlt, doctor
from scripts.docs import PAGES, SITE
from scripts.docs_rest import operations
from tests.site.conftest import open_tab
from tests.support.checkout import IN_BACKGROUND, ROOT

pytestmark = pytest.mark.site

NAMES = sorted(str(path.parent.relative_to(SITE)).strip(".") for path in SITE.rglob("index.html"))
MODES = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
# Words that readers search for, and pages that answer.
SEARCHES = {
    "excel": {"results", "cookbook"},
    "xlsx": {"results", "installation", "commands"},
    "troubleshooting": {"troubleshooting"},
    "official": {"license", "versioning", ""},
    "latest": {"python/results"},
    "license": {"license"},
    "504": {"large", "troubleshooting"},
    "proxy": {"troubleshooting"},
    "polars": {"results", "python/results"},
    "spark": {"python/mirror", "mirror", "cluster"},
}


def test_site_has_every_page() -> None:
    """The site holds the pages of docs/ and the generated ones."""
    written = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    generated = {"rest", "changelog", "contributing", *(f"python/{name}" for name in ("kayrros", "errors", "client"))}
    assert written | generated <= set(NAMES)


@pytest.mark.parametrize(("width", "scheme"), MODES)
def test_pages_open_without_a_problem(browser: Any, site: str, width: int, scheme: str) -> None:
    """Each page opens without a message of the browser or a request to another host, and never scrolls sideways."""
    with open_tab(browser, site, viewport={"width": width, "height": 844}, color_scheme=scheme) as (tab, problems):
        for name in NAMES:
            open_page(tab, name)
            assert tab.locator("h1").first.inner_text(), name
            assert tab.evaluate("document.documentElement.scrollWidth") == width, name
            if width == 1280 and name.startswith(("python/", "commands")):
                assert tab.evaluate(CUT_OFF) == [], name
            assert problems == [], name


# The tables that scroll in themselves.
CUT_OFF = """[...document.querySelectorAll(".md-typeset__scrollwrap")]
    .filter((it) => it.scrollWidth > it.clientWidth).map((it) => it.innerText)"""


def open_page(tab: Any, name: str) -> None:
    """Open a page; Swagger UI draws that of the REST API after it has loaded."""
    tab.goto(f"{name}/" if name else "", wait_until="load")
    if name == "rest":
        tab.locator(".opblock").first.wait_for()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_pages_are_accessible(browser: Any, site: str, width: int, scheme: str) -> None:
    """Axe finds nothing serious or critical on the home page, a guide, and pages of each kind of reference."""
    findings = []
    with open_tab(browser, site, viewport={"width": width, "height": 844}, color_scheme=scheme) as (tab, _):
        for name in ("", "testing", "python/results", "commands", "rest"):
            open_page(tab, name)
            tab.evaluate(AXE.read_text("utf-8"))
            findings += [
                (name, violation["id"], [node["html"] for node in violation["nodes"]][:3])
                for violation in tab.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
                if violation["impact"] in {"serious", "critical"}
            ]
    assert findings == []


def test_signatures_show_values() -> None:
    """No default of the Python reference is the name of a constant, and types lead to their pages."""
    texts = {path.parent.name: path.read_text("utf-8") for path in SITE.glob("python/*/index.html")}
    assert not [name for name, text in texts.items() if re.search(r"\bDEFAULT_\w+|\b_unknown|>_[A-Z]{2}", text)]
    assert 'href="../results/#kayrros_ext.Retries"' in texts["kayrros"]
    assert 'href="../models/#kayrros_openapi.models.DatasetMetadata"' in texts["results"]
    assert all(f">{name}<" in texts["results"] for name in ("asset_count", "source_name"))  # of Metadata, inherited


def test_reference_shows_every_public_name() -> None:
    """Each name in an `__all__` has an entry, and so has each generated model."""
    anchors = {
        anchor for path in SITE.glob("python/*/index.html") for anchor in re.findall(r'id="([\w.]+)"', path.read_text())
    }
    modules = (kayrros_ext, kayrros_ext.testing, dlt, doctor, kayrros_openapi.models)
    assert {f"{module.__name__}.{name}" for module in modules for name in module.__all__} <= anchors


def test_commands_have_an_example_with_its_output() -> None:
    """Each command shows what it prints, without a path, port or date of the machine that built the page."""
    text = (PAGES / "commands.md").read_text("utf-8")
    for section in text.split("\n## kayrros ")[1:]:
        name, output = (
            section.split()[0],
            re.search(r"^```console\n\$ (kayrros .*)\n((.+\n)+)```$", section, re.MULTILINE),
        )
        assert output, name
        assert output[1].split()[1] == name
    today = dt.datetime.now(dt.UTC).date().isoformat()
    assert not re.search(rf"{tempfile.gettempdir()}|{Path.home()}|{ROOT}|127\.0\.0\.1:(?!4010)|{today}", text)


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


def test_search_leads_to_pages_that_answer(page: Any) -> None:
    """The first pages that the search box lists for a word include one about it."""
    listed: dict[str, list[str]] = {}
    for word in SEARCHES:
        page.goto(f"?q={word}", wait_until="load")  # the theme puts it into the box
        links = page.locator(".md-search-result__link")
        page.locator(".md-search-result__meta", has_text="matching").wait_for()
        urls = [urlsplit(link.get_attribute("href")).path.strip("/") for link in links.all()]
        listed[word] = list(dict.fromkeys(urls))[:4]
    assert {word: names for word, names in listed.items() if not SEARCHES[word] & {*names}} == {}


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
