"""Killing a run and going on with it."""

import json
import signal
import time

import pandas as pd
import pytest
from safetensors.torch import load_file

from medai_lab.tracking.history import MetricHistory
from tests.end_to_end.conftest import TINY

EPOCHS = 8


def status(folder):
    path = folder / "status.json"
    return json.loads(path.read_text()) if path.exists() else {}


def start_and_kill(start, outputs, folder, how, after_epochs, *overrides):
    """Start a run and kill it once it has finished some epochs; return its exit code."""
    process = start(
        *TINY, f"paths.outputs={outputs}", f"hydra.run.dir={folder}", f"trainer.max_epochs={EPOCHS}", *overrides
    )
    deadline = time.monotonic() + 300
    while (
        len(MetricHistory(folder / "history.csv").table()) < after_epochs
        or not (folder / "checkpoints/last.ckpt").exists()
    ):
        assert process.poll() is None, process.communicate()[1][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    process.communicate(timeout=120)
    return process.returncode


@pytest.fixture(scope="module")
def undisturbed(train):
    return train("undisturbed", f"trainer.max_epochs={EPOCHS}", "tracking=none")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_and_resumed_run_ends_as_the_undisturbed_one(start, call, outputs, undisturbed, how):
    folder = outputs / "mri_cls" / f"killed-{how.name}"
    code = start_and_kill(start, outputs, folder, how, 2)
    assert code == (143 if how is signal.SIGTERM else -9)
    assert status(folder)["state"] == ("killed" if how is signal.SIGTERM else "running")
    assert not (folder / "metrics.json").exists(), "it was to be killed in the middle"
    resumed = call(f"resume={folder}")
    assert resumed.code == 0, resumed.err[-3000:]
    assert status(folder)["state"] == "finished"
    ours, theirs = (MetricHistory(f / "history.csv").table().set_index("epoch") for f in (folder, undisturbed))
    assert list(ours.index) == list(theirs.index) == list(range(EPOCHS))
    columns = ["train_loss", "val_loss", "val_auroc"]
    pd.testing.assert_frame_equal(ours[columns], theirs[columns])
    one, two = (load_file(f / "checkpoints" / "best.safetensors") for f in (folder, undisturbed))
    assert all((one[name] == two[name]).all() for name in one)


def test_mlflow_closes_killed_runs_and_goes_on_with_the_same_one(outputs):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{outputs / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("mri_cls").experiment_id])
    for name in ("killed-SIGTERM", "killed-SIGKILL"):
        assert [r.info.status for r in runs if r.info.run_name == name] == ["FINISHED"]


def test_a_finished_run_goes_on_when_asked_for_more_epochs(call, undisturbed):
    more = call(f"resume={undisturbed}", f"trainer.max_epochs={EPOCHS + 1}")
    assert more.code == 0, more.err[-3000:]
    assert len(MetricHistory(undisturbed / "history.csv").table()) == EPOCHS + 1


def test_a_resumed_run_keeps_its_model(call, undisturbed):
    refused = call(f"resume={undisturbed}", "model.net.width=8")
    assert refused.code == 2
    assert "model.net.width" in refused.err
    assert "Traceback" not in refused.err


def test_a_second_run_never_writes_into_a_folder_that_holds_one(call, outputs, undisturbed):
    refused = call(*TINY, f"paths.outputs={outputs}", f"hydra.run.dir={undisturbed}")
    assert refused.code == 2
    assert "already holds a run" in refused.err
