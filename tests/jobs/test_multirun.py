"""Sweeps: a process a job, its own settings, a ranking at the end."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medai_lab.app import main
from medai_lab.jobs.multirun import SweepJob, ranked, run_in_process
from medai_lab.jobs.result import JobResult


def test_every_job_sees_its_own_settings_and_the_best_comes_first(tiny, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("WORLD_SIZE", "7")  # left over from some launcher
    monkeypatch.setenv("MASTER_PORT", "1")
    code = main(["-m", *tiny, "optim.lr=0.02,0.01", "seed=1,13", "name='a, b'", "hydra.sweep.dir=swept"])
    assert code == 1  # one of the settings fails
    jobs = [json.loads((tmp_path / "swept" / n / "seen.json").read_text()) for n in "0123"]
    settings = [(j["config"]["optim"]["lr"], j["config"]["seed"], j["config"]["name"]) for j in jobs]
    assert settings == [(0.02, 1, "a, b"), (0.02, 13, "a, b"), (0.01, 1, "a, b"), (0.01, 13, "a, b")]
    assert len({j["pid"] for j in jobs} | {os.getpid()}) == 5
    assert {j["world"] for j in jobs} == {None}
    rows = list(csv.DictReader((tmp_path / "swept" / "sweep.csv").open()))
    assert [(r["rank"], r["job"], r["status"]) for r in rows] == [
        ("1", "0", "finished"), ("2", "2", "finished"),
        ("3", "1", "failed (exit code 1)"), ("4", "3", "failed (exit code 1)"),
    ]  # fmt: skip
    assert (rows[0]["optim.lr"], rows[0]["objective"], rows[0]["low"], rows[0]["high"]) == (
        "0.02",
        "0.02",
        "0.001",
        "0.5",
    )
    assert rows[0]["folder"] == str(tmp_path / "swept" / "0")
    told = capfd.readouterr()
    assert "said by 1\n" in told.out  # what jobs say is seen as they say it
    assert "0.02 (0.001 to 0.5)" in told.out
    assert f"Job 1 failed (exit code 1); its log is {tmp_path}/swept/1/run.log. The sweep goes on." in told.err
    assert "bad luck" in (tmp_path / "swept" / "1" / "run.log").read_text()


def test_a_good_sweep_ends_with_zero_and_is_a_parent_in_mlflow(tiny, tmp_path):
    argv = ["-m", *tiny, "tracking=mlflow", "optim.lr=0.02,0.01", "hydra.sweep.dir=swept"]
    assert main(argv) == 0
    jobs = [json.loads((tmp_path / "swept" / n / "seen.json").read_text()) for n in "01"]
    parents = {job["config"]["tracking"]["parent"] for job in jobs}
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    run = client.get_run(parents.pop())
    assert parents == set()
    assert (run.info.status, run.data.metrics["best_val_auroc"]) == ("FINISHED", 0.02)
    assert [a.path for a in client.list_artifacts(run.info.run_id)] == ["sweep.csv"]


def test_a_mistake_in_one_value_stops_the_sweep_before_it_starts(tiny, tmp_path, capsys):
    assert main(["-m", *tiny, "optim.lr=0.02,zero", "hydra.sweep.dir=swept"]) == 2
    assert "optim.lr=zero" in capsys.readouterr().err
    assert not (tmp_path / "swept").exists()


def job(number: int, objective: float | None, higher: bool = True, code: int = 0) -> SweepJob:
    result = JobResult(objective, "val_mae", higher, {}) if code == 0 else None
    return SweepJob(number, ("seed=1",), Path(str(number)), code, 1.0, result)


def test_jobs_are_ranked_in_the_direction_of_their_objective():
    assert [j.number for j in ranked([job(0, 0.1), job(1, 0.9), job(2, None), job(3, 0.5, code=1)])] == [1, 0, 2, 3]
    assert [j.number for j in ranked([job(0, 5.0, False), job(1, 2.0, False), job(2, None, code=-9)])] == [1, 0, 2]
    assert job(0, None, code=-9).status == "failed (ended by SIGKILL)"


def test_the_interval_of_the_objective_is_found_where_there_is_one():
    metrics = {
        "val": {
            "metrics": {
                "auroc": {"value": 0.8, "low": 0.7, "high": 0.9},
                "mae": {"value": 1, "low": None, "high": None},
            }
        }
    }
    assert JobResult(0.8, "val_auroc", True, metrics).interval() == (0.7, 0.9)
    assert JobResult(1.0, "val_mae", False, metrics).interval() is None
    assert JobResult(None).interval() is None
    assert JobResult.from_plain(JobResult(0.8, "val_auroc", True, metrics).to_plain()).metrics == metrics


def test_what_a_job_leaves_behind_is_ended_with_it(tmp_path):
    child = "import subprocess, sys; print(subprocess.Popen(['sleep', '100']).pid, file=open(sys.argv[1], 'w'))"
    assert run_in_process([sys.executable, "-c", child, str(tmp_path / "pid")]) == 0
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 130)])
def test_ending_the_sweep_ends_its_job_with_all_its_processes(tmp_path, sent, code):
    child = (
        "import subprocess, sys, time\np = subprocess.Popen(['sleep', '100'])\n"
        "open(sys.argv[1], 'w').write(str(p.pid))\ntime.sleep(100)\n"
    )
    parent = (
        "import sys\nfrom medai_lab.jobs.multirun import run_in_process\n"
        "try:\n    run_in_process([sys.executable, '-c', *sys.argv[1:]])\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent, child, str(tmp_path / "pid")])
    deadline = time.monotonic() + 30
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(sent)
    assert process.wait(30) == code
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Tell whether a process has ended, giving the system a moment; a zombie counts as ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
