"""A network as a LiteRT model: its fused LSTM operator, one step long, and a linear head.

Written with the schema that LiteRT's own package brings, so that TensorFlow is not needed. The
state stands in two variable tensors inside the interpreter, which is the fastest way to use it.
"""

from typing import Any

import numpy as np

import rtlstm

Array = np.ndarray[Any, Any]
GATES = "ifzo"  # the operator's order
ABSENT = -1  # an input that is not given: peepholes, projection, normalisation


class _Graph:
    """Tensors, buffers and operators as they are added."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.buffers = [schema.BufferT()]  # number 0 means: holds nothing
        self.tensors: list[Any] = []
        self.codes: list[Any] = []
        self.operators: list[Any] = []

    def tensor(self, shape: tuple[int, ...], value: Array | None = None, own: bool = False) -> int:
        """The number of a new tensor: a constant with a value, a variable if own."""
        schema = self.schema
        new = schema.TensorT(shape=list(shape), type=schema.TensorType.FLOAT32, isVariable=own)
        new.name = f"t{len(self.tensors)}"
        if value is not None:
            data = np.ascontiguousarray(value, np.float32).view(np.uint8).ravel()
            new.buffer = len(self.buffers)
            self.buffers.append(schema.BufferT(data=data))
        self.tensors.append(new)
        return len(self.tensors) - 1

    def constant(self, value: Array) -> int:
        return self.tensor(value.shape, value)

    def operator(self, kind: str, sources: list[int], result: int, options: Any) -> None:
        """One more node; options: the table of its kind, or None."""
        schema = self.schema
        code = getattr(schema.BuiltinOperator, kind)
        self.codes.append(
            schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code, version=1)
        )
        name = type(options).__name__.removesuffix("T")
        self.operators.append(
            schema.OperatorT(
                opcodeIndex=len(self.codes) - 1,
                inputs=sources,
                outputs=[result],
                builtinOptionsType=getattr(schema.BuiltinOptions, name),
                builtinOptions=options,
            )
        )

    def packed(self, source: int, result: int) -> bytes:
        """The file's bytes, with this one input and output."""
        import flatbuffers

        schema = self.schema
        graph = schema.SubGraphT(
            tensors=self.tensors, inputs=[source], outputs=[result], operators=self.operators
        )
        model = schema.ModelT(
            version=3, operatorCodes=self.codes, subgraphs=[graph], buffers=self.buffers
        )
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def model(net: rtlstm.Network) -> bytes:
    """The model of a network of one NP layer: x (1, 1, inputs) to y (1, outputs)."""
    views, units = net.parameters, net.spec.layers[0].units
    g = _Graph()
    x, y, p = (
        g.tensor(shape) for shape in ((1, 1, net.spec.inputs), (1, 1, units), (1, net.spec.outputs))
    )
    matrices = [g.constant(views[f"layer0.{part}.{gate}"].T) for part in "WR" for gate in GATES]
    biases = [g.constant(views[f"layer0.b.{gate}"]) for gate in GATES]
    state = [g.tensor((1, units), own=True) for _ in range(2)]
    sources = [x, *matrices, *3 * [ABSENT], *biases, *2 * [ABSENT], *state, *4 * [ABSENT]]
    tanh = g.schema.ActivationFunctionType.TANH
    lstm = g.schema.UnidirectionalSequenceLSTMOptionsT(fusedActivationFunction=tanh)
    g.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", sources, y, lstm)
    weights, bias = g.constant(views["head.W"].T), g.constant(views["head.b"])
    g.operator("FULLY_CONNECTED", [y, weights, bias], p, g.schema.FullyConnectedOptionsT())
    return g.packed(x, p)
