"""Files with a right digest over wrong numbers: load refuses them, or the model stays harmless.

Run as a program: `python tests/attacks/resigned.py CASES SEED`, which ends with 0 if every case was
survived. A case that is not kills the process or is printed with what is needed to make it again.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

import rtlstm

if __name__ == "__main__":
    from hostile import dump, entries, frame
    from trying import memory_folder, try_cases
else:
    from attacks.hostile import dump, entries, frame
    from attacks.trying import memory_folder, try_cases

RNG = np.random.default_rng(11)
X, Y = RNG.normal(size=(40, 2)), RNG.normal(size=(40, 1))
MARK = "digest" * 10 + "here"  # as long as one
CODES = {"F64": "<f8", "I64": "<i8", "F32": "<f4", "U16": "<u2", "U8": "u1"}
WHOLE = (
    *(-1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 100, 10**6, 10**9, 2**31, 2**53, 2**62),
    *(2**63 - 1, -(2**63), -2, -100, -(10**9)),
)
REAL = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-300, 1e6, 1e18, 1e38, 1e300, -1e300),
    *(np.inf, -np.inf, np.nan, 5.5, -5.5, 1e-45),
)
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 10**6, 10**9, 2**40, 2**63, 2**64, 10**30, 1e300, 0.5, -0.5),
    *(
        "",
        "x",
        "tanh",
        "LSTM",
        "rtrl",
        "bptt",
        "\u0000",
        [],
        [1],
        ["a"],
        {},
        {"a": 1},
        [[]],
        1e-320,
    ),
)


def _learner(rule: Any = "truncated", optimizer: Any = None, **more: Any) -> rtlstm.Learner:
    net = rtlstm.Network(2, rtlstm.LSTM(3), 1)
    return rtlstm.Learner(net, rule, optimizer, **more)


def models() -> dict[str, Any]:
    """One model of each kind and way of keeping time, in the middle of its work."""
    made: dict[str, Any] = {
        "network": rtlstm.Network(2, rtlstm.LSTM(3), 1),
        "truncated": _learner(),
        "late": _learner(delay=3),
        "rtrl": _learner("rtrl", rtlstm.RMSProp(1e-2)),
        "tbptt": _learner(rtlstm.TBPTT(4)),
        "bptt": _learner(rtlstm.Rule("bptt", 50)),
    }
    for name, model in made.items():
        model.run(X[:7], *() if name == "network" else (Y[:7],))
    made["late"].predict(X[0])
    made["fleet"] = rtlstm.Fleet(made["truncated"], ["a", 7])
    small = {"layers": rtlstm.LSTM(2), "rule": "truncated"}
    made["forecaster"] = rtlstm.Forecaster(["a", "b"], horizon=2, lags=1, **small)
    made["detector"] = rtlstm.Detector(["a", "b"], lags=1, **small)
    made["classifier"] = rtlstm.Classifier(["a", "b"], 3, delay=3, **small)
    made["regressor"] = rtlstm.Regressor(["a", "b"], ["y"], delay=3, **small)
    for name in ("forecaster", "detector"):
        made[name].run(X)
    made["classifier"].run(X, [0, 1, 2, 1] * 10)
    made["regressor"].run(X, Y)
    for name in ("classifier", "regressor"):
        made[name].predict(X[0])
    return made


def taken_apart(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metadata and tensors of a file, by what the format says of itself."""
    end = 8 + struct.unpack("<Q", data[:8])[0]
    tree = json.loads(data[8:end])
    meta = tree.pop("__metadata__")
    tensors = {}
    for name, entry in tree.items():
        a, b = entry["data_offsets"]
        kind = CODES[entry["dtype"]]
        tensors[name] = np.frombuffer(data[end + a : end + b], kind).reshape(entry["shape"])
    return meta, tensors


def _fields(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = list(tree.items()) if isinstance(tree, dict) else []
    pairs += list(enumerate(tree)) if isinstance(tree, list) else []
    return [path, *(p for key, value in pairs for p in _fields(value, (*path, key)))]


def _changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy: Any = list(tree) if isinstance(tree, list) else dict(tree)
    copy[path[0]] = _changed(tree[path[0]], path[1:], value)
    return copy


class Attack:
    """Changes one model's file, case by case; what does not change is written down once."""

    def __init__(self, model: Any, folder: Path) -> None:
        self.path = folder / f"{type(model).__name__}.rtlstm"
        model.save(self.path)
        self.meta, self.tensors = taken_apart(self.path.read_bytes())
        self.spec = json.loads(self.meta["spec"])
        self.fields = _fields(self.spec)[1:]
        self.names = [name for name, array in self.tensors.items() if array.size]
        whole = [name for name in self.names if self.tensors[name].dtype.kind == "i"]
        self.names += 6 * whole  # which is where the indices are
        self.tree = entries(self.tensors)
        self.data = b"".join(array.tobytes() for array in self.tensors.values())
        self.heads = self._heads(self.spec)

    def write(self, rng: np.random.Generator) -> str:
        """Write the next case; returns what was changed."""
        data, heads = bytearray(self.data), self.heads
        if rng.random() < 0.3:
            path = self.fields[rng.integers(len(self.fields))]
            value = ODD[rng.integers(len(ODD))]
            heads = self._heads(_changed(self.spec, path, value))
            what = f"spec {path} = {value!r}"
        else:
            what = ""
            for _ in range(1 + int(rng.random() < 0.2)):
                what += self._number(data, rng)
        bare, begin, end = heads
        digest = hashlib.sha256(bare)
        digest.update(data)
        with open(self.path, "wb") as file:
            file.writelines((begin, digest.hexdigest().encode(), end, data))
        return what

    def _heads(self, spec: Any) -> tuple[bytes, bytes, bytes]:
        """The header that is signed, and what stands before and behind the digest in a file."""
        text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
        made = [
            frame(dump({"__metadata__": {**self.meta, "spec": text, "digest": d}, **self.tree}))
            for d in ("", MARK)
        ]
        begin, end = made[1].split(MARK.encode())
        return made[0], begin, end

    def _number(self, data: bytearray, rng: np.random.Generator) -> str:
        """Change one number of a tensor, or all of them; returns which."""
        name = self.names[rng.integers(len(self.names))]
        like = self.tensors[name]
        array = np.frombuffer(data, like.dtype, like.size, self.tree[name]["data_offsets"][0])
        values = REAL if array.dtype.kind == "f" else WHOLE
        value = values[rng.integers(len(values))]
        at = int(rng.integers(array.size))
        if array.dtype.kind == "u":
            value = int(value) & 0xFF
        with np.errstate(all="ignore"):
            if rng.random() < 0.1:
                array[:] = value
            else:
                array[at] = value
        return f"{name}[{at}] = {value} "


def use(model: Any) -> None:
    """Everything that reads or writes by numbers from the file."""
    kind = type(model).__name__
    if kind == "Network":
        model.run(X[:3]), model.step(X[0])
    elif kind == "Learner":
        if model.spec.delay:
            _, ticket = model.predict(X[0])
            model.learn(ticket, Y[0])
        model.run(X[:9], Y[:9])
        model.reset()
    elif kind == "Fleet":
        model.step(X[: len(model)], Y[: len(model)])
        model.reset()
    elif kind in ("Forecaster", "Detector"):
        model.run(X[:4], np.arange(4) + 2e9)
        model.update(X[5])
    else:
        label = {"Classifier": 1, "Regressor": 0.5}[kind]
        for t in range(5):
            model.update(X[t], label)
        model.predict(X[0])
    model.health() if hasattr(model, "health") else None
    model.snapshot()


def survive(attack: Attack) -> str:
    """Load and use one case; returns how it ended, raises what should not come."""
    try:
        model = rtlstm.load(attack.path)
    except rtlstm.ModelFileError:
        return "refused"
    try:
        use(model)
    except rtlstm.RtlstmError:
        return "loaded, then refused"
    return "loaded"


def main(cases: int, seed: int) -> int:
    """Try so many cases; returns how many were not survived."""
    warnings.simplefilter("ignore")
    with memory_folder() as root:
        attacks = [Attack(model, Path(root)) for model in models().values()]

        def draw(number: int, rng: np.random.Generator) -> tuple[str, Callable[[], str]]:
            attack = attacks[number % len(attacks)]
            return f"{attack.meta['kind']}: {attack.write(rng)}", partial(survive, attack)

        return try_cases(cases, seed, draw)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])) > 0)
