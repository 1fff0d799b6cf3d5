"""One step of a learner as a plain inference graph: predict, learn, hand on.

Inputs x (1, inputs), y (1, outputs; NaN: nothing to learn from), then the state; outputs prediction
(1, outputs), loss (1, 1; NaN where nothing was learned from), then the new state in the same order:
"h.layer0", "c.layer0", fed-back gates; "weights.layer0" (K, columns), "peepholes.layer0",
"weights.head" (features, outputs); the optimizer's "moment1.…", "moment2.…"; the rule's "trace.…".
Rows of weights: inputs, last outputs, last gates, bias; columns: t, o, i, f, z (LSTM), r, z, n and
n's recurrent half (GRU), a (RNN).

A device needs nothing but onnxruntime: it feeds the state back, and has a learner. A sample that is
not finite, or whose prediction would not be, is answered NaN and changes nothing; an update whose
norm is not finite, or that would move a weight by more than 1e18, is skipped, as in-process. Class
indices as targets are in-process alone: here a class is one-hot. What a finite but huge sample
teaches may differ: a gate that it shuts is 0 in-process and up to 2e-8 in a runtime, which a trace
multiplies by the sample (1e6 and more; standardised samples are far below).
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from rtlstm.export import onnx_file as model_file
from rtlstm.export.cells import Values
from rtlstm.export.graph import Array, Graph
from rtlstm.export.training import state as learner_state
from rtlstm.export.training.interface import Previous, StepContext
from rtlstm.export.training.linearise import Stage
from rtlstm.export.training.losses import loss_and_error
from rtlstm.export.training.optimizers import Update
from rtlstm.export.training.state import Shape
from rtlstm.kernels import tables
from rtlstm.layouts.rules import rule_row
from rtlstm.models.learner import Learner


def export_onnx_learner(learner: Learner, path: str | os.PathLike[str], opset: int = 14) -> None:
    """Write one learning step as ONNX, and the current state beside it as NAME.init.onnx.

    learner: with rule "truncated", "snap1" or "rtrl" and without delay; SGD, RMSProp or Adam; the
    learning rate is the current one. float32, also for a float64 learner. Raises SpecError for
    other rules, LimitError for a state that one file cannot hold.
    """
    learner_state.check(learner)
    g = Graph(model_file.check_opset(opset))
    with learner._lock:
        state = learner_state.current(learner)
        _Writer(g, learner, state).write()
    facts = {"kind": "learner", "spec": learner.spec.to_dict(), "state": list(state)}
    model_file.write(g, path, facts)
    model_file.write_init(path, opset, state)


@dataclass
class _Writer:
    """The graph of one learner in the making."""

    g: Graph
    learner: Learner
    state: dict[str, Array]

    def write(self) -> None:
        """The whole graph."""
        g, spec = self.g, self.learner.net.spec
        x = g.input("x", (1, spec.inputs))
        y = g.input("y", (1, spec.outputs))
        before = {
            source.replace("0.", ".", 1): g.input(source, start.shape)
            for source, start in self.state.items()
        }
        stages = self._stages(before)
        wrong = g.row_nothing(x, spec.inputs)
        hat = safe = g.op("Where", g.op("IsNaN", wrong), g.const(0.0), x)
        for stage in stages:
            hat = stage.step(hat)
        features, pre, p = self._head(hat, safe, before)
        wrong = g.row_nothing(p, spec.outputs, wrong)
        bad = g.op("IsNaN", wrong)
        judged = loss_and_error(g, self.learner.spec, pre, p, y)
        learnable = self._learnable(y, judged.known, wrong)
        error = g.op("Where", learnable, judged.error, g.const(0.0))
        g.output(g.op("Add", p, wrong, name="prediction"), (1, spec.outputs))
        nothing = g.const(np.nan)
        g.output(g.op("Where", learnable, judged.loss, nothing, name="loss"), (1, 1))
        self._learn(stages, before, bad, learnable, features, error)

    def _stages(self, before: Values) -> list[Stage]:
        stages = []
        for number, shape in enumerate(learner_state.shapes(self.learner)):
            owner = f"layer{number}"
            mine = {v: before[f"{v}.{owner}"] for v in shape.sources}
            peeps = self._peeps(shape, before.get(f"peepholes.{owner}", ""))
            stages.append(Stage(self.g, shape, before[f"weights.{owner}"], peeps, mine))
        return stages

    def _peeps(self, shape: Shape, stacked: str) -> Values:
        g, letters = self.g, shape.peeps
        if len(letters) < 2:
            return dict.fromkeys(letters, stacked)
        rows = g.const(np.ones(len(letters), np.int64))
        names = [g.unique("peephole") for _ in letters]
        return dict(zip(letters, g.ops("Split", names, stacked, rows, axis=0), strict=True))

    def _head(self, hat: str, x: str, before: Values) -> tuple[str, str, str]:
        """Features, pre-activations and prediction."""
        g, spec = self.g, self.learner.net.spec
        if spec.head is None:
            return "", hat, hat
        parts = [hat, *([x] if spec.head_inputs else [])]
        features = g.join([*parts, g.const([[1.0]])] if spec.head_bias else parts)
        pre = g.op("MatMul", features, before["weights.head"])
        if spec.head == "linear":
            return features, pre, pre
        p = g.op("Sigmoid", pre) if spec.head == "logistic" else g.op("Softmax", pre, axis=-1)
        return features, pre, p

    def _learnable(self, y: str, known: str, wrong: str) -> str:
        """(1, 1) whether there is a target, none is infinite, and the sample was taken."""
        g, zero, outputs = self.g, self.g.const(0.0), self.learner.net.spec.outputs
        if outputs == 1:
            return g.op("Equal", g.row_nothing(y, 1, wrong), zero)
        there = g.op("Where", g.op("IsNaN", y), zero, y)
        fine = g.op("Equal", g.row_nothing(there, outputs, wrong), zero)
        return g.op("And", g.op("Greater", known, zero), fine)

    def _learn(
        self,
        stages: list[Stage],
        before: Values,
        bad: str,
        learnable: str,
        features: str,
        error: str,
    ) -> None:
        g, spec = self.g, self.learner.net.spec
        for stage in stages:
            stage.linearise()
        gradients, dhat = {}, error
        if spec.head is not None:
            units = g.const(np.array([spec.layers[-1].units]))
            rows = g.op("Slice", before["weights.head"], g.const(np.array([0])), units)
            dhat = g.op("Gemm", error, rows, transB=1)
            gradients["weights.head"] = g.op("Gemm", features, error, transA=1)
        rule = tables.resolve(rule_row(self.learner.spec.rule).graph)
        found = rule(StepContext(g, stages, dhat, bad, before))
        gradients |= {name: self._masked(name, value) for name, value in found.gradients.items()}
        after, finite = Update(g, self.learner, before).apply(gradients, learnable)
        after |= self._traces(found.traces, finite)
        for number, stage in enumerate(stages):
            for letter in stage.shape.sources:
                name = f"{letter}.layer{number}"
                after[name] = g.op("Where", bad, before[name], stage.act[letter])
        for (name, _), start in zip(before.items(), self.state.values(), strict=True):
            g.output(g.op("Identity", after[name], name=name), start.shape)

    def _traces(self, found: dict[str, Previous], finite: str) -> Values:
        """The new traces; all begin anew if the norm is not finite because one of them is not."""
        clean, whole = self.g.body(), self.g.body()
        for name, last in found.items():
            shape = self.state[name.replace(".", "0.", 1)].shape
            whole.output(last.write(whole), shape)
            clean.output(self._cleared(clean, found, name), shape)
        names = [self.g.unique(name) for name in found]
        branches = {"then_branch": whole.proto("go on"), "else_branch": clean.proto("clear")}
        return dict(zip(found, self.g.ops("If", names, finite, **branches), strict=True))

    def _cleared(self, g: Graph, found: dict[str, Previous], name: str) -> str:
        """One trace, or zeros if any of all the traces is not finite."""
        nothing = [
            g.op("ReduceSum", g.nothing(last.write(g)), keepdims=0) for last in found.values()
        ]
        spoilt = g.op("IsNaN", g.op("Sum", *nothing))
        return g.op("Where", spoilt, g.const(0.0), found[name].write(g))

    def _masked(self, name: str, gradient: str) -> str:
        """The gradient of weights, 0 at structural zeros."""
        kind, owner = name.split(".")
        if kind != "weights":
            return gradient
        live = learner_state.shapes(self.learner)[int(owner.removeprefix("layer"))].live
        return gradient if live.all() else self.g.op("Mul", gradient, self.g.const(live))
