"""Running the program as a user does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]

# A run of seconds: 24 patients, small volumes, the smallest network, one thread's worth of work.
TINY = [
    "task=mri_cls",
    "data.reader.n_patients=36",
    "data.split.fractions=[0.4,0.25,0.35]",
    "data.size=16",
    "data.augment.affine=0",
    "model=small_cnn_3d",
    "model.net.width=4",
    "trainer.gpus=0",
    "trainer.threads=1",
    "trainer.precision=32-true",
    "trainer.channels_last=false",
    "trainer.max_epochs=2",
    "job.replicates=50",
]


class Finished(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def outputs(tmp_path_factory) -> Path:
    """One outputs folder for all runs of the session, so that the synthetic data are written once."""
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="session")
def start(outputs):
    """A function that starts the program in a process of its own."""

    def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "medai_lab", *arguments]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", **environment}
        env.pop("MLFLOW_TRACKING_URI", None)
        return subprocess.Popen(command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return run


@pytest.fixture(scope="session")
def call(start):
    """A function that runs the program to its end."""

    def run(*arguments: str, **options) -> Finished:
        process = start(*arguments, **options)
        out, err = process.communicate(timeout=500)
        return Finished(process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def train(call, outputs):
    """A function that trains a tiny run with further overrides and returns its folder."""

    def run(name: str, *overrides: str, **options) -> Path:
        folder = outputs / "mri_cls" / name
        finished = call(*TINY, f"paths.outputs={outputs}", f"hydra.run.dir={folder}", *overrides, **options)
        assert finished.code == 0, finished.err[-3000:]
        return folder

    return run


@pytest.fixture(scope="session")
def trained(train) -> Path:
    """A finished tiny run."""
    return train("trained")
