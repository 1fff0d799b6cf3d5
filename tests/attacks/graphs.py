"""Random ONNX graphs by the thousand, every second one broken: imported as onnxruntime runs them.

Run as a program: `python tests/attacks/graphs.py CASES SEED`, which ends with 0 if each graph that
was taken answers as in onnxruntime, each that must be taken was, and the others were refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    here = Path(__file__).resolve()
    sys.path[:0] = [str(here.parents[2]), str(here.parents[1]), str(here.parents[1] / "importers")]

import test_onnx_graphs as g

if __name__ == "__main__":
    from trying import memory_folder, try_cases
else:
    from attacks.trying import memory_folder, try_cases


def chosen(rng: np.random.Generator, of: list[Any], most: int = 1, least: int = 1) -> list[Any]:
    """Some of a list, each as likely as the others."""
    return [of[rng.integers(len(of))] for _ in range(int(rng.integers(least, most + 1)))]


def drawn(rng: np.random.Generator, broken: bool) -> tuple[g.Graph, list[int]]:
    """A graph of one to three layers, and what it is made of, by number."""
    names: dict[int, int] = {}
    for group, steps in enumerate((g.MOVES, g.CELLS, g.ENDS, g.BREAKS)):
        names |= {id(step): 100 * group + at for at, step in enumerate(steps)}
    layers = [
        (chosen(rng, g.CELLS)[0], chosen(rng, g.MOVES, 3, 0)) for _ in range(rng.integers(1, 4))
    ]
    first, end = chosen(rng, g.MOVES, 2, 0), chosen(rng, g.ENDS)[0]
    graph, steps = g.built(int(rng.integers(2**31)), first, layers, end)
    if broken:
        steps.insert(int(rng.integers(len(steps) + 1)), chosen(rng, g.BREAKS)[0])
    for step in steps:
        step(graph)
    return graph, [names[id(step)] for step in steps]


def mutated(model: Any, rng: np.random.Generator) -> None:
    """Change one to three things of a model file, whatever they are, in place."""
    for _ in range(int(rng.integers(1, 4))):
        MUTATIONS[rng.integers(len(MUTATIONS))](model, rng)


def one_of(rng: np.random.Generator, of: Any) -> Any:
    return of[rng.integers(len(of))]


def names_of(graph: Any) -> list[str]:
    found = [*(i.name for i in graph.input), *(t.name for t in graph.initializer)]
    return [*found, *(name for node in graph.node for name in node.output), ""]


def rewire(model: Any, rng: np.random.Generator) -> None:
    """Let an input of a node come from elsewhere."""
    node = one_of(rng, model.graph.node)
    if node.input:
        node.input[rng.integers(len(node.input))] = one_of(rng, names_of(model.graph))


def swap_inputs(model: Any, rng: np.random.Generator) -> None:
    node = one_of(rng, model.graph.node)
    if not node.input:
        return
    a, b = (int(rng.integers(len(node.input))) for _ in range(2))
    node.input[a], node.input[b] = node.input[b], node.input[a]


def extend_inputs(model: Any, rng: np.random.Generator) -> None:
    one_of(rng, model.graph.node).input.append(one_of(rng, names_of(model.graph)))


def cut_inputs(model: Any, rng: np.random.Generator) -> None:
    del one_of(rng, model.graph.node).input[-1:]


def drop_node(model: Any, rng: np.random.Generator) -> None:
    del model.graph.node[rng.integers(len(model.graph.node))]
    if not model.graph.node:
        model.graph.node.append(g.helper.make_node("Identity", ["x"], ["y"]))


def swap_nodes(model: Any, rng: np.random.Generator) -> None:
    """Let two nodes change their places, or the wires behind them."""
    nodes = model.graph.node
    a, b = one_of(rng, nodes), one_of(rng, nodes)
    if rng.random() < 0.5:
        a.op_type, b.op_type = b.op_type, a.op_type
    elif a.output and b.output:
        a.output[0], b.output[0] = b.output[0], a.output[0]


def change_kind(model: Any, rng: np.random.Generator) -> None:
    kinds = "LSTM GRU RNN Relu Tanh Sigmoid Neg Abs Identity Transpose Softmax Add Sub Mul MatMul"
    one_of(rng, model.graph.node).op_type = one_of(rng, kinds.split())


def change_attribute(model: Any, rng: np.random.Generator) -> None:
    """Drop an attribute, change a number in it, or add one that counts for recurrent nodes."""
    node = one_of(rng, model.graph.node)
    if not node.attribute or rng.random() < 0.4:
        name, value = one_of(rng, ADDED)
        if name not in {a.name for a in node.attribute}:
            node.attribute.append(g.helper.make_attribute(name, value))
        return
    at = int(rng.integers(len(node.attribute)))
    attribute = node.attribute[at]
    if rng.random() < 0.3:
        del node.attribute[at]
    elif attribute.ints:
        attribute.ints[rng.integers(len(attribute.ints))] = int(rng.integers(-3, 5))
    else:
        attribute.i = int(rng.integers(-3, 8))


def change_constant(model: Any, rng: np.random.Generator) -> None:
    """Another shape, dtype, or number."""
    tensor = one_of(rng, model.graph.initializer)
    array = g.numpy_helper.to_array(tensor).copy()
    kind = rng.integers(4)
    if kind == 0 and array.size:
        array.reshape(-1)[rng.integers(array.size)] = rng.integers(-3, 4)
    elif kind == 1:
        array = array.astype(one_of(rng, [np.float64, np.int64, np.float32, np.int32, np.float16]))
    elif kind == 2:
        array = array.reshape(-1) if rng.random() < 0.5 else array[np.newaxis]
    elif array.ndim:
        array = array[tuple(slice(None, one_of(rng, [None, -1])) for _ in array.shape)]
    tensor.CopyFrom(g.numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))


def change_output(model: Any, rng: np.random.Generator) -> None:
    name = one_of(rng, names_of(model.graph))
    if rng.random() < 0.5:
        model.graph.output[0].name = name
    else:
        more = g.helper.make_tensor_value_info(name, g.TensorProto.FLOAT, None)
        model.graph.output.append(more)


def change_input(model: Any, rng: np.random.Generator) -> None:
    """Another shape of x, or a second input of the graph."""
    if rng.random() < 0.3:
        shape = one_of(rng, [["T", 1, g.M], [1]])
        more = g.helper.make_tensor_value_info("extra", g.TensorProto.FLOAT, shape)
        model.graph.input.append(more)
        return
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[rng.integers(len(dims))].dim_value = int(rng.integers(1, 8))


def change_opset(model: Any, rng: np.random.Generator) -> None:
    model.opset_import[0].version = int(rng.integers(6, 24))


MUTATIONS = [
    *(rewire, swap_inputs, extend_inputs, cut_inputs, drop_node, swap_nodes, change_kind),
    *(change_attribute, change_attribute, change_constant, change_constant),
    *(change_output, change_input, change_opset),
]
ADDED: list[tuple[str, Any]] = [
    *(("clip", 0.5), ("direction", "reverse"), ("direction", "bidirectional"), ("layout", 1)),
    *(("input_forget", 1), ("linear_before_reset", 0), ("hidden_size", 3), ("axis", 0)),
    *(("activation_alpha", [0.3]), ("activations", ["Tanh", "Sigmoid", "Tanh"]), ("alpha", 0.5)),
    *(("activations", ["Sigmoid"]), ("perm", [0, 2, 1]), ("allowzero", 1), ("transB", 1)),
    *(("to", 10), ("axes", [1]), ("keepdims", 0), ("no_such_attribute", 1)),
]


def survive(path: Path, must: bool) -> str:
    """Import one graph; returns how it ended, raises what should not come."""
    taken = g.agrees(path)
    assert taken or not must, "a graph that is understood was refused"
    return "taken" if taken else "refused"


def main(cases: int, seed: int) -> int:
    """Try so many graphs, a third each sound, broken and mutated; returns how many ended badly."""
    with memory_folder() as root:

        def draw(number: int, rng: np.random.Generator) -> tuple[str, Callable[[], str]]:
            path = Path(root) / "m.onnx"
            graph, steps = drawn(rng, number % 3 == 1)
            model = graph.model()
            if number % 3 == 2:
                mutated(model, rng)
            path.write_bytes(model.SerializeToString())
            return f"steps {steps}", partial(survive, path, number % 3 == 0)

        return try_cases(cases, seed, draw)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
