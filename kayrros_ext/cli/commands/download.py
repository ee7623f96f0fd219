"""`kayrros download`."""

from typing import Annotated

import typer

from kayrros_ext._text import format_size
from kayrros_ext.cli.commands.list import DATASET
from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import note_interrupt
from kayrros_ext.cli.output import write_json
from kayrros_ext.cli.progress_bars import download_bar


@command(
    """Download the file of a static dataset.

    The API names the file, and its path is printed. The file appears only when complete and verified. Interrupted downloads
    resume. --overwrite replaces a different file.

    Use a directory for each dataset, because their files may have the same name.
    """,
    "kayrros download 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros download 7d3c data/tanks/",
    "kayrros download 7d3c data/tanks/ --overwrite --json | jq -r .sha256",
)
def download(
    context: Context,
    dataset: Annotated[str, DATASET],
    directory: Annotated[str, typer.Argument(metavar="DIRECTORY", help="Created if it does not exist.")] = ".",
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a different file of that name.")] = False,
    sha256: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="Fail unless the file has this SHA-256 digest.", show_default=False),
    ] = None,
) -> None:
    shown = context.shows_progress
    with note_interrupt(), context.connect() as kayrros, download_bar(shown=shown) as progress:
        file = kayrros.download(dataset, directory, overwrite=overwrite, sha256=sha256, progress=progress)
    if context.json:
        write_json({"path": file.path, "size": file.size, "sha256": file.sha256, "new": file.new})
    else:
        print(file.path)
        context.info(f"{format_size(file.size)}, sha256 {file.sha256}{'' if file.new else ', existed already'}")
