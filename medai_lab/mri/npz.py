"""Volumes inside NumPy archives, as MedMNIST publishes them: one array of shape (N, X, Y, Z) a key."""

import math
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from medai_lab.errors import ScanError, nearest
from medai_lab.mri.scan_checks import MAX_VOXELS, checked_shape

_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError)


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array of an archive, from the headers alone.

    Raises:
        ScanError: the file is no NumPy archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith(".npy")]
            return {name.removesuffix(".npy"): _header(archive, name)[0] for name in names}
    except _DAMAGED as error:
        raise ScanError(f"{path}: is not a readable NumPy archive ({error}).") from error


def read_shape(path: Path, locator: str) -> tuple[int, int, int]:
    """Return the shape of the volume at `key/index`, without inflating it.

    Raises:
        ScanError: no such key or index, or what is there is not a grey-value volume.
    """
    shapes = array_shapes(path)
    key, index = _split(path, locator, shapes)
    shape = shapes[key]
    if math.prod(shape) > MAX_VOXELS:
        raise ScanError(f"{path}: '{key}' claims {math.prod(shape):,} values; at most {MAX_VOXELS:,} are read.")
    if not shape or not 0 <= index < shape[0]:
        raise ScanError(f"{path}: '{key}' of shape {shape} has no item {index}.")
    return checked_shape(f"{path}#{locator}", shape[1:])


def read(path: Path, locator: str) -> np.ndarray:
    """Read the volume at `key/index` as float32 (X, Y, Z).

    Raises:
        ScanError: as `read_shape`, or the archive is damaged or holds something other than numbers.
    """
    read_shape(path, locator)
    key, index = locator.rsplit("/", 1)
    stat = path.stat()
    volumes: np.ndarray = _kept(path, key, stat.st_size, stat.st_mtime_ns)
    return np.asarray(volumes[int(index)], dtype=np.float32)


def read_array(path: Path, key: str) -> np.ndarray:
    """Read one whole array of numbers.

    Raises:
        ScanError: the archive is damaged, has no such array, or the array holds something other than numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shape, dtype = _header(archive, f"{key}.npy")
            if dtype.kind not in "iufb" or math.prod(shape) > MAX_VOXELS:
                raise ScanError(f"{path}: '{key}' holds {math.prod(shape):,} values of type {dtype}; numbers are read.")
            with archive.open(f"{key}.npy") as file:
                values: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
                return values
    except _DAMAGED as error:
        raise ScanError(f"{path}: '{key}' cannot be read ({error}).") from error


@lru_cache(maxsize=1)  # an archive holds thousands of volumes in one stream: inflating it for each would take hours
def _kept(path: Path, key: str, size: int, mtime_ns: int) -> np.ndarray:
    """Read one array, or return it again; a changed size or time makes it another one."""
    return read_array(path, key)


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type from the header of one array."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
    return tuple(int(n) for n in shape), dtype


def _split(path: Path, locator: str, shapes: dict[str, tuple[int, ...]]) -> tuple[str, int]:
    """Split `key/index`."""
    key, _, index = locator.rpartition("/")
    if not key or not index.isdigit():
        raise ScanError(f"{path}#{locator}: one volume of an archive is written file.npz#key/index.")
    if key not in shapes:
        raise ScanError(f"{path}: has no array '{key}'; it holds {sorted(shapes)}.{nearest(key, shapes)}")
    return key, int(index)
