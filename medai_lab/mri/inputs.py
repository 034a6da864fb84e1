"""Scans whose truth is not known: what `job=predict` finds in a file, a folder or a table."""

from pathlib import Path

import pandas as pd

from medai_lab.cohort.cohort import Cohort
from medai_lab.errors import UserError
from medai_lab.mri.formats_dicom import dicom

NIFTI = (".nii", ".nii.gz")


def find_inputs(source: str, channels: tuple[str, ...]) -> Cohort:
    """Return one record a scan.

    Args:
        source: a NIfTI file, a DICOM file's folder, a folder of either, or a CSV with a path column a channel.
        channels: the run's sequences. With several, a CSV is needed, or files that end in the channel's name.

    Raises:
        UserError: nothing was found; says what was looked for.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise UserError(f"input={source}: no such file or folder.")
    if path.suffix == ".csv":
        return _from_csv(path, channels)
    if path.is_file():
        if not path.name.endswith(NIFTI):
            raise UserError(
                f"input={source}: a file must be .nii, .nii.gz or .csv; a DICOM series is given as its folder."
            )
        return _cohort([(_stem(path), [str(path)])], channels, path)
    found = _nifti_records(path, channels) or _dicom_records(path)
    if not found:
        raise UserError(
            f"input={source}: neither NIfTI files (*.nii, *.nii.gz) nor DICOM series were found in this folder."
        )
    return _cohort(found, channels, path)


def _from_csv(path: Path, channels: tuple[str, ...]) -> Cohort:
    table = pd.read_csv(path, dtype="string", encoding="utf-8-sig")
    columns = {c: c for c in channels if c in table} or (
        {channels[0]: "path"} if "path" in table and len(channels) == 1 else {}
    )
    if set(columns) != set(channels):
        wanted = list(channels) if len(channels) > 1 else [channels[0], "path"]
        raise UserError(
            f"{path}: a column of paths is needed for each of {wanted}; the table has {list(table.columns)}."
        )
    out = pd.DataFrame(
        {f"input_{c}": [_resolve(p, path.parent) for p in table[column]] for c, column in columns.items()}
    )
    first = out[f"input_{channels[0]}"]
    out["record_id"] = (
        table["record_id"]
        if "record_id" in table
        else [_stem(Path(p)) if p else f"row {i}" for i, p in enumerate(first)]
    )
    out["patient_id"] = table["patient_id"] if "patient_id" in table else out["record_id"]
    return Cohort(out, channels, None, path.stem)


def _nifti_records(folder: Path, channels: tuple[str, ...]) -> list[tuple[str, list[str | None]]]:
    files = sorted(p for p in folder.rglob("*.nii*") if p.name.endswith(NIFTI) and not p.name.startswith("."))
    if len(channels) == 1:
        own = [f for f in files if _stem(f).endswith(f"_{channels[0]}")]
        return [(_relative(f, folder), [str(f)]) for f in own or files]
    groups: dict[str, dict[str, str]] = {}
    for file in files:
        for channel in channels:
            if _stem(file).endswith(channel):
                groups.setdefault(_relative(file, folder).removesuffix(channel).rstrip("_-/"), {})[channel] = str(file)
    return [(record, [files.get(c) for c in channels]) for record, files in sorted(groups.items())]


def _dicom_records(folder: Path) -> list[tuple[str, list[str | None]]]:
    try:
        series = dicom(str(folder), labels=None, target=None).table
    except UserError:
        return []
    return [(uid, [source]) for uid, source in zip(series["record_id"], series["input_image"], strict=True)]


def _cohort(
    found: list[tuple[str, list[str | None]]] | list[tuple[str, list[str]]], channels: tuple[str, ...], path: Path
) -> Cohort:
    if any(len(sources) != len(channels) for _, sources in found):
        raise UserError(
            f"The run needs the sequences {list(channels)}: give input=TABLE.csv with one path column for each."
        )
    table = pd.DataFrame({"record_id": [record for record, _ in found]}, dtype="string")
    table["patient_id"] = table["record_id"]
    for i, channel in enumerate(channels):
        table[f"input_{channel}"] = [sources[i] for _, sources in found]
    return Cohort(table, channels, None, path.name)


def _resolve(path: str | None, base: Path) -> str | None:
    if path is None or pd.isna(path):
        return None
    return str(Path(path) if Path(path).is_absolute() else base / path)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _relative(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)).removesuffix(".gz").removesuffix(".nii")
