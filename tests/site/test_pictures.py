"""A chart as an HTML page in a real browser: pointer, touch, keyboard, themes, and nothing leaves the page."""

import json
import math
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import attrs
import pyarrow as pa
import pytest

from kayrros_ext import Results

pytestmark = pytest.mark.site

EVIL = "<img src=x onerror=alert(1)>"
NAMES = ("North", EVIL, "South")
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
# Of each line in the picture, its opacity; by the order of the names.
OPACITIES = (
    "[...document.querySelectorAll('#chart .mark-line path')].map((line) => line.getAttribute('opacity') ?? '1')"
)


def waves(names: tuple[str, ...] = NAMES, *, dates: int = 40, step: int = 7) -> Results:
    """A wave for each name; the first is the largest."""
    start = date(2024, 1, 1)
    assets = [
        {
            "asset_id": f"id{number}",
            "asset_name": name,
            "results": [
                {
                    "value_date": str(start + timedelta(days=step * day)),
                    "metrics": [{"name": "volume_bbl", "value": 50 - 10 * number + 3 * math.sin(day / 5)}],
                }
                for day in range(dates)
            ],
        }
        for number, name in enumerate(names)
    ]
    return Results.from_json(json.dumps({"assets": assets}).encode())


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a chart; a message of the console, a violated policy or a request after the page itself fails the test."""
    problems: list[str] = []
    contexts = []

    def open_chart(results: Results, context: dict[str, Any] | None = None, **options: Any) -> Any:
        results.plot(tmp_path / "chart.html", **options)
        contexts.append(browser.new_context(**(context or {"viewport": {"width": 1280, "height": 844}})))
        page = contexts[-1].new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.add_init_script(
            "addEventListener('securitypolicyviolation', (event) => console.log(event.violatedDirective))"
        )
        page.goto((tmp_path / "chart.html").as_uri())
        page.on("request", lambda request: problems.append(request.url))
        page.wait_for_selector("#chart svg")
        return page

    yield open_chart
    for context in contexts:
        context.close()
    assert problems == []


def wait_for(page: Any, expression: str) -> None:
    """Wait until an expression of the page is true. Its policy forbids `wait_for_function`, which evaluates in the page."""
    for _ in range(250):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    pytest.fail(f"{expression} stayed false.")


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """A place in the plot, from 0 to 1, as pixels of the screen."""
    box = page.locator("#chart .mark-group.role-frame .background").first.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def point_at(page: Any, x: float = 0.51, y: float = 0.1) -> None:
    """Move the pointer over the plot, as a hand does: not in one step."""
    left, top = spot(page, x, y)
    page.mouse.move(left - 5, top - 5)
    page.mouse.move(left, top)


def test_pointer_shows_all_values_of_the_nearest_date(show: Any) -> None:
    """A rule marks the date; the names above the chart have the values. They go with the pointer."""
    page = show(waves())
    assert page.locator("#names button").all_inner_texts() == [*NAMES]
    point_at(page)
    assert page.inner_text("#date") == "20 May 2024"  # day 140 of 273
    values = [f"{50 - 10 * number + 3 * math.sin(20 / 5):.5f}" for number in range(3)]
    assert page.locator("#names button").all_inner_texts() == [f"{n} {v}" for n, v in zip(NAMES, values, strict=True)]
    assert page.text_content("#values").startswith("20 May 2024 · North 47.7")
    rules = page.locator("#chart .mark-rule.role-mark line").evaluate_all(
        "all => all.filter((one) => one.getAttribute('opacity') === '1').map((one) => one.getBoundingClientRect().x)"
    )
    assert rules
    assert max(rules) - min(rules) < 1
    assert rules[0] == pytest.approx(spot(page, 140 / 273, 0)[0], abs=1)
    page.mouse.move(5, 5)
    assert page.inner_text("#date") == ""
    assert page.locator("#names button").all_inner_texts() == [*NAMES]


def test_line_under_the_pointer_is_raised(show: Any) -> None:
    """The others fade."""
    page = show(waves())
    assert page.evaluate(OPACITIES) == ["1", "1", "1"]
    point_at(page, y=0.05)
    assert sorted(page.evaluate(OPACITIES)) == ["0.3", "0.3", "1"]


@pytest.mark.parametrize("where", ["#names button", "#chart .mark-text.role-mark text"])
def test_click_on_a_name_isolates_its_line(show: Any, where: str) -> None:
    """A second click shows all again. The name is a button above the chart, and the text at the end of the line."""
    page = show(waves())
    page.locator(where, has_text="South").first.click()
    page.mouse.move(5, 5)
    wait_for(page, f"{OPACITIES}.sort().join() === '0.08,0.08,1'")
    page.locator(where, has_text="South").first.click(modifiers=["Shift"] if "text" in where else [])
    page.mouse.move(5, 5)
    wait_for(page, f"{OPACITIES}.join() === '1,1,1'")


def test_wheel_zooms_in_time_and_drag_pans(show: Any) -> None:
    """The values keep their axis."""
    page = show(waves())
    domain = "[view.scale('x').domain().map(Number), view.scale('y').domain()]"
    (first, last), values = page.evaluate(domain)
    point_at(page)
    page.mouse.wheel(0, -300)
    wait_for(page, f"{domain}[0][1] - {domain}[0][0] < {last - first}")
    (start, stop), after = page.evaluate(domain)
    assert first <= start < stop <= last
    assert values == after
    page.mouse.down()
    x, y = spot(page, 0.3, 0.1)
    page.mouse.move(x, y, steps=4)
    page.mouse.up()
    (moved, _), after = page.evaluate(domain)
    assert moved > start
    assert values == after


@pytest.mark.parametrize("options", [{}, {"facet": True}, {"kind": "heatmap"}, {"kind": "latest"}, {"kind": "change"}])
def test_page_fits_a_phone(show: Any, options: dict[str, Any]) -> None:
    """It does not scroll sideways, and text is legible."""
    page = show(waves(("A name as long as those of official registers are", *NAMES)), PHONE, **options)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator("#chart svg").bounding_box()
    assert box["x"] + box["width"] <= 390
    texts = page.locator("#chart svg text").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().toJSON())"
    )
    assert all(text["x"] >= 0 and text["right"] <= 390 for text in texts)
    assert min(text["height"] for text in texts if text["height"]) >= 11


def test_touch_stays_until_the_next_tap(show: Any) -> None:
    """On a phone, the names stand above the chart and not at the lines."""
    page = show(waves(), PHONE)
    assert page.locator("#names").bounding_box()["y"] < page.locator("#chart").bounding_box()["y"]
    assert "South" not in page.locator("#chart svg").text_content()
    page.touchscreen.tap(*spot(page, 0.51, 0.3))
    wait_for(page, "document.querySelector('#date').textContent === '20 May 2024'")
    page.wait_for_timeout(400)
    assert page.inner_text("#date") == "20 May 2024"
    page.touchscreen.tap(*spot(page, 0.01, 0.3))
    wait_for(page, "document.querySelector('#date').textContent === '1 Jan 2024'")
    page.locator("#names button", has_text="South").tap()
    wait_for(page, f"{OPACITIES}.filter((opacity) => opacity === '0.08').length === 2")


def test_keys_move_between_dates(show: Any) -> None:
    """The chart takes the focus. Its status is a live region, so that a screen reader says the values."""
    page = show(waves())
    page.keyboard.press("Tab")  # the names come first
    for _ in NAMES:
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "chart"
    for key, shown in [
        ("ArrowRight", "1 Jan 2024"),
        ("ArrowRight", "8 Jan 2024"),
        ("End", "30 Sep 2024"),
        ("ArrowLeft", "23 Sep 2024"),
        ("Home", "1 Jan 2024"),
        ("ArrowLeft", "1 Jan 2024"),
        ("Escape", ""),
    ]:
        page.keyboard.press(key)
        assert page.inner_text("#date") == shown, key
        assert page.text_content("#values").startswith(shown)
        marked = "all => all.filter((one) => one.getAttribute('opacity') === '1').length"
        page.wait_for_timeout(50)
        assert bool(page.locator("#chart .mark-rule.role-mark line").evaluate_all(marked)) == bool(shown)
    assert page.get_attribute("#values", "role") == "status"


@pytest.mark.parametrize(
    ("theme", "papers"), [("auto", ["light", "dark"]), ("light", ["light"] * 2), ("dark", ["dark"] * 2)]
)
def test_page_follows_the_system_or_its_theme(show: Any, theme: str, papers: list[str]) -> None:
    """Also when the system changes while the page is open."""
    colours = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}
    page = show(waves(), {"color_scheme": "light"}, theme=theme)
    for scheme, paper in zip(("light", "dark"), papers, strict=True):
        page.emulate_media(color_scheme=scheme)
        wait_for(page, f"getComputedStyle(document.body).backgroundColor === '{colours[paper]}'")
        wait_for(
            page,
            f"getComputedStyle(document.querySelector('#chart svg rect')).fill !== '{colours['dark']}'"
            if paper == "light"
            else "document.documentElement.classList.contains('dark')",
        )


@pytest.mark.parametrize("kind", ["line", "seasonal", "change", "heatmap", "latest"])
def test_every_kind_is_drawn_and_read_out(show: Any, kind: str) -> None:
    """Dates have an axis, names are text, and sentences say what the chart shows."""
    page = show(waves(dates=120), kind=kind, title=f"{EVIL} tanks")
    assert page.title() == f"{EVIL} tanks"
    assert page.locator("img").count() == 0
    shown = page.locator("#chart svg").text_content()
    assert {"seasonal": "Oct", "latest": "50"}.get(kind, "2026") in shown
    sentences = page.locator("#alternative li").all_text_contents()
    assert len(sentences) == 3
    assert sentences[1].startswith(f"Volume, bbl, {EVIL}: 120 values, lowest 37 on ")


def test_status_names_the_metric_of_each_value(show: Any) -> None:
    """Of several metrics all values are there, also those of the last line; the button of a line has its values apart."""
    names = tuple(f"Tank {number}" for number in range(6))
    first = waves(names)
    table = first.table.to_pylist()
    rows = table + [{**row, "metric": "fill_pct"} for row in table]
    results = attrs.evolve(first, table=pa.Table.from_pylist(rows, schema=first.table.schema))
    page = show(results, metric=["volume_bbl", "fill_pct"])
    page.focus("#chart")
    page.keyboard.press("ArrowRight")
    values = page.text_content("#values").split(" · ")
    assert values[1] == "Tank 0, Volume, bbl 50"
    assert values[-1] == "Tank 5, Fill, % 0"
    assert page.locator("#names b").all_inner_texts()[0].strip() == "50 · 50"


def test_small_charts_share_the_rule(show: Any) -> None:
    """The date under the pointer is marked in each of them."""
    page = show(waves(tuple(f"Tank {number}" for number in range(8))), assets="all")
    places = "all => all.map((one) => [one.getScreenCTM().e, one.getScreenCTM().f])"
    x, y = page.locator("#chart .targets_voronoi").evaluate_all(places)[1]
    page.mouse.move(x + 95, y + 50)
    page.mouse.move(x + 100, y + 50)
    assert "Tank 1 " in page.text_content("#values")
    assert page.locator(".vg-tooltip.visible").inner_text().split("\n")[1] == "Asset\tTank 1"
    visible = (
        "all => new Set(all.filter((one) => one.getAttribute('opacity') === '1').map((one) => one.parentElement)).size"
    )
    assert page.locator("#chart .mark-rule.role-mark line").evaluate_all(visible) == 8
