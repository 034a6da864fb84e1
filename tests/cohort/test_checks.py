"""Leaks, contradictions, missing classes."""

import logging

import pandas as pd
import pytest

from medai_lab.cohort.checks import check_classes, check_contradictions, check_leaks, exclude_unusable
from medai_lab.errors import UserError


def with_files(cohort, folder, contents):
    paths = []
    for i, content in enumerate(contents):
        path = folder / f"scan{i}.nii"
        path.write_bytes(content)
        paths.append(str(path))
    return cohort.with_table(cohort.table.assign(input_T1w=paths))


def test_records_without_label_or_file_are_left_out_with_their_reason(make_cohort):
    cohort = make_cohort(["a", None, "b", "a"])
    cohort = cohort.with_table(cohort.table.assign(input_T1w=["x", "y", None, "z"]))
    usable, excluded = exclude_unusable(cohort, allow_missing_inputs=False)
    assert usable.table["record_id"].tolist() == ["r0", "r3"]
    assert dict(zip(excluded["record_id"], excluded["reason"], strict=True)) == {
        "r1": "no value of group",
        "r2": "no file for T1w",
    }


def test_nothing_left_is_an_error_that_names_the_first_record(make_cohort):
    cohort = make_cohort(["a", "b"])
    with pytest.raises(UserError, match="'r0': no file for T1w"):
        exclude_unusable(cohort.with_table(cohort.table.assign(input_T1w=None)), allow_missing_inputs=False)


def test_one_file_under_two_labels_is_refused(make_cohort, tmp_path):
    cohort = with_files(make_cohort(["a", "b", "a"]), tmp_path, [b"same", b"same", b"else"])
    with pytest.raises(UserError, match="'r0', 'r1' are the same file under different labels"):
        check_contradictions(cohort)


def test_one_file_twice_under_one_label_is_a_warning(make_cohort, tmp_path, caplog):
    cohort = with_files(make_cohort(["a", "a", "b"]), tmp_path, [b"same", b"same", b"else"])
    with caplog.at_level(logging.WARNING):
        check_contradictions(cohort)
    assert "'r0', 'r1' are the same file" in caplog.text


def test_a_patient_in_two_splits_is_a_leak(make_cohort):
    cohort = make_cohort(list("abab"), patients=[0, 0, 1, 2], split=["train", "test", "val", "train"])
    with pytest.raises(UserError, match=r"1 patient\(s\).*'r0' \(train\), 'r1' \(test\)"):
        check_leaks(cohort)


def test_a_file_in_two_splits_is_a_leak_whatever_its_name(make_cohort, tmp_path):
    cohort = make_cohort(list("aaab"), split=["train", "test", "val", "train"])
    cohort = with_files(cohort, tmp_path, [b"same", b"same", b"1", b"22"])
    with pytest.raises(UserError, match="identical input"):
        check_leaks(cohort)


def test_equal_content_is_a_leak_even_where_files_differ(make_cohort):
    cohort = make_cohort(list("abab"), split=["train", "test", "val", "train"])
    check_leaks(cohort, content=["1", "2", "3", "4"])
    with pytest.raises(UserError, match=r"'r0' \(train\), 'r1' \(test\)"):
        check_leaks(cohort, content=["1", "1", "3", "4"])


def test_a_class_absent_from_validation_is_refused_and_from_test_told(make_cohort, caplog):
    cohort = make_cohort(list("ababaa"), split=["train", "train", "val", "val", "test", "test"])
    with caplog.at_level(logging.WARNING):
        check_classes(cohort)
    assert "test split has no record of ['b']" in caplog.text
    cohort = make_cohort(list("abaaab"), split=["train", "train", "val", "val", "test", "test"])
    with pytest.raises(UserError, match=r"val split has no record of class\(es\) \['b'\]"):
        check_classes(cohort)


def test_an_empty_split_is_refused(make_cohort):
    with pytest.raises(UserError, match=r"\['val'\]"):
        check_classes(make_cohort(list("abab"), split=["train", "train", "test", "test"]))


def test_locators_inside_one_file_are_told_apart(make_cohort):
    cohort = make_cohort(list("abab"), split=["train", "test", "val", "train"])
    check_leaks(cohort.with_table(cohort.table.assign(input_T1w=[f"set.npz#train/{i}" for i in range(4)])))
    assert isinstance(cohort.table, pd.DataFrame)
