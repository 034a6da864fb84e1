"""The LightningModule that all modalities share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from medai_lab.learning.distributed import gather_rows
from medai_lab.learning.targets import Target

Batch = Mapping[str, Any]


class MedModule(pl.LightningModule):
    """Train a network on batches `{"inputs": {name: tensor}, "target": tensor, "record_id": [...]}`.

    It is given built objects and owns the steps, so that a model, a loss or an optimiser is a setting and not
    a subclass. Inputs reach the network in their order, by position.

    Args:
        net: maps the inputs to (n, outputs) logits.
        target: reads the logits.
        loss: of `(logits, truth)`, both float32.
        optimizer: makes the optimiser from the parameters.
        schedule: makes the schedule from the optimiser and the number of steps; None for a constant rate.
        seed: of everything random inside a step (dropout). Every step starts from a seed of its own, so a
            resumed run draws what the undisturbed one would have drawn.
    """

    def __init__(
        self,
        net: nn.Module,
        target: Target,
        loss: nn.Module,
        optimizer: Callable[[Any], Optimizer],
        schedule: Callable[[Optimizer, int], LRScheduler] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.net = net
        self.target = target
        self.loss = loss
        self.seed = seed
        self._make_optimizer = optimizer
        self._make_schedule = schedule
        self._seen: list[tuple[str, np.ndarray, np.ndarray]] = []
        self._val_loss = [0.0, 0.0]

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (n, outputs) logits, in float32 under any autocast."""
        logits: Tensor = self.net(*inputs.values())
        return logits.float()

    def predict_outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return (n, outputs) probabilities or quantities; what is reported, here as in every later job."""
        return self.target.outputs(self(inputs))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Start every step's randomness (dropout) from the seed, the epoch, the step and the rank.

        Not once an epoch: loaders draw from the same generator, and after a resume at another moment.
        """
        torch.manual_seed(((self.seed * 10_007 + self.current_epoch) * 100_003 + batch_idx) * 101 + self.global_rank)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        loss: Tensor = self.loss(self(batch["inputs"]), batch["target"])
        count = len(batch["record_id"])
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=count)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Keep the outputs of one batch; the epoch's values are computed once, over all of them."""
        logits = self(batch["inputs"])
        loss = self.loss(logits, batch["target"])
        outputs = self.target.outputs(logits).float().cpu().numpy()
        count = len(batch["record_id"])
        self._val_loss = [self._val_loss[0] + float(loss) * count, self._val_loss[1] + count]
        self._seen += zip(batch["record_id"], outputs, batch["target"].cpu().numpy(), strict=True)

    def on_validation_epoch_end(self) -> None:
        """Log loss and watched values over the whole validation set, whatever the number of processes."""
        seen, losses = gather_rows(self._seen), gather_rows([self._val_loss])
        self._seen, self._val_loss = [], [0.0, 0.0]
        values = self.target.watch(np.stack([t for _, _, t in seen]), np.stack([o for _, o, _ in seen]))
        values["loss"] = sum(total for total, _ in losses) / sum(count for _, count in losses)
        for name, value in values.items():
            self.log(f"val_{name}", value, prog_bar=True, rank_zero_only=False)

    def configure_optimizers(self) -> Any:
        """Make the optimiser and, stepped every optimiser step, its schedule."""
        optimizer = self._make_optimizer(_decay_groups(self.net))
        if self._make_schedule is None:
            return optimizer
        schedule = self._make_schedule(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _decay_groups(net: nn.Module) -> list[dict[str, Any]]:
    """Spare biases and normalisation gains from weight decay, which would only pull them off their use."""
    trained = [p for p in net.parameters() if p.requires_grad]
    groups: list[dict[str, Any]]
    groups = [
        {"params": [p for p in trained if p.ndim > 1]},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
