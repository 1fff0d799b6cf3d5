"""The clients in tools/device, run as a device runs them: rows in, answers out, state carried."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cells
import numpy as np
import pytest
from onnx_help import of_row, onnxruntime
from paths import ROOT, TOOLS

import rtlstm
from rtlstm.export.onnx import export_onnx
from rtlstm.export.training.learner import export_onnx_learner

CLIENTS = TOOLS / "device"
Array = np.ndarray[Any, Any]
STEPS = 40


def rows_of(table: Array) -> str:
    cells_of = [["" if np.isnan(v) else repr(float(v)) for v in row] for row in table]
    return "\n".join(",".join(row) for row in cells_of) + "\n"


def network(path: Path) -> tuple[Array, Array]:
    """Export a network; its rows and the answers in this process."""
    net = of_row(cells.BY_ID["stack-vanilla-FGR-CIFG"])
    export_onnx(net, path)
    X = cells.samples(net.spec, STEPS).astype(np.float32)
    return X, net.run(X)


def learner(path: Path) -> tuple[Array, Array]:
    """Export a learner; rows (x, y), and predictions in this process."""
    net = of_row(cells.BY_ID["vanilla"])
    model = rtlstm.Learner(net, "truncated", rtlstm.Adam(1e-3), clip=1.0)
    export_onnx_learner(model, path)
    X, Y = (
        make.astype(np.float32)
        for make in (
            cells.samples(net.spec, STEPS),
            cells.targets(cells.BY_ID["vanilla"], net.spec, STEPS),
        )
    )
    Y[7] = np.nan
    return np.concatenate([X, Y], axis=1), model.run(X, Y)


def forecaster(path: Path) -> tuple[Array, Array]:
    """Export a forecaster with a clock; rows (x, time), and forecasts in this process."""
    times = 1_700_000_000 // 3600 * 3600 + np.arange(400) * 3600
    day = 2.0 * np.pi * times / 86400.0
    X = np.stack([np.sin(day), np.cos(day)], axis=1).astype(np.float32)
    X += np.random.RandomState(0).standard_normal(X.shape).astype(np.float32) * 0.1
    model = rtlstm.Forecaster(columns=["a", "b"], lags=6, layers=rtlstm.LSTM(8))
    model.run(X[:-STEPS], times[:-STEPS])
    export_onnx(model, path)
    X[-5, 0] = np.nan
    want = model.run(X[-STEPS:], times[-STEPS:], learn=False)
    return np.column_stack([X[-STEPS:], times[-STEPS:]]), want.reshape(STEPS, -1)


KINDS = {"network": network, "learner": learner, "forecaster": forecaster}


def check(kind: str, tmp_path: Path, command: Callable[[Path], list[str]], **parts: Any) -> None:
    path = tmp_path / f"{kind}.onnx"
    table, want = KINDS[kind](path)
    done = subprocess.run(
        command(path), input=rows_of(table), capture_output=True, text=True, timeout=120, **parts
    )
    assert done.returncode == 0, done.stderr
    got = np.array([[float(v) for v in line.split(",")] for line in done.stdout.splitlines()])
    assert len(got) == STEPS
    assert np.allclose(got[:, : want.shape[1]], want, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_python_client(kind: str, tmp_path: Path) -> None:
    check(kind, tmp_path, lambda path: [sys.executable, str(CLIENTS / "client.py"), str(path)])


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest) -> dict[str, str]:
    """An environment in which node finds onnxruntime: one that is there, or one from npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("the JavaScript client needs node and npm")
    for package in ("onnxruntime-node", "onnxruntime-web"):
        if (
            subprocess.run(["node", "-e", f"require('{package}')"], capture_output=True).returncode
            == 0
        ):
            return dict(os.environ)
    home = Path(request.config.cache.mkdir("onnxruntime-web"))  # type: ignore[union-attr]
    if not (home / "node_modules" / "onnxruntime-web").exists():
        install = ["npm", "install", "--ignore-scripts", "--prefix", str(home), "onnxruntime-web"]
        try:
            subprocess.run(install, capture_output=True, check=True, timeout=120)
        except (subprocess.SubprocessError, OSError):
            pytest.skip("the JavaScript client needs onnxruntime-web, and npm cannot install it")
    return {**os.environ, "NODE_PATH": str(home / "node_modules")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_javascript_client(kind: str, node: dict[str, str], tmp_path: Path) -> None:
    check(kind, tmp_path, lambda path: ["node", str(CLIENTS / "client.js"), str(path)], env=node)


def test_the_c_client_is_sound_cpp(tmp_path: Path) -> None:
    """Without onnxruntime's own header, against declarations of what the client uses of it."""
    if not shutil.which("g++"):
        pytest.skip("the C++ client needs g++")
    client = str(CLIENTS / "client.cpp")
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    check_only = ["g++", *flags, "-fsyntax-only", "-I", str(ROOT / "tests" / "device"), client]
    done = subprocess.run(check_only, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C++ client, built with the header and the library of an onnxruntime that is there."""
    header, library = next(headers(), None), next(libraries(), None)
    if not (shutil.which("g++") and header and library):
        pytest.skip("the C++ client needs g++ and onnxruntime_cxx_api.h: see ONNXRUNTIME_HOME")
    built = tmp_path_factory.mktemp("device") / "client"
    beside = built.parent / "libonnxruntime.so.1"  # its own name, which a wheel's file has not
    beside.symlink_to(library)
    found = ["-I", str(header.parent), str(CLIENTS / "client.cpp"), str(beside)]
    link = [f"-Wl,-rpath,{built.parent}", "-o", str(built)]
    done = subprocess.run(["g++", "-std=c++17", *found, *link], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return built


def homes() -> Iterator[Path]:
    """Where a release of onnxruntime, or a system's package of it, may lie."""
    named = os.environ.get("ONNXRUNTIME_HOME")
    yield from (Path(home) for home in (named, "/usr/local", "/usr") if home)


def headers() -> Iterator[Path]:
    """onnxruntime's C++ headers."""
    for home in homes():
        for place in ("", "onnxruntime/", "onnxruntime/core/session/"):
            yield from (home / "include").glob(f"{place}onnxruntime_cxx_api.h")


def libraries() -> Iterator[Path]:
    """onnxruntime's shared library: beside the header, or the one that its Python package has."""
    inside = Path(onnxruntime.__file__).parent / "capi"
    for folder in (*(home / "lib" for home in homes()), inside):
        yield from sorted(folder.glob("libonnxruntime.so*"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_c_client_runs(kind: str, program: Path, tmp_path: Path) -> None:
    check(kind, tmp_path, lambda path: [str(program), str(path)])
