"""Models as object files for chips without Python, and what a chip learned brought back."""

from rtlstm.export.device.build import Job, build, build_all
from rtlstm.export.device.state import import_state

__all__ = ["Job", "build", "build_all", "import_state"]
