"""The thread that talks to MLflow: it opens the run, sends what has gathered, and outlives a server's absence."""

import concurrent.futures.thread  # noqa: F401  # see `ForkGate`
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from types import TracebackType

from medai_lab.tracking import mlflow_calls as calls

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
METRICS_PER_CALL = 500
METRICS_HELD = 100_000  # waiting for a server that is away; more are left out, `history.csv` has them all
HTTP_SECONDS = 30
IMPORTS = (  # with what mlflow would import at its first call, a first migration or a first artifact
    "mlflow",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.artifact.mlflow_artifacts_repo",
    "mlflow.store.tracking.rest_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "alembic.command",
    "alembic.config",
    "sqlalchemy.dialects.sqlite",
)
TRIES_OF_ONE_CALL = 4  # while MLflow answers other calls
TRIES_WHILE_CLOSING = 2  # while it answers none
FORK_SECONDS = 60.0


class _GaveUpError(Exception):
    """MLflow stayed away for longer than it is waited for."""


class ForkGate:
    """Held by the thread while it imports, and waited for by `os.fork`.

    A process forked while another thread imports a module inherits that module's import lock shut, with nobody left
    to open it: a DataLoader worker that imports the same module would then hang for ever.

    What has fork handlers of its own (`concurrent.futures.thread`, `filelock`) must be imported before the gate is
    made. Imported while a fork waits here, only the second half of their pair would run.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forking: int | None = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._shut, after_in_parent=self._reopen, after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()

    def _shut(self) -> None:
        if self._lock.acquire(timeout=FORK_SECONDS):
            self._forking = threading.get_ident()

    def _reopen(self) -> None:
        if self._forking == threading.get_ident():
            self._forking = None
            self._lock.release()

    def _renew(self) -> None:
        self._forking, self._lock = None, threading.Lock()


class Worker(threading.Thread):
    """The only thread that imports mlflow. A daemon: it never keeps the program from ending.

    Args:
        target: where and how to open the run.
        patience: seconds that MLflow may be away before the thread ends.

    Attributes:
        opened: the run, once it is open.
        answered: set once the run is open, or the first try to open it has failed.
    """

    def __init__(self, target: calls.Target, patience: float) -> None:
        super().__init__(name="mlflow-sink", daemon=True)
        self.opened: calls.Run | None = None
        self.answered = threading.Event()
        self._target, self._patience = target, patience
        self._wake = threading.Condition()
        self._queue: list[tuple[str, calls.Call]] = []
        self._metrics: list[calls.MetricRow] = []
        self._closing = self._over = self._told_unavailable = self._told_left_out = False
        self._tries_left = TRIES_WHILE_CLOSING
        self._gate = ForkGate()

    def put(self, what: str, call: calls.Call) -> None:
        """Queue a call; `what` names it in a message."""
        with self._wake:
            if not (self._over or self._closing):
                self._queue.append((what, call))

    def put_metrics(self, rows: list[calls.MetricRow]) -> None:
        """Queue metrics."""
        with self._wake:
            if not (self._over or self._closing) and len(self._metrics) < METRICS_HELD:
                self._metrics.extend(rows)

    def close(self, last: calls.Call) -> bool:
        """Queue the last call and ask the thread to end after it; False if it was asked before or has ended."""
        with self._wake:
            if self._closing or self._over:
                return False
            self._queue.append(("the final status", last))
            self._closing = True
            self._wake.notify_all()
            return True

    def tell_unavailable(self, reason: str) -> None:
        """Warn the first time, later only in the debug log."""
        level, self._told_unavailable = logging.DEBUG if self._told_unavailable else logging.WARNING, True
        log.log(level, "tracking is unavailable: %s; the run folder stays complete", reason)

    def _tell_left_out(self, what: str, reason: str) -> None:
        level, self._told_left_out = logging.DEBUG if self._told_left_out else logging.WARNING, True
        log.log(level, "tracking left out %s: %s; the run folder stays complete", what, reason)

    def run(self) -> None:
        """Open the run and serve the queue until closed, or until MLflow has been away for too long."""
        try:
            self._persist("the import of mlflow", self._import)
            self._persist("the opening of the run", self._open)
            while self._serve():
                pass
        except _GaveUpError as error:
            log.debug("tracking was given up: %s", error)
        finally:
            with self._wake:
                self._over = True
                self._queue, self._metrics = [], []
            self.answered.set()

    def _import(self) -> None:
        with self._gate:
            for name in IMPORTS:
                importlib.import_module(name)
        for name in ("mlflow", "alembic"):  # mlflow sets its own logger to INFO when it is imported
            logging.getLogger(name).setLevel(logging.WARNING)
        _shorten_http()

    def _open(self) -> None:
        self.opened = calls.open_run(self._target)
        self.answered.set()

    def _serve(self) -> bool:
        """Send what has gathered; False once the last of it is sent."""
        with self._wake:
            if not self._closing:
                self._wake.wait(FLUSH_SECONDS)
            queue, self._queue = self._queue, []
            metrics, self._metrics = self._metrics, []
            last = self._closing
        assert self.opened is not None
        for rows in calls.chunks(metrics, METRICS_PER_CALL):
            self._persist("metrics", partial(calls.send_metrics, rows, self.opened))
        for what, call in queue:
            self._persist(what, partial(call, self.opened))
        return not last

    def _persist(self, what: str, call: Callable[[], None]) -> None:
        """Repeat a call until it succeeds, or leave it out if MLflow answers and only this call fails.

        Raises:
            _GaveUpError: MLflow was away for longer than `patience`, or still is when the run ends.
        """
        began = time.monotonic()
        for tries in count(1):
            try:
                return call()
            except Exception as error:
                reason = calls.reason_of(error)
            if not self._answers():
                self.tell_unavailable(reason)
                self.answered.set()
                if not self._may_go_on(began):
                    raise _GaveUpError(reason)
            elif tries == TRIES_OF_ONE_CALL:
                return self._tell_left_out(what, reason)
            with self._wake:
                self._wake.wait(0.5 if self._closing else 2.0 ** min(tries - 1, 6))
        return None

    def _may_go_on(self, began: float) -> bool:
        """True while MLflow, away since the monotonic time `began`, is to be asked again."""
        with self._wake:
            if self._closing:
                self._tries_left -= 1
            return self._tries_left >= 0 and time.monotonic() - began <= self._patience

    def _answers(self) -> bool:
        """True if MLflow still knows the run, so that a failure lies with the call itself."""
        if self.opened is None:
            return False
        try:
            self.opened.client.get_run(self.opened.id)
        except Exception:
            return False
        return True


def _shorten_http() -> None:
    """Bound a request to one try of 30 s; by MLflow's own defaults one call can hang for over ten minutes.

    MLflow takes these limits from the environment only. Lowering its defaults in this process instead of setting the
    variables lets a user's own values win and leaves child processes alone. They are not put back: another sink of
    the process may still be at work. The thread repeats failed calls itself, so MLflow need not.
    """
    from mlflow import environment_variables

    environment_variables.MLFLOW_HTTP_REQUEST_TIMEOUT.default = HTTP_SECONDS
    environment_variables.MLFLOW_HTTP_REQUEST_MAX_RETRIES.default = 0
