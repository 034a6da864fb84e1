"""A sweep: Hydra enumerates the jobs, each runs in a process of its own.

A job that Lightning spreads over devices starts itself again for each of them. Within one process for all jobs
those copies would start the sweep again; a process for each job also gives memory back and contains crashes.
"""

import csv
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medai_lab.config.arguments import quoted
from medai_lab.jobs.result import JobResult
from medai_lab.logs import start_logging

if TYPE_CHECKING:
    from medai_lab.tracking.mlflow_sink import MlflowSink

log = logging.getLogger(__name__)

# Left by a launcher of processes, they would make a job believe that it is one process of another run.
NOT_INHERITED = ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MLFLOW_RUN_ID")
NOT_INHERITED_PREFIXES = ("MASTER_", "PL_")
SECONDS_TO_END = 60.0  # for a job that is asked to stop, to write its last checkpoint


@dataclass(frozen=True)
class SweepJob:
    """One job of a sweep and how it ended.

    Attributes:
        number: its place in the sweep, from 0.
        overrides: its own, as on the command line.
        folder: its run folder.
        exit_code: of its process; negative where a signal ended it.
        seconds: it took.
        result: what it wrote; None where it wrote nothing that can be read.
    """

    number: int
    overrides: tuple[str, ...]
    folder: Path
    exit_code: int
    seconds: float
    result: JobResult | None

    @property
    def status(self) -> str:
        """`finished`, or how it failed."""
        return "finished" if self.exit_code == 0 else f"failed ({_ending(self.exit_code)})"


class Sweep:
    """Runs the jobs one after another and ranks them at the end.

    Args:
        search_flags: Hydra's flags that say where configurations are; every job gets them.
    """

    def __init__(self, search_flags: Sequence[str]) -> None:
        self.jobs: list[SweepJob] = []
        self._flags = list(search_flags)
        self._folder: Path | None = None
        self._sink: MlflowSink | None = None

    def run_job(self, composed: DictConfig) -> float:
        """Run one job in a process of its own; this is the task function that Hydra's sweeper calls.

        Returns:
            The objective, NaN where there is none, which is what sweepers that search want to hear.
        """
        given = HydraConfig.get()
        folder = Path(given.runtime.output_dir)
        if self._folder is None:
            self._start(Path(str(given.sweep.dir)).absolute(), composed)
        overrides = tuple(given.overrides.task)
        search = [line for line in given.overrides.hydra if line.startswith("hydra.searchpath=")]
        parent = self._sink.run_id if self._sink is not None else None
        command = [sys.executable, "-m", "medai_lab", *self._flags, *overrides, *search]
        command += [f"hydra.run.dir={quoted(str(folder))}", *([f"tracking.parent={quoted(parent)}"] if parent else [])]
        log.info("Job %d: %s", len(self.jobs), " ".join(overrides))
        began = time.monotonic()
        code = run_in_process(command)
        result = _read_result(folder) if code == 0 else None
        job = SweepJob(len(self.jobs), overrides, folder, code, time.monotonic() - began, result)
        self.jobs.append(job)
        if code != 0:
            log.error(
                "Job %d failed (%s); its log is %s. The sweep goes on.", job.number, _ending(code), folder / "run.log"
            )
        objective = result.objective if result is not None else None
        return objective if objective is not None else float("nan")

    def finish(self) -> int:
        """Print the ranking, write it as `sweep.csv`, close the sweep in MLflow; return 0 if every job succeeded."""
        if self._folder is None or not self.jobs:
            return 1
        write_ranking(self._folder / "sweep.csv", ranked(self.jobs))
        print_ranking(ranked(self.jobs), self._folder)
        good = all(job.exit_code == 0 for job in self.jobs)
        if self._sink is not None:
            best = ranked(self.jobs)[0].result
            if best is not None and best.objective is not None:
                self._sink.log_metrics({f"best_{best.objective_name}": best.objective}, step=0)
            self._sink.log_artifact(self._folder / "sweep.csv")
            self._sink.finish("FINISHED" if good else "FAILED")
        return 0 if good else 1

    def _start(self, folder: Path, composed: DictConfig) -> None:
        self._folder = folder
        start_logging(folder, "sweep")
        tracking = OmegaConf.to_container(composed.tracking, resolve=True)
        assert isinstance(tracking, dict)
        if tracking["uri"] is None:
            return
        from medai_lab.tracking.mlflow_sink import MlflowSink

        name = composed.name or folder.name
        tags = {"medai.sweep_folder": folder.name}
        self._sink = MlflowSink(tracking["uri"], tracking["artifacts"], tracking["experiment"], name, tags)
        self._sink.start()


def run_in_process(command: Sequence[str]) -> int:
    """Run a command in a session of its own and return its exit code.

    Whatever ends this process (Ctrl-C, SIGTERM) ends the command first, with every process that it started; what
    it leaves behind when it ends by itself is ended too.
    """
    process = subprocess.Popen(list(command), env=_environment(), start_new_session=True)
    with _ended_with_us(process):
        code = process.wait()
    _signal_group(process, signal.SIGKILL)
    return code


def ranked(jobs: Sequence[SweepJob]) -> list[SweepJob]:
    """Return the jobs, the best first; those without an objective follow, those that failed come last."""

    def order(job: SweepJob) -> tuple[int, float, int]:
        objective = job.result.objective if job.result is not None else None
        if job.result is None or objective is None:
            return (1 if job.exit_code == 0 else 2, 0.0, job.number)
        return (0, -objective if job.result.higher_is_better else objective, job.number)

    return sorted(jobs, key=order)


def write_ranking(path: Path, jobs: Sequence[SweepJob]) -> None:
    """Write one line a job, with a column for every override."""
    from medai_lab.files import replacing

    keys = list(dict.fromkeys(key for job in jobs for key in _settings(job)))
    head = ["rank", "job", *keys, "objective_name", "objective", "low", "high", "seconds", "status", "folder"]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for rank, job in enumerate(jobs, start=1):
            settings, result = _settings(job), job.result or JobResult(None)
            low, high = result.interval() or (None, None)
            values = [result.objective_name, result.objective, low, high, round(job.seconds, 1), job.status, job.folder]
            writer.writerow([rank, job.number, *(settings.get(k, "") for k in keys), *values])


def print_ranking(jobs: Sequence[SweepJob], folder: Path) -> None:
    """Print the ranking as a table, with those settings that differ between the jobs."""
    from rich.console import Console
    from rich.table import Table

    all_settings = [_settings(job) for job in jobs]
    keys = list(dict.fromkeys(key for settings in all_settings for key in settings))
    differing = [k for k in keys if len(jobs) == 1 or len({s.get(k) for s in all_settings}) > 1]
    name = next((job.result.objective_name for job in jobs if job.result and job.result.objective_name), "objective")
    table = Table(title=f"Sweep {folder}", title_justify="left")
    for column in ("rank", *differing, name, "seconds", "status", "folder"):
        table.add_column(column, overflow="fold")
    for rank, job in enumerate(jobs, start=1):
        settings = _settings(job)
        values = (_objective(job.result), f"{job.seconds:.0f}", job.status, job.folder.name)
        table.add_row(str(rank), *(settings.get(k, "") for k in differing), *values)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _objective(result: JobResult | None) -> str:
    if result is None or result.objective is None:
        return ""
    interval = result.interval()
    return f"{result.objective:.4g}" + (f" ({interval[0]:.4g} to {interval[1]:.4g})" if interval else "")


def _settings(job: SweepJob) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in job.overrides)}


def _read_result(folder: Path) -> JobResult | None:
    try:
        plain: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return JobResult.from_plain(plain, folder)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in NOT_INHERITED and not name.startswith(NOT_INHERITED_PREFIXES)
    }


@contextmanager
def _ended_with_us(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except BaseException:
        _end(process)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the whole group to stop, and stop it for good after a while or at a second Ctrl-C."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        log.warning("The job did not stop within %.0f seconds and is ended.", SECONDS_TO_END)
    finally:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # nothing is left of it


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"ended by {signal.Signals(-code).name}"
