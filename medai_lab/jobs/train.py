"""job=train: fit, then predict and evaluate train, validation and test records."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from hydra.core.hydra_config import HydraConfig
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from medai_lab.cohort.target import TargetSpec
from medai_lab.config.instantiate import import_target, instantiate
from medai_lab.config.schema import Config
from medai_lab.deployment.predictor import Predictor
from medai_lab.errors import UserError
from medai_lab.evaluation import figures
from medai_lab.files import write_json, write_text
from medai_lab.jobs.assessment import assess, choose_operating_points, objective, show
from medai_lab.jobs.result import JobResult
from medai_lab.jobs.tracked import Tracking, tracked
from medai_lab.jobs.training_data import load_training_data, make_training_data
from medai_lab.learning.checkpoint import load_weights
from medai_lab.learning.datamodule import MedDataModule
from medai_lab.learning.distributed import local_rank
from medai_lab.learning.hardware import choose_arithmetic, gpu_ids, lay_out, set_threads
from medai_lab.learning.module import MedModule
from medai_lab.learning.network import build_network, check_input_size
from medai_lab.learning.targets import Target, target_type
from medai_lab.learning.trainer import build_trainer
from medai_lab.tracking.history import MetricHistory
from medai_lab.tracking.run_folder import RunFolder

log = logging.getLogger(__name__)


def run(config: Config) -> JobResult:
    """Train one model; every process of a distributed run passes here.

    Returns:
        The validation value that ranks the run, and all metrics with intervals.

    Raises:
        UserError: data, network or checkpoint do not fit; the message says how.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    resumed, first = config.resume is not None, local_rank() == 0
    opened = resumed or not first
    run_folder = RunFolder.open(folder) if opened else RunFolder.create(folder, config.to_plain())
    set_threads(config.trainer.threads, len(gpu_ids(config.trainer.gpus)) or config.trainer.devices)
    pl.seed_everything(config.seed, workers=True, verbose=False)
    with tracked(config, run_folder, resumed) as tracking:
        data = load_training_data(config, run_folder) if opened else make_training_data(config, run_folder)
        tracking.describe_data(data)
        config, module = _build(config, run_folder, data, keep=opened)
        trainer = _fit(config, run_folder, data, module, tracking)
        return _assess(config, run_folder, data, tracking, trainer)


def _build(config: Config, run_folder: RunFolder, data: MedDataModule, keep: bool) -> tuple[Config, MedModule]:
    """Build the module; settle what was `auto` and write it into the run's config unless that is settled already."""
    fitted = run_folder.fitted("target")
    spec = TargetSpec.from_dict(fitted["spec"])
    target = target_type(spec)(spec, fitted["state"])
    net = build_network(config.model, run_folder.fitted("network"), **_trust(config))
    check_input_size(net, data.example(2), config.model.net.target.rsplit(".", 1)[-1])
    if config.ckpt.init is not None:
        load_weights(net, Path(config.ckpt.init))
    small = data.example(min(2, config.data.batch_size))
    how = choose_arithmetic(config.trainer, net, small, Path(config.paths.cache), config.model.to_plain())
    settled = config.trainer.model_copy(update={"precision": how.precision, "channels_last": how.channels_last})
    config = config.model_copy(update={"trainer": settled})
    if not keep:
        text = yaml.safe_dump(config.to_plain(), sort_keys=False, allow_unicode=True)
        write_text(run_folder.path / "config.yaml", text)
    kind: Any = import_target(config.task.module, **_trust(config))
    optim = config.optim
    return config, kind(
        net=lay_out(net, how.channels_last),
        target=target,
        loss=_loss(config, target, data),
        optimizer=lambda groups: instantiate(optim, groups, **_trust(config)),
        schedule=_schedule(config),
        seed=config.seed,
        **config.task.module_options(),
    )


def _trust(config: Config) -> dict[str, Any]:
    """What a command line names is the user's own; what a resumed run's config names must be allowed."""
    return {"trusted": config.resume is None, "allow": config.trust}


def _schedule(config: Config) -> Callable[[Optimizer, int], LRScheduler] | None:
    node = config.optim.schedule
    return None if node is None else lambda optimizer, steps: instantiate(node, optimizer, steps, **_trust(config))


def _loss(config: Config, target: Target, data: MedDataModule) -> nn.Module:
    if config.task.loss is not None:
        loss: nn.Module = instantiate(config.task.loss, **_trust(config))
        return loss
    weights = None
    if config.task.class_weights == "balanced":
        weights = target.class_weights(target.spec.encode(data.cohort.of_split("train").table))
    return target.loss(weights, config.task.label_smoothing)


def _fit(
    config: Config, run_folder: RunFolder, data: MedDataModule, module: MedModule, tracking: Tracking
) -> pl.Trainer:
    target = module.target
    auto = config.task.monitor == "auto"
    monitor = target.monitor if auto else config.task.monitor
    higher = target.higher_is_better if auto else not monitor.endswith(("loss", "mae"))
    trainer = build_trainer(
        config.trainer,
        config.strategy.name,
        config.trainer.precision,
        run_folder.path,
        monitor,
        higher,
        tracking.logger,
        [
            LambdaCallback(
                on_train_batch_end=lambda *_: tracking.begin(), on_train_epoch_end=lambda *_: tracking.remember()
            ),
            *(instantiate(node, **_trust(config)) for node in config.callbacks.values()),
        ],
    )
    last = run_folder.last_checkpoint if config.resume is not None else None
    log.info("Training %s for up to %d epochs.", config.model.net.target.rsplit(".", 1)[-1], config.trainer.max_epochs)
    trainer.fit(module, data, ckpt_path=last, weights_only=True)
    if not run_folder.weights.exists():
        raise UserError("Training ended before its first epoch was complete, so there is no model to evaluate.")
    return trainer


def _assess(
    config: Config, run_folder: RunFolder, data: MedDataModule, tracking: Tracking, trainer: pl.Trainer
) -> JobResult:
    predictor = Predictor.load(run_folder, trainer.strategy.root_device, **_trust(config))
    tables = {}
    for split in ("train", "val", "test"):
        tables[split] = predictor.table(data, data.cohort.of_split(split), f"Predicting {split}")
    if not trainer.is_global_zero:
        return JobResult(None, "", True, {}, run_folder.path)
    points = choose_operating_points(run_folder, tables["val"], config.task.operating_point)
    results = assess(run_folder.path, tables, points, data.picture, config.job.replicates, config.seed)
    figures.save(figures.history(MetricHistory(run_folder.history).table()), run_folder.figures / "history.png")
    name, interval = objective(results, "val")
    result = JobResult(interval["value"], f"val_{name}", name != "mae", results, run_folder.path)
    write_json(run_folder.path / "result.json", result.to_plain())
    tracking.describe_results(results, data)
    show(results, "test", run_folder.path, config.tracking.uri)
    return result
