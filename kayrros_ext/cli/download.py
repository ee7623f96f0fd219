"""`kayrros download`."""

from pathlib import Path
from typing import Annotated

import typer

from kayrros_ext.cli.catalogue import DATASET
from kayrros_ext.cli.common import Run, command
from kayrros_ext.cli.output import write_json
from kayrros_ext.cli.seen import resolve
from kayrros_ext.cli.waiting import download_bar
from kayrros_ext.errors import UsageError

app = typer.Typer()


@command(
    app,
    "download",
    "kayrros download 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4",
    "kayrros download 7d3c data/ --skip-existing",
    "kayrros download 7d3c data/ --overwrite --json | jq -r .sha256",
)
def download(
    run: Run,
    dataset: Annotated[str, DATASET],
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="Where to; made if it is not there.")] = Path(),
    *,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file of that name.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Let a file of that name do.")] = False,
    sha256: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="SHA-256 that the file must have.", show_default=False)
    ] = None,
) -> None:
    """Download the file of a static dataset.

    Its name is the one that the API gives it; its path is printed. It appears once it is whole and checked. What breaks
    off is gone on from, by the next call too. A file that is there is left alone, and an error, unless you say otherwise.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing don't go together. Give one of them.")
    with run.connect() as kayrros, download_bar(shown=run.shows_progress) as report:
        found = kayrros.download(
            resolve(run.account(), "datasets", dataset),
            directory,
            overwrite=overwrite,
            skip_existing=skip_existing,
            sha256=sha256,
            details=True,
            progress=report,
        )
    if run.json:
        write_json({"path": found.path, "size": found.size, "sha256": found.sha256, "new": found.new})
    else:
        print(found.path)
        run.say(f"{found.size:,} bytes, sha256 {found.sha256}{'' if found.new else ', was there'}")
