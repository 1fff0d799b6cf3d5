"""The commands of `rtlstm`, each of them short: the work is done elsewhere."""

import click

import rtlstm
from rtlstm.cli.inspect import inspect
from rtlstm.cli.stream import stream


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(rtlstm.__version__, package_name="rtlstm")
def commands() -> None:
    """LSTM networks that learn from every sample of a stream as it passes."""


commands.add_command(stream)
commands.add_command(inspect)
