"""LSTM networks that learn from every sample of a stream as it passes.

This module is the face of the package. Its names are found on first use, so `import rtlstm` loads
neither numba nor any optional package, and compiles nothing.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError(
        "rtlstm relies on the global interpreter lock, which this free-threaded Python"
        " runs without: start it with PYTHON_GIL=1 or -X gil=1, or use the ordinary build"
    )

if TYPE_CHECKING:
    from rtlstm import schedules as schedules
    from rtlstm.errors import DamagedFileError as DamagedFileError
    from rtlstm.errors import FileTooLargeError as FileTooLargeError
    from rtlstm.errors import FileVersionError as FileVersionError
    from rtlstm.errors import ForeignFileError as ForeignFileError
    from rtlstm.errors import LimitError as LimitError
    from rtlstm.errors import MismatchedFileError as MismatchedFileError
    from rtlstm.errors import MissingExtraError as MissingExtraError
    from rtlstm.errors import MissingFileError as MissingFileError
    from rtlstm.errors import ModelFileError as ModelFileError
    from rtlstm.errors import RtlstmError as RtlstmError
    from rtlstm.errors import SampleError as SampleError
    from rtlstm.errors import SinkError as SinkError
    from rtlstm.errors import SourceError as SourceError
    from rtlstm.errors import SpecError as SpecError
    from rtlstm.errors import StateError as StateError
    from rtlstm.errors import StorageError as StorageError
    from rtlstm.errors import TruncatedFileError as TruncatedFileError
    from rtlstm.errors import UnsavableError as UnsavableError
    from rtlstm.export.onnx import export_onnx as export_onnx
    from rtlstm.export.training.learner import export_onnx_learner as export_onnx_learner
    from rtlstm.export.training.state import import_learner_state as import_learner_state
    from rtlstm.export.verify import verify_onnx as verify_onnx
    from rtlstm.importers.keras import import_keras as import_keras
    from rtlstm.importers.onnx import import_onnx as import_onnx
    from rtlstm.importers.torch import import_torch as import_torch
    from rtlstm.kernels.compiler.config import config as config
    from rtlstm.models.classifier import Classifier as Classifier
    from rtlstm.models.classifier import Verdict as Verdict
    from rtlstm.models.detector import Detection as Detection
    from rtlstm.models.detector import Detections as Detections
    from rtlstm.models.detector import Detector as Detector
    from rtlstm.models.detector import Reason as Reason
    from rtlstm.models.detector import Spell as Spell
    from rtlstm.models.detector import Spells as Spells
    from rtlstm.models.fitting import History as History
    from rtlstm.models.fleet import Fleet as Fleet
    from rtlstm.models.forecaster import Forecast as Forecast
    from rtlstm.models.forecaster import Forecaster as Forecaster
    from rtlstm.models.jacobians import gradient_flow as gradient_flow
    from rtlstm.models.learner import Learner as Learner
    from rtlstm.models.load import load as load
    from rtlstm.models.network import Network as Network
    from rtlstm.models.regressor import Estimate as Estimate
    from rtlstm.models.regressor import Regressor as Regressor
    from rtlstm.spec import GRU as GRU
    from rtlstm.spec import LSTM as LSTM
    from rtlstm.spec import RNN as RNN
    from rtlstm.spec import Init as Init
    from rtlstm.spec import scaled_tanh as scaled_tanh
    from rtlstm.studies.compare.comparison import compare as compare
    from rtlstm.studies.tune.search import tune as tune
    from rtlstm.training import SGD as SGD
    from rtlstm.training import TBPTT as TBPTT
    from rtlstm.training import Adam as Adam
    from rtlstm.training import Hybrid as Hybrid
    from rtlstm.training import RMSProp as RMSProp
    from rtlstm.training import Rule as Rule

__version__ = "0.1.0"

_MODULES = {
    "rtlstm.models.classifier": ("Classifier", "Verdict"),
    "rtlstm.models.detector": (
        "Detection",
        "Detections",
        "Detector",
        "Reason",
        "Spell",
        "Spells",
    ),
    "rtlstm.errors": (
        "DamagedFileError",
        "FileTooLargeError",
        "FileVersionError",
        "ForeignFileError",
        "LimitError",
        "MismatchedFileError",
        "MissingExtraError",
        "MissingFileError",
        "ModelFileError",
        "RtlstmError",
        "SampleError",
        "SinkError",
        "SourceError",
        "SpecError",
        "StateError",
        "StorageError",
        "TruncatedFileError",
        "UnsavableError",
    ),
    "rtlstm.export.onnx": ("export_onnx",),
    "rtlstm.importers.keras": ("import_keras",),
    "rtlstm.export.training.learner": ("export_onnx_learner",),
    "rtlstm.export.training.state": ("import_learner_state",),
    "rtlstm.importers.onnx": ("import_onnx",),
    "rtlstm.importers.torch": ("import_torch",),
    "rtlstm.export.verify": ("verify_onnx",),
    "rtlstm.models.fleet": ("Fleet",),
    "rtlstm.models.forecaster": ("Forecast", "Forecaster"),
    "rtlstm.models.fitting": ("History",),
    "rtlstm.models.jacobians": ("gradient_flow",),
    "rtlstm.models.learner": ("Learner",),
    "rtlstm.models.network": ("Network",),
    "rtlstm.training": ("SGD", "TBPTT", "Adam", "Hybrid", "RMSProp", "Rule"),
    "rtlstm.models.load": ("load",),
    "rtlstm.kernels.compiler.config": ("config",),
    "rtlstm.models.regressor": ("Estimate", "Regressor"),
    "rtlstm.studies.compare.comparison": ("compare",),
    "rtlstm.studies.tune.search": ("tune",),
    "rtlstm.spec": ("GRU", "LSTM", "RNN", "Init", "scaled_tanh"),
}
_MODULE_OF = {name: room for room, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)


if not TYPE_CHECKING:  # to a type checker, a name that is not above does not exist

    def __getattr__(name: str) -> object:
        if name == "schedules":
            return import_module("rtlstm.schedules")
        room = _MODULE_OF.get(name)
        if room is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value: object = getattr(import_module(room), name)
        except ModuleNotFoundError as error:
            from rtlstm.errors import missing_extra

            raise missing_extra(error) from error
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
