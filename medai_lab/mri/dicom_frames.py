"""Where each frame of a DICOM image lies in space, from plain and from enhanced multi-frame headers."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medai_lab.errors import ScanError
from medai_lab.mri.dicom_headers import DAMAGED

if TYPE_CHECKING:
    from pydicom import Dataset

_ORTHONORMAL = 1e-2  # scanners print the direction cosines with as few as three digits


@dataclass(frozen=True)
class Frame:
    """One slice, as its header describes it (DICOM PS3.3, C.7.6.2).

    Attributes:
        path: the file.
        index: number of the frame in the file, from 0; None for a file of one slice.
        rows: pixels from top to bottom.
        columns: pixels from left to right.
        position: centre of the first pixel, mm in LPS+.
        row_direction: unit vector along which the column number grows.
        column_direction: unit vector along which the row number grows.
        spacing: mm between rows, then between columns.
        slope: factor from stored values to intensities.
        intercept: added after the factor.
    """

    path: Path
    index: int | None
    rows: int
    columns: int
    position: np.ndarray
    row_direction: np.ndarray
    column_direction: np.ndarray
    spacing: tuple[float, float]
    slope: float
    intercept: float

    @property
    def name(self) -> str:
        """File name, with the frame where there are several."""
        return self.path.name if self.index is None else f"{self.path.name} frame {self.index + 1}"

    @property
    def normal(self) -> np.ndarray:
        """Unit vector at right angles to the slice."""
        return np.cross(self.row_direction, self.column_direction)


def frames_of(path: Path, header: "Dataset") -> list[Frame]:
    """Return the frames of one image.

    Raises:
        ScanError: a colour image, a value table instead of slope and intercept, or geometry that is missing
            or impossible. The file is named.
    """
    try:
        _check_grey(path, header)
        if "PerFrameFunctionalGroupsSequence" in header:
            return _enhanced(path, header)
        if int(header.get("NumberOfFrames") or 1) > 1:
            raise ScanError(f"{path}: holds {header.NumberOfFrames} frames without a position for each.")
        return [_frame(path, None, header, [header])]
    except DAMAGED as error:
        raise ScanError(f"{path}: the DICOM header is damaged ({error}).") from error


def _check_grey(path: Path, header: "Dataset") -> None:
    samples = int(header.get("SamplesPerPixel") or 1)
    meaning = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if samples != 1 or meaning != "MONOCHROME2":
        raise ScanError(
            f"{path}: holds {meaning} pixels of {samples} sample(s); one sample of MONOCHROME2 is read. "
            "It may be a screen capture."
        )
    if header.get("ModalityLUTSequence"):
        raise ScanError(f"{path}: maps its values through a table (Modality LUT), which is not read for volumes.")


def _enhanced(path: Path, header: "Dataset") -> list[Frame]:
    """Return the frames of an enhanced image: each macro stands with the frame, or is shared by all."""
    groups = header.PerFrameFunctionalGroupsSequence
    count = int(header.get("NumberOfFrames") or 1)
    if len(groups) != count:
        raise ScanError(f"{path}: claims {count} frames but describes {len(groups)}.")
    shared = list(header.get("SharedFunctionalGroupsSequence") or [])
    frames = []
    for index, group in enumerate(groups):
        macros = [
            item
            for place in (group, *shared)
            for keyword in (
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
                "PixelValueTransformationSequence",
            )
            for item in place.get(keyword) or []
        ]
        frames.append(_frame(path, index, header, macros))
    return frames


def _frame(path: Path, index: int | None, header: "Dataset", places: "list[Dataset]") -> Frame:
    """Build one frame; each value is taken from the first of `places` that has it."""
    cosines = _numbers(path, "ImageOrientationPatient", 6, places)
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    off = max(abs(np.linalg.norm(row) - 1), abs(np.linalg.norm(column) - 1), abs(row @ column))
    if off > _ORTHONORMAL:
        raise ScanError(f"{path}: ImageOrientationPatient is not two unit vectors at right angles.")
    spacing = _numbers(path, "PixelSpacing", 2, places)
    slope, intercept = (
        _numbers(path, k, 1, places, d)[0] for k, d in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    return Frame(
        path=path,
        index=index,
        rows=int(header.Rows),
        columns=int(header.get("Columns") or 0),
        position=np.array(_numbers(path, "ImagePositionPatient", 3, places)),
        row_direction=row / np.linalg.norm(row),
        column_direction=column / np.linalg.norm(column),
        spacing=(spacing[0], spacing[1]),
        slope=slope,
        intercept=intercept,
    )


def _numbers(
    path: Path, keyword: str, count: int, places: "list[Dataset]", default: float | None = None
) -> tuple[float, ...]:
    """Return an element of `count` numbers."""
    value = next((p[keyword].value for p in places if keyword in p and p[keyword].value is not None), None)
    if value is None or value == "":
        if default is None:
            raise ScanError(f"{path}: has no {keyword}, so its place in space is unknown.")
        return (default,) * count
    numbers = tuple(float(v) for v in (value if count > 1 else [value]))
    if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
        raise ScanError(f"{path}: {keyword} is not {count} finite number(s).")
    return numbers
