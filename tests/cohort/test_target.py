"""Target specifications."""

import numpy as np
import pandas as pd
import pytest

from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError


def table(values, column="group"):
    return pd.DataFrame({"record_id": [f"r{i}" for i in range(len(values))], column: values})


def test_the_positive_class_comes_last_whatever_its_letter():
    spec = TargetSpec.of_classes("group", pd.Series(["depr", "control", "depr"]), positive="control")
    assert spec.classes == ("depr", "control")
    assert spec.outputs == ("control",)
    assert spec.encode(table(["control", "depr"])).tolist() == [[1.0], [0.0]]


def test_numbers_as_class_names_sort_by_value():
    spec = TargetSpec.of_classes("grade", pd.Series(["10", "9", "2"]))
    assert spec.kind == "multiclass"
    assert spec.classes == ("2", "9", "10")
    assert spec.encode(table(["10", "2"], "grade")).tolist() == [2, 0]


def test_an_unknown_label_names_the_record_and_the_classes():
    spec = TargetSpec.of_classes("group", pd.Series(["a", "b"]))
    with pytest.raises(UserError, match=r"'r1'.*'c'.*\['a', 'b'\]"):
        spec.encode(table(["a", "c"]))


def test_a_missing_label_is_not_a_class():
    spec = TargetSpec.of_classes("group", pd.Series(["a", None, "b"]))
    with pytest.raises(UserError, match="'r0'"):
        spec.encode(table([None, "a"]))


def test_one_class_is_refused():
    with pytest.raises(UserError, match="at least two"):
        TargetSpec.of_classes("group", pd.Series(["a", "a"]))


def test_an_unknown_positive_class_is_told_with_the_nearest_spelling():
    with pytest.raises(UserError, match="Did you mean 'lesion'"):
        TargetSpec.of_classes("group", pd.Series(["lesion", "control"]), positive="lesions")


def test_regression_and_multilabel_keep_their_numbers():
    age = TargetSpec("regression", ("age",))
    assert age.encode(table([3.5, 7], "age")).tolist() == [[3.5], [7.0]]
    findings = TargetSpec("multilabel", ("edema", "mass"))
    rows = pd.DataFrame({"record_id": ["a"], "edema": [1.0], "mass": [np.nan]})
    assert np.array_equal(findings.encode(rows), [[1.0, np.nan]], equal_nan=True)


def test_plain_values_and_back():
    spec = TargetSpec.of_classes("group", pd.Series(["a", "b", "c"]))
    assert TargetSpec.from_dict(spec.to_dict()) == spec
