"""Brain scans as batches."""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from medai_lab.cohort.cohort import Cohort
from medai_lab.errors import ScanError, UserError
from medai_lab.learning.cache import ArrayCache, Prepared, prepare_all
from medai_lab.learning.datamodule import MedDataModule, RecordDataset
from medai_lab.mri.augment import Augmentation
from medai_lab.mri.inputs import find_inputs
from medai_lab.mri.preparation import Preparation, code_version
from medai_lab.mri.volumes import file_identity, read_geometry

if TYPE_CHECKING:
    from medai_lab.config.schema import DataConfig

log = logging.getLogger(__name__)


class VolumeDataset(RecordDataset):
    """Prepared volumes, read from the cache when asked for."""

    def __init__(self, record_ids: Sequence[str], target: np.ndarray | None, paths: Sequence[Path]) -> None:
        super().__init__(record_ids, target)
        self.paths = list(paths)

    def inputs(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return `image`: float16 (B, C, R, A, S)."""
        volumes = [torch.from_numpy(np.load(self.paths[i], mmap_mode="c")) for i in indices]
        return {"image": torch.stack(volumes)}


class MriDataModule(MedDataModule):
    """Scans of any number of sequences, prepared once and cached, augmented batch by batch."""

    entries: dict[str, Prepared]

    @classmethod
    def fit(cls, train: Cohort, data: "DataConfig") -> dict[str, Any]:
        """Resolve spacing and size; `spacing=auto` is the median voxel size of the training scans."""
        size: Any = (data.size,) * 3 if isinstance(data.size, int) else tuple(data.size)
        spacing: Any = data.spacing
        if spacing == "auto":
            spacing = _median_spacing(train)
        elif isinstance(spacing, int | float):
            spacing = (float(spacing),) * 3
        elif not isinstance(spacing, str):
            spacing = tuple(float(s) for s in spacing)
        return Preparation(train.inputs, spacing, size, data.missing == "zeros").to_dict()

    @classmethod
    def find_inputs(cls, source: str, fitted: Mapping[str, Any]) -> Cohort:
        """Return the scans in a NIfTI file, a folder of scans or DICOM series, or a CSV of paths."""
        return find_inputs(source, tuple(fitted["channels"]))

    @cached_property
    def preparation(self) -> Preparation:
        """The run's resolved preparation."""
        return Preparation.from_dict(self.fitted)

    def prepare(self) -> pd.DataFrame:
        """Find or make the cached array of every record; an unreadable scan is set aside or stops the run."""
        table, cache = self.cohort.table, ArrayCache(Path(self.data.cache))
        columns = self.cohort.input_columns
        sources = [[None if pd.isna(s) else s for s in row] for row in table[columns].itertuples(index=False)]
        keys = [self._key(row) for row in sources]
        workers = self.data.workers if isinstance(self.data.workers, int) else os.cpu_count() or 1
        found = prepare_all(cache, sources, keys, self.preparation, workers, "Preparing scans")
        bad = [(i, entry) for i, entry in enumerate(found) if isinstance(entry, ScanError)]
        if bad and self.data.on_error == "raise":
            raise UserError(f"Record '{table['record_id'].iloc[bad[0][0]]}': {bad[0][1]} ({len(bad)} such records)")
        excluded = pd.DataFrame(
            [(table["record_id"].iloc[i], "prepare", str(error)) for i, error in bad],
            columns=["record_id", "stage", "reason"],
        )
        for record, reason in zip(excluded["record_id"], excluded["reason"], strict=True):
            log.warning("Record '%s' is set aside: %s", record, reason)
        if len(bad) == len(table):
            raise UserError(f"None of the {len(table)} records could be prepared; the first: {bad[0][1]}")
        good = [(i, entry) for i, entry in enumerate(found) if isinstance(entry, Prepared)]
        kept = table.iloc[[i for i, _ in good]].assign(content=[entry.digest for _, entry in good])
        self.cohort = self.cohort.with_table(kept)
        self.entries = dict(zip(kept["record_id"], (entry for _, entry in good), strict=True))
        self._report_cut()
        return excluded

    def dataset(self, cohort: Cohort) -> VolumeDataset:
        """Return the prepared volumes of some records."""
        truth = cohort.target.encode(cohort.table) if cohort.target is not None else None
        ids = cohort.table["record_id"].tolist()
        return VolumeDataset(ids, truth, [self.entries[record].path for record in ids])

    @property
    def sizes(self) -> dict[str, int]:
        """Channels of the images and of the masks that tell which sequences are there."""
        return {"channels": self.preparation.n_channels}

    def example(self, n: int) -> dict[str, Tensor]:
        """Return zero volumes."""
        return {"image": torch.zeros(n, self.preparation.n_channels, *self.preparation.size)}

    def picture(self, record_id: str) -> np.ndarray:
        """Return the middle axial and sagittal planes of the first sequence, side by side, front or top up."""
        volume = np.load(self.entries[record_id].path, mmap_mode="r")[0].astype(np.float32)
        middle = [n // 2 for n in volume.shape]
        planes = [np.rot90(volume[:, :, middle[2]]), np.rot90(volume[middle[0]])]
        height = max(p.shape[0] for p in planes)
        page = np.hstack([np.pad(p, ((0, height - p.shape[0]), (0, 0)), constant_values=volume.min()) for p in planes])
        low, high = np.quantile(page, [0.01, 0.99])
        return np.clip((page - low) / max(high - low, 1e-6), 0, 1)

    def augment(self, inputs: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Mirror, move and change the intensities; hide sequences where a mask can say so."""
        volumes, images = inputs["image"], len(self.preparation.channels)
        volumes = Augmentation(**self.data.augment.model_dump())(volumes, seed, images)
        if self.preparation.mask_channels:
            volumes = hide_sequences(volumes, images, self.data.sequence_dropout, seed)
        return {"image": volumes}

    def _key(self, sources: Sequence[str | None]) -> str:
        identities = [None if s is None else _identity(s) for s in sources]
        return ArrayCache.key(identities, self.preparation.to_dict(), code_version())

    def _report_cut(self) -> None:
        cut = pd.Series({record: entry.notes["cut"] for record, entry in self.entries.items()})
        if (cut > 0.02).any():
            log.warning(
                "The grid cuts off more than 2 %% of the foreground of %d of %d scans (at most %.0f %%): "
                "use a larger data.size or data.spacing, or data.spacing=fit.",
                (cut > 0.02).sum(), len(cut), 100 * cut.max(),
            )  # fmt: skip


def hide_sequences(volumes: Tensor, images: int, chance: float, seed: int) -> Tensor:
    """Zero whole sequences and their masks at random, never all that a record has.

    Args:
        volumes: (B, 2 * images, R, A, S): images, then as many masks.
        images: number of sequences.
        chance: of each sequence to be hidden.
        seed: decides which.
    """
    draw = torch.Generator().manual_seed(seed + 1)
    present = volumes[:, images:, 0, 0, 0].cpu() > 0
    hidden = (torch.rand(present.shape, generator=draw) < chance) & present
    hidden[(present & ~hidden).sum(dim=1) == 0] = False
    keep = (~hidden).to(volumes).repeat(1, 2)
    return volumes * keep[:, :, None, None, None]


def _identity(source: str) -> str:
    try:
        return file_identity(source)
    except ScanError:  # a missing file is reported when it is read
        return f"unreadable {source}"


def _median_spacing(train: Cohort) -> tuple[float, ...]:
    spacings = []
    for source in train.table[train.input_columns[0]].dropna():
        try:
            _, affine = read_geometry(source)
        except ScanError:
            continue
        if affine is not None:
            # voxel size along the patient's axes: each column belongs to the axis it mostly runs along
            lengths = np.linalg.norm(affine[:3, :3], axis=0)
            spacings.append(lengths[np.argsort(np.abs(affine[:3, :3]).argmax(axis=0))])
    if not spacings:
        raise UserError("data.spacing=auto needs scans that hold a voxel size; these do not. Use data.spacing=native.")
    return tuple(round(float(s), 4) for s in np.median(spacings, axis=0))
