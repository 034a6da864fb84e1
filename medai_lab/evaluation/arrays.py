"""The two array helpers every metric shares.

Metrics take `weights` of shape (replicates, records): how often each record counts in each bootstrap
replicate. A row of ones gives the plain value; a row of integer repeats gives the value of the resample.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def ratio(numerator: npt.ArrayLike, denominator: npt.ArrayLike) -> FloatArray:
    """Divide elementwise, giving NaN ("not estimable") wherever the denominator is not above zero."""
    above, below = np.broadcast_arrays(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    result: FloatArray = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result


def weighted_mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean of `values` (n,) under each row of `weights` (B, n); NaN where a row sums to zero. Returns (B,)."""
    return ratio(weights @ values, weights.sum(axis=1))
