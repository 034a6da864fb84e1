"""Makers of small real scan files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def oblique_affine(
    spacing: Sequence[float] = (0.9, 1.1, 2.5), origin: Sequence[float] = (-30.0, 12.0, 5.0)
) -> np.ndarray:
    """A rotated affine without shear, voxel index to RAS+ mm."""
    a, b, c = 0.3, -0.2, 0.5
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = x @ y @ z @ np.diag(spacing)
    affine[:3, 3] = origin
    return affine


def some_volume(shape: Sequence[int] = (6, 5, 4), seed: int = 0) -> np.ndarray:
    """Random int16 voxels between 0 and 1000."""
    return np.random.default_rng(seed).integers(0, 1000, shape).astype(np.int16)


def write_nifti(
    path: Path, data: np.ndarray | None = None, affine: np.ndarray | None = None, coded: bool = True
) -> Path:
    """Write a NIfTI-1 file; with `coded=False` one whose header says that it holds no geometry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine
    image = nib.Nifti1Image(some_volume() if data is None else data, affine)
    image.set_sform(affine, code=int(coded))
    image.set_qform(affine, code=int(coded))
    nib.save(image, path)
    return path


def write_slice(path: Path, pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **elements: Any) -> Path:
    """Write one single-frame MR image; an element given as None is left out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    image = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "MR",
        "PatientID": "P1",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 0],
        "PixelSpacing": [1, 1],
        **elements,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(image, keyword, value)
    image.PixelData = pixels.astype("<i2").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    return path


def placed(affine: np.ndarray, index: int) -> dict[str, list[float]]:
    """The geometry elements of slice `index` of a volume with that affine (index to RAS+ mm)."""
    lps = LPS_TO_RAS @ affine
    columns, rows = np.linalg.norm(lps[:3, 0]), np.linalg.norm(lps[:3, 1])
    return {
        "ImageOrientationPatient": _short([*(lps[:3, 0] / columns), *(lps[:3, 1] / rows)]),
        "ImagePositionPatient": _short(lps[:3, 3] + index * lps[:3, 2]),
        "PixelSpacing": _short([rows, columns]),
    }


def write_series(
    folder: Path, data: np.ndarray | None = None, affine: np.ndarray | None = None, **elements: Any
) -> Path:
    """Write a volume (X, Y, Z) as one file a slice; names are not in the order of space."""
    data = some_volume() if data is None else data
    affine = oblique_affine() if affine is None else affine
    for index in range(data.shape[2]):
        name = f"IM{(index * 7) % 101:04d}"
        write_slice(folder / name, data[:, :, index].T, **{**placed(affine, index), **elements})
    return folder


def write_enhanced(path: Path, data: np.ndarray, affine: np.ndarray, per_frame: bool = True) -> Path:
    """Write a volume (X, Y, Z) as one multi-frame file, with or without the place of each frame."""
    geometry = [placed(affine, i) for i in range(data.shape[2])]
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=geometry[0]["ImageOrientationPatient"])]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=geometry[0]["PixelSpacing"])]
    shared.PixelValueTransformationSequence = [_item(RescaleSlope=2, RescaleIntercept=-1)]
    groups = []
    for place in geometry:
        group = Dataset()
        group.PlanePositionSequence = [_item(ImagePositionPatient=place["ImagePositionPatient"])]
        groups.append(group)
    order = list(range(data.shape[2]))[::-1]  # frames need not be stored in the order of space
    return write_slice(
        path,
        np.stack([data[:, :, i].T for i in order]),
        NumberOfFrames=data.shape[2],
        ImageOrientationPatient=None,
        ImagePositionPatient=None,
        PixelSpacing=None,
        SharedFunctionalGroupsSequence=[shared] if per_frame else None,
        PerFrameFunctionalGroupsSequence=[groups[i] for i in order] if per_frame else None,
    )


def _item(**elements: Any) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _short(values: Sequence[float] | np.ndarray) -> list[float]:
    """Numbers of at most 16 characters, as the DICOM decimal string allows."""
    return [float(f"{v:.9g}") for v in values]
