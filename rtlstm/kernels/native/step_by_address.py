"""A learning rule's step, called by its address: one kernel of rows for all rules, compiled once.

The rule is compiled when its first step is due, not with the kernel that calls it.
"""

from __future__ import annotations

from rtlstm.kernels.compiler.jit import kernel
from rtlstm.kernels.native import call_plan as c
from rtlstm.kernels.native.memory import run_rule


@kernel
def step(_arrays, call):
    """The step that `call` tells the place of, on the input and target that wait."""
    return run_rule(call[c.CODE], call[c.TABLE], call[c.WHO], call[c.X], call[c.Y], call[c.P], 1)
