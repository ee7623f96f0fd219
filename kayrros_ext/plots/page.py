"""An HTML page of a chart: one file that asks for nothing, in which no name or value is markup."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from importlib import resources
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import altair as alt
import vl_convert

from kayrros_ext.plots.frame import Drawing, themes

if TYPE_CHECKING:
    from kayrros_ext.plots import Options


def render(wide: Drawing, narrow: Drawing, options: "Options", facts: Iterable[str]) -> bytes:
    """Return the page. It shows the drawing "narrow" where "wide" has no room, and the facts to screen readers."""
    page: dict[str, Any] = {"datasets": {}, "theme": options.theme, "width": options.width}  # both show the same land
    for name, drawing in (("wide", wide), ("narrow", narrow)):
        spec = drawing.chart.to_dict(validate=False)
        page["datasets"] |= spec.pop("datasets", {})
        page[name] = {"spec": spec, "names": drawing.names}
    page["config"] = {name: {**config, "padding": 0} for name, config in themes().items()}
    parts = {
        "title": html.escape(wide.title),
        "subtitle": html.escape(wide.subtitle),
        "alternative": "".join(f"<li>{html.escape(fact)}</li>" for fact in facts),
        "notes": "<br>".join(map(html.escape, wide.notes)),
        "style": _read("page.css"),
        "library": vl_convert.javascript_bundle(),  # type: ignore[call-arg]  # its stub lacks the default
        "script": _read("page.js") + (_read("map.js") if options.kind == "map" else ""),
        # So that no text of the data ends the element.
        "page": json.dumps(page, separators=(",", ":")).replace("<", "\\u003c"),
    }
    style, library, script = (_hash(parts[name]) for name in ("style", "library", "script"))
    parts["policy"] = (
        f"default-src 'none'; style-src {style}; script-src {library} {script}; base-uri 'none'; form-action 'none'"
    )
    return re.sub("@@([a-z]+)@@", lambda match: parts[match[1]], _read("page.html")).encode()


def use_offline_renderer() -> None:
    """Let notebooks show charts without network, unless the user has chosen a renderer of Altair."""
    if alt.renderers.active == "default":  # it loads its scripts from a server
        alt.renderers.register("kayrros", _render_output)
        alt.renderers.enable("kayrros")


def _render_output(spec: dict[str, Any], **_options: object) -> dict[str, str]:
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
