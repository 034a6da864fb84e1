"""Which run folder a later job means by `run=`."""

from pathlib import Path

from medai_lab.config.runs import last_finished
from medai_lab.config.schema import Config
from medai_lab.errors import UserError
from medai_lab.tracking.run_folder import RunFolder


def find_run(config: Config) -> RunFolder:
    """Return the run folder that `run=` names: a folder, `last`, or an MLflow run id.

    Raises:
        UserError: there is none.
    """
    if config.run is None:
        raise UserError("run= is missing: give a run folder, an MLflow run id, or last.")
    if config.run == "last":
        newest = last_finished(Path(config.paths.outputs), config.task.name)
        if newest is None:
            raise UserError(f"run=last: there is no finished {config.task.name} run under {config.paths.outputs}.")
        return RunFolder.open(newest)
    if Path(config.run).exists():
        return RunFolder.open(Path(config.run))
    for status in Path(config.paths.outputs).glob("*/**/status.json"):
        if RunFolder(status.parent).status().get("mlflow_run_id") == config.run:
            return RunFolder.open(status.parent)
    raise UserError(f"run={config.run}: neither a run folder nor the MLflow id of a run under {config.paths.outputs}.")
