"""Predicted against true quantity, and how far they agree."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medai_lab.evaluation import predictions
from medai_lab.evaluation.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMITS = 1.96  # standard deviations on either side of the mean difference


def agreement(table: pd.DataFrame) -> "Figure":
    """Draw predicted against true values, and the Bland-Altman plot of their difference.

    The limits of agreement are mean difference +- 1.96 standard deviations (Bland and Altman, Lancet
    1986;327:307-310). They describe records; several records of one patient count as several.

    Args:
        table: predictions of a quantity, with truth, of one split.

    Raises:
        UserError: no truth is known, or the table holds more than one split.
    """
    split = predictions.one_row_a_record(table)
    rows = predictions.with_truth(table)
    known = predictions.known(rows)
    name = predictions.target_of(rows).outputs[0]
    figure = style.new(f"Predicted and true {name}", style.counted(rows, split), height=4.9, width=8.4)
    left, right = figure.subplots(1, 2)
    size = float(np.clip(5000 / len(known.truth), 6, 36))
    _scatter(left, known, size)
    _differences(right, known, size)
    return figure


def _scatter(axes: "Axes", known: predictions.Known, size: float) -> None:
    """Predicted over true, with the line on which they are equal."""
    low = min(known.truth.min(), known.score.min())
    high = max(known.truth.max(), known.score.max())
    room = 0.05 * (high - low) or 1.0
    ends = (low - room, high + room)
    axes.plot(ends, ends, color=style.GREY, linewidth=1.2, linestyle=style.DASHES, label="Predicted equals true")
    axes.scatter(known.truth, known.score, s=size, color=style.BLUE, alpha=0.5, linewidths=0)
    style.frame(axes, "True", "Predicted")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    style.legend(axes)


def _differences(axes: "Axes", known: predictions.Known, size: float) -> None:
    """Difference over mean, with the mean difference and the limits of agreement."""
    mean, difference = (known.score + known.truth) / 2, known.score - known.truth
    bias, spread = difference.mean(), LIMITS * (difference.std(ddof=1) if len(difference) > 1 else 0.0)
    axes.scatter(mean, difference, s=size, color=style.BLUE, alpha=0.5, linewidths=0)
    axes.axhline(bias, color=style.VERMILLION, linewidth=1.8, label=f"Mean difference {bias:.3g}")
    limits = f"95 % limits {bias - spread:.3g} to {bias + spread:.3g}"
    for place, label in ((bias - spread, limits), (bias + spread, None)):
        axes.axhline(place, color=style.VERMILLION, linewidth=1.3, linestyle=style.DASHES, label=label)
    style.frame(axes, "Mean of predicted and true", "Predicted minus true")
    style.legend(axes)
