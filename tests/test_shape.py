"""How long files and functions may be, and how many parameters they take."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rtlstm

ROOT = Path(rtlstm.__file__).parent
FILE, MEDIAN_FILE = 400, 150  # lines
BODY, MOST_BODIES = 45, 20  # lines without the docstring; of nine in ten
FILES_AT_THE_TOP, FOLDERS_AT_THE_TOP = 8, 10
PARAMETERS = {"kernel": 8, "primitive": 11, "public": 10}


@dataclass(frozen=True)
class Function:
    """A function or method: where it stands, how long its body is, what it takes."""

    place: str
    kind: str
    body: int
    parameters: tuple[str, ...]


def kind_of(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef, private: bool) -> str:
    """Whether it is a kernel, a primitive or its emission, public, or none of these."""
    made_by = " ".join(ast.unparse(decorator) for decorator in node.decorator_list)
    if "primitive(" in made_by or "intrinsic" in made_by or "vector" in path.parts:
        return "primitive"
    if "kernel" in made_by or "njit" in made_by:
        return "kernel"
    special = node.name.startswith("__") and node.name.endswith("__")
    return "private" if private or (node.name.startswith("_") and not special) else "public"


def functions_of(path: Path, tree: ast.AST, private: bool = False) -> Iterator[Function]:
    """Every function below a node; what stands in a private class or in a function is private."""
    for node in ast.iter_child_nodes(tree):
        inside = private
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = ast.get_docstring(node, clean=False) is not None and len(node.body) > 1
            first = node.body[1 if said else 0]
            given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            names = [argument.arg for argument in given]
            if names and names[0] in ("self", "cls", "e"):  # e: the emitter of a primitive
                del names[0]
            place = f"{path.relative_to(ROOT.parent)}:{node.lineno} {node.name}"
            body = (node.end_lineno or 0) - first.lineno + 1
            yield Function(place, kind_of(path, node, private), body, tuple(names))
            inside = True
        elif isinstance(node, ast.ClassDef):
            inside = private or node.name.startswith("_")
        yield from functions_of(path, node, inside)


@cache
def functions() -> list[Function]:
    """Every function of the package."""
    paths = sorted(ROOT.rglob("*.py"))
    return [found for path in paths for found in functions_of(path, ast.parse(path.read_text()))]


def test_parameters_are_few() -> None:
    kinds = {kind: [f for f in functions() if f.kind == kind] for kind in PARAMETERS}
    assert all(len(found) > 20 for found in kinds.values())  # they are told apart
    too_many = [
        f"{f.place}: {len(f.parameters)} parameters of a {kind}, at most {PARAMETERS[kind]}"
        for kind, found in kinds.items()
        for f in found
        if len(f.parameters) > PARAMETERS[kind]
    ]
    assert not too_many


def test_bodies_are_short() -> None:
    bodies = sorted(f.body for f in functions())
    assert [f for f in functions() if f.body > BODY] == []
    assert bodies[int(0.9 * len(bodies))] <= MOST_BODIES


def test_files_are_short() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in ROOT.rglob("*.py")}
    assert {path: count for path, count in lines.items() if count > FILE} == {}
    assert statistics.median(lines.values()) <= MEDIAN_FILE


def test_the_top_level_can_be_taken_in_at_a_glance() -> None:
    assert len(list(ROOT.glob("*.py"))) <= FILES_AT_THE_TOP
    folders = [path for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(folders) <= FOLDERS_AT_THE_TOP
