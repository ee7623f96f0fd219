"""An HTML page of a chart: one file that asks for nothing, in which no name or value is markup."""

import base64
import hashlib
import html
import json
import re
from importlib import resources
from typing import Any
from uuid import uuid4

import vl_convert

from kayrros_ext.plots.frame import Drawing, Size, themes

PHONE = Size(358)


def render_page(
    wide: Drawing,
    narrow: Drawing,
    *,
    facts: list[str],
    texts: dict[str, str],
    size: Size,
    theme: str,
) -> bytes:
    """Return the page. It shows the narrow drawing where the wide one does not fit, and the system's theme if "auto".

    Args:
        wide: drawing of the whole width.
        narrow: drawing for a phone.
        facts: sentences that say in words what the chart shows, for those who do not see it.
        texts: the title of the page and its heading, the subtitle and the source of the data.
        size: of the wide drawing.
        theme: "auto", "light" or "dark".
    """
    drawings = {"wide": (wide, size), "narrow": (narrow, PHONE)}
    specs = {
        key: {"spec": one.sized(room).to_dict(validate=False), "names": one.names}
        for key, (one, room) in drawings.items()
    }
    colours = {name: {**config, "padding": 0} for name, config in themes().items()}
    datasets: dict[str, Any] = {}
    for one in specs.values():  # both show the same land
        datasets |= one["spec"].pop("datasets", {})
    data = {**specs, "datasets": datasets, "config": colours, "theme": theme, "width": size.width}
    script = _read("page.js") + (_read("map.js") if "map_zoom" in str(specs["wide"]) else "")
    parts = {
        "title": html.escape(texts["title"]),
        "subtitle": html.escape(texts["subtitle"]),
        "alternative": "".join(f"<li>{html.escape(fact)}</li>" for fact in facts),
        "notes": "<br>".join(map(html.escape, [*wide.notes, texts["source"]])),
        "style": _read("page.css"),
        "library": vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub lacks the default
        "script": script,
        # So that no text of the data ends the element.
        "page": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    hashes = {name: _hash(parts[name]) for name in ("style", "library", "script")}
    scripts = f"script-src {hashes['library']} {hashes['script']}"
    parts["policy"] = f"default-src 'none'; style-src {hashes['style']}; {scripts}; base-uri 'none'; form-action 'none'"
    return re.sub("@@([a-z]+)@@", lambda match: parts[match[1]], _read("page.html")).encode()


def render_output(spec: dict[str, Any], **_options: object) -> dict[str, str]:
    """Return the output of a notebook cell, which needs no network: Altair's own loads its scripts from a server."""
    place, text = f"chart-{uuid4().hex}", json.dumps(spec).replace("<", "\\u003c")
    # On a canvas and in a function, because all cells share one page: its ids of SVG, its names of JavaScript.
    embed = f'vegaEmbed("#{place}", {text}, {{mode: "vega-lite", renderer: "canvas", actions: false}})'
    script = f"(() => {{{vl_convert.javascript_bundle()}\n{embed}}})()"  # type: ignore[call-arg]
    style = "#vg-tooltip-element td { white-space: pre-line }"
    return {"text/html": f'<style>{style}</style><div id="{place}"></div><script>{script}</script>'}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
