"""Metrics of yes-or-no decisions: against scikit-learn, and NaN rather than 0 where nothing can be said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from medai_lab.evaluation import decisions

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure

ORACLES = {
    "sensitivity": sk.recall_score,
    "specificity": lambda t, c, **k: sk.recall_score(1 - t, 1 - c, **k),
    "ppv": sk.precision_score,
    "npv": lambda t, c, **k: sk.precision_score(1 - t, 1 - c, **k),
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "f1": sk.f1_score,
    "mcc": sk.matthews_corrcoef,
}


@st.composite
def decided(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and decisions that hold all four kinds, and repeats of at least one."""
    pairs = [(0, 0), (0, 1), (1, 0), (1, 1), *draw(st.lists(st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1)])))]
    repeats = draw(st.lists(st.integers(1, 5), min_size=len(pairs), max_size=len(pairs)))
    truth, called = np.array(pairs).T
    return truth, called, np.array(repeats)


def test_every_metric_has_an_oracle():
    assert set(ORACLES) == set(decisions.METRICS)


@QUICK
@given(decided())
@pytest.mark.parametrize("name", ORACLES)
def test_equal_to_scikit_learn(name, case):
    truth, called, repeats = case
    weights = np.stack([np.ones_like(repeats), repeats])
    found = decisions.METRICS[name](decisions.count(truth.astype(float), called == 1, weights))
    expected = [ORACLES[name](truth, called), ORACLES[name](truth, called, sample_weight=repeats)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    again = decisions.count(np.repeat(truth, repeats), np.repeat(called, repeats) == 1, np.ones((1, repeats.sum())))
    np.testing.assert_allclose(found[1], decisions.METRICS[name](again)[0], atol=1e-12)


@QUICK
@given(decided())
def test_bounds_and_symmetry(case):
    truth, called, repeats = case
    c = decisions.count(truth, called == 1, repeats[None, :])
    swapped = decisions.count(1 - truth, called == 0, repeats[None, :])
    assert sum(part[0] for part in c) == repeats.sum()
    for name, metric in decisions.METRICS.items():
        assert (-1 if name == "mcc" else 0) <= metric(c)[0] <= 1 + 1e-12
    assert decisions.sensitivity(c) == decisions.specificity(swapped)
    assert decisions.ppv(c) == decisions.npv(swapped)
    np.testing.assert_allclose(decisions.mcc(c), decisions.mcc(swapped))


@pytest.mark.parametrize(
    ("truth", "called", "undefined"),
    [
        ([1, 1], [1, 0], {"specificity", "balanced_accuracy", "mcc"}),
        ([0, 0], [1, 0], {"sensitivity", "balanced_accuracy", "f1", "mcc"}),
        ([0, 1], [0, 0], {"ppv", "mcc"}),
        ([0, 1], [1, 1], {"npv", "mcc"}),
        ([], [], set(decisions.METRICS)),
    ],
)
def test_what_cannot_be_estimated_is_nan_and_nothing_else_is(truth, called, undefined):
    c = decisions.count(np.array(truth), np.array(called, bool), np.ones((1, len(truth))))
    assert {name for name, metric in decisions.METRICS.items() if np.isnan(metric(c)[0])} == undefined
