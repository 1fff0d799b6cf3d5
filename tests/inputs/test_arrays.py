"""Arrays at the border: taken as they are, cast, or refused with what was wrong and wanted."""

import re
from typing import Any

import numpy as np
import pytest

from rtlstm.errors import SampleError
from rtlstm.inputs import arrays
from rtlstm.spec import LSTM, NetworkSpec

F4, F8 = np.dtype(np.float32), np.dtype(np.float64)
NONE = NetworkSpec(2, (LSTM(2),), 3)
SOFTMAX = NetworkSpec(2, (LSTM(2),), 3, head="softmax")
SINGLE = NetworkSpec(2, (LSTM(2),), 1)


def test_what_fits_is_taken_without_a_copy() -> None:
    x = np.ones(3, F4)
    assert arrays.as_sample(x, (3,), F4, "x") is x
    assert arrays.as_target(x, (3,), F4, NONE) is x


@pytest.mark.parametrize(
    "x",
    [
        [1, 2, 3], (1.0, 2.0, 3.0), np.array([1, 2, 3]), np.array([1.0, 2.0, 3.0]),
        np.array([1, 9, 2, 9, 3, 9], F4)[::2], np.array([1, 2, 3], np.uint8),
        np.array([1, 2, 3], ">f4"),
    ],
)  # fmt: skip
def test_what_can_be_cast_is(x: Any) -> None:
    for made in (arrays.as_sample(x, (3,), F4, "x"), arrays.as_target(x, (3,), F4, NONE)):
        assert made.dtype is F4 and made.flags.c_contiguous and made.tolist() == [1.0, 2.0, 3.0]


def test_truths_are_numbers_and_what_overflows_is_infinite() -> None:
    assert arrays.as_sample([True, False], (2,), F4, "x").tolist() == [1.0, 0.0]
    assert arrays.as_sample([1e300], (1,), F4, "x").tolist() == [np.inf]


REFUSED = {
    "shape": ([1, 2], "x must have shape (3,), got (2,); nothing was changed"),
    "one dimension more": ([[1, 2, 3]], "x must have shape (3,), got (1, 3); nothing was changed"),
    "complex": ([1j, 2, 3], "x must hold real numbers, got dtype complex128; nothing was changed"),
    "texts": (["a", "b", "c"], "x must hold real numbers, got dtype <U1; nothing was changed"),
    "objects": ([None, 1, 2], "x must hold real numbers, got dtype object; nothing was changed"),
    "dates": (np.zeros(3, "M8[s]"), "x must hold real numbers, got dtype datetime64[s]"),
    "masked": (np.ma.zeros(3), "x must be a plain array, got a masked one; nothing was changed"),
    "masked within": ([np.ma.zeros(3)], "x must be a plain array, got a masked one"),
    "ragged": ([[1], [1, 2]], "x must be an array of numbers ("),
}


@pytest.mark.parametrize("length", [2, 4])
def test_an_array_of_the_right_kind_and_another_length_is_refused(length: int) -> None:
    for make in (
        lambda x: arrays.as_sample(x, (3,), F4, "x"), lambda y: arrays.as_target(y, (3,), F4, NONE)
    ):  # fmt: skip
        with pytest.raises(SampleError, match=re.escape(f"must have shape (3,), got ({length},)")):
            make(np.ones(length, F4))


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    x, said = REFUSED[case]
    with pytest.raises(SampleError, match=r"^" + re.escape(said)):
        arrays.as_sample(x, (3,), F4, "x")


def test_rows_are_finite_unless_they_are_checked_elsewhere() -> None:
    rows = np.arange(12.0).reshape(4, 3)
    assert arrays.as_rows(rows, 3, F8, "X") is not None
    assert arrays.as_rows(rows.tolist(), 3, F4, "X").shape == (4, 3)
    rows[2, 1], rows[3, 0] = np.nan, -np.inf
    assert np.isnan(arrays.as_rows(rows, 3, F8, "X", checked=False)[2, 1])
    with pytest.raises(SampleError, match=r"^X must be finite, got NaN or infinity in row 2; no"):
        arrays.as_rows(rows, 3, F8, "X")
    with pytest.raises(SampleError, match=re.escape("X must have shape (T, 3), got (4, 2)")):
        arrays.as_rows(rows[:, :2], 3, F8, "X")
    told: list[list[int]] = []
    with pytest.raises(SampleError):
        arrays.must_be_finite(rows, "X", lambda bad: told.append(bad.tolist()))
    assert told == [[2, 3]]
    arrays.must_be_finite(rows[:2], "X", lambda bad: told.append(bad.tolist()))
    assert len(told) == 1


def test_targets_of_one_output_are_plain_numbers() -> None:
    assert arrays.as_targets(0.5, None, SINGLE).tolist() == [0.5]
    assert arrays.as_targets([1, 2], 2, SINGLE).tolist() == [[1.0], [2.0]]
    assert arrays.as_targets([[1], [2]], 2, SINGLE).tolist() == [[1.0], [2.0]]
    with pytest.raises(SampleError, match=re.escape("Y must have shape (3, 1), got (2,)")):
        arrays.as_targets([1, 2], 3, SINGLE, "Y")
    with pytest.raises(SampleError, match=re.escape("y must have shape (3,), got ()")):
        arrays.as_targets(1.0, None, NONE)
    with pytest.raises(SampleError, match=re.escape("y must have shape (3,), got ()")):
        arrays.as_targets(1, None, NONE)  # a class is one of a softmax head alone
    with pytest.raises(SampleError, match=re.escape("y must have shape (3,), got (3, 1)")):
        arrays.as_targets(np.ones((3, 1)), None, NONE)


def test_targets_of_a_softmax_may_be_classes() -> None:
    assert arrays.as_targets(2, None, SOFTMAX).tolist() == [0.0, 0.0, 1.0]
    assert arrays.as_targets(0, None, SOFTMAX).tolist() == [1.0, 0.0, 0.0]
    assert arrays.as_targets([1, 0], 2, SOFTMAX).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert arrays.as_targets(np.array([], int), 0, SOFTMAX).shape == (0, 3)
    assert arrays.as_targets([0.2, 0.3, 0.5], None, SOFTMAX).shape == (3,)
    single = NetworkSpec(2, (LSTM(2),), 1, head="softmax")  # whose only class says nothing
    assert arrays.as_targets(1, None, single).tolist() == [1.0]
    for wrong in (3, -1):
        with pytest.raises(SampleError, match=r"^y must name classes from 0 to 2; nothing was"):
            arrays.as_targets(wrong, None, SOFTMAX)
    with pytest.raises(SampleError, match="classes from 0 to 2"):
        arrays.as_targets([0, 3], 2, SOFTMAX)


def test_what_fits_as_a_target_is_looked_at_again_otherwise() -> None:
    for y in ([1.0, 2.0, 3.0], np.ones(3, F8), np.ones(6, F4)[::2]):
        made = arrays.as_target(y, (3,), F4, NONE)
        assert made.dtype is F4 and made.flags.c_contiguous
    with pytest.raises(SampleError):
        arrays.as_target(np.ones(2, F4), (3,), F4, NONE)


def test_where_answers_go() -> None:
    new = arrays.output_array(None, (2, 3), F4)
    assert new.shape == (2, 3) and new.dtype is F4
    room, other = np.zeros((2, 3), F4), np.zeros(6, F4)
    assert arrays.output_array(room, (2, 3), F4, other) is room
    frozen = np.zeros((2, 3), F4)
    frozen.setflags(write=False)
    wrong: list[Any] = [
        [0.0] * 6, np.zeros((2, 3)), np.zeros((3, 2), F4), np.zeros((3, 2), F4).T, frozen,
        np.zeros((2, 3), F4).view(np.matrix),
    ]  # fmt: skip
    for out in wrong:
        with pytest.raises(SampleError, match=r"^out must be a writable C-contiguous float32 arr"):
            arrays.output_array(out, (2, 3), F4)
    with pytest.raises(SampleError, match=r"^out shares memory with the samples"):
        arrays.output_array(room, (2, 3), F4, other, room[1])


def test_an_array_in_a_block_that_moves_is_copied() -> None:
    block = np.zeros(8, F4)
    inside, apart = block[2:4], np.zeros(2, F4)
    assert arrays.outside(apart, block) is apart
    copy = arrays.outside(inside, block)
    assert not np.may_share_memory(copy, block) and copy.tolist() == [0.0, 0.0]
