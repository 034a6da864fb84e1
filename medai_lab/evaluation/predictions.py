"""The predictions table: what a model said about each record, beside what is true.

Columns: `record_id`, `patient_id`, `split`, optional `fold` and subgroup columns, then for every output of
the target `target_<output>` and `prob_<output>` (regression: `pred_<output>`). A binary target has one
output, its positive class. `table.attrs["target"]` holds the target's specification, and parquet keeps it.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from medai_lab.cohort.target import TargetSpec
from medai_lab.errors import UserError, nearest
from medai_lab.evaluation.arrays import FloatArray

SUBGROUPS = ("sex", "age", "site")
SUM_TOLERANCE = 1e-3  # how far the class probabilities of a record may be from summing to 1


class Known(NamedTuple):
    """The records of one output whose truth is known.

    Attributes:
        truth: (n,) 0 or 1, or the quantity.
        score: (n,) probability of the output, or the predicted quantity.
        patients: (n,) patient ids.
        rows: (N,) boolean, which rows of the table these are.
    """

    truth: FloatArray
    score: FloatArray
    patients: np.ndarray
    rows: np.ndarray


def make_table(
    cohort_rows: pd.DataFrame, target: TargetSpec, outputs: np.ndarray, truth: np.ndarray | None
) -> pd.DataFrame:
    """Make the predictions table of some rows of a cohort.

    Args:
        cohort_rows: n rows of a cohort's table; its `split` stays empty where there is none.
        target: what the model predicts.
        outputs: (n, outputs) probabilities, or quantities for regression.
        truth: what `TargetSpec.encode` gives for the rows; None where it is not known.

    Returns:
        The table, checked, with a fresh index.

    Raises:
        ValueError: the shapes do not fit one another.
        UserError: as `check`, for instance where the model put out NaN.
    """
    expected = (len(cohort_rows), len(target.outputs))
    if outputs.shape != expected:
        raise ValueError(f"outputs have shape {outputs.shape}; {expected} was expected.")
    kept = [c for c in ("record_id", "patient_id", "split", "fold", *SUBGROUPS) if c in cohort_rows]
    parts = [cohort_rows[kept].reset_index(drop=True)]
    if "split" not in kept:
        parts[0].insert(2, "split", pd.Series(None, index=parts[0].index, dtype="str"))
    if truth is not None:
        values = np.eye(expected[1])[truth] if target.kind == "multiclass" and truth.ndim == 1 else truth
        if values.shape != expected:
            raise ValueError(f"truth has shape {truth.shape}; it does not fit outputs of shape {expected}.")
        parts.append(pd.DataFrame(values.astype(np.float64), columns=target_columns(target)))
    parts.append(pd.DataFrame(outputs.astype(np.float64), columns=score_columns(target)))
    table = pd.concat(parts, axis=1)
    table.attrs["target"] = target.to_dict()
    check(table)
    return table


def target_columns(target: TargetSpec) -> list[str]:
    """Names of the columns that hold the truth, one an output."""
    return [f"target_{output}" for output in target.outputs]


def score_columns(target: TargetSpec) -> list[str]:
    """Names of the columns that hold what the model said, one an output."""
    prefix = "pred" if target.kind == "regression" else "prob"
    return [f"{prefix}_{output}" for output in target.outputs]


def target_of(table: pd.DataFrame) -> TargetSpec:
    """Return the target a predictions table was made for, from its attributes.

    Raises:
        UserError: the table carries none, or one that cannot be read.
    """
    given = table.attrs.get("target")
    if given is None:
        raise UserError(
            "This predictions table does not say what its target is. Parquet tables written by medai_lab do; "
            "for a CSV file the target has to be given."
        )
    try:
        return TargetSpec.from_dict(given)
    except (KeyError, TypeError) as error:
        raise UserError(f"The target in the predictions table cannot be read: {given!r}.") from error


def known(table: pd.DataFrame, output: str | None = None) -> Known:
    """Return truth and score of one output, over the records whose truth is known.

    Args:
        table: a predictions table with truth.
        output: name of the output; may be left out where there is only one.

    Raises:
        UserError: there is no such output, or several and none was named.
    """
    target = target_of(table)
    if output is None and len(target.outputs) == 1:
        output = target.outputs[0]
    if output not in target.outputs:
        hint = nearest(output, target.outputs) if output else ""
        raise UserError(f"Predictions have no output '{output}'; their outputs are {list(target.outputs)}.{hint}")
    place = target.outputs.index(output)
    truth = _numbers(table, target_columns(target)[place])
    score = _numbers(table, score_columns(target)[place])
    rows = ~np.isnan(truth)
    return Known(truth[rows], score[rows], table["patient_id"].to_numpy()[rows], rows)


def with_truth(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows for which the truth of at least one output is known.

    Raises:
        UserError: there is no such row.
    """
    rows = table[table[target_columns(target_of(table))].notna().any(axis=1)]
    if rows.empty:
        raise UserError("These predictions cannot be evaluated: the truth of no record is known.")
    return rows


def check(table: pd.DataFrame, needs_truth: bool = False) -> None:
    """Check a predictions table against the description at the top of this file.

    Args:
        table: the table.
        needs_truth: whether the target columns have to be there.

    Raises:
        UserError: a column is missing, a record stands twice in one split and fold, or a value cannot be
            what its column says. The column and the record are named.
    """
    target = target_of(table)
    truth_columns = target_columns(target)
    has_truth = needs_truth or any(c in table for c in truth_columns)
    needed = ["record_id", "patient_id", "split", *score_columns(target), *(truth_columns if has_truth else ())]
    missing = [c for c in needed if c not in table.columns]
    if missing:
        raise UserError(f"Predictions lack the column(s) {missing}; they have {list(table.columns)}.")
    _check_rows(table)
    _check_scores(table, target)
    if has_truth:
        _check_truth(table, target)


def one_row_a_record(table: pd.DataFrame) -> str | None:
    """Return the split the rows are of (None where they name none), each record standing there once.

    Raises:
        UserError: the rows are of several splits, or a record stands there more than once (once a fold).
    """
    splits = sorted(table["split"].fillna("(none)").astype(str).unique())
    if len(splits) > 1:
        raise UserError(f"Predictions of one split are needed; the table holds the splits {splits}.")
    repeated = table["record_id"].duplicated()
    if repeated.any():
        raise UserError(
            f"Predictions: record '{table['record_id'][repeated].iloc[0]}' stands in several folds "
            f"({int(repeated.sum())} rows too many). Each record may count once: take one fold at a time."
        )
    return None if splits in ([], ["(none)"]) else splits[0]


def read(path: Path, target: TargetSpec | None = None) -> pd.DataFrame:
    """Read and check a predictions table.

    Args:
        path: a `.parquet` or `.csv` file.
        target: what was predicted; needed for a CSV file, which cannot carry it.

    Raises:
        UserError: the file is missing or cannot be read, or the table is not a predictions table.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise UserError(f"Predictions are read from .parquet or .csv files, not from '{path.name}'.")
    try:
        if path.suffix == ".csv":
            table = pd.read_csv(path, dtype={c: "str" for c in ("record_id", "patient_id", "split", "fold")})
        else:
            table = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no predictions file '{path}'.") from error
    except (OSError, ValueError) as error:  # pyarrow's and the CSV parser's errors are ValueErrors
        raise UserError(f"Predictions file '{path}' cannot be read as {path.suffix[1:]}: {error}") from error
    if target is not None:
        table.attrs["target"] = target.to_dict()
    check(table)
    return table


def _check_rows(table: pd.DataFrame) -> None:
    """Every row names a record and a patient, and no record stands twice in one split and fold."""
    if table.empty:
        raise UserError("The predictions table is empty.")
    for column in ("record_id", "patient_id"):
        if table[column].isna().any():
            raise UserError(f"Predictions: row {int(table[column].isna().to_numpy().argmax())} has no {column}.")
    keys = [c for c in ("record_id", "split", "fold") if c in table]
    repeated = table.duplicated(keys)
    if repeated.any():
        raise UserError(
            f"Predictions: record '{table['record_id'][repeated].iloc[0]}' stands more than once in one split "
            f"({int(repeated.sum())} rows too many). Each record may count once."
        )


def _check_scores(table: pd.DataFrame, target: TargetSpec) -> None:
    """Scores are finite; probabilities lie in [0, 1] and, over exclusive classes, sum to 1."""
    columns = score_columns(target)
    scores = np.stack([_numbers(table, c) for c in columns], axis=1)
    for column, values in zip(columns, scores.T, strict=True):
        _refuse(table, column, values, ~np.isfinite(values), "a finite number is needed")
        if target.kind != "regression":
            _refuse(table, column, values, (values < 0) | (values > 1), "a probability lies between 0 and 1")
    if target.kind == "multiclass":
        sums = scores.sum(axis=1)
        wrong = np.abs(sums - 1) > SUM_TOLERANCE
        _refuse(table, "prob_*", sums, wrong, "the probabilities of all classes must sum to 1", "sum to")


def _check_truth(table: pd.DataFrame, target: TargetSpec) -> None:
    """Truth is 0, 1 or missing, and one-hot over exclusive classes; a quantity is finite or missing."""
    columns = target_columns(target)
    truth = np.stack([_numbers(table, c) for c in columns], axis=1)
    for column, values in zip(columns, truth.T, strict=True):
        if target.kind == "regression":
            _refuse(table, column, values, np.isinf(values), "a finite number, or none, is needed")
        else:
            _refuse(table, column, values, ~(np.isnan(values) | np.isin(values, (0, 1))), "0, 1 or none is allowed")
    if target.kind == "multiclass":
        wrong = ~np.isnan(truth).all(axis=1) & (truth.sum(axis=1) != 1)
        _refuse(table, "target_*", truth.sum(axis=1), wrong, "exactly one class is true of a record", "sum to")


def _numbers(table: pd.DataFrame, column: str) -> FloatArray:
    """Return a column as float64, naming the first value that is no number."""
    values = pd.to_numeric(table[column], errors="coerce")
    odd = (values.isna() & table[column].notna()).to_numpy()
    if odd.any():
        _refuse(table, column, table[column].to_numpy(), odd, "a number is needed")
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _refuse(
    table: pd.DataFrame, column: str, values: np.ndarray, wrong: np.ndarray, allowed: str, verb: str = "is"
) -> None:
    """Raise for the first row where `wrong`, naming column, record and value."""
    if not wrong.any():
        return
    first = int(wrong.argmax())
    value = values[first]
    shown = "missing" if isinstance(value, float) and np.isnan(value) else str(value)
    more = f" ({int(wrong.sum()) - 1} more like it)" if wrong.sum() > 1 else ""
    raise UserError(
        f"Predictions: column '{column}' of record '{table['record_id'].iloc[first]}' {verb} {shown}{more}; {allowed}."
    )
