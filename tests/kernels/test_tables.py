"""A squashing function, an optimizer and a loss that are rows of the tables alone pass every check.

The checks are those of the built-in ones: other files of tests, run in a process of its own in
which the plugin `toys` has added the rows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module

import pytest
from paths import ROOT, TESTS

from rtlstm.kernels import tables

# What is held, by the tests that hold it, and how many cases of them are the toys'.
CHECKS = {
    "forward, against the reference": ("kernels/test_cells.py::test_a_few_steps", 8),
    "slopes, against differences": ("kernels/test_reference.py::test_bptt_against_differences", 4),
    "gradient, against the reference": (
        "kernels/test_rules_cheap.py::test_truncated_is_its_definition",
        6,
    ),
    "update, against the twin": (
        "models/test_learner.py::test_weights_move_as_the_optimizer_says",
        2,
    ),
    "saving and loading": ("models/test_learner.py::test_every_optimizer_goes_on_bit_for_bit", 1),
    "loss, of whole sequences": (
        "models/test_fit.py::test_evaluate_is_the_mean_loss_of_a_learner_that_stands_still",
        1,
    ),
    "ONNX, a step": (
        "export/test_export.py::test_one_step_carried_through_a_stream_with_faults",
        8,
    ),
    "ONNX, learning": (
        "export/test_export_learner.py::test_every_cell_learns_as_in_process",
        8,
    ),
    "ONNX, the update": (
        "export/test_export_learner.py::test_every_optimizer_with_and_without_clipping",
        2,
    ),
}
COMPILED = ("forward, against the reference", "update, against the twin")


def toys_pass(names: tuple[str, ...], **environment: str) -> None:
    tests = [str(TESTS / CHECKS[name][0]) for name in names]
    command = [sys.executable, "-m", "pytest", "-p", "toys", "-p", "no:xdist", "-k"]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(ROOT)])} | environment
    done = subprocess.run(
        [*command, "(softsign or adagrad or logcosh) and not rtrl", *tests],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) == sum(CHECKS[name][1] for name in names), done.stdout


def test_toys_pass_every_check_interpreted() -> None:
    toys_pass(tuple(CHECKS), NUMBA_DISABLE_JIT="1")


def test_toys_pass_compiled() -> None:
    toys_pass(COMPILED)


def test_every_row_resolves() -> None:
    for row in tables.SQUASHES:
        assert tables.resolve(row.kernel) and tables.resolve(row.graph)
    for row in tables.OPTIMIZERS:
        for name in (row.description, row.move, row.prepare, row.graph):
            assert tables.resolve(name)

    for row in tables.LOSSES:
        for name in (row.kernel, row.graph, row.terms):
            assert tables.resolve(name)


@pytest.mark.parametrize("row", tables.RULES, ids=lambda row: row.name)
def test_every_rule_resolves(row: tables.RuleRow) -> None:
    kernels = import_module(f"rtlstm.kernels.learn.{row.kernels}")
    assert kernels.run and kernels.gradient
    assert bool(row.graph) == bool(row.traces)
    for name in filter(None, (row.layout, row.check, row.graph, row.traces)):
        assert tables.resolve(name)


def test_a_row_is_found_by_its_name() -> None:
    assert [tables.code(tables.OPTIMIZERS, row.name) for row in tables.OPTIMIZERS] == [0, 1, 2]
    with pytest.raises(KeyError):
        tables.row(tables.SQUASHES, "softsign")
