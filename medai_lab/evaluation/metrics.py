"""The metrics of each kind of target in one call, and why one of them cannot be estimated.

All are weighted and vectorised over bootstrap replicates: `weights` is (B, n), results are (B,).
"""

import numpy as np

from medai_lab.evaluation import decisions, multiclass, ranking, regression
from medai_lab.evaluation.arrays import FloatArray, weighted_mean
from medai_lab.evaluation.multiclass import BoolArray

Values = dict[str, FloatArray]

MULTICLASS_MACROS = ("auroc", "auprc", "f1")
PER_CLASS_DECISIONS = ("sensitivity", "specificity", "ppv", "npv", "f1")


def brier(truth: FloatArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared error of the probability of the positive class. (B,) in [0, 1]; lower is better."""
    return weighted_mean((score - truth) ** 2, weights)


def binary(truth: FloatArray, score: FloatArray, threshold: float | None, weights: FloatArray) -> Values:
    """Every metric of one yes-or-no output.

    Args:
        truth: (n,) of 0 and 1.
        score: (n,) probabilities of the positive class.
        threshold: a record is called positive where `score >= threshold`. Where it is None, the metrics
            that need a decision are NaN.
        weights: (B, n).
    """
    values = _areas(truth, score, weights) | {"brier": brier(truth, score, weights)}
    if threshold is None:
        return values | {name: np.full(len(weights), np.nan) for name in decisions.METRICS}
    counts = decisions.count(truth, score >= threshold, weights)
    return values | {name: metric(counts) for name, metric in decisions.METRICS.items()}


def per_class(truth: FloatArray, score: FloatArray, weights: FloatArray) -> list[Values]:
    """Metrics of each class against all others; a class is called where its probability is the highest.

    Args:
        truth: (n, C) one-hot.
        score: (n, C) probabilities.
        weights: (B, n).
    """
    found = []
    for k, counts in enumerate(multiclass.one_vs_rest(multiclass.confusion(truth, score, weights))):
        values = {name: decisions.METRICS[name](counts) for name in PER_CLASS_DECISIONS}
        found.append(_areas(truth[:, k], score[:, k], weights) | values)
    return found


def multiclass_overall(
    truth: FloatArray, score: FloatArray, weights: FloatArray, classes: list[Values] | None = None
) -> Values:
    """Metrics over all classes: macro one-vs-rest AUROC, AUPRC and F1, and those of the confusion matrix.

    Macro AUROC and AUPRC run over the classes with both kinds of record, macro F1 and balanced accuracy
    (mean sensitivity) over the classes with records; see `counted_classes`.

    Args:
        truth: (n, C) one-hot.
        score: (n, C) probabilities.
        weights: (B, n).
        classes: what `per_class` gave for the same arguments, where it is at hand.
    """
    classes = per_class(truth, score, weights) if classes is None else classes
    counted = counted_classes(truth)
    matrix = multiclass.confusion(truth, score, weights)
    values = {f"macro_{m}": multiclass.macro([c[m] for c in classes], counted[m]) for m in MULTICLASS_MACROS}
    return values | {
        "accuracy": multiclass.accuracy(matrix),
        "balanced_accuracy": multiclass.macro([c["sensitivity"] for c in classes], counted["f1"]),
        "mcc": multiclass.mcc(matrix),
        "brier": multiclass.brier(truth, score, weights),
    }


def counted_classes(truth: FloatArray) -> dict[str, BoolArray]:
    """Which classes (C,) enter each macro average, by the name of the metric."""
    records = truth.sum(axis=0)
    both = (records > 0) & (records < len(truth))
    return {"auroc": both, "auprc": both, "f1": records > 0}


def of_quantity(truth: FloatArray, predicted: FloatArray, weights: FloatArray) -> Values:
    """Every regression metric: `truth` and `predicted` (n,), `weights` (B, n)."""
    return {name: metric(truth, predicted, weights) for name, metric in regression.METRICS.items()}


def why_not(truth: FloatArray, called: BoolArray | None) -> dict[str, str]:
    """Say for each binary metric why it would not be estimable, in plain words.

    Args:
        truth: (n,) of 0 and 1.
        called: (n,) decisions; None where no operating point is set.

    Returns:
        A reason for every metric that is NaN on these records, and for no other.
    """
    if not len(truth):
        return dict.fromkeys(("auroc", "auprc", "brier", *decisions.METRICS), "no records with known truth")
    lacking = {0: "no positive records", len(truth): "no negative records"}.get(int((truth == 1).sum()))
    reasons = dict.fromkeys(("auroc", "auprc"), lacking) if lacking else {}
    if called is None:
        return reasons | dict.fromkeys(decisions.METRICS, "no operating point is set")
    if lacking:
        reasons |= dict.fromkeys(("balanced_accuracy", "mcc"), lacking)
        reasons |= dict.fromkeys(("sensitivity", "f1") if "positive" in lacking else ("specificity",), lacking)
    if not called.any():
        reasons |= {"ppv": "no record is called positive", "mcc": "no record is called positive"}
    if called.all():
        reasons |= {"npv": "every record is called positive", "mcc": "every record is called positive"}
    return reasons


def _areas(truth: FloatArray, score: FloatArray, weights: FloatArray) -> Values:
    """Both areas from one sorting of the records."""
    counted = ranking.steps(truth, score, weights)
    return {"auroc": ranking.roc_area(counted), "auprc": ranking.average_precision(counted)}
