"""A run's network with exactly its own preprocessing: the one way in which later jobs predict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import nn

from medai_lab.cohort.cohort import Cohort
from medai_lab.cohort.target import TargetSpec
from medai_lab.config.instantiate import import_target
from medai_lab.config.schema import Config
from medai_lab.errors import UserError
from medai_lab.evaluation.predictions import make_table
from medai_lab.learning.datamodule import MedDataModule
from medai_lab.learning.distributed import gather_rows
from medai_lab.learning.hardware import autocast, lay_out
from medai_lab.learning.module import MedModule
from medai_lab.learning.network import build_network
from medai_lab.learning.progress import progress
from medai_lab.learning.targets import target_type
from medai_lab.tracking.run_folder import RunFolder


@dataclass
class Predictor:
    """A trained network and everything that belongs to it.

    Attributes:
        run: the run folder.
        config: its resolved config.
        target: what it predicts.
        module: the network in evaluation mode, on `device`.
        datamodule: the modality's subclass of `MedDataModule`.
        device: where it computes.
    """

    run: RunFolder
    config: Config
    target: TargetSpec
    module: MedModule
    datamodule: Any
    device: torch.device

    @classmethod
    def load(cls, run: RunFolder, device: torch.device, trusted: bool = False, allow: Sequence[str] = ()) -> Self:
        """Rebuild a run's network and preprocessing.

        Args:
            run: the run folder.
            device: where to compute.
            trusted: True only where this very process has made the run from its command line.
            allow: the user's own packages that the run's config may name.

        Raises:
            UserError: the run has no weights yet, or its config names code outside the allowed packages.
        """
        if not run.weights.exists():
            raise UserError(f"{run.path} has no weights yet (state: {run.status().get('state')}).")
        config = Config.from_plain(run.config())
        fitted = run.fitted("target")
        spec = TargetSpec.from_dict(fitted["spec"])
        net = build_network(config.model, run.fitted("network"), trusted=trusted, allow=allow)
        net.load_state_dict(load_file(run.weights))
        module = import_target(config.task.module, trusted=trusted, allow=allow)(
            net=lay_out(net, config.trainer.channels_last is True),
            target=target_type(spec)(spec, fitted["state"]),
            loss=nn.Identity(),
            optimizer=torch.optim.SGD,
            **config.task.module_options(),
        )
        datamodule = import_target(config.task.datamodule, trusted=trusted, allow=allow)
        return cls(run, config, spec, module.to(device).eval(), datamodule, device)

    def prepare(self, cohort: Cohort) -> tuple[MedDataModule, pd.DataFrame]:
        """Prepare records as the training records were; return the datamodule and the records set aside."""
        data: MedDataModule = self.datamodule.for_prediction(cohort, self.run.fitted("data"), self.config.data)
        return data, data.prepare()

    def table(self, data: MedDataModule, cohort: Cohort, what: str) -> pd.DataFrame:
        """Return the predictions table of prepared records, each predicted once, by all processes together.

        Args:
            data: what `prepare` returned, or a training run's own datamodule.
            cohort: the records to predict, all or some of the datamodule's.
            what: title of the progress bar.
        """
        ids, outputs = self._predict(data, cohort, what)
        order = pd.Series(range(len(ids)), index=ids)[cohort.table["record_id"]].to_numpy()
        truth = cohort.target.encode(cohort.table) if cohort.target is not None else None
        return make_table(cohort.table, self.target, outputs[order], truth)

    def _predict(self, data: MedDataModule, cohort: Cohort, what: str) -> tuple[list[str], np.ndarray]:
        rows: list[tuple[str, np.ndarray]] = []
        loader = data.eval_dataloader(cohort)
        half = self.config.trainer.precision
        with progress(what, len(loader)) as advance, torch.inference_mode():
            for batch in loader:
                inputs = {k: v.to(self.device, non_blocking=True) for k, v in batch["inputs"].items()}
                with autocast(half, self.device):
                    outputs = self.module.predict_outputs(data.to_compute(inputs))
                rows += zip(batch["record_id"], outputs.float().cpu().numpy(), strict=True)
                advance()
        gathered = gather_rows(rows)
        return [record for record, _ in gathered], np.stack([values for _, values in gathered])
