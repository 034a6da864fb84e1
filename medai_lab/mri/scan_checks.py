"""What every scan must satisfy, whatever file format it came from."""

import math
from collections.abc import Sequence

import numpy as np

from medai_lab.errors import ScanError

MAX_VOXELS = 1024**3
"""The most voxels a header may claim. A larger claim is refused before any memory is taken."""

SPACING_LIMITS_MM = (0.005, 50.0)
"""Distances between voxels that a scan of a body, or of a mouse, can have."""

MIN_SKEW = 0.1
"""Smallest allowed volume of the unit cell spanned by the three axis directions (1 = at right angles)."""


def checked_shape(source: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """Return `shape` as three axes, without trailing axes of length one.

    Raises:
        ScanError: not one 3D volume, an empty or single-voxel axis, or more than `MAX_VOXELS` voxels.
    """
    axes = [int(n) for n in shape]
    while len(axes) > 3 and axes[-1] == 1:
        axes.pop()
    if any(n < 1 for n in axes):
        raise ScanError(f"{source}: the header claims the impossible shape {tuple(axes)}.")
    if len(axes) > 3:
        raise ScanError(
            f"{source}: holds {len(axes)}D data of shape {tuple(axes)}; one 3D volume a channel is needed. "
            "Split it into one file a channel."
        )
    if len(axes) < 3 or min(axes) < 2:
        raise ScanError(
            f"{source}: shape {tuple(axes)} is not a volume; at least 2 voxels along each of 3 axes needed."
        )
    if math.prod(axes) > MAX_VOXELS:
        raise ScanError(
            f"{source}: the header claims {tuple(axes)} = {math.prod(axes):,} voxels; at most {MAX_VOXELS:,} are read."
        )
    return axes[0], axes[1], axes[2]


def spacing_of(affine: np.ndarray) -> tuple[float, float, float]:
    """Return the distances between neighbouring voxels along the three array axes, in mm: the column norms."""
    x, y, z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(x), float(y), float(z)


def checked_affine(source: str, affine: np.ndarray) -> np.ndarray:
    """Return `affine` as float64 (4, 4) if it can be the geometry of a scan.

    Args:
        source: what to call the scan in the message.
        affine: maps voxel indices to millimetres.

    Raises:
        ScanError: non-finite, not invertible, nearly flat, or with absurd voxel sizes.
    """
    affine = np.asarray(affine, dtype=np.float64)
    if not np.isfinite(affine).all():
        raise ScanError(f"{source}: the affine holds values that are not finite.")
    if not np.allclose(affine[3], [0, 0, 0, 1]):
        raise ScanError(f"{source}: the last row of the affine is {affine[3].tolist()} instead of 0 0 0 1.")
    spacing = spacing_of(affine)
    low, high = SPACING_LIMITS_MM
    if not all(low <= s <= high for s in spacing):
        shown = " x ".join(f"{s:.4g}" for s in spacing)
        raise ScanError(f"{source}: a voxel size of {shown} mm cannot be right; {low} to {high} mm are accepted.")
    skew = abs(np.linalg.det(affine[:3, :3] / np.array(spacing)))
    if skew < MIN_SKEW:
        raise ScanError(f"{source}: the affine cannot be inverted reliably: two of its axes point almost the same way.")
    return affine


def checked_values(source: str, data: np.ndarray) -> np.ndarray:
    """Return `data` if every voxel is finite and not all are the same.

    Raises:
        ScanError: NaN or infinite voxels (counted), or a constant volume.
    """
    low, high = float(data.min()), float(data.max())  # both are finite only if every voxel is
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int(data.size - np.isfinite(data).sum())
        raise ScanError(f"{source}: {bad:,} of {data.size:,} voxels are NaN or infinite.")
    if low == high:
        raise ScanError(f"{source}: every voxel has the same value ({low:g}); there is no image.")
    return data
