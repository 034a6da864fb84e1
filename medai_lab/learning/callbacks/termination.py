"""Ending in order when the machine asks for it."""

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl


class Terminated(BaseException):
    """The process was asked to end (SIGTERM). Not an Exception, so that no handler of errors swallows it."""


class Termination(pl.Callback):
    """Turn SIGTERM into `Terminated`, after handing it on to the processes that this one has started.

    Lightning's own handler broadcasts to the other processes and can wait for them for ever; it is replaced
    once the trainer has installed it.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signal."""

        def end(number: int, frame: FrameType | None) -> None:
            launcher: Any = trainer.strategy.launcher
            if launcher is not None and hasattr(launcher, "procs"):
                launcher.kill(signal.SIGTERM)
            raise Terminated

        signal.signal(signal.SIGTERM, end)
