"""Run an exported model over rows from standard input: python client.py MODEL.onnx < rows.csv

A row holds the numbers of the inputs before the state (x, then y or time), an empty cell is NaN.
Prints the outputs before the new state. Needs onnxruntime and NumPy alone.
"""

import sys

import numpy as np
import onnxruntime


def main(path: str) -> None:
    model = onnxruntime.InferenceSession(path)
    init = onnxruntime.InferenceSession(path.removesuffix(".onnx") + ".init.onnx")
    names = [entry.name for entry in init.get_outputs()]
    state = init.run(None, {})
    fed = [entry for entry in model.get_inputs() if entry.name not in names]
    for line in sys.stdin:
        cells = [float(cell) if cell.strip() else float("nan") for cell in line.split(",")]
        feeds = dict(zip(names, state))
        for entry in fed:
            shape = [1, *entry.shape[1:]]
            width = shape[-1]
            kind = np.int64 if entry.type == "tensor(int64)" else np.float32
            feeds[entry.name] = np.array(cells[:width]).astype(kind).reshape(shape)
            cells = cells[width:]
        found = model.run(None, feeds)
        answers, state = found[: len(found) - len(names)], found[len(found) - len(names) :]
        print(*(value for answer in answers for value in answer.ravel().tolist()), sep=",")


if __name__ == "__main__":
    main(sys.argv[1])
