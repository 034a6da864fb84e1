"""All metrics of one output, and the reasons given for those that are missing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from medai_lab.evaluation import metrics

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure


@QUICK
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_brier_equals_scikit_learn(pairs):
    truth, score = np.array(pairs).T
    found = metrics.brier(truth, score, np.ones((1, len(pairs))))[0]
    assert found == pytest.approx(brier_score_loss(truth, score, labels=[0, 1]), abs=1e-12)


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), max_size=6),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_there_is_a_reason_for_every_missing_metric_and_for_no_other(pairs, threshold):
    truth, score = np.array(pairs, float).reshape(-1, 2).T
    values = metrics.binary(truth, score, threshold, np.ones((1, len(pairs))))
    missing = {name for name, value in values.items() if np.isnan(value[0])}
    assert set(metrics.why_not(truth, None if threshold is None else score >= threshold)) == missing


def test_a_score_on_the_threshold_is_called():
    truth, score = np.array([0.0, 1.0]), np.array([0.2, 0.5])
    assert metrics.binary(truth, score, 0.5, np.ones((1, 2)))["sensitivity"][0] == 1


def test_the_reason_names_the_missing_kind():
    assert metrics.why_not(np.zeros(3), np.array([True, False, False]))["auroc"] == "no positive records"
    assert metrics.why_not(np.ones(3), np.array([True, False, False]))["specificity"] == "no negative records"
    assert metrics.why_not(np.array([0, 1]), None)["sensitivity"] == "no operating point is set"
