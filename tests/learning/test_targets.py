"""From logits to probabilities and losses."""

import numpy as np
import pytest
import torch

from medai_lab.cohort.target import TargetSpec
from medai_lab.learning.targets import SmoothedBCE, target_type

BINARY = TargetSpec("binary", ("g",), ("a", "b"))
THREE = TargetSpec("multiclass", ("g",), ("a", "b", "c"))
AGE = TargetSpec("regression", ("age",))
FINDINGS = TargetSpec("multilabel", ("edema", "mass"))


def test_numbers_of_outputs():
    assert [target_type(s)(s).n_outputs for s in (BINARY, THREE, FINDINGS, AGE)] == [1, 3, 2, 1]


def test_probabilities():
    assert target_type(BINARY)(BINARY).outputs(torch.zeros(1, 1)).tolist() == [[0.5]]
    rows = target_type(THREE)(THREE).outputs(torch.randn(4, 3)).sum(dim=1)
    assert torch.allclose(rows, torch.ones(4))


def test_the_loss_on_wrong_confident_logits_does_not_saturate():
    assert SmoothedBCE()(torch.tensor([[120.0]]), torch.tensor([[0.0]])).item() == pytest.approx(120.0)


def test_unknown_labels_contribute_nothing():
    truth = torch.tensor([[1.0, float("nan")]])
    logits = torch.tensor([[0.3, 5.0]], requires_grad=True)
    SmoothedBCE()(logits, truth).backward()
    assert logits.grad[0, 1] == 0
    assert logits.grad[0, 0] != 0


def test_all_unknown_labels_give_a_zero_and_not_a_nan():
    assert SmoothedBCE()(torch.zeros(1, 1), torch.tensor([[float("nan")]])).item() == 0.0


def test_balanced_weights():
    truth = np.array([[1.0], [0.0], [0.0], [0.0]], dtype=np.float32)
    assert target_type(BINARY)(BINARY).class_weights(truth).tolist() == [3.0]
    assert target_type(THREE)(THREE).class_weights(np.array([0, 0, 1, 2])).tolist() == pytest.approx(
        [2 / 3, 4 / 3, 4 / 3]
    )


def test_a_quantity_is_learned_in_standard_units_and_put_out_in_its_own():
    truth = np.array([[20.0], [40.0]], dtype=np.float32)
    target = target_type(AGE).fit(AGE, truth)
    assert target.state == {"mean": 30.0, "std": 10.0}
    assert target.outputs(torch.tensor([[1.0]])).tolist() == [[40.0]]
    loss = target.loss(None, 0.0)
    assert loss(torch.tensor([[-1.0], [1.0]]), torch.from_numpy(truth)).item() == 0.0


def test_watched_values():
    values = target_type(BINARY)(BINARY).watch(np.array([[0.0], [1.0]]), np.array([[0.1], [0.9]]))
    assert values["auroc"] == 1.0
    assert np.isnan(target_type(BINARY)(BINARY).watch(np.array([[1.0]]), np.array([[0.9]]))["auroc"])
    assert target_type(AGE)(AGE, {"mean": 0, "std": 1}).watch(np.array([[1.0]]), np.array([[3.0]])) == {"mae": 2.0}
    three = target_type(THREE)(THREE).watch(np.array([0, 1, 2]), np.eye(3))
    assert three == {"auroc": 1.0, "accuracy": 1.0}


def test_quantities_have_no_class_weights():
    with pytest.raises(TypeError, match="class_weights=balanced"):
        target_type(AGE)(AGE, {"mean": 0, "std": 1}).class_weights(np.zeros((2, 1)))
