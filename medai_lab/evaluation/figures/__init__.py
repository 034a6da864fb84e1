"""Figures of an evaluation: each function takes a table or numbers and returns a matplotlib `Figure`.

Figures are built as objects, without pyplot, so that threads and servers can draw them. matplotlib is
imported when the first one is drawn.
"""

from medai_lab.evaluation.figures.confusion_matrix import binary_matrix, confusion
from medai_lab.evaluation.figures.curves import precision_recall, roc
from medai_lab.evaluation.figures.histogram import scores
from medai_lab.evaluation.figures.quantities import agreement
from medai_lab.evaluation.figures.style import save
from medai_lab.evaluation.figures.training import history

__all__ = ["agreement", "binary_matrix", "confusion", "history", "precision_recall", "roc", "save", "scores"]
