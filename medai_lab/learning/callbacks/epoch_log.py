"""One line an epoch for people who read a log instead of a progress bar."""

import logging
import time

import pytorch_lightning as pl

log = logging.getLogger(__name__)


class EpochLog(pl.Callback):
    """Log the epoch's values, how long it took and how long the rest will take."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the line."""
        seconds = time.monotonic() - self._start
        values = {k: float(v) for k, v in trainer.callback_metrics.items() if k == "train_loss" or k.startswith("val_")}
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        left = max(0, epochs - epoch) * seconds
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        log.info("Epoch %d of %d  %s  (%.1f s, about %s left)", epoch, epochs, shown, seconds, _minutes(left))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
