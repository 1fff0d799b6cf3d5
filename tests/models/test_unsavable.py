"""A model that could not be loaded again is not saved, least of all over a good file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks.resigned import models

import rtlstm
from rtlstm.kernels import plan as p

MODELS = models()


def broken(model: Any) -> None:
    """Make one weight of it infinite."""
    at = next(at for name, at in model._saved.items() if name.startswith("parameters"))
    view = model._arena.view(at)
    view[(-1,) * view.ndim] = np.inf


@pytest.mark.parametrize("name", MODELS)
def test_a_weight_that_is_not_finite(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name], tmp_path / "m"
    good = model.snapshot()
    model.save(path)
    before = path.read_bytes()
    broken(model)
    with pytest.raises(
        rtlstm.UnsavableError, match=r"'parameters.* not finite; what is at"
    ) as told:
        model.save(path)
    assert isinstance(told.value, rtlstm.ModelFileError)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    model._bytes[:] = np.frombuffer(good, np.uint8)
    model.save(path)
    assert path.read_bytes() == before


def test_a_number_that_no_file_may_hold(tmp_path: Path) -> None:
    learner = MODELS["truncated"]
    good = learner.snapshot()
    learner._arena.q[p.Q_SEED] = -1
    with pytest.raises(rtlstm.UnsavableError, match="'counters' holds -1 at"):
        learner.save(tmp_path / "m")
    assert not list(tmp_path.iterdir())
    learner._bytes[:] = np.frombuffer(good, np.uint8)
