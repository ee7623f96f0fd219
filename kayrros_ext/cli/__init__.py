"""The command `kayrros`, an add-on: the extra `cli` brings what it stands on. docs/cli.md says what it does."""

import signal
import sys

# What the extra brings, by the name it is imported by.
_NEEDED = {"typer", "rich"}


def main() -> int:
    """Run the command on the arguments of the process; its exit code."""
    _clean_up_when_told_to_end()
    try:
        import rich  # noqa: F401 - what needs it imports it later, and would fail then

        from kayrros_ext.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write('The command kayrros needs an extra. Run: pip install "kayrros-ext[cli]"\n')
        return 1
    except KeyboardInterrupt:  # while the modules are read, which takes a while on a cold disk
        sys.stderr.write("\nkayrros: interrupted\n")
        return 130
    return run(sys.argv[1:])


def _clean_up_when_told_to_end() -> None:
    """What `timeout`, a scheduler or a closed terminal sends would else leave half a file behind."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup has it ignored
            signal.signal(number, end)
