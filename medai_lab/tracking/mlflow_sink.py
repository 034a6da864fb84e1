"""A copy of the run for MLflow, sent by one background thread so that training never waits for it.

Importing mlflow takes seconds and the first start on a new sqlite file runs all of MLflow's migrations, so both
happen in the thread. The run folder is the record: whatever goes wrong here costs a warning and no more.
"""

import logging
import math
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from medai_lab.tracking import mlflow_calls as calls
from medai_lab.tracking.mlflow_worker import Worker

log = logging.getLogger(__name__)

OPENING_SECONDS = 60.0  # importing mlflow and the first migrations take 8 s alone on a machine, 25 s on a busy one


class MlflowSink:
    """Sends one run to MLflow from a thread of its own; no call raises and only `finish` and `run_id` wait.

    It uses a client of its own: MLflow's process-wide tracking URI, active run and environment stay untouched.
    NaN is sent (MLflow keeps it); infinities are not, because MLflow turns them into 1.8e308 and its plots with them.

    Args:
        uri: tracking URI; a relative `sqlite:///` path is taken from the present working directory.
        artifact_root: folder (or URI) that a new experiment's artifacts go under; None leaves it to the server.
        experiment: name of the experiment, created if it is not there.
        run_name: the name shown for the run.
        tags: further tags of the run.
        run_id: the run to continue; a new one is opened if MLflow does not know it.
        parent_run_id: the run this one is shown under.
        patience: seconds that a server which went away is waited for before the sink gives up.
    """

    def __init__(
        self,
        uri: str,
        artifact_root: str | None,
        experiment: str,
        run_name: str,
        tags: Mapping[str, str],
        run_id: str | None = None,
        parent_run_id: str | None = None,
        patience: float = 1800.0,
    ) -> None:
        database = calls.sqlite_file(uri)
        parent = {"mlflow.parentRunId": parent_run_id} if parent_run_id else {}
        target = calls.Target(
            uri=f"sqlite:///{database}" if database else uri,
            artifact_root=artifact_root,
            experiment=experiment,
            run_name=run_name,
            tags={**tags, **parent, **calls.process_tags()},
            run_id=run_id,
        )
        self._worker = Worker(target, patience)

    def start(self) -> None:
        """Begin to open the run; returns at once.

        Best called before torch is imported: a fork (so a DataLoader's workers) waits until mlflow is imported, about
        5 s after this call.
        """
        self._worker.put("the closing of stale runs", calls.close_stale_runs)
        self._worker.start()

    @property
    def run_id(self) -> str | None:
        """Id of the run, waiting up to a minute for its opening; None where tracking is unavailable."""
        if self._worker.ident is not None:
            self._worker.answered.wait(OPENING_SECONDS)
        return self._worker.opened.id if self._worker.opened else None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Send the settings, nested names joined by dots; not done again for a run that is continued.

        MLflow refuses a param whose value changed, so a resumed run keeps its first ones.
        """
        self._worker.put("the params", partial(calls.send_params, calls.flat(params)))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Send metrics of one step; they are gathered and sent every two seconds."""
        now = int(time.time() * 1000)
        self._worker.put_metrics(
            [(calls.clean(name), float(value), now, step) for name, value in metrics.items() if not math.isinf(value)]
        )

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Send a file, or everything in a directory, into `folder` of the run's artifacts.

        It is read later, by the thread: `path` must stay as it is until `finish`.
        """
        self._worker.put(f"the artifact '{path.name}'", partial(calls.send_artifact, path, folder))

    def log_dataset(self, name: str, digest: str, source: str, context: str, profile: Mapping[str, Any]) -> None:
        """Tell which data the run used.

        Args:
            name: short name of the data set.
            digest: digest of its content; MLflow keeps 36 characters.
            source: where it came from, in words that hold no private path.
            context: what it was used for, e.g. `train`.
            profile: JSON-ready counts, e.g. records and patients.
        """
        self._worker.put("the dataset", partial(calls.send_dataset, name, digest, source, context, dict(profile)))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags of the run, replacing earlier values of the same names."""
        self._worker.put("the tags", partial(calls.send_tags, dict(tags)))

    def finish(self, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED", timeout: float = 60.0) -> None:
        """Send what is left, set the run's final status and stop the thread, within `timeout` seconds.

        A second call, or one before `start`, does nothing.
        """
        if self._worker.ident is None or not self._worker.close(partial(calls.send_status, status)):
            return
        self._worker.join(min(timeout, 1.0))
        if self._worker.is_alive():
            log.info("waiting up to %.0f s for MLflow to take the rest of the run", timeout)
            self._worker.join(max(timeout - 1.0, 0.0))
        if self._worker.is_alive():
            self._worker.tell_unavailable(f"MLflow did not take the rest of the run within {timeout:.0f} s")
