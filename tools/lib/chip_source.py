"""What the C source of `rtlstm export MODEL model.c` takes on a Cortex-M, compiled by gcc -Os."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import chip_machines as machines

import rtlstm
from rtlstm.export.c_source import export_c
from rtlstm.export.device.readme import sizes

CALLS = {"forward": "model_step(x, y)", "learner": "model_step(x, target, y, &lost)"}
FLAGS = ("-Os", "-ffunction-sections", "-fdata-sections")


def models() -> dict[str, rtlstm.Network | rtlstm.Learner]:
    """LSTM(16), 4 inputs, 2 outputs, as the other sizes are of."""
    net = rtlstm.Network(4, rtlstm.LSTM(16), 2, seed=1)
    optimizers = {"SGD": rtlstm.SGD(1e-2), "Adam": rtlstm.Adam(1e-3)}
    learners = {
        f"truncated, {n}": rtlstm.Learner(net, "truncated", o) for n, o in optimizers.items()
    }
    return {"forward": net, **learners}


def told(machine: machines.Machine, room: Path) -> str:
    """Rows of the table of sizes: flash is code, constants and the first values of variables."""
    if find_spec("emx_onnx_cgen") is None:
        return "C source is left out: emx-onnx-cgen not found"
    lines = []
    for n, (name, model) in enumerate(models().items()):
        place, learns = room / str(n), name != "forward"
        place.mkdir(parents=True)
        export_c(model, place / "model.c", learner=learns)
        made = machine.compiler[:1] + tuple(f for f in machine.compiler[1:] if f[:2] == "-m")
        machines.run([*made, *FLAGS, "-c", str(place / "model.c"), "-o", str(place / "model.o")])
        call = CALLS["learner" if learns else "forward"]
        own = "static float lost;" if learns else ""
        parts = {"OWN": own, "SIZE": "16", "INIT": "(void)0", "STEP": call}
        stack, instructions = machines.measured(machine, place, "model", parts)
        found = sizes((place / "model.o").read_bytes())
        lines.append(f"{'C source, ' + name:<24}{found.code:>8}{found.constants:>8}{found.ram:>9}"
                     f"{stack:>8}{instructions:>14}")  # fmt: skip
    return "\n".join(lines)
