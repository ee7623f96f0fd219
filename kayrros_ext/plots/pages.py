"""A picture as one self-contained HTML file: matplotlib's SVG with the values under the pointer."""

import html
import json
import re
from collections.abc import Sequence
from importlib import resources
from typing import Any

from matplotlib.figure import Figure

from kayrros_ext._results.units import unit_of
from kayrros_ext.plots.figures import HoverData, catch_missing_glyphs, render
from kayrros_ext.plots.themes import DARK, LIGHT, Theme

# Units of the SVG per inch.
SVG_DPI = 72
# Inches of the second picture, for narrow screens, where the text of the first would be too small to read.
PHONE_SIZE = (4.6, 4.4)


def render_page(
    pictures: Sequence[tuple[Figure, Sequence[HoverData]]], *, title: str, metric: str, theme: str
) -> bytes:
    """Return the HTML file.

    Args:
        pictures: the figure, drawn in LIGHT, with its hover data; a second one is for narrow screens. The page replaces
            the colours by those of the theme.
        title: of the page.
        metric: the unit after each value is that of this metric.
        theme: "light", "dark", or "auto" to follow the reader's system.
    """
    for figure, _ in pictures:
        figure.set_dpi(SVG_DPI)
        with catch_missing_glyphs():
            figure.draw_without_rendering()
    data = {
        "unit": unit_of(metric) or "",
        "lines": [_line(hover) for hover in pictures[0][1]],
        "pictures": [
            {"axes": _axes_boxes(figure), "points": [_pixels(figure, one) for one in hover]}
            for figure, hover in pictures
        ],
    }
    parts = {
        "TITLE": html.escape(title),
        "COLOURS": _stylesheet(theme),
        "SVG": "".join(_inline_svg(figure, title, index) for index, (figure, _) in enumerate(pictures)),
        # Escaped, so that it can hold neither the end of the script nor a comment.
        "DATA": json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c"),
    }
    template = resources.files(__package__).joinpath("page.html").read_text("utf-8")
    # In one pass, so that a placeholder inside a name is not replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda placeholder: parts[placeholder[1]], template).encode()


def _axes_boxes(figure: Figure) -> list[list[float]]:
    """Return left, top, right and bottom of each axes in the SVG."""
    height = figure.get_figheight() * SVG_DPI
    boxes = [axes.get_window_extent() for axes in figure.axes]
    return [[round(value, 1) for value in (box.x0, height - box.y1, box.x1, height - box.y0)] for box in boxes]


def _pixels(figure: Figure, hover: HoverData) -> dict[str, list[float]]:
    axes = figure.axes[hover.axes]
    pixels: Any = axes.transData.transform(list(zip(hover.x, hover.y, strict=True))) if hover.x else []
    height = figure.get_figheight() * SVG_DPI
    return {"x": [round(float(x), 1) for x, _ in pixels], "y": [round(height - float(y), 1) for _, y in pixels]}


def _line(hover: HoverData) -> dict[str, Any]:
    return {
        "axes": hover.axes,
        "name": hover.name,
        "colour": f"var(--{'ink' if hover.colour is None else f'line{hover.colour}'})",
        "dates": hover.dates_ms,
        "values": [None if value != value else value for value in hover.values],  # noqa: PLR0124 - NaN is not JSON
    }


def _inline_svg(figure: Figure, title: str, index: int) -> str:
    """Return the SVG for use inside a page: unique ids, colours by role, without the parts of a standalone file."""
    text = render(figure, "svg", f"p{index}k").decode()
    text = re.sub(r'<g id="\w+">', "<g>", text)  # unused ids
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for role, colour in LIGHT.by_role().items():
        # Only in a style or an attribute, because a name may contain the same text.
        text = re.sub(rf"((?:fill|stroke): ?){colour}\b", rf"\1var(--{role})", text)
    text = re.sub(r"'DejaVu Sans'", "system-ui, 'DejaVu Sans'", text)
    # At most the natural size on a screen, which has 120 pixels per inch.
    width = figure.get_figwidth() * 120
    attributes = f'role="img" aria-label="{html.escape(title)}" style="max-width:{width:.0f}px"'
    return text.replace("<svg ", f"<svg {attributes} ", 1)


def _stylesheet(theme: str) -> str:
    if theme == "auto":
        return f":root{{{_css(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_css(DARK)}}}}}"
    return f":root{{{_css(DARK if theme == 'dark' else LIGHT)}}}"


def _css(theme: Theme) -> str:
    scheme = "dark" if theme is DARK else "light"
    return f"color-scheme:{scheme};" + "".join(f"--{role}:{colour};" for role, colour in theme.by_role().items())
