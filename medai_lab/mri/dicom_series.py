"""A DICOM series as one volume: slices put in order by their place in space, and refused where they do not fit.

The affine follows DICOM PS3.3, C.7.6.2.1.1 (pixel to LPS+ mm), with the two first axes of space turned round for
RAS+. The step between slices comes from their positions: SliceThickness is the thickness of what was excited, not
the distance to the next slice.
"""

import math
from collections import defaultdict
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medai_lab.errors import ScanError
from medai_lab.mri.dicom_frames import Frame, frames_of
from medai_lab.mri.dicom_headers import DAMAGED, files_below, image_headers, text_of
from medai_lab.mri.scan_checks import checked_affine, checked_shape

if TYPE_CHECKING:
    from pydicom import Dataset

GAP_TOLERANCE = 0.1
"""How far a step between neighbouring slices may differ from the usual one, as a share of it."""

_SAME_PLACE_MM = 0.01
_SAME_DIRECTION = 1e-3
_SAME_SPACING = 1e-3
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read(path: Path, uid: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the series in a folder (or one file).

    Args:
        path: the folder; its subfolders are searched too.
        uid: the SeriesInstanceUID, needed where the folder holds more than one series.

    Returns:
        Intensities, float32 (columns, rows, slices), rescaled slice by slice; and the affine, float64 (4, 4),
        index to RAS+ mm.

    Raises:
        ScanError: see `geometry`; or pixels that are truncated or cannot be decoded.
    """
    frames = _ordered(path, _chosen(path, uid))
    affine = checked_affine(str(path), _affine(frames))
    data = np.empty((len(frames), frames[0].rows, frames[0].columns), dtype=np.float32)
    numbered = sorted(enumerate(frames), key=lambda pair: pair[1].path)
    for file, group in groupby(numbered, key=lambda pair: pair[1].path):
        pixels = _pixels(file)
        for place, frame in group:
            stored = pixels if frame.index is None else pixels.reshape(-1, frame.rows, frame.columns)[frame.index]
            data[place] = stored
            if (frame.slope, frame.intercept) != (1.0, 0.0):
                data[place] = stored * frame.slope + frame.intercept
    return data.transpose(2, 1, 0), affine


def geometry(path: Path, uid: str | None = None) -> tuple[tuple[int, int, int], np.ndarray]:
    """Return shape (columns, rows, slices) and affine of the series in a folder, from its headers.

    Raises:
        ScanError: no series or several; slices that are missing, repeated, uneven, or differ in size,
            orientation or pixel spacing; geometry missing; colour images; fewer than two slices; a
            compression without a decoder.
    """
    frames = _ordered(path, _chosen(path, uid))
    return (frames[0].columns, frames[0].rows, len(frames)), checked_affine(str(path), _affine(frames))


def _chosen(path: Path, uid: str | None) -> list[Frame]:
    """Return the frames of the wanted series."""
    series: dict[str, list[tuple[Path, Dataset]]] = defaultdict(list)
    for file, header in image_headers(files_below(path) if path.is_dir() else [path]):
        series[text_of(header, "SeriesInstanceUID")].append((file, header))
    if not series:
        raise ScanError(f"{path}: no DICOM image was found there.")
    listed = "; ".join(
        f"{name or '(without UID)'}: {len(files)} file(s), {text_of(files[0][1], 'Modality') or 'unknown modality'}"
        for name, files in sorted(series.items())
    )
    if uid is None and len(series) > 1:
        raise ScanError(f"{path}: holds {len(series)} series; add #SeriesInstanceUID to choose one of {listed}.")
    if uid is not None and uid not in series:
        raise ScanError(f"{path}: has no series {uid}; it holds {listed}.")
    files = series[uid] if uid is not None else next(iter(series.values()))
    for file, header in files:
        _check_decodable(file, header)
    return [frame for file, header in files for frame in frames_of(file, header)]


def _ordered(path: Path, frames: list[Frame]) -> list[Frame]:
    """Return the frames sorted along their normal, after checking that they make one regular grid."""
    first = frames[0]
    if len(frames) < 2:
        raise ScanError(f"{first.path}: the series has a single slice; at least two make a volume.")
    for frame in frames[1:]:
        _check_same_grid(path, first, frame)
    checked_shape(str(path), (first.columns, first.rows, len(frames)))
    frames = sorted(frames, key=lambda f: (float(f.position @ first.normal), f.name))
    steps = np.diff([f.position @ first.normal for f in frames])
    for (below, above), step in zip(pairwise(frames), steps, strict=True):
        if step < _SAME_PLACE_MM:
            raise ScanError(
                f"{path}: '{below.name}' and '{above.name}' lie at the same place; the series holds a slice twice, or "
                "several volumes (echoes, time points)."
            )
    usual = float(np.median(steps))
    for (below, above), step in zip(pairwise(frames), steps, strict=True):
        _check_step(path, below, above, float(step), usual)
    _check_straight(path, frames, usual)
    return frames


def _check_same_grid(path: Path, first: Frame, frame: Frame) -> None:
    """Refuse two frames of different size, orientation or pixel spacing."""
    names = f"{path}: '{first.name}' and '{frame.name}' differ in"
    if (first.rows, first.columns) != (frame.rows, frame.columns):
        raise ScanError(f"{names} size: {first.columns}x{first.rows} and {frame.columns}x{frame.rows} pixels.")
    turned = max(
        np.abs(first.row_direction - frame.row_direction).max(),
        np.abs(first.column_direction - frame.column_direction).max(),
    )
    if turned > _SAME_DIRECTION:
        raise ScanError(f"{names} orientation, so they are not slices of one volume (a localizer?).")
    if not all(math.isclose(a, b, rel_tol=_SAME_SPACING) for a, b in zip(first.spacing, frame.spacing, strict=True)):
        raise ScanError(f"{names} pixel spacing: {first.spacing} and {frame.spacing} mm.")


def _check_step(path: Path, below: Frame, above: Frame, step: float, usual: float) -> None:
    """Refuse neighbours that lie closer or farther than the others."""
    if abs(step - usual) <= GAP_TOLERANCE * usual:
        return
    missing = round(step / usual) - 1
    what = f"{missing} slice(s) seem to be missing" if missing > 0 else "the slices are uneven"
    raise ScanError(
        f"{path}: between '{below.name}' and '{above.name}' the step is {step:.3g} mm where {usual:.3g} mm is usual: "
        f"{what}."
    )


def _check_straight(path: Path, frames: list[Frame], usual: float) -> None:
    """Refuse stacks whose slices wander sideways: no single affine describes them."""
    positions = np.array([f.position for f in frames])
    steps = np.diff(positions, axis=0)
    aside = np.linalg.norm(steps - steps.mean(axis=0), axis=1)
    worst = int(aside.argmax())
    if aside[worst] > 2 * GAP_TOLERANCE * usual:
        raise ScanError(
            f"{path}: between '{frames[worst].name}' and '{frames[worst + 1].name}' the slices shift sideways by "
            f"{aside[worst]:.3g} mm."
        )


def _affine(frames: list[Frame]) -> np.ndarray:
    """Return the affine of ordered frames: index (column, row, slice) to RAS+ mm."""
    first, last = frames[0], frames[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.row_direction * first.spacing[1]
    affine[:3, 1] = first.column_direction * first.spacing[0]
    affine[:3, 2] = (last.position - first.position) / (len(frames) - 1)
    affine[:3, 3] = first.position
    return _LPS_TO_RAS @ affine


def _check_decodable(file: Path, header: "Dataset") -> None:
    """Refuse pixels that are compressed in a way for which no decoder is installed."""
    from pydicom.pixels import get_decoder

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise ScanError(f"{file}: names no transfer syntax.")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ScanError(f"{file}: the transfer syntax {syntax.name} is not read.") from error
    if not decoder.is_available:
        needed = "; ".join(decoder.missing_dependencies)
        raise ScanError(f"{file}: no decoder for the transfer syntax {syntax.name} is installed ({needed}).")


def _pixels(file: Path) -> np.ndarray:
    """Decode the stored values of one file."""
    from pydicom.pixels import pixel_array

    try:
        pixels: np.ndarray = pixel_array(file)
    except DAMAGED as error:
        raise ScanError(f"{file}: the pixels are truncated or damaged ({' '.join(str(error).split())}).") from error
    return pixels
