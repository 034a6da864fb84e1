"""Run folders as far as the command line needs them: what `run=` and `resume=` may name."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

MLFLOW_ID = re.compile(r"[0-9a-f]{32}")
REGISTERED = re.compile(r"models:/[^/@]+(@[^/@]+|/\d+)")


def is_run(folder: Path) -> bool:
    """Tell whether a folder is that of a training run."""
    return (folder / "config.yaml").is_file()


def is_known_elsewhere(name: str) -> bool:
    """Tell whether a name has the form of an MLflow run id or of a registered model, which a job looks up."""
    return bool(MLFLOW_ID.fullmatch(name) or REGISTERED.fullmatch(name))


def config_of(folder: Path) -> dict[str, Any]:
    """Return a run's resolved configuration; an empty one where it cannot be read."""
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return config if isinstance(config, dict) else {}


def task_of(folder: Path) -> str | None:
    """Return the name of a run's task; None where its configuration does not say."""
    task = config_of(folder).get("task")
    name = task.get("name") if isinstance(task, dict) else None
    return name if isinstance(name, str) else None


def last_finished(outputs: Path, task: str | None = None) -> Path | None:
    """Return the run below `outputs` that finished last; None where none has.

    Args:
        outputs: the folder that holds one folder a task.
        task: look at this task's runs only.
    """
    found = [
        (updated, file.parent) for file in outputs.glob(f"{task or '*'}/**/status.json") if (updated := _end(file))
    ]
    return max(found)[1] if found else None


def _end(status_file: Path) -> str | None:
    """When a run finished, as text that sorts by time; None where it did not, or is no training run."""
    try:
        status = json.loads(status_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(status, dict) or status.get("state") != "finished" or not is_run(status_file.parent):
        return None
    return str(status.get("updated", " "))
