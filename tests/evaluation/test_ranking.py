"""Areas under the curves: against scikit-learn, with ties, weights and missing classes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from medai_lab.evaluation.ranking import auprc, auroc, steps

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure


def ones(n: int) -> np.ndarray:
    return np.ones((1, n))


@st.composite
def scored(draw: st.DrawFn, levels: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth with both kinds, scores with many ties, and repeats of at least one."""
    n = draw(st.integers(2, 25))
    truth = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)), float)
    truth[:2] = (0, 1)
    score = np.array(draw(st.lists(st.integers(0, levels), min_size=n, max_size=n))) / levels
    repeats = np.array(draw(st.lists(st.integers(1, 4), min_size=n, max_size=n)))
    return truth, score, repeats


@QUICK
@given(scored())
def test_equal_to_scikit_learn_with_ties(case):
    truth, score, repeats = case
    weights = np.stack([np.ones_like(repeats), repeats])
    expected = [roc_auc_score(truth, score), roc_auc_score(truth, score, sample_weight=repeats)]
    np.testing.assert_allclose(auroc(truth, score, weights), expected, atol=1e-12)
    expected = [average_precision_score(truth, score), average_precision_score(truth, score, sample_weight=repeats)]
    np.testing.assert_allclose(auprc(truth, score, weights), expected, atol=1e-12)


@QUICK
@given(scored())
@pytest.mark.parametrize("metric", [auroc, auprc])
def test_weights_that_are_repeats_equal_repeated_records(metric, case):
    truth, score, repeats = case
    again = metric(np.repeat(truth, repeats), np.repeat(score, repeats), ones(int(repeats.sum())))
    np.testing.assert_allclose(metric(truth, score, repeats[None, :]), again, atol=1e-12)


@QUICK
@given(scored())
@pytest.mark.parametrize("metric", [auroc, auprc])
def test_only_the_order_of_the_scores_counts(metric, case):
    truth, score, repeats = case
    np.testing.assert_allclose(
        metric(truth, score, repeats[None, :]), metric(truth, np.exp(3 * score), repeats[None, :]), atol=1e-12
    )


@QUICK
@given(scored())
def test_turning_the_scores_around_turns_the_area_around(case):
    truth, score, repeats = case
    np.testing.assert_allclose(
        auroc(truth, -score, repeats[None, :]), 1 - auroc(truth, score, repeats[None, :]), atol=1e-12
    )


@pytest.mark.parametrize("metric", [auroc, auprc])
def test_replicates_do_not_touch_one_another(metric):
    rng = np.random.default_rng(1)
    truth, score = (rng.random(40) < 0.4).astype(float), rng.random(40).round(1)
    weights = rng.integers(0, 4, size=(9, 40)).astype(float)
    together = metric(truth, score, weights)
    assert together.shape == (9,)
    np.testing.assert_allclose(together, [metric(truth, score, row[None, :])[0] for row in weights])


@pytest.mark.parametrize("metric", [auroc, auprc])
@pytest.mark.parametrize("truth", [[1, 1, 1], [0, 0, 0], []])
def test_a_missing_class_is_not_estimable(metric, truth):
    assert np.isnan(metric(np.array(truth, float), np.linspace(0, 1, len(truth)), ones(len(truth)))).all()


def test_a_class_that_is_drawn_in_no_record_is_missing():
    values = auroc(np.array([0.0, 1, 1]), np.array([0.1, 0.2, 0.3]), np.array([[1, 1, 1], [0, 1, 2], [2, 0, 0]]))
    assert values[0] == 1
    assert np.isnan(values[1:]).all()


def test_equal_scores_say_nothing():
    truth, score = np.array([1.0, 0, 0, 0]), np.full(4, 0.3)
    assert auroc(truth, score, ones(4))[0] == 0.5
    assert auprc(truth, score, ones(4))[0] == 0.25


def test_steps_count_from_the_highest_score_down():
    counted = steps(np.array([1.0, 0, 1, 0]), np.array([0.9, 0.5, 0.5, 0.1]), np.array([[1, 1, 1, 1], [2, 0, 3, 1]]))
    assert counted.scores.tolist() == [0.9, 0.5, 0.1]
    assert counted.true_positives.tolist() == [[1, 2, 2], [2, 5, 5]]
    assert counted.false_positives.tolist() == [[0, 1, 2], [0, 0, 1]]
