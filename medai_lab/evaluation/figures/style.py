"""What the figures share: colours that colour-blind readers can tell apart, type sizes, saving."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from medai_lab.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette (Color Universal Design, 2008).
BLUE, ORANGE, GREEN, VERMILLION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#6E6E6E"
INK, FAINT = "#222222", "#E3E3E3"
DASHES = (0, (4, 3))

DPI = 150
WIDTH = 6.4  # inches: 960 pixels, and 11 points still read well when shown 600 pixels wide
TITLE, TEXT, SMALL = 14, 11.5, 10  # points
LEGEND_LETTERS = 52  # on a line; a longer entry would squeeze the axes


def new(title: str, caption: str, height: float = 5.2, width: float = WIDTH) -> "Figure":
    """Return an empty figure with a title above and a caption below, both kept clear of the axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)  # type: ignore[union-attr, call-arg]
    letters = width / WIDTH
    heading = textwrap.fill(title, int(54 * letters))
    below = textwrap.fill(caption.replace(" %", "\u00a0%"), int(84 * letters))  # a number keeps its %
    figure.suptitle(plain(heading), x=0.02, ha="left", fontsize=TITLE, fontweight="bold", color=INK)
    figure.supxlabel(plain(below), x=0.02, ha="left", fontsize=SMALL, color=GREY)
    return figure


def frame(axes: "Axes", x: str, y: str) -> None:
    """Label the axes and leave only the lines a reader needs."""
    axes.set_xlabel(plain(x), fontsize=TEXT, color=INK)
    axes.set_ylabel(plain(y), fontsize=TEXT, color=INK)
    axes.tick_params(labelsize=SMALL, colors=INK, length=3, width=0.8)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)


def legend(axes: "Axes", columns: int = 1) -> None:
    """Put the legend above the axes, where it can hide no data."""
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        [textwrap.fill(label, LEGEND_LETTERS) for label in labels],
        loc="lower left",
        bbox_to_anchor=(0, 1.01),
        borderaxespad=0,
        frameon=False,
        fontsize=TEXT,
        ncols=columns,
        labelcolor=INK,
        columnspacing=1.4,
        handlelength=1.8,
    )


def note(axes: "Axes", text: str) -> None:
    """Write a sentence in the middle of axes that have nothing to show."""
    place: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, plain(textwrap.fill(text, 40)), fontsize=TEXT, color=INK, **place)


def plain(text: str) -> str:
    """Keep names from being read as mathematics, which matplotlib does between two dollar signs."""
    return text.replace("$", r"\$")


def counted(rows: pd.DataFrame, split: str | None, positives: int | None = None) -> str:
    """Say how many records of how many patients a figure shows."""
    of_kind = "" if positives is None else f" ({positives:,} positive)"
    where = f", {split} split" if split else ""
    return f"n = {len(rows):,} records{of_kind} of {rows['patient_id'].nunique():,} patients{where}."


def save(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG at 150 dots an inch, atomically."""
    figure.draw_without_rendering()  # tick labels change with the first layout, so it takes a second one
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI)
