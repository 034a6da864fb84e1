"""Finding DICOM images in folders and reading their headers, without their pixels."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from medai_lab.errors import ScanError

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Endings by which a file says that it is DICOM. DICOM files without an ending are found by their content."""

DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, struct.error)
"""What pydicom raises for damaged files; NotImplementedError is a RuntimeError."""

_TAGS = [
    "SOPClassUID",
    "Modality",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "PixelSpacing",
    "RescaleIntercept",
    "RescaleSlope",
    "ModalityLUTSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]


def files_below(folder: Path) -> list[Path]:
    """Return all files in `folder` and its subfolders, sorted, without hidden ones."""
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [f for f in folders if not f.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(found)


def is_dicom(path: Path) -> bool:
    """Return whether the file starts as DICOM files do: any 128 bytes, then `DICM` (PS3.10, section 7.1).

    Raises:
        ScanError: the name says DICOM and the content does not, so that a slice cannot be lost unnoticed.
    """
    with path.open("rb") as file:
        start = file.read(132)
    if start[128:] == b"DICM":
        return True
    if path.suffix.lower() in DICOM_SUFFIXES:
        raise ScanError(f"{path}: is not a DICOM file" + (" (it is empty)." if not start else ", or is damaged."))
    return False


def read_header(path: Path) -> "Dataset | None":
    """Return the header of a DICOM image with the elements needed to place it in space.

    Returns:
        None for files that are not DICOM, and for DICOM objects that are no images (directories, reports).

    Raises:
        ScanError: the file is damaged, or its whole content is deflated: such a file can inflate a
            thousandfold before anything of it can be checked.
    """
    if not is_dicom(path):
        return None
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

    try:
        meta = read_file_meta_info(path)
        if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
            return None
        if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise ScanError(f"{path}: the transfer syntax {DeflatedExplicitVRLittleEndian.name} is not read.")
        header = dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except (*DAMAGED, InvalidDicomError) as error:
        raise ScanError(f"{path}: the DICOM header is damaged ({error}).") from error
    if "Rows" in header:
        return header
    kind = meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    if kind is None or kind.name.endswith("Image Storage"):  # cut off: it must not be passed over as no image
        raise ScanError(f"{path}: the DICOM header is damaged or cut off (an image without a size).")
    return None


def image_headers(files: list[Path]) -> Iterator[tuple[Path, "Dataset"]]:
    """Yield path and header of every DICOM image among `files`.

    Raises:
        ScanError: as `read_header`.
    """
    for path in files:
        header = read_header(path)
        if header is not None:
            yield path, header


def text_of(header: "Dataset", keyword: str) -> str:
    """Return an element as text without surrounding blanks; empty where it is missing."""
    value = header.get(keyword)
    return "" if value is None else str(value).strip()
