"""Figures: drawn without pyplot, with the right numbers in them, nothing cut off, and saved whole."""

import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from medai_lab.errors import UserError
from medai_lab.evaluation import figures, operating_points, summary

LOG = pd.DataFrame(
    {
        "epoch": [0, 0, 1, 1, 2],
        "train_loss": [0.9, None, 0.5, None, 0.4],
        "val_loss": [None, 0.8, None, 0.6, 0.7],
        "val_auroc": [None, 0.7, None, 0.9, 0.8],
        "val_mae": [None, 3.0, None, 1.0, 2.0],
    }
)


def legend_of(figure: Figure, axes: int = 0) -> str:
    return " | ".join(t.get_text().replace("\n", " ") for t in figure.axes[axes].get_legend().get_texts())


def words_of(figure: Figure) -> str:
    return " ".join(
        [t.get_text() for t in figure.texts] + [t.get_text() for axes in figure.axes for t in axes.texts]
    ).replace("\n", " ")


def assert_nothing_is_cut_off(figure: Figure) -> None:
    """Every text, legend and label lies inside the figure, and saving it raises no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tempfile.TemporaryDirectory() as folder:
            figures.save(figure, Path(folder) / "figure.png")
    whole = figure.bbox.padded(1)
    for axes in figure.axes:
        box = axes.get_tightbbox()
        assert whole.containsx(box.x0) and whole.containsx(box.x1), axes
        assert whole.containsy(box.y0) and whole.containsy(box.y1), axes
        assert axes.bbox.width > 0.3 * figure.bbox.width or len(figure.axes) > 1
    for text in figure.texts:
        box = text.get_window_extent()
        assert whole.containsx(box.x1) and whole.containsy(box.y0) and whole.containsy(box.y1), text


def test_roc_shows_the_interval_of_the_summary_and_scikit_learns_curve(tables):
    table = tables.binary(split="test")
    points = operating_points.fit(tables.binary(seed=1), "youden")
    result = summary.evaluate(table, points, 200)
    figure = figures.roc(table, threshold=points[0].value, replicates=200)
    assert f"AUROC {summary.show(result['metrics']['auroc'])}" in legend_of(figure)
    assert "n = 120 records" in words_of(figure)
    assert f"{result['n_patients']} patients, test split" in words_of(figure)
    line = next(x for x in figure.axes[0].lines if x.get_label().startswith("AUROC"))
    expected = roc_curve(table["target_cancer"], table["prob_cancer"], drop_intermediate=False)
    np.testing.assert_allclose(line.get_xdata(), expected[0])
    np.testing.assert_allclose(line.get_ydata(), expected[1])
    mark = next(x for x in figure.axes[0].lines if x.get_label().startswith("Operating"))
    assert mark.get_ydata()[0] == pytest.approx(result["metrics"]["sensitivity"]["value"])
    assert 1 - mark.get_xdata()[0] == pytest.approx(result["metrics"]["specificity"]["value"])
    assert_nothing_is_cut_off(figure)


def test_multilabel_curve_has_the_interval_of_the_summary_in_spite_of_missing_truth(tables):
    table = tables.multilabel(split="test")
    result = summary.evaluate(table, [], 100)
    figure = figures.roc(table, "effusion", replicates=100)
    assert summary.show(result["per_output"]["effusion"]["metrics"]["auroc"]) in legend_of(figure)
    assert "n = 120 records" in words_of(figure)


@pytest.mark.parametrize("draw", [figures.roc, figures.precision_recall])
def test_the_band_holds_the_curve(tables, draw):
    figure = draw(tables.binary(split="test"), replicates=300)
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    line = max(figure.axes[0].lines, key=lambda x: len(x.get_xdata()))
    middle = np.median(line.get_ydata()[(line.get_xdata() > 0.4) & (line.get_xdata() < 0.6)])
    around = band[(band[:, 0] > 0.4) & (band[:, 0] < 0.6), 1]
    assert around.min() < middle < around.max()
    assert around.max() - around.min() < 0.6
    assert_nothing_is_cut_off(figure)


def test_precision_recall_shows_the_prevalence(tables):
    table = tables.binary(split="test")
    figure = figures.precision_recall(table, replicates=50)
    prevalence = table["target_cancer"].mean()
    assert f"prevalence {prevalence:.3f}" in legend_of(figure)
    assert any(np.allclose(x.get_ydata(), prevalence) for x in figure.axes[0].lines)


@pytest.mark.parametrize("draw", [figures.roc, figures.precision_recall])
def test_one_class_says_so_and_draws_no_curve(tables, draw):
    table = tables.binary(split="test")
    table["target_cancer"] = 1.0
    figure = draw(table, replicates=20)
    assert "Not estimable: no negative records" in words_of(figure)
    assert "Shaded" not in words_of(figure)
    assert not figure.axes[0].lines


def test_a_perfect_curve_of_few_has_no_band_and_says_why(tables):
    table = tables.binary(12, split="test")
    table["prob_cancer"] = table["target_cancer"]
    figure = figures.roc(table, replicates=50)
    assert "every resample gives the same value" in legend_of(figure) or "too few patients" in legend_of(figure)
    assert not figure.axes[0].collections
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize("n", [2, 4, 8, 9, 20])
def test_confusion_writes_every_count_and_fits(n):
    rng = np.random.default_rng(0)
    matrix = rng.integers(1, 3000, (n, n))
    figure = figures.confusion(matrix, [f"A rather long class name {i}" for i in range(n)])
    written = {text.get_text().replace(",", "") for text in figure.axes[0].texts}
    assert {str(count) for count in matrix.ravel()} <= written
    assert (f"{matrix[0, 0] / matrix[0].sum():.0%}" in written) == (n <= 8)
    assert f"n = {matrix.sum():,} records" in words_of(figure)
    assert_nothing_is_cut_off(figure)
    cell = figure.axes[0].bbox.width / n
    assert all(text.get_window_extent().width <= cell for text in figure.axes[0].texts)


def test_binary_counts_become_a_matrix_with_the_truth_in_rows():
    assert figures.binary_matrix({"tp": 1, "fp": 2, "fn": 3, "tn": 4}) == [[4, 2], [3, 1]]


def test_a_class_without_records_leaves_its_row_empty():
    figure = figures.confusion([[3, 1], [0, 0]], ["a", "b"])
    assert [t.get_text() for t in figure.axes[0].texts][-1] == "0%"


@pytest.mark.parametrize(
    ("metric", "up", "best"), [(None, True, 1), ("val_auroc", False, 0), ("val_mae", False, 1), ("val_loss", True, 1)]
)
def test_history_marks_the_best_epoch(metric, up, best):
    figure = figures.history(LOG, metric, up)
    assert f"best epoch {best} by" in words_of(figure)
    assert any(np.all(np.asarray(line.get_xdata()) == best) for line in figure.axes[0].lines)
    assert len(figure.axes) == (1 if metric == "val_loss" else 2)
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [0.9, 0.5, 0.4])
    assert_nothing_is_cut_off(figure)


def test_history_of_losses_alone_and_of_a_single_epoch():
    assert len(figures.history(LOG[["epoch", "train_loss", "val_loss"]]).axes) == 1
    assert_nothing_is_cut_off(figures.history(LOG.head(2)))


def test_history_names_a_missing_column():
    with pytest.raises(UserError, match=r"\['val_aurocc'\].*Did you mean 'val_auroc'"):
        figures.history(LOG, "val_aurocc")
    with pytest.raises(UserError, match="empty"):
        figures.history(LOG.head(0))


def test_agreement_shows_bias_and_limits(tables):
    table = tables.regression()
    figure = figures.agreement(table)
    difference = table["pred_age_true"] - table["target_age_true"]
    low, high = (difference.mean() + side * 1.96 * difference.std(ddof=1) for side in (-1, 1))
    assert f"Mean difference {difference.mean():.3g}" in legend_of(figure, 1)
    assert f"{low:.3g} to {high:.3g}" in legend_of(figure, 1)
    assert_nothing_is_cut_off(figure)
    assert_nothing_is_cut_off(figures.agreement(table.head(1)))


def test_scores_add_up_to_one_hundred_for_each_kind(tables):
    table = tables.binary(split="test")
    figure = figures.scores(table, threshold=0.4)
    heights = [sum(bar.get_height() for bar in group) for group in figure.axes[0].containers if len(group) > 1]
    assert heights == pytest.approx([100, 100])
    assert "benign (n =" in legend_of(figure)
    assert "Threshold 0.4" in legend_of(figure)
    assert_nothing_is_cut_off(figure)


def test_names_with_dollar_signs_stay_text(tables):
    odd = "costs $5_{x and $6^} more"
    table = tables.binary(split="test").rename(columns=lambda c: c.replace("cancer", odd))
    table.attrs["target"] = {"kind": "binary", "columns": ["dx"], "classes": ["no", odd]}
    for figure in (figures.roc(table, replicates=10), figures.scores(table)):
        assert_nothing_is_cut_off(figure)
    assert_nothing_is_cut_off(figures.confusion([[1, 2], [3, 4]], ["no", odd]))


def test_mixed_splits_are_refused(tables):
    table = tables.binary(split="test")
    table.loc[0, "split"] = "val"
    for draw in (figures.roc, figures.precision_recall, figures.scores):
        with pytest.raises(UserError, match="one split"):
            draw(table)


def test_saved_as_png_and_nothing_left_beside_it(tables, tmp_path):
    figures.save(figures.scores(tables.binary()), tmp_path / "figures" / "scores.png")
    saved = tmp_path / "figures" / "scores.png"
    assert saved.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [p.name for p in saved.parent.iterdir()] == ["scores.png"]


def test_evaluation_imports_nothing_heavy_and_figures_never_touch_pyplot():
    code = (
        "import sys, medai_lab.evaluation.summary, medai_lab.evaluation.figures as f;"
        "print([m for m in ('torch','sklearn','matplotlib','monai','pytorch_lightning') if m in sys.modules]);"
        "f.confusion([[1, 2], [3, 4]], ['a', 'b']).draw_without_rendering(); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_no_module_of_the_evaluation_uses_pyplot():
    folder = Path(figures.__file__).parents[1]
    assert [
        p.name for p in folder.rglob("*.py") if re.search(r"^\s*(import|from) matplotlib.*pyplot", p.read_text(), re.M)
    ] == []
