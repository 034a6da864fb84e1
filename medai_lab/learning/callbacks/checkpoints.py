"""Keeping the last state, to go on from, and the best weights, to predict with."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from safetensors.torch import save_file

from medai_lab.files import replacing


class Checkpoints(pl.Callback):
    """Write `last.ckpt` (everything, every epoch) and `best.safetensors` (the network's weights alone).

    Both are written under another name and renamed, so that a killed run leaves whole files. An epoch whose
    value cannot be computed counts as worse than any other; equal values are decided by the validation loss.

    Args:
        folder: where the files go.
        monitor: the validation value that decides.
        higher_is_better: its direction.
    """

    def __init__(self, folder: Path, monitor: str, higher_is_better: bool) -> None:
        self.folder = folder
        self.monitor = monitor
        self.sign = 1.0 if higher_is_better else -1.0
        self.best: tuple[float, float] | None = None
        self.best_epoch = -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save; on every process, because all take part in a distributed save."""
        values = trainer.callback_metrics
        score = (self.sign * _finite(values.get(self.monitor), self.sign), -_finite(values.get("val_loss"), -1.0))
        if self.best is None or score > self.best:
            self.best, self.best_epoch = score, trainer.current_epoch
            if trainer.is_global_zero:
                self._save_weights(pl_module, float(values.get(self.monitor, torch.nan)))
        temporary = self.folder / ".last.ckpt.tmp"
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            temporary.replace(self.folder / "last.ckpt")

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on after a resume."""
        return {"best": list(self.best) if self.best else None, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Undo `state_dict`."""
        self.best = tuple(state_dict["best"]) if state_dict["best"] else None
        self.best_epoch = state_dict["best_epoch"]

    def _save_weights(self, module: pl.LightningModule, value: float) -> None:
        net: Any = module.net
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
        with replacing(self.folder / "best.safetensors") as temporary:
            save_file(weights, temporary, {"epoch": str(module.current_epoch), self.monitor: f"{value:.6f}"})


def _finite(value: Any, worst: float) -> float:
    """The value, or an infinity on the bad side where it is missing or NaN."""
    number = float(value) if value is not None else float("nan")
    return number if number == number else -worst * float("inf")
