"""What is compiled of a model: its arrays, the tables of them, and the C functions over these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.kernels import plan as p
from rtlstm.kernels.tasks import anomaly_plan as a
from rtlstm.kernels.tasks import forecast_plan as k
from rtlstm.layouts import rules
from rtlstm.layouts.forecaster import TIMES
from rtlstm.models.base import Model
from rtlstm.models.detector import Detector
from rtlstm.models.forecaster import Forecaster
from rtlstm.models.learner import Learner
from rtlstm.models.network import Network

Array = np.ndarray[Any, Any]
BUFFERS = ("f", "d", "q", "h")


@dataclass(frozen=True)
class Function:
    """A C function of the object: int NAME_x(parameters).

    parameters: (kind, C type, name) of each. More: what `kernels.compiler.device` needs to know.
    """

    name: str
    comment: str
    parameters: Sequence[tuple[str, str, str]]
    more: dict[str, Any]

    def declared(self, model: str, owned: bool = False) -> str:
        """Its declaration in C; owned: over a struct of the caller's."""
        of = [f"{model}_t *own"] if owned else []
        of += [f"{c} *{own}" if kind == "ptr" else f"{c} {own}" for kind, c, own in self.parameters]
        return f"/* {self.comment} */\nint {model}_{self.name}({', '.join(of) or 'void'});"

    def request(self) -> dict[str, Any]:
        """As the compiler reads it."""
        return {
            "name": self.name,
            "parameters": [(kind, own) for kind, _, own in self.parameters],
            **self.more,
        }


@dataclass
class Program:
    """A model on its way to a chip. sizes: what NAME.h defines; values: doubles that it reads."""

    kind: str
    arrays: dict[str, Array]
    tables: dict[str, list[str]]
    functions: list[Function]
    sizes: dict[str, int]
    values: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    owned: bool = False  # the caller has the buffers, in a struct, and as many of them as it likes

    @property
    def buffers(self) -> dict[str, Array]:
        """What lies in RAM: weights, state, and all that learning holds."""
        return {key: self.arrays[key] for key in BUFFERS if key in self.arrays}

    @property
    def state_bytes(self) -> int:
        """Bytes of the buffers, which NAME_export writes one after the other."""
        return sum(values.nbytes for values in self.buffers.values())

    def request(self, name: str, target: Sequence[str], small: bool) -> dict[str, Any]:
        """As the compiler reads it."""
        return {
            "name": name,
            "target": list(target),
            "small": small,
            "owned": self.owned,
            "constants": [key for key in self.arrays if key not in BUFFERS],
            "tables": self.tables,
            "functions": [function.request() for function in self.functions],
        }


def program(model: Model) -> Program:
    """What of a model is compiled; raises SpecError for one that is not built for chips."""
    if isinstance(model, Network):
        return _network(model)
    if isinstance(model, Learner):
        return _learner(model)
    if isinstance(model, Forecaster | Detector):
        return _forecaster(model)
    raise SpecError(
        "a Network, Learner, Forecaster or Detector is built for chips, not a"
        f" {type(model).__name__}"
    )


def _single(net: Network) -> None:
    if net.spec.dtype != "float32":
        raise SpecError("a chip runs float32 networks; this one is float64")


def _network(net: Network) -> Program:
    _single(net)
    arrays = {"plan": net._plan.copy(), "f": net._f.copy()}
    weights = "h" if net.spec.storage else "f"
    if net.spec.storage:
        arrays["h"] = net._h.copy()
    dtypes = ["uint16" if net.spec.storage else "float32", "float32"]
    step = {"entry": "network.run", "table": "network", "dtypes": dtypes}
    state = [int(net._plan[p.STATE]), int(net._plan[p.STATE_LEN])]
    functions = [
        Function(
            "step",
            "Predict y from x, move the state; not 0: x was not finite and nothing moved.",
            [("ptr", "const float", "x"), ("ptr", "float", "y")],
            step | {"arguments": ["x", "y", 1]},
        ),
        Function("reset", "Set the state to zero.", [], {"clears": ["f", *state]}),
    ]
    sizes = {"INPUTS": net.spec.inputs, "OUTPUTS": net.spec.outputs}
    return Program("network", arrays, {"network": ["plan", weights, "f"]}, functions, sizes)


def _learner(learner: Learner) -> Program:
    spec, net = learner.spec, learner.net
    _single(net)
    if spec.delay:
        raise SpecError("a learner that waits for late labels is not built: its delay must be 0")
    for found, what in (
        (learner._plan[p.SAMPLE] != net.spec.inputs, "with dropout before the head"),
        (callable(spec.optimizer.lr), "whose learning rate follows a schedule"),
        (spec.rule.name == "bptt", "of the rule 'bptt', which learns where a sequence ends,"),
    ):
        if found:
            raise SpecError(f"a learner {what} is not built for chips")
    arena, rule = learner._arena, rules.rule_row(spec.rule).kernels
    arrays = {"plan": learner._plan.copy()}
    arrays |= {"f": arena.f.copy(), "d": arena.d.copy(), "q": arena.q.copy()}
    arrays["first"] = np.zeros(1, np.int64)
    arrays["unknown"] = np.full(net.spec.outputs, np.nan, np.float32)
    x, y = ("ptr", "const float", "x"), ("ptr", "float", "y")
    step = {"entry": f"{rule}.step", "table": "learner", "dtypes": ["float32"]}
    functions = [
        Function(
            "learn",
            "Predict y from x, then learn from target (NaN: unknown); not 0: x was refused.",
            [x, ("ptr", "const float", "target"), y],
            step | {"arguments": ["@first", "x", "target", "y", 1]},
        ),
        Function(
            "step",
            "Predict only; the state moves on.",
            [x, y],
            step | {"arguments": ["@first", "x", "@unknown", "y", 1]},
        ),
        Function(
            "reset",
            "Set state and traces to zero; weights stay.",
            [],
            step | {"entry": "learner.begin", "arguments": [0]},
        ),
    ]
    sizes = {"INPUTS": net.spec.inputs, "OUTPUTS": net.spec.outputs}
    return Program("learner", arrays, {"learner": ["plan", "f", "d", "q"]}, functions, sizes)


def _forecaster(model: Forecaster | Detector) -> Program:
    inner = model if isinstance(model, Forecaster) else model.forecaster
    spec, arena, plan = inner.spec, inner._arena, inner._plan
    _single(inner.network)
    arrays = {"plan": plan.copy(), "net": inner._net.copy()}
    arrays |= {"f": arena.f.copy(), "d": arena.d.copy(), "q": arena.q.copy()}
    late = TIMES.index(spec.times)
    rule = rules.rule_row(spec.rule).kernels
    functions = [
        Function(
            "update",
            "Take in a row at a time in seconds (NAN: no clock), learn from it (or not: learn 0),\n"
            "   forecast the rows that follow: values, then lower, then upper bounds, each\n"
            "   [HORIZONS][TARGETS]. NaN in the row: missing. 3: the time was refused.",
            [
                ("ptr", "const double", "row"),
                ("double", "double", "time"),
                ("i32", "int", "learn"),
                ("ptr", "double", "forecasts"),
            ],
            {
                "entry": f"forecaster.row_{rule}",
                "table": "forecaster",
                "dtypes": ["float32"],
                "arguments": ["row", "time", "learn", late, "forecasts"],
            },
        )
    ]
    sizes = {
        "COLUMNS": len(spec.columns),
        "TARGETS": len(spec.targets),
        "HORIZONS": len(inner.horizons),
    }
    clock, shared = int(plan[k.CLOCK]), int(plan[k.ODDNESS])
    values = {"score": ("d", clock + k.ANOMALY, "Share of normal rows less odd than the last one")}
    if isinstance(model, Detector):
        values["flag"] = ("d", shared + a.S_FLAG, "1: an odd spell begins at the last row")
        values["inside"] = ("d", shared + a.S_INSIDE, "1: an odd spell lasts")
        values["alarm"] = (
            "d",
            shared + a.S_ALARM,
            "How alarming the last row was, for a threshold",
        )
    tables = {"forecaster": ["plan", "net", "f", "d", "q"]}
    return Program(model.kind, arrays, tables, functions, sizes, values)
