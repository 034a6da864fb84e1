"""A run's status and its copy in MLflow, opened at the start and closed however the run ends."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from hydra.core.hydra_config import HydraConfig

from medai_lab.config.schema import Config
from medai_lab.files import write_json
from medai_lab.learning.callbacks.termination import Terminated
from medai_lab.learning.datamodule import MedDataModule
from medai_lab.learning.distributed import local_rank
from medai_lab.tracking.history import MetricHistory
from medai_lab.tracking.logger import RunLogger
from medai_lab.tracking.mlflow_sink import MlflowSink
from medai_lab.tracking.provenance import collect, mlflow_tags
from medai_lab.tracking.run_folder import RunFolder

log = logging.getLogger(__name__)

_MLFLOW_STATUS: dict[str, Literal["FINISHED", "FAILED", "KILLED"]] = {
    "finished": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}


@dataclass
class Tracking:
    """What a job tells about itself; a process other than the first of a run tells nothing."""

    run: RunFolder
    logger: RunLogger
    sink: MlflowSink | None
    begun: bool = False

    def begin(self) -> None:
        """Let MLflow's thread start; called once training goes, so that its imports do not delay the first step."""
        if self.sink is not None and not self.begun:
            self.begun = True
            self.sink.start()

    def describe_data(self, data: MedDataModule) -> None:
        """Name the data set and its digest, in the run folder and in MLflow."""
        if local_rank() != 0:
            return
        cohort = data.cohort
        digests = {
            "cohort": cohort.digest(),
            "content": cohort.with_table(
                cohort.table[
                    [
                        "record_id",
                        "patient_id",
                        "content",
                        *cohort.input_columns,
                        *(cohort.target.columns if cohort.target else ()),
                    ]
                ]
            ).digest(),
        }
        provenance = self.run.provenance()
        write_json(self.run.path / "provenance.json", {**provenance, "data": {"name": cohort.name, "digests": digests}})
        if self.sink is not None:
            profile = {"records": len(cohort), "patients": int(cohort.table["patient_id"].nunique())}
            self.sink.log_dataset(cohort.name, digests["cohort"][:36], cohort.name, "training", profile)

    def describe_results(self, results: dict[str, Any], data: MedDataModule) -> None:
        """Send the final numbers."""
        if self.sink is not None:
            for split, result in results.items():
                values = {
                    f"{split}_{name}": i["value"] for name, i in result["metrics"].items() if i["value"] is not None
                }
                self.sink.log_metrics({f"final/{name}": value for name, value in values.items()}, step=0)

    def remember(self) -> None:
        """Keep the MLflow id of the run, so that a resumed run goes on under it; known by the first epoch's end."""
        if self.sink is not None and "mlflow_run_id" not in self.run.status() and self.sink.run_id is not None:
            self.run.set_status("running", mlflow_run_id=self.sink.run_id)


@contextmanager
def tracked(config: Config, run: RunFolder, resumed: bool) -> Iterator[Tracking]:
    """Open tracking; close the run as finished, failed or killed, whatever happens inside.

    Raises:
        SystemExit: with 143 after SIGTERM and 130 after an interrupt, once everything is closed.
    """
    history = MetricHistory(run.history)
    if local_rank() != 0:
        yield Tracking(run, RunLogger(history, None), None)
        return
    signal.signal(signal.SIGTERM, _terminate)
    sink = _open_sink(config, run, resumed)
    run.set_status("running")
    state, code = "failed", None
    tracking = Tracking(run, RunLogger(history, sink), sink)
    try:
        yield tracking
        state = "finished"
    except Terminated:
        state, code = "killed", 128 + signal.SIGTERM
    except (KeyboardInterrupt, SystemExit):
        state, code = "killed", 128 + signal.SIGINT
    finally:
        tracking.begin()
        _close(run, sink, state)
    if code is not None:
        log.warning("The run was stopped. To go on: python -m medai_lab resume=%s", run.path)
        raise SystemExit(code)


def _open_sink(config: Config, run: RunFolder, resumed: bool) -> MlflowSink | None:
    provenance = collect(list(HydraConfig.get().overrides.task), config.seed)
    kept = run.status().get("mlflow_run_id") if resumed else None
    if not resumed:
        write_json(run.path / "provenance.json", provenance)
    if config.tracking.uri is None:
        return None
    tags = {**mlflow_tags(provenance), "medai.run_folder": run.path.name}
    sink = MlflowSink(
        config.tracking.uri,
        config.tracking.artifacts if config.tracking.uri.startswith("sqlite") else None,
        config.tracking.experiment,
        config.name or run.path.name,
        tags,
        run_id=kept,
        parent_run_id=config.tracking.parent,
    )
    sink.log_params(config.to_plain())
    return sink


def _close(run: RunFolder, sink: MlflowSink | None, state: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second request must not leave the run open
    run.set_status(state)
    if sink is None:
        return
    for path in run.shareable_files():
        place = path.parent.relative_to(run.path)
        sink.log_artifact(path, str(place) if place.parts else None)
    sink.finish(_MLFLOW_STATUS[state])


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
