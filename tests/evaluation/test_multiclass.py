"""Metrics over several classes: against scikit-learn, and what happens to a class without records."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from medai_lab.evaluation import metrics, multiclass

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure


@st.composite
def graded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Class numbers with all of 3 classes, probabilities with ties, repeats of at least one."""
    n = draw(st.integers(4, 25))
    codes = np.array([0, 1, 2, *draw(st.lists(st.integers(0, 2), min_size=n - 3, max_size=n - 3))])
    odds = np.array(draw(st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=n, max_size=n)), float)
    repeats = np.array(draw(st.lists(st.integers(1, 4), min_size=n, max_size=n)))
    return codes, odds / odds.sum(axis=1, keepdims=True), repeats


def macro_ap(codes: np.ndarray, score: np.ndarray, weights: np.ndarray) -> float:
    return sk.average_precision_score(np.eye(3)[codes], score, average="macro", sample_weight=weights)


@QUICK
@given(graded())
def test_equal_to_scikit_learn(case):
    codes, score, repeats = case
    found = metrics.multiclass_overall(np.eye(3)[codes], score, repeats[None, :])
    called = score.argmax(axis=1)
    weighted = {"sample_weight": repeats}
    expected = {
        "macro_auroc": sk.roc_auc_score(codes, score, multi_class="ovr", **weighted),
        "macro_auprc": macro_ap(codes, score, repeats),
        "macro_f1": sk.f1_score(codes, called, average="macro", **weighted),
        "accuracy": sk.accuracy_score(codes, called, **weighted),
        "balanced_accuracy": sk.balanced_accuracy_score(codes, called, **weighted),
        "brier": np.average(((score - np.eye(3)[codes]) ** 2).sum(axis=1), weights=repeats),
    }
    if len(set(called)) > 1:  # scikit-learn says 0 where all decisions are alike
        expected["mcc"] = sk.matthews_corrcoef(codes, called, **weighted)
    else:
        assert np.isnan(found.pop("mcc")[0])
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name][0] == pytest.approx(value, abs=1e-9), name


@QUICK
@given(graded())
def test_weights_that_are_repeats_equal_repeated_records(case):
    codes, score, repeats = case
    found = metrics.multiclass_overall(np.eye(3)[codes], score, repeats[None, :])
    again = metrics.multiclass_overall(
        np.eye(3)[np.repeat(codes, repeats)], np.repeat(score, repeats, axis=0), np.ones((1, repeats.sum()))
    )
    for name, values in found.items():
        np.testing.assert_allclose(values, again[name], atol=1e-9, err_msg=name)


@QUICK
@given(graded())
def test_confusion_has_the_truth_in_its_rows(case):
    codes, score, repeats = case
    matrix = multiclass.confusion(np.eye(3)[codes], score, repeats[None, :])
    expected = sk.confusion_matrix(codes, score.argmax(axis=1), labels=[0, 1, 2], sample_weight=repeats)
    np.testing.assert_allclose(matrix[0], expected)


def test_per_class_decisions_are_those_of_one_against_the_rest():
    codes, score = (
        np.array([0, 0, 1, 2]),
        np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.4, 0.1]]),
    )
    first, second, third = metrics.per_class(np.eye(3)[codes], score, np.ones((1, 4)))
    assert (first["sensitivity"][0], first["ppv"][0], first["specificity"][0]) == (0.5, 0.5, 0.5)
    assert (second["sensitivity"][0], second["ppv"][0]) == (1.0, 0.5)
    assert np.isnan(third["ppv"][0])
    assert third["sensitivity"][0] == 0


def test_a_class_without_records_does_not_enter_the_macro_average():
    codes = np.array([0, 1, 0, 1])
    score = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.6, 0.3, 0.1]])
    truth = np.eye(3)[codes]
    found = metrics.multiclass_overall(truth, score, np.ones((1, 4)))
    assert found["macro_auroc"][0] == pytest.approx(
        np.mean([sk.roc_auc_score(codes == k, score[:, k]) for k in (0, 1)])
    )
    assert {name: int(c.sum()) for name, c in metrics.counted_classes(truth).items()} == {
        "auroc": 2,
        "auprc": 2,
        "f1": 2,
    }


def test_a_replicate_that_lacks_a_counted_class_is_not_estimable():
    truth = np.eye(3)[[0, 1, 2, 2]]
    weights = np.array([[1, 1, 1, 1], [2, 2, 0, 0]])
    found = metrics.multiclass_overall(truth, np.full((4, 3), 1 / 3), weights)
    for name in ("macro_auroc", "macro_auprc", "macro_f1", "balanced_accuracy"):
        assert np.isnan(found[name]).tolist() == [False, True], name
    assert np.isfinite(found["accuracy"]).all()


def test_correlation_of_two_classes_is_the_matthews_coefficient():
    matrix = np.array([[[30.0, 5], [8, 17]]])
    codes, called = np.repeat([0, 0, 1, 1], [30, 5, 8, 17]), np.repeat([0, 1, 0, 1], [30, 5, 8, 17])
    assert multiclass.mcc(matrix)[0] == pytest.approx(sk.matthews_corrcoef(codes, called))
