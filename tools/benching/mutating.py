"""Mutants of one module, each tried by its tests in a child of this process."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from random import Random
from types import CodeType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES, INPUTS = ("tests/files/test_store.py",), ("tests/inputs",)
LEARNING = ("tests/kernels/test_updates.py",)
MODULES = {
    "files/atomic": ("tests/files/test_atomic.py",),
    "files/header": FILES,
    "files/store": FILES,
    "inputs/arrays": ("tests/inputs/test_arrays.py", "tests/models/test_overlap.py"),
    "inputs/cells": INPUTS,
    "inputs/frames": INPUTS,
    "inputs/records": INPUTS,
    "kernels/learn/optimizers": LEARNING,
}
SKIPPED = {"core/NoOp", "core/RemoveDecorator"}  # a kernel without its decorator is the same here
PATIENCE, MORE = 3.0, 20.0  # times what the tests take, and seconds


@dataclass(frozen=True)
class Mutant:
    """What is changed, where, and the whole source after it."""

    what: str
    line: int
    source: str


def score(module: str, count: int, seed: int) -> tuple[int, int]:
    """Try so many mutants of a module; prints those that survive; how many did not, of how many."""
    path = ROOT / "rtlstm" / f"{module}.py"
    for name in ("numpy", "numba"):
        import_module(name)
    started = time.monotonic()
    if _run(module, path.read_text(), 600.0) != 0:
        raise SystemExit(f"{module}: its tests fail without a mutant")
    limit = PATIENCE * (time.monotonic() - started) + MORE
    killed = tried = 0
    for mutant in _drawn(path.read_text(), count, seed):
        tried += 1
        if _run(module, mutant.source, limit) == 0:
            print(f"  {module}.py:{mutant.line} survives: {mutant.what}", flush=True)
        else:
            killed += 1
    print(f"{module}: {killed} of {tried} noticed, seed {seed}", flush=True)
    return killed, tried


def _drawn(source: str, count: int, seed: int) -> Iterator[Mutant]:
    """So many mutants, one at each of so many places of the source."""
    from cosmic_ray.mutating import mutate_code

    random = Random(seed)
    places = list(_places(source).values())
    for kinds in random.sample(places, min(count, len(places))):
        name, operator, occurrence, line = random.choice(kinds)
        changed = mutate_code(source, operator, occurrence)
        if changed is None or changed == source:
            continue
        old, new = (text.splitlines() for text in (source, changed))
        at = next((i for i, (a, b) in enumerate(zip(old, new)) if a != b), len(new) - 1)
        yield Mutant(f"{name}: {new[at].strip()}", line, changed)


def _places(source: str) -> dict[tuple[object, ...], list[tuple[str, object, int, int]]]:
    """Where the source can be changed, and how: operators of cosmic-ray and which of theirs."""
    import cosmic_ray.plugins
    from cosmic_ray.ast import ast_nodes, get_ast

    dead = [
        (node.lineno, node.end_lineno or node.lineno, node.col_offset, node.end_col_offset or 0)
        for node in _unread(ast.parse(source))
    ]
    found: dict[tuple[object, ...], list[tuple[str, object, int, int]]] = {}
    for name in cosmic_ray.plugins.operator_names():
        kind = cosmic_ray.plugins.get_operator(name)
        if name in SKIPPED or kind.arguments():
            continue
        operator, tree = kind(), get_ast(source)
        spots = [spot for node in ast_nodes(tree) for spot in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(spots):
            if not any(_inside(start, end, span) for span in dead):
                entry = (name.removeprefix("core/"), operator, occurrence, start[0])
                found.setdefault((start, end), []).append(entry)
    return found


def _unread(tree: ast.Module) -> Iterator[ast.expr]:
    """Annotations, which are text here, and what only a type checker runs."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if isinstance(getattr(node, name, None), ast.expr):
                yield getattr(node, name)
        aliases = isinstance(node, ast.Assign) and isinstance(node.value, ast.BinOp)
        if aliases and isinstance(node.value.op, ast.BitOr):  # X = A | B
            yield node.value


def _inside(start: tuple[int, int], end: tuple[int, int], span: tuple[int, ...]) -> bool:
    first, last, column, stop = span
    return (first, column) <= start and end <= (last, stop)


class _Changed(importlib.machinery.SourceFileLoader):
    """Loads a module from a source in memory."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec")


class _Finder:
    """Finds one module before all others do."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.loader = name, _Changed(name, str(path))
        self.loader.text = text

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        """The changed module, for its name alone."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


def _run(module: str, source: str, limit: float) -> int:
    """Exit code of the tests of a module on a source, -1 if they do not end in time."""
    child = os.fork()
    if child == 0:
        _child(module, source)
    until = time.monotonic() + limit
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def _child(module: str, source: str) -> None:
    """Run the tests on the source and end the process."""
    code = 1
    try:
        os.setsid()
        os.chdir(ROOT)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        name = f"rtlstm.{module.replace('/', '.')}"
        sys.meta_path.insert(0, _Finder(name, ROOT / "rtlstm" / f"{module}.py", source))
        tests = [test for test in MODULES[module] if (ROOT / test.split("::")[0]).exists()]
        with tempfile.TemporaryDirectory() as folder:
            options = [
                "-q",
                "-x",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:xdist",
                f"--basetemp={folder}/t",
            ]
            code = int(pytest.main([*options, *tests]))
    finally:
        os._exit(code)
