"""The table of entries: all that Python calls stands in it, and it is called as it says."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest

import rtlstm
from rtlstm.kernels import plan as p
from rtlstm.kernels import tables
from rtlstm.kernels.compiler import mode
from rtlstm.kernels.compiler.entries import ENTRIES, KINDS, Entry, find
from rtlstm.kernels.native.bind import Kernels, bind
from rtlstm.kernels.native.capi import address

ROOT = Path(rtlstm.__file__).parent
names = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)


@names
def test_an_entry_says_what_its_kernel_takes(entry: Entry) -> None:
    kernel = entry.load()
    arguments = list(inspect.signature(getattr(kernel, "py_func", kernel)).parameters)
    table = ["at"] if entry.table else []
    assert len(arguments) == len(table) + len(entry.tags) + len(entry.numbers)
    assert arguments[: len(table)] == table
    assert set(entry.table) <= set(KINDS)
    assert len(set(entry.variants)) == len(entry.variants) > 0
    assert all(len(dtypes) == len(entry.tags) for dtypes in entry.variants)


def test_names_are_used_once_and_every_rule_has_its_entries() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    for row in tables.RULES:
        assert find(f"{row.kernels}.step") and find(f"{row.kernels}.gradient")


def kernels_of(path: Path) -> set[str]:
    """Names of the kernels that a source defines."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            made = {
                n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)
            }
            if made & {"kernel", "primitive"}:
                found.add(node.name)
    return found


def test_no_kernel_is_called_but_through_the_table() -> None:
    """Outside rtlstm/kernels no name of a kernel's module is called that is a kernel."""
    sources = {}
    for path in (ROOT / "kernels").rglob("*.py"):
        place = path.relative_to(ROOT.parent).with_suffix("")
        sources[".".join(place.parts)] = kernels_of(path)
    kernels = {(module, name) for module, found in sources.items() for name in found}
    assert ("rtlstm.kernels.tasks.forecast", "take_row") in kernels
    for path in ROOT.rglob("*.py"):
        if ROOT / "kernels" in path.parents:
            continue
        tree, modules = ast.parse(path.read_text()), {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "rtlstm.kernels"
            ):
                for alias in node.names:
                    assert (node.module, alias.name) not in kernels, f"{path}: {alias.name}"
                    modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                called = modules.get(node.value.id), node.attr
                assert called not in kernels, f"{path}:{node.lineno} {called}"


def test_an_entry_over_arrays_is_bound_once_and_moves_them() -> None:
    net = rtlstm.Network(2, rtlstm.LSTM(3), 1, seed=1)
    other = rtlstm.Network(2, rtlstm.LSTM(3), 1, seed=1)
    kernels = Kernels("network", net._plan, net._h, net._f)
    x, y = np.array([0.5, -1.0], np.float32), np.zeros(1, np.float32)
    assert kernels.run(address(x), address(y), 1) == p.OK
    assert kernels.bound("run") is kernels.bound("run")
    assert y.tobytes() == other.step(x).tobytes()
    assert net.snapshot() == other.snapshot()
    with pytest.raises(AttributeError):
        kernels._nothing  # noqa: B018
    with pytest.raises(KeyError):
        kernels.nothing  # noqa: B018
    with pytest.raises(ValueError, match="shorter"):
        bind("network.run", net._plan)


def test_the_environment_says_how_kernels_run() -> None:
    """Without a library as the second argument says; with one, that is the default."""
    assert mode.choose({}, "none")[0] == "jit"
    assert mode.choose({})[0] == "ahead"
    assert mode.choose({"RTLSTM_KERNELS": "jit"})[0] == "jit"
    assert mode.choose({"NUMBA_BOUNDSCHECK": "1"})[0] == "jit"
    assert mode.choose({"RTLSTM_KERNELS": "plain"}, "none")[0] == "plain"
    both = {"RTLSTM_KERNELS": "plain", "NUMBA_DISABLE_JIT": "1"}
    assert mode.choose(both, "none")[0] == "interpreted"
    assert mode.choose({"RTLSTM_KERNELS": "", "NUMBA_DISABLE_JIT": "0"}, "none")[0] == "jit"
    with pytest.raises(RuntimeError, match="there is none"):
        mode.choose({"RTLSTM_KERNELS": "ahead"}, "there is none")
    with pytest.raises(ValueError, match="ahead, jit, plain, interpreted"):
        mode.choose({"RTLSTM_KERNELS": "fast"})
