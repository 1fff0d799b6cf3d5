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


class StateError(RtlstmError, ValueError):
    """A snapshot, ticket or key that does not belong to this object; nothing was changed."""


class LimitError(RtlstmError, MemoryError):
    """Something that would need more memory than its stated limit; nothing was allocated."""


class ModelFileError(RtlstmError, ValueError):
    """A model file that is damaged, foreign, or of a version that this package does not read."""


class ForeignFileError(ModelFileError):
    """The file is not a model file of this package, or its header breaks the format."""


class TruncatedFileError(ModelFileError):
    """The file ends before its own header says it should."""


class DamagedFileError(ModelFileError):
    """The file is ours, but its bytes are not those that were written, or a value is not legal."""


class MismatchedFileError(ModelFileError):
    """The file's spec cannot be built, or its tensors are not those that the spec asks for."""


class FileVersionError(ModelFileError):
    """The file has a version of the format that this release does not read."""


class FileTooLargeError(ModelFileError):
    """The file is larger than the reader was told to accept."""


class StorageError(OSError, ModelFileError):  # OSError first, or errno and filename stay None
    """The operating system refused to read or write the file; ``errno`` says why."""


class MissingFileError(StorageError, FileNotFoundError):
    """There is no file of that name."""


class UnsavableError(ModelFileError):
    """A model that could not be loaded again, as one with a weight that is not finite."""


class SourceError(RtlstmError, ValueError):
    """A stream of samples that cannot be opened, or a row of it that cannot be read."""


class SinkError(RtlstmError, OSError):
    """Forecasts that cannot be written where they were asked to go."""


class MissingExtraError(RtlstmError, ImportError):
    """A part of the package whose optional dependency is not installed."""


EXTRAS = {  # packages, and what installs them
    "onnx": "onnx",
    "numba": "jit",
    "llvmlite": "jit",
    "ml_dtypes": "bfloat16",
}


def missing_extra(error: ImportError) -> ImportError:
    """The error to raise in place of this one, where a package of an extra is not installed."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return error
    if "rtlstm[" in str(error):  # it says so itself
        return MissingExtraError(str(error))
    return MissingExtraError(f"this needs {package}: pip install 'rtlstm[{EXTRAS[package]}]'")
