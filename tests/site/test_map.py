"""A map in a real browser: zoom and pan with wheel, mouse, fingers and keys."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kayrros_ext import Results

pytestmark = pytest.mark.site

PLACES = {
    **{f"Well {number}": (-102 + number / 2, 31 + number % 3) for number in range(9)},
    **{f"Pad {number}": (-100.01 + number / 50, 33.5) for number in range(2)},
    "</script><img src=x onerror=alert(1)>": (-103, 32),
}
STATE = "['map_zoom', 'map_x', 'map_y'].map(name => view.signal(name))"


def write_page(path: Path) -> None:
    """Write a page with a map."""
    assets = [
        {
            "asset_id": name,
            "asset_name": name,
            "asset_centroid_longitude": longitude,
            "asset_centroid_latitude": latitude,
            "results": [{"value_date": "2024-01-01", "metrics": [{"name": "rate_t_h", "value": number + 1.0}]}],
        }
        for number, (name, (longitude, latitude)) in enumerate(PLACES.items())
    ]
    Results.from_json(json.dumps({"assets": assets}).encode()).plot(path, kind="map")


@pytest.fixture
def screen(browser: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Open the page on a desk, or on a phone if the test says so; any message, or a request to a host, fails the test."""
    width = getattr(request, "param", 1200)
    write_page(tmp_path / "map.html")
    problems: list[str] = []
    with browser.new_context(viewport={"width": width, "height": 844}, has_touch=width < 500) as context:
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.extend([] if request.url.startswith("file:") else [request.url]))
        page.goto((tmp_path / "map.html").as_uri())
        wait(page, "view !== undefined && document.querySelector('#chart path[aria-label*=Well]')")
        # Room to scroll.
        page.evaluate("document.body.style.minHeight = '3000px'")
        yield page
        assert problems == []


def wait(page: Any, condition: str) -> None:
    """Wait for a condition; Playwright's own way needs eval."""
    look = f"const look = () => ({condition}) ? done() : requestAnimationFrame(look); look();"
    page.evaluate(f"new Promise(done => {{ {look} }})")


def state(page: Any) -> tuple[float, float, float]:
    """Enlargement and position of the map, once it is drawn."""
    zoom, x, y = page.evaluate(f"view.runAsync().then(() => {STATE})")
    return zoom, x, y


def symbol(page: Any, number: int = 0) -> tuple[float, float]:
    """The middle of the symbol of a place, on the screen."""
    page.evaluate("view.runAsync().then(() => undefined)")
    box = page.locator(f"path[aria-label*='Well {number}']").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_wheel_zooms_about_the_pointer(screen: Any) -> None:
    """The place under the pointer stays there; its symbol keeps its size, and so do letters and lines."""
    x, y = symbol(screen, 3)
    size = screen.locator("path[aria-label*='Well 3']").bounding_box()["width"]
    screen.evaluate("addEventListener('wheel', event => { window.isTaken = event.defaultPrevented })")
    screen.mouse.move(x, y)
    screen.mouse.wheel(0, -600)
    wait(screen, "window.isTaken")  # so that the page does not scroll
    assert state(screen)[0] == pytest.approx(4)
    assert symbol(screen, 3) == pytest.approx((x, y), abs=3)  # the pointer is on whole pixels, enlarged 4 times
    assert screen.locator("path[aria-label*='Well 3']").bounding_box()["width"] == pytest.approx(size, abs=0.1)


def test_page_scrolls_over_a_map_that_is_not_enlarged(screen: Any) -> None:
    """A wheel that can't make the map smaller scrolls the page."""
    screen.mouse.move(*symbol(screen))
    screen.mouse.wheel(0, 300)
    wait(screen, "scrollY > 100")
    assert state(screen) == (1, 0, 0)


def test_drag_pans_within_the_map(screen: Any) -> None:
    """The map follows the mouse, but not beyond its edge; without enlargement it stays."""
    x, y = symbol(screen, 4)
    for zoomed in (False, True):
        if zoomed:
            screen.mouse.move(x, y)
            screen.mouse.wheel(0, -300)
            assert state(screen)[0] == pytest.approx(2)
        screen.mouse.move(x, y)
        screen.mouse.down()
        screen.mouse.move(x + 40, y - 30, steps=4)
        screen.mouse.up()
        screen.mouse.move(x + 300, y)
        assert symbol(screen, 4) == pytest.approx((x + 40, y - 30) if zoomed else (x, y), abs=2)
    screen.mouse.move(x, y)
    screen.mouse.down()
    screen.mouse.move(x + 2000, y + 2000, steps=4)
    screen.mouse.up()
    assert state(screen) == pytest.approx((2, 0, 0))


def test_double_click_resets(screen: Any) -> None:
    """A double click shows the whole map again."""
    screen.mouse.move(*symbol(screen))
    screen.mouse.wheel(0, -600)
    assert state(screen)[0] > 3
    screen.mouse.dblclick(*symbol(screen))
    assert state(screen) == (1, 0, 0)


def test_keys_zoom_pan_and_reset(screen: Any) -> None:
    """The focused map takes + and -, arrows and 0; without enlargement arrows scroll the page."""
    screen.keyboard.press("Tab")
    assert screen.evaluate("document.activeElement.id") == "chart"
    screen.keyboard.press("+")
    zoom, x, y = state(screen)
    assert (zoom, x) == pytest.approx((2, -screen.evaluate("view.width()") / 2))
    screen.keyboard.press("ArrowRight")
    screen.keyboard.press("ArrowDown")
    assert state(screen) == pytest.approx((2, x - 80, y - 80))
    screen.keyboard.press("-")
    assert state(screen) == (1, 0, 0)
    screen.keyboard.press("+")
    screen.keyboard.press("0")
    assert state(screen) == (1, 0, 0)
    screen.keyboard.press("ArrowDown")
    wait(screen, "scrollY > 0")


@pytest.mark.parametrize("screen", [390], indirect=True)
def test_two_fingers_zoom_and_one_pans(screen: Any) -> None:
    """On a phone, a pinch zooms about the fingers, and one finger moves the enlarged map; the page keeps its width."""
    box = screen.locator("#chart").bounding_box()
    x, y = box["x"] + 195, box["y"] + 200
    touch(screen, [[(x - 40, y), (x + 40, y)], [(x - 60, y), (x + 60, y)], [(x - 80, y), (x + 80, y)]])
    zoom, left, top = state(screen)
    assert zoom == pytest.approx(2, rel=0.05)
    touch(screen, [[(x, y)], [(x + 20, y + 10)], [(x + 50, y + 30)]])
    assert state(screen) == pytest.approx((zoom, left + 50, top + 30), abs=2)
    assert screen.evaluate("document.documentElement.scrollWidth") == 390
    assert screen.evaluate("scrollY") == 0


def touch(page: Any, steps: list[list[tuple[float, float]]]) -> None:
    """Put fingers on the screen, move them, and lift them."""
    session = page.context.new_cdp_session(page)
    for number, points in enumerate(steps):
        fingers = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        kind = "touchStart" if number == 0 else "touchMove"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_enlargement_separates_what_overlaps(screen: Any) -> None:
    """Two pads that share a spot are counted, until the map is so large that they come apart."""
    before = labels(screen)
    assert "2 assets" in before
    box = screen.locator("path[aria-label*='Pad 0']").bounding_box()
    screen.mouse.move(box["x"] + 7, box["y"] + 7)
    screen.mouse.wheel(0, -1500)
    assert state(screen)[0] == pytest.approx(32)
    assert labels(screen) == before - {"2 assets"}


def labels(page: Any) -> set[str]:
    """The texts on the map."""
    return set(page.locator("#chart text").all_text_contents())


def test_names_are_not_markup(screen: Any) -> None:
    """A name with tags is text, on the map and in the tooltip."""
    screen.locator("path[aria-label*='onerror']").hover()
    assert "<img src=x onerror=alert(1)>" in screen.locator("#vg-tooltip-element").inner_text()
    assert screen.locator("img").count() == 0
