"""How much each hyper-parameter of a search explains of its results: functional ANOVA.

Hutter, Hoos & Leyton-Brown 2014, An efficient approach for assessing hyperparameter importance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def importances(trials: Sequence[Any], most: float = math.inf) -> dict[str, float]:
    """Each hyper-parameter's share of the variance of the values of Optuna's finished trials.

    ``most``: a trial counts as no worse than that. Optuna's evaluator averages evenly over the
    ranges as they are written, where nine tenths of a rate's range from 1e-6 to 1e-2 lie above
    1e-3; so what was drawn by its logarithm is given to it as that. Raises what Optuna does:
    ImportError without scikit-learn, ValueError or RuntimeError where trials are too few or equal.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    study = optuna.create_study()
    study.add_trials([_as_drawn(optuna, trial, most) for trial in trials])
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def _as_drawn(optuna: Any, trial: Any, most: float) -> Any:
    """The trial with the logarithms of what was drawn by its logarithm."""
    params, distributions = dict(trial.params), dict(trial.distributions)
    for name, drawn in trial.distributions.items():
        if getattr(drawn, "log", False):
            low, high = math.log(drawn.low), math.log(drawn.high)
            params[name] = min(max(math.log(params[name]), low), high)
            distributions[name] = optuna.distributions.FloatDistribution(low, high)
    value = min(trial.value, most)
    return optuna.trial.create_trial(params=params, distributions=distributions, value=value)
