"""What a yes-or-no decision gets right: the four counts and the metrics made of them.

Formulas as in Altman and Bland (BMJ 1994;308:1552 and 309:102) and, for the Matthews correlation
coefficient, Chicco and Jurman (BMC Genomics 2020;21:6). A metric whose denominator is zero is NaN, never 0.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from medai_lab.evaluation.arrays import FloatArray, ratio


class Counts(NamedTuple):
    """Weights of the four kinds of decision, each (B,): one value a bootstrap replicate."""

    tp: FloatArray
    fp: FloatArray
    fn: FloatArray
    tn: FloatArray


def count(truth: FloatArray, called: npt.NDArray[np.bool_], weights: FloatArray) -> Counts:
    """Count decisions.

    Args:
        truth: (n,) of 0 and 1.
        called: (n,) True where the model says positive.
        weights: (B, n) how often each record counts.
    """
    positive, called = truth == 1, np.asarray(called, bool)
    kinds = np.stack([positive & called, ~positive & called, positive & ~called, ~positive & ~called], axis=1)
    return Counts(*(np.asarray(weights, np.float64) @ kinds.astype(np.float64)).T)


def sensitivity(c: Counts) -> FloatArray:
    """Share of positive records that are called, tp / (tp + fn); also named recall. (B,) in [0, 1]."""
    return ratio(c.tp, c.tp + c.fn)


def specificity(c: Counts) -> FloatArray:
    """Share of negative records that are not called, tn / (tn + fp). (B,) in [0, 1]."""
    return ratio(c.tn, c.tn + c.fp)


def ppv(c: Counts) -> FloatArray:
    """Positive predictive value, tp / (tp + fp); also named precision. (B,) in [0, 1]."""
    return ratio(c.tp, c.tp + c.fp)


def npv(c: Counts) -> FloatArray:
    """Negative predictive value, tn / (tn + fn). (B,) in [0, 1]."""
    return ratio(c.tn, c.tn + c.fn)


def accuracy(c: Counts) -> FloatArray:
    """Share of records decided rightly, (tp + tn) / all. (B,) in [0, 1]."""
    return ratio(c.tp + c.tn, c.tp + c.fp + c.fn + c.tn)


def balanced_accuracy(c: Counts) -> FloatArray:
    """Mean of sensitivity and specificity. (B,) in [0, 1]."""
    return (sensitivity(c) + specificity(c)) / 2


def f1(c: Counts) -> FloatArray:
    """Harmonic mean of PPV and sensitivity, 2 tp / (2 tp + fp + fn). (B,) in [0, 1].

    Without positive records it would be 0 whatever the model says, so it is NaN there.
    """
    return ratio(np.where(c.tp + c.fn > 0, 2 * c.tp, np.nan), 2 * c.tp + c.fp + c.fn)


def mcc(c: Counts) -> FloatArray:
    """Matthews correlation coefficient, the correlation of truth and decision. (B,) in [-1, 1]."""
    # Two roots of two factors each: the product of all four leaves the range of exact floats at large n.
    below = np.sqrt((c.tp + c.fp) * (c.tp + c.fn)) * np.sqrt((c.tn + c.fp) * (c.tn + c.fn))
    return ratio(c.tp * c.tn - c.fp * c.fn, below)


METRICS: Mapping[str, Callable[[Counts], FloatArray]] = {
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "mcc": mcc,
}
