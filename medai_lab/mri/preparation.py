"""What is done to a scan once, before training: orientation, foreground, resampling, normalisation.

Every step is linear and axis-aligned, so resampling is three small matrix products, one an axis: exact,
deterministic and, because each output voxel averages the input it covers, free of aliasing.
"""

import hashlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, cast

import nibabel as nib
import numpy as np

from medai_lab.errors import ScanError
from medai_lab.mri import volumes
from medai_lab.mri.volumes import Volume, read_volume

Spacing = Literal["fit", "native"] | tuple[float, float, float]

BACKGROUND_SHARE = 0.1  # an exact minimum held by this share of voxels is a mask's background
PLANE_SHARE = 0.005  # a plane belongs to the foreground box when this share of it is foreground
CLIP = 6.0  # standard deviations; vessels and artefacts beyond would only cost float16 precision


@dataclass(frozen=True)
class Preparation:
    """The resolved parameters of the preparation, as a run keeps and re-uses them.

    Attributes:
        channels: names of the sequences, in channel order.
        spacing: voxel size of the output in mm along R, A, S; `fit` scales each scan, proportions kept, so that
            its foreground fills the grid; `native` keeps the voxels as stored (for data without geometry).
        size: voxels along R, A, S.
        mask_channels: missing sequences become zeros, and one channel a sequence says whether it was there.
    """

    channels: tuple[str, ...]
    spacing: Spacing
    size: tuple[int, int, int]
    mask_channels: bool = False

    @property
    def n_channels(self) -> int:
        """Channels of a prepared array."""
        return len(self.channels) * (2 if self.mask_channels else 1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, numbers and strings."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Undo `to_dict`."""
        spacing: Any = value["spacing"]
        return cls(
            tuple(value["channels"]),
            cast(Spacing, spacing if isinstance(spacing, str) else _triple(spacing)),
            _triple(value["size"]),
            value["mask_channels"],
        )

    def __call__(self, sources: Sequence[str | None]) -> tuple[np.ndarray, dict[str, Any]]:
        """Prepare one record.

        Args:
            sources: one locator a channel, None where the sequence is missing.

        Returns:
            float16 (channels, R, A, S), about zero mean and unit deviation inside the foreground, and notes:
            native shape, spacing, and the share of the foreground that the grid cuts off.

        Raises:
            ScanError: a scan cannot be read or used.
        """
        scans = {c: canonical(read_volume(s)) for c, s in zip(self.channels, sources, strict=True) if s is not None}
        reference_name, reference = next(iter(scans.items()))
        masks = {c: foreground(scan.data) for c, scan in scans.items()}
        box = bounding_box(masks[reference_name])
        grid = self._grid(reference, box, str(sources[self.channels.index(reference_name)]))
        out = np.zeros((self.n_channels, *self.size), dtype=np.float16)
        for i, channel in enumerate(self.channels):
            if channel in scans:
                aligned, mask = align(scans[channel], masks[channel], reference)
                out[i] = resample(normalise(aligned, mask), grid)
                if self.mask_channels:
                    out[len(self.channels) + i] = 1.0
        return out, {
            "shape": list(reference.data.shape),
            "spacing": list(reference.spacing) if reference.spacing else None,
            "cut": round(_cut(masks[reference_name], grid, self.size), 4),
        }

    def _grid(self, scan: Volume, box: np.ndarray, source: str) -> list[tuple[float, float, int]]:
        """For every axis: native coordinate of the grid's first edge, native voxels a grid voxel, grid voxels."""
        voxel = np.array(scan.spacing or (1.0, 1.0, 1.0))
        if self.spacing == "native":
            step = np.ones(3)
        elif self.spacing == "fit":
            extent = (box[1] - box[0]) * voxel
            step = np.max(extent / np.array(self.size)) / voxel
        elif scan.affine is None:
            raise ScanError(
                f"{source}: this format holds no voxel size, so data.spacing={self.spacing} cannot be met; use native."
            )
        else:
            step = np.array(self.spacing) / voxel
        first = box.mean(axis=0) - step * np.array(self.size) / 2
        return [(float(f), float(s), n) for f, s, n in zip(first, step, self.size, strict=True)]


def code_version() -> str:
    """Return a digest of the code that makes prepared arrays, so that a change of it renews the cache."""
    text = "".join(inspect.getsource(module) for module in (sys.modules[__name__], volumes))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def canonical(volume: Volume) -> Volume:
    """Turn and mirror the axes so that they run to the patient's right, front and top (RAS+), as near as can be."""
    if volume.affine is None:
        return volume
    turn = nib.orientations.io_orientation(volume.affine)
    data = nib.orientations.apply_orientation(volume.data, turn)
    affine = volume.affine @ nib.orientations.inv_ornt_aff(turn, volume.data.shape)
    return Volume(data, affine)


def foreground(data: np.ndarray) -> np.ndarray:
    """Return the mask of what was scanned, against air or a masked background.

    Where a tenth of the voxels hold exactly the minimum, the scan was masked (skull-stripped, a shape) and all
    else is foreground. Otherwise Otsu's threshold parts tissue from air (Otsu, IEEE Trans. SMC 9(1), 1979), on
    a sample of the voxels.
    """
    low = data.min()
    mask: np.ndarray = data > low
    if 1 - mask.mean() >= BACKGROUND_SHARE:
        return mask
    step = max(1, round((data.size / 200_000) ** (1 / 3)))
    sample = data[::step, ::step, ::step]
    counts, edges = np.histogram(sample, 256, range=(float(low), float(np.quantile(sample, 0.995))))
    centres = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts), counts.sum() - np.cumsum(counts)
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return data > centres[np.nanargmax(between)]


def bounding_box(mask: np.ndarray) -> np.ndarray:
    """Return the (2, 3) lower and upper corner, in voxels, of the planes that hold foreground.

    Single bright voxels in the air do not widen it.
    """
    box = np.zeros((2, 3))
    for axis in range(3):
        share = mask.mean(axis=tuple(a for a in range(3) if a != axis))
        inside = np.flatnonzero(share > min(PLANE_SHARE, share.max() / 2))
        box[:, axis] = inside[0], inside[-1] + 1
    return box


def normalise(data: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shift and scale to zero mean and unit deviation inside the mask, clipped to six deviations."""
    inside = data[mask]
    mean, deviation = float(inside.mean()), float(inside.std())
    if deviation == 0:  # a shape of one value: tell it from its background
        mean, deviation = float(data.mean()), float(data.std())
    return np.clip((data - mean) / deviation, -CLIP, CLIP, dtype=np.float32)


def align(scan: Volume, mask: np.ndarray, reference: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Bring a sequence onto the grid of the first one, by their positions in the scanner."""
    same_shape = scan.data.shape == reference.data.shape
    if scan.affine is None or reference.affine is None:
        if same_shape:
            return scan.data, mask
        raise ScanError(
            f"The sequences of one record have shapes {reference.data.shape} and {scan.data.shape} and no geometry."
        )
    if same_shape and np.allclose(scan.affine, reference.affine, atol=1e-3):
        return scan.data, mask
    from scipy.ndimage import affine_transform

    mapping = np.linalg.inv(scan.affine) @ reference.affine
    shape = reference.data.shape
    data = affine_transform(scan.data, mapping, output_shape=shape, order=1, cval=float(scan.data.min()))
    inside = affine_transform(mask.astype(np.float32), mapping, output_shape=shape, order=1) > 0.5
    if not inside.any():
        raise ScanError("Two sequences of one record do not overlap in space; are they of one patient and session?")
    return data, inside


def resample(data: np.ndarray, grid: Sequence[tuple[float, float, int]]) -> np.ndarray:
    """Sample on the grid, axis by axis; what lies outside the scan is its darkest value."""
    out = data - data.min()
    for axis, (first, step, count) in enumerate(grid):
        weights = _axis_weights(out.shape[axis], first, step, count)
        out = np.moveaxis(np.tensordot(weights, out, axes=(1, axis)), 0, axis)
    return out + data.min()


def _axis_weights(n: int, first: float, step: float, count: int) -> np.ndarray:
    """Return (count, n): a triangle over every output voxel, as wide as the coarser of the two grids.

    The filter is that of PIL's and torch's anti-aliased bilinear resizing.
    """
    centres = first + step * (np.arange(count) + 0.5)
    width = max(1.0, step)
    weights = np.clip(1 - np.abs(centres[:, None] - (np.arange(n) + 0.5)) / width, 0, None)
    # a full triangle's sum, as if the scan went on for ever: what lies outside of it then counts as zero
    nearby = np.floor(centres)[:, None] + np.arange(-int(width) - 1, int(width) + 2)
    whole = np.clip(1 - np.abs(centres[:, None] - (nearby + 0.5)) / width, 0, None)
    return (weights / whole.sum(axis=1, keepdims=True)).astype(np.float32)


def _cut(mask: np.ndarray, grid: Sequence[tuple[float, float, int]], size: Sequence[int]) -> float:
    """Share of the foreground that lies outside the grid."""
    window = tuple(
        slice(max(0, round(first)), max(0, round(first + step * n)))
        for (first, step, _), n in zip(grid, size, strict=True)
    )
    return 1 - float(mask[window].sum()) / max(1, int(mask.sum()))


def _triple(values: Sequence[Any]) -> Any:
    return tuple(values)
