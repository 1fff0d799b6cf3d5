"""Frozen dataclasses that share their methods, beside those that dataclasses make."""

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Any, ClassVar

import pytest

from rtlstm.kernels.frozen import frozen


def described(make: Any) -> tuple[Any, Any]:
    """A class and one derived from it, made by this decorator."""

    @make
    class Base:
        """Has what is by keyword alone, and is checked."""

        kind: ClassVar[str] = "base"

        units: int
        init: Any = field(default=None, kw_only=True)

        def __post_init__(self) -> None:
            if self.init is None:
                object.__setattr__(self, "init", "usual")

    @make
    class Derived(Base):
        """Adds a field in the middle, and one that tells nothing apart."""

        variant: str = "standard"
        seen: int = field(default=0, compare=False, repr=False)

    for made in (Base, Derived):
        made.__qualname__ = made.__name__
    return Base, Derived


PAIRS = list(zip(described(frozen), described(dataclass(frozen=True)), strict=True))
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((3,), {}),
    ((), {"units": 4, "init": "zeros"}),
    ((5,), {"init": [1]}),
    ((6, "NP", 7), {}),
    ((6,), {"seen": 7}),
    ((), {}),
    ((1, "NP", 2, 3), {}),
    ((1,), {"units": 2}),
    ((1,), {"other": 2}),
    ((1,), {"_init": 2, "self": 3}),
]


def outcome(work: Any) -> Any:
    try:
        return work()
    except Exception as error:
        return type(error)


@pytest.mark.parametrize(("own", "usual"), PAIRS)
@pytest.mark.parametrize(("args", "named"), CALLS)
def test_objects_are_as_dataclasses_make_them(own: Any, usual: Any, args: Any, named: Any) -> None:
    mine, other = (outcome(lambda k=k: k(*args, **named)) for k in (own, usual))
    if isinstance(other, type):
        assert mine is other
        return
    assert repr(mine) == repr(other) and vars(mine) == vars(other)
    assert dataclasses.asdict(mine) == dataclasses.asdict(other)
    assert (outcome(lambda: hash(mine)) is TypeError) == (outcome(lambda: hash(other)) is TypeError)
    changed = [dataclasses.replace(made, units=9) for made in (mine, other)]
    assert repr(changed[0]) == repr(changed[1])
    assert mine == own(*args, **named) and mine != changed[0] and mine != other
    assert copy.deepcopy(mine) == mine == copy.copy(mine)


@pytest.mark.parametrize(("own", "usual"), PAIRS)
def test_classes_are_as_dataclasses_make_them(own: Any, usual: Any) -> None:
    assert inspect.signature(own) == inspect.signature(usual)
    assert [f.name for f in dataclasses.fields(own)] == [f.name for f in dataclasses.fields(usual)]
    assert own.__match_args__ == usual.__match_args__ and own.__doc__ == usual.__doc__


def test_nothing_is_assigned_or_deleted() -> None:
    for own, _ in PAIRS:
        made = own(3)
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'units'"):
            made.units = 4
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'init'"):
            del made.init
        assert made.units == 3 and made.init == "usual"


def test_fields_that_are_not_compared_tell_nothing_apart() -> None:
    derived = PAIRS[1][0]
    assert derived(3, seen=1) == derived(3, seen=2) and derived(3) != derived(4)
    assert hash(derived(3, seen=1)) == hash(derived(3, seen=2))
    assert len({derived(3), derived(3), derived(4)}) == 2 and derived(3) != PAIRS[0][0](3)


def test_a_wrong_argument_is_named_and_its_class() -> None:
    with pytest.raises(TypeError, match=r"Derived: got an unexpected keyword argument 'unit'"):
        PAIRS[1][0](3, unit=4)


@frozen(eq=False)
class Identity:
    """Equal to itself alone."""

    value: Any

    def __repr__(self) -> str:
        return "own"


@frozen
class Plain:
    """Can be pickled: it is found by its name."""

    value: Any = None


def test_without_equality_objects_are_themselves_alone() -> None:
    one, two = Identity([1]), Identity([1])
    assert one != two and len({one, two}) == 2 and repr(one) == "own"


def test_pickling_brings_the_fields_back() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(Plain((1, 2)), protocol)) == Plain((1, 2))


def test_an_ordinary_frozen_dataclass_may_derive_from_an_optimizer() -> None:
    from rtlstm.training import Optimizer

    @dataclass(frozen=True)
    class Own(Optimizer):
        lr: float
        eps: float = 1e-6

    assert Own(0.1).hyper_parameters == {"lr": 0.1, "eps": 1e-6}


STARTS = """
import sys, rtlstm
rtlstm.Learner(rtlstm.Network(1, rtlstm.LSTM(1), 1)).step([0.0], [0.0])
modules = [m for name, m in sys.modules.items() if name.startswith("rtlstm.")]
kinds = {k for m in modules for k in vars(m).values() if hasattr(k, "__dataclass_fields__")}
kinds = {k for k in kinds if isinstance(k, type) and k.__module__.startswith("rtlstm.")}
compiled = [k for k in kinds if k.__init__.__code__.co_filename == "<string>"]
assert len(kinds) > 10 and not compiled, (kinds, compiled)
"""


def test_a_first_learners_step_compiles_no_methods_of_dataclasses() -> None:
    done = subprocess.run([sys.executable, "-c", STARTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
