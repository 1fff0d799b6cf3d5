"""BPTT in windows that do not overlap (`tbptt`), and over everything since the reset (`bptt`).

The weights stand still within a window; its gradient is that of the sum of its losses, the state at
its start held constant. A window of `tbptt` closes when it is full; one of `bptt` is closed by the
learner's reset alone, and refuses a step for which there is no room (FULL).
"""

from __future__ import annotations

from rtlstm.kernels import plan as p
from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.learn import history
from rtlstm.kernels.learn.history import over_windows
from rtlstm.kernels.learn.optimizers import copy_gradient as gradient

__all__ = ["close", "gradient", "run"]


@kernel
def close(plan, f, d, q):
    """One update from the steps that wait, if there are any."""
    if q[p.Q_WINDOW_STEPS] > 0:
        history.gradient_of_window(plan, f, q[p.Q_WINDOW_STEPS])
        history.apply_gradient(plan, f, d, q)


run = over_windows(close)
