"""The hybrid of RTRL and BPTT: exact gradients of blocks, the past before a block in S.

The gradient of a block's losses is BPTT through the block plus (dL/ds at its start) S; the weights
move once a block, S after it, with the weights of the block. Schmidhuber 1992 (see `influence`).
"""

from __future__ import annotations

import math

from rtlstm.kernels import blocks, influence
from rtlstm.kernels import plan as p
from rtlstm.kernels.blocks import over_blocks
from rtlstm.kernels.cells import layer_at
from rtlstm.kernels.jit import kernel
from rtlstm.kernels.learning import clear_overflow
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


run = over_blocks(close)
