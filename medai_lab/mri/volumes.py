"""One door to every kind of scan: a source, written as text, becomes voxels with their place in space.

A source is one of

- `scan.nii`, `scan.nii.gz`: one volume;
- `folder`: the one DICOM series inside it (`series.dcm`: a multi-frame series in one file);
- `folder#1.2.840...`: the series of that SeriesInstanceUID, where the folder holds several;
- `file.npz#train_images/12`: item 12 of the array `train_images`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medai_lab.errors import ScanError
from medai_lab.mri import dicom_series, nifti, npz
from medai_lab.mri.dicom_headers import DICOM_SUFFIXES, files_below
from medai_lab.mri.scan_checks import checked_values, spacing_of


@dataclass(frozen=True)
class Volume:
    """One scan of one channel.

    Attributes:
        data: intensities, float32 (X, Y, Z); finite and not all the same.
        affine: float64 (4, 4), voxel index to RAS+ millimetres; None where the format has no geometry.
    """

    data: np.ndarray
    affine: np.ndarray | None

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Distances between neighbouring voxels along the three array axes, in mm; None without geometry."""
        return None if self.affine is None else spacing_of(self.affine)


def read_volume(source: str) -> Volume:
    """Read the scan at `source`.

    Raises:
        ScanError: the scan is missing, damaged, not one 3D volume, without geometry (but for `.npz`), or empty
            of content. The message names the file and the reason.
    """
    path, fragment = _located(source)
    affine: np.ndarray | None = None
    try:
        if _is_dicom(path):
            data, affine = dicom_series.read(path, fragment)
        elif path.suffix == ".npz":
            data = npz.read(path, fragment or "")
        else:
            data, affine = nifti.read(path)
    except (OSError, MemoryError) as error:
        raise ScanError(f"{source}: cannot be read ({error or 'out of memory'}).") from error
    return Volume(checked_values(source, data), affine)


def read_geometry(source: str) -> tuple[tuple[int, int, int], np.ndarray | None]:
    """Read shape and affine of the scan at `source` from its headers; no voxels are decoded.

    Raises:
        ScanError: as `read_volume`, for what the headers can show.
    """
    path, fragment = _located(source)
    try:
        if _is_dicom(path):
            return dicom_series.geometry(path, fragment)
        if path.suffix == ".npz":
            return npz.read_shape(path, fragment or ""), None
        header = nifti.read_header(path)
    except OSError as error:
        raise ScanError(f"{source}: cannot be read ({error}).") from error
    return header.shape, header.affine


def file_identity(source: str) -> str:
    """Return a text that changes when any file behind `source` is changed, added, removed or moved.

    It lists resolved path, size and modification time in nanoseconds of every file; no content is read.

    Raises:
        ScanError: there is no such file.
    """
    path, fragment = _located(source)
    try:
        stats = [(file.resolve(), file.stat()) for file in (files_below(path) if path.is_dir() else [path])]
    except OSError as error:
        raise ScanError(f"{source}: cannot be read ({error}).") from error
    return "\n".join([f"{file}|{stat.st_size}|{stat.st_mtime_ns}" for file, stat in stats] + [fragment or ""])


def split_source(source: str) -> tuple[Path, str | None]:
    """Split a source into its path and what follows the `#`; a `#` that belongs to the path is left alone."""
    path, mark, fragment = source.rpartition("#")
    if not mark or Path(source).exists():
        return Path(source), None
    return Path(path), fragment


def _located(source: str) -> tuple[Path, str | None]:
    """Return path and fragment of a source that is there and of a kind that can be read."""
    path, fragment = split_source(source)
    if not path.exists():
        raise ScanError(f"{source}: no such file or folder.")
    if path.is_file() and path.stat().st_size == 0:
        raise ScanError(f"{source}: the file is empty (zero bytes).")
    known = path.name.endswith((".nii", ".nii.gz", ".npz")) or _is_dicom(path)
    if not known:
        raise ScanError(f"{source}: not a kind of scan that is read (.nii, .nii.gz, .npz#key/index, a DICOM folder).")
    return path, fragment


def _is_dicom(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in DICOM_SUFFIXES
