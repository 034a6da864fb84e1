"""How each kind of target is evaluated. `summary.evaluate` is the way in and describes the results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from medai_lab.cohort.target import TargetKind, TargetSpec
from medai_lab.evaluation import decisions, intervals, metrics, multiclass, predictions
from medai_lab.evaluation.arrays import FloatArray
from medai_lab.evaluation.intervals import Interval
from medai_lab.evaluation.operating_points import OperatingPoint

Key = tuple[str | None, str]  # (output or class, None for the whole; metric)
Statistic = Callable[[FloatArray], dict[Key, FloatArray]]


@dataclass(frozen=True)
class Work:
    """What every evaluation starts from.

    Attributes:
        table: a checked predictions table of rows with known truth, each record once.
        target: what was predicted.
        points: the operating points, by output.
        replicates: patient resamples for the intervals.
        seed: of the resampling.
    """

    table: pd.DataFrame
    target: TargetSpec
    points: Mapping[str, OperatingPoint]
    replicates: int
    seed: int

    def estimate(self, statistic: Statistic, reasons: Mapping[Key, str]) -> dict[Key, Interval]:
        """Estimate the metrics of `statistic`, with intervals over the patients of the table."""
        patients = self.table["patient_id"].to_numpy()
        return intervals.estimate(statistic, patients, self.replicates, self.seed, reasons)


def binary(work: Work) -> dict[str, Any]:
    """Evaluate the one output of a binary target."""
    rows = _rows(work)
    found = work.estimate(_of_outputs(work, rows), _reasons(work, rows))
    return _output_block(work, found, work.target.outputs[0], *rows.values())


def multilabel(work: Work) -> dict[str, Any]:
    """Evaluate each finding, and the mean over the findings for which a metric is estimable."""
    rows = _rows(work)
    of_outputs = _of_outputs(work, rows)
    plain = of_outputs(np.ones((1, len(work.table))))
    names = dict.fromkeys(name for _, name in plain)
    counted = {name: np.array([np.isfinite(plain[o, name][0]) for o in rows]) for name in names}

    def statistic(weights: FloatArray) -> dict[Key, FloatArray]:
        values = of_outputs(weights)
        macros = {n: multiclass.macro([values[o, n] for o in rows], which) for n, which in counted.items()}
        return values | {(None, f"macro_{name}"): mean for name, mean in macros.items()}

    reasons = _reasons(work, rows) | {(None, f"macro_{name}"): "not estimable for any output" for name in names}
    found = work.estimate(statistic, reasons)
    return {
        "metrics": _of(found, None),
        "macro_over": {f"macro_{name}": int(which.sum()) for name, which in counted.items()},
        "per_output": {output: _output_block(work, found, output, r) for output, r in rows.items()},
    }


def one_class_of_several(work: Work) -> dict[str, Any]:
    """Evaluate a multi-class target; the decision is the class of the highest probability."""
    truth = work.table[predictions.target_columns(work.target)].to_numpy(np.float64)
    score = work.table[predictions.score_columns(work.target)].to_numpy(np.float64)
    classes = work.target.outputs

    def statistic(weights: FloatArray) -> dict[Key, FloatArray]:
        each = metrics.per_class(truth, score, weights)
        overall = metrics.multiclass_overall(truth, score, weights, each)
        found: dict[Key, FloatArray] = {(None, name): values for name, values in overall.items()}
        return found | {(c, n): v for c, of_class in zip(classes, each, strict=True) for n, v in of_class.items()}

    reasons: dict[Key, str] = {(None, "mcc"): "all records, or all decisions, are of one class"}
    reasons |= {(None, f"macro_{n}"): "all records are of one class" for n in ("auroc", "auprc")}
    for k, c in enumerate(classes):
        reasons |= {(c, n): why for n, why in metrics.why_not(truth[:, k], score.argmax(axis=1) == k).items()}
    found = work.estimate(statistic, reasons)
    return {
        "metrics": _of(found, None),
        "macro_over": {f"macro_{name}": int(which.sum()) for name, which in metrics.counted_classes(truth).items()},
        "per_class": {
            c: {"metrics": _of(found, c), "prevalence": float(truth[:, k].mean())} for k, c in enumerate(classes)
        },
        "confusion": multiclass.confusion(truth, score, np.ones((1, len(truth))))[0].astype(int).tolist(),
    }


def quantity(work: Work) -> dict[str, Any]:
    """Evaluate a regression target."""
    rows = predictions.known(work.table)

    def statistic(weights: FloatArray) -> dict[Key, FloatArray]:
        found = metrics.of_quantity(rows.truth, rows.score, weights)
        return {(None, name): values for name, values in found.items()}

    reasons: dict[Key, str] = {
        (None, "r2"): "the truth is constant",
        (None, "pearson"): "the truth or the prediction is constant",
    }
    return {"metrics": _of(work.estimate(statistic, reasons), None)}


BY_KIND: Mapping[TargetKind, Callable[[Work], dict[str, Any]]] = {
    "binary": binary,
    "multiclass": one_class_of_several,
    "multilabel": multilabel,
    "regression": quantity,
}


def _rows(work: Work) -> dict[str, predictions.Known]:
    """The records of each output whose truth is known."""
    return {output: predictions.known(work.table, output) for output in work.target.outputs}


def _threshold(work: Work, output: str) -> float | None:
    return work.points[output].value if output in work.points else None


def _of_outputs(work: Work, rows: Mapping[str, predictions.Known]) -> Statistic:
    """Return the statistic that holds the metrics of every yes-or-no output, all from the same resamples."""

    def statistic(weights: FloatArray) -> dict[Key, FloatArray]:
        found: dict[Key, FloatArray] = {}
        for output, r in rows.items():
            values = metrics.binary(r.truth, r.score, _threshold(work, output), weights[:, r.rows])
            found |= {(output, name): value for name, value in values.items()}
        return found

    return statistic


def _reasons(work: Work, rows: Mapping[str, predictions.Known]) -> dict[Key, str]:
    """Say of each output why some of its metrics are not estimable."""
    reasons: dict[Key, str] = {}
    for output, r in rows.items():
        threshold = _threshold(work, output)
        called = None if threshold is None else r.score >= threshold
        reasons |= {(output, name): why for name, why in metrics.why_not(r.truth, called).items()}
    return reasons


def _output_block(work: Work, found: Mapping[Key, Interval], output: str, rows: predictions.Known) -> dict[str, Any]:
    """Put together the result of one yes-or-no output."""
    point = work.points.get(output)
    confusion = None
    if point is not None:
        counts = decisions.count(rows.truth, rows.score >= point.value, np.ones((1, len(rows.truth))))
        confusion = {name: int(values[0]) for name, values in counts._asdict().items()}
    return {
        "n_records": len(rows.truth),
        "n_patients": len(np.unique(rows.patients)),
        "metrics": _of(found, output),
        "threshold": point.value if point else None,
        "rule": point.rule if point else None,
        "confusion": confusion,
        "prevalence": float(rows.truth.mean()) if len(rows.truth) else None,
    }


def _of(found: Mapping[Key, Interval], output: str | None) -> dict[str, Interval]:
    """Pick the intervals of one output, or of the whole, by metric."""
    return {name: interval for (of, name), interval in found.items() if of == output}
