"""The cohort table."""

import pandas as pd
import pytest

from medai_lab.cohort.cohort import Cohort
from medai_lab.errors import UserError


def test_an_empty_cohort_is_refused(make_cohort):
    cohort = make_cohort(["a", "b"])
    with pytest.raises(UserError, match="empty"):
        cohort.with_table(cohort.table.iloc[:0])


def test_a_repeated_record_is_named(make_cohort):
    cohort = make_cohort(["a", "b"])
    with pytest.raises(UserError, match="'r0' stands there more than once"):
        cohort.with_table(pd.concat([cohort.table, cohort.table.iloc[:1]]))


def test_a_record_without_patient_is_refused(make_cohort):
    cohort = make_cohort(["a", "b"])
    with pytest.raises(UserError, match="row 1 has no patient_id"):
        cohort.with_table(cohort.table.assign(patient_id=["p", None]))


def test_an_unknown_split_is_refused(make_cohort):
    with pytest.raises(UserError, match="validation"):
        make_cohort(["a", "b"], split=["train", "validation"])


def test_a_missing_column_is_named():
    with pytest.raises(UserError, match="input_T1w"):
        Cohort(pd.DataFrame({"record_id": ["a"], "patient_id": ["p"]}), ("T1w",), None, "x")


def test_the_digest_depends_on_content_and_not_on_order_or_folder(make_cohort):
    cohort = make_cohort(["a", "b", "a"])
    moved = cohort.table.assign(input_T1w="/elsewhere/" + cohort.table["input_T1w"]).sample(frac=1, random_state=1)
    assert cohort.with_table(moved).digest() == cohort.digest()
    relabelled = cohort.table.assign(group=["a", "b", "b"])
    assert cohort.with_table(relabelled).digest() != cohort.digest()
