"""The command `kayrros`. The extra `cli` installs what it needs."""

import signal
import sys

# Packages of the extra, by import name.
_REQUIRED = {"typer", "rich"}


def main() -> int:
    """Run the command with the arguments of the process; return its exit code."""
    _exit_on_termination()
    try:
        import rich  # noqa: F401 - imported later where it is used; checked here to fail early

        from kayrros_ext.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _REQUIRED:
            raise
        from kayrros_ext._results.convert import install_command

        sys.stderr.write(f"The command kayrros needs the extra `cli`. Run: {install_command('cli')}\n")
        return 1
    except KeyboardInterrupt:  # imports take a while on a cold disk
        sys.stderr.write("\nkayrros: interrupted\n")
        return 130
    return run(sys.argv[1:])


def _exit_on_termination() -> None:
    """Turn SIGTERM and SIGHUP (`timeout`, a scheduler, a closed terminal) into SystemExit, so that clean-up runs."""

    def terminate(number: int, _: object) -> None:
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, terminate)
