"""How training went: losses above, a validation metric below, the best epoch marked."""

from typing import TYPE_CHECKING

import pandas as pd

from medai_lab.errors import UserError, nearest
from medai_lab.evaluation.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def history(log: pd.DataFrame, metric: str | None = None, higher_is_better: bool = True) -> "Figure":
    """Draw the training history.

    Args:
        log: columns `epoch`, `train_loss`, `val_loss` and any further `val_*`. An epoch may take several
            rows, each with some of the values.
        metric: the column that chose the best epoch; the first `val_*` beside the loss unless given, and
            `val_loss` (lower is better) where there is none.
        higher_is_better: which way the metric points.

    Raises:
        UserError: a column is missing, or the log is empty.
    """
    epochs = _by_epoch(log, metric)
    others = [c for c in epochs.columns if c.startswith("val_") and c != "val_loss"]
    chosen = metric or (others[0] if others else "val_loss")
    values = epochs[chosen].dropna()
    up = higher_is_better and chosen != "val_loss"
    caption = f"n = {len(epochs)} epoch{'s' if len(epochs) > 1 else ''}."
    best = None if values.empty else int(values.argmax() if up else values.argmin())
    if best is not None:
        caption += f" Dashed: best epoch {values.index[best]} by {_label(chosen)} ({values.iloc[best]:.4g})."
    below = chosen != "val_loss"
    figure = style.new("Training history", caption, height=6.4 if below else 4.8)
    rows = figure.subplots(2 if below else 1, 1, sharex=True, squeeze=False)[:, 0]
    _lines(rows[0], epochs, {"train_loss": style.ORANGE, "val_loss": style.BLUE}, "Loss")
    if below:
        _lines(rows[1], epochs, {chosen: style.GREEN}, _label(chosen).replace("v", "V", 1))
    for axes in rows:
        if best is not None:
            axes.axvline(values.index[best], color=style.GREY, linewidth=1.2, linestyle=style.DASHES, zorder=0)
    rows[-1].set_xlabel("Epoch", fontsize=style.TEXT, color=style.INK)
    if below and best is not None:
        rows[1].plot(
            values.index[best], values.iloc[best], "o", color=style.GREEN, markersize=9, markeredgecolor="white"
        )
    return figure


def _by_epoch(log: pd.DataFrame, metric: str | None) -> pd.DataFrame:
    """One row an epoch, each value the first one logged."""
    needed = ["epoch", "train_loss", "val_loss", *([metric] if metric else [])]
    missing = [c for c in needed if c not in log.columns]
    if missing:
        hint = nearest(missing[0], log.columns)
        raise UserError(f"The training log lacks the column(s) {missing}; it has {list(log.columns)}.{hint}")
    epochs = log.groupby("epoch").first().sort_index()
    if epochs.empty:
        raise UserError("The training log is empty.")
    return epochs


def _lines(axes: "Axes", epochs: pd.DataFrame, colours: dict[str, str], y: str) -> None:
    """Draw columns over epochs; points as well while there are few."""
    from matplotlib.ticker import MaxNLocator

    for column, colour in colours.items():
        line = epochs[column].dropna()
        marker = "o" if len(line) <= 25 else None
        label = {"train_loss": "Training", "val_loss": "Validation"}.get(column, "Validation")
        axes.plot(line.index, line, color=colour, linewidth=2, marker=marker, markersize=4, label=label)
    style.frame(axes, "", y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(x=0.02)
    if len(epochs) == 1:
        axes.set_xlim(epochs.index[0] - 1, epochs.index[0] + 1)
    if len(colours) > 1:
        style.legend(axes, columns=2)


def _label(column: str) -> str:
    """Turn a column name into words."""
    return column.replace("val_", "validation ", 1).replace("_", " ").replace("auroc", "AUROC")
