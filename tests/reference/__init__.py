"""The law: every cell and every learning rule in plain, slow, obvious NumPy float64.

`cells` steps networks, `linear` differentiates one step, `rules` are the learning rules by their
definitions, `papers` the truncated gradient in the papers' own symbols, `optimizers` the updates.
Kernels and ONNX graphs are held against these; these are held against PyTorch's autograd.
"""

from reference.cells import forward, loss_of, predict, shapes, start, state_shapes, step

__all__ = ["forward", "loss_of", "predict", "shapes", "start", "state_shapes", "step"]
