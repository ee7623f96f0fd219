"""A picture as one HTML file that needs nothing else: matplotlib's own SVG, with the values under the pointer."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kayrros_ext.plots.figures import Point, save, without_glyph_warnings
from kayrros_ext.plots.themes import DARK, LIGHT, Theme
from kayrros_ext.plots.words import clean, unit

# What a pixel of the SVG is: so many to an inch.
POINTS = 72
# Inches of the picture that narrow screens get: the other one's letters would be too small to read there.
PHONE = (4.6, 4.4)


def page(pictures: Sequence[tuple[Figure, Sequence[Point]]], *, title: str, metric: str, theme: str) -> bytes:
    """The file.

    Args:
        pictures: of the same data, drawn in the colours of LIGHT, which the page replaces by those of the reader, and what
            is said under the pointer; a second one is for narrow screens.
        title: of the page.
        metric: whose unit follows a value.
        theme: "light" or "dark"; "auto" for what the reader's system says.
    """
    for figure, _ in pictures:
        figure.set_dpi(POINTS)
        with without_glyph_warnings():
            figure.draw_without_rendering()
    data = {
        "unit": unit(metric)[1] or "",
        "lines": [_line(point) for point in pictures[0][1]],
        "pictures": [
            {"axes": _axes(figure), "places": [_places(figure, point) for point in points]}
            for figure, points in pictures
        ],
    }
    # Neither the end of a script nor a comment can stand in it.
    encoded = json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    parts = {
        "TITLE": html.escape(clean(title)),
        "COLOURS": _colours(theme),
        "SVG": "".join(_svg(figure, title, number) for number, (figure, _) in enumerate(pictures)),
        "DATA": encoded,
    }
    template = Path(__file__).with_name("page.html").read_text("utf-8")
    # In one go: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], template).encode()


def _axes(figure: Figure) -> list[list[float]]:
    """Left, top, right and bottom of each, in the SVG."""
    height = figure.get_figheight() * POINTS
    boxes = [axes.get_window_extent() for axes in figure.axes]
    return [[round(value, 1) for value in (box.x0, height - box.y1, box.x1, height - box.y0)] for box in boxes]


def _places(figure: Figure, point: Point) -> dict[str, list[float]]:
    axes = figure.axes[point.axes]
    places: Any = axes.transData.transform(list(zip(point.x, point.y, strict=True))) if point.x else []
    height = figure.get_figheight() * POINTS
    return {"x": [round(float(x), 1) for x, _ in places], "y": [round(height - float(y), 1) for _, y in places]}


def _line(point: Point) -> dict[str, Any]:
    return {
        "axes": point.axes,
        "name": point.name,
        "colour": f"var(--{'ink' if point.colour is None else f'line{point.colour}'})",
        "when": [when for when, _ in point.said],
        "value": [None if value != value else value for _, value in point.said],  # noqa: PLR0124 - NaN is not JSON
    }


def _svg(figure: Figure, title: str, number: int) -> str:
    """The picture without what only a file of its own needs, its colours by name, its ids its own."""
    text = save(figure, "svg", f"p{number}k").decode()
    text = re.sub(r'<g id="\w+">', "<g>", text)  # nothing refers to them
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for role, colour in LIGHT.by_role().items():
        # Where colours stand, in a style or an attribute: a name may hold such a word too.
        text = re.sub(rf"((?:fill|stroke): ?){colour}\b", rf"\1var(--{role})", text)
    text = re.sub(r"'DejaVu Sans'", "system-ui, 'DejaVu Sans'", text)
    # Its natural size on a screen, 120 pixels to an inch, is the largest.
    own = f'role="img" aria-label="{html.escape(clean(title))}" style="max-width:{figure.get_figwidth() * 120:.0f}px"'
    return text.replace("<svg ", f"<svg {own} ", 1)


def _colours(theme: str) -> str:
    if theme == "auto":
        return f":root{{{_css(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_css(DARK)}}}}}"
    return f":root{{{_css(DARK if theme == 'dark' else LIGHT)}}}"


def _css(theme: Theme) -> str:
    scheme = "dark" if theme is DARK else "light"
    return f"color-scheme:{scheme};" + "".join(f"--{role}:{colour};" for role, colour in theme.by_role().items())
