"""`kayrros doctor`: what is wrong, and what openapi.yaml has wrong."""

import contextlib
import itertools
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kayrros_ext.cli.context import Context, command
from kayrros_ext.cli.exit_codes import FAILED, LOGIN
from kayrros_ext.cli.name_cache import complete_datasets
from kayrros_ext.cli.output import escape, has_colour, write_json

if TYPE_CHECKING:
    from kayrros_ext.doctor import Check

_MARKS = {"ok": "32", "note": "33", "failed": "31", "skipped": "2"}


@command(
    """Check the set-up, the login, and the API against its spec.

    It asks before it sends anything, unless there is --yes, and then sends at most 20 requests that read. It writes a report
    (text and JSON), the session as HAR and a patch of openapi.yaml into a folder. They hold no secret and no data: names,
    ids, dates and values are left out or replaced. The exit code is 0; 1 where a check fails or an answer differs; 3 without
    a login.
    """,
    "kayrros doctor",
    "kayrros doctor --dataset 7d3c1a52-4f0b-4c7e-9a46-0b8f5c2e91d4 --yes",
    "kayrros doctor --yes --json | jq '.differences[].place'",
)
def doctor(
    context: Context,
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="ID",
            help="Id of the dataset to look into. [default: the first that the account can see]",
            autocompletion=complete_datasets,
            show_default=False,
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send the requests without asking.")] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="[default: kayrros-doctor-DATE]", show_default=False),
    ] = None,
) -> None:
    import datetime as dt

    from kayrros_ext._arguments import parse_uuid
    from kayrros_ext._files import output_error, parse_output
    from kayrros_ext._results.convert import import_optional
    from kayrros_ext.cli.setup_checks import check_answers, check_setup, check_way, find_hosts
    from kayrros_ext.doctor import PLAN, Doctor
    from kayrros_ext.errors import ExportError, UsageError

    if dataset is not None and parse_uuid(dataset) is None:
        raise UsageError(f"--dataset is {dataset!r:.80}, and no UUID.", hint="`kayrros datasets` lists the ids.")
    folder = parse_output(f"{output or f'kayrros-doctor-{dt.datetime.now(dt.UTC):%Y-%m-%d}'}/", is_directory=True)
    with contextlib.closing(Doctor(profile=context.profile, dataset=dataset)) as check_up:
        for check in check_up.noted(check_setup(context.profile)):
            _show(context, check)
        import_optional("jsonschema_rs", extra="doctor")
        sends = yes or _may_send(context, PLAN)
        if sends:
            hosts = find_hosts(context.profile)
            way, answers = check_up.noted(check_way(hosts)), check_up.noted(check_answers(check_up, hosts))
            for check in itertools.chain(way, check_up.check(), answers):
                _show(context, check)
            try:
                check_up.write(folder)
            except OSError as error:
                raise output_error(ExportError, folder, error) from error
            context.info(
                f"Written to {folder}: report, session.har, openapi.patch. Look at them before you share them."
            )
        if context.json:
            write_json(check_up.to_json())
    if check_up.needs_login:
        raise typer.Exit(LOGIN)
    if check_up.has_failed or not (sends or sys.stdin.isatty()):
        raise typer.Exit(FAILED)


def _may_send(context: Context, plan: str) -> bool:
    sys.stdout.flush()
    context.info(plan)
    if not sys.stdin.isatty():
        context.info("Nothing was sent. Add --yes to send these requests.")
        return False
    return bool(typer.confirm("Send them?", default=False, err=True))


def _show(context: Context, check: "Check") -> None:
    if context.json:
        return
    mark = f"{check.result:<7}"
    mark = f"\x1b[{_MARKS[check.result]}m{mark}\x1b[0m" if has_colour() else mark
    text = check.text + (f": {check.private}" if check.private else "")
    line = f"{check.name:<24} {text}." + (f" {check.advice}" if check.advice else "")
    print(mark, escape(line.replace("\n", " ")), flush=True)
