"""Confidence intervals by resampling patients.

Records of one patient are alike, so resampling records would make intervals too narrow. Here whole patients
are drawn with replacement, as many as there are, and every record counts as often as its patient was drawn
(the cluster bootstrap: Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8;
Field and Welsh, J R Stat Soc B 2007;69:369-390). The interval is the 2.5th to the 97.5th percentile.

The percentile interval follows the sample: it cannot see kinds of patient that the sample lacks, and with a
handful of patients it is too narrow. Where it would be plainly false it is not given (see `estimate`).
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import NotRequired, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from medai_lab.evaluation.arrays import FloatArray

Key = TypeVar("Key", bound=Hashable)

PERCENTILES = (2.5, 97.5)
MOST_MISSING = 0.05  # share of replicates that may lack a value before the interval is not estimable
BLOCK_ELEMENTS = 250_000  # weights held at a time: 2 MB, which stays in a core's cache
LEAST_ROWS = 8  # of a block, however many records there are: the records are sorted once a block


class Interval(TypedDict):
    """A value with its 95 % interval, ready for JSON; `reason` says why something is None."""

    value: float | None
    low: float | None
    high: float | None
    reason: NotRequired[str]


def cluster_weights(
    patient_ids: npt.ArrayLike, replicates: int, seed: int, strata: npt.ArrayLike | None = None
) -> FloatArray:
    """Draw patients with replacement and count how often each record's patient was drawn.

    Args:
        patient_ids: (n,) the patient of each record.
        replicates: number of resamples B.
        seed: the same seed gives the same weights for a set of patients, in whatever order its rows stand.
        strata: (n,) groups of which each resample keeps its number of patients. A patient whose records
            are of several groups belongs to the last of them in sorted order (for a 0/1 truth: to the
            positive ones where any record is positive).

    Returns:
        (B, n) counts. See `weight_blocks` for the same in pieces that fit the memory.
    """
    return np.concatenate(list(weight_blocks(patient_ids, replicates, seed, strata)))


def weight_blocks(
    patient_ids: npt.ArrayLike, replicates: int, seed: int, strata: npt.ArrayLike | None = None
) -> Iterator[FloatArray]:
    """Yield the rows of `cluster_weights` in blocks of about `BLOCK_ELEMENTS` values."""
    patients, record = np.unique(np.asarray(patient_ids), return_inverse=True)
    groups = _patients_by_stratum(record, len(patients), strata)
    generators = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(groups))]
    most = max(LEAST_ROWS, BLOCK_ELEMENTS // max(1, len(record)))
    for start in range(0, replicates, most):
        size = min(most, replicates - start)
        drawn = np.zeros((size, len(patients)))
        for members, generator in zip(groups, generators, strict=True):
            drawn[:, members] = _draw(generator, size, len(members))
        yield drawn[:, record]


def estimate(
    statistic: Callable[[FloatArray], Mapping[Key, FloatArray]],
    patient_ids: npt.ArrayLike,
    replicates: int,
    seed: int,
    reasons: Mapping[Key, str],
) -> dict[Key, Interval]:
    """Estimate several metrics with 95 % intervals from the same resamples.

    Args:
        statistic: gives for weights (B, n) the value of each metric, (B,), NaN where not estimable.
        patient_ids: (n,) the patient of each record.
        replicates: number of resamples.
        seed: of the resampling.
        reasons: why the metrics that are NaN on the records themselves are so, by metric.

    Returns:
        For each metric its value and interval. Both are None where the value is NaN. Only the interval is
        None where it would mislead: with a single patient, with more than 5 % of the resamples NaN, or
        where all resamples agree (a sensitivity of 10 in 10 would else be "1.0 to 1.0").
    """
    ids = np.asarray(patient_ids)
    values = {name: float(found[0]) for name, found in statistic(np.ones((1, len(ids)))).items()}
    draws: dict[Key, list[FloatArray]] = {name: [] for name in values}
    several = len(np.unique(ids)) > 1
    for weights in weight_blocks(ids, replicates, seed) if several else ():
        for name, found in statistic(weights).items():
            draws[name].append(found)
    return {
        name: _interval(value, np.concatenate([np.empty(0), *draws[name]]), reasons.get(name))
        for name, value in values.items()
    }


def _patients_by_stratum(record: np.ndarray, n_patients: int, strata: npt.ArrayLike | None) -> list[np.ndarray]:
    """Group patient numbers by stratum: one group of all where there are no strata."""
    if strata is None:
        return [np.arange(n_patients)]
    _, code = np.unique(np.asarray(strata), return_inverse=True)
    of_patient = np.zeros(n_patients, dtype=np.int64)
    np.maximum.at(of_patient, record, code)
    return [np.flatnonzero(of_patient == stratum) for stratum in np.unique(of_patient)]


def _draw(generator: np.random.Generator, size: int, count: int) -> FloatArray:
    """Draw `count` out of `count` patients with replacement, `size` times; returns counts (size, count)."""
    drawn = generator.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _interval(value: float, draws: FloatArray, reason: str | None) -> Interval:
    """Turn a value and its resampled values into an interval, or say why there is none."""
    if np.isnan(value):
        return {"value": None, "low": None, "high": None, "reason": reason or "not defined for these records"}
    missing = float(np.isnan(draws).mean()) if len(draws) else 0.0
    estimable = draws[~np.isnan(draws)]
    if not len(draws):
        why = "one patient only, so there is nothing to resample"
    elif missing > MOST_MISSING:
        why = f"not estimable in {missing:.0%} of the resamples: too few patients of some kind"
    elif np.ptp(estimable) <= 1e-12 * max(1.0, abs(value)):
        why = "every resample gives the same value"
    else:
        low, high = np.percentile(estimable, PERCENTILES)
        return {"value": value, "low": float(low), "high": float(high)}
    return {"value": value, "low": None, "high": None, "reason": why}
