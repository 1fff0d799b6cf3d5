"""`rtlstm build`, `rtlstm import-state`: a model as an object file for a chip, and its way back."""

from pathlib import Path

import click

import rtlstm


@click.command()
@click.argument("model", type=click.Path(dir_okay=False))
@click.option("--target", help="cortex-m4, wasm32 …; see docs/chips.md.")
@click.option("--triple", help="LLVM's triple of a target that has no name here.")
@click.option("--cpu", default="", help="Its processor.")
@click.option("--features", default="", help="Its features, as LLVM writes them.")
@click.option("--abi", default="", help="Its calling convention, such as ilp32f.")
@click.option("--out", type=click.Path(file_okay=False), default="chip", show_default=True)
@click.option("--name", default="model", show_default=True, help="Of the C functions and files.")
@click.option(
    "--project",
    type=click.Choice(["cmake", "arduino", "esp-idf", "zephyr"]),
    help="Also what these build a program with.",
)
@click.option("--speed", is_flag=True, help="For speed, not for size.")
@click.option("--owned", is_flag=True, help="The state is a struct of yours: any number of models.")
def build(
    model: str,
    target: str | None,
    triple: str | None,
    out: str,
    name: str,
    project: str | None,
    speed: bool,
    owned: bool,
    **processor: str,
) -> None:
    """Compile a saved Network, Learner, Forecaster or Detector for a chip, learning included."""
    from rtlstm.export import device
    from rtlstm.kernels.compiler.targets import TARGETS, Target

    if bool(target) == bool(triple):
        raise click.UsageError("give --target or --triple")
    if target and target not in TARGETS:
        raise click.UsageError(f"no target {target!r}: there are {', '.join(TARGETS)}")
    wanted = TARGETS[target] if target else Target(str(triple), **processor)
    loaded = rtlstm.load(model)
    job = device.Job(loaded, out, name, wanted, not speed, project, owned, measured=True)
    what = f"compiling a {loaded.kind} for {target or triple}"
    click.echo(f"rtlstm: {what}, which takes from ten seconds to a few minutes", err=True)
    path = device.build_all([job])[0]
    click.echo(f"{path}: {path.stat().st_size} bytes; sizes and use: {Path(out) / 'README.md'}")


@click.command("import-state")
@click.argument("model", type=click.Path(dir_okay=False))
@click.argument("state", type=click.Path(dir_okay=False))
@click.option("--out", type=click.Path(dir_okay=False), help="Write here, not over MODEL.")
def import_state(model: str, state: str, out: str | None) -> None:
    """Bring what a chip learned back into a saved model."""
    from rtlstm.export import device

    loaded = rtlstm.load(model)
    device.import_state(loaded, Path(state).read_bytes())
    loaded.save(out or model)
    click.echo(f"{out or model}: as the chip left it")
