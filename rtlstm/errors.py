"""The errors of the package: one kind for each family of faults.

Every kind is an `RtlstmError`, and also the built-in error that a user of Python expects in its
place. Each message says what was wrong, what was expected and what was left untouched.
"""


class RtlstmError(Exception):
    """Whatever the package itself refuses."""


class SpecError(RtlstmError, ValueError):
    """A network, learner or forecaster that cannot be built as described."""


class SampleError(RtlstmError, ValueError):
    """A sample or target of the wrong type, shape or value; nothing was learned from it."""


class ModelFileError(RtlstmError, ValueError):
    """A model file that is damaged, foreign, or of a version that this package does not read."""


class SourceError(RtlstmError, ValueError):
    """A stream of samples that cannot be opened, or a row of it that cannot be read."""


class SinkError(RtlstmError, OSError):
    """Forecasts that cannot be written where they were asked to go."""


class MissingExtraError(RtlstmError, ImportError):
    """A part of the package whose optional dependency is not installed."""
