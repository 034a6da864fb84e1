"""The whole evaluation of one predictions table, as one JSON-ready dictionary."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from medai_lab.cohort.target import TargetKind, TargetSpec
from medai_lab.errors import UserError
from medai_lab.evaluation import predictions
from medai_lab.evaluation.evaluators import BY_KIND, Work
from medai_lab.evaluation.intervals import Interval
from medai_lab.evaluation.operating_points import OperatingPoint

_LABELS = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "macro_auroc": "Macro AUROC",
    "macro_auprc": "Macro AUPRC",
    "macro_sensitivity": "Macro sensitivity",
    "macro_specificity": "Macro specificity",
    "macro_f1": "Macro F1",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "brier": "Brier score",
    "mcc": "MCC",
    "mae": "Mean absolute error",
    "rmse": "RMSE",
    "r2": "R squared",
    "pearson": "Pearson r",
    "bias": "Mean error",
}
_IN_UNITS = ("mae", "rmse", "bias")  # of the target's unit, so of any size
_HEADLINE: Mapping[TargetKind, tuple[str, ...]] = {
    "binary": ("auroc", "auprc", "sensitivity", "specificity", "balanced_accuracy", "brier"),
    "multiclass": ("macro_auroc", "macro_f1", "balanced_accuracy", "accuracy", "mcc"),
    "multilabel": ("macro_auroc", "macro_auprc", "macro_sensitivity", "macro_specificity", "macro_f1"),
    "regression": ("mae", "rmse", "r2", "pearson", "bias"),
}


def evaluate(
    table: pd.DataFrame, points: Sequence[OperatingPoint], replicates: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """Evaluate the predictions of one split.

    Args:
        table: predictions with truth, of one split, each record once. Rows without any known truth are
            left out.
        points: the operating points frozen with the model. Where an output has none, its metrics at a
            threshold are not estimable.
        replicates: patient resamples for the intervals.
        seed: of the resampling.

    Returns:
        Plain dictionaries, lists, strings, numbers and None. Always `n_records`, `n_patients`, `split`,
        `target`, `outputs` (records and positives, or mean and standard deviation, of each output) and
        `metrics` (each an `Interval`). Further by kind:
        binary: `threshold`, `rule`, `confusion` (`tp`, `fp`, `fn`, `tn`), `prevalence`.
        multiclass: `per_class`, `confusion` (rows are the truth, classes in the order of `outputs`) and
        `macro_over` (how many classes each macro average runs over).
        multilabel: `per_output` (each like a binary result; its records are those with known truth) and
        `macro_over`.

    Raises:
        UserError: the table is no predictions table with truth, holds several splits or a record twice, no
            truth is known, or an operating point is for an output the table lacks.
    """
    predictions.check(table, needs_truth=True)
    split = predictions.one_row_a_record(table)
    target = predictions.target_of(table)
    rows = predictions.with_truth(table)
    strangers = sorted({p.output for p in points} - set(target.outputs))
    if strangers:
        raise UserError(f"Operating points are for {strangers}; the predictions are of {list(target.outputs)}.")
    work = Work(rows, target, {p.output: p for p in points}, replicates, seed)
    return {
        "n_records": len(rows),
        "n_patients": int(rows["patient_id"].nunique()),
        "split": split,
        "target": target.to_dict(),
        "outputs": {output: _describe(rows, target, output) for output in target.outputs},
        **BY_KIND[target.kind](work),
    }


def headline(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the few numbers a person looks at first, as (label, text).

    Args:
        result: what `evaluate` returned.

    Returns:
        Such as `("AUROC", "0.912 (0.861 to 0.951)")` or `("AUROC", "not estimable (no negative records)")`.
    """
    names = [name for name in _HEADLINE[result["target"]["kind"]] if name in result["metrics"]]
    return [(_LABELS[name], show(result["metrics"][name], name in _IN_UNITS)) for name in names]


def show(interval: Interval, in_units: bool = False) -> str:
    """Write a value and its interval: three decimals, or four digits for a quantity in units."""
    value, low, high = (_digits(interval[k], in_units) for k in ("value", "low", "high"))
    if value is None:
        return f"not estimable ({interval['reason']})"
    if low is None:
        return f"{value} (no interval: {interval['reason']})"
    return f"{value} ({low} to {high})"


def _digits(number: float | None, in_units: bool) -> str | None:
    return None if number is None else f"{number:{'.4g' if in_units else '.3f'}}"


def _describe(table: pd.DataFrame, target: TargetSpec, output: str) -> dict[str, Any]:
    """Say what the truth of one output looks like."""
    truth = predictions.known(table, output).truth
    if target.kind == "regression":
        return {"n_records": len(truth), "mean": float(truth.mean()), "sd": float(truth.std())}
    return {"n_records": len(truth), "n_positive": int(truth.sum())}
