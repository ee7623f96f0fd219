"""A picture as an HTML page in a real browser."""

from pathlib import Path
from typing import Any

import pytest

from kayrros_ext.testing import Platform

pytestmark = pytest.mark.site


@pytest.mark.parametrize(("width", "letters"), [(1280, 9), (390, 9)])
@pytest.mark.parametrize("as_map", [True, False])
def test_picture_fits_its_screen(browser: Any, tmp_path: Path, width: int, letters: int, as_map: bool) -> None:
    """The page does not scroll sideways, text is legible, and the pointer shows each asset with its value."""
    platform = Platform()
    with platform.connect() as kayrros:
        kayrros.results(platform.generate(seed=1, assets=3, dates=9).id).plot(tmp_path / "a.html", map=as_map)
    problems: list[str] = []
    with browser.new_context(viewport={"width": width, "height": 844}) as context:
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((tmp_path / "a.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        picture = page.locator("main > svg:visible")
        assert picture.count() == 1
        heights = picture.locator("text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
        assert min(height for height in heights if height) >= letters
        number = page.locator("main > svg").evaluate_all("all => all.findIndex(one => one.checkVisibility())")
        x, y = page.evaluate(
            "number => { const { x, y } = data.pictures[number].points[1];"
            " const at = new DOMPoint(x[0], y[0]).matrixTransform("
            "document.querySelectorAll('main > svg')[number].getScreenCTM()); return [at.x, at.y]; }",
            number,
        )
        page.mouse.move(x, y)
        name, value = page.evaluate("[data.lines[1].name, data.lines[1].values[0]]")
        assert name in page.locator("#tooltip").inner_text()
        assert f"{value:.4g}"[:4] in page.locator("#tooltip").inner_text()
    assert problems == []
