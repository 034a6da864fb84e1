"""What is said to MLflow: opening a run, its params, metrics, artifacts, data sets and end.

Every function here runs in the thread of `MlflowSink` and may raise whatever MLflow raises.
"""

import json
import logging
import os
import posixpath
import re
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

ITEMS_PER_CALL = 100  # MLflow's limit for params and tags in one call
PARAM_LENGTH, TAG_LENGTH, NAME_LENGTH, DIGEST_LENGTH = 6000, 8000, 250, 36  # MLflow's limits, in characters
REASON_LENGTH = 300
STALE_RUNS = 200
LOCK_SECONDS = 120  # another process may be running the migrations on a slow disk

T = TypeVar("T")

MetricRow = tuple[str, float, int, int]
"""Name, value, milliseconds since 1970, step."""


@dataclass(frozen=True)
class Target:
    """Where and how a run is opened; see `MlflowSink` for the fields."""

    uri: str
    artifact_root: str | None
    experiment: str
    run_name: str
    tags: dict[str, str]
    run_id: str | None


@dataclass(frozen=True)
class Run:
    """An open run; `continued` says that it existed before."""

    client: "MlflowClient"
    id: str
    experiment_id: str
    continued: bool


Call = Callable[[Run], None]


def open_run(target: Target) -> Run:
    """Open a new run, or continue `target.run_id` if MLflow knows it."""
    from mlflow import MlflowClient

    with _database_lock(target.uri):
        client = MlflowClient(tracking_uri=target.uri)
        experiment_id = _experiment_id(client, target)
    if target.run_id and (known := _experiment_of(client, target.run_id)):
        run = Run(client, target.run_id, known, continued=True)
        send_tags(target.tags, run)  # before the status: a RUNNING run with a dead process would be closed as stale
        client.update_run(run.id, status="RUNNING")
        return run
    created = client.create_run(experiment_id, run_name=target.run_name, tags=_tag_texts(target.tags))
    return Run(client, created.info.run_id, experiment_id, continued=False)


def close_stale_runs(run: Run) -> None:
    """Set runs of this experiment to KILLED whose process on this machine has ended without saying so."""
    stale = run.client.search_runs(
        [run.experiment_id],
        f"attributes.status = 'RUNNING' and tags.`medai.host` = '{socket.gethostname()}'",
        max_results=STALE_RUNS,
        order_by=["attributes.start_time DESC"],
    )
    for other in stale:
        pid, started = other.data.tags.get("medai.pid", ""), other.data.tags.get("medai.pid_started", "")
        if other.info.run_id != run.id and pid.isdecimal() and not _alive(int(pid), started):
            run.client.set_terminated(other.info.run_id, "KILLED")
            log.info("closed MLflow run %s, whose process is gone", other.info.run_id)


def send_params(params: Mapping[str, str], run: Run) -> None:
    """Log params, unless the run was continued: MLflow refuses a param whose value changed."""
    from mlflow.entities import Param

    for chunk in () if run.continued else chunks(list(params.items()), ITEMS_PER_CALL):
        run.client.log_batch(run.id, params=[Param(name, value) for name, value in chunk])


def send_metrics(rows: Sequence[MetricRow], run: Run) -> None:
    """Log metrics; the same row sent twice is kept once."""
    from mlflow.entities import Metric

    run.client.log_batch(run.id, metrics=[Metric(*row) for row in rows])


def send_artifact(path: Path, folder: str | None, run: Run) -> None:
    """Log a file, or everything in a directory."""
    if path.is_dir():
        run.client.log_artifacts(run.id, str(path), folder)
    else:
        run.client.log_artifact(run.id, str(path), folder)


def send_dataset(name: str, digest: str, source: str, context: str, profile: Mapping[str, Any], run: Run) -> None:
    """Log a data set as an input of the run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name,
        digest=digest[:DIGEST_LENGTH],
        source_type="medai_lab",
        source=json.dumps({"uri": source}),
        profile=json.dumps(profile),
    )
    run.client.log_inputs(run.id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def send_tags(tags: Mapping[str, str], run: Run) -> None:
    """Set tags of the run."""
    from mlflow.entities import RunTag

    for chunk in chunks(list(_tag_texts(tags).items()), ITEMS_PER_CALL):
        run.client.log_batch(run.id, tags=[RunTag(name, value) for name, value in chunk])


def send_status(status: str, run: Run) -> None:
    """Set the final status and the end time."""
    run.client.set_terminated(run.id, status)


def process_tags() -> dict[str, str]:
    """Tags by which a later run can tell whether this process is still alive."""
    return {
        "medai.host": socket.gethostname(),
        "medai.pid": str(os.getpid()),
        "medai.pid_started": _process_start(os.getpid()),
    }


def flat(params: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one level of texts: `{"a": {"b": 1}}` becomes `{"a.b": "1"}`, cut at MLflow's lengths."""
    result: dict[str, str] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value:
            result.update(flat(value, f"{prefix}{name}."))
        else:
            result[clean(f"{prefix}{name}")] = str(value)[:PARAM_LENGTH]
    return result


def clean(name: str) -> str:
    """A name that MLflow accepts: letters, digits and `_-. :/`, no other spelling of a path, at most 250 characters."""
    name = re.sub(r"[^\w.\- :/]", "_", name)[:NAME_LENGTH]
    if posixpath.normpath(name) == name and not name.startswith(("..", "/")) and name != ".":
        return name
    return name.replace("/", "_").strip(".") or "_"


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def sqlite_file(uri: str) -> Path | None:
    """The absolute path of the file behind a `sqlite:///` URI; None for any other URI."""
    path = uri.removeprefix("sqlite:///")
    return None if path in (uri, "", ":memory:") else Path(path).absolute()


def reason_of(error: Exception) -> str:
    """The first line of an error's message, without credentials that a URL may hold; its two ends if it is long."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    line = re.sub(r"://[^/@\s]+@", "://", line)
    return line if len(line) <= REASON_LENGTH else f"{line[: REASON_LENGTH // 2]} ... {line[-REASON_LENGTH // 2 :]}"


def _tag_texts(tags: Mapping[str, str]) -> dict[str, str]:
    return {clean(name): str(value)[:TAG_LENGTH] for name, value in tags.items()}


def _database_lock(uri: str) -> AbstractContextManager[Any]:
    """A lock beside an sqlite file: two processes that create it at once crash in MLflow's migrations."""
    database = sqlite_file(uri)
    if database is None:
        return nullcontext()
    database.parent.mkdir(parents=True, exist_ok=True)
    lock: AbstractContextManager[Any] = FileLock(f"{database}.lock", timeout=LOCK_SECONDS)
    return lock


def _experiment_id(client: "MlflowClient", target: Target) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(target.experiment)
    if found is None:
        try:
            return str(client.create_experiment(target.experiment, _artifact_location(target)))
        except MlflowException:
            found = client.get_experiment_by_name(target.experiment)
            if found is None:
                raise  # no other process was quicker, so MLflow refused it
    if found.lifecycle_stage == "deleted":
        raise RuntimeError(f"the experiment '{target.experiment}' was deleted in MLflow; restore it or rename yours")
    return str(found.experiment_id)


def _artifact_location(target: Target) -> str | None:
    if target.artifact_root is None:
        return None
    folder = re.sub(r"[^\w.\-]", "_", target.experiment)
    if "://" in target.artifact_root:
        return f"{target.artifact_root.rstrip('/')}/{folder}"
    return (Path(target.artifact_root).absolute() / folder).as_uri()


def _experiment_of(client: "MlflowClient", run_id: str) -> str | None:
    """The experiment of a run that can be continued; None if MLflow does not have it any more."""
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return str(info.experiment_id) if info.lifecycle_stage == "active" else None


def _process_start(pid: int) -> str:
    """Start of a process in clock ticks since boot (proc(5), field 22 of stat), empty where that cannot be read.

    With it a process is told from a later one that was given the same id. `ended` stands for a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in "ZX" else fields[19]


def _alive(pid: int, started: str) -> bool:
    if os.name != "posix":  # os.kill(pid, 0) sends Ctrl+C on Windows
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    now = _process_start(pid)
    return now != "ended" and (now == started or "" in (now, started))
