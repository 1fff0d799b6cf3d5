"""What explains the results of a search, on the scale that each hyper-parameter was drawn on."""

from __future__ import annotations

import numpy as np
import pytest

from rtlstm.studies.importances import importances


def test_a_rate_that_is_drawn_by_its_logarithm_is_judged_by_it() -> None:
    """A loss that falls by one for each tenfold rate, and by half over the other's whole range."""
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    drawn = {
        "lr": optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True),
        "noise": optuna.distributions.FloatDistribution(0.0, 1.0),
        "units": optuna.distributions.IntDistribution(20, 200, log=True),
    }
    draw, trials = np.random.default_rng(0), []
    for _ in range(60):
        params = {"lr": 10.0 ** draw.uniform(-6, -2), "noise": draw.random(), "units": 20}
        value = -np.log10(params["lr"]) + 0.5 * params["noise"]
        trials.append(
            optuna.trial.create_trial(params=params, distributions=drawn, value=float(value))
        )
    shares = importances(trials)
    assert shares["lr"] > 0.9
    with pytest.raises(RuntimeError, match="variance"):
        importances(trials, most=-1e9)  # all alike, so nothing explains
