"""Lightning's logger interface over the run folder's history and the copy in MLflow."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only
from typing_extensions import override

from medai_lab.tracking.history import MetricHistory
from medai_lab.tracking.mlflow_sink import MlflowSink


class RunLogger(Logger):
    """Hands what Lightning logs to the run folder and to MLflow, on the first process only.

    Args:
        history: the run folder's metrics; Lightning's `save_dir` is its folder.
        sink: the copy in MLflow, or None without tracking.
    """

    def __init__(self, history: MetricHistory, sink: MlflowSink | None) -> None:
        super().__init__()
        self._history = history
        self._sink = sink
        self._epoch = 0

    @property
    @override
    def name(self) -> str:
        """Empty: the run folder needs no sub-folder of the logger's."""
        return ""

    @property
    @override
    def version(self) -> str:
        """Empty, as `name`."""
        return ""

    @property
    @override
    def save_dir(self) -> str:
        """The run folder."""
        return str(self._history.path.parent)

    @override
    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Keep metrics; `metrics["epoch"]`, which Lightning adds, says the epoch (from 0).

        Where a module logs a `step` of its own Lightning adds no epoch, and the last one said is taken.
        """
        self._epoch = int(metrics.get("epoch", self._epoch))
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        self._history.append(values, self._epoch, step or 0)
        if self._sink is not None:
            self._sink.log_metrics({**values, "epoch": self._epoch}, step or 0)

    @override
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the job logs the resolved config, which says more than a module's arguments."""

    @override
    def finalize(self, status: str) -> None:
        """Do nothing: the job closes the sink, after predictions and figures, which come after the fit."""
