"""The command `kayrros`, an add-on: the extra `cli` brings what it stands on. docs/cli.md says what it does."""

import sys

# What the extra brings, by the name it is imported by.
_NEEDED = {"typer", "rich"}


def main() -> int:
    """Run the command on the arguments of the process; its exit code."""
    try:
        import rich  # noqa: F401 - what needs it imports it later, and would fail then

        from kayrros_ext.cli.app import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write('The command kayrros needs an extra. Run: pip install "kayrros-client[cli]"\n')
        return 1
    except KeyboardInterrupt:  # while the modules are read, which takes a while on a cold disk
        sys.stderr.write("\nkayrros: interrupted\n")
        return 130
    return run(sys.argv[1:])
