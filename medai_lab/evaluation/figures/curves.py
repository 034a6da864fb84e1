"""ROC and precision-recall curves with a band over resampled patients."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medai_lab.evaluation import decisions, intervals, metrics, predictions, ranking
from medai_lab.evaluation.arrays import FloatArray, ratio
from medai_lab.evaluation.figures import style
from medai_lab.evaluation.intervals import Interval
from medai_lab.evaluation.ranking import Steps
from medai_lab.evaluation.summary import show

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = np.linspace(0, 1, 201)
HEIGHT = 6.6  # inches: about as high as wide, so that both axes have the same scale


@dataclass(frozen=True)
class _Curve:
    """One output's records, and how they are resampled; the same draws as `summary.evaluate` makes."""

    table: pd.DataFrame
    output: str
    split: str | None
    known: predictions.Known
    replicates: int
    seed: int

    @property
    def shown(self) -> pd.DataFrame:
        """The rows of the table whose truth is known for the output."""
        return self.table[self.known.rows]

    def caption(self, area: Interval) -> str:
        """How much data the curve shows and, where it has a band, what that means."""
        band = f" Shaded: pointwise 95 % interval over {self.replicates:,} resamples of patients."
        counted = style.counted(self.shown, self.split, int(self.known.truth.sum()))
        return counted + (band if area["low"] is not None else "")

    def steps(self, weights: FloatArray) -> Steps:
        """Count at or above each score, for weights over the rows of the table."""
        return ranking.steps(self.known.truth, self.known.score, weights[:, self.known.rows])

    def plain(self) -> Steps:
        """Count every record once."""
        return self.steps(np.ones((1, len(self.table))))

    def area(self, metric: Callable[[Steps], FloatArray]) -> Interval:
        """Estimate an area under the curve."""
        reason = metrics.why_not(self.known.truth, None).get("auroc", "")
        found = intervals.estimate(
            lambda weights: {"area": metric(self.steps(weights))},
            self.table["patient_id"].to_numpy(),
            self.replicates,
            self.seed,
            {"area": reason},
        )
        return found["area"]

    def band(self, curve: Callable[[Steps], FloatArray]) -> FloatArray:
        """Return the 2.5th and 97.5th percentile of a curve (B, grid) over the resamples, (2, grid)."""
        blocks = intervals.weight_blocks(self.table["patient_id"].to_numpy(), self.replicates, self.seed)
        drawn = np.concatenate([curve(self.steps(weights)) for weights in blocks])
        low, high = np.nanpercentile(drawn, intervals.PERCENTILES, axis=0)
        return np.stack([low, high])


def roc(
    table: pd.DataFrame,
    output: str | None = None,
    threshold: float | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> "Figure":
    """Draw the ROC curve of one output.

    Args:
        table: predictions with truth, of one split.
        output: which output; may be left out where there is only one.
        threshold: the operating point to mark.
        replicates: patient resamples for the band and the interval of the area.
        seed: of the resampling; with that of `summary.evaluate` the area has the same interval.

    Raises:
        UserError: there is no such output, no known truth, or more than one split.
    """
    curve = _curve(table, output, replicates, seed)
    area = curve.area(ranking.roc_area)
    figure = style.new(f"ROC curve: {curve.output}", curve.caption(area), HEIGHT)
    axes = figure.add_subplot()
    if area["value"] is not None:
        axes.plot([0, 1], [0, 1], color=style.GREY, linewidth=1, linestyle=style.DASHES, label="Chance (0.5)")
        counted = curve.plain()
        _shade(axes, curve, area, _sensitivity_at, GRID)
        rates = [ratio(c[0], c[0, -1]) for c in (counted.false_positives, counted.true_positives)]
        axes.plot(*(np.append(0, r) for r in rates), color=style.BLUE, linewidth=2, label=f"AUROC {show(area)}")
        _mark(axes, curve, threshold, lambda c: (1 - decisions.specificity(c), decisions.sensitivity(c)))
    return _finish(figure, axes, area, "False positive rate (1 - specificity)", "Sensitivity")


def precision_recall(
    table: pd.DataFrame,
    output: str | None = None,
    threshold: float | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> "Figure":
    """Draw the precision-recall curve of one output, step-wise, with the prevalence as the line of chance.

    Arguments and errors as for `roc`.
    """
    curve = _curve(table, output, replicates, seed)
    area = curve.area(ranking.average_precision)
    figure = style.new(f"Precision and recall: {curve.output}", curve.caption(area), HEIGHT)
    axes = figure.add_subplot()
    if area["value"] is not None:
        prevalence = float(curve.known.truth.mean())
        axes.axhline(prevalence, color=style.GREY, lw=1, ls=style.DASHES, label=f"Chance: prevalence {prevalence:.3f}")
        _shade(axes, curve, area, _precision_at, GRID[1:])
        counted = curve.plain()
        recall, precision = _recall_and_precision(counted)
        axes.step(
            np.append(0, recall[0]),
            np.append(precision[0, 0], precision[0]),
            where="pre",
            color=style.BLUE,
            linewidth=2,
            label=f"Average precision {show(area)}",
        )
        _mark(axes, curve, threshold, lambda c: (decisions.sensitivity(c), decisions.ppv(c)))
    return _finish(figure, axes, area, "Recall (sensitivity)", "Precision (positive predictive value)")


def _curve(table: pd.DataFrame, output: str | None, replicates: int, seed: int) -> _Curve:
    """Gather what a curve needs."""
    split = predictions.one_row_a_record(table)
    rows = predictions.with_truth(table)
    known = predictions.known(rows, output)
    name = output or predictions.target_of(rows).outputs[0]
    return _Curve(rows, name, split, known, replicates, seed)


def _sensitivity_at(counted: Steps) -> FloatArray:
    """Sensitivity at each false positive rate of the grid, on the straight lines between the steps."""
    true, false = ratio(counted.true_positives, counted.positives), ratio(counted.false_positives, counted.negatives)
    pairs = zip(false, true, strict=True)
    return np.stack([np.interp(GRID, np.append(0, f), np.append(0, t)) for f, t in pairs])


def _precision_at(counted: Steps) -> FloatArray:
    """Precision where each recall of the grid (without 0) is first reached."""
    recall, precision = _recall_and_precision(counted)
    found = np.full((len(recall), len(GRID) - 1), np.nan)
    for row in np.flatnonzero(np.isfinite(recall).all(axis=1)):
        found[row] = precision[row, np.searchsorted(recall[row], GRID[1:])]
    return found


def _recall_and_precision(counted: Steps) -> tuple[FloatArray, FloatArray]:
    """Recall and precision at each score, (B, G)."""
    called = counted.true_positives + counted.false_positives
    return ratio(counted.true_positives, counted.positives), ratio(counted.true_positives, called)


def _shade(axes: "Axes", curve: _Curve, area: Interval, at: Callable[[Steps], FloatArray], grid: FloatArray) -> None:
    """Draw the band, unless the interval of the area could not be estimated either."""
    if area["low"] is not None:
        low, high = curve.band(at)
        axes.fill_between(grid, low, high, color=style.BLUE, alpha=0.18, linewidth=0)


def _mark(
    axes: "Axes",
    curve: _Curve,
    threshold: float | None,
    place: Callable[[decisions.Counts], tuple[FloatArray, FloatArray]],
) -> None:
    """Mark the operating point."""
    if threshold is None:
        return
    rows = curve.known
    x, y = place(decisions.count(rows.truth, rows.score >= threshold, np.ones((1, len(rows.truth)))))
    label = f"Operating point (threshold {threshold:.3g})"
    axes.plot(x, y, "o", color=style.VERMILLION, markersize=8, markeredgecolor="white", label=label, zorder=5)


def _finish(figure: "Figure", axes: "Axes", area: Interval, x: str, y: str) -> "Figure":
    """Label the unit square, or say why it is empty."""
    style.frame(axes, x, y)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    if area["value"] is None:
        style.note(axes, f"Not estimable: {area['reason']}.")
    else:
        style.legend(axes)
    return figure
