"""The cache of prepared arrays."""

import errno
from pathlib import Path

import numpy as np
import pytest

from medai_lab.errors import ScanError, UserError
from medai_lab.learning.cache import ArrayCache, prepare_all


def make(item):
    if item == "bad":
        raise ScanError("bad.nii.gz: truncated")
    return np.full((2, 3), float(item), np.float16), {"shape": [2, 3]}


def test_entries_come_back_with_digest_and_notes(tmp_path):
    cache = ArrayCache(tmp_path)
    key = cache.key("scan.nii", {"size": 3})
    assert cache.find(key) is None
    put = cache.put(key, np.ones((2, 2), np.float16), {"cut": 0.5})
    found = cache.find(key)
    assert found == put
    assert found.notes["cut"] == 0.5
    assert np.array_equal(np.load(found.path), np.ones((2, 2)))


def test_another_file_or_parameter_is_another_key():
    keys = {ArrayCache.key("a", 1), ArrayCache.key("a", 2), ArrayCache.key("b", 1), ArrayCache.key(["a"], 1)}
    assert len(keys) == 4


def test_only_missing_entries_are_made_and_order_is_kept(tmp_path):
    cache, made = ArrayCache(tmp_path), []

    def prepare(item):
        made.append(item)
        return make(item)

    items = ["3", "bad", "1"]
    keys = [cache.key(i) for i in items]
    first = prepare_all(cache, items, keys, prepare, 2, "x")
    assert [float(np.load(e.path)[0, 0]) for e in (first[0], first[2])] == [3.0, 1.0]
    assert isinstance(first[1], ScanError)
    made.clear()
    prepare_all(cache, items, keys, prepare, 2, "x")
    assert made == ["bad"]


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(file, array):
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(UserError, match="disk is full.*paths.cache"):
        prepare_all(ArrayCache(tmp_path), ["1"], ["ab" * 32], make, 1, "x")
    assert list(tmp_path.rglob("*.npy")) == []
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_program_error_is_not_swallowed(tmp_path):
    def broken(item):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        prepare_all(ArrayCache(tmp_path), ["1"], ["ab" * 32], broken, 1, "x")


def test_arrays_are_read_through_the_page_cache(tmp_path):
    entry = ArrayCache(tmp_path).put("ab" * 32, np.ones((4, 4), np.float16), {})
    assert isinstance(np.load(entry.path, mmap_mode="r"), np.memmap)
    assert entry.path.parent == Path(tmp_path) / "ab"
