"""Splits by patient."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.splits import assign_splits
from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError

FRACTIONS = (0.7, 0.15, 0.15)


def cohort_of(patients: list[int], labels: list[str]) -> Cohort:
    table = pd.DataFrame(
        {"record_id": [f"r{i}" for i in range(len(patients))], "patient_id": [f"p{p}" for p in patients]}
    ).assign(input_T1w="x.nii", group=labels)
    return Cohort(table, ("T1w",), TargetSpec.of_classes("group", table["group"]), "made")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=30, max_size=120), st.integers(0, 5))
def test_no_patient_is_ever_in_two_splits_and_every_record_has_one(patients, seed):
    labels = ["ab"[p % 2] for p in patients]
    counts = pd.Series({p: "ab"[p % 2] for p in patients}).value_counts()
    if counts.size < 2 or counts.min() < 3:
        return
    table = assign_splits(cohort_of(patients, labels), FRACTIONS, seed).table
    assert table["split"].notna().all()
    assert (table.groupby("patient_id")["split"].nunique() == 1).all()
    assert (table.groupby("split")["group"].nunique() == 2).all()


def test_shares_and_classes_are_met(make_cohort):
    cohort = make_cohort(["a"] * 140 + ["b"] * 60)
    table = assign_splits(cohort, FRACTIONS, 0).table
    shares = pd.crosstab(table["split"], table["group"])
    assert shares.loc["train"].tolist() == [98, 42]
    assert shares.loc["val"].tolist() == [21, 9]
    assert shares.loc["test"].tolist() == [21, 9]


def test_the_same_seed_gives_the_same_splits_whatever_the_order_of_rows(make_cohort):
    cohort = make_cohort(list("ab") * 30)
    shuffled = cohort.with_table(cohort.table.sample(frac=1, random_state=3))
    one = assign_splits(cohort, FRACTIONS, 7).table.set_index("record_id")["split"]
    two = assign_splits(shuffled, FRACTIONS, 7).table.set_index("record_id")["split"]
    other = assign_splits(cohort, FRACTIONS, 8).table.set_index("record_id")["split"]
    assert one.equals(two.reindex(one.index))
    assert not one.equals(other)


def test_an_official_split_is_kept(make_cohort):
    official = ["train", "test", "val", "train", "test", "val"]
    cohort = make_cohort(list("ababab"), split=official)
    assert assign_splits(cohort, FRACTIONS, 0).table["split"].tolist() == official


def test_an_official_split_without_validation_gets_one_from_training(make_cohort):
    cohort = make_cohort(list("ab") * 50, split=["train"] * 80 + ["test"] * 20)
    table = assign_splits(cohort, FRACTIONS, 0).table.set_index("record_id")
    assert (table["split"] == "test").sum() == 20
    assert set(table.index[table["split"] == "test"]) == {f"r{i}" for i in range(80, 100)}
    assert 10 <= (table["split"] == "val").sum() <= 18


def test_a_half_filled_split_is_refused(make_cohort):
    with pytest.raises(UserError, match="'r1'.*no split"):
        assign_splits(make_cohort(list("abab"), split=["train", None, "val", "test"]), FRACTIONS, 0)


def test_fewer_patients_than_splits_are_refused(make_cohort):
    with pytest.raises(UserError, match="2 patient"):
        assign_splits(make_cohort(list("abab"), patients=[0, 1, 0, 1]), FRACTIONS, 0)


def test_a_class_with_fewer_patients_than_splits_is_named(make_cohort):
    with pytest.raises(UserError, match="Class 'b' of 'made' has 2 patient"):
        assign_splits(make_cohort(["a"] * 20 + ["b"] * 2), FRACTIONS, 0)


def test_a_quantity_is_spread_evenly():
    ages = np.arange(80.0)
    table = pd.DataFrame({"record_id": [f"r{i}" for i in range(80)], "patient_id": [f"p{i}" for i in range(80)]})
    cohort = Cohort(table.assign(input_T1w="x", age=ages), ("T1w",), TargetSpec("regression", ("age",)), "made")
    means = assign_splits(cohort, FRACTIONS, 0).table.groupby("split")["age"].mean()
    assert means.max() - means.min() < 12
