"""What rules that learn window by window keep in an arena: past steps, an influence matrix.

`rtlstm.layouts.rules` names these functions in its table; each takes its arrays from the arena and
notes their places in the plan. What a checkpoint must hold to go on bit by bit is kept by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.kernels import plan as p
from rtlstm.layouts.arena import ArenaLayout
from rtlstm.layouts.network import record
from rtlstm.spec import NetworkSpec
from rtlstm.training import Rule

Plan = np.ndarray[Any, Any]
BPTT_STEPS = 1000  # the longest sequence of `bptt` that is not told another
SHORTEST_WINDOW, LONGEST_WINDOW = (
    4,
    64,
)  # windows of `rtrl`, half as long as there are units between these
SLAB, PANEL = 16, 32  # rows and columns of W whose influence a push moves at once


def window_rule(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, rule: Rule) -> None:
    """`tbptt` and `bptt`: the steps of a window and their errors."""
    steps = rule.block or BPTT_STEPS
    step_history(spec, plan, arena, steps, steps)
    plan[p.HISTORY], plan[p.HISTORY_LEN] = arena.sizes["f"], 0
    plan[p.PERIOD] = steps if rule.name == "tbptt" else -1


def hybrid(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, rule: Rule) -> None:
    """A window of as many steps as units, by default, and the influence matrix."""
    steps = rule.block or units(spec)
    step_history(spec, plan, arena, steps, steps)
    plan[p.PERIOD] = steps
    influence(spec, plan, arena)


def rtrl(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, rule: Rule) -> None:
    """Two windows, their weights, and the influence matrix.

    Of the window before, what is still needed is kept; the push of the matrix to the start of this
    window is spread over its first steps.
    """
    steps = rule.block or min(max(units(spec) // 2, SHORTEST_WINDOW), LONGEST_WINDOW)
    plan[p.PERIOD] = -(-2 * steps // 5)
    plan[p.JACOBIAN_PERIOD] = -(-plan[p.PERIOD] // 4)
    step_history(spec, plan, arena, steps, steps + int(plan[p.PERIOD]))
    bottom, end = record(plan, 0), plan[p.HEAD_W]
    if spec.head is None:
        end = plan[p.THETA] + plan[p.THETA_LEN]
    plan[p.BODY] = plan[p.THETA] + bottom[p.M] * bottom[p.R]  # nothing flows back into the inputs
    plan[p.BODY_LEN] = end - plan[p.BODY]
    plan[p.H_THETA] = arena.reserve("f", plan[p.RING], plan[p.BODY_LEN], save="history.weights")
    plan[p.START_ADJOINT] = arena.reserve("f", int(plan[p.STATE_LEN]))
    influence(spec, plan, arena)


def units(spec: NetworkSpec) -> int:
    """Units of all layers."""
    return sum(layer.units for layer in spec.layers)


def step_history(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, window: int, ring: int) -> None:
    """A ring of slots, each a frame, dL/d(PRE) and dL/da of a step; the kept gradient."""
    plan[p.WINDOW], plan[p.RING] = window, ring
    slot = ArenaLayout()
    for number in range(len(spec.layers)):
        r = record(plan, number)
        r[p.L_DA] = slot.reserve("f", int(r[p.R]))
    plan[p.DA_LEN], plan[p.ERROR_LEN] = slot.sizes["f"], spec.outputs
    plan[p.GRADIENT] = arena.reserve("f", int(plan[p.THETA_LEN]), save="gradient")
    plan[p.H_FRAME] = arena.reserve("f", ring, int(plan[p.FRAME_LEN]), save="history.frames")
    plan[p.H_ERROR] = arena.reserve("f", ring, spec.outputs, save="history.errors")
    plan[p.H_DA] = arena.reserve("f", ring, int(plan[p.DA_LEN]))


def influence(spec: NetworkSpec, plan: Plan, arena: ArenaLayout) -> None:
    """The influence matrix of every layer and of its peepholes, and what a push needs."""
    state = int(plan[p.STATE_LEN])
    first = 0
    plan[p.HISTORY] = arena.sizes["f"]
    for number, layer in enumerate(spec.layers):
        r = record(plan, number)
        r[p.FIRST], r[p.REACH] = first, state - first
        name, peeps = f"influence.layer{number}", len(getattr(layer, "peeps", ()))
        r[p.TRACE] = arena.reserve("f", r[p.K], r[p.REACH], r[p.R], save=name)
        if peeps:
            r[p.TRACE_PEEP] = arena.reserve("f", peeps, r[p.REACH], r[p.NP], save=f"{name}.p")
        first += int((2 - r[p.TIED]) * r[p.NP] + r[p.BACK] * r[p.NBP])
    plan[p.HISTORY_LEN] = arena.sizes["f"] - plan[p.HISTORY]
    for number in range(len(spec.layers)):
        r = record(plan, number)
        name = f"push.layer{number}"
        r[p.PUSH] = arena.reserve("f", r[p.REACH], plan[p.WINDOW], r[p.R], save=name)
    plan[p.JACOBIAN] = arena.reserve("f", state, state, save="push.jacobian")
    plan[p.JACOBIAN_ROWS] = min(max(state // 4, 8), state)
    plan[p.SLAB], plan[p.PANEL_LEN] = SLAB, PANEL
    plan[p.JACOBIAN_WORK] = arena.reserve("f", plan[p.JACOBIAN_ROWS], plan[p.WORK_LEN])
    plan[p.PANEL] = arena.reserve("f", state, PANEL)
    plan[p.INPUTS_PACKED] = arena.reserve("f", plan[p.WINDOW], SLAB)
