"""Run the notebooks of examples/, and write them as pages of the site, with their outputs and charts."""

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# What they wrote and, with outputs, the notebooks themselves: the tests check these, so that nothing runs twice.
RUNS = ROOT / ".venv" / "notebooks"
# A notebook shows charts by a script of a megabyte each. The site has pictures, with a text for those who do not see them.
CHARTS = """
import altair, vl_convert
altair.renderers.register("picture", lambda spec, **_: (
    {"image/svg+xml": vl_convert.vegalite_to_svg(spec)}, {"image/svg+xml": {"alt": spec.get("description", "")}}
))
altair.renderers.enable("picture")
"""
# Only the network of this machine, and none of the developer's accounts.
CLOSED = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9") | {"NO_PROXY": "127.0.0.1"}
TEMPLATE = """
{%- extends "markdown/index.md.j2" -%}
{%- block stream -%}{{ fence(output.text) }}{%- endblock -%}
{%- block data_text -%}{{ fence(output.data["text/plain"]) }}{%- endblock -%}
{%- block data_html %}
<div class="output" tabindex="0">
{{ output.data["text/html"] }}
</div>
{% endblock -%}
{%- block data_svg %}
![{{ output.metadata["image/svg+xml"].alt }}]({{ output.metadata.filenames["image/svg+xml"] }}){ .output }
{% endblock -%}
"""


async def run(path: Path, runs: Path = RUNS) -> None:
    """Run a notebook in an empty directory, without network or account. What it wrote is then in a directory of its name.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(path, as_version=4)
    book.cells.insert(0, nbformat.v4.new_code_cell(CHARTS))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAYRROS_")} | CLOSED
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["--log-level=ERROR"]  # the kernel warns that other users of the machine can reach its port
        place = {"metadata": {"path": folder}}
        client = NotebookClient(book, timeout=60, resources=place, coalesce_streams=True, extra_arguments=quiet)
        await client.async_execute(env=environment)
        del book.cells[0]
        nbformat.write(book, Path(folder) / path.name)
        shutil.copytree(folder, runs / path.stem)


async def run_all() -> None:
    """Run all notebooks at once, which takes half the time on two cores."""
    shutil.rmtree(RUNS, ignore_errors=True)
    await asyncio.gather(*map(run, NOTEBOOKS))


def site_pages(gallery: str) -> dict[str, str | bytes]:
    """Return the gallery with a picture of each notebook, and for each its page, its pictures and itself to download."""
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import MarkdownExporter
    from nbconvert.filters import strip_ansi

    exporter: Any = MarkdownExporter(extra_loaders=[DictLoader({"site": TEMPLATE})], template_file="site")
    exporter.environment.globals["fence"] = lambda text: f"\n```text\n{strip_ansi(text).rstrip()}\n```\n"
    files: dict[str, str | bytes] = {}
    for path in NOTEBOOKS:
        book = nbformat.read(RUNS / path.stem / path.name, as_version=4)
        text, resources = exporter.from_notebook_node(book, {"unique_key": path.stem})
        text = text.replace("](../docs/", "](../")
        link = f"[Download the notebook]({path.name})."
        files[f"examples/{path.stem}.md"] = re.sub(r"\A\s*(# .*\n)", rf"\1\n{link}\n", text)
        files[f"examples/{path.name}"] = path.read_bytes()
        files |= {f"examples/{name}": picture for name, picture in resources["outputs"].items()}
        heading = re.search(rf"^## \[.*\]\(\.\./examples/{path.name}\)$", gallery, re.MULTILINE)
        picture = re.search(r"^!(\[.*\])\((.*)\)", text, re.MULTILINE)
        if heading and picture:
            image = f"[!{picture[1]}(examples/{picture[2]})](examples/{path.stem}.md)"
            gallery = gallery.replace(heading[0], f"{heading[0]}\n\n{image}")
    return {**files, "examples.md": re.sub(r"\]\(\.\./examples/([\w-]+)\.ipynb\)", r"](examples/\1.md)", gallery)}
