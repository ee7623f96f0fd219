"""A matplotlib figure with room for a title, a legend and a line of notes, none of them over the data."""

import contextlib
import logging
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import attrs
import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import ScalarFormatter

from kayrros_ext.plots.themes import Theme
from kayrros_ext.plots.words import LONGEST, short

# Where a name has letters that the first has not: those of them that are installed are tried.
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Droid Sans Fallback", "PingFang SC"),
    *("Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic", "Arial Unicode MS"),
)
DPI = 144
# Inches: what a letter of 9 points is wide at most, on average, and how high a line of them is.
LETTER, LINE, EDGE = 0.082, 0.175, 0.12
# Inches of height that are left to the axes at least: the picture grows where title, legend and notes would take them.
LEAST = 1.6
SUPERSCRIPTS = str.maketrans("0123456789-\N{MINUS SIGN}", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")

_log = logging.getLogger("kayrros_ext")


class Picture(Figure):
    """A matplotlib Figure that a notebook shows by itself."""

    def _repr_png_(self) -> bytes:
        return save(self, "png")


@attrs.frozen
class Point:
    """What is said of a place on the picture when a pointer is near.

    Attributes:
        axes: number of the axes it is on.
        name: of the asset.
        x, y: of each point, in the axes' data.
        said: of each point, the date as epoch milliseconds (None on a map of means), and the value.
        colour: number of the line's colour; None on a map.
    """

    axes: int
    name: str
    x: list[float]
    y: list[float]
    said: list[tuple[int | None, float]]
    colour: int | None = None


def settings() -> Any:
    """Of matplotlib, whatever the user's own are: the same data make the same picture."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return {
        **mpl.rcParamsDefault,
        "backend": mpl.rcParams["backend"],
        "font.family": [name for name in FONTS if name in installed],
        "font.size": 9,
        "svg.fonttype": "none",
        "svg.hashsalt": "kayrros",
        "path.simplify_threshold": 0.2,
    }


def begin(size: tuple[float, float], theme: Theme) -> Picture:
    """A figure of so many inches. What is drawn on it is drawn within `frame`."""
    return Picture(figsize=size, dpi=DPI, facecolor=theme.paper)


def frame(
    figure: Figure,
    theme: Theme,
    *,
    title: str,
    notes: str,
    keys: Sequence[tuple[Line2D | Patch, str]],
    least: float = LEAST,
) -> None:
    """Write title, legend and notes at the edges, and leave what is between to the axes: so many inches at least."""
    width, height = figure.get_size_inches()
    room = width - 2 * EDGE
    titles = textwrap.wrap(title, int(room / LETTER / 1.3)) or [""]
    noted = textwrap.wrap(notes, int(room / LETTER * 1.3))
    names = [short(name, min(LONGEST, int((room - 0.4) / LETTER))) for _, name in keys]
    columns = max(1, min(len(keys), int(room / (0.5 + LETTER * max(map(len, names), default=0)))))
    under_title = EDGE + LINE * 1.35 * len(titles)
    top = under_title + (LINE * -(-len(keys) // columns) + 0.1 if keys else 0)
    bottom = EDGE + LINE * 0.85 * len(noted)
    height = max(height, top + least + bottom)
    figure.set_size_inches(width, height)
    edge = EDGE / width
    for number, line in enumerate(titles):
        at = 1 - (EDGE + LINE * 1.35 * number) / height
        figure.text(edge, at, line, size=12, weight="bold", color=theme.ink, va="top", parse_math=False)
    for number, line in enumerate(reversed(noted)):
        at = (EDGE + LINE * 0.85 * number) / height
        figure.text(edge, at, line, size=7.5, color=theme.muted, va="bottom", parse_math=False)
    if keys:
        handles = [handle for handle, _ in keys]
        _legend(figure, handles, names, theme, columns=columns, at=(edge, 1 - (under_title + 0.02) / height))
    figure.set_layout_engine(
        "constrained",
        rect=(edge, bottom / height, 1 - 2 * edge, 1 - (top + bottom) / height),
        h_pad=0.05,
        w_pad=0.05,
        hspace=0.02,
        wspace=0.02,
    )


def _legend(
    figure: Figure,
    handles: list[Line2D | Patch],
    names: list[str],
    theme: Theme,
    *,
    columns: int,
    at: tuple[float, float],
) -> None:
    legend = figure.legend(
        handles,
        ["name"] * len(names),  # what begins with _ would be left out
        loc="upper left",
        bbox_to_anchor=at,
        ncols=columns,
        frameon=False,
        fontsize=9,
        borderpad=0,
        borderaxespad=0,
        labelspacing=0.3,
        handlelength=1.6,
        columnspacing=1.5,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        write(text, name, theme.ink)


def write(text: Text, words: str, colour: str) -> None:
    """Words as they are: a name may hold dollar signs, which else begin a formula."""
    text.set_parse_math(False)
    text.set_text(words)
    text.set_color(colour)


def dress(axes: Axes, theme: Theme) -> None:
    """Axes in the colours of the theme, with a thin grid behind the data."""
    axes.set_facecolor(theme.paper)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=theme.grid, linewidth=0.7)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.muted)


class Thousands(ScalarFormatter):
    """1,250,000, and a power of ten over the axis from 1e9 on."""

    def __init__(self) -> None:
        super().__init__(useOffset=False, useMathText=False)
        self.set_powerlimits((-4, 9))

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: D102 - as its base
        return re.sub(r"(?<![\d.])\d{4,}", lambda digits: f"{int(digits[0]):,}", super().__call__(x, pos))

    def get_offset(self) -> str:  # noqa: D102 - as its base
        power = super().get_offset().removeprefix("1e")
        return power and "\N{MULTIPLICATION SIGN}10" + power.translate(SUPERSCRIPTS)


def save(figure: Figure, form: str, ids: str = "k") -> bytes:
    """The figure as PNG or SVG, whose ids begin with `ids`; the same figure gives the same bytes."""
    buffer = BytesIO()
    nothing = {"png": {"Software": None}, "svg": dict.fromkeys(["Date", "Creator", "Format", "Type"])}[form]
    with mpl.rc_context(settings()), without_glyph_warnings() as missing:
        figure.savefig(buffer, format=form, metadata=nothing)
    if form == "png" and missing:
        _log.warning(
            "No font of this machine has %d of the letters in the names, which are boxes in the picture. Install one that "
            "has them, such as Noto Sans CJK, or write .svg or .html, which take the fonts of their reader.",
            len(missing),
        )
    return _numbered(buffer.getvalue(), ids.encode()) if form == "svg" else buffer.getvalue()


def _numbered(svg: bytes, begin: bytes) -> bytes:
    """With ids that count up: those that matplotlib gives to clip paths come from addresses in memory."""
    ids = list(dict.fromkeys(re.findall(rb'\bid="([A-Za-z][0-9a-f]{10})"', svg)))
    return re.sub(
        rb"(?<=[\"#])[A-Za-z][0-9a-f]{10}(?=[\")])",
        lambda found: b"%b%d" % (begin, ids.index(found[0])) if found[0] in ids else found[0],
        svg,
    )


@contextlib.contextmanager
def without_glyph_warnings() -> Iterator[set[str]]:
    """What is drawn inside warns of no letter that the fonts lack; they are in the set, one message for each."""
    missing: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield missing
    for warning in caught:
        if str(warning.message).startswith("Glyph "):
            missing.add(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
