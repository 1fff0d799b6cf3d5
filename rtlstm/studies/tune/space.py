"""What a search may choose: one table of settings, and the forecaster that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rtlstm.models.forecaster import Forecaster
from rtlstm.spec import GRU, LSTM, Layer

CELLS = ("NP", "vanilla", "CIFG", "2000", "GRU")
RULES = ("truncated", "snap1", "uoro")
DEFAULT: dict[str, Any] = {"cell": "NP", "units": 32, "layers": 1, "rule": "truncated", "lags": 29}


def suggest(trial: Any) -> dict[str, Any]:
    """Let a trial of Optuna choose the settings.

    A GRU has no carousel, which `truncated` needs: with it that rule stands for `snap1`.
    """
    return {
        "cell": trial.suggest_categorical("cell", CELLS),
        "units": trial.suggest_int("units", 4, 64, log=True),
        "layers": trial.suggest_int("layers", 1, 2),
        "rule": trial.suggest_categorical("rule", RULES),
        "lags": trial.suggest_int("lags", 2, 120, log=True),
    }


def layers_of(settings: Mapping[str, Any]) -> list[Layer]:
    """Return the layers that the settings describe."""
    cell, units = settings["cell"], int(settings["units"])
    one: Layer = GRU(units) if cell == "GRU" else LSTM(units, cell)
    return [one] * int(settings["layers"])


def rule_of(settings: Mapping[str, Any]) -> str:
    """Return the learning rule, one that the cell can have."""
    gru = settings["cell"] == "GRU" and settings["rule"] == "truncated"
    return "snap1" if gru else str(settings["rule"])


def forecaster(
    settings: Mapping[str, Any], columns: list[str], targets: list[str], horizon: int, seed: int
) -> Forecaster:
    """Return a new forecaster with these settings."""
    return Forecaster(
        columns,
        targets,
        horizon=[horizon],
        lags=int(settings["lags"]),
        layers=layers_of(settings),
        rule=rule_of(settings),
        seed=seed,
    )
