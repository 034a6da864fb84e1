"""Metrics for one class out of several: the confusion matrix and what is made of it.

`truth` and `score` are (n, C): one-hot rows and probabilities. A macro average runs over the classes that
hold records in the whole set (`counted`); a replicate that lacks one of them is NaN rather than a mean over
fewer classes, so that every replicate estimates the same quantity.
"""

import numpy as np
import numpy.typing as npt

from medai_lab.evaluation.arrays import FloatArray, ratio, weighted_mean
from medai_lab.evaluation.decisions import Counts

BoolArray = npt.NDArray[np.bool_]


def confusion(truth: FloatArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """Count records by true class and by the class of the highest probability (the first one in a tie).

    Returns:
        (B, C, C); rows are the truth, columns the decision.
    """
    classes = truth.shape[1]
    cell = truth.argmax(axis=1) * classes + score.argmax(axis=1)
    counted = [np.bincount(cell, weights=row, minlength=classes**2) for row in weights]
    return np.asarray(counted, np.float64).reshape(len(weights), classes, classes)


def one_vs_rest(matrix: FloatArray) -> list[Counts]:
    """Read each class's decisions against all others out of a confusion matrix (B, C, C)."""
    tp = np.diagonal(matrix, axis1=1, axis2=2)
    fp, fn = matrix.sum(axis=1) - tp, matrix.sum(axis=2) - tp
    tn = matrix.sum(axis=(1, 2))[:, None] - tp - fp - fn
    return [Counts(tp[:, k], fp[:, k], fn[:, k], tn[:, k]) for k in range(matrix.shape[1])]


def macro(values: list[FloatArray], counted: BoolArray) -> FloatArray:
    """Mean over the counted classes (or findings) of one metric.

    Args:
        values: C arrays of shape (B,), one a class.
        counted: (C,) which of them enter.

    Returns:
        (B,); NaN where a counted class is NaN, or where none is counted.
    """
    if not counted.any():
        return np.full_like(values[0], np.nan)
    mean: FloatArray = np.stack(values)[counted].mean(axis=0)
    return mean


def accuracy(matrix: FloatArray) -> FloatArray:
    """Share of records on the diagonal. (B,) in [0, 1]."""
    return ratio(np.trace(matrix, axis1=1, axis2=2), matrix.sum(axis=(1, 2)))


def mcc(matrix: FloatArray) -> FloatArray:
    """Correlation R_K of truth and decision for K classes (Gorodkin, Comput Biol Chem 2004;28:367-374).

    (c s - sum_k p_k t_k) / sqrt((s^2 - sum_k p_k^2) (s^2 - sum_k t_k^2)) with c right decisions, s records,
    p_k decisions for and t_k records of class k. Equals the Matthews coefficient for two classes.

    Returns:
        (B,) in [-1, 1]; NaN where all records, or all decisions, are of one class.
    """
    true, called, total = matrix.sum(axis=2), matrix.sum(axis=1), matrix.sum(axis=(1, 2))
    above = np.trace(matrix, axis1=1, axis2=2) * total - (true * called).sum(axis=1)
    spread_true, spread_called = (total**2 - (counts**2).sum(axis=1) for counts in (true, called))
    return ratio(above, np.sqrt(spread_true) * np.sqrt(spread_called))


def brier(truth: FloatArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean over records of the squared error summed over classes (Brier, Mon Weather Rev 1950;78:1-3).

    Returns:
        (B,) in [0, 2]; lower is better. For two classes it is twice the one-output Brier score.
    """
    return weighted_mean(((score - truth) ** 2).sum(axis=1), weights)
