"""Which record is in which batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medai_lab.learning.batches import EvalBatches, TrainBatches


@given(st.integers(4, 200), st.integers(1, 32), st.integers(1, 4))
def test_training_sees_every_record_once_over_all_processes(n, batch_size, size):
    parts = [list(TrainBatches(n, batch_size, 0, lambda: 3, rank=r, size=size)) for r in range(size)]
    assert len({len(p) for p in parts}) == 1, "processes must take the same number of steps"
    assert all(batch for part in parts for batch in part), "no process may get an empty batch"
    assert sorted(i for part in parts for batch in part for i in batch) == list(range(n))


@given(st.integers(4, 200), st.integers(1, 32), st.integers(1, 4))
def test_a_step_sees_the_same_records_whatever_the_number_of_processes(n, batch_size, size):
    alone = list(TrainBatches(n, batch_size, 5, lambda: 0))
    parts = [list(TrainBatches(n, batch_size, 5, lambda: 0, rank=r, size=size)) for r in range(size)]
    if len(alone) == len(parts[0]):
        for step, batch in enumerate(alone):
            assert sorted(batch) == sorted(i for part in parts for i in part[step])


def test_batches_are_of_nearly_equal_size():
    sizes = [len(b) for b in TrainBatches(17, 8, 0, lambda: 0)]
    assert sizes == [6, 6, 5]


def test_epochs_differ_and_repeat():
    epoch = [0]
    batches = TrainBatches(50, 10, 1, lambda: epoch[0])
    first = list(batches)
    epoch[0] = 1
    second = list(batches)
    epoch[0] = 0
    assert list(batches) == first
    assert second != first


def test_balanced_drawing_evens_out_the_classes():
    rare = np.array([1.0] * 10 + [9.0] * 90)
    drawn = [i for b in TrainBatches(100, 10, 0, lambda: 0, weights=1 / rare) for i in b]
    assert 30 <= sum(i < 10 for i in drawn) <= 70


@given(st.integers(0, 100), st.integers(1, 16), st.integers(1, 4))
def test_evaluation_takes_every_record_exactly_once(n, batch_size, size):
    taken = [i for r in range(size) for batch in EvalBatches(n, batch_size, r, size) for i in batch]
    assert sorted(taken) == list(range(n))


@pytest.mark.parametrize(("n", "batch_size", "count"), [(10, 4, 3), (8, 4, 2), (0, 4, 0)])
def test_the_number_of_evaluation_batches(n, batch_size, count):
    assert len(EvalBatches(n, batch_size)) == count == len(list(EvalBatches(n, batch_size)))
