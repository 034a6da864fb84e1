"""The confusion matrix as a picture."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medai_lab.evaluation.arrays import FloatArray, ratio
from medai_lab.evaluation.figures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES_IN_CELLS = 8  # with more classes a cell has room for its count only, and the colour tells the share
LONGEST_NAME = 26  # letters of a class name before it is cut


def binary_matrix(counts: Mapping[str, int]) -> list[list[int]]:
    """Lay the counts `tp`, `fp`, `fn`, `tn` out as a matrix: rows are the truth, the negative class first."""
    return [[counts["tn"], counts["fp"]], [counts["fn"], counts["tp"]]]


def confusion(matrix: npt.ArrayLike, classes: Sequence[str], title: str = "What was true, what was called") -> "Figure":
    """Draw a confusion matrix with counts, and the share of each row as colour and (few classes) as text.

    Args:
        matrix: (C, C) counts; rows are the truth, columns the decision; 2 to about 20 classes.
        classes: C names in the order of the rows.
        title: heading of the figure.
    """
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.asarray(matrix, np.int64)
    share = np.nan_to_num(ratio(counts, counts.sum(axis=1, keepdims=True)))
    many = len(classes) > SHARES_IN_CELLS
    caption = f"n = {counts.sum():,} records. Colour: share of the records of a true class (row)."
    side = float(np.clip(3.2 + 0.55 * len(classes), 5.0, 8.4))
    figure = style.new(title, caption, height=0.92 * side if many else side, width=max(side, style.WIDTH))
    axes = figure.add_subplot()
    colours = LinearSegmentedColormap.from_list("shares", ["#FFFFFF", style.BLUE])
    image = axes.imshow(share, cmap=colours, vmin=0, vmax=1)
    _names(axes, classes)
    _write_cells(axes, counts, share, points=72 * (side - (3.4 if many else 2.2)) / len(classes), shares=not many)
    if many:
        bar = figure.colorbar(image, ax=axes, shrink=0.7, pad=0.02, format=lambda x, _: f"{x:.0%}")
        bar.ax.tick_params(labelsize=style.SMALL, length=0)
        bar.outline.set_visible(False)
    return figure


def _names(axes: "Axes", classes: Sequence[str]) -> None:
    """Label rows and columns, and separate the cells by thin white lines."""
    names = [style.plain(c if len(c) <= LONGEST_NAME else c[: LONGEST_NAME - 1] + "…") for c in classes]
    slanted = max(map(len, names)) * len(names) > 36
    style.frame(axes, "Called by the model", "True class")
    size = style.SMALL if len(names) <= 12 else style.SMALL - 1
    axes.set_xticks(range(len(names)), names, fontsize=size)
    if slanted:
        for label in axes.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    edges = np.arange(len(names) + 1) - 0.5
    for place in (axes.axhline, axes.axvline):
        for edge in edges:
            place(edge, color=style.FAINT, linewidth=0.8)
    axes.spines[:].set_visible(False)


def _write_cells(axes: "Axes", counts: npt.NDArray[np.int64], share: FloatArray, points: float, shares: bool) -> None:
    """Write each cell's count (a zero only where there is room), and its share below it.

    Args:
        axes: the axes with the image.
        counts: (C, C) counts.
        share: (C, C) shares of the row, 0 to 1.
        points: width of a cell, in points.
        shares: whether to write the shares.
    """
    mark = "," if shares else ""  # between thousands, where there is room
    digits = max(len(f"{counts.max():{mark}}"), 4 if shares else 2)
    size = float(np.clip(1.3 * points / digits, 5, 17))
    for (row, column), count in np.ndenumerate(counts):
        if not (count or shares):
            continue
        colour = "white" if share[row, column] > 0.55 else style.INK
        offset = 0.11 if shares else 0.0
        axes.text(column, row - offset, f"{count:{mark}}", ha="center", va="center", fontsize=size, color=colour)
        if shares:
            below = f"{share[row, column]:.0%}"
            axes.text(column, row + 0.2, below, ha="center", va="center", fontsize=size * 0.72, color=colour)
