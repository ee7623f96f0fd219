"""A matplotlib figure with room for a title, a legend and notes that never cover the data."""

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

from kayrros_ext._text import shorten
from kayrros_ext.plots.labels import MAX_NAME_LENGTH
from kayrros_ext.plots.themes import Theme

# Fallbacks, where installed, for letters that the first font lacks.
FONTS = (
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Droid Sans Fallback", "PingFang SC"),
    *("Hiragino Sans", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans Arabic", "Arial Unicode MS"),
)
DPI = 144
# Inches: average width of a letter of 9 points, rounded up; height of a line of them; margin of the picture.
LETTER_WIDTH, LINE_HEIGHT, MARGIN = 0.082, 0.175, 0.12
# Inches. The picture grows if title, legend and notes would leave less height than this to the axes.
MIN_HEIGHT = 1.6
SUPERSCRIPTS = str.maketrans("0123456789-\N{MINUS SIGN}", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻")
# SVG metadata that would make the same figure give different bytes.
VARIABLE_METADATA = {"png": {"Software": None}, "svg": dict.fromkeys(["Date", "Creator", "Format", "Type"])}

_log = logging.getLogger("kayrros_ext")


class NotebookFigure(Figure):
    """A matplotlib Figure that a notebook shows even if pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        return render(self, "png")


@attrs.frozen
class HoverData:
    """The values that an HTML page shows near the pointer, of one line or one asset on a map.

    Attributes:
        axes: index of the axes.
        name: of the asset.
        x, y: of each point, in data coordinates.
        dates_ms: epoch milliseconds of each point; None for a mean.
        values: of each point.
        colour: index of the line's colour; None on a map.
    """

    axes: int
    name: str
    x: list[float]
    y: list[float]
    dates_ms: Sequence[int | None]
    values: list[float]
    colour: int | None = None


def rc_params() -> Any:
    """Return fixed matplotlib settings, so that the same data make the same picture whatever the user's own are."""
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


def new_figure(size: tuple[float, float], theme: Theme) -> NotebookFigure:
    """Return an empty figure of a size in inches."""
    return NotebookFigure(figsize=size, dpi=DPI, facecolor=theme.paper)


def add_title_and_legend(
    figure: Figure,
    theme: Theme,
    *,
    title: str,
    notes: str,
    keys: Sequence[tuple[Line2D | Patch, str]],
    min_height: float = MIN_HEIGHT,
) -> None:
    """Add title, legend and notes at the edges, and leave the rest to the axes: at least `min_height` inches."""
    width, height = figure.get_size_inches()
    text_width = width - 2 * MARGIN
    title_lines = textwrap.wrap(title, int(text_width / LETTER_WIDTH / 1.3)) or [""]
    note_lines = textwrap.wrap(notes, int(text_width / LETTER_WIDTH * 1.3))
    names = [shorten(name, min(MAX_NAME_LENGTH, int((text_width - 0.4) / LETTER_WIDTH))) for _, name in keys]
    columns = max(1, min(len(keys), int(text_width / (0.5 + LETTER_WIDTH * max(map(len, names), default=0)))))
    below_title = MARGIN + LINE_HEIGHT * 1.35 * len(title_lines)
    top = below_title + (LINE_HEIGHT * -(-len(keys) // columns) + 0.1 if keys else 0)
    bottom = MARGIN + LINE_HEIGHT * 0.85 * len(note_lines)
    height = max(height, top + min_height + bottom)
    figure.set_size_inches(width, height)
    left = MARGIN / width
    for index, line in enumerate(title_lines):
        y = 1 - (MARGIN + LINE_HEIGHT * 1.35 * index) / height
        figure.text(left, y, line, size=12, weight="bold", color=theme.ink, va="top", parse_math=False)
    for index, line in enumerate(reversed(note_lines)):
        y = (MARGIN + LINE_HEIGHT * 0.85 * index) / height
        figure.text(left, y, line, size=7.5, color=theme.muted, va="bottom", parse_math=False)
    if keys:
        legend = figure.legend(
            [handle for handle, _ in keys],
            ["name"] * len(names),  # a placeholder, because matplotlib omits labels that begin with _
            loc="upper left",
            bbox_to_anchor=(left, 1 - (below_title + 0.02) / height),
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
            set_text(text, name, theme.ink)
    figure.set_layout_engine(
        "constrained",
        rect=(left, bottom / height, 1 - 2 * left, 1 - (top + bottom) / height),
        h_pad=0.05,
        w_pad=0.05,
        hspace=0.02,
        wspace=0.02,
    )


def set_text(text: Text, content: str, colour: str) -> None:
    """Set a text literally: matplotlib would parse dollar signs in a name as a formula."""
    text.set_parse_math(False)
    text.set_text(content)
    text.set_color(colour)


def style_axes(axes: Axes, theme: Theme) -> None:
    """Apply the colours of the theme and a thin grid behind the data."""
    axes.set_facecolor(theme.paper)
    axes.set_axisbelow(True)
    axes.grid(visible=True, color=theme.grid, linewidth=0.7)
    axes.tick_params(colors=theme.muted, labelcolor=theme.ink, labelsize=8, length=3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.muted)


def join_notes(notes: list[str]) -> str:
    """Join notes into one text that begins with a capital letter."""
    text = "; ".join(notes)
    return text[:1].upper() + text[1:]


class ThousandsFormatter(ScalarFormatter):
    """Format 1250000 as 1,250,000; from 1e9 on, with a power of ten at the end of the axis."""

    def __init__(self) -> None:
        super().__init__(useOffset=False, useMathText=False)
        self.set_powerlimits((-4, 9))

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: D102 - as its base
        return re.sub(r"(?<![\d.])\d{4,}", lambda digits: f"{int(digits[0]):,}", super().__call__(x, pos))

    def get_offset(self) -> str:  # noqa: D102 - as its base
        power = super().get_offset().removeprefix("1e")
        return power and "\N{MULTIPLICATION SIGN}10" + power.translate(SUPERSCRIPTS)


def render(figure: Figure, file_format: str, id_prefix: str = "k") -> bytes:
    """Render as "png" or "svg" (whose ids begin with `id_prefix`). The same figure gives the same bytes."""
    buffer = BytesIO()
    with mpl.rc_context(rc_params()), catch_missing_glyphs() as missing:
        figure.savefig(buffer, format=file_format, metadata=VARIABLE_METADATA[file_format])
    if file_format == "png" and missing:
        _log.warning(
            "No installed font has %d of the letters in the names, so the picture shows boxes instead. Install a font "
            "such as Noto Sans CJK, or write .svg or .html, which use the fonts of their reader.",
            len(missing),
        )
    return _number_ids(buffer.getvalue(), id_prefix.encode()) if file_format == "svg" else buffer.getvalue()


def _number_ids(svg: bytes, prefix: bytes) -> bytes:
    """Number the ids, because matplotlib derives those of clip paths from memory addresses."""
    ids = list(dict.fromkeys(re.findall(rb'\bid="([A-Za-z][0-9a-f]{10})"', svg)))
    return re.sub(
        rb"(?<=[\"#])[A-Za-z][0-9a-f]{10}(?=[\")])",
        lambda match: b"%b%d" % (prefix, ids.index(match[0])) if match[0] in ids else match[0],
        svg,
    )


@contextlib.contextmanager
def catch_missing_glyphs() -> Iterator[set[str]]:
    """Suppress the warnings for letters that no font has, and collect them in the set, one message each."""
    missing: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield missing
    for warning in caught:
        if str(warning.message).startswith("Glyph "):
            missing.add(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
