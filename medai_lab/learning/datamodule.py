"""The LightningDataModule that all modalities share: who gets which record when."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from medai_lab.cohort.cohort import Cohort
from medai_lab.learning.batches import EvalBatches, TrainBatches
from medai_lab.learning.distributed import world

if TYPE_CHECKING:
    from medai_lab.config.schema import DataConfig


class RecordDataset(Dataset[dict[str, Any]]):
    """Records by number; a batch is made in one go.

    Args:
        record_ids: names of the records.
        target: what `TargetSpec.encode` gave for them; None where the truth is not known.
    """

    def __init__(self, record_ids: Sequence[str], target: np.ndarray | None) -> None:
        self.record_ids = list(record_ids)
        self.target = target

    def __len__(self) -> int:
        return len(self.record_ids)

    @abstractmethod
    def inputs(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return the named inputs of some records, stacked."""

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """Return the batch of these records; torch's loader calls this instead of collating single ones."""
        batch = {"inputs": self.inputs(indices), "record_id": [self.record_ids[i] for i in indices]}
        if self.target is not None:
            batch["target"] = torch.from_numpy(self.target[list(indices)])
        return batch


class MedDataModule(pl.LightningDataModule):
    """Batches of a cohort with splits.

    A modality says what is fitted on training data (`fit`), how records become arrays (`prepare`,
    `dataset`), how a batch is augmented (`augment`) and how unlabelled input is found (`find_inputs`).

    Args:
        cohort: with splits for training, without for prediction.
        fitted: what `fit` returned, plain values that a run keeps and re-uses.
        data: the settings of the data node.
        seed: of order and augmentation.
    """

    def __init__(self, cohort: Cohort, fitted: Mapping[str, Any], data: "DataConfig", seed: int) -> None:
        super().__init__()
        self.cohort = cohort
        self.fitted = dict(fitted)
        self.data = data
        self.seed = seed
        self._epoch, self._batch = -1, 0

    @classmethod
    @abstractmethod
    def fit(cls, train: Cohort, data: "DataConfig") -> dict[str, Any]:
        """Resolve settings that depend on the data, from training records only; plain values."""

    @classmethod
    @abstractmethod
    def find_inputs(cls, source: str, fitted: Mapping[str, Any]) -> Cohort:
        """Return the unlabelled records in a file, a folder or a table."""

    @abstractmethod
    def prepare(self) -> pd.DataFrame:
        """Prepare every record and drop the unusable from the cohort; return those as `record_id, stage, reason`.

        Afterwards the cohort's table has the column `content`: one digest a record of what it holds.
        """

    @abstractmethod
    def dataset(self, cohort: Cohort) -> RecordDataset:
        """Return the dataset over some records of the cohort."""

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Sizes that a network takes from the data, such as `channels`."""

    @abstractmethod
    def example(self, n: int) -> dict[str, Tensor]:
        """Return zero inputs of the right shape for `n` records."""

    @abstractmethod
    def picture(self, record_id: str) -> np.ndarray:
        """Return an (H, W) image in [0, 1] of a prepared record, row 0 at the top, for people to look at."""

    def augment(self, inputs: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Return randomly changed inputs of one training batch, on whatever device they are."""
        return inputs

    def to_compute(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the inputs as the network takes them, once they are on its device."""
        return {name: value.float() if value.is_floating_point() else value for name, value in inputs.items()}

    @classmethod
    def for_prediction(cls, cohort: Cohort, fitted: Mapping[str, Any], data: "DataConfig") -> Self:
        """Return a datamodule over records that are only predicted."""
        return cls(cohort, fitted, data, seed=0)

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the shuffled training batches of this process."""
        part = self.cohort.of_split("train")
        rank, size = world()
        batches = TrainBatches(
            len(part), self.data.batch_size, self.seed, self._current_epoch, self._chances(part), rank, size
        )
        return self._loader(self.dataset(part), batches)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation batches of this process."""
        return self.eval_dataloader(self.cohort.of_split("val"))

    def eval_dataloader(self, cohort: Cohort) -> DataLoader[Any]:
        """Return batches in which each record stands once, shared out among the processes."""
        rank, size = world()
        batches = EvalBatches(len(cohort), max(1, self.data.batch_size // size), rank, size)
        return self._loader(self.dataset(cohort), batches)

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> dict[str, Any]:
        """Convert on the device, and augment while training."""
        inputs = self.to_compute(batch["inputs"])
        if self.trainer is not None and self.trainer.training:
            inputs = self.augment(inputs, self._batch_seed())
        return {**batch, "inputs": inputs}

    def _batch_seed(self) -> int:
        """Another seed for every batch of every epoch and process, the same after a resume."""
        epoch = self._current_epoch()
        self._batch = self._batch + 1 if epoch == self._epoch else 0
        self._epoch = epoch
        return int(np.random.SeedSequence([self.seed, epoch, self._batch, world()[0]]).generate_state(1)[0])

    def _current_epoch(self) -> int:
        return self.trainer.current_epoch if self.trainer is not None else 0

    def _chances(self, part: Cohort) -> np.ndarray | None:
        if self.data.sampler == "shuffle":
            return None
        assert part.target is not None
        labels = part.table[list(part.target.columns)].astype(str).agg("|".join, axis=1)
        return (1 / labels.map(labels.value_counts())).to_numpy()

    def _loader(self, dataset: RecordDataset, batches: Any) -> DataLoader[Any]:
        # Reading from the cache takes a millisecond, less than handing a batch from one process to another,
        # so workers pay only where a GPU would wait for it.
        gpu = torch.cuda.is_available()
        workers = 2 if gpu and len(batches) > 4 else 0
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=_as_is,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=gpu,
            multiprocessing_context="forkserver" if workers else None,
        )


def _as_is(batch: Any) -> Any:
    return batch
