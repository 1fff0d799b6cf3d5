"""The table of methods: one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

_ROOM = "rtlstm.studies.compare.methods"


@dataclass(frozen=True)
class Row:
    """A method: where its class is, what it needs, what it is, and where it can run.

    device: how it runs where there is no Python, or "" if it does not.
    """

    module: str
    cls: str
    library: str  # as it is installed; "" for none
    what: str
    device: str = ""

    def load(self) -> Any:
        """Return the class."""
        return getattr(import_module(f"{_ROOM}.{self.module}"), self.cls)


METHODS: dict[str, Row] = {
    "rtlstm": Row("ours", "Ours", "", "rtlstm.Forecaster, defaults", "ONNX, object code"),
    "last-value": Row("simple", "LastValue", "", "last value repeated", "trivial"),
    "seasonal-naive": Row("simple", "SeasonalNaive", "", "value one season ago", "trivial"),
    "running-mean": Row("simple", "RunningMean", "", "mean of all values so far", "trivial"),
    "rls": Row("lags", "RecursiveLeastSquares", "", "least squares on 60 lags"),
    "boosted-trees": Row("lags", "BoostedTrees", "lightgbm", "trees on 24 lags", "C (treelite)"),
    "fft": Row("fourier", "Fourier", "", "harmonics found by FFT, least squares"),
    "dtw": Row("windows", "NearestWindows", "dtaidistance", "nearest past windows by DTW"),
    "hmm": Row("markov", "HiddenMarkov", "hmmlearn", "Gaussian hidden Markov model"),
    "arima": Row("statistical", "Arima", "statsforecast", "ARIMA(2,1,1)"),
    "ets": Row("statistical", "Ets", "statsforecast", "exponential smoothing, chosen by AICc"),
    "theta": Row("statistical", "Theta", "statsforecast", "Theta"),
    "snarimax": Row("river_models", "Snarimax", "river", "SNARIMAX, online"),
    "holt-winters": Row("river_models", "HoltWinters", "river", "Holt-Winters, online"),
    "rnn": Row("neural", "Rnn", "torch", "RNN, 32 units", "ONNX"),
    "lstm": Row("neural", "Lstm", "torch", "LSTM, 32 units", "ONNX"),
    "gru": Row("neural", "Gru", "torch", "GRU, 32 units", "ONNX"),
    "cnn": Row("neural", "Cnn", "torch", "1D-CNN, two layers", "ONNX"),
    "tcn": Row("neural", "Tcn", "torch", "TCN, dilated causal convolutions", "ONNX"),
    "transformer": Row("neural", "Transformer", "torch", "Transformer encoder", "ONNX"),
    "neural-ode": Row("neural", "NeuralOde", "torchdiffeq", "latent neural ODE", ""),
    "nlinear": Row("neural", "NLinear", "torch", "LTSF-Linear: NLinear", "ONNX"),
    "dlinear": Row("neural", "DLinear", "torch", "LTSF-Linear: DLinear", "ONNX"),
}
