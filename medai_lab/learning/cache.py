"""Prepared arrays on disk: content-addressed, atomic, read through the page cache by any number of processes."""

import errno
import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medai_lab.errors import ScanError, UserError
from medai_lab.files import read_json, replacing, write_json
from medai_lab.learning.progress import progress

Prepare = Callable[[Any], tuple[np.ndarray, dict[str, Any]]]


@dataclass(frozen=True)
class Prepared:
    """Where one prepared array lies, the digest of what it holds, and what was noted while preparing it."""

    path: Path
    digest: str
    notes: dict[str, Any]


class ArrayCache:
    """A folder of float16 `.npy` files named by a key over their sources, parameters and code.

    A changed file, parameter or program has another key, so an old entry is never met again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(*parts: object) -> str:
        """Return the SHA-256 of the parts' JSON."""
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def find(self, key: str) -> Prepared | None:
        """Return the entry, or None where it has not been made."""
        path = self._path(key)
        if not path.exists():
            return None
        notes = read_json(path.with_suffix(".json"))
        return Prepared(path, notes["sha256"], notes)

    def put(self, key: str, array: np.ndarray, notes: dict[str, Any]) -> Prepared:
        """Store an array and its notes.

        The notes are written first: an array that can be found has its notes.

        Raises:
            UserError: the disk is full; nothing half-written remains.
        """
        path = self._path(key)
        digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()
        notes = {**notes, "sha256": digest}
        try:
            write_json(path.with_suffix(".json"), notes)
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, array)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                size = array.nbytes / 2**20
                raise UserError(
                    f"The disk is full: {size:.1f} MiB for the cache could not be written under {self.folder}. "
                    "Free some space there or set paths.cache to another disk."
                ) from error
            raise
        return Prepared(path, digest, notes)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npy"


def prepare_all(
    cache: ArrayCache, items: Sequence[Any], keys: Sequence[str], prepare: Prepare, workers: int, what: str
) -> list[Prepared | ScanError]:
    """Find or make the entry of every item, in parallel, with a progress bar for what has to be made.

    Threads do, because reading, inflating and resampling leave the interpreter lock.

    Args:
        cache: where entries are found and put.
        items: what `prepare` is called with.
        keys: the cache key of every item.
        prepare: makes an array and its notes from an item; a ScanError is returned in the item's place.
        workers: threads.
        what: the progress bar's title.
    """
    found: list[Prepared | ScanError | None] = [cache.find(key) for key in keys]
    todo = [i for i, entry in enumerate(found) if entry is None]

    def make(i: int) -> tuple[int, Prepared | ScanError]:
        try:
            array, notes = prepare(items[i])
        except ScanError as error:
            return i, error
        return i, cache.put(keys[i], array, notes)

    if todo:
        with ThreadPoolExecutor(workers) as pool, progress(what, len(todo)) as advance:
            try:
                for i, entry in pool.map(make, todo):
                    found[i] = entry
                    advance()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return [entry for entry in found if entry is not None]
