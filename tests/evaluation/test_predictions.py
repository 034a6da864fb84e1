"""The predictions table: making, checking, and reading it back."""

import numpy as np
import pandas as pd
import pytest

from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError
from medai_lab.evaluation import predictions
from medai_lab.files import write_table


def test_table_of_a_cohort_has_ids_subgroups_truth_and_probabilities(tables):
    rows = tables.rows(2).assign(sex=["F", "M"], age=[70.0, 50.5], site="north", dx=["cancer", "benign"], input_x="a")
    table = predictions.make_table(rows, tables.BINARY, np.array([[0.9], [0.2]]), tables.BINARY.encode(rows))
    assert list(table) == ["record_id", "patient_id", "split", "sex", "age", "site", "target_cancer", "prob_cancer"]
    assert table["target_cancer"].tolist() == [1, 0]
    assert predictions.target_of(table) == tables.BINARY


def test_classes_become_one_column_each(tables):
    rows = tables.rows(2).assign(grade=["II", "III"])
    score = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], np.float32)
    table = predictions.make_table(rows, tables.GRADES, score, tables.GRADES.encode(rows))
    assert table[["target_I", "target_II", "target_III"]].to_numpy().tolist() == [[0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(table["prob_II"], [0.5, 0.1], rtol=1e-6)


def test_new_scans_have_neither_truth_nor_split(tables):
    table = predictions.make_table(tables.rows(2).drop(columns="split"), tables.AGE, np.array([[50.0], [60.0]]), None)
    assert list(table) == ["record_id", "patient_id", "split", "pred_age_true"]
    predictions.check(table)
    with pytest.raises(UserError, match="target_age_true"):
        predictions.check(table, needs_truth=True)


def test_shapes_that_do_not_fit_are_refused(tables):
    with pytest.raises(ValueError, match="outputs have shape"):
        predictions.make_table(tables.rows(3), tables.BINARY, np.zeros(3), None)
    with pytest.raises(ValueError, match="truth has shape"):
        predictions.make_table(tables.rows(3), tables.BINARY, np.zeros((3, 1)), np.zeros(3))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_parquet_gives_back_table_and_target(tables, tmp_path, kind):
    table = getattr(tables, kind)(30)
    write_table(tmp_path / "p.parquet", table)
    again = predictions.read(tmp_path / "p.parquet")
    pd.testing.assert_frame_equal(again, table)
    assert predictions.target_of(again) == predictions.target_of(table)


def test_csv_needs_a_target_and_keeps_leading_zeros(tables, tmp_path):
    table = tables.binary(20)
    table["record_id"] = [f"{i:03d}" for i in range(20)]
    write_table(tmp_path / "p.csv", table)
    with pytest.raises(UserError, match="does not say what its target is"):
        predictions.read(tmp_path / "p.csv")
    again = predictions.read(tmp_path / "p.csv", tables.BINARY)
    assert again["record_id"].tolist() == table["record_id"].tolist()
    np.testing.assert_allclose(again["prob_cancer"], table["prob_cancer"])


@pytest.mark.parametrize(
    ("name", "content"), [("p.parquet", b"no parquet"), ("p.csv", b""), ("p.csv", b"\xff\xfe\x00")]
)
def test_files_that_cannot_be_read_are_named(tables, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as"):
        predictions.read(tmp_path / name, tables.BINARY)


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    with pytest.raises(UserError, match="no predictions file"):
        predictions.read(tmp_path / "p.parquet")
    with pytest.raises(UserError, match="not from 'p.xlsx'"):
        predictions.read(tmp_path / "p.xlsx")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("prob_cancer", 1.2, r"'prob_cancer' of record 'r3' is 1\.2; a probability lies between 0 and 1"),
        ("prob_cancer", np.nan, "'prob_cancer' of record 'r3' is missing; a finite number"),
        ("prob_cancer", np.inf, "'prob_cancer' of record 'r3' is inf"),
        ("target_cancer", 2, "'target_cancer' of record 'r3' is 2.0; 0, 1 or none"),
        ("record_id", "r1", "record 'r1' stands more than once"),
        ("record_id", None, "row 3 has no record_id"),
        ("patient_id", None, "row 3 has no patient_id"),
    ],
)
def test_a_wrong_value_is_named_with_its_column_and_record(tables, column, value, message):
    table = tables.binary(10)
    table.loc[3, column] = value
    with pytest.raises(UserError, match=message):
        predictions.check(table)


def test_text_in_a_number_column_is_named(tables):
    table = tables.binary(10).astype({"prob_cancer": object})
    table.loc[4, "prob_cancer"] = "high"
    with pytest.raises(UserError, match="'prob_cancer' of record 'r4' is high; a number is needed"):
        predictions.check(table)


def test_class_probabilities_sum_to_one_and_one_class_is_true(tables):
    table = tables.multiclass(10)
    wrong = table.copy()
    wrong.loc[5, "prob_I"] = wrong.loc[5, "prob_I"] / 2
    with pytest.raises(UserError, match=r"'prob_\*' of record 'r5' sum to"):
        predictions.check(wrong)
    wrong = table.copy()
    wrong.loc[5, ["target_I", "target_II"]] = 1
    with pytest.raises(UserError, match="exactly one class"):
        predictions.check(wrong)


def test_missing_columns_are_listed(tables):
    with pytest.raises(UserError, match=r"lack the column\(s\) \['patient_id', 'prob_cancer'\]"):
        predictions.check(tables.binary(5).drop(columns=["patient_id", "prob_cancer"]))


def test_a_record_may_stand_once_a_fold_but_counts_once(tables):
    table = pd.concat([tables.binary(8).assign(fold=fold) for fold in (0, 1)], ignore_index=True)
    table.attrs["target"] = tables.BINARY.to_dict()
    predictions.check(table)
    with pytest.raises(UserError, match="'r0' stands in several folds"):
        predictions.one_row_a_record(table)


def test_splits_are_not_mixed(tables):
    table = tables.binary(8)
    assert predictions.one_row_a_record(table) == "val"
    table.loc[2:, "split"] = "test"
    with pytest.raises(UserError, match=r"the splits \['test', 'val'\]"):
        predictions.one_row_a_record(table)


def test_records_without_truth_are_not_among_the_known(tables):
    table = tables.multilabel(20)
    rows = predictions.known(table, "effusion")
    assert len(rows.truth) == len(rows.score) == len(rows.patients) == 16
    assert not rows.rows[::5].any()
    with pytest.raises(UserError, match="Did you mean 'effusion'"):
        predictions.known(table, "effusions")
    with pytest.raises(UserError, match="no output 'None'"):
        predictions.known(table)


def test_a_broken_target_is_a_plain_message(tables):
    table = tables.binary(4)
    table.attrs["target"] = {"kind": "binary"}
    with pytest.raises(UserError, match="cannot be read"):
        predictions.target_of(table)
    table.attrs["target"] = TargetSpec("regression", ("x",)).to_dict() | {"columns": 3}
    with pytest.raises(UserError, match="cannot be read"):
        predictions.target_of(table)
