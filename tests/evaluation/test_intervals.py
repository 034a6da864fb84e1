"""The patient bootstrap: what is drawn, what the interval says, when there is none, how often it is right."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from medai_lab.evaluation import intervals
from medai_lab.evaluation.arrays import weighted_mean
from medai_lab.evaluation.ranking import auroc

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure


@QUICK
@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20), st.integers(0, 5))
def test_records_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are(ids, seed):
    weights = intervals.cluster_weights(ids, 7, seed)
    assert weights.shape == (7, len(ids))
    first = {patient: ids.index(patient) for patient in ids}
    assert (weights == weights[:, [first[patient] for patient in ids]]).all()
    assert (weights[:, list(first.values())].sum(axis=1) == len(first)).all()


def test_same_seed_same_weights_in_whatever_order_the_rows_stand():
    ids = np.array(["p2", "p1", "p3", "p1", "p2"])
    order = np.array([3, 0, 4, 1, 2])
    weights = intervals.cluster_weights(ids, 50, seed=4)
    assert (weights[:, order] == intervals.cluster_weights(ids[order], 50, seed=4)).all()
    assert (weights != intervals.cluster_weights(ids, 50, seed=5)).any()


@pytest.mark.parametrize("strata", [None, [0, 1] * 30])
def test_blocks_are_the_same_draws_as_all_at_once(monkeypatch, strata):
    ids = [f"p{i // 2}" for i in range(60)]
    whole = intervals.cluster_weights(ids, 40, 1, strata)
    monkeypatch.setattr(intervals, "BLOCK_ELEMENTS", 60 * 9)
    blocks = list(intervals.weight_blocks(ids, 40, 1, strata))
    assert [len(b) for b in blocks] == [9, 9, 9, 9, 4]
    assert (np.concatenate(blocks) == whole).all()


def test_every_patient_is_drawn_once_on_average():
    weights = intervals.cluster_weights(np.arange(20), 4000, 0)
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.08)
    np.testing.assert_allclose(weights.var(axis=0), 1 - 1 / 20, atol=0.15)


def test_strata_keep_their_number_of_patients():
    ids = np.array(["a", "b", "c", "d", "d", "e"])
    positive = np.array([1, 1, 0, 0, 1, 0])  # d has a positive record, so d is a positive patient
    weights = intervals.cluster_weights(ids, 200, 0, positive)
    by_patient = weights[:, [0, 1, 2, 3, 5]]
    assert (by_patient[:, [0, 1, 3]].sum(axis=1) == 3).all()
    assert (by_patient[:, [2, 4]].sum(axis=1) == 2).all()
    assert len(np.unique(by_patient, axis=0)) > 10


def mean_of(values):
    return lambda weights: {"mean": weighted_mean(np.asarray(values, float), weights)}


def test_interval_of_a_mean_is_that_of_theory_and_wider_when_records_belong_together():
    values = np.random.default_rng(0).normal(size=400)
    alone = intervals.estimate(mean_of(values), np.arange(400), 4000, 0, {})["mean"]
    half = 1.96 * values.std() / 20
    assert alone["value"] == pytest.approx(values.mean())
    assert alone["low"] == pytest.approx(values.mean() - half, abs=0.012)
    assert alone["high"] == pytest.approx(values.mean() + half, abs=0.012)
    four = intervals.estimate(mean_of(np.repeat(values[:100], 4)), np.repeat(np.arange(100), 4), 4000, 0, {})["mean"]
    width = values[:100].std() * 2 * 1.96 / 10
    assert four["high"] - four["low"] == pytest.approx(width, rel=0.07)  # that of 100 values, not of 400


def test_value_that_is_missing_carries_its_reason():
    found = intervals.estimate(mean_of([np.nan, np.nan]), ["a", "b"], 10, 0, {"mean": "nobody was asked"})
    assert found == {"mean": {"value": None, "low": None, "high": None, "reason": "nobody was asked"}}


@pytest.mark.parametrize(("needed", "estimable"), [(1, False), (5, True)])
def test_interval_is_not_estimable_when_too_many_resamples_lack_a_value(needed, estimable):
    """Of 30 patients, one is in no resample in 36 % of cases, all of five in 0.4 %."""

    def statistic(weights):
        drawn = weights[:, :needed].sum(axis=1)
        return {"x": np.where(drawn > 0, drawn, np.nan)}

    found = intervals.estimate(statistic, np.arange(30), 500, 0, {})["x"]
    assert found["value"] == needed
    assert (found["low"] is not None) == (found["high"] is not None) == estimable
    if not estimable:
        share = int(re.search(r"in (\d+)% of the resamples", found["reason"])[1])
        assert 30 <= share <= 42


def test_no_interval_from_one_patient():
    found = intervals.estimate(mean_of([1.0, 2.0]), ["a", "a"], 100, 0, {})["mean"]
    assert found["value"] == 1.5
    assert found["low"] is None
    assert "one patient" in found["reason"]


def test_no_interval_where_all_resamples_agree():
    found = intervals.estimate(mean_of(np.ones(10)), np.arange(10), 100, 0, {})["mean"]
    assert found["value"] == 1
    assert found["high"] is None
    assert "same value" in found["reason"]


def covers(rng: np.random.Generator, area: float, patients: int = 150) -> bool:
    """Draw patients with 1 to 3 records and a shared effect; does the interval hold the true area?

    The score of a record is normal with variance 1 (half of it the patient's), shifted by d for a positive
    patient; any two records of different patients then have P(positive > negative) = Phi(d / sqrt(2)).
    """
    of = np.repeat(np.arange(patients), rng.integers(1, 4, size=patients))
    positive = rng.random(patients) < 0.4
    score = np.sqrt(0.5) * (rng.normal(size=patients)[of] + rng.normal(size=len(of)))
    truth = positive[of].astype(float)
    score += truth * np.sqrt(2) * norm.ppf(area)
    found = intervals.estimate(lambda w: {"auroc": auroc(truth, score, w)}, of, 500, int(rng.integers(2**31)), {})
    return bool(found["auroc"]["low"] <= area <= found["auroc"]["high"])


@pytest.mark.slow
@pytest.mark.parametrize("area", [0.75, 0.85])
def test_intervals_hold_the_true_area_in_95_of_100_studies(area):
    rng = np.random.default_rng(2026)
    assert 0.93 <= np.mean([covers(rng, area) for _ in range(600)]) <= 0.97
