"""The copy in MLflow: complete when MLflow is well, and never in the way when it is not."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medai_lab.tracking import mlflow_calls
from medai_lab.tracking.mlflow_sink import MlflowSink


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated MLflow database without runs; making it takes seconds, copying it none."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def uri(empty_database: Path, tmp_path: Path) -> str:
    (tmp_path / "mlflow.db").write_bytes(empty_database.read_bytes())
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def make_sink(uri: str, tmp_path: Path) -> Callable[..., MlflowSink]:
    """A function that starts a sink on this test's database."""

    def make(**more: Any) -> MlflowSink:
        arguments = {"uri": uri, "artifact_root": str(tmp_path / "artifacts"), "experiment": "mri", "run_name": "r1"}
        sink = MlflowSink(**{**arguments, "tags": {}, **more})
        sink.start()
        return sink

    return make


def stored(uri: str, run_id: str | None) -> Any:
    from mlflow import MlflowClient

    assert run_id is not None
    return MlflowClient(tracking_uri=uri).get_run(run_id)


def points(uri: str, run_id: str | None, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    assert run_id is not None
    return sorted((m.step, m.value) for m in MlflowClient(tracking_uri=uri).get_metric_history(run_id, name))


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("medai_lab") and r.levelno >= logging.WARNING]


# --- what arrives -------------------------------------------------------------------------------------------------


def test_params_metrics_tags_and_status_arrive(make_sink, uri, caplog) -> None:
    sink = make_sink(tags={"mlflow.source.git.commit": "abc", "task": "mri_cls"})
    sink.log_params({"optim": {"lr": 1e-3, "betas": [0.9, 0.99], "extra": {}}, "seed": None, "long": "x" * 7000})
    sink.log_params({f"p{i}": i for i in range(230)})
    for step in range(1200):
        sink.log_metrics({"train_loss": step / 7, "val/auroc": 0.5}, step)
    sink.set_tags({"best epoch": "3", "long": "y" * 9000})
    sink.finish("FINISHED")
    run = stored(uri, sink.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "r1")
    assert run.info.end_time is not None
    params = run.data.params
    assert (params["optim.lr"], params["optim.betas"], params["optim.extra"]) == ("0.001", "[0.9, 0.99]", "{}")
    assert (params["seed"], params["long"], params["p229"], len(params)) == ("None", "x" * 6000, "229", 235)
    assert points(uri, sink.run_id, "train_loss") == [(step, step / 7) for step in range(1200)]
    assert run.data.metrics["val/auroc"] == 0.5
    tags = run.data.tags
    assert (tags["task"], tags["mlflow.source.git.commit"], tags["best epoch"]) == ("mri_cls", "abc", "3")
    assert tags["long"] == "y" * 8000
    assert warnings_of(caplog) == []


def test_nan_is_kept_and_infinities_are_left_out(make_sink, uri) -> None:
    sink = make_sink()
    sink.log_metrics({"a": float("nan"), "b": float("inf"), "c": float("-inf"), "d": 1.0}, 0)
    sink.finish()
    metrics = stored(uri, sink.run_id).data.metrics
    assert set(metrics) == {"a", "d"}
    assert metrics["a"] != metrics["a"]


def test_artifacts_arrive_in_the_experiments_own_folder(make_sink, uri, tmp_path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "roc.svg").write_text("<svg/>")
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    sink = make_sink(experiment="mri / trial")
    sink.log_artifact(tmp_path / "config.yaml")
    sink.log_artifact(tmp_path / "config.yaml", "run")
    sink.log_artifact(tmp_path / "figures", "figures")
    sink.finish()
    root = tmp_path / "artifacts" / "mri___trial" / str(sink.run_id) / "artifacts"
    found = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert found == {"config.yaml", "run/config.yaml", "figures/roc.svg"}
    assert stored(uri, sink.run_id).info.artifact_uri == root.as_uri()


def test_a_dataset_is_an_input_of_the_run_also_when_told_again(make_sink, uri, caplog) -> None:
    sink = make_sink()
    sink.log_dataset("oasis", "d" * 64, "bids", "train", {"records": 12, "patients": 10})
    sink.finish()
    again = make_sink(run_id=sink.run_id)
    again.log_dataset("oasis", "d" * 64, "bids", "train", {"records": 12, "patients": 10})
    again.finish()
    (given_input,) = stored(uri, sink.run_id).inputs.dataset_inputs
    assert (given_input.dataset.name, given_input.dataset.digest) == ("oasis", "d" * 36)
    assert json.loads(given_input.dataset.profile) == {"records": 12, "patients": 10}
    assert [(t.key, t.value) for t in given_input.tags] == [("mlflow.data.context", "train")]
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_a_run_ends_as_told_and_only_once(make_sink, uri, status) -> None:
    sink = make_sink()
    sink.finish(status)
    sink.finish("FINISHED")
    sink.log_metrics({"late": 1.0}, 0)
    run = stored(uri, sink.run_id)
    assert run.info.status == status
    assert run.data.metrics == {}


def test_a_sink_never_started_does_nothing(uri) -> None:
    sink = MlflowSink(uri, None, "mri", "r", {})
    sink.log_metrics({"a": 1.0}, 0)
    sink.finish()
    assert sink.run_id is None


def test_a_child_names_its_parent(make_sink, uri) -> None:
    parent = make_sink()
    child = make_sink(run_name="fold 1", parent_run_id=parent.run_id)
    child.finish()
    parent.finish()
    assert stored(uri, child.run_id).data.tags["mlflow.parentRunId"] == parent.run_id
    assert stored(uri, child.run_id).info.experiment_id == stored(uri, parent.run_id).info.experiment_id


def test_a_continued_run_keeps_its_params_and_gains_metrics(make_sink, uri, caplog) -> None:
    first = make_sink()
    first.log_params({"lr": 1})
    first.log_metrics({"a": 1.0}, 0)
    first.finish("KILLED")
    second = make_sink(run_id=first.run_id)
    assert second.run_id == first.run_id
    assert stored(uri, first.run_id).info.status == "RUNNING"
    second.log_params({"lr": 2, "new": 3})
    second.log_metrics({"a": 2.0}, 1)
    second.finish()
    run = stored(uri, first.run_id)
    assert (run.info.status, run.data.params) == ("FINISHED", {"lr": "1"})
    assert points(uri, first.run_id, "a") == [(0, 1.0), (1, 2.0)]
    assert warnings_of(caplog) == []


def test_a_run_that_mlflow_does_not_know_is_opened_anew(make_sink, uri) -> None:
    sink = make_sink(run_id="0123456789abcdef0123456789abcdef")
    sink.log_params({"lr": 1})
    sink.finish()
    assert sink.run_id not in (None, "0123456789abcdef0123456789abcdef")
    assert stored(uri, sink.run_id).data.params == {"lr": "1"}


def test_a_relative_database_is_where_the_sink_was_made(empty_database, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = MlflowSink("sqlite:///outputs/mlflow.db", "outputs/mlartifacts", "mri", "r", {})
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "mlflow.db").write_bytes(empty_database.read_bytes())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    sink.start()
    sink.finish()
    assert stored(f"sqlite:///{tmp_path}/outputs/mlflow.db", sink.run_id).info.status == "FINISHED"
    assert not list((tmp_path / "elsewhere").iterdir())


def test_mlflows_own_state_is_left_alone(make_sink, tmp_path) -> None:
    import mlflow

    before = (dict(os.environ), mlflow.get_tracking_uri())
    sink = make_sink()
    assert sink.run_id
    assert mlflow.active_run() is None
    sink.finish()
    assert (dict(os.environ), mlflow.get_tracking_uri()) == before


@given(st.text(max_size=300) | st.text("./_a :-", max_size=8))
def test_every_cleaned_name_is_one_mlflow_accepts(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(mlflow_calls.clean(name))
    if all(c.isalnum() or c in "_-" for c in name) and 0 < len(name) < 250:
        assert mlflow_calls.clean(name) == name


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_one_bad_call_is_left_out_and_the_rest_arrives(make_sink, uri, tmp_path, caplog) -> None:
    sink = make_sink()
    sink.log_artifact(tmp_path / "missing.json")
    sink.log_artifact(tmp_path / "missing too.json")
    sink.log_metrics({"a": 1.0}, 0)
    sink.set_tags({"after": "yes"})
    sink.finish()
    run = stored(uri, sink.run_id)
    assert (run.info.status, run.data.metrics, run.data.tags["after"]) == ("FINISHED", {"a": 1.0}, "yes")
    (warning,) = warnings_of(caplog)
    assert "missing.json" in warning
    assert "the run folder stays complete" in warning


def test_a_deleted_experiment_is_told_once(make_sink, uri, caplog) -> None:
    from mlflow import MlflowClient

    sink = make_sink(experiment="old")
    sink.finish()
    MlflowClient(tracking_uri=uri).delete_experiment(stored(uri, sink.run_id).info.experiment_id)
    again = make_sink(experiment="old")
    assert again.run_id is None
    again.finish()
    (warning,) = warnings_of(caplog)
    assert "'old' was deleted in MLflow" in warning


def test_a_database_that_cannot_be_made_is_told_once(tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("")
    sink = MlflowSink(f"sqlite:///{tmp_path}/file/mlflow.db", None, "mri", "r", {})
    sink.start()
    assert sink.run_id is None
    sink.finish()
    (warning,) = warnings_of(caplog)
    assert warning.startswith("tracking is unavailable: ")


def test_a_server_that_is_not_there_costs_one_warning_and_no_time(empty_database, caplog) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sink = MlflowSink(f"http://user:secret@127.0.0.1:{unused.getsockname()[1]}", None, "mri", "r", {})
        began = time.monotonic()
        sink.start()
        for step in range(1000):
            sink.log_metrics({"a": 1.0}, step)
        assert time.monotonic() - began < 1.0
        assert sink.run_id is None
        sink.finish()
        assert time.monotonic() - began < 15.0
    (warning,) = warnings_of(caplog)
    assert warning.startswith("tracking is unavailable: ")
    assert warning.endswith("; the run folder stays complete")
    assert "secret" not in warning


def test_a_server_that_never_answers_holds_finish_no_longer_than_told(empty_database, monkeypatch, caplog) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "6")
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        sink = MlflowSink(f"http://127.0.0.1:{deaf.getsockname()[1]}", None, "mri", "r", {})
        sink.start()
        began = time.monotonic()
        sink.finish(timeout=2.0)
        assert 1.5 < time.monotonic() - began < 4.0
    (warning,) = warnings_of(caplog)
    assert "did not take the rest of the run within 2 s" in warning


class FakeServer(ThreadingHTTPServer):
    """As much of an MLflow server as one run needs; it keeps the requests it got."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", port), FakeHandler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def metrics(self) -> list[tuple[str, int]]:
        batches = [body for path, body in self.requests if path.endswith("runs/log-batch")]
        return [(metric["key"], int(metric["step"])) for body in batches for metric in body.get("metrics", [])]


class FakeHandler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: dict[str, Any]) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append((path, body))
        run = {"info": {"run_id": "1" * 32, "run_uuid": "1" * 32, "experiment_id": "1", "status": "RUNNING"}}
        experiment = {"experiment_id": "1", "name": "mri", "lifecycle_stage": "active"}
        answers = {"get-by-name": {"experiment": experiment}, "search": {"runs": []}}
        text = json.dumps(answers.get(path.rpartition("/")[2], {"run": run, "run_info": run["info"]})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server(empty_database: Path) -> Iterator[FakeServer]:
    server = FakeServer()
    yield server
    server.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_server_that_dies_costs_one_warning_and_finish_returns(server, caplog) -> None:
    sink = MlflowSink(f"http://127.0.0.1:{server.server_port}", None, "mri", "r", {})
    sink.start()
    sink.log_metrics({"a": 1.0}, 0)
    wait_for(lambda: server.metrics() == [("a", 0)])
    server.stop()
    began = time.monotonic()
    for step in range(1, 100):
        sink.log_metrics({"a": 1.0}, step)
    assert time.monotonic() - began < 0.5
    wait_for(lambda: bool(warnings_of(caplog)))
    sink.log_artifact(Path("any.json"))
    began = time.monotonic()
    sink.finish("FAILED", timeout=20.0)
    assert time.monotonic() - began < 10.0
    (warning,) = warnings_of(caplog)
    assert "refused" in warning


def test_a_server_that_comes_back_gets_what_was_kept(server, caplog) -> None:
    sink = MlflowSink(f"http://127.0.0.1:{server.server_port}", None, "mri", "r", {})
    sink.start()
    assert sink.run_id == "1" * 32
    server.stop()
    for step in range(1300):
        sink.log_metrics({"a": 1.0}, step)
    wait_for(lambda: bool(warnings_of(caplog)))
    revived = FakeServer(server.server_port)
    try:
        sink.finish()
        assert sorted(revived.metrics()) == [("a", step) for step in range(1300)]
        assert revived.requests[-1][0].endswith("runs/update")
        assert revived.requests[-1][1]["status"] == "FINISHED"
    finally:
        revived.stop()
    assert len(warnings_of(caplog)) == 1


def test_patience_ends_and_the_thread_with_it(caplog, empty_database) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sink = MlflowSink(f"http://127.0.0.1:{unused.getsockname()[1]}", None, "mri", "r", {}, patience=0.5)
        sink.start()
        wait_for(lambda: not sink._worker.is_alive())
    sink.log_metrics({"a": 1.0}, 0)
    assert sink._worker._metrics == []
    assert len(warnings_of(caplog)) == 1


# --- other processes ----------------------------------------------------------------------------------------------

OPEN_AND_WAIT = """
import sys, time
from medai_lab.tracking.mlflow_sink import MlflowSink
sink = MlflowSink(sys.argv[1], sys.argv[2], "mri", "r", {})
sink.start()
print(sink.run_id, flush=True)
if sys.argv[3] == "stay":
    time.sleep(600)
sink.finish()
"""


def open_in_process(uri: str, tmp_path: Path, then: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", OPEN_AND_WAIT, uri, str(tmp_path / "artifacts"), then]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_run_is_closed_by_the_next_and_a_living_one_is_not(make_sink, uri, tmp_path) -> None:
    living = make_sink()
    process = open_in_process(uri, tmp_path, "stay")
    assert process.stdout is not None
    killed = process.stdout.readline().strip()
    process.send_signal(signal.SIGKILL)
    # Not waited for yet: a zombie still has its process id.
    assert stored(uri, killed).info.status == "RUNNING"
    make_sink().finish()
    assert stored(uri, killed).info.status == "KILLED"
    assert stored(uri, living.run_id).info.status == "RUNNING"
    process.communicate()
    living.finish()


def test_a_reused_process_id_is_not_the_same_process() -> None:
    tags = mlflow_calls.process_tags()
    pid = int(tags["medai.pid"])
    assert mlflow_calls._alive(pid, tags["medai.pid_started"])
    assert mlflow_calls._alive(pid, "")
    assert not mlflow_calls._alive(pid, "12")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    assert not mlflow_calls._alive(ended.pid, "")


@pytest.mark.slow
def test_two_processes_open_a_new_database_at_once(tmp_path) -> None:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    processes = [open_in_process(uri, tmp_path, "end") for _ in range(2)]
    outputs = [process.communicate(timeout=180) for process in processes]
    assert [err for _, err in outputs] == ["", ""]
    runs = [stored(uri, out.strip()) for out, _ in outputs]
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    assert runs[0].info.run_id != runs[1].info.run_id
    assert runs[0].info.experiment_id == runs[1].info.experiment_id


FORK_WHILE_OPENING = """
import os, signal, sys, time
from medai_lab.tracking.mlflow_sink import MlflowSink
sink = MlflowSink(sys.argv[1], None, "mri", "r", {})
sink.start()
children = []
for _ in range(6):
    time.sleep(0.4)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        import pandas, xml.dom.minidom, concurrent.futures.process
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
sink.finish()
print(sink.run_id is not None)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_processes_forked_while_mlflow_is_imported_do_not_hang(uri) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORK_WHILE_OPENING, uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.split("\n")[:2] == [str([0] * 6), "True"]
