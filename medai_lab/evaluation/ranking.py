"""How well a score orders records: the ROC and precision-recall curves and the areas under them.

Every function takes `truth` (n,) of 0 and 1, `score` (n,) with higher meaning more likely positive, and
`weights` (B, n) of counts at or above zero. Records with the same score form one step of a curve.
"""

from typing import NamedTuple

import numpy as np

from medai_lab.evaluation.arrays import FloatArray, ratio


class Steps(NamedTuple):
    """Counts of records at or above each distinct score.

    Attributes:
        scores: (G,) the distinct scores, highest first.
        true_positives: (B, G) weight of the positive records with a score at or above each.
        false_positives: (B, G) the same of the negative records.
    """

    scores: FloatArray
    true_positives: FloatArray
    false_positives: FloatArray

    @property
    def positives(self) -> FloatArray:
        """Weight of all positive records, (B, 1)."""
        return _last(self.true_positives)

    @property
    def negatives(self) -> FloatArray:
        """Weight of all negative records, (B, 1)."""
        return _last(self.false_positives)


def steps(truth: FloatArray, score: FloatArray, weights: FloatArray) -> Steps:
    """Count positives and negatives at or above each distinct score, for every row of `weights`."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, len(ordered) > 0))
    # Weighted counts up to each record; the last record of a tie holds the count of the whole tie.
    sorted_weights = weights[:, order].astype(np.float64, copy=False)
    all_records = np.cumsum(sorted_weights, axis=1)[:, ends]
    positives = np.cumsum(sorted_weights * truth[order], axis=1)[:, ends]
    return Steps(ordered[ends], positives, all_records - positives)


def roc_area(counted: Steps) -> FloatArray:
    """Area under the ROC curve: the chance that a positive outranks a negative, a tie counting one half.

    The Mann-Whitney form (Hanley and McNeil, Radiology 1982;143:29-36), which equals the trapezoid area.

    Returns:
        (B,) in [0, 1]; NaN where a replicate lacks positives or negatives.
    """
    above = counted.true_positives
    below = np.diff(counted.false_positives, axis=1, prepend=0.0)
    half_ties = np.diff(above, axis=1, prepend=0.0) / 2
    area = (below * (above - half_ties)).sum(axis=1)
    return ratio(area, counted.positives[:, 0] * counted.negatives[:, 0])


def average_precision(counted: Steps) -> FloatArray:
    """Average precision: the sum over distinct scores of (gain in recall) x (precision there).

    The step-wise area under the precision-recall curve, without interpolation (Davis and Goadrich, ICML
    2006, on why a straight line between points is wrong), as `sklearn.metrics.average_precision_score`.
    A set without negatives would give 1 whatever the score, so it is NaN here.

    Returns:
        (B,) in (0, 1]; NaN where a replicate lacks positives or negatives.
    """
    called = counted.true_positives + counted.false_positives
    precision = np.nan_to_num(ratio(counted.true_positives, called))  # no record yet: no recall gained either
    gained = np.diff(counted.true_positives, axis=1, prepend=0.0)
    value = ratio((gained * precision).sum(axis=1), counted.positives[:, 0])
    return np.where(counted.negatives[:, 0] > 0, value, np.nan)


def auroc(truth: FloatArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """Return `roc_area` of the records, (B,)."""
    return roc_area(steps(truth, score, weights))


def auprc(truth: FloatArray, score: FloatArray, weights: FloatArray) -> FloatArray:
    """Return `average_precision` of the records, (B,)."""
    return average_precision(steps(truth, score, weights))


def _last(counts: FloatArray) -> FloatArray:
    """The last column as (B, 1); zeros where there is no column."""
    return counts[:, -1:] if counts.shape[1] else np.zeros((len(counts), 1))
