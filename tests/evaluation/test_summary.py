"""The whole evaluation of a table: right numbers, honest gaps, plain JSON."""

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from medai_lab.errors import UserError
from medai_lab.evaluation import intervals, operating_points, ranking, summary


def evaluate(table, rule="youden", replicates=100, fit_on=None):
    points = operating_points.fit(fit_on, rule) if fit_on is not None else []
    result = summary.evaluate(table, points, replicates)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result


def test_binary_numbers_are_those_of_scikit_learn(tables):
    table = tables.binary(split="test", seed=1)
    result = evaluate(table, fit_on=tables.binary(seed=2))
    called = table["prob_cancer"] >= result["threshold"]
    metrics = {name: interval["value"] for name, interval in result["metrics"].items()}
    assert metrics["auroc"] == pytest.approx(sk.roc_auc_score(table["target_cancer"], table["prob_cancer"]))
    assert metrics["f1"] == pytest.approx(sk.f1_score(table["target_cancer"], called))
    assert metrics["mcc"] == pytest.approx(sk.matthews_corrcoef(table["target_cancer"], called))
    tn, fp, fn, tp = sk.confusion_matrix(table["target_cancer"], called).ravel().tolist()
    assert result["confusion"] == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert result["prevalence"] == pytest.approx(table["target_cancer"].mean())
    assert (result["n_records"], result["n_patients"]) == (120, table["patient_id"].nunique())
    assert (result["split"], result["rule"], result["target"]["kind"]) == ("test", "youden", "binary")
    assert result["outputs"] == {"cancer": {"n_records": 120, "n_positive": int(table["target_cancer"].sum())}}
    for interval in result["metrics"].values():
        assert interval["low"] < interval["value"] < interval["high"]


def test_same_seed_same_result_in_any_order_of_rows(tables):
    table = tables.binary(split="test")
    shuffled = table.sample(frac=1, random_state=3)
    first, second = evaluate(table), evaluate(shuffled)
    for name, interval in first["metrics"].items():
        assert interval == pytest.approx(second["metrics"][name], abs=1e-12), name
    assert summary.evaluate(table, [], 100, seed=1)["metrics"]["auroc"] != first["metrics"]["auroc"]


def test_without_an_operating_point_only_the_decisions_are_missing(tables):
    result = evaluate(tables.binary(split="test"))
    assert result["threshold"] is None
    assert result["confusion"] is None
    assert result["metrics"]["sensitivity"]["reason"] == "no operating point is set"
    assert result["metrics"]["auroc"]["low"] is not None


def test_one_class_is_not_a_perfect_score_but_not_estimable(tables):
    table = tables.binary(split="test")
    table["target_cancer"] = 1.0
    result = evaluate(table, fit_on=tables.binary())
    assert result["metrics"]["auroc"] == {"value": None, "low": None, "high": None, "reason": "no negative records"}
    assert dict(summary.headline(result))["AUROC"] == "not estimable (no negative records)"
    assert result["metrics"]["sensitivity"]["value"] is not None


def test_multiclass_has_macro_and_per_class_numbers_and_a_matrix(tables):
    table = tables.multiclass()
    result = evaluate(table)
    score = table[["prob_I", "prob_II", "prob_III"]].to_numpy()
    codes = table[["target_I", "target_II", "target_III"]].to_numpy().argmax(axis=1)
    assert result["metrics"]["macro_auroc"]["value"] == pytest.approx(sk.roc_auc_score(codes, score, multi_class="ovr"))
    assert result["confusion"] == sk.confusion_matrix(codes, score.argmax(axis=1)).tolist()
    assert list(result["per_class"]) == ["I", "II", "III"]
    recall = sk.recall_score(codes, score.argmax(axis=1), average=None)
    found = [c["metrics"]["sensitivity"]["value"] for c in result["per_class"].values()]
    assert found == pytest.approx(recall)
    assert result["macro_over"] == {"macro_auroc": 3, "macro_auprc": 3, "macro_f1": 3}


def test_multiclass_says_over_how_many_classes_it_averages(tables):
    table = tables.multiclass()
    table = table[table["target_III"] == 0]
    result = evaluate(table)
    assert result["macro_over"]["macro_auroc"] == 2
    assert result["per_class"]["III"]["metrics"]["auroc"]["reason"] == "no positive records"
    assert result["metrics"]["macro_auroc"]["value"] == pytest.approx(
        np.mean([result["per_class"][c]["metrics"]["auroc"]["value"] for c in ("I", "II")])
    )
    only = evaluate(table[table["target_II"] == 0])
    assert only["metrics"]["macro_auroc"]["reason"] == "all records are of one class"
    assert only["metrics"]["mcc"]["value"] is None


def test_multilabel_averages_what_is_estimable_and_counts_known_records(tables):
    table = tables.multilabel(split="test")
    points = operating_points.fit(tables.multilabel(seed=1), "fixed:0.5")
    result = summary.evaluate(table, points, 200)
    effusion, mass = result["per_output"]["effusion"], result["per_output"]["mass"]
    labelled = table[table["target_effusion"].notna()]
    assert effusion["n_records"] == len(labelled) == 120
    assert effusion["metrics"]["auroc"]["value"] == pytest.approx(
        sk.roc_auc_score(labelled["target_effusion"], labelled["prob_effusion"])
    )
    assert mass["metrics"]["auroc"]["reason"] == "no positive records"
    assert (result["macro_over"]["macro_auroc"], result["macro_over"]["macro_brier"]) == (2, 3)
    values = [result["per_output"][o]["metrics"]["auroc"]["value"] for o in ("effusion", "nodule")]
    macro = result["metrics"]["macro_auroc"]
    assert macro["value"] == pytest.approx(np.mean(values))
    assert macro["low"] < macro["value"] < macro["high"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_missing_truth_does_not_shift_the_weights_of_the_records_after_it(tables):
    table = tables.multilabel(split="test")
    table["patient_id"] = [f"p{i // 10}" for i in range(len(table))]
    known = table["target_effusion"].notna().to_numpy()
    truth, score = table["target_effusion"].to_numpy()[known], table["prob_effusion"].to_numpy()[known]
    expected = intervals.estimate(
        lambda weights: {"auroc": ranking.auroc(truth, score, weights[:, known])}, table["patient_id"], 100, 0, {}
    )
    assert evaluate(table)["per_output"]["effusion"]["metrics"]["auroc"] == pytest.approx(expected["auroc"])


def test_a_finding_nobody_knows_leaves_the_others_alone(tables):
    table = tables.multilabel(split="test")
    table["target_nodule"] = np.nan
    result = evaluate(table)
    assert result["per_output"]["nodule"]["prevalence"] is None
    assert result["per_output"]["nodule"]["metrics"]["brier"]["reason"] == "no records with known truth"
    assert result["macro_over"]["macro_auroc"] == 1


def test_regression(tables):
    table = tables.regression()
    result = evaluate(table)
    truth, predicted = table["target_age_true"], table["pred_age_true"]
    assert result["metrics"]["mae"]["value"] == pytest.approx(sk.mean_absolute_error(truth, predicted))
    assert result["metrics"]["r2"]["value"] == pytest.approx(sk.r2_score(truth, predicted))
    assert result["outputs"]["age_true"]["mean"] == pytest.approx(truth.mean())
    assert [label for label, _ in summary.headline(result)][0] == "Mean absolute error"


def test_records_without_truth_are_left_out_and_none_at_all_is_an_error(tables):
    table = tables.binary(split="test")
    table.loc[:19, "target_cancer"] = np.nan
    assert evaluate(table)["n_records"] == 100
    table["target_cancer"] = np.nan
    with pytest.raises(UserError, match="truth of no record is known"):
        evaluate(table)


def test_several_splits_or_foreign_operating_points_are_refused(tables):
    table = tables.binary(split="test")
    with pytest.raises(UserError, match=r"\['mass'\]"):
        summary.evaluate(table, [operating_points.OperatingPoint("mass", "f1", 0.5, "val", "")])
    table.loc[3, "split"] = "train"
    with pytest.raises(UserError, match="one split"):
        evaluate(table)


def test_headline_writes_value_and_interval(tables):
    result = evaluate(tables.binary(split="test"), fit_on=tables.binary())
    lines = dict(summary.headline(result))
    shown = result["metrics"]["auroc"]
    assert lines["AUROC"] == f"{shown['value']:.3f} ({shown['low']:.3f} to {shown['high']:.3f})"
    assert summary.show({"value": 1.0, "low": None, "high": None, "reason": "x"}) == "1.000 (no interval: x)"
    assert summary.show({"value": 1234.56, "low": 0.012345, "high": 2000.0}, in_units=True) == "1235 (0.01235 to 2000)"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_every_kind_has_a_headline(tables, kind):
    table = getattr(tables, kind)(60, split="test")
    assert len(summary.headline(evaluate(table, replicates=20))) >= 5
