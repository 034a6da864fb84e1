"""Thresholds: chosen on validation data only, the best there is for their rule, and kept with their origin."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError
from medai_lab.evaluation import decisions, operating_points, predictions
from medai_lab.evaluation.operating_points import OperatingPoint, fit

QUICK = settings(max_examples=50, deadline=None)  # a busy machine is no failure

BINARY = TargetSpec("binary", ("dx",), ("no", "yes"))


def table_of(truth, score) -> pd.DataFrame:
    rows = pd.DataFrame({"record_id": [f"r{i}" for i in range(len(truth))], "split": "val"})
    rows.insert(1, "patient_id", rows["record_id"])
    return predictions.make_table(rows, BINARY, np.array(score)[:, None], np.array(truth, float)[:, None])


def at(table: pd.DataFrame, value: float) -> dict[str, float]:
    counts = decisions.count(
        table["target_yes"].to_numpy(), table["prob_yes"].to_numpy() >= value, np.ones((1, len(table)))
    )
    found = {name: float(metric(counts)[0]) for name, metric in decisions.METRICS.items()}
    return found | {"youden": found["sensitivity"] + found["specificity"] - 1}


validation = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=15).map(
    lambda pairs: table_of([1, 0, *(p[0] for p in pairs)], [0.5, 0.375, *(p[1] / 8 for p in pairs)])
)


@QUICK
@given(validation, st.sampled_from(["youden", "f1", "accuracy"]))
def test_no_other_threshold_does_better(table, rule):
    value = fit(table, rule)[0].value
    best = max(at(table, other)[rule] for other in np.linspace(0, 1.01, 203))
    assert at(table, value)[rule] == pytest.approx(best)


@QUICK
@given(validation, st.sampled_from(["sensitivity", "specificity"]), st.sampled_from([0.0, 0.5, 0.8, 0.95, 1.0]))
def test_the_bound_is_kept_and_the_other_side_is_as_high_as_it_can_be(table, name, bound):
    other = {"sensitivity": "specificity", "specificity": "sensitivity"}[name]
    found = at(table, fit(table, f"{name}>={bound}")[0].value)
    assert found[name] >= bound
    rivals = [at(table, value) for value in np.linspace(0, 1.01, 203)]
    assert found[other] == pytest.approx(max(r[other] for r in rivals if r[name] >= bound))


@QUICK
@given(validation, st.sampled_from(["youden", "f1", "accuracy", "sensitivity>=0.9", "specificity>=0.9"]))
def test_the_threshold_sits_on_no_score(table, rule):
    value = fit(table, rule)[0].value
    scores = np.append(table["prob_yes"], 0.0)  # 0 is the one score with nothing below it
    assert value == 0 or np.abs(scores[:-1] - value).min() > 1e-7


def test_midway_between_neighbours_and_the_more_sensitive_of_equals():
    assert fit(table_of([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9]), "youden")[0].value == pytest.approx(0.5)
    # Calling only 0.9, or all but 0.1, are equally good by Youden; the second misses nobody.
    assert fit(table_of([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9]), "youden")[0].value == pytest.approx(0.3)


def test_fixed_is_the_number_itself_whatever_the_data():
    point = fit(table_of([0, 0], [0.2, 0.4]), "fixed:0.25")[0]
    assert (point.value, point.rule, point.output, point.split) == (0.25, "fixed:0.25", "yes", "val")


@pytest.mark.parametrize("split", ["test", "train"])
@pytest.mark.parametrize("rule", operating_points.RULES)
def test_only_validation_rows_are_taken(tables, split, rule):
    with pytest.raises(UserError, match=rf"chosen on validation data; got split\(s\) \['{split}'\]"):
        fit(tables.binary(split=split), rule)


def test_a_single_test_row_among_validation_rows_is_enough_to_refuse(tables):
    table = tables.binary()
    table.loc[7, "split"] = "test"
    with pytest.raises(UserError, match=r"got split\(s\) \['test', 'val'\]"):
        fit(table, "youden")
    table.loc[7, "split"] = None
    with pytest.raises(UserError, match=r"got split\(s\) \['\(none\)', 'val'\]"):
        fit(table, "youden")


def test_out_of_fold_rows_are_taken_once_a_record_and_never_as_test_rows(tables):
    table = tables.binary()
    table["split"] = pd.Series(None, index=table.index, dtype="str")
    with pytest.raises(UserError, match=r"\(none\)"):
        fit(table, "youden")
    table["fold"] = np.arange(len(table)) % 5
    assert fit(table, "youden")[0].split == "out-of-fold"
    with pytest.raises(UserError, match="test"):
        fit(table.assign(split="test"), "youden")
    twice = pd.concat([table, table.assign(fold=7)])
    twice.attrs = table.attrs
    with pytest.raises(UserError, match="several folds"):
        fit(twice, "youden")


def test_multilabel_has_one_point_a_finding_over_its_known_records(tables):
    table = tables.multilabel()
    table.loc[:4, "target_mass"] = 1.0
    points = fit(table, "youden")
    assert [p.output for p in points] == ["effusion", "nodule", "mass"]
    assert len({p.digest for p in points}) == 3


def test_a_finding_without_positives_is_an_error_that_says_what_to_do(tables):
    with pytest.raises(UserError, match="'mass': the validation data has no positive records.*fixed:0.5"):
        fit(tables.multilabel(), "youden")
    assert len(fit(tables.multilabel(), "fixed:0.5")) == 3


def test_other_targets_have_no_operating_point(tables):
    assert fit(tables.multiclass(split="val"), "youden") == []
    assert fit(tables.regression(split="val"), "youden") == []


@pytest.mark.parametrize("rule", ["yuden", "fixed", "fixed:1.5", "fixed:nan", "sensitivity>=x", "sensitivity<=0.9", ""])
def test_unknown_rules_are_refused(tables, rule):
    with pytest.raises(UserError, match="rule"):
        fit(tables.binary(), rule)
    with pytest.raises(UserError, match="Did you mean 'youden'"):
        operating_points.parse_rule("yuden")


def test_digest_is_that_of_the_rows_and_not_of_their_order(tables):
    table = tables.binary()
    digest = fit(table, "youden")[0].digest
    assert fit(table.sample(frac=1, random_state=0), "f1")[0].digest == digest
    changed = table.copy()
    changed.loc[0, "prob_cancer"] += 1e-9
    assert fit(changed, "youden")[0].digest != digest


def test_points_come_back_from_their_file_and_cannot_be_changed(tables, tmp_path):
    points = fit(tables.binary(), "sensitivity>=0.95")
    operating_points.save(tmp_path / "operating_points.json", points)
    assert operating_points.load(tmp_path / "operating_points.json") == points
    with pytest.raises(dataclasses.FrozenInstanceError):
        points[0].value = 0.1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '[{"output": "x"}]',
        '[{"output": "x", "rule": "f1", "value": "a", "split": "val", "digest": ""}]',
    ],
)
def test_broken_files_are_named(tmp_path, content):
    path = tmp_path / "points.json"
    with pytest.raises(UserError, match="no operating point file"):
        operating_points.load(path)
    path.write_text(content)
    with pytest.raises(UserError, match="perating point"):
        operating_points.load(path)


def test_from_dict_undoes_to_dict():
    point = OperatingPoint("x", "youden", 0.25, "val", "ab")
    assert OperatingPoint.from_dict(point.to_dict()) == point
