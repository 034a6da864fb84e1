"""Metrics for a quantity. `truth` and `predicted` are (n,), `weights` (B, n); each returns (B,)."""

from collections.abc import Callable, Mapping

import numpy as np

from medai_lab.evaluation.arrays import FloatArray, ratio, weighted_mean

# Below this share of the largest squared deviation a variance is rounding error of a constant.
NO_SPREAD = 1e-12


def mae(truth: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean absolute error, in the unit of the target; at or above 0."""
    return weighted_mean(np.abs(predicted - truth), weights)


def rmse(truth: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Root of the mean squared error, in the unit of the target; at or above 0."""
    return np.sqrt(weighted_mean((predicted - truth) ** 2, weights))


def bias(truth: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean of predicted minus true, in the unit of the target; above 0 where the model overestimates."""
    return weighted_mean(predicted - truth, weights)


def r2(truth: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficient of determination, 1 - (squared error) / (squared deviation of the truth from its mean).

    Returns:
        (B,) at or below 1; 0 is what always predicting the mean gives. NaN where the truth is constant.
    """
    return 1 - ratio(weighted_mean((predicted - truth) ** 2, weights), _variance(truth, weights))


def pearson(truth: FloatArray, predicted: FloatArray, weights: FloatArray) -> FloatArray:
    """Pearson's correlation r of predicted and true. (B,) in [-1, 1]; NaN where either is constant."""
    a, b = _centred(truth), _centred(predicted)
    covariance = weighted_mean(a * b, weights) - weighted_mean(a, weights) * weighted_mean(b, weights)
    spread = np.sqrt(_variance(truth, weights)) * np.sqrt(_variance(predicted, weights))
    return np.clip(ratio(covariance, spread), -1, 1)


def _centred(values: FloatArray) -> FloatArray:
    """Subtract the overall mean, so that the sums below lose no digits to a large offset."""
    return values - values.mean() if len(values) else values


def _variance(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted variance (B,), exactly 0 for a constant."""
    centred = _centred(values)
    found = weighted_mean(centred**2, weights) - weighted_mean(centred, weights) ** 2
    return np.where(found > NO_SPREAD * np.max(centred**2, initial=0.0), found, np.where(np.isnan(found), np.nan, 0.0))


METRICS: Mapping[str, Callable[[FloatArray, FloatArray, FloatArray], FloatArray]] = {
    "mae": mae,
    "rmse": rmse,
    "r2": r2,
    "pearson": pearson,
    "bias": bias,
}
