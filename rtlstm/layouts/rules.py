"""What each learning rule keeps in a learner's arena, and which kernels drive it.

A rule is a row of :data:`rtlstm.kernels.tables.RULES`: one kernel module with `run` (steps over
flat rows) and `gradient`, and one function, here or in `history`, that takes its arrays from the
arena and notes them in the plan. A rule's module is imported, and so compiled, only when a learner
uses it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.layouts.arena import ArenaLayout, padded
from rtlstm.layouts.network import record
from rtlstm.spec import LSTM, NetworkSpec
from rtlstm.training import Rule

Plan = np.ndarray[Any, Any]


def cell_traces(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, rule: Rule) -> None:
    """One trace a weight and cell that it feeds: (K, GROUPS, NP), peepholes (gates, S, NP)."""
    plan[p.HISTORY] = arena.sizes["f"]
    for number, layer in enumerate(spec.layers):
        r = record(plan, number)
        r[p.TRACE] = arena.reserve("f", r[p.K], r[p.GROUPS], r[p.NP], save=f"trace.layer{number}")
        gates = sum(letter in getattr(layer, "peeps", ()) for letter in "if")
        if gates:
            r[p.TRACE_PEEP] = arena.reserve(
                "f", gates, r[p.S], r[p.NP], save=f"trace.layer{number}.p"
            )
    plan[p.HISTORY_LEN] = arena.sizes["f"] - plan[p.HISTORY]


def block_traces(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, rule: Rule) -> None:
    """Per weight the state of the block it feeds: (K, PARTS, columns), and the tiles of snap1."""
    _keep_gradient(plan, arena)
    sizes = []
    plan[p.HISTORY] = arena.sizes["f"]
    for number, layer in enumerate(spec.layers):
        r = record(plan, number)
        name, peeps = f"trace.layer{number}", len(getattr(layer, "peeps", ()))
        parts = 1 if r[p.TIED] else int(2 * r[p.S] + r[p.BACK])
        columns = int(r[p.R] - (r[p.O_COL] if r[p.O_COL] >= 0 else r[p.COL_C]))
        r[p.PARTS] = parts
        r[p.TRACE] = arena.reserve("f", r[p.K], parts, columns, save=name)
        if peeps:
            r[p.TRACE_PEEP] = arena.reserve("f", peeps, r[p.S], parts, r[p.NBP], save=f"{name}.p")
        sizes.append((parts * parts + 2 * parts + int(r[p.S])) * columns + parts**2 * int(r[p.NBP]))
    plan[p.HISTORY_LEN] = arena.sizes["f"] - plan[p.HISTORY]
    for number, size in enumerate(sizes):
        record(plan, number)[p.TILES] = arena.reserve("f", size)
    _tangents(plan, arena, len(spec.layers))


def rank_one(spec: NetworkSpec, plan: Plan, arena: ArenaLayout, rule: Rule) -> None:
    """The two vectors of uoro whose product estimates the influence matrix: s~ and theta~."""
    _keep_gradient(plan, arena)
    plan[p.HISTORY_LEN] = plan[p.STATE_LEN] + plan[p.THETA_LEN]
    plan[p.HISTORY] = arena.reserve("f", int(plan[p.HISTORY_LEN]), save="trace")
    _tangents(plan, arena, len(spec.layers))


def _keep_gradient(plan: Plan, arena: ArenaLayout) -> None:
    plan[p.GRADIENT] = arena.reserve("f", int(plan[p.THETA_LEN]), save="gradient")


def _tangents(plan: Plan, arena: ArenaLayout, layers: int) -> None:
    """Scratch of a forward pass of changes: a state; dc, dc' and dx; u."""
    records = [record(plan, number) for number in range(layers)]
    widest = max(int(r[p.NP]) for r in records)
    plan[p.SCRATCH] = arena.reserve("f", int(plan[p.STATE_LEN]))
    plan[p.TANGENT], plan[p.TANGENT_LEN] = arena.reserve("f", 3, widest), widest
    plan[p.SOURCES] = arena.reserve("f", max(int(r[p.K]) for r in records))


def only_lstm(spec: NetworkSpec) -> None:
    for number, layer in enumerate(spec.layers):
        if not isinstance(layer, LSTM):
            raise SpecError(
                f"the truncated rule is defined by the carousel of an LSTM, and layer {number} is"
                f" a {type(layer).__name__}; rules for every cell are 'rtrl', 'snap1', 'uoro',"
                " 'hybrid', TBPTT(k) and 'bptt'"
            )


def rule_row(rule: Rule) -> tables.RuleRow:
    """The row of the table for a rule."""
    return tables.row(tables.RULES, rule.name)


def check_rule(rule: Rule, spec: NetworkSpec) -> None:
    """Raise SpecError for a network that the rule is not defined for."""
    check = rule_row(rule).check
    if check:
        tables.resolve(check)(spec)


def lay_out_rule(rule: Rule, spec: NetworkSpec, plan: Plan, arena: ArenaLayout) -> None:
    """Take what the rule keeps from the arena, and note in the plan where it lies."""
    tables.resolve(rule_row(rule).layout)(spec, plan, arena, rule)


def cheaper(rule: Rule) -> str:
    """What to take instead of a rule that needs too much memory."""
    if rule_row(rule).influence:
        return "take 'snap1', 'uoro' or TBPTT(k), which keep no influence matrix, or a higher limit"
    return "take a smaller network, or a higher limit"


def backward_scratch(spec: NetworkSpec, plan: Plan, arena: ArenaLayout) -> None:
    """Scratch of a backward pass: errors of the head, the adjoint of a state, of every layer."""
    scratch = ArenaLayout()
    plan[p.ERROR] = scratch.reserve("f", spec.outputs)
    plan[p.ADJOINT] = scratch.reserve("f", int(plan[p.STATE_LEN]))
    widest = int(plan[p.FEATURES_P])
    for number in range(len(spec.layers)):
        r = record(plan, number)
        n, groups, columns = int(r[p.NP]), int(r[p.GROUPS]), int(r[p.R])
        r[p.W_DA] = scratch.reserve("f", columns)
        r[p.W_DY] = scratch.reserve("f", n)
        r[p.W_DC] = scratch.reserve("f", n)
        r[p.W_DX] = scratch.reserve("f", int(r[p.M]))
        r[p.W_PHI] = scratch.reserve("f", groups, n)
        r[p.W_ERR] = scratch.reserve("f", groups, n)
        widest = max(widest, columns, n)
    plan[p.WORK_LEN] = scratch.sizes["f"]
    plan[p.WORK] = arena.reserve("f", int(plan[p.WORK_LEN]), save="work")
    plan[p.ROW] = arena.reserve("f", padded(widest))
