"""A detector's graph in onnxruntime against the detector in this process, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rtlstm

pytest.importorskip("onnxruntime")


def rows(count: int, columns: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    phase = np.arange(count)[:, None] * 2.0 * np.pi / 40.0 + np.arange(columns)
    return 3.0 + np.sin(phase) + 0.1 * rng.normal(size=(count, columns))


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (1, {}),
        (3, {"missing": "hold"}),
        (2, {"missing": "skip", "threshold": 0.97}),
        (2, {"targets": ["c1"], "spells": rtlstm.Spells(quiet=10, settle=50)}),
    ],
)
def test_score_and_flag_are_those_of_the_detector(
    columns: int, options: dict[str, object], tmp_path: Path
) -> None:
    names = [f"c{j}" for j in range(columns)]
    small = {"lags": 3, "layers": rtlstm.LSTM(4), **options}
    detector = rtlstm.Detector(names, **small)  # type: ignore[arg-type]
    x = rows(1100, columns)
    x[500, 0] = x[700:705, -1] = np.nan
    detector.run(x[:800])
    rest = x[800:]
    rest[50:70, -1] += 2.0
    rest[120:150, -1] = 3.0
    rest[200, -1], rest[210:214, 0] = 40.0, np.nan
    path = tmp_path / "detector.onnx"
    rtlstm.export_onnx(detector, path)
    found = rtlstm.verify_onnx(path, detector, rest)
    assert found.rows == len(rest) and found.difference < 2e-3, found


def test_a_young_detector_exports_too(tmp_path: Path) -> None:
    detector = rtlstm.Detector(["a"], lags=2, layers=rtlstm.LSTM(2))
    x = rows(150, 1)
    detector.run(x[:60])
    rtlstm.export_onnx(detector, tmp_path / "d.onnx")
    assert rtlstm.verify_onnx(tmp_path / "d.onnx", detector, x[60:]).difference < 2e-3
