"""A model as one object file and a C header, for a chip without Python.

The object holds the weights and the state, where it works in place: no heap. Beside it stand a
self-test in C with recorded steps, a project to start from, and a README that tells sizes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rtlstm.errors import MissingExtraError, SpecError, StateError
from rtlstm.export.device import emulated, projects, readme, wasm
from rtlstm.export.device.header import header
from rtlstm.export.device.recording import STEPS, Recording, record
from rtlstm.export.device.request import Program, program
from rtlstm.export.device.selftest import selftest
from rtlstm.models.base import Model


@dataclass(frozen=True)
class Job:
    """A model to be built: where to, by what name, for which target.

    target: LLVM's triple, processor, features and calling convention; the last may be left out.
    small: for size, else for speed. project: one of `projects.PROJECTS`, or none. owned: the state
    is a struct of the caller's. measured: count instructions and stack of a step in an emulator, if
    there is one, for the README. steps, fresh: of the self-test, as `recording.record` has them.
    """

    model: Model
    out: str | os.PathLike[str]
    name: str
    target: Sequence[str]
    small: bool = True
    project: str | None = None
    owned: bool = False
    measured: bool = False
    steps: int = STEPS
    fresh: int = 0
    program: Program = field(init=False)

    def __post_init__(self) -> None:
        """Raise SpecError for what cannot be built, MissingExtraError where numba is absent."""
        if not re.fullmatch(r"[A-Za-z_]\w*", self.name, re.ASCII):
            raise SpecError(f"the name must be one of C's, got {self.name!r}; nothing was written")
        if self.project and (self.project not in projects.PROJECTS or self.target[0][:4] == "wasm"):
            raise SpecError(f"no project {self.project!r} for this target; nothing was written")
        object.__setattr__(self, "target", (*self.target, "", "", "")[:4])
        if self.owned and self.target[0][:4] == "wasm":
            raise SpecError("a WebAssembly module holds one model: load it once for each")
        object.__setattr__(self, "program", replace(program(self.model), owned=self.owned))
        if find_spec("numba") is None:
            raise MissingExtraError("building for chips needs numba: pip install 'rtlstm[jit]'")


def build(
    model: Model,
    out: str | os.PathLike[str],
    name: str,
    target: Sequence[str],
    small: bool = True,
    project: str | None = None,
    owned: bool = False,
) -> Path:
    """Write NAME.o, NAME.h, NAME_selftest.c and README.md into a directory; returns NAME.o.

    target: LLVM's triple, processor, features, calling convention. small: for size, else for speed.
    project: "cmake", "arduino", "esp-idf" or "zephyr" adds what these build a program with. owned:
    the state is a struct NAME_t of the caller's, any number of them; else there is one, inside. For
    WebAssembly there are NAME.wasm, NAME.mjs and NAME.d.ts instead of the header. Raises SpecError
    for what is not built for chips, MissingExtraError where numba is absent, StateError where
    compiling fails.
    """
    return build_all([Job(model, out, name, target, small, project, owned, measured=True)])[0]


def build_all(jobs: Sequence[Job]) -> list[Path]:
    """Build many, in one process: the kernels are lowered once. See `build`."""
    recorded = [record(job.model, job.steps, job.fresh) for job in jobs]
    with tempfile.TemporaryDirectory() as work:
        rooms = [Path(work) / str(n) for n in range(len(jobs))]
        for job, room in zip(jobs, rooms, strict=True):
            room.mkdir()
            request = job.program.request(job.name, job.target, job.small)
            (room / "request.json").write_text(json.dumps(request))
            np.savez(room / "arrays.npz", **job.program.arrays)  # type: ignore[arg-type]
        _compile(rooms)
        made = [
            (room / f"{job.name}.o").read_bytes() for room, job in zip(rooms, jobs, strict=True)
        ]
    return [_write(*parts) for parts in zip(jobs, made, recorded, strict=True)]


def _compile(rooms: list[Path]) -> None:
    """Run the compiler in a process of its own, whose kernels are plain loops."""
    own = {"RTLSTM_VECTORS": "0", "RTLSTM_KERNELS": "jit"}
    path = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "rtlstm.kernels.compiler.device", *map(str, rooms)]
    done = subprocess.run(
        command, env=os.environ | own | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        said = next((line for line in reversed(lines) if "Error: " in line), lines[-1])
        raise StateError(f"compiling for the chip failed: {said}; nothing was written")


def _write(job: Job, made: bytes, recorded: Recording) -> Path:
    """Write what was made; returns the object file."""
    room, name = Path(job.out), job.name
    room.mkdir(parents=True, exist_ok=True)
    path = room / f"{name}.o"
    path.write_bytes(made)
    if job.target[0].startswith("wasm"):
        wasm.write(job.program, recorded, room, name)
    else:
        (room / f"{name}.h").write_text(header(job.program, name))
        (room / f"{name}_selftest.c").write_text(selftest(job.program, recorded, name))
        if job.project:
            projects.write(job.project, job.program, room, name, job.target, made)
    found = None
    if job.measured and job.target[1] in emulated.MACHINES:
        found = emulated.measured(job.program, made, name, job.target[1])
    (room / "README.md").write_text(readme.readme(job.program, name, job.target, made, found))
    return path
