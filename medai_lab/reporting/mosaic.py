"""A page of records as the model saw them, with what it said."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from medai_lab.evaluation.operating_points import OperatingPoint
from medai_lab.evaluation.predictions import target_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS, ROWS = 4, 3
RIGHT, WRONG = "#009E73", "#D55E00"  # Okabe and Ito's colour-blind safe green and vermilion


def mosaic(table: pd.DataFrame, points: Sequence[OperatingPoint], picture: Callable[[str], np.ndarray]) -> "Figure":
    """Return up to twelve records: the most confident wrong predictions first, then right ones.

    Args:
        table: predictions with truth.
        points: the decision thresholds.
        picture: makes an (H, W) image in [0, 1] of a record, row 0 at the top.
    """
    from matplotlib.figure import Figure

    chosen = _choose(_verdicts(table, points))
    rows = max(1, -(-len(chosen) // COLUMNS))
    figure = Figure(figsize=(2.6 * COLUMNS, 1.85 * rows + 0.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, COLUMNS, squeeze=False)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, (_, row) in zip(axes, chosen.iterrows(), strict=False):
        axis.imshow(picture(row["record_id"]), cmap="gray", vmin=0, vmax=1)
        axis.set_title(
            f"{row['record_id']}\ntrue {row['truth']}, said {row['said']}",
            fontsize=8,
            color=WRONG if row["wrong"] else RIGHT,
        )
    wrong = int(chosen["wrong"].sum())
    figure.suptitle(
        f"{wrong} wrong (orange) and {len(chosen) - wrong} right (green) of {len(table)} records", fontsize=10
    )
    return figure


def _verdicts(table: pd.DataFrame, points: Sequence[OperatingPoint]) -> pd.DataFrame:
    """`record_id, truth, said, wrong, certainty` of every record, in words."""
    target = target_of(table)
    if target.kind == "regression":
        truth, said = table[f"target_{target.columns[0]}"], table[f"pred_{target.columns[0]}"]
        error = (said - truth).abs()
        words = {"truth": truth.map("{:.1f}".format), "said": said.map("{:.1f}".format)}
        return pd.DataFrame(
            {"record_id": table["record_id"], **words, "wrong": error > error.median(), "certainty": error}
        )
    scores = table[[f"prob_{o}" for o in target.outputs]].to_numpy()
    true = table[[f"target_{o}" for o in target.outputs]].to_numpy()
    if target.kind == "binary":
        threshold = points[0].value
        called, is_true = (scores[:, 0] >= threshold).astype(int), true[:, 0].astype(int)
        certainty = np.abs(scores[:, 0] - threshold)
        named = [f"p({target.classes[1]}) = {p:.2f}" for p in scores[:, 0]]
        shown = [f"{target.classes[c]}\n{p}" for c, p in zip(called, named, strict=True)]
    else:
        called, is_true, certainty = scores.argmax(axis=1), true.argmax(axis=1), scores.max(axis=1)
        shown = [f"{target.outputs[c]} ({p:.2f})" for c, p in zip(called, certainty, strict=True)]
    names = target.classes or target.outputs
    return pd.DataFrame(
        {
            "record_id": table["record_id"].to_numpy(),
            "truth": [names[t] for t in is_true],
            "said": shown,
            "wrong": called != is_true,
            "certainty": certainty,
        }
    )


def _choose(verdicts: pd.DataFrame) -> pd.DataFrame:
    """At most half wrong ones where there are enough right ones; the surest of both."""
    room = COLUMNS * ROWS
    surest = verdicts.sort_values("certainty", ascending=False)
    wrong, right = surest[surest["wrong"]], surest[~surest["wrong"]]
    taken = wrong.head(max(room // 2, room - len(right)))
    return pd.concat([taken, right.head(room - len(taken))])
