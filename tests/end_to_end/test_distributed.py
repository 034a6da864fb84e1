"""Two processes on the CPU."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.end_to_end.conftest import TINY

TWO = ["trainer.devices=2", "strategy=ddp", "tracking=none"]

SPY = """
import json, os
import pytorch_lightning as pl

class Spy(pl.Callback):
    def __init__(self, folder):
        self.folder = folder
        self.seen = []
    def on_train_start(self, trainer, module):
        rank = trainer.global_rank
        lr = trainer.optimizers[0].defaults["lr"]
        width = next(module.net.parameters()).shape[0]
        with open(f"{self.folder}/lr-{lr}-rank-{rank}.json", "w") as f:
            json.dump({"lr": lr, "width": width, "seed": module.seed, "world": trainer.world_size}, f)
    def on_validation_batch_end(self, trainer, module, outputs, batch, index):
        self.seen += batch["record_id"]
    def on_train_end(self, trainer, module):
        with open(f"{self.folder}/seen-rank-{trainer.global_rank}.json", "w") as f:
            json.dump(self.seen, f)
"""


@pytest.fixture(scope="module")
def spy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spy")
    (folder / "spy_module.py").write_text(SPY)
    return folder


def spying(folder):
    return f"+callbacks.spy={{_target_: spy_module.Spy, folder: '{folder}'}}"


@pytest.mark.ddp
def test_two_processes_give_the_numbers_of_one_and_take_every_record_once(train, call, outputs, spy):
    folder = train("ddp", *TWO, "trainer.max_epochs=1", spying(spy), cwd=spy)
    cohort = pd.read_parquet(folder / "splits.parquet")
    seen = [json.loads((spy / f"seen-rank-{r}.json").read_text()) for r in (0, 1)]
    assert min(len(s) for s in seen) > 0
    assert sorted(seen[0] + seen[1]) == sorted(cohort.loc[cohort["split"] == "val", "record_id"])
    for split in ("train", "val", "test"):
        predicted = pd.read_parquet(folder / "predictions" / f"{split}.parquet")
        assert sorted(predicted["record_id"]) == sorted(cohort.loc[cohort["split"] == split, "record_id"])
    again = outputs / "ddp-evaluated"
    finished = call(
        "job=evaluate",
        f"run={folder}",
        "trust=[spy_module]",
        f"paths.outputs={outputs}",
        f"hydra.run.dir={again}",
        "job.replicates=50",
        "trainer.gpus=0",
        cwd=spy,
    )
    assert finished.code == 0, finished.err[-3000:]
    two, one = (json.loads((f / "metrics.json").read_text())["test"]["metrics"] for f in (folder, again))
    for name, interval in two.items():
        assert interval == pytest.approx(one[name]), name
    tables = [pd.read_parquet(f / "predictions" / "test.parquet")["prob_lesion"] for f in (folder, again)]
    assert np.allclose(*tables, atol=1e-6)


@pytest.mark.ddp
def test_both_processes_of_every_job_of_a_sweep_see_its_settings(call, outputs, spy):
    sweep = outputs / "ddp-sweep"
    finished = call(
        "-m", *TINY, *TWO, "trainer.max_epochs=1", "optim.lr=1e-3,3e-4", spying(spy), f"paths.outputs={outputs}",
        f"hydra.sweep.dir={sweep}", cwd=spy,
    )  # fmt: skip
    assert finished.code == 0, finished.err[-3000:]
    for lr in (0.001, 0.0003):
        first, second = (json.loads((spy / f"lr-{lr}-rank-{rank}.json").read_text()) for rank in (0, 1))
        assert first == second
        assert first["world"] == 2
    table = pd.read_csv(sweep / "sweep.csv")
    assert len(table) == 2
