"""Constant weights in a graph, whole or made small, and the product of a vector with them.

``None``: float32. "float16": stored in half the bytes and widened when the model is loaded, so the
speed is float32's. "int8": 8-bit matrices with a scale a column and inputs quantised as they come
(DynamicQuantizeLinear, MatMulInteger), always in plain operators: a quarter of the bytes.

int8 is slower than float32 below 128 units and faster from 256 on, if both are plain operators: it
takes 1.08, 1.07, 1.07, 1.04, 0.75 and 0.7 of the time at 16, 32, 64, 128, 256 and 512 units, since
quantising the inputs costs what a small product saves. Against ONNX's LSTM operator, in which
`form="auto"` writes float32, it takes 1.0, 1.0, 1.0, 0.95, 0.75 and 0.7, because at a batch of 1
that operator itself is 5 to 10 % slower than plain ones. (onnxruntime 1.32, one stream, one thread,
x86-64 with AVX-512; the operator quantised by onnxruntime's own tool, DynamicQuantizeLSTM, takes
1.1 of the operator's time up to 32 units, too. tools/onnx_figures prints these times.)

Biases, peepholes, the head and the raw inputs' matrix stay float32: a large sensor value would
otherwise take the resolution of all the others.
"""

from __future__ import annotations

import numpy as np

from rtlstm.errors import SpecError
from rtlstm.export.graph import Array, Graph

WAYS = (None, "float16", "int8")
_ZERO = 128  # unsigned bytes around 128: signed ones saturate on processors without VNNI


def check_quantize(quantize: str | None) -> str | None:
    """The way if there is one of that name; else SpecError."""
    if quantize not in WAYS:
        raise SpecError(f"quantize must be one of {WAYS}, got {quantize!r}")
    return quantize


def matrix(g: Graph, W: Array, name: str, quantize: str | None) -> str:
    """A constant matrix as a float32 value."""
    if quantize != "float16":
        return g.const(W, name)
    if np.abs(W).max(initial=0.0) > np.finfo(np.float16).max:
        raise SpecError(f"{name} has a weight that float16 cannot hold; nothing was written")
    return g.op("Cast", g.const(np.asarray(W, np.float16), name), to=1)


def affine(g: Graph, x: str, W: Array, b: Array | None, name: str, quantize: str | None) -> str:
    """x W + b for x (..., rows), W (rows, columns), b (columns,)."""
    if quantize == "int8":
        a = _integer_product(g, x, W, name)
    else:
        a = g.op("MatMul", x, matrix(g, W, name, quantize))
    return a if b is None else g.op("Add", a, g.const(b, f"{name}.b"))


def gemm(g: Graph, x: str, W: Array, b: Array | None, name: str, quantize: str | None) -> str:
    """x W + b for x (batch, rows) alone: one node."""
    if quantize == "int8" or b is None:
        return affine(g, x, W, b, name, quantize)
    return g.op("Gemm", x, matrix(g, W, name, quantize), g.const(b, f"{name}.b"))


def _integer_product(g: Graph, x: str, W: Array, name: str) -> str:
    scale = np.maximum(np.abs(W).max(axis=0), np.finfo(np.float32).tiny) / 127.0
    bytes_ = (np.rint(W / scale) + _ZERO).astype(np.uint8)
    names = [g.unique(f"{name}.x{part}") for part in ("", "_scale", "_zero")]
    x8, x_scale, x_zero = g.ops("DynamicQuantizeLinear", names, x)
    weights, zero = g.const(bytes_, f"{name}.q"), g.const(np.uint8(_ZERO))
    whole = g.op("Cast", g.op("MatMulInteger", x8, weights, x_zero, zero), to=1)
    return g.op("Mul", whole, g.op("Mul", x_scale, g.const(scale, f"{name}.scale")))
