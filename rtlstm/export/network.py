"""A network's forward pass as a graph: one step, or whole sequences; operators or plain ones.

The guard stands inside the graph, since onnxruntime's operators turn a NaN into a finite value:
where in-process the sample is refused and the state stays, here the answer of that row is NaN and
its state is handed on unchanged. Over sequences that is the policy of ``Network.run``: a sequence
with one bad value is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.export import cells, operators
from rtlstm.export import weights as w
from rtlstm.export.cells import Values
from rtlstm.export.graph import Array, Graph
from rtlstm.spec import LSTM, Layer, NetworkSpec

FORMS = ("auto", "operator", "primitive")


@dataclass(frozen=True)
class Slot:
    """One array of the state: y (as h), c, or a gate that feeds back, of one layer."""

    layer: int
    letter: str
    width: int

    @property
    def source(self) -> str:
        """The graph's input."""
        return f"{self.letter}0.layer{self.layer}"

    @property
    def target(self) -> str:
        """The graph's output."""
        return f"{self.letter}.layer{self.layer}"

    @property
    def key(self) -> str:
        """The name in ``Network.state``."""
        return f"layer{self.layer}.{'y' if self.letter == 'h' else self.letter}"


def slots(spec: NetworkSpec) -> list[Slot]:
    """The state of a network, in the order of the graph's inputs and outputs."""
    return list(_slots(spec))


def _slots(spec: NetworkSpec) -> Iterator[Slot]:
    for k, layer in enumerate(spec.layers):
        yield Slot(k, "h", layer.units)
        if "c" in layer.cell.state:
            yield Slot(k, "c", layer.units)
        for letter in cells.fed_back(layer):
            yield Slot(k, letter, cells.letters(layer)[letter])


@dataclass(frozen=True)
class Recipe:
    """How a network is written: its weights by name, and the choices of the caller."""

    spec: NetworkSpec
    parameters: Mapping[str, Array]
    form: str = "auto"
    sequence: bool = False
    quantize: str | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise SpecError(f"form must be one of {FORMS}, got {self.form!r}")
        w.check_quantize(self.quantize)
        if self.form != "operator":
            return
        if self.quantize == "int8":
            raise SpecError("int8 weights need plain operators: form='auto' or 'primitive'")
        for k, layer in enumerate(self.spec.layers):
            why = operators.why_not(layer)
            if why:
                raise SpecError(f"ONNX's operator cannot express layer {k}: {why}; use form='auto'")

    def of(self, k: int) -> dict[str, Array]:
        """The parameters of one layer, without its name."""
        start = f"layer{k}."
        return {n.removeprefix(start): v for n, v in self.parameters.items() if n.startswith(start)}

    def takes_operator(self, layer: Layer) -> bool:
        """Whether this layer is written as ONNX's operator."""
        auto = self.form == "auto" and self.quantize != "int8" and operators.is_standard(layer)
        return auto or self.form == "operator"


def forward(g: Graph, recipe: Recipe, x: str, before: Mapping[str, str]) -> tuple[str, Values]:
    """All layers and the head on x, (batch, inputs) or (length, batch, inputs).

    before: state by the slots' targets. Returns the answer and the new state, both unguarded.
    """
    after: Values = {}
    value = x
    for k, layer in enumerate(recipe.spec.layers):
        mine = {
            letter: before[f"{letter}.layer{k}"]
            for letter in ("h", "c", *cells.fed_back(layer))
            if f"{letter}.layer{k}" in before
        }
        y, new = _layer(g, recipe, k, value, mine)
        after |= {f"{letter}.layer{k}": new[letter] for letter in mine}
        value = _hand_on(g, recipe, k, value, y)
    return _head(g, recipe, x, value), after


# --------------------------------------------------------------------------- layers
def _layer(g: Graph, recipe: Recipe, k: int, x: str, before: Values) -> tuple[str, Values]:
    layer = recipe.spec.layers[k]
    if recipe.takes_operator(layer):
        return _operator(g, recipe, k, x, before)
    inputs = recipe.spec.layers[k - 1].units if k else recipe.spec.inputs
    packed = cells.pack(layer, recipe.of(k), inputs)
    write = _scan if recipe.sequence else _step
    return write(g, recipe, k, packed, x, before)


def _operator(g: Graph, recipe: Recipe, k: int, x: str, before: Values) -> tuple[str, Values]:
    if not recipe.sequence:
        x = g.op("Unsqueeze", x, g.const(np.array([0])))
    layer, parameters = recipe.spec.layers[k], recipe.of(k)
    y, after = operators.run(g, layer, parameters, x, before, f"layer{k}", recipe.quantize)
    return (y if recipe.sequence else after["h"]), after


def _recurrent(g: Graph, layer: Layer, before: Values) -> str:
    return g.join([before["h"], *(before[letter] for letter in cells.fed_back(layer))])


def _peeps(g: Graph, recipe: Recipe, k: int) -> Values:
    layer, parameters = recipe.spec.layers[k], recipe.of(k)
    if not isinstance(layer, LSTM):
        return {}
    return {
        letter: g.const(cells.peephole(parameters[f"p.{letter}"]), f"layer{k}.p.{letter}")
        for letter in layer.peeps
    }


def _step(
    g: Graph, recipe: Recipe, k: int, packed: cells.Packed, x: str, before: Values
) -> tuple[str, Values]:
    """One product for all gates of the layer, then the cell."""
    layer, scope, how = recipe.spec.layers[k], f"layer{k}", recipe.quantize
    if packed.rec is None:
        a = w.gemm(g, x, packed.x, packed.b, f"{scope}.W", how if k else None)
    elif how == "int8" and k == 0:
        seen = w.gemm(g, x, packed.x, packed.b, f"{scope}.W", None)
        back = _recurrent(g, layer, before)
        a = g.op("Add", seen, w.gemm(g, back, packed.rec, None, f"{scope}.R", how))
    else:
        u = g.join([x, _recurrent(g, layer, before)])
        a = w.gemm(g, u, packed.rows, packed.b, f"{scope}.WR", how)
    parts = cells.part(g, layer, packed.widths, a)
    after = cells.step(g, layer, parts, _peeps(g, recipe, k), before)
    return after["h"], after


def _scan(
    g: Graph, recipe: Recipe, k: int, packed: cells.Packed, x: str, before: Values
) -> tuple[str, Values]:
    """The inputs' product for all times at once, then a Scan over what depends on the last step."""
    layer, scope, how = recipe.spec.layers[k], f"layer{k}", recipe.quantize
    seen = w.affine(g, x, packed.x, packed.b, f"{scope}.W", how if k else None)
    widths = {slot.letter: slot.width for slot in slots(recipe.spec) if slot.layer == k}
    body = g.body()
    last = {
        letter: body.input(f"{scope}.{letter}.last", ("batch", width))
        for letter, width in widths.items()
    }
    a = body.input(f"{scope}.a", ("batch", sum(packed.widths.values())))
    if packed.rec is not None:
        back = w.affine(body, _recurrent(body, layer, last), packed.rec, None, f"{scope}.R", how)
        a = body.op("Add", a, back)
    parts = cells.part(body, layer, packed.widths, a)
    new = cells.step(body, layer, parts, _peeps(body, recipe, k), last)
    # Identity: an output may not stand twice, and c and h can be one value
    for letter, width in widths.items():
        end = body.op("Identity", new[letter], name=f"{scope}.{letter}.next")
        body.output(end, ("batch", width))
    body.output(body.op("Identity", new["h"], name=f"{scope}.y.now"), ("batch", layer.units))
    names = [g.unique(f"{scope}.{letter}.end") for letter in widths] + [g.unique(f"{scope}.y")]
    inner = body.proto(f"{scope}.step")
    found = g.ops("Scan", names, *(before[v] for v in widths), seen, body=inner, num_scan_inputs=1)
    return found[-1], dict(zip(widths, found, strict=False))


def _hand_on(g: Graph, recipe: Recipe, k: int, x: str, y: str) -> str:
    """What the next layer sees: y, y + x, or t y + (1 - t) x."""
    layer, parameters = recipe.spec.layers[k], recipe.of(k)
    if layer.residual:
        return g.op("Add", y, x)
    if not layer.highway:
        return y
    a = w.affine(g, x, parameters["W.t"], parameters.get("b.t"), f"layer{k}.t", None)
    t = g.op("Sigmoid", a)
    # not x + t (y - x): a huge x would swallow y
    return g.op("Add", g.op("Mul", t, y), g.op("Mul", g.op("Sub", g.const(1.0), t), x))


def _head(g: Graph, recipe: Recipe, x: str, value: str) -> str:
    spec, parameters = recipe.spec, recipe.parameters
    if spec.head is None:
        return value
    seen = g.join([value, x] if spec.head_inputs else [value])
    product = w.affine if recipe.sequence else w.gemm
    a = product(g, seen, parameters["head.W"], parameters.get("head.b"), "head.W", None)
    if spec.head == "linear":
        return a
    return g.op("Sigmoid", a) if spec.head == "logistic" else g.op("Softmax", a, axis=-1)


# --------------------------------------------------------------------------- the guard
def fault(g: Graph, spec: NetworkSpec, x: str, y: str, sequence: bool = False) -> str:
    """(batch, 1): 0 where a row's inputs and answers are all finite, NaN where one is not."""
    wrong = g.row_nothing(x, spec.inputs)
    if not sequence:
        return g.row_nothing(y, spec.outputs, wrong)
    total = g.op("Add", wrong, g.row_nothing(y, spec.outputs))
    return g.op("ReduceSum", total, g.const(np.array([0])), keepdims=0)


def keep_if(g: Graph, bad: str, old: str, new: str, name: str) -> str:
    """The old value where `fault` says NaN, else the new one, under the output's name."""
    return g.op("Where", bad, old, new, name=name)


def inference(g: Graph, recipe: Recipe) -> list[str]:
    """The whole graph of a network: inputs x and state, outputs y and new state; guarded.

    Returns the names of the state inputs.
    """
    time = ("length",) if recipe.sequence else ()
    x = g.input("x", (*time, "batch", recipe.spec.inputs))
    state = slots(recipe.spec)
    before = {slot.target: g.input(slot.source, ("batch", slot.width)) for slot in state}
    y, after = forward(g, recipe, x, before)
    wrong = fault(g, recipe.spec, x, y, recipe.sequence)
    g.output(g.op("Add", y, wrong, name="y"), (*time, "batch", recipe.spec.outputs))
    bad = g.op("IsNaN", wrong)
    for slot in state:
        new = keep_if(g, bad, before[slot.target], after[slot.target], slot.target)
        g.output(new, ("batch", slot.width))
    return [slot.source for slot in state]
