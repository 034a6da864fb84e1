"""The page of records with what the model said."""

import numpy as np
import pandas as pd
import pytest

from medai_lab.cohort.target import TargetSpec
from medai_lab.evaluation.operating_points import OperatingPoint
from medai_lab.reporting.mosaic import COLUMNS, ROWS, mosaic
from medai_lab.reporting.pictures import write_figures

BINARY = TargetSpec("binary", ("group",), ("control", "lesion"))


def table(n, wrong):
    truth = np.arange(n) % 2
    score = np.where(truth == 1, 0.9, 0.1)
    score[:wrong] = 1 - score[:wrong]
    ids = [f"r{i}" for i in range(n)]
    out = pd.DataFrame(
        {"record_id": ids, "patient_id": ids, "split": "test", "target_lesion": truth, "prob_lesion": score}
    )
    out.attrs["target"] = BINARY.to_dict()
    return out


POINTS = [OperatingPoint("lesion", "youden", 0.5, "val", "d")]


def titles(figure):
    return [a.get_title() for a in figure.axes if a.get_title()]


@pytest.mark.parametrize(("n", "wrong", "shown_wrong"), [(40, 20, 6), (40, 2, 2), (9, 9, 9), (40, 39, 11)])
def test_wrong_ones_come_first_and_leave_room_for_right_ones(n, wrong, shown_wrong):
    figure = mosaic(table(n, wrong), POINTS, lambda record: np.zeros((8, 8)))
    shown = titles(figure)
    assert len(shown) == min(n, COLUMNS * ROWS)
    disagree = [t for t in shown if ("true lesion" in t) != ("said lesion" in t)]
    assert len(disagree) == shown_wrong
    assert shown[:shown_wrong] == disagree


def test_the_picture_of_each_record_is_asked_for():
    asked = []

    def picture(record):
        asked.append(record)
        return np.zeros((4, 4))

    mosaic(table(5, 1), POINTS, picture)
    assert sorted(asked) == [f"r{i}" for i in range(5)]


def test_each_kind_has_its_figures(tmp_path):
    from medai_lab.evaluation.summary import evaluate

    rows = table(30, 4)
    write_figures(tmp_path, rows, evaluate(rows, POINTS, 50), POINTS, None, 50, 0)
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {f"test_{n}.png" for n in ("roc", "precision_recall", "scores", "confusion")}
