"""Colours, light and dark."""

import attrs


@attrs.frozen
class Theme:
    """Colours by role. No two are equal, because an HTML page replaces them by role.

    Attributes:
        paper, ink, muted, grid: background, text, secondary text, thin lines.
        sea, land, coast: of a map.
        gap: periods whose data are unavailable.
        lines: of series, chosen so that people with any colour vision tell them apart, and from the paper.
    """

    paper: str
    ink: str
    muted: str
    grid: str
    sea: str
    land: str
    coast: str
    gap: str
    lines: tuple[str, ...]

    def by_role(self) -> dict[str, str]:
        """Return each colour under the name of its role; lines are line0, line1 and so on."""
        roles = attrs.asdict(self)
        return {**{f"line{index}": colour for index, colour in enumerate(roles.pop("lines"))}, **roles}


LIGHT = Theme(
    paper="#ffffff",
    ink="#1b1f24",
    muted="#5c6670",
    grid="#e3e6ea",
    sea="#f4f8fb",
    land="#e4e2da",
    coast="#a5a194",
    gap="#d3d7dd",
    lines=("#0072b2", "#d37c00", "#00ab59", "#ab00f0", "#814e6e", "#3b4b00"),
)
DARK = Theme(
    paper="#14171b",
    ink="#e8eaed",
    muted="#9da6b0",
    grid="#2b3037",
    sea="#181d23",
    land="#30353c",
    coast="#626b76",
    gap="#3f464f",
    lines=("#3f9be0", "#e8650f", "#2ee87a", "#b37163", "#c6dcff", "#fbd3be"),
)
