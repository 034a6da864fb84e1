"""Regression metrics: against scikit-learn and scipy, and constants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as sk

from medai_lab.evaluation import regression

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure


@QUICK
@given(
    hnp.arrays(float, (12, 2), elements=st.floats(-100, 100).map(lambda x: round(x, 3)), unique=True),
    hnp.arrays(np.int64, 12, elements=st.integers(1, 4)),
    st.sampled_from([0.0, 1e5]),
)
def test_equal_to_scikit_learn_and_scipy(values, repeats, offset):
    truth, predicted = values.T + offset
    found = {name: m(truth, predicted, repeats[None, :])[0] for name, m in regression.METRICS.items()}
    weighted = {"sample_weight": repeats}
    again = np.repeat(truth, repeats), np.repeat(predicted, repeats)
    expected = {
        "mae": sk.mean_absolute_error(truth, predicted, **weighted),
        "rmse": sk.root_mean_squared_error(truth, predicted, **weighted),
        "r2": sk.r2_score(truth, predicted, **weighted),
        "pearson": stats.pearsonr(*again).statistic,
        "bias": np.mean(again[1] - again[0]),
    }
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-6), name


def test_many_replicates_at_once():
    rng = np.random.default_rng(0)
    truth, predicted, weights = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 3, size=(7, 30))
    for metric in regression.METRICS.values():
        alone = [metric(truth, predicted, row[None, :])[0] for row in weights]
        np.testing.assert_allclose(metric(truth, predicted, weights), alone)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6 + 0.1])
def test_a_constant_has_no_explained_variance_and_no_correlation(level):
    truth, predicted = np.full(5, level), np.linspace(0, 1, 5)
    assert np.isnan(regression.r2(truth, predicted, np.ones((1, 5)))[0])
    assert np.isnan(regression.pearson(truth, predicted, np.ones((1, 5)))[0])
    assert np.isnan(regression.pearson(predicted, truth, np.ones((1, 5)))[0])
    assert np.isfinite(regression.r2(predicted, truth, np.ones((1, 5)))[0])


def test_a_replicate_of_one_record_is_constant():
    weights = np.array([[0, 3, 0]])
    assert np.isnan(regression.r2(np.array([1.0, 2.2, 3]), np.array([1.0, 2, 3]), weights)[0])
    assert regression.mae(np.array([1.0, 2.2, 3]), np.array([1.0, 2, 3]), weights)[0] == pytest.approx(0.2)


def test_overestimating_is_a_bias_above_zero():
    assert regression.bias(np.zeros(2), np.array([1.0, 3.0]), np.ones((1, 2)))[0] == 2
