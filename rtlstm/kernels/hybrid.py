"""The hybrid of RTRL and BPTT: exact gradients of blocks, the past before a block in S.

The gradient of a block's losses is BPTT through the block plus (dL/ds at its start) S; the weights
move once a block, S after it, with the weights of the block. Schmidhuber 1992 (see `influence`).
"""

from __future__ import annotations

import math

from rtlstm.kernels import blocks, influence
from rtlstm.kernels import plan as p
from rtlstm.kernels.cells import layer_at
from rtlstm.kernels.jit import kernel
from rtlstm.kernels.learning import clear_overflow, over_rows
from rtlstm.kernels.update import dense_gradient as gradient

__all__ = ["close", "gradient", "run"]


@kernel
def close(plan, f, d, q):
    """One update from the steps that wait, if there are any; S moves past a whole block."""
    count = q[p.Q_ROW]
    if count == 0:
        return
    blocks.gradient_of_block(plan, f, count)
    adjoint = plan[p.WORK] + plan[p.ADJOINT]
    for layer in range(plan[p.LAYERS]):
        at = layer_at(layer)
        influence.read_rows(plan, at, f, adjoint, (0, plan[at + p.K]), (0, plan[at + p.R]))
        influence.read_peepholes(plan, at, f, adjoint)
        blocks.clear_dead(plan, at, f)
    if count == plan[p.BLOCK]:
        influence.push(plan, f, 0, 0, influence.units(plan))
    blocks.settle(plan, f, d, q)
    if not math.isfinite(d[p.D_NORM]):
        clear_overflow(plan, f, q)


@kernel
def step(plan, f, d, q, x, y, out):
    """Predict into out (OUTPUTS) and note the step; a block that is full then closes."""
    status = blocks.record(plan, f, d, q, x, y, out)
    if status == p.OK and q[p.Q_ROW] == plan[p.TURN]:
        close(plan, f, d, q)
    return status


run = over_rows(step)
