"""The run folder's metrics: whole after a kill, and right after a resume."""

import math
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medai_lab.tracking.history import MetricHistory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "history.csv"


def test_rows_are_read_back_one_an_epoch(path: Path) -> None:
    history = MetricHistory(path)
    history.append({"train_loss": 0.5}, epoch=0, step=10)
    history.append({"val_loss": 0.25, "val/auroc": 0.75}, epoch=0, step=10)
    history.append({"train_loss": 1 / 3}, epoch=1, step=20)
    expected = pd.DataFrame(
        {"epoch": [0, 1], "train_loss": [0.5, 1 / 3], "val_loss": [0.25, math.nan], "val/auroc": [0.75, math.nan]}
    )
    pd.testing.assert_frame_equal(history.table(), expected)
    assert path.read_text().splitlines()[:2] == ["epoch,step,name,value", "0,10,train_loss,0.5"]


def test_the_last_value_of_an_epoch_counts(path: Path) -> None:
    history = MetricHistory(path)
    for step, loss in enumerate([3.0, 2.0, 1.0]):
        history.append({"train_loss_step": loss}, epoch=0, step=step)
    assert history.table()["train_loss_step"].tolist() == [1.0]


def test_a_missing_file_gives_an_empty_table(path: Path) -> None:
    table = MetricHistory(path).table()
    assert table.empty
    assert list(table.columns) == ["epoch"]


def test_epochs_trained_again_supersede_theirs_and_later_ones(path: Path) -> None:
    first = MetricHistory(path)
    for epoch in range(5):
        first.append({"train_loss": 10.0 + epoch}, epoch, step=epoch)
        first.append({"val_loss": 20.0 + epoch}, epoch, step=epoch)
    resumed = MetricHistory(path)
    for epoch in (2, 3):
        resumed.append({"train_loss": 30.0 + epoch}, epoch, step=epoch)
        resumed.append({"val_loss": 40.0 + epoch}, epoch, step=epoch)
    table = MetricHistory(path).table()
    assert table["epoch"].tolist() == [0, 1, 2, 3]
    assert table["train_loss"].tolist() == [10.0, 11.0, 32.0, 33.0]
    assert table["val_loss"].tolist() == [20.0, 21.0, 42.0, 43.0]


def test_a_test_pass_that_counts_from_zero_leaves_training_alone(path: Path) -> None:
    history = MetricHistory(path)
    for epoch in range(3):
        history.append({"val_loss": float(epoch)}, epoch, step=epoch)
    history.append({"test_loss": 9.0}, epoch=0, step=0)
    assert history.table()["val_loss"].tolist() == [0.0, 1.0, 2.0]


def test_a_torn_last_line_is_neither_read_nor_continued(path: Path) -> None:
    history = MetricHistory(path)
    history.append({"val_loss": 0.5}, epoch=0, step=1)
    with path.open("a") as file:
        file.write("1,2,val_loss,0.12")  # torn from 0.1234, and a number all the same
    assert history.table()["val_loss"].tolist() == [0.5]
    resumed = MetricHistory(path)
    resumed.append({"val_loss": 0.75}, epoch=2, step=3)
    table = resumed.table()
    assert table["epoch"].tolist() == [0, 2]
    assert table["val_loss"].tolist() == [0.5, 0.75]


def test_a_file_torn_in_its_head_is_begun_again(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("epoch,st")
    history = MetricHistory(path)
    history.append({"a": 1.0}, epoch=0, step=0)
    assert path.read_text() == "epoch,step,name,value\n0,0,a,1.0\n"


def test_rows_are_in_the_file_when_the_process_is_killed(path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from medai_lab.tracking.history import MetricHistory\n"
        "h = MetricHistory(Path(sys.argv[1]))\n"
        "for e in range(3): h.append({'a': e / 7}, e, e)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert MetricHistory(path).table()["a"].tolist() == [0.0, 1 / 7, 2 / 7]
    assert list(path.parent.iterdir()) == [path]


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=12)


@given(st.lists(st.dictionaries(names, st.floats(), min_size=1, max_size=3), min_size=1, max_size=4))
def test_every_name_and_value_survives_the_file(tmp_path_factory: pytest.TempPathFactory, epochs: list) -> None:
    history = MetricHistory(tmp_path_factory.mktemp("h") / "history.csv")
    for epoch, metrics in enumerate(epochs):
        history.append(metrics, epoch, epoch)
    table = history.table().set_index("epoch")
    for epoch, metrics in enumerate(epochs):
        for name, value in metrics.items():
            read = table.loc[epoch, name]
            assert read == value or (math.isnan(read) and math.isnan(value))
