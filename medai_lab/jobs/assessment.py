"""From predictions tables to numbers, figures and the summary on the terminal; the same for every job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medai_lab.evaluation import operating_points, summary
from medai_lab.evaluation.operating_points import OperatingPoint
from medai_lab.files import write_json, write_table
from medai_lab.reporting.pictures import write_figures
from medai_lab.tracking.run_folder import RunFolder


def choose_operating_points(run: RunFolder, validation: pd.DataFrame, rule: str) -> list[OperatingPoint]:
    """Choose decision thresholds on validation predictions and keep them with the run."""
    points = operating_points.fit(validation, rule)
    operating_points.save(run.operating_points, points)
    return points


def assess(
    folder: Path,
    tables: dict[str, pd.DataFrame],
    points: list[OperatingPoint],
    picture: Callable[[str], np.ndarray] | None,
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """Write `predictions/<split>.parquet`, `metrics.json` and the figures; return the metrics of each split.

    Args:
        folder: where the files go.
        tables: predictions of each split.
        points: thresholds, applied unchanged.
        picture: makes an image of a record; None where there is nothing to see.
        replicates: of the bootstrap.
        seed: of the bootstrap.
    """
    results = {}
    for split, table in tables.items():
        write_table(folder / "predictions" / f"{split}.parquet", table)
        results[split] = summary.evaluate(table, points, replicates, seed)
    write_json(folder / "metrics.json", results)
    for split, table in tables.items():
        if split != "train":  # how well the training records are fitted says little; the numbers are in metrics.json
            write_figures(folder / "figures", table, results[split], points, picture, replicates, seed)
    return results


def show(results: dict[str, Any], split: str, run: Path, uri: str | None) -> None:
    """Print the closing summary: the numbers with intervals, the folder, how to look further."""
    from rich.console import Console
    from rich.table import Table

    result = results[split]
    table = Table(
        title=f"{split}: {result['n_records']} records of {result['n_patients']} patients", title_justify="left"
    )
    table.add_column("metric")
    table.add_column("value (95 % interval over patients)")
    for name, value in summary.headline(result):
        table.add_row(name, value)
    console = Console()
    console.print(table)
    console.print(f"Run folder: {run}", soft_wrap=True)
    if uri:
        console.print(f"Compare runs: mlflow ui --backend-store-uri {uri}", soft_wrap=True)


def objective(results: dict[str, Any], split: str) -> tuple[str, dict[str, Any]]:
    """Return the name and interval of the number that ranks runs in a sweep."""
    metrics = results[split]["metrics"]
    name = next(n for n in ("auroc", "macro_auroc", "mae") if n in metrics)
    return name, metrics[name]
