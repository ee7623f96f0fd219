"""A picture as a page, in a real browser."""

from pathlib import Path
from typing import Any

import pytest

from kayrros_ext.testing import Platform

pytestmark = pytest.mark.site


@pytest.mark.parametrize(("width", "letters"), [(1280, 9), (390, 9)])
@pytest.mark.parametrize("place", [True, False])
def test_a_picture_fits_its_screen(browser: Any, tmp_path: Path, width: int, letters: int, place: bool) -> None:
    """Nothing to scroll sideways, letters of a size to be read, and under the pointer each asset with its value."""
    platform = Platform()
    with platform.connect() as kayrros:
        kayrros.results(platform.generate(seed=1, assets=3, dates=9).id).plot(tmp_path / "a.html", map=place)
    complaints: list[str] = []
    with browser.new_context(viewport={"width": width, "height": 844}) as context:
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((tmp_path / "a.html").as_uri())
        assert width == page.evaluate("document.documentElement.scrollWidth")
        picture = page.locator("main > svg:visible")
        assert 1 == picture.count()
        heights = picture.locator("text").evaluate_all("all => all.map(one => one.getBoundingClientRect().height)")
        assert letters <= min(height for height in heights if height)
        number = page.locator("main > svg").evaluate_all("all => all.findIndex(one => one.checkVisibility())")
        x, y = page.evaluate(
            "number => { const { x, y } = data.pictures[number].places[1];"
            " const at = new DOMPoint(x[0], y[0]).matrixTransform("
            "document.querySelectorAll('main > svg')[number].getScreenCTM()); return [at.x, at.y]; }",
            number,
        )
        page.mouse.move(x, y)
        name, value = page.evaluate("[data.lines[1].name, data.lines[1].value[0]]")
        assert name in page.locator("#said").inner_text()
        assert f"{value:.4g}"[:4] in page.locator("#said").inner_text()
    assert [] == complaints
