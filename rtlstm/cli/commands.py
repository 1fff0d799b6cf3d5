"""The commands of `rtlstm` by name; each is imported when it is asked for."""

from importlib import import_module

import click

import rtlstm

_MODULES = {
    "stream": "rtlstm.cli.stream",
    "detect": "rtlstm.cli.detect",
    "classify": "rtlstm.cli.label",
    "regress": "rtlstm.cli.label",
    "export": "rtlstm.cli.onnx",
    "verify": "rtlstm.cli.onnx",
    "inspect": "rtlstm.cli.inspect",
    "warmup": "rtlstm.cli.warmup",
    "build": "rtlstm.cli.build",
    "import-state": "rtlstm.cli.build",
    "bench": "rtlstm.cli.bench",
    "compare": "rtlstm.cli.compare",
    "reproduce": "rtlstm.cli.reproduce",
    "tune": "rtlstm.cli.tune",
}


class Commands(click.Group):
    """A group that knows its commands' names alone, so that none waits for another's imports."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        command: click.Command = getattr(
            import_module(_MODULES[cmd_name]), cmd_name.replace("-", "_")
        )
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rtlstm.__version__, package_name="rtlstm")
def commands() -> None:
    """LSTM networks that learn from every sample of a stream as it passes."""
