"""The tables by name, each imported when it is asked for, and what they are written to."""

import json
import platform
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benching.setting import Effort
from rtlstm.cli.timing import pinned
from rtlstm.studies.table import Table

# name: module, and whether the process stays on one processor meanwhile
TABLES = {
    "rules": ("rules", True),
    "evenness": ("rules", True),
    "step": ("stepping", True),
    "inside": ("stepping", True),
    "variants": ("stepping", True),
    "bfloat16": ("stepping", True),
    "learner": ("learning", True),
    "lock": ("learning", True),
    "streams": ("many", True),
    "fleet": ("many", False),
    "threads": ("many", False),
    "growth": ("many", True),
    "startup": ("processes", False),
    "allocations": ("processes", False),
    "sources": ("reading", True),
}
PACKAGES = ("rtlstm", "numpy", "numba", "onnxruntime", "torch", "ai-edge-litert", "jax")


def built(names: Iterable[str], effort: Effort, done: Callable[[Table], None]) -> list[Table]:
    """Make these tables one after the other; `done` sees each as soon as it stands."""
    tables = []
    for name in names:
        module, alone = TABLES[name]
        make = getattr(import_module(f"benching.{module}"), name)
        with pinned() if alone else nullcontext():
            tables.append(make(effort))
        done(tables[-1])
    return tables


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} × {names[0]}" if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_json(path: Path, tables: list[Table]) -> None:
    """All figures, unrounded, and what they were taken on."""
    content = {"machine": machine(), "tables": [table.plain() for table in tables]}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_markdown(path: Path, tables: list[Table]) -> None:
    """A page of the tables, headed by what they were taken on."""
    facts = ", ".join(f"{key} {value}" for key, value in machine().items())
    path.write_text("\n\n".join([facts, *(table.markdown() for table in tables)]) + "\n")
