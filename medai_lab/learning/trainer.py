"""From the trainer node to Lightning's Trainer."""

import logging
import sys
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, TQDMProgressBar
from pytorch_lightning.strategies import DDPStrategy

from medai_lab.learning.callbacks.checkpoints import Checkpoints
from medai_lab.learning.callbacks.epoch_log import EpochLog
from medai_lab.learning.callbacks.termination import Termination
from medai_lab.learning.hardware import gpu_ids

if TYPE_CHECKING:
    from medai_lab.config.schema import TrainerConfig

# Lightning's advice that does not fit this design: loaders are sized on purpose, batches carry their size.
_QUIET = (
    ".*does not have many workers.*",
    ".*smaller than the logging interval.*",
    ".*LeafSpec.*",
    ".*isinstance.treespec.*",
)


def build_trainer(
    config: "TrainerConfig",
    strategy: str,
    precision: str,
    folder: Path,
    monitor: str,
    higher_is_better: bool,
    logger: Any,
    callbacks: Sequence[pl.Callback],
) -> pl.Trainer:
    """Return the Trainer that the settings mean.

    Args:
        config: the trainer node.
        strategy: `auto` or `ddp`.
        precision: Lightning's name of it, resolved.
        folder: the run folder.
        monitor: the validation value that picks the best epoch and stops early.
        higher_is_better: its direction.
        logger: Lightning logger.
        callbacks: the user's own.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for message in _QUIET:
        warnings.filterwarnings("ignore", message)
    gpus = gpu_ids(config.gpus)
    if not config.deterministic:
        torch.backends.cudnn.benchmark = True  # shapes never change within a run, so the search pays at once
    own: list[pl.Callback] = [Checkpoints(folder / "checkpoints", monitor, higher_is_better), Termination()]
    if config.early_stopping is not None:
        own.append(EarlyStopping(monitor, patience=config.early_stopping, mode="max" if higher_is_better else "min"))
    terminal = config.progress and sys.stderr.isatty()
    own.append(TQDMProgressBar(refresh_rate=max(1, config.log_every // 2)) if terminal else EpochLog())
    devices = len(gpus) or config.devices
    return pl.Trainer(
        accelerator="gpu" if gpus else "cpu",
        devices=gpus or config.devices,
        strategy=DDPStrategy(process_group_backend=None if gpus else "gloo")
        if strategy == "ddp" or devices > 1
        else "auto",
        precision=precision,  # type: ignore[arg-type]
        max_epochs=config.max_epochs,
        max_time=timedelta(minutes=config.max_minutes) if config.max_minutes else None,
        gradient_clip_val=config.grad_clip,
        accumulate_grad_batches=config.accumulate,
        limit_train_batches=config.limit_batches,
        limit_val_batches=config.limit_batches,
        overfit_batches=config.overfit_batches,
        deterministic="warn" if config.deterministic and gpus else None,
        log_every_n_steps=config.log_every,
        logger=logger,
        callbacks=[*own, *callbacks],
        default_root_dir=folder,
        enable_progress_bar=terminal,
        enable_model_summary=False,
        enable_checkpointing=False,  # Lightning's own callback; ours writes the files
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
