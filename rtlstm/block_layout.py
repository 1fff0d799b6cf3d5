"""What the rules of blocks keep in a learner's block: a history of steps, an influence matrix.

`rtlstm.rules` names these functions in its table; each takes its arrays from the arena and notes
their places in the plan. What a checkpoint must hold to go on bit by bit is kept by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.layout import Arena, record
from rtlstm.optim import Rule
from rtlstm.spec import NetworkSpec

Plan = np.ndarray[Any, Any]
BPTT_STEPS = 1000  # the longest sequence of `bptt` that is not told another


def window(spec: NetworkSpec, plan: Plan, arena: Arena, rule: Rule) -> None:
    """`tbptt` and `bptt`: the steps of a block and their errors."""
    steps = rule.block or BPTT_STEPS
    history(spec, plan, arena, steps, steps)
    plan[p.HISTORY], plan[p.HISTORY_LEN] = arena.sizes["f"], 0
    plan[p.TURN] = steps if rule.name == "tbptt" else -1


def history(spec: NetworkSpec, plan: Plan, arena: Arena, block: int, ring: int) -> None:
    """A ring of slots, each a frame, dL/d(PRE) and dL/da of a step; the kept gradient."""
    plan[p.BLOCK], plan[p.RING] = block, ring
    slot = Arena()
    for number in range(len(spec.layers)):
        r = record(plan, number)
        r[p.L_DA] = slot.take("f", int(r[p.R]))
    plan[p.DA_LEN], plan[p.ERROR_LEN] = slot.sizes["f"], spec.outputs
    plan[p.GRADIENT] = arena.take("f", int(plan[p.THETA_LEN]), keep="gradient")
    plan[p.H_FRAME] = arena.take("f", ring, int(plan[p.FRAME_LEN]), keep="history.frames")
    plan[p.H_ERROR] = arena.take("f", ring, spec.outputs, keep="history.errors")
    plan[p.H_DA] = arena.take("f", ring, int(plan[p.DA_LEN]))
