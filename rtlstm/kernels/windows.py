"""BPTT in blocks that do not overlap (`tbptt`), and over everything since the reset (`bptt`).

The weights stand still within a block; its gradient is that of the sum of its losses, the state at
its start held constant. A block of `tbptt` closes when it is full; one of `bptt` is closed by the
learner's reset alone, and refuses a step for which there is no room (FULL).
"""

from __future__ import annotations

from rtlstm.kernels import blocks
from rtlstm.kernels import plan as p
from rtlstm.kernels.blocks import over_blocks
from rtlstm.kernels.jit import kernel
from rtlstm.kernels.update import dense_gradient as gradient

__all__ = ["close", "gradient", "run"]


@kernel
def close(plan, f, d, q):
    """One update from the steps that wait, if there are any."""
    if q[p.Q_ROW] > 0:
        blocks.gradient_of_block(plan, f, q[p.Q_ROW])
        blocks.settle(plan, f, d, q)


run = over_blocks(close)
