"""How the scores of the two kinds of record lie."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medai_lab.evaluation import predictions
from medai_lab.evaluation.figures import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = [float(edge) for edge in np.linspace(0, 1, 26)]


def scores(table: pd.DataFrame, output: str | None = None, threshold: float | None = None) -> "Figure":
    """Draw the histogram of one output's probabilities, apart for records with and without it.

    Each histogram adds up to 100 % of its kind, so that a rare kind can be seen beside a frequent one.

    Args:
        table: predictions with truth, of one split.
        output: which output; may be left out where there is only one.
        threshold: the operating point to draw.

    Raises:
        UserError: there is no such output, no known truth, or more than one split.
    """
    split = predictions.one_row_a_record(table)
    rows = predictions.with_truth(table)
    known = predictions.known(rows, output)
    target = predictions.target_of(rows)
    name = output or target.outputs[0]
    caption = style.counted(rows[known.rows], split, int(known.truth.sum())) + " Each kind adds up to 100 %."
    figure = style.new(f"Scores of records with and without: {name}", caption, height=4.9)
    axes = figure.add_subplot()
    without = target.classes[0] if target.kind == "binary" else f"not {name}"
    for kind, label, colour in ((0, without, style.BLUE), (1, name, style.VERMILLION)):
        found = known.score[known.truth == kind]
        share = np.full(len(found), 100 / max(1, len(found)))
        text = style.plain(f"{label} (n = {len(found):,})")
        axes.hist(found, BINS, weights=share, color=colour, alpha=0.35, label=text)
        axes.hist(found, BINS, weights=share, color=colour, histtype="step", linewidth=1.6)
    if threshold is not None:
        axes.axvline(threshold, color=style.INK, lw=1.6, ls=style.DASHES, label=f"Threshold {threshold:.3g}")
    style.frame(axes, "Predicted probability", "Records of the kind (%)")
    axes.set_xlim(-0.01, 1.01)
    style.legend(axes)
    return figure
