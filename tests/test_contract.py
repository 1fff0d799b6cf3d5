"""What importing the package costs, and who may import whom."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rtlstm

ROOT = Path(rtlstm.__file__).parent
HEAVY = ("numba", "onnx", "onnxruntime", "matplotlib", "click", "rich", "psutil", "torch")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_loads_nothing_heavy() -> None:
    assert loaded_after("import rtlstm").isdisjoint(HEAVY)


# What starting waited for and a first step does not need: each takes from one to five milliseconds.
LATER = {
    *("hashlib", "json", "pathlib", "secrets", "threading", "numba", "rtlstm.files.store"),
    *("rtlstm.layouts.ranges", "rtlstm.schedules", "rtlstm.training", "rtlstm.kernels.vector"),
}


def test_what_a_first_step_does_not_need_is_not_imported() -> None:
    before = loaded_after("import numpy, ctypes")
    found = loaded_after("import numpy, ctypes, rtlstm; rtlstm.Network(1, rtlstm.LSTM(1), 1)")
    assert "rtlstm.models.network" in found and not (found - before) & LATER
    assert loaded_after("import rtlstm; rtlstm.schedules") >= {"rtlstm.schedules"}
    learns = "rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(1), 1))"
    found = loaded_after(f"import numpy, ctypes, rtlstm; {learns}") - before
    needed = {"rtlstm.schedules", "rtlstm.training"}
    assert "rtlstm.models.learner" in found and not found & (LATER - needed)


def test_every_name_of_the_face_is_there() -> None:
    for name in rtlstm.__all__:
        assert getattr(rtlstm, name).__name__ == name
    assert set(rtlstm.__all__) <= set(dir(rtlstm))
    with pytest.raises(AttributeError, match="no attribute 'Netwrok'"):
        rtlstm.Netwrok  # noqa: B018


def test_type_checkers_see_the_names_that_run_time_finds() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    checks = (node for node in tree.body if isinstance(node, ast.If))
    guarded = next(
        n for n in checks if isinstance(n.test, ast.Name) and n.test.id == "TYPE_CHECKING"
    )
    seen = {
        (node.module, alias.name)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    modules = {("rtlstm", "schedules")}
    found = {(room, name) for room, names in rtlstm._MODULES.items() for name in names}
    assert seen - modules == found and modules <= seen


def test_every_public_error_is_in_the_face() -> None:
    errors = importlib.import_module("rtlstm.errors")
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert kinds <= set(rtlstm.__all__)


def imports_of(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return found | {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("path", sorted((ROOT / "kernels").rglob("*.py")), ids=lambda p: p.stem)
def test_kernels_import_only_kernels(path: Path) -> None:
    ours = {name for name in imports_of(path) if name.split(".")[0] == "rtlstm"}
    assert all(name.startswith("rtlstm.kernels") for name in ours), ours


def test_nothing_in_the_package_executes_what_a_file_says() -> None:
    banned = {("pickle", "load"), ("yaml", "load"), ("marshal", "loads"), ("shelve", "open")}
    written_here = {ROOT / "kernels/compiler/choose.py"}  # branches, from the package's own tables
    for path in set(ROOT.rglob("*.py")) - written_here:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            call = node.func
            if isinstance(call, ast.Name):
                assert call.id not in ("eval", "exec"), f"{path}:{node.lineno}"
            if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
                assert (call.value.id, call.attr) not in banned, f"{path}:{node.lineno}"
