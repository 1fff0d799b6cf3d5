"""The command `rtlstm`: this module is the border at which every user error becomes one line."""

import sys

from rtlstm.errors import RtlstmError

USER_ERROR = 1
USAGE_ERROR = 2
INTERRUPTED = 130


def main() -> None:
    """Run the command line of this process and exit.

    Exit codes: 0 done (a stream ended with Ctrl-C or SIGTERM included), 1 something asked for
    could not be done, 2 wrong usage, 130 any other command interrupted.
    """
    try:
        from rtlstm.kernels.compiler import mode  # noqa: F401 - it judges the environment
    except (ValueError, RuntimeError) as fault:
        _say(str(fault))
        sys.exit(USER_ERROR)
    try:
        import click

        from rtlstm.cli.commands import commands
    except ImportError as missing:
        if missing.name not in ("click", "rich"):
            raise
        _say(f"the command line needs {missing.name}; install it with: pip install 'rtlstm[cli]'")
        sys.exit(USER_ERROR)
    try:
        words = sys.argv[1:] or ["--help"]
        code = commands.main(words, prog_name="rtlstm", standalone_mode=False)
    except click.UsageError as wrong:
        _say(wrong.format_message())
        code = USAGE_ERROR
    except (RtlstmError, click.ClickException, OSError, MemoryError) as fault:
        _say(message_of(fault))
        code = USER_ERROR
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    sys.exit(code)


def message_of(fault: Exception) -> str:
    """What an error says, in a line."""
    if isinstance(fault, OSError) and fault.strerror:
        return f"{fault.filename}: {fault.strerror}" if fault.filename else fault.strerror
    return str(fault) or type(fault).__name__


def _say(message: str) -> None:
    print("rtlstm:", " ".join(message.split()), file=sys.stderr)
