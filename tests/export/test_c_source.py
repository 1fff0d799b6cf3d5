"""C source of a model's graph: what it answers, compiled here, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import rtlstm
from rtlstm.cli.commands import commands

generated = pytest.mark.skipif(
    find_spec("emx_onnx_cgen") is None or shutil.which("cc") is None,
    reason="needs emx-onnx-cgen (extra `c`) and cc",
)
STEPS = 60


def network() -> rtlstm.Network:
    net = rtlstm.Network(3, [rtlstm.LSTM(6, "vanilla"), rtlstm.GRU(5)], 2, seed=1)
    net.run(np.random.default_rng(1).normal(size=(10, 3)))
    return net


def learner() -> rtlstm.Learner:
    model = rtlstm.Learner(rtlstm.Network(3, rtlstm.LSTM(8), 2, seed=1), "truncated", clip=1.0)
    model.run(np.random.default_rng(1).normal(size=(10, 3)), np.zeros((10, 2)))
    return model


def answers(room: Path, main: str, table: np.ndarray) -> np.ndarray:
    """What a program around model.c prints for rows from standard input."""
    (room / "main.c").write_text(f"""#include <stdio.h>
#include "model.h"
int main(void) {{
    float x[3], y[2], out[2], loss[1];
    while (scanf("%f %f %f %f %f", x, x + 1, x + 2, y, y + 1) == 5) {{
        {main}
        printf("%.9g %.9g\\n", (double)out[0], (double)out[1]);
    }}
    (void)y, (void)loss;
    return 0;
}}
""")
    command = ["cc", "-std=c99", "-O2", "-Wall", "-Werror", "-Wno-unused", "model.c", "main.c"]
    subprocess.run([*command, "-lm", "-o", "main"], cwd=room, check=True)
    lines = "\n".join(" ".join(map(repr, row)) for row in table.tolist())
    done = subprocess.run(["./main"], cwd=room, input=lines, capture_output=True, text=True)
    assert done.returncode == 0
    return np.array([[float(v) for v in line.split()] for line in done.stdout.splitlines()])


@generated
@pytest.mark.parametrize("kind", ["network", "learner"])
def test_c_source_answers_as_the_model_does(kind: str, tmp_path: Path) -> None:
    learns = kind == "learner"
    model = learner() if learns else network()
    model.save(tmp_path / "saved")
    arguments = ["export", str(tmp_path / "saved"), str(tmp_path / "model.c")]
    done = CliRunner().invoke(commands, [*arguments, *(["--learner"] if learns else [])])
    assert done.exit_code == 0, done.output
    table = np.random.default_rng(2).normal(size=(STEPS, 5)).astype(np.float32)
    call = "model_step(x, y, out, loss);" if learns else "model_step(x, out);"
    got = answers(tmp_path, call, table)
    X, Y = table[:, :3], table[:, 3:]
    want = model.run(X, Y) if learns else model.run(X)
    assert np.abs(got - want).max() < 1e-5


@generated
def test_what_cannot_be_c_source_is_refused(tmp_path: Path) -> None:
    network().save(tmp_path / "saved")
    for out, more in (("2.c", []), ("a.c", ["--form", "operator"]), ("a.c", ["--batch", "2"])):
        done = CliRunner().invoke(
            commands, ["export", str(tmp_path / "saved"), str(tmp_path / out), *more]
        )
        assert done.exit_code != 0 and not (tmp_path / out).exists()


def test_a_batch_can_be_fixed(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    net = network()
    net.save(tmp_path / "saved")
    out = tmp_path / "model.onnx"
    done = CliRunner().invoke(
        commands, ["export", str(tmp_path / "saved"), str(out), "--batch", "1"]
    )
    assert done.exit_code == 0, done.output
    graph = onnx.load(out).graph
    for entry in (*graph.input, *graph.output):
        assert entry.type.tensor_type.shape.dim[0].dim_value == 1
    assert rtlstm.verify_onnx(out, net, np.zeros((5, 3))).difference < 1e-6
