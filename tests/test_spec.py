"""Specifications: the papers' weight counts, what is refused and why, and the way to a file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable

import pytest
import reference
from cells import Row

from rtlstm.errors import SpecError
from rtlstm.models.forecaster import Forecaster
from rtlstm.models.network import Network
from rtlstm.spec import GRU, LSTM, RNN, VARIANTS, Init, NetworkSpec, Squash, scaled_tanh

NO_HEAD_BIAS = {"head_bias": False}
EXPERIMENTS = [
    # Hochreiter & Schmidhuber 1997, tables 10 and 11: biases as the tables say
    ("1, 4 x 1", 264, 7, LSTM(4, "1997", bias="gates"), 7, NO_HEAD_BIAS),
    ("1, 3 x 2", 276, 7, LSTM(6, "1997", block_size=2, bias="gates"), 7, NO_HEAD_BIAS),
    (
        "2a",
        10_504,
        101,
        LSTM(1, "1997", output_gate=False, recurrence="none", bias=False),
        101,
        {"head_bias": False, "head_inputs": True},
    ),
    ("2c", 364, 54, LSTM(2, "1997", bias=False), 2, NO_HEAD_BIAS),
    ("3", 102, 1, LSTM(3, "1997"), 1, NO_HEAD_BIAS),
    ("4, 5", 93, 2, LSTM(4, "1997", block_size=2), 1, {}),
    ("6a", 156, 8, LSTM(4, "1997", block_size=2), 4, {}),
    ("6b", 308, 8, LSTM(6, "1997", block_size=2), 8, {}),
    # Gers, Schmidhuber & Cummins 2000; Gers, Schraudolph & Schmidhuber 2002
    ("continual Reber grammar", 424, 7, LSTM(8, "2000", block_size=2), 7, {"head_inputs": True}),
    ("timing", 17, 1, LSTM(1, "2002"), 1, {}),
]


@pytest.mark.parametrize(
    ("weights", "inputs", "layer", "outputs", "options"),
    [row[1:] for row in EXPERIMENTS],
    ids=[row[0] for row in EXPERIMENTS],
)
def test_weights_of_the_papers(weights, inputs, layer, outputs, options) -> None:
    net = Network(inputs, layer, outputs, **options)
    assert net.weights == weights
    assert {name: view.shape for name, view in net.parameters.items()} == reference.shapes(net.spec)


@pytest.mark.parametrize("layer", [row[3] for row in EXPERIMENTS], ids=repr)
def test_a_layer_shows_what_makes_it_again(layer: object) -> None:
    names = {kind.__name__: kind for kind in (GRU, LSTM, RNN, Init, Squash)}
    assert eval(repr(layer), names) == layer  # noqa: S307
    assert len(repr(layer)) < 130


def test_usual_layers_are_shown_in_a_word() -> None:
    assert repr(LSTM(32)) == "LSTM(32)"
    assert repr(LSTM(4, "CIFG")) == "LSTM(4, variant='CIFG')"
    assert repr(GRU(3, residual=True)) == "GRU(3, residual=True)"
    assert repr(RNN(2, "relu")).startswith("RNN(2, activation=Squash(kind='relu'")
    assert len(str(inspect.signature(Forecaster))) < 500


def stack(
    *layers: object, inputs: object = 3, outputs: object = 2, **options: object
) -> NetworkSpec:
    return NetworkSpec(inputs, layers, outputs, **options)  # type: ignore[arg-type]


NO_GATES = {"input_gate": False, "forget_gate": False, "output_gate": False}
REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: LSTM(0), r"units must be a whole number from 1 to \d+, got 0"),
    (lambda: LSTM(-1), "units must be a whole number"),
    (lambda: LSTM(2.0), "units must be a whole number"),
    (lambda: LSTM(True), "units must be a whole number"),
    (lambda: LSTM("8"), "units must be a whole number"),
    (lambda: LSTM(10**9), "units must be a whole number from 1 to 65536"),
    (lambda: LSTM(4, "VANILLA"), "variant must be one of vanilla.*got 'VANILLA'"),
    (lambda: LSTM(4, None), "variant must be one of"),
    (lambda: LSTM(4, input_gate=1), "input_gate must be one of"),
    (lambda: LSTM(4, input_gate="coupled"), "input_gate must be one of"),
    (lambda: LSTM(4, forget_gate="tied"), "forget_gate must be one of"),
    (lambda: LSTM(4, output_gate=0), "output_gate must be one of"),
    (lambda: LSTM(4, peepholes="yes"), "peepholes must be one of"),
    (lambda: LSTM(4, recurrence="full"), "recurrence must be one of.*got 'full'"),
    (lambda: LSTM(4, bias="all"), "bias must be one of"),
    (lambda: LSTM(4, bias=1), "bias must be one of"),
    (lambda: LSTM(5, block_size=2), "units must be a multiple of block_size, got 5 and 2"),
    (lambda: LSTM(4, block_size=0), "block_size must be a whole number"),
    (lambda: LSTM(4, block_size=8), "block_size must be a whole number from 1 to 4"),
    (lambda: LSTM(4, "CIFG", input_gate=False), "coupled forget gate .* needs an input gate"),
    (lambda: LSTM(4, "vanilla", **NO_GATES), "peepholes feed gates, and this layer has no gates"),
    (lambda: LSTM(4, "NP", bias="gates", **NO_GATES), "bias feed gates?, .* has no gates"),
    (lambda: LSTM(4, "NP", recurrence="all", **NO_GATES), "gate recurrence .* has no gates"),
    (lambda: LSTM(4, "NP", recurrence="gates", **NO_GATES), "gate recurrence .* has no gates"),
    (lambda: LSTM(4, input_squash="relu"), "input_squash must be one of"),
    (lambda: LSTM(4, output_squash=Squash("cube")), "output_squash must be one of"),
    (lambda: LSTM(4, input_squash=2), "input_squash must be one of"),
    (lambda: RNN(4, "logistic"), "activation must be one of 'tanh', 'relu', 'identity'"),
    (lambda: scaled_tanh(0.0, 1.0), "constants other than zero up to .*, got 0.0"),
    (lambda: scaled_tanh(1.0, float("nan")), "scaled_tanh needs constants .*, got nan"),
    (lambda: GRU(4, residual=True, highway=True), "residual or a highway connection .* not both"),
    (lambda: GRU(4, residual=1), "residual must be one of"),
    (lambda: GRU(4, highway="yes"), "highway must be one of"),
    (lambda: RNN(4, init="he"), "init must be one of"),
    (lambda: RNN(4, init=-0.1), "init input must be one of .* or a range from 0 to .*, got -0.1"),
    (lambda: RNN(4, init=float("inf")), "init must be one of"),
    (lambda: Init(peephole="orthogonal"), "init peephole must be one of"),
    (lambda: Init(gate_bias={"f": "one"}), "init gate_bias of 'f' must be numbers"),
    (lambda: LSTM(4, init=Init(gate_bias={"q": 1.0})), "init gate_bias names 'q'"),
    (lambda: LSTM(4, init=Init(gate_bias={"o": (-1, -2)})), "gate_bias of 'o' needs 1 or 4 values"),
    (lambda: stack(LSTM(4), inputs=0), "inputs must be a whole number"),
    (lambda: stack(LSTM(4), inputs=2.5), "inputs must be a whole number"),
    (lambda: stack(LSTM(4), outputs=0), "outputs must be a whole number"),
    (lambda: stack(), "layers must be 1 to 64 of"),
    (lambda: stack(*[GRU(1)] * 65), "layers must be 1 to 64 of"),
    (lambda: stack("LSTM"), "layers must be 1 to 64 of"),
    (lambda: stack(LSTM(4, residual=True)), "layer 0 has a residual .* units must equal.*4 and 3"),
    (lambda: stack(GRU(3), GRU(4, highway=True)), "layer 1 has a highway .*: 4 and 3"),
    (lambda: stack(LSTM(4), head=None), "outputs must be 4, got 2"),
    (lambda: stack(LSTM(2), head=None, head_inputs=True), "head_inputs=True needs a head"),
    (lambda: stack(LSTM(4), head="sigmoid"), "head must be one of"),
    (lambda: stack(LSTM(4), head_bias=1), "head_bias must be one of"),
    (lambda: stack(LSTM(4), dtype="float16"), "dtype must be one of"),
    (lambda: stack(LSTM(4), seed=-1), "seed must be an integer"),
    (lambda: stack(LSTM(4), seed=True), "seed must be an integer"),
    (lambda: NetworkSpec.from_dict({}), "not the description of a network"),
    (lambda: NetworkSpec.from_dict({"layers": [{"cell": "CNN"}]}), "not the description"),
    (lambda: NetworkSpec.from_dict({"layers": 3}), "not the description of a network"),
    (
        lambda: NetworkSpec.from_dict({"layers": [{"cell": "GRU", "units": 2, "colour": 1}]}),
        "not the description of a network",
    ),
]


@pytest.mark.parametrize(("make", "why"), REFUSED, ids=[why[:40] for _, why in REFUSED])
def test_refused_when_made(make: Callable[[], object], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        make()


def test_json_and_back(row: Row) -> None:
    spec = row.spec(3)
    again = NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)


def test_json_keeps_initial_weights() -> None:
    init = Init(0.2, "orthogonal", gate_bias={"o": (-1, -2), "f": 1.0})
    spec = stack(LSTM(2, init=init), GRU(2, init="torch"), head_init=0.1)
    assert NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_part_of_a_variant_can_be_overridden(variant: str) -> None:
    layer = LSTM(4, variant, forget_gate=True, peepholes=True, recurrence="none", bias=False)
    assert (layer.forget_gate, layer.peepholes) == (True, True)
    assert (layer.recurrence, layer.biased) == ("none", ())
    assert layer.peeps == layer.gates
