"""Figures of a running stream, as Prometheus reads them."""

import sys
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest

import rtlstm
from rtlstm.cli.metrics import Metrics
from rtlstm.cli.outputs import Outputs
from rtlstm.cli.run import Run
from rtlstm.errors import MissingExtraError
from rtlstm.stream import Sample

pytest.importorskip("prometheus_client")


def a_run(folder: Path) -> Run:
    model = rtlstm.Forecaster(["a", "b"], lags=2, layers=rtlstm.LSTM(2))
    return Run(model, Outputs(save=folder / "m", every=3))


def test_figures_are_served_on_this_machine_alone(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    with closing(Metrics(run, 0)) as metrics:
        for i in range(7):
            values = np.array([i % 3, np.nan if i == 4 else 1.0])
            run.take(Sample(60.0 * min(i, 5), values))
        with urlopen(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
            lines = dict(
                line.rsplit(" ", 1)
                for line in answer.read().decode().splitlines()
                if not line.startswith("#")
            )
    assert lines["rtlstm_rows_total"] == "7.0"
    assert lines["rtlstm_missing_cells_total"] == "1.0"
    assert lines["rtlstm_times_accepted_total"] == "1.0"
    assert float(lines["rtlstm_learning_seconds"]) > 0.0
    assert 0.0 <= float(lines["rtlstm_checkpoint_age_seconds"]) < 60.0
    assert 'rtlstm_skill{target="a+1"}' in lines
    with pytest.raises(OSError, match="refused"):
        urlopen(f"http://127.0.0.1:{metrics.port}/metrics")


def test_without_the_client_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rtlstm\[ops\]'"):
        Metrics(a_run(tmp_path), 0)
