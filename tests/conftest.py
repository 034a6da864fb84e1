"""What many tests share."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.target import TargetSpec

# A job and everything that a configuration names, without torch, so that a process takes a second.
TINY_JOB = """
import json, os, sys
from pathlib import Path
from hydra.core.hydra_config import HydraConfig
from medai_lab.errors import UserError
from medai_lab.jobs.result import JobResult

class Anything:
    def __init__(self, *args, **kwargs): pass

def run(config):
    folder = Path(HydraConfig.get().runtime.output_dir)
    seen = {"config": config.to_plain(), "pid": os.getpid(), "argv": sys.argv, "world": os.environ.get("WORLD_SIZE")}
    (folder / f"seen{os.environ.get('LOCAL_RANK', '')}.json").write_text(json.dumps(seen))
    print("said by", config.seed)
    if config.seed == 13:
        raise RuntimeError("bad luck")
    if config.name == "mistake":
        raise UserError("scan.nii is empty")
    if config.name == "stopped":
        raise SystemExit(143)
    if config.name == "interrupted":
        raise KeyboardInterrupt
    area = {"value": config.optim.lr, "low": 0.001, "high": 0.5}
    result = JobResult(config.optim.lr, "val_auroc", True, {"val": {"metrics": {"auroc": area}}}, folder)
    (folder / "result.json").write_text(json.dumps(result.to_plain()))
    return result
"""
TINY_EXPERIMENT = """
# @package _global_
job: {_target_: tiny_job.run}
data: {reader: {_target_: tiny_job.Anything}}
optim: {_target_: tiny_job.Anything, schedule: null}
task: {datamodule: tiny_job.Anything, module: tiny_job.Anything}
trainer: {gpus: 0}
defaults: [{override /callbacks: none}, {override /tracking: none}, {override /model: tiny}]
"""
TINY_MODEL = """
modality: mri
net: {_target_: tiny_job.Anything}
sizes: {outputs: out}
"""

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data are not on this machine")
    return SHARED_DATA


@pytest.fixture
def make_cohort():
    """A function that makes a cohort of records without files."""

    def make(labels, patients=None, target=None, **columns) -> Cohort:
        n = len(labels)
        table = pd.DataFrame(
            {
                "record_id": [f"r{i}" for i in range(n)],
                "patient_id": [str(p) for p in patients] if patients is not None else [f"p{i}" for i in range(n)],
                "input_T1w": [f"r{i}.nii.gz" for i in range(n)],
                "group": list(labels),
                **columns,
            }
        )
        return Cohort(table, ("T1w",), target or TargetSpec.of_classes("group", table["group"]), "made")

    return make


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> list[str]:
    """Arguments of a run that takes no time; its code and options are a user's own, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("tiny_job", None)
    (tmp_path / "tiny_job.py").write_text(TINY_JOB)
    for group, text in (("experiment", TINY_EXPERIMENT), ("model", TINY_MODEL)):
        (tmp_path / "my_conf" / group).mkdir(parents=True)
        (tmp_path / "my_conf" / group / "tiny.yaml").write_text(text)
    return ["--config-dir=my_conf", "experiment=tiny"]
