"""Which figures belong to which kind of prediction."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from medai_lab.evaluation import figures
from medai_lab.evaluation.operating_points import OperatingPoint
from medai_lab.reporting.mosaic import mosaic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES = 8  # outputs that get curves of their own; more would be pages that nobody reads


def write_figures(
    folder: Path,
    table: pd.DataFrame,
    result: Mapping[str, Any],
    points: Sequence[OperatingPoint],
    picture: Callable[[str], np.ndarray] | None,
    replicates: int,
    seed: int,
) -> None:
    """Write the figures of one split as `<split>_<name>.png`.

    Args:
        folder: where they go.
        table: predictions with truth of one split.
        result: what `evaluation.summary.evaluate` gave for them.
        points: the decision thresholds.
        picture: makes an (H, W) image of a record, for the mosaic; None where there is nothing to see.
        replicates: of the bootstrap behind the bands.
        seed: of the bootstrap.
    """
    kind = result["target"]["kind"]
    thresholds = {p.output: p.value for p in points}
    drawn: Iterator[tuple[str, Figure]]
    if kind == "regression":
        drawn = iter([("agreement", figures.agreement(table))])
    else:
        drawn = _of_classes(table, result, thresholds, replicates, seed)
    for name, figure in drawn:
        figures.save(figure, folder / f"{result['split']}_{name}.png")
    if picture is not None:
        figures.save(mosaic(table, points, picture), folder / f"{result['split']}_mosaic.png")


def _of_classes(
    table: pd.DataFrame, result: Mapping[str, Any], thresholds: Mapping[str, float], replicates: int, seed: int
) -> "Iterator[tuple[str, Figure]]":
    outputs = list(result["outputs"])
    for output in outputs[:MOST_CURVES]:
        ending = "" if len(outputs) == 1 else "_" + "".join(c if c.isalnum() else "-" for c in output)
        threshold = thresholds.get(output)
        yield f"roc{ending}", figures.roc(table, output, threshold, replicates, seed)
        yield f"precision_recall{ending}", figures.precision_recall(table, output, threshold, replicates, seed)
        yield f"scores{ending}", figures.scores(table, output, threshold)
    if "confusion" in result:
        binary = result["target"]["kind"] == "binary"
        matrix = figures.binary_matrix(result["confusion"]) if binary else result["confusion"]
        yield "confusion", figures.confusion(matrix, result["target"]["classes"])
